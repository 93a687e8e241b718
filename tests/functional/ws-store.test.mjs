// A running WebSocket that asks for topics while the store is away: it is answered, stays open, and
// has its topics when the store is back.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { useLocalbase } from './lib/localbase.mjs';
import { publish } from './lib/publisher.mjs';
import { startRedis } from './lib/redis.mjs';
import { EVENTS, placeGateway, TASKS, until, Writer } from './lib/streams.mjs';
import { openSocket } from './lib/ws.mjs';

const stack = useLocalbase();
const longer = { timeoutMs: 40_000 };
let counter = 0;

async function setUp(t) {
  const redis = await startRedis(t);
  const gateway = await placeGateway(t, stack, {
    store: { url: redis.url, timeout: '1s' },
    gateway: { lease: '2s' },
    streams: { ready_wait: '500ms' },
    topics: { notices: { public: true } },
  });
  const writer = await Writer.to(stack);
  const s = await openSocket(gateway.url, {
    topics: TASKS, token: stack.user1.token, headers: { apikey: stack.anon_key },
  });
  t.after(() => s.kill());
  const isOpen = () => assert.equal(s.end, undefined, JSON.stringify(s.end));
  /** Rows arrive on the topic again, behind what it was told of the loss. */
  const goesOn = (topic, write) => until(async () => {
    const title = `proof ${++counter}`;
    await write(title);
    isOpen();
    return s.rows.some((e) => e.data.topic === topic);
  }, `rows of ${topic}`, 40_000);
  return { redis, gateway, writer, s, isOpen, goesOn };
}

for (const [how, leave, back] of [
  ['has died', (redis) => redis.kill(), (redis) => redis.start()],
  ['hangs', (redis) => redis.freeze(), (redis) => redis.go()],
]) {
  test(`topics that are added while the store ${how} are answered, and work once it is back`, async (t) => {
    const { redis, gateway, writer, s, isOpen, goesOn } = await setUp(t);
    const { id } = s.hello;
    await leave(redis);
    // Before the gateway knows, and after.
    const early = [
      s.ask('subscribe', { topic: EVENTS }),
      s.ask('subscribe', { topic: `${TASKS}:title=neq.a`, cursor: id }),
      s.ask('subscribe', { topic: `${TASKS}:title=neq.b`, cursor: 'earliest' }),
      s.ask('subscribe', { topic: 'notices:1' }),
    ];
    await gateway.log.take((l) => l.event === 'store_down', longer);
    const late = await Promise.all([
      s.ask('subscribe', { topic: `${EVENTS}:kind=neq.c`, cursor: 'earliest' }),
      s.ask('subscribe', { topic: `${EVENTS}:kind=neq.d`, cursor: id, snapshot: true }),
      s.ask('subscribe', { topic: 'notices:2' }),
    ]);
    for (const answer of await Promise.all(early)) {
      assert.ok(answer.event === 'ok' || answer.code === 'TG603', JSON.stringify(answer));
    }
    assert.deepEqual(late.map((answer) => answer.code), Array(3).fill('TG603'));
    isOpen();
    const from = gateway.log.items.length;
    await back(redis);
    await gateway.log.take((l) => l.event === 'store_up', { ...longer, from });
    const all = [TASKS, EVENTS, `${TASKS}:title=neq.a`, `${EVENTS}:kind=neq.c`, `${EVENTS}:kind=neq.d`, 'notices:1'];
    for (const topic of all) {
      const answer = await s.ask('subscribe', { topic });
      assert.ok(answer.event === 'ok' || answer.code === 'TG490', JSON.stringify(answer));
    }
    for (const topic of all) {
      await goesOn(topic, (title) =>
        topic.startsWith('notices') ? publish(gateway.url, stack, [{ topic, payload: title }]).catch(() => {})
          : topic.startsWith(TASKS) ? writer.tasks(title) : writer.events(title));
    }
  });
}
