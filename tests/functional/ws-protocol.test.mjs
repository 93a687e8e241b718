// RFC 6455 against the running gateway, byte by byte where it matters: the handshake, the cases of
// the Autobahn test suite's server groups as far as an endpoint shows them that does not echo, the
// close handshake, limits. The parser's own cases are in tests/unit/ws.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { inFrontOf, useGateway } from './lib/gateway.mjs';
import { useLocalbase } from './lib/localbase.mjs';
import { TASKS, until, Writer } from './lib/streams.mjs';
import { acceptOf, closeFrame, FIN, frame, handshake, OP, openRaw, RawSocket, wsPath } from './lib/ws.mjs';

const stack = useLocalbase();
const gateway = useGateway(async () => {
  await stack.ready;
  return inFrontOf(stack, { server: { workers: 1 }, streams: { message_bytes: '4k' } });
});

async function open(t, options = {}) {
  const s = await openRaw(gateway.port, { topics: [], token: stack.user1.token, ...options });
  t.after(() => s.kill());
  return s;
}

async function connect(t) {
  const s = await RawSocket.connect(gateway.port);
  t.after(() => s.kill());
  return s;
}

/** A message that is answered by an error with its ref: an echo, nearly. */
const echo = (ref) => JSON.stringify({ event: 'echo', ref });
const echoed = (s, ref) => s.take('error', (e) => e.data.ref === ref);

/** Pieces are sent, and this close must come. */
async function closes(t, pieces, code, reason = 'protocol') {
  const s = await open(t);
  const began = Date.now();
  s.write(...pieces);
  assert.deepEqual(await s.takeClose(), [code, reason]);
  assert.ok(Date.now() - began < 4000, 'at once, not after the wait for a close frame');
}

describe('the handshake', () => {
  test('is answered with the accept value of its key', async (t) => {
    const s = await connect(t);
    const key = 'dGhlIHNhbXBsZSBub25jZQ==';
    s.write(handshake({ token: stack.user1.token, key }));
    const { status, fields } = await s.heads.take(() => true);
    assert.equal(status, 101);
    assert.equal(fields['sec-websocket-accept'], 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
    assert.equal(acceptOf(key), fields['sec-websocket-accept']);
    assert.equal(fields.upgrade, 'websocket');
    assert.match(fields.connection, /upgrade/i);
    assert.equal(fields['sec-websocket-protocol'], undefined);
    assert.equal(fields['sec-websocket-extensions'], undefined);
  });

  test('may list more in its fields, in any case, and offer what is not taken', async (t) => {
    const s = await connect(t);
    const key = randomBytes(16).toString('base64');
    s.write(
      `GET ${wsPath()} HTTP/1.1\r\nHost: a\r\nupgrade: h2c, WebSocket\r\nCONNECTION: keep-alive, UPGRADE\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Protocol: chat, superchat\r\n` +
        `Sec-WebSocket-Extensions: permessage-deflate\r\nAuthorization: Bearer ${stack.user1.token}\r\n\r\n`,
    );
    const { status, fields } = await s.heads.take(() => true);
    assert.equal(status, 101);
    assert.equal(fields['sec-websocket-protocol'], undefined);
    assert.equal(fields['sec-websocket-extensions'], undefined);
  });

  const good = {
    Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
  };
  const refusals = [
    [{ Upgrade: undefined }, 426, 'TG527'],
    [{ Upgrade: 'h2c' }, 426, 'TG527'],
    [{ Connection: 'keep-alive' }, 426, 'TG527'],
    [{ 'Sec-WebSocket-Version': undefined }, 426, 'TG527'],
    [{ 'Sec-WebSocket-Version': '8' }, 426, 'TG527'],
    [{ 'Sec-WebSocket-Version': '13, 8' }, 426, 'TG527'],
    [{ 'Sec-WebSocket-Key': undefined }, 400, 'TG400'],
    [{ 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZQ==' }, 400, 'TG400'],
    [{ 'Sec-WebSocket-Key': 'not base64 at all, no no' }, 400, 'TG400'],
    [{ Authorization: 'Bearer nonsense' }, 401, 'TG411'],
    [{ Authorization: undefined }, 401, 'TG410'],
  ];
  for (const [change, status, code] of refusals) {
    test(`is refused with ${status} for ${JSON.stringify(change)}`, async (t) => {
      const s = await connect(t);
      const fields = { ...good, Authorization: `Bearer ${stack.user1.token}`, ...change };
      const lines = Object.entries(fields).filter(([, v]) => v !== undefined).map(([n, v]) => `${n}: ${v}\r\n`);
      s.write(`GET ${wsPath()} HTTP/1.1\r\nHost: a\r\n${lines.join('')}\r\n`);
      const head = await s.heads.take(() => true);
      assert.equal(head.status, status, head.body);
      assert.equal(JSON.parse(head.body).code, code);
      if (status === 426) {
        assert.equal(head.fields['sec-websocket-version'], '13');
        assert.equal(head.fields.upgrade, 'websocket');
      }
    });
  }

  test('is refused for bad topics and cursors, another method, HTTP/1.0, a body', async (t) => {
    const status = async (text) => {
      const s = await connect(t);
      s.write(text);
      return (await s.heads.take(() => true)).status;
    };
    const token = stack.user1.token;
    assert.equal(await status(handshake({ token, topics: 'nonsense' })), 400);
    assert.equal(await status(handshake({ token, topics: TASKS, params: { cursor: 'x' } })), 400);
    assert.equal(await status(handshake({ token, topics: 'table:auth.users' })), 403);
    assert.equal(await status(handshake({ token }).replace('GET', 'POST')), 405);
    assert.equal(await status(handshake({ token }).replace('HTTP/1.1', 'HTTP/1.0')), 426);
    assert.equal(await status(`${handshake({ token, fields: 'Content-Length: 2\r\n' })}hi`), 400);
  });

  test('works on a connection that served other requests, with frames right behind it', async (t) => {
    const s = await connect(t);
    s.write('GET /sync/v1/nothing HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.equal((await s.heads.take(() => true)).status, 404);
    s.write('GET /sync/v1/nothing HTTP/1.1\r\nHost: a\r\n\r\n');
    await s.heads.takeMany(2);
    s.write(
      handshake({ token: stack.user1.token, topics: TASKS }),
      frame(FIN | OP.text, echo(1)), frame(FIN | OP.ping, 'early'),
    );
    await s.heads.take(({ status }) => status === 101);
    await s.take('hello');
    await echoed(s, 1);
    assert.equal((await s.takeFrame(OP.pong)).payload.toString(), 'early');
    assert.equal(s.events.items[0].type, 'hello');
  });
});

describe('messages (Autobahn 1, 5, 10)', () => {
  test('may have every form of length, come in pieces, and in fragments with pings between them', async (t) => {
    const s = await open(t);
    for (const n of [0, 1, 125, 126, 127, 128, 1000, 3000]) {
      s.write(frame(FIN | OP.text, `${echo(n)}${' '.repeat(n)}`));
      await echoed(s, n);
    }
    for (const byte of frame(FIN | OP.text, echo('bytewise'))) {
      s.socket.write(Buffer.from([byte]));
    }
    await echoed(s, 'bytewise');
    const text = Buffer.from(echo('fragments é€𝄞'));
    const pieces = [];
    for (let i = 0; i < text.length; i++) {
      const last = i === text.length - 1 ? FIN : 0;
      pieces.push(frame(last | (i === 0 ? OP.text : OP.continuation), text.subarray(i, i + 1)));
      pieces.push(...(i % 10 === 5 ? [frame(FIN | OP.ping, `p${i}`)] : []));
    }
    s.write(...pieces);
    await echoed(s, 'fragments é€𝄞');
    await s.takeFrame(OP.pong, (f) => f.payload.toString() === 'p5');
  });

  test('that are binary are not understood', (t) => closes(t, [frame(FIN | OP.binary, 'x')], 1003));

  test('over the limit are refused by their header, or in the fragment that is too much', async (t) => {
    const s = await open(t);
    s.write(frame(FIN | OP.text, `${echo('most')}${' '.repeat(4096 - echo('most').length)}`));
    await echoed(s, 'most');
    await closes(t, [frame(FIN | OP.text, '', { length: 4097 })], 1009);
    await closes(t, [frame(OP.text, 'x'.repeat(4000)), frame(OP.continuation, 'x'.repeat(97))], 1009);
    await closes(t, [frame(FIN | OP.text, '', { length: 2n ** 62n })], 1009);
    await closes(t, [frame(FIN | OP.text, '', { length: 2n ** 63n })], 1002);
  });
});

describe('pings and pongs (Autobahn 2)', () => {
  test('are answered with their payload, in order; pongs are not', async (t) => {
    const s = await open(t);
    const payloads = ['', 'hello', Buffer.from([0, 255, 254, 253]), 'x'.repeat(125)];
    s.write(frame(FIN | OP.pong), frame(FIN | OP.pong, 'unasked'));
    s.write(...payloads.map((p) => frame(FIN | OP.ping, p)));
    for (let i = 0; i < 10; i++) {
      s.write(frame(FIN | OP.ping, `payload-${i}`));
    }
    await s.takeFrame(OP.pong, (f) => f.payload.toString() === 'payload-9');
    const got = s.frames.items.filter((f) => f.opcode === OP.pong).map((f) => f.payload);
    const wanted = [...payloads, ...Array.from({ length: 10 }, (_, i) => `payload-${i}`)];
    assert.deepEqual(got, wanted.map((p) => Buffer.from(p)));
  });

  test('are refused when they are too long', (t) => closes(t, [frame(FIN | OP.ping, 'x'.repeat(126))], 1002));
});

describe('broken frames (Autobahn 3, 4, 5)', () => {
  const broken = {
    'a reserved bit': [frame(FIN | 0x40 | OP.text, 'x')],
    'a reserved bit of a close': [frame(FIN | 0x70 | OP.close)],
    'an unknown opcode': [frame(FIN | 3, 'x')],
    'an unknown control opcode': [frame(FIN | 11)],
    'no mask': [frame(FIN | OP.text, 'x', { mask: false })],
    'a fragmented ping': [frame(OP.ping, 'x'), frame(FIN | OP.continuation, 'y')],
    'a continuation of nothing': [frame(FIN | OP.continuation, 'x')],
    'a message within a message': [frame(OP.text, 'x'), frame(FIN | OP.text, 'y')],
  };
  for (const [what, pieces] of Object.entries(broken)) {
    test(`${what} is 1002`, (t) => closes(t, pieces, 1002));
  }

  test('come behind what was good, which is answered', async (t) => {
    const s = await open(t);
    s.write(frame(FIN | OP.text, echo('good')), frame(FIN | 5, ''), frame(FIN | OP.ping, 'unheard'));
    assert.deepEqual(await s.takeClose(), [1002, 'protocol']);
    await echoed(s, 'good');
    assert.equal(s.frames.items.filter((f) => f.opcode === OP.pong).length, 0);
  });
});

describe('text (Autobahn 6)', () => {
  const bad = ['c0af', 'eda080', 'f4908080', '80', 'fe', 'cebae1bdb9cf83eda080656469746564'];
  for (const hex of bad) {
    test(`${hex} is 1007`, (t) => closes(t, [frame(FIN | OP.text, Buffer.from(hex, 'hex'))], 1007));
  }

  test('that ends within a character is 1007', (t) =>
    closes(t, [frame(FIN | OP.text, Buffer.from('cebae1', 'hex'))], 1007));

  test('is refused at its first bad byte, before the frame is whole', (t) =>
    closes(t, [frame(FIN | OP.text, Buffer.from('cebaf490', 'hex'), { length: 1000 })], 1007));
});

describe('close (Autobahn 7)', () => {
  test('is given back with its code, and the connection ends', async (t) => {
    for (const code of [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999]) {
      const s = await open(t);
      s.write(closeFrame(code, 'why'));
      assert.deepEqual(await s.takeClose(), [code, '']);
    }
    const s = await open(t);
    s.write(frame(FIN | OP.close));
    assert.deepEqual(await s.takeClose(), [1005, '']);
  });

  test('with a bad code or payload is 1002, with a bad reason 1007', async (t) => {
    for (const code of [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]) {
      await closes(t, [closeFrame(code)], 1002);
    }
    await closes(t, [frame(FIN | OP.close, 'x')], 1002);
    await closes(t, [closeFrame(1000, 'x'.repeat(124))], 1002);
    await closes(t, [closeFrame(1000, Buffer.from('eda080', 'hex'))], 1007);
  });

  test('is the last that is heard', async (t) => {
    const s = await open(t);
    s.write(
      frame(FIN | OP.text, echo('before')), closeFrame(1000), frame(FIN | OP.text, echo('after')),
      frame(FIN | OP.ping), closeFrame(1001),
    );
    assert.deepEqual(await s.takeClose(), [1000, '']);
    await echoed(s, 'before');
    assert.equal(s.ofType('error').length, 1);
  });

  test('within a fragmented message ends it', (t) =>
    closes(t, [frame(OP.text, 'x'), closeFrame(1000), frame(FIN | OP.continuation, 'y')], 1000, ''));

  test('is waited for after ours, and not for ever', async (t) => {
    const s = await open(t);
    s.say({ event: 'token', token: stack.user2.token });
    await s.takeFrame(OP.close);
    const closed = s.closed;
    s.write(frame(FIN | OP.text, echo('unheard'))); // not yet
    s.write(closeFrame(1008));
    await closed;
    assert.equal(s.ofType('error').length, 0);
  });
});

describe('a client that says too much', () => {
  test('is told so, and then let go', async (t) => {
    const s = await open(t);
    s.write(...Array.from({ length: 500 }, (_, i) => frame(FIN | OP.text, echo(i))));
    const [code, reason] = await s.takeClose();
    assert.deepEqual([code, reason], [1008, 'rate']);
    const errors = s.ofType('error');
    assert.equal(errors[0].data.code, 'TG406');
    assert.equal(errors.at(-1).data.code, 'TG529');
  });
});

test('bytes of any kind never harm the gateway', async (t) => {
  for (let i = 0; i < 60; i++) {
    const s = await open(t);
    const bytes = randomBytes(1 + Math.floor(Math.random() * 300));
    if (i % 2 === 0) {
      bytes[0] = FIN | [OP.text, OP.ping, OP.close, OP.pong][i % 4];
      bytes[1] |= 0x80;
    }
    s.write(bytes, closeFrame(1000));
    s.socket.end();
    s.socket.resume();
    await s.closed;
  }
  const s = await open(t, { topics: TASKS });
  await (await Writer.to(stack)).tasks('still here');
  await s.take('message', (e) => e.data.record.title === 'still here');
  await until(async () => (await gateway.metric('tidegate_streams')) === 1, 'all others to be gone');
  s.kill();
  await once(s.socket, 'close');
});
