// /realtime/v1/websocket as it is: the upgrade under the rules of other requests, then bytes.
//
// also under tsan: the upstream client and its resolver thread.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { useGateway } from './lib/gateway.mjs';
import { Client } from './lib/http1.mjs';
import { useUpstream } from './lib/raw-upstream.mjs';

const upstream = useUpstream();
const gateway = useGateway(async () => {
  await upstream.ready;
  return {
    server: { workers: 1, drain_timeout: '1s' },
    supabase: { url: upstream.url, anon_key: 'sb_publishable_test' },
  };
});

const TARGET = '/realtime/v1/websocket?apikey=a%2Bsecret&vsn=1.0.0';
const UPGRADE = ['Host: gw.test', 'Connection: keep-alive, Upgrade, X-Private', 'Upgrade: websocket', 'X-Private: 1',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version: 13', 'X-Forwarded-For: 6.6.6.6', 'Origin: https://a'];
const ask = (fields = UPGRADE) => `GET ${TARGET} HTTP/1.1\r\n${fields.join('\r\n')}\r\n\r\n`;
const SWITCH = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n';

/** Upstream answers the next upgrade with `answer`, and reads raw bytes from then on. */
function upgradeWith(t, answer) {
  upstream.forget();
  const old = upstream.answer;
  upstream.answer = (req) => {
    req.connection.isRaw = true;
    return typeof answer === 'function' ? answer(req) : answer;
  };
  t.after(() => {
    upstream.answer = old;
  });
}

async function open(t, { answer = SWITCH, behind = '' } = {}) {
  upgradeWith(t, answer);
  const client = await Client.to(gateway.port);
  client.send(ask() + behind);
  const head = await client.head();
  const seen = await upstream.next();
  t.after(() => client.destroy());
  return { client, head, seen, far: seen.socket };
}

/** Reads `n` bytes that came to upstream behind the head. */
async function takeFar(seen, n) {
  while (seen.connection.bytes.length < n) {
    await once(seen.socket, 'data');
  }
  return seen.connection.bytes.subarray(0, n).toString('latin1');
}

const ends = (client) => client.rest();

describe('the upgrade', () => {
  test('goes up with its own fields and nothing of the hop', async (t) => {
    const { head, seen } = await open(t);
    assert.equal(seen.target, TARGET, 'the key stays in the query');
    assert.equal(seen.get('apikey'), undefined);
    assert.equal(seen.get('host'), `127.0.0.1:${upstream.port}`);
    assert.deepEqual(seen.all('connection'), ['Upgrade']);
    assert.equal(seen.get('upgrade'), 'websocket');
    assert.equal(seen.get('x-private'), undefined);
    assert.equal(seen.get('x-forwarded-for'), '127.0.0.1');
    assert.equal(seen.get('sec-websocket-key'), 'dGhlIHNhbXBsZSBub25jZQ==');
    assert.equal(head.status, 101);
    assert.equal(head.get('upgrade'), 'websocket');
    assert.equal(head.get('connection'), 'Upgrade');
    assert.equal(head.get('sec-websocket-accept'), 'x');
    assert.equal(head.get('x-request-id'), seen.get('x-request-id'));
  });
  test('repeated keys are refused', async () => {
    const client = await Client.to(gateway.port);
    const answer = await client.ask(ask([...UPGRADE, 'apikey: a', 'apikey: b']));
    assert.equal(answer.status, 400);
    client.destroy();
  });
  test('what is no upgrade is an ordinary request', async () => {
    upstream.forget();
    const client = await Client.to(gateway.port);
    const answer = await client.ask('GET /realtime/v1/websocket HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.equal(answer.status, 200);
    const seen = await upstream.next();
    assert.equal(seen.get('upgrade'), undefined);
    client.destroy();
  });
});

describe('a refusal passes through', () => {
  const refusals = {
    'with a length': ['HTTP/1.1 403 Go Away\r\nX-A: 1\r\nContent-Length: 4\r\n\r\nnope', 'nope'],
    'in chunks': ['HTTP/1.1 403 Go Away\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n2\r\npe\r\n0\r\n\r\n', 'nope'],
    'without a body': ['HTTP/1.1 403 Go Away\r\nX-A: 1\r\nContent-Length: 0\r\n\r\n', ''],
    'behind an interim answer': ['HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 403 Go Away\r\nX-A: 1\r\nContent-Length: 1\r\n\r\nn', 'n'],
  };
  for (const [name, [answer, body]] of Object.entries(refusals)) {
    test(name, async (t) => {
      upgradeWith(t, answer);
      const client = await Client.to(gateway.port);
      const got = await client.ask(ask());
      assert.equal(got.status, 403);
      assert.equal(got.reason, 'Go Away');
      assert.equal(got.get('x-a'), '1');
      assert.equal(got.body.toString(), body);
      assert.equal(got.get('connection'), 'close');
      client.destroy();
    });
  }
  test('that ends with the connection', async (t) => {
    upgradeWith(t, (req) => req.socket.end('HTTP/1.1 401 No\r\n\r\nall of it') && '');
    const client = await Client.to(gateway.port);
    const got = await client.ask(ask());
    assert.equal(got.status, 401);
    assert.equal(got.body.toString(), 'all of it');
    client.destroy();
  });
  test('and what is no answer is a 502', async (t) => {
    for (const answer of ['', 'garbage\r\n\r\n', 'HTTP/1.1 101 X\r\nBad Field: x\r\n\r\n', 'HTTP/1.1 200 OK\r\n']) {
      upgradeWith(t, (req) => req.socket.end(answer) && '');
      const client = await Client.to(gateway.port);
      const got = await client.ask(ask());
      assert.equal(got.status, 502, JSON.stringify(answer));
      assert.equal(JSON.parse(got.body).code, 'TG602');
      client.destroy();
    }
  });
});

describe('bytes', () => {
  test('pass both ways, those sent early too', async (t) => {
    const { client, seen, far } = await open(t, { answer: `${SWITCH}first`, behind: 'early' });
    assert.equal((await client.take(5)).toString(), 'first');
    assert.equal(await takeFar(seen, 5), 'early');
    client.send('more');
    assert.equal(await takeFar(seen, 9), 'earlymore');
    far.write('down');
    assert.equal((await client.take(4)).toString(), 'down');
  });
  test('64 MiB each way, and a reader that stops holds up its own direction only', async (t) => {
    const { client, seen, far } = await open(t);
    const piece = Buffer.alloc(1 << 20, 7);
    const start = gateway.rssKib();
    let up = 0;
    seen.connection.scan = () => {
      up += seen.connection.bytes.length;
      seen.connection.bytes = Buffer.alloc(0);
    };
    // Nobody reads what comes down.
    client.socket.pause();
    let taken = 0;
    const feed = () => far.write(piece, () => {
      taken++;
      if (taken < 64) {
        feed();
      }
    });
    feed();
    for (let i = 0; i < 64; i++) {
      if (!client.socket.write(piece)) {
        await once(client.socket, 'drain');
      }
    }
    while (up < 64 * piece.length) {
      await once(far, 'data');
    }
    assert.ok(taken < 64, 'upstream was held up');
    assert.ok(gateway.rssKib() - start < 8192, `grew by ${gateway.rssKib() - start} KiB`);
    let down = 0;
    client.socket.removeAllListeners('data');
    client.socket.on('data', (data) => {
      down += data.length;
    });
    client.socket.resume();
    while (down < 64 * piece.length) {
      await once(client.socket, 'data');
    }
    assert.equal(down, 64 * piece.length);
  });
});

describe('the end', () => {
  const why = (seen) => {
    const id = seen.get('x-request-id');
    return gateway.log.take((l) => l.event === 'tunnel_end' && l.req === id, { what: 'tunnel_end' });
  };
  test('a half-close is passed on, and the other half stays', async (t) => {
    const { client, seen, far } = await open(t);
    const ended = once(far, 'end');
    seen.connection.keepsHalf = true;
    client.send('last').halfClose();
    await ended;
    assert.equal(seen.connection.bytes.toString(), 'last');
    far.end('answer');
    assert.equal((await ends(client)).toString(), 'answer');
    const line = await why(seen);
    assert.equal(line.why, 'ended');
    assert.equal(line.in, '4');
    assert.equal(line.out, '6');
  });
  test('upstream that breaks ends the client, and the other way round', async (t) => {
    const first = await open(t);
    first.far.resetAndDestroy();
    await ends(first.client);
    assert.equal((await why(first.seen)).why, 'upstream');
    const second = await open(t);
    second.client.reset();
    await second.seen.connection.closed;
    assert.equal((await why(second.seen)).why, 'client');
  });
  test('a client that leaves before the answer ends the call', async (t) => {
    upgradeWith(t, () => '');
    const client = await Client.to(gateway.port);
    client.send(ask());
    const seen = await upstream.next();
    client.destroy();
    await seen.connection.closed;
  });
  test('no log line tells the query', () => {
    assert.equal(gateway.lines().includes('secret'), false);
    assert.match(gateway.lines(), /event=tunnel_end/);
  });
});
