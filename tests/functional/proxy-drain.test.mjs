// SIGTERM while a Realtime socket is open: the tunnel ends in time, upstream is told, nothing is cut.
//
// also under tsan: a worker, the hub and the operator's port end in order.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { after, before, test } from 'node:test';
import { startGateway } from './lib/gateway.mjs';
import { Client } from './lib/http1.mjs';
import { Inbox } from './lib/inbox.mjs';

const ended = new Inbox('ended sockets');
const upstream = http.createServer((req, res) => res.end('{"keys":[]}'));
upstream.on('upgrade', (req, socket) => {
  socket.on('error', () => {});
  socket.on('end', () => {
    ended.push(req.url);
    socket.end();
  });
  socket.resume(); // an end is only told to who reads
  socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
});
before(() => once(upstream.listen(0, '127.0.0.1'), 'listening'));
after(() => {
  upstream.closeAllConnections();
  upstream.close();
});

test('open tunnels end within half of the time to drain', async () => {
  const gateway = await startGateway({
    server: { workers: 1, drain_timeout: '2s' },
    supabase: { url: `http://127.0.0.1:${upstream.address().port}`, anon_key: 'sb_publishable_x' },
  });
  const clients = [];
  for (let i = 0; i < 5; i++) {
    const client = await Client.to(gateway.port);
    client.send(
      `GET /realtime/v1/websocket?vsn=1.0.0&n=${i} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n` +
        'Upgrade: websocket\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n',
    );
    assert.equal((await client.head()).status, 101);
    clients.push(client);
  }
  const stopped = gateway.stop();
  await Promise.all(clients.map((client) => client.rest()));
  await ended.takeMany(clients.length);
  clients.forEach((client) => client.destroy());
  assert.equal(await stopped, 0);
  const drained = await gateway.log.take((line) => line.event === 'drained');
  assert.equal(drained.cut, '0');
});
