// What a gap hides of a declared topic's table: found and told where the topic has `catchup`, one
// reset where it has none.
// also under tsan: what is read meets what is told.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DECLARED, listen, placeDeclared, short, told, Trips } from './lib/declared.mjs';
import { useLocalbase } from './lib/localbase.mjs';
import { startRedis } from './lib/redis.mjs';
import { assertAscending, settled, until } from './lib/streams.mjs';

const stack = useLocalbase();
const longer = { timeoutMs: 40_000 };

async function setUp(t, settings = {}) {
  const redis = await startRedis(t);
  const gateway = await placeDeclared(t, stack, {
    store: { url: redis.url },
    gateway: { lease: '2s' },
    ...settings,
  });
  const trips = await Trips.to(stack);
  return { redis, gateway, trips, a: await trips.trip('a'), b: await trips.trip('b') };
}

/** Rows as they were before the gateway was away. */
async function writeBefore(trips, s, a) {
  const rows = {};
  for (const title of ['stays', 'changes', 'goes', 'moves']) {
    rows[title] = await trips.task(a, title);
  }
  await s.events.takeMany(4, (e) => e.type === 'message', longer);
  return rows;
}

async function writeMeanwhile(trips, rows, a, b) {
  await trips.rename(rows.changes, 'changed');
  await trips.remove(rows.goes);
  await trips.move(rows.moves, b);
  await trips.task(a, 'new');
  const brief = await trips.task(a, 'brief');
  await trips.remove(brief);
}

for (const how of ['stop', 'kill']) {
  test(`after a ${how} inserts, updates and deletes are repaired, without a reset`, async (t) => {
    const { gateway, trips, a, b } = await setUp(t);
    const before = await listen(t, gateway, stack, `kept-tasks:${a}`);
    assert.equal(before.hello.data.topics[0].guarantee, 'catchup');
    const rows = await writeBefore(trips, before, a);
    const cursor = before.events.items.findLast((e) => e.type === 'message').id;
    before.kill();
    await gateway[how]();
    await writeMeanwhile(trips, rows, a, b);
    await settled(stack);
    await gateway.start();
    const again = await listen(t, gateway, stack, `kept-tasks:${a}`, { lastEventId: cursor });
    assert.equal(again.hello.data.topics[0].recovered, true);
    await again.events.takeMany(4, (e) => e.type === 'message', longer);
    const wanted = [`DELETE ${rows.goes}`, `DELETE ${rows.moves} moved`, 'INSERT new', 'UPDATE changed'];
    assert.deepEqual(told(again.events.items), wanted.sort());
    assert.equal(again.rows.find((e) => e.data.old_record?.id === rows.goes).data.repaired, true);
    assert.equal(again.ofType('reset').length, 0);
    await trips.task(a, 'afterwards');
    await again.take('message', (e) => e.data.record?.title === 'afterwards', longer);
    assertAscending(again.events.items);
  });
}

test('what upstream tells late, behind its repair, leaves the rows as they are', async (t) => {
  const { gateway, trips, a, b } = await setUp(t);
  t.after(() => stack.control.part('realtime', 'reset'));
  const before = await listen(t, gateway, stack, `kept-tasks:${a}`);
  const rows = await writeBefore(trips, before, a);
  before.kill();
  await gateway.stop();
  await stack.control.part('realtime', 'pause');
  await writeMeanwhile(trips, rows, a, b);
  await gateway.start();
  const again = await listen(t, gateway, stack, `kept-tasks:${a}`, { lastEventId: before.lastId });
  await again.events.takeMany(4, (e) => e.data?.repaired === true, longer);
  await stack.control.part('realtime', 'resume');
  await trips.task(a, 'afterwards');
  await again.take('message', (e) => e.data.record?.title === 'afterwards', longer);
  const held = new Map();
  for (const { data } of [...before.rows, ...again.rows]) {
    held.set((data.record ?? data.old_record).id, data.record?.title);
  }
  const titles = [...held.values()].filter((title) => title !== undefined);
  assert.deepEqual(titles.sort(), ['afterwards', 'changed', 'new', 'stays']);
  assert.ok(short(again.events.items).includes('INSERT brief'), 'it was told late');
  assert.equal(again.ofType('reset').length, 0);
  assertAscending(again.events.items);
});

test('without catchup a restart is exactly one reset', async (t) => {
  const { gateway, trips, a } = await setUp(t);
  const before = await listen(t, gateway, stack, `trip-tasks:${a}`);
  await trips.task(a, 'one');
  const { id } = await before.take('message');
  before.kill();
  await gateway.stop();
  await trips.task(a, 'unseen');
  await settled(stack);
  await gateway.start();
  const again = await listen(t, gateway, stack, `trip-tasks:${a}`, { lastEventId: id });
  await again.take('reset', (e) => e.data.reason === 'gap', longer);
  await trips.task(a, 'two');
  await again.take('message', (e) => e.data.record.title === 'two', longer);
  assert.equal(again.ofType('reset').length, 1);
});

test('a row that moves between a client\'s read and the gateway\'s', async (t) => {
  const { gateway, trips, a, b } = await setUp(t);
  t.after(() => stack.control.clearFaults());
  t.after(() => stack.control.part('realtime', 'reset'));
  const s = await listen(t, gateway, stack, `trip-tasks:${a}`);
  const moves = await trips.task(a, 'moves');
  await s.take('message');
  const tables = Object.values(DECLARED.topics).filter(({ table }) => table === 'public.tasks').length;
  const fault = await stack.control.fault({ method: 'GET', path: '/rest/v1/tasks', hold: true, count: tables });
  // Whenever a client is told to, it reads.
  let held = [];
  const reset = s.take('reset', undefined, longer).then(async () => {
    held = (await trips.query('select id from public.tasks where trip_id = $1', [a])).rows.map(({ id }) => id);
  });
  await stack.control.part('realtime', 'drop');
  await stack.control.held(fault, tables);
  const fills = await gateway.metric('tidegate_fills_total');
  await stack.control.part('realtime', 'pause'); /* upstream tells of it behind the read */
  await trips.move(moves, b);
  await stack.control.release(fault);
  await until(async () => (await gateway.metric('tidegate_fills_total')) >= fills + tables, 'the reads');
  await stack.control.part('realtime', 'resume');
  await reset;
  await trips.task(a, 'afterwards');
  await s.take('message', (e) => e.data.record?.title === 'afterwards', longer);
  const isTold = s.rows.some((e) => e.data.type === 'DELETE' && e.data.old_record.id === moves);
  assert.ok(isTold || !held.includes(moves), 'the client has a row that is not in its topic any more');
});

test('a socket that was cut is repaired, and the client is told of it', async (t) => {
  const { gateway, trips, a } = await setUp(t);
  const s = await listen(t, gateway, stack, `kept-tasks:${a}`);
  const id = await trips.task(a, 'one');
  await s.take('message');
  await stack.control.part('realtime', 'hold-subscribed', { hold: true });
  t.after(() => stack.control.part('realtime', 'reset'));
  await stack.control.part('realtime', 'drop');
  await s.take('status', (e) => e.data.state === 'offline', longer);
  await trips.rename(id, 'two');
  await trips.task(a, 'three');
  await stack.control.part('realtime', 'hold-subscribed', { hold: false });
  await s.take('status', (e) => e.data.state === 'ready', longer);
  await s.take('message', (e) => e.data.record?.title === 'two', longer);
  await s.take('message', (e) => e.data.record?.title === 'three', longer);
  assert.equal(s.ofType('reset').length, 0);
});

test('changes that were dropped without a sign are found by comparing', async (t) => {
  const { gateway, trips, a } = await setUp(t, { index: { verify: '2s' } });
  const s = await listen(t, gateway, stack, `kept-tasks:${a}`);
  const id = await trips.task(a, 'one');
  await s.take('message');
  await stack.control.part('realtime', 'drop-changes', { count: 1000 });
  await trips.rename(id, 'lost');
  await until(async () => {
    const { faults } = await stack.control.part('realtime', 'state');
    return faults.dropChanges < 1000;
  }, 'a dropped change');
  await stack.control.part('realtime', 'drop-changes', { count: 0 });
  const event = await s.take('message', (e) => e.data.record?.title === 'lost', longer);
  assert.equal(event.data.repaired, true);
  assert.equal(s.ofType('reset').length, 0);
});

test('a row is the same from upstream and from the table, whatever its types', async (t) => {
  const columns = ['id', 'label', 'big', 'exact', 'approx', 'small', 'flag', 'doc', 'raw', 'tags', 'numbers', 'at', 'day', 'span'];
  const { gateway, trips } = await setUp(t, {
    topics: { kept: { table: 'public.type_samples', key: 'label', columns, catchup: 'at', public: true } },
    index: { verify: '1s' },
  });
  const label = `types ${process.pid}`.replace(' ', '-');
  const s = await listen(t, gateway, stack, `kept:${label}`);
  await trips.query(
    `insert into public.type_samples
       (label, big, exact, approx, small, flag, doc, raw, tags, numbers, at, day, span)
     values ($1, 9007199254740993, 1.10, 1e-7, -3, true, '{"b": [1.0, {"a": "\\u00fc\\n"}], "a": null}',
       '\\xdeadbeef', '{"x y","ü\\"",null}', '{9007199254740993}', '2026-01-02 03:04:05.678901+02',
       '2026-02-28', '1 day 02:03:04.5')`,
    [label],
  );
  await s.take('message');
  const before = await gateway.metric('tidegate_verifies_total');
  await until(async () => (await gateway.metric('tidegate_verifies_total')) >= before + 2, 'a comparison');
  assert.equal(await gateway.metric('tidegate_verify_differences_total'), 0);
  await trips.query('delete from public.type_samples where label = $1', [label]);
});

test('a gateway that takes over repairs what nobody covered', async (t) => {
  const redis = await startRedis(t);
  const settings = {
    store: { url: redis.url },
    gateway: { lease: '2s', group_size: 2, secret: 'x'.repeat(32) },
  };
  const first = await placeDeclared(t, stack, settings);
  const trips = await Trips.to(stack);
  const a = await trips.trip('a');
  const before = await listen(t, first, stack, `kept-tasks:${a}`);
  const second = await placeDeclared(t, stack, settings);
  const s = await listen(t, second, stack, `kept-tasks:${a}`);
  const id = await trips.task(a, 'one');
  await before.take('message', () => true, longer);
  await s.take('message', () => true, longer);
  await first.kill();
  await trips.rename(id, 'two');
  await trips.task(a, 'three');
  await s.take('message', (e) => e.data.record?.title === 'two', longer);
  await s.take('message', (e) => e.data.record?.title === 'three', longer);
  await trips.remove(id);
  await s.take('message', (e) => e.data.type === 'DELETE', longer);
  assert.equal(s.ofType('reset').length, 0);
  assertAscending(s.events.items);
});
