// An upstream behind TLS, over HTTP/1.1 and, when asked for, HTTP/2; certificates that are checked;
// and Realtime's socket through it.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import http2 from 'node:http2';
import { after, before, describe, test } from 'node:test';
import { useGateway } from './lib/gateway.mjs';
import { Client } from './lib/http1.mjs';
import { Inbox } from './lib/inbox.mjs';
import { cert, certFile, key } from './lib/tls.mjs';

const ca = certFile();
const sockets = new Set();
const requests = new Inbox('upstream');
const sum = (bytes) => createHash('sha256').update(bytes).digest('hex');
const large = Buffer.alloc(2_000_000, 'behind TLS ');

const upstream = http2.createSecureServer({ key, cert, allowHTTP1: true });
upstream.on('request', (req, res) => {
  const pieces = [];
  req.on('data', (bytes) => pieces.push(bytes));
  req.on('end', () => {
    const { method, url, headers, httpVersion } = req;
    if (!url.endsWith('/jwks.json')) {
      requests.push({ method, url, headers, httpVersion, hash: sum(Buffer.concat(pieces)) });
    }
    res.setHeader('x-a', '1');
    res.end(url.endsWith('large') ? large : '{"keys":[]}');
  });
});
upstream.on('upgrade', (req, socket) => {
  requests.push({ url: req.url, headers: req.headers });
  socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
  socket.pipe(socket);
});
upstream.on('secureConnection', (socket) => {
  sockets.add(socket);
  socket.on('error', () => {}); // a gateway that does not trust us
  socket.on('close', () => sockets.delete(socket));
});
const listening = once(upstream.listen(0, '127.0.0.1'), 'listening');

before(() => listening);
after(() => {
  sockets.forEach((socket) => socket.destroy());
  upstream.close();
  ca.remove();
});

const settings = async (host, supabase = {}, more = {}) => {
  await listening;
  return {
    server: { workers: 1 },
    supabase: {
      url: `https://${host}:${upstream.address().port}`,
      anon_key: 'sb_publishable_x',
      ...supabase,
    },
    ...more,
  };
};

for (const [name, http2On, version] of [
  ['HTTP/1.1', false, '1.1'],
  ['HTTP/2', true, '2.0'],
]) {
  describe(`over ${name}`, () => {
    const gateway = useGateway(() =>
      settings('localhost', { ca_file: ca.file }, { upstream: { http2: http2On } }),
    );

    async function pass(path, init) {
      const from = requests.size;
      const answer = await fetch(gateway.url + path, init);
      assert.equal(answer.status, 200);
      assert.equal(answer.headers.get('x-a'), '1');
      const body = Buffer.from(await answer.arrayBuffer());
      const seen = await requests.take(() => true, { from });
      assert.equal(seen.httpVersion, version);
      assert.equal(seen.headers.apikey, 'sb_publishable_x');
      const authority = seen.headers[':authority'] ?? seen.headers.host;
      assert.equal(authority, `localhost:${upstream.address().port}`);
      return { seen, body };
    }

    test('requests pass', async () => {
      const { seen } = await pass('/rest/v1/t?a=gt.1&b=%2B', { method: 'DELETE' });
      assert.equal(seen.method, 'DELETE');
      assert.equal(seen.url, '/rest/v1/t?a=gt.1&b=%2B');
    });

    test('large bodies pass both ways', async () => {
      const { seen, body } = await pass('/storage/v1/large', { method: 'POST', body: large });
      assert.equal(seen.hash, sum(large));
      assert.equal(sum(body), sum(large));
    });

    test('a body of unknown length passes', async () => {
      const body = new Blob(['some', ' bytes']).stream();
      const { seen } = await pass('/functions/v1/f', { method: 'POST', body, duplex: 'half' });
      assert.equal(seen.hash, sum('some bytes'));
    });

    test("Realtime's socket is a tunnel", async () => {
      const from = requests.size;
      const client = await Client.to(gateway.port);
      client.send(
        'GET /realtime/v1/websocket?vsn=1.0.0&apikey=k HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n' +
          'Upgrade: websocket\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n',
      );
      assert.equal((await client.head()).status, 101);
      const seen = await requests.take(() => true, { from });
      assert.equal(seen.url, '/realtime/v1/websocket?vsn=1.0.0&apikey=k');
      client.send(large);
      assert.equal(sum(await client.take(large.length)), sum(large));
      client.destroy();
    });
  });
}

async function isRefused(gateway) {
  const from = requests.size;
  const answer = await fetch(`${gateway.url}/rest/v1/t`);
  assert.equal(answer.status, 502);
  assert.equal((await answer.json()).code, 'TG602');
  assert.equal(requests.size, from);
}

describe('a certificate that nobody vouches for', () => {
  const gateway = useGateway(() => settings('localhost'));
  test('is not spoken to', () => isRefused(gateway));
});

describe('a certificate for another name', () => {
  const gateway = useGateway(() => settings('127.0.0.1', { ca_file: ca.file }));
  test('is not spoken to', () => isRefused(gateway));
});
