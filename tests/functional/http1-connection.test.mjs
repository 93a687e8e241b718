// Connections of lib/http1: pipelining, bodies, early answers, half-closed and leaving clients,
// time and number limits, raw sockets, draining.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import { Client, GET, POST, startServer } from './lib/http1.mjs';

const H = 'Host: a\r\n';

test('pipelined requests are answered one by one, in order', async (t) => {
  const server = await startServer(t);
  const client = await server.connect();
  const n = 200;
  let text = '';
  for (let i = 0; i < n; i++) {
    text += GET(`/x${i}`) + POST('/echo', `body ${i}`) + GET('/later') + GET('/chunked');
  }
  client.send(text);
  for (let i = 0; i < n; i++) {
    assert.equal((await client.answer()).body.toString(), `GET|/x${i}|a|0\n`);
    assert.equal((await client.answer()).body.toString(), `body ${i}`);
    assert.equal((await client.answer()).body.toString(), 'later\n');
    assert.equal((await client.answer()).body.toString(), 'one two three\n');
  }
  client.destroy();
});

test('a pipelined request waits until the running one is answered', async (t) => {
  const server = await startServer(t);
  const client = await server.connect();
  client.send(GET('/hold') + GET('/x'));
  await server.until(({ held }) => held);
  const other = await server.connect();
  assert.equal(client.bytes.length, 0);
  assert.equal((await other.ask(GET('/release'))).body.toString(), 'yes\n');
  assert.equal((await client.answer()).body.toString(), 'released\n');
  assert.equal((await client.answer()).body.toString(), 'GET|/x|a|0\n');
  client.destroy();
  other.destroy();
});

test('bytes may come one by one', async (t) => {
  const server = await startServer(t);
  const client = await server.connect();
  const text = `POST /echo HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\nA: b\r\n\r\n${GET('/x')}`;
  for (const byte of text) {
    client.send(byte);
    await new Promise(setImmediate);
  }
  assert.equal((await client.answer()).body.toString(), 'abcde');
  assert.equal((await client.answer()).body.toString(), 'GET|/x|a|0\n');
  client.destroy();
});

test('Expect: 100-continue', async (t) => {
  const server = await startServer(t);
  const expecting = (target, n) =>
    `POST ${target} HTTP/1.1\r\n${H}Expect: 100-Continue\r\nContent-Length: ${n}\r\n\r\n`;

  await t.test('is answered when the body is wanted', async () => {
    const client = await server.connect();
    assert.equal((await client.ask(expecting('/echo', 5))).status, 100);
    assert.equal((await client.ask('hello')).body.toString(), 'hello');
    assert.equal((await client.ask(GET('/x'))).status, 200);
    client.destroy();
  });
  await t.test('is not answered when the body is there already', async () => {
    const client = await server.connect();
    assert.equal((await client.ask(`${expecting('/echo', 5)}hello`)).body.toString(), 'hello');
    client.destroy();
  });
  await t.test('is not answered when the answer comes first, which closes', async () => {
    const client = await server.connect();
    const { status, get } = await client.ask(expecting('/early', 5));
    assert.equal(status, 200);
    assert.equal(get('connection'), 'close');
    await client.end();
  });
  await t.test('means nothing without a body or on HTTP/1.0', async () => {
    const client = await server.connect();
    assert.equal((await client.ask(expecting('/echo', 0))).status, 200);
    const old = `POST /echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n`;
    client.send(old, 'ab');
    assert.equal((await client.answer()).body.toString(), 'ab');
    await client.end();
  });
});

test('an answer that comes while the client uploads', async (t) => {
  const server = await startServer(t, { drop: 100000 });

  await t.test('is sent at once; a short rest is dropped and the connection goes on', async () => {
    const client = await server.connect();
    client.send(`POST /early HTTP/1.1\r\n${H}Content-Length: 90000\r\n\r\n`);
    const early = await client.answer();
    assert.equal(early.status, 200);
    assert.equal(early.get('connection'), undefined);
    client.send('x'.repeat(90000), GET('/x'));
    assert.equal((await client.answer()).body.toString(), 'GET|/x|a|0\n');
    client.destroy();
  });
  await t.test('a chunked rest likewise', async () => {
    const client = await server.connect();
    client.send(`POST /early HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n`);
    assert.equal((await client.answer()).status, 200);
    client.send('5\r\nhello\r\n0\r\n\r\n', GET('/x'));
    assert.equal((await client.answer()).body.toString(), 'GET|/x|a|0\n');
    client.destroy();
  });
  await t.test('a long rest ends the connection, and the answer is still read', async () => {
    const client = await server.connect();
    client.send(`POST /early HTTP/1.1\r\n${H}Content-Length: 1000000\r\n\r\n`, 'x'.repeat(150000));
    const early = await client.answer();
    assert.equal(early.get('connection'), 'close');
    await client.end();
  });
  await t.test('a long chunked rest too', async () => {
    const client = await server.connect();
    client.send(`POST /early HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n`);
    client.send(`30000\r\n${'x'.repeat(0x30000)}`);
    assert.equal((await client.answer()).status, 200);
    await client.end();
  });
  await t.test('a rest with broken framing ends it', async () => {
    const client = await server.connect();
    client.send(`POST /early HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n`);
    assert.equal((await client.answer()).status, 200);
    client.send(`zz\r\n${GET('/hidden')}`);
    await client.end();
  });
});

test('HEAD, 204 and 304 have no body and keep the connection in step', async (t) => {
  const server = await startServer(t);
  const client = await server.connect();
  const HEAD = (target) => `HEAD ${target} HTTP/1.1\r\n${H}\r\n`;
  client.send(
    HEAD('/x') + HEAD('/chunked') + GET('/204') + GET('/304') + HEAD('/big=100000') + GET('/y'),
  );
  const described = await client.answer({ bodyless: true });
  assert.equal(described.get('content-length'), '12');
  const unknown = await client.answer({ bodyless: true });
  assert.equal(unknown.get('content-length'), undefined);
  assert.equal(unknown.get('transfer-encoding'), undefined);
  const none = await client.answer();
  assert.equal(none.status, 204);
  assert.equal(none.get('content-length'), undefined);
  const same = await client.answer();
  assert.equal(same.status, 304);
  assert.equal(same.get('content-length'), '5');
  assert.equal((await client.answer({ bodyless: true })).get('content-length'), '100000');
  assert.equal((await client.answer()).body.toString(), 'GET|/y|a|0\n');
  client.destroy();
});

test('fields go out as they are, but for what would break the answer', async (t) => {
  const server = await startServer(t);
  const client = await server.connect();
  const { reason, fields } = await client.ask(GET('/reason'));
  assert.equal(reason, 'Fine By Me');
  assert.deepEqual(fields, [
    ['X-Two', 'b'],
    ['x-two', 'a'],
    ['Date', 'Thu, 01 Jan 1970 00:00:00 GMT'],
    ['Content-Length', '0'],
  ]);
  const dated = await client.ask(GET('/x'));
  assert.ok(Math.abs(Date.parse(dated.get('date')) - Date.now()) < 5000);
  assert.equal((await client.ask(GET('/interim'))).status, 103);
  assert.equal((await client.answer()).status, 200);
  client.destroy();
});

test('HTTP/1.0 closes unless it asks for more', async (t) => {
  const server = await startServer(t);
  let client = await server.connect();
  assert.equal((await client.ask('GET /x HTTP/1.0\r\n\r\n')).body.toString(), 'GET|/x||0\n');
  await client.end();
  client = await server.connect();
  const kept = await client.ask('GET /x HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n');
  assert.equal(kept.get('connection'), 'keep-alive');
  const unknown = await client.ask('GET /chunked HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
  assert.equal(unknown.get('transfer-encoding'), undefined);
  assert.equal(unknown.get('connection'), 'close');
  assert.equal(unknown.body.toString(), 'one two three\n');
  await client.end();
  client = await server.connect();
  assert.equal((await client.ask('GET /interim HTTP/1.0\r\n\r\n')).status, 200);
  await client.end();
});

test('Connection: close is kept by both sides', async (t) => {
  const server = await startServer(t);
  let client = await server.connect();
  assert.equal((await client.ask(GET('/x', 'Connection: x, Close\r\n'))).get('connection'), 'close');
  await client.end();
  client = await server.connect();
  client.send(GET('/close') + GET('/hidden'));
  assert.equal((await client.answer()).body.toString(), 'bye\n');
  await client.end();
  const { gone } = await server.stats();
  assert.deepEqual(gone, ['/x=TG_OK', '/close=TG_OK']);
});

test('an answer that was cut looks cut', async (t) => {
  const server = await startServer(t);
  for (const target of ['/abort', '/short']) {
    const client = await server.connect();
    client.send(GET(target));
    assert.equal((await client.head()).get('content-length'), '100');
    assert.equal((await client.rest()).toString(), '0123456789');
    client.destroy();
  }
  const client = await server.connect();
  client.send(GET('/abort-chunked'));
  await client.head();
  assert.equal((await client.rest()).toString(), 'a\r\n0123456789\r\n');
  client.destroy();
  const old = await server.connect();
  old.send('GET /abort-chunked HTTP/1.0\r\n\r\n');
  await old.rest();
  assert.equal(old.error?.code, 'ECONNRESET');
  const { gone } = await server.stats();
  assert.deepEqual(gone, [
    '/abort=TG_ECANCELED',
    '/short=TG_ECANCELED',
    '/abort-chunked=TG_ECANCELED',
    '/abort-chunked=TG_ECANCELED',
  ]);
});

test('a client that has ended its side still gets its answers', async (t) => {
  const server = await startServer(t);
  const client = await server.connect();
  client.send(GET('/x') + POST('/echo', 'abc') + GET('/later')).halfClose();
  assert.equal((await client.answer()).body.toString(), 'GET|/x|a|0\n');
  assert.equal((await client.answer()).body.toString(), 'abc');
  assert.equal((await client.answer()).body.toString(), 'later\n');
  await client.end();

  const waiting = await server.connect();
  waiting.send(GET('/hold')).halfClose();
  await server.until(({ held }) => held);
  const other = await server.connect();
  assert.equal((await other.ask(GET('/release'))).body.toString(), 'yes\n');
  assert.equal((await waiting.answer()).body.toString(), 'released\n');
  await waiting.end();
  other.destroy();
});

test('an end in the middle of a message is told', async (t) => {
  const server = await startServer(t);
  for (const text of ['GET / HT', `POST /echo HTTP/1.1\r\n${H}Content-Length: 9\r\n\r\nabc`]) {
    const client = await server.connect();
    client.send(text).halfClose();
    assert.equal((await client.answer()).status, 400);
    await client.end();
  }
  const idle = await server.connect();
  idle.halfClose();
  await idle.end();
});

test('a client that leaves is noticed', async (t) => {
  const server = await startServer(t);
  const cases = [
    ['/hold', (client) => client.reset()],
    ['/park', (client) => client.reset()],
    ['/park', (client) => client.halfClose()],
  ];
  for (const [target, leave] of cases) {
    const client = await server.connect();
    client.send(GET(target));
    await server.until(({ held }) => held);
    leave(client);
    const { gone } = await server.until(({ gone: all }) => all.includes(`${target}=TG_ECLOSED`));
    assert.equal(gone.filter((line) => line.startsWith(target)).length, 1);
    client.destroy();
  }
  const uploading = await server.connect();
  uploading.send(`POST /echo HTTP/1.1\r\n${H}Content-Length: 9\r\n\r\nabc`);
  await server.until(({ open }) => open >= 2);
  uploading.reset();
  await server.until(({ gone }) => gone.includes('/echo=TG_ECLOSED'));
  const reading = await server.connect();
  reading.send(GET('/big=100000000'));
  await reading.head();
  reading.reset();
  await server.until(({ gone }) => gone.some((line) => line === '/big=100000000=TG_ECLOSED'));
});

test('slow and silent clients time out', async (t) => {
  const server = await startServer(t, { head_ms: 150, idle_ms: 300, body_ms: 150, send_ms: 150 });

  await t.test('a head that does not end: 408, however often a byte comes', async () => {
    const client = await server.connect();
    const drip = setInterval(() => client.send('a'), 20);
    client.send('GET / HTTP/1.1\r\nX: ');
    assert.equal((await client.answer()).status, 408);
    clearInterval(drip);
    await client.rest();
    client.destroy();
  });
  await t.test('a body that does not come: 408', async () => {
    const client = await server.connect();
    assert.equal((await client.ask(GET('/x'))).status, 200);
    client.send(`POST /echo HTTP/1.1\r\n${H}Content-Length: 9\r\n\r\nabc`);
    assert.equal((await client.answer()).status, 408);
    await client.end();
    await server.until(({ gone }) => gone.includes('/echo=TG_ETIMEDOUT'));
  });
  await t.test('an idle connection ends without a word', async () => {
    const fresh = await server.connect();
    const reused = await server.connect();
    assert.equal((await reused.ask(GET('/x'))).status, 200);
    await fresh.end();
    await reused.end();
  });
  await t.test('an answer that is not taken ends', async () => {
    const client = await server.connect();
    client.socket.pause();
    client.send(GET('/big=1000000000'));
    await server.until(({ gone }) => gone.includes('/big=1000000000=TG_ETIMEDOUT'));
    client.destroy();
  });
  await t.test('a request that takes long does not', async () => {
    const client = await server.connect();
    client.send(GET('/hold'));
    await server.until(({ held }) => held);
    const idle = await server.connect();
    await idle.end(); // longer than every limit
    const other = await server.connect();
    assert.equal((await other.ask(GET('/release'))).body.toString(), 'yes\n');
    assert.equal((await client.answer()).status, 200);
    client.destroy();
    other.destroy();
  });
});

test('a slow reader holds up its answer, not memory', async (t) => {
  const server = await startServer(t);
  const { heap } = await server.stats();
  const client = await server.connect();
  client.socket.pause();
  client.send(GET('/big=100000000'));
  let sent = 0;
  const full = await server.until(({ out }) => {
    const grown = out - sent; // the answers to these questions among it
    sent = out;
    return out > 100000 && grown < 4096;
  });
  assert.ok(full.heap - heap < 1 << 20, `${full.heap - heap} bytes`);
  client.destroy();
  const reader = await server.connect();
  reader.send(GET('/big=20000000'));
  await reader.head();
  let n = reader.bytes.length;
  reader.bytes = Buffer.alloc(0);
  while (n < 20000000) {
    await reader.change();
    n += reader.bytes.length;
    reader.bytes = Buffer.alloc(0);
  }
  assert.equal(n, 20000000);
  assert.equal((await reader.ask(GET('/x'))).status, 200);
  reader.destroy();
});

test('over the connection limit: 503 and the end, and room again afterwards', async (t) => {
  const server = await startServer(t, { connections: 10 });
  const clients = [];
  for (let i = 0; i < 10; i++) {
    clients.push(await server.connect());
    assert.equal((await clients[i].ask(GET('/'))).status, 200);
  }
  const refused = await server.connect();
  const { status, body, get } = await refused.answer();
  assert.equal(status, 503);
  assert.equal(get('connection'), 'close');
  assert.match(body.toString(), /"code":"TG606"/);
  await refused.end();
  clients.pop().destroy();
  for (;;) {
    const client = await server.connect();
    client.send(GET('/'));
    const again = await client.answer();
    if (again.status === 200) {
      clients.push(client); // the end of the one that left has been seen
      break;
    }
    client.destroy();
  }
  // Whole floods are turned away as well, and the server lives.
  const flood = await Promise.all(Array.from({ length: 300 }, () => server.connect()));
  await Promise.all(flood.map((client) => client.rest()));
  assert.equal((await clients[0].ask(GET('/x'))).status, 200);
  flood.concat(clients).forEach((client) => client.destroy());
});

test('without descriptors clients are turned away, and served again later', async (t) => {
  const server = await startServer(t, { nofile: 40 });
  const clients = await Promise.all(Array.from({ length: 100 }, () => server.connect()));
  const answers = await Promise.all(
    clients.map((client) => client.ask(GET('/')).then((answer) => answer.status, () => 'closed')),
  );
  const served = answers.filter((status) => status === 200).length;
  assert.ok(served >= 10 && served < 40, `${served} served`);
  assert.ok(answers.every((status) => [200, 503, 'closed'].includes(status)));
  clients.forEach((client) => client.destroy());
  for (;;) {
    const client = await server.connect();
    const again = await client.ask(GET('/')).then((answer) => answer.status, () => 'closed');
    client.destroy();
    if (again === 200) {
      break;
    }
  }
});

test('raw connections', async (t) => {
  const server = await startServer(t);

  await t.test('an upgrade gets the bytes that came early, and all others', async () => {
    const client = await server.connect();
    client.send(`${GET('/upgrade')}early `);
    assert.equal((await client.head()).status, 101);
    assert.equal((await client.take(6)).toString(), 'early ');
    const big = 'x'.repeat(1 << 20);
    client.send(big);
    assert.equal((await client.take(big.length)).toString(), big);
    client.halfClose();
    await client.end();
  });
  await t.test('a stream', async () => {
    const client = await server.connect();
    client.send(GET('/stream'));
    assert.equal((await client.head()).get('content-type'), 'text/event-stream');
    assert.equal((await client.take(13)).toString(), 'data: hello\n\n');
    assert.equal((await server.stats()).raw, 1);
    client.reset();
    await server.until(({ raw }) => raw === 0);
  });
  const behind = {
    'a body behind a stream': POST('/stream', 'abc'),
    'a chunked body behind a stream': `POST /stream HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    'a request behind a stream': GET('/stream') + GET('/hidden'),
    'a body behind an upgrade': POST('/upgrade', 'abc'),
  };
  for (const [name, text] of Object.entries(behind)) {
    await t.test(`${name} is refused`, async () => {
      const client = await server.connect();
      client.send(text);
      const { status, get } = await client.answer();
      assert.equal(status, 400);
      assert.equal(get('connection'), 'close');
      await client.end();
    });
  }
  const { gone } = await server.stats();
  assert.ok(!gone.includes('/hidden=TG_OK'));
});

test('the PROXY protocol, from those who may speak it', async (t) => {
  const server = await startServer(t, { proxy: 1 });
  server.stats = undefined; // it would need a header as well
  const v2 = (command, family, bytes) =>
    Buffer.concat([
      Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1'),
      Buffer.from([0x20 | command, family, bytes.length >> 8, bytes.length & 255]),
      Buffer.from(bytes),
    ]);
  const inet = [192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0, 80];
  const inet6 = [...Array(15).fill(0), 1, ...Array(16).fill(0), 1, 2, 3, 4];
  const cases = [
    ['v1, IPv4', 'PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\r\n', '192.0.2.7 untrusted'],
    ['v1, IPv6', 'PROXY TCP6 2001:db8::1 ::1 12345 80\r\n', '2001:db8::1 untrusted'],
    ['v1, unknown', 'PROXY UNKNOWN\r\n', '127.0.0.1 trusted'],
    ['v2, IPv4', v2(1, 0x11, inet), '192.0.2.7 untrusted'],
    ['v2, IPv4 and more', v2(1, 0x11, [...inet, 4, 0, 1, 0]), '192.0.2.7 untrusted'],
    ['v2, IPv6', v2(1, 0x21, inet6), '::1 untrusted'],
    ['v2, for itself', v2(0, 0, []), '127.0.0.1 trusted'],
  ];
  for (const [name, header, peer] of cases) {
    await t.test(name, async () => {
      for (const pieces of [[header, GET('/peer')], [Buffer.concat([Buffer.from(header), Buffer.from(GET('/peer'))])]]) {
        const client = await server.connect();
        client.send(...pieces);
        assert.equal((await client.answer()).body.toString(), `${peer}\n`);
        assert.equal((await client.ask(GET('/peer'))).body.toString(), `${peer}\n`);
        client.destroy();
      }
    });
  }
  const broken = [GET('/'), 'PROXY TCP4 192.0.2.7 10.0.0.1 12345\r\n', 'PROXY TCP4 x x 1 2\r\n', `PROXY ${'x'.repeat(200)}`, v2(1, 0x11, [1, 2])];
  for (const header of broken) {
    const client = await server.connect();
    client.send(header, GET('/'));
    assert.equal((await client.answer()).status, 400);
    await client.end();
  }
  const strangers = await startServer(t, { proxy: 1, untrusted: 1 });
  const client = await strangers.connect();
  assert.equal((await client.ask(GET('/peer'))).body.toString(), '127.0.0.1 untrusted\n');
  client.send('PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\r\n', GET('/peer'));
  assert.equal((await client.answer()).status, 400);
  await client.end();
});

test('draining ends what is idle, and the rest after its answer', async (t) => {
  const server = await startServer(t);
  const idle = await server.connect();
  const busy = await server.connect();
  const asks = await server.connect();
  assert.equal((await idle.ask(GET('/x'))).status, 200);
  busy.send(GET('/hold'));
  await server.until(({ held }) => held);
  const drain = await asks.ask(GET('/drain') + GET('/release'));
  assert.equal(drain.get('connection'), 'close');
  await idle.end();
  await asks.end();
  await assert.rejects(Client.to(server.port), { code: 'ECONNREFUSED' });
  busy.destroy();
});

test('clients of every kind at once get their own answers', async (t) => {
  const server = await startServer(t);
  const one = async (i) => {
    const client = await server.connect();
    for (let j = 0; j < 20; j++) {
      const text = `${i}.${j}:${'y'.repeat((i * 997 + j * 131) % 40000)}`;
      client.send(POST('/echo', text), GET(`/x${i}.${j}`));
      assert.equal((await client.answer()).body.toString(), text);
      assert.equal((await client.answer()).body.toString(), `GET|/x${i}.${j}|a|0\n`);
    }
    client.destroy();
  };
  await Promise.all(Array.from({ length: 50 }, (_, i) => one(i)));
});

test('connections that come and go leave nothing', async (t) => {
  const server = await startServer(t);
  for (let i = 0; i < 300; i++) {
    const socket = net.connect(server.port, '127.0.0.1');
    await once(socket, 'connect');
    socket.on('error', () => {});
    socket.write(GET('/').slice(0, i % 30));
    if (i % 2 === 0) {
      socket.destroy();
    } else {
      socket.resetAndDestroy();
    }
  }
  await server.until(({ open }) => open === 1);
});
