// A WebSocket that is not read from: let go with bye and 1013 once it takes bytes again, with
// nothing cut in two; its client goes on where it was.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { useLocalbase } from './lib/localbase.mjs';
import { startRedis } from './lib/redis.mjs';
import { named, placeGateway, TASKS, titles, until, Writer } from './lib/streams.mjs';
import { OP, openRaw, openSocket } from './lib/ws.mjs';

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
