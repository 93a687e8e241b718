// 1 GiB up and 1 GiB down at once, beside three clients that read a byte a second: what waits
// for a slow side waits there, not in the gateway.
// not under sanitizers: measures resident memory
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { useGateway } from './lib/gateway.mjs';

const GIB = 1 << 30;
const PIECE = Buffer.alloc(1 << 16, 'one piece of a large body; ');
const MAX_GROWTH_KIB = 32 * 1024;
const SLOW_CLIENTS = 3;

/** Writes `total` bytes with back-pressure; `onPiece` is told after each. */
async function pour(stream, total, onPiece = () => {}) {
  for (let at = 0; at < total; at += PIECE.length) {
    if (!stream.write(PIECE)) {
      await once(stream, 'drain');
    }
    onPiece();
  }
  stream.end();
}

async function digest(stream) {
  const sum = createHash('sha256');
  let length = 0;
  for await (const bytes of stream) {
    sum.update(bytes);
    length += bytes.length;
  }
  return { length, sha256: sum.digest('hex') };
}

const expected = (() => {
  const sum = createHash('sha256');
  for (let at = 0; at < GIB; at += PIECE.length) {
    sum.update(PIECE);
  }
  return { length: GIB, sha256: sum.digest('hex') };
})();

const open = new Set();
const upstream = http.createServer(async (req, res) => {
  if (req.method === 'POST') {
    const got = await digest(req);
    res.setHeader('content-type', 'application/json').end(JSON.stringify(got));
  } else {
    res.writeHead(200, { 'content-length': GIB });
    // A slow client leaves before its end.
    pour(res, GIB).catch(() => {});
    res.on('error', () => {});
  }
});
upstream.on('connection', (socket) => {
  open.add(socket);
  socket.on('close', () => open.delete(socket));
});
const listening = once(upstream.listen(0, '127.0.0.1'), 'listening');

before(() => listening);
after(() => {
  open.forEach((socket) => socket.destroy());
  upstream.close();
});
const gateway = useGateway(async () => {
  await listening;
  return {
    server: { workers: 1 },
    timeouts: { send_idle: '5m' },
    upstream: { idle_timeout: '5m' },
    supabase: { url: `http://127.0.0.1:${upstream.address().port}`, anon_key: 'sb_publishable_x' },
  };
});

async function request(method, headers = {}) {
  const req = http.request(`${gateway.url}/storage/v1/object/b/large`, { method, headers });
  return { req, answer: once(req, 'response').then(([res]) => res) };
}

/** Has begun to receive a large body, and takes one byte of it a second. */
async function slowClient() {
  const socket = net.connect({ port: gateway.port, host: '127.0.0.1', highWaterMark: 1 });
  socket.write('GET /storage/v1/object/b/large HTTP/1.1\r\nHost: a\r\n\r\n');
  await once(socket, 'readable');
  assert.match(socket.read(15).toString(), /^HTTP\/1.1 200 OK/);
  const timer = setInterval(() => socket.read(1), 1000);
  return () => {
    clearInterval(timer);
    socket.destroy();
  };
}

test('large bodies both ways and slow readers cost a bounded amount of memory', async () => {
  const small = await request('POST');
  small.req.end('x');
  assert.equal((await digest(await small.answer)).length > 0, true);
  const before_ = gateway.rssKib();
  let most = before_;
  const look = () => {
    most = Math.max(most, gateway.rssKib());
  };

  const slow = await Promise.all(Array.from({ length: SLOW_CLIENTS }, slowClient));
  const up = await request('POST', { 'content-length': GIB });
  const down = await request('GET');
  let pieces = 0;
  const poured = pour(up.req, GIB, () => ++pieces % 64 === 0 && look());
  down.req.end();
  const got = await digest(await down.answer);
  await poured;
  const stored = await digest(await up.answer);
  look();
  slow.forEach((leave) => leave());

  assert.deepEqual(got, expected, 'down');
  const want = JSON.stringify(expected);
  assert.equal(stored.sha256, createHash('sha256').update(want).digest('hex'), 'up');
  const growth = most - before_;
  assert.ok(growth < MAX_GROWTH_KIB, `resident memory grew by ${growth} KiB`);
});
