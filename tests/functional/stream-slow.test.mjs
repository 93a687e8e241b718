// Readers that do not read: they are let go, with bounded memory, and nobody else notices.
// not under sanitizers: it measures memory
import assert from 'node:assert/strict';
import net from 'node:net';
import { once } from 'node:events';
import { test } from 'node:test';
import { useLocalbase } from './lib/localbase.mjs';
import { startRedis } from './lib/redis.mjs';
import { openStream, SseParser, streamPath } from './lib/sse.mjs';
import { named, placeGateway, TASKS, until, Writer } from './lib/streams.mjs';

const stack = useLocalbase();
const READERS = 20;
const ROWS = 600;
const ROW_BYTES = 30_000;

/** A stream whose socket is never read from, once its head has come. */
async function openUnread(gateway) {
  const { hostname, port } = new URL(gateway.url);
  const socket = net.connect({ host: hostname, port: Number(port) });
  socket.on('error', () => {});
  await once(socket, 'connect');
  socket.write(
    `GET ${streamPath(TASKS)} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${stack.user1.token}\r\n\r\n`,
  );
  const [head] = await once(socket, 'data');
  assert.match(head.toString(), /^HTTP\/1\.1 200 /);
  socket.pause();
  return socket;
}

/** Reads a socket to its end: the events that it held, whole ones. */
async function drain(socket) {
  const events = [];
  const parser = new SseParser((event) => events.push(event));
  socket.setEncoding('utf8');
  socket.on('data', (text) => parser.push(text));
  const closed = once(socket, 'close');
  socket.resume();
  await closed;
  return { events, lastId: parser.lastId };
}

test('a reader that stops reading is let go, and misses nothing when it comes back', async (t) => {
  const redis = await startRedis(t); // keeps the log out of the memory that is measured
  const gateway = await placeGateway(t, stack, {
    store: { url: redis.url },
    streams: { ring_events: 32, heartbeat: '1s', per_user: 100, per_address: 100 },
  });
  const writer = await Writer.to(stack);
  const live = await openStream(gateway.url, { topics: TASKS, token: stack.user1.token });
  t.after(() => live.kill());
  await live.take('hello');
  const unread = [];
  t.after(() => unread.forEach((socket) => socket.destroy()));
  for (let i = 0; i < READERS; i++) {
    unread.push(await openUnread(gateway));
  }
  const before = gateway.rssKib();
  const wanted = named('slow', ROWS).map((name) => `${name} ${'x'.repeat(ROW_BYTES)}`);
  let most = before;
  for (const title of wanted) {
    await writer.tasks(title);
    await live.take('message', (e) => e.data.record.title === title);
    live.events.items.length = 0; // what was seen need not be kept
    most = Math.max(most, gateway.rssKib());
  }
  await until(
    async () => (await gateway.metric('tidegate_slow_consumers_total')) >= READERS,
    'the end of all slow readers',
    60_000,
  );
  assert.ok(!live.isEnded, 'who reads is not let go');
  const grown = most - before;
  assert.ok(grown < 32 * 1024, `grew by ${grown} KiB`);
  // Whoever was let go comes back with what it had.
  const { lastId, events } = await drain(unread[0]);
  const had = events.filter((e) => e.type === 'message').length;
  assert.ok(had < ROWS);
  const resumed = await openStream(gateway.url, {
    topics: TASKS,
    token: stack.user1.token,
    lastEventId: lastId === '' ? undefined : lastId,
  });
  t.after(() => resumed.kill());
  const rest = await resumed.events.takeMany(ROWS - had, (e) => e.type === 'message', {
    timeoutMs: 60_000,
  });
  assert.deepEqual(
    rest.map((e) => e.data.record.title),
    wanted.slice(had),
  );
  assert.equal(resumed.ofType('reset').length, 0);
});
