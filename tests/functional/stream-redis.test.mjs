// What the shared store does to a stream: it is emptied, goes back in time, dies, hangs. Streams
// say so and go on; the proxy does not notice.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { useLocalbase } from './lib/localbase.mjs';
import { startRedis } from './lib/redis.mjs';
import { openStream } from './lib/sse.mjs';
import { named, placeGateway, TASKS, titles, until, Writer } from './lib/streams.mjs';

const stack = useLocalbase();
let counter = 0;

async function setUp(t, settings = {}) {
  const redis = await startRedis(t);
  const gateway = await placeGateway(t, stack, {
    store: { url: redis.url, timeout: '1s' },
    gateway: { lease: '2s' },
    ...settings,
  });
  const open = async (more = {}) => {
    const s = await openStream(gateway.url, { topics: TASKS, token: stack.user1.token, ...more });
    t.after(() => s.kill());
    s.hello = await s.take('hello');
    return s;
  };
  const writer = await Writer.to(stack);
  const stream = await open();
  const proven = async (s = stream) => {
    const title = `proof ${++counter}`;
    await writer.tasks(title);
    return s.take('message', (e) => e.data.record.title === title, { timeoutMs: 20_000 });
  };
  return { redis, gateway, open, writer, stream, proven };
}

const longer = { timeoutMs: 40_000 };
const isProof = (e) => e.type === 'message';

/** Writes rows until one of them arrives behind the newest reset of the stream. */
async function goesOn({ writer, stream }) {
  await until(async () => {
    const title = `proof ${++counter}`;
    await writer.tasks(title);
    const at = stream.events.items.findLastIndex((e) => e.type === 'reset');
    return stream.events.items.slice(at + 1).some(isProof);
  }, 'a row behind the reset', 40_000);
}

/** The proxy answers as ever. */
async function proxyWorks(gateway) {
  const began = Date.now();
  const response = await fetch(`${gateway.url}/rest/v1/tasks?limit=1`, {
    headers: { apikey: stack.anon_key, authorization: `Bearer ${stack.user1.token}` },
  });
  await response.arrayBuffer();
  assert.equal(response.status, 200);
  assert.ok(Date.now() - began < 1000);
}

describe('Redis that is emptied', () => {
  test('is a new epoch: streams are reset and go on', async (t) => {
    const all = await setUp(t);
    const { redis, stream, proven, open } = all;
    const before = (await proven()).id;
    await redis.command('FLUSHALL');
    const reset = await stream.take('reset', (e) => e.data.reason === 'epoch', longer);
    assert.notEqual(reset.id.split('.')[0], before.split('.')[0]);
    await goesOn(all);
    const resumed = await open({ lastEventId: before });
    assert.equal(resumed.hello.data.topics[0].reason, 'epoch');
    assert.equal((await resumed.take('reset')).data.reason, 'epoch');
  });

  test('while rows are written shows none twice', async (t) => {
    const all = await setUp(t);
    const { redis, writer, stream } = all;
    await writer.tasks(named('flood', 100));
    await redis.command('FLUSHALL');
    await writer.tasks(named('flood-after', 100));
    await stream.take('reset', () => true, longer);
    await goesOn(all);
    const got = titles(stream.rows);
    assert.equal(new Set(got).size, got.length);
  });
});

describe('Redis that comes back with an old snapshot', () => {
  test('makes a reset: what it forgot is not passed over', async (t) => {
    const all = await setUp(t);
    const { redis, stream, proven, open, gateway } = all;
    await proven();
    await redis.save();
    await proven();
    const forgotten = stream.lastId;
    await redis.kill();
    await gateway.log.take((l) => l.event === 'store_down', longer);
    await proxyWorks(gateway);
    await redis.start();
    await stream.take('reset', () => true, longer);
    await goesOn(all);
    const resumed = await open({ lastEventId: forgotten });
    await resumed.take('reset', () => true, longer);
    assert.equal(resumed.hello.data.topics[0].recovered, false);
  });
});

describe('Redis that dies', () => {
  test('and returns whole makes a reset; the proxy works throughout', async (t) => {
    const all = await setUp(t);
    const { redis, stream, proven, gateway, writer } = all;
    await proven();
    await redis.save();
    await redis.kill();
    await gateway.log.take((l) => l.event === 'store_down', longer);
    const status = await stream.take('status', () => true, longer);
    assert.deepEqual(status.data, { topic: TASKS, state: 'offline' });
    await proxyWorks(gateway);
    await writer.tasks('lost');
    await redis.start();
    await stream.take('reset', () => true, longer);
    await goesOn(all);
    assert.ok(!stream.isEnded);
  });

  test('makes new streams wait, then say 503', async (t) => {
    const { redis, gateway, open } = await setUp(t, { streams: { ready_wait: '1s' } });
    await redis.save();
    await redis.kill();
    await gateway.log.take((l) => l.event === 'store_down', longer);
    const refused = await open({ topics: 'table:public.events' }).catch((error) => error);
    assert.equal(refused.status, 503);
    assert.ok(refused.headers['retry-after']);
    assert.match(refused.json.code, /^TG/);
    await redis.start();
    await until(() => open({ topics: 'table:public.events' }).catch(() => null), 'a stream', 40_000);
  });

  test('and stays dead does not keep the gateway from ending in time', async (t) => {
    const { redis, gateway, stream } = await setUp(t, { server: { drain_timeout: '3s' } });
    await redis.kill();
    const began = Date.now();
    await gateway.stop();
    assert.ok(Date.now() - began < 5000);
    await stream.ended;
  });
});

describe('Redis that hangs', () => {
  test('is taken for dead, and told when it goes on', async (t) => {
    const all = await setUp(t);
    const { redis, stream, proven, gateway, writer } = all;
    await proven();
    redis.freeze();
    try {
      await writer.tasks('into the void');
      await gateway.log.take((l) => l.event === 'store_down', longer);
      await proxyWorks(gateway);
    } finally {
      redis.go();
    }
    await stream.take('reset', () => true, longer);
    await goesOn(all);
    const got = titles(stream.rows);
    assert.equal(new Set(got).size, got.length);
  });
});

describe('two gateways on one Redis', () => {
  test('share a topic: both deliver all, and one takes over when the other dies', async (t) => {
    const { redis, open, writer, stream } = await setUp(t, {});
    const group = { gateway: { lease: '2s', group_size: 2, secret: 's'.repeat(32) }, store: { url: redis.url } };
    const other = await placeGateway(t, stack, group);
    const there = await openStream(other.url, { topics: TASKS, token: stack.user1.token });
    t.after(() => there.kill());
    await there.take('hello');
    await writer.tasks(named('shared', 50));
    const here = await stream.events.takeMany(50, (e) => e.type === 'message');
    const away = await there.events.takeMany(50, (e) => e.type === 'message');
    assert.deepEqual(away.map((e) => e.id), here.map((e) => e.id));
    // A cursor of one is good at the other.
    const moved = await open({ lastEventId: away[24].id });
    const rest = await moved.events.takeMany(25, (e) => e.type === 'message');
    assert.deepEqual(titles(rest), named('shared', 50).slice(25));
  });

  test('when the holder is killed, the other says reset and goes on', async (t) => {
    const redis = await startRedis(t);
    const group = { gateway: { lease: '2s', group_size: 2, secret: 's'.repeat(32) }, store: { url: redis.url } };
    const holder = await placeGateway(t, stack, group);
    const first = await openStream(holder.url, { topics: TASKS, token: stack.user1.token });
    await first.take('hello');
    const heir = await placeGateway(t, stack, group);
    const stream = await openStream(heir.url, { topics: TASKS, token: stack.user1.token });
    t.after(() => stream.kill());
    await stream.take('hello');
    const writer = await Writer.to(stack);
    await writer.tasks('before');
    await stream.take('message');
    await holder.kill();
    await stream.take('reset', () => true, longer);
    await goesOn({ writer, stream });
  });
});
