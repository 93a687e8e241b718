// A WebSocket that is not read from: let go with bye and 1013 once it takes bytes again, with
// nothing cut in two; its client goes on where it was.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { SANITIZED } from './lib/gateway.mjs';
import { useLocalbase } from './lib/localbase.mjs';
import { startRedis } from './lib/redis.mjs';
import { named, placeGateway, TASKS, titles, until, Writer } from './lib/streams.mjs';
import { FIN, frame, OP, openRaw, openSocket } from './lib/ws.mjs';

const stack = useLocalbase();
const ROWS = 500;
const ROW_BYTES = 30_000;

test('a WebSocket that stops reading is closed with 1013, and misses nothing when it comes back', async (t) => {
  const redis = await startRedis(t);
  const gateway = await placeGateway(t, stack, {
    store: { url: redis.url },
    streams: { ring_events: 32, heartbeat: '1s' },
  });
  const writer = await Writer.to(stack);
  const options = { topics: TASKS, token: stack.user1.token };
  const slow = await openRaw(gateway.now.port, options);
  t.after(() => slow.kill());
  slow.socket.pause();
  const wanted = named('slow', ROWS).map((name) => `${name} ${'x'.repeat(ROW_BYTES)}`);
  for (const title of wanted) {
    await writer.tasks(title);
  }
  await gateway.log.take((l) => l.event === 'stream_end' && l.why === 'slow_consumer', { timeoutMs: 30_000 });
  slow.socket.resume();
  assert.deepEqual(await slow.takeClose(), [1013, 'slow_consumer']);
  const { data } = await slow.take('bye');
  assert.equal(data.reason, 'slow_consumer');
  assert.equal(slow.frames.items.at(-1).opcode, OP.close);
  const had = titles(slow.rows);
  assert.ok(had.length > 0 && had.length < ROWS, `${had.length}`);
  const next = await openSocket(gateway.url, { ...options, params: { cursor: slow.lastId } });
  t.after(() => next.kill());
  await until(() => had.length + next.rows.length >= ROWS, 'the rest', 60_000);
  assert.deepEqual([...had, ...titles(next.rows)], wanted);
  assert.equal(next.ofType('reset').length, 0);
});

for (const [how, reason, count, streams] of [
  ['over the rate', 'rate', 1_000, {}],
  ['within it', 'unread', 100_000, { client_messages: 10_000 }],
]) {
  test(`pings ${how} whose pongs nobody reads take no memory, and end it as ${reason}`, async (t) => {
    const gateway = await placeGateway(t, stack, { streams });
    const slow = await openRaw(gateway.now.port, { topics: TASKS, token: stack.user1.token });
    t.after(() => slow.kill());
    slow.socket.pause();
    const before = gateway.now.rssKib();
    const pings = Buffer.concat(Array(1_000).fill(frame(FIN | OP.ping, 'x'.repeat(125))));
    for (let sent = 0; sent < count; sent += 1_000) {
      if (!slow.socket.write(pings)) {
        await once(slow.socket, 'drain');
      }
    }
    slow.send('{"event":"subscribe","topic":"table:public.events"}'); // its answer has no room
    await gateway.log.take((l) => l.event === 'stream_end' && l.why === reason, { timeoutMs: 60_000 });
    const grown = gateway.now.rssKib() - before;
    assert.ok(SANITIZED || grown < 4096, `${grown} KiB more`);
    slow.socket.resume();
    assert.deepEqual(await slow.takeClose(), [1008, reason]);
    const others = slow.frames.items.filter((f) => f.opcode !== OP.pong && f.opcode !== OP.close);
    assert.deepEqual(others.map((f) => JSON.parse(f.payload).event), ['hello']);
    await until(async () => (await gateway.metric('tidegate_streams')) === 0, 'its end');
  });
}
