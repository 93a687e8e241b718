// What a gap hides of a strict topic whose table has `catchup`: read as the user, found and told, of
// rows that the user may see and of no others.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, beforeEach, test } from 'node:test';
import { told, Trips } from './lib/declared.mjs';
import { useLocalbase } from './lib/localbase.mjs';
import { startRedis } from './lib/redis.mjs';
import { openStream } from './lib/sse.mjs';
import { assertAscending, placeGateway, settled, TASKS, until } from './lib/streams.mjs';

const stack = useLocalbase();
const longer = { timeoutMs: 40_000 };
const KEPT = { tables: { 'public.tasks': { catchup: 'updated_at' } } };
let trips;

before(async () => {
  await stack.ready;
  trips = await Trips.to(stack);
});
after(() => trips?.writer.client.end());
beforeEach(() => stack.control.clearFaults());

const admit = (trip, { id }) =>
  trips.query('insert into public.trip_members (trip_id, user_id) values ($1, $2)', [trip, id]);
const expel = (trip, { id }) =>
  trips.query('delete from public.trip_members where trip_id = $1 and user_id = $2', [trip, id]);

/** A new trip that these users, and no others, are members of. */
async function tripOf(...users) {
  const trip = await trips.trip();
  await trips.query('delete from public.trip_members where trip_id = $1', [trip]);
  for (const user of users) {
    await admit(trip, user);
  }
  return trip;
}

async function follow(t, place, more = {}) {
  const s = await openStream(place.url, { topics: TASKS, token: stack.user1.token, ...more });
  t.after(() => s.kill());
  s.hello = (await s.take('hello', undefined, longer)).data;
  [s.topic] = s.hello.topics;
  return s;
}

const saw = (s, title) => s.take('message', (e) => e.data.record?.title === title, longer);

/** Rows of the user's own trip and of one that is not, and a reader who has seen the former. */
async function setUp(t, settings = {}) {
  const redis = await startRedis(t);
  const place = await placeGateway(t, stack, { ...KEPT, store: { url: redis.url }, gateway: { lease: '2s' }, ...settings });
  const mine = await tripOf(stack.user1);
  const foreign = await tripOf(stack.user2);
  const hidden = [await trips.task(foreign, 'hidden'), await trips.task(foreign, 'hidden, too')];
  const s = await follow(t, place);
  assert.equal(s.topic.guarantee, 'catchup');
  assert.deepEqual(s.hello.uncovered, []);
  const rows = {};
  for (const title of ['stays', 'changes', 'goes']) {
    rows[title] = await trips.task(mine, title);
  }
  await saw(s, 'goes');
  return { redis, place, mine, foreign, hidden, rows, s };
}

/** Everything that a gateway can miss; what the user is to be told of it, in any order. */
async function writeMeanwhile({ mine, foreign, hidden, rows }) {
  await trips.rename(rows.changes, 'changed');
  await trips.remove(rows.goes);
  await trips.task(mine, 'new');
  await trips.remove(await trips.task(mine, 'brief'));
  await trips.rename(hidden[0], 'still hidden');
  await trips.remove(hidden[1]);
  hidden.push(await trips.task(foreign, 'hidden and new'));
  await settled(stack);
  return [`DELETE ${rows.goes}`, 'INSERT new', 'UPDATE changed'];
}

function assertHidden(s, { hidden }) {
  assert.ok(!hidden.some((row) => JSON.stringify(s.events.items).includes(row)), 'no foreign key');
}

for (const how of ['stop', 'kill']) {
  test(`after a ${how} of the gateway a class is told what it missed, without a reset`, async (t) => {
    const world = await setUp(t);
    const { place, s } = world;
    s.kill();
    await place[how]();
    const wanted = await writeMeanwhile(world);
    await place.start();
    const again = await follow(t, place, { lastEventId: s.lastId });
    assert.equal(again.topic.recovered, true);
    assert.equal(again.topic.guarantee, 'catchup');
    await trips.task(world.mine, 'the last');
    await saw(again, 'the last');
    assert.deepEqual(told(again.events.items), [...wanted, 'INSERT the last'].sort());
    assert.equal(again.rows.find((e) => e.data.old_record?.id === world.rows.goes).data.repaired, true);
    assert.equal(again.ofType('reset').length, 0);
    assertAscending(again.events.items);
    assertHidden(again, world);
  });
}

test('a socket that was cut is repaired while the client stays', async (t) => {
  const world = await setUp(t);
  const { s } = world;
  await stack.control.part('realtime', 'hold-subscribed', { hold: true });
  t.after(() => stack.control.part('realtime', 'reset'));
  await stack.control.part('realtime', 'drop');
  await s.take('status', (e) => e.data.state === 'offline', longer);
  const before = s.events.items.length;
  const wanted = await writeMeanwhile(world);
  await stack.control.part('realtime', 'hold-subscribed', { hold: false });
  await trips.task(world.mine, 'the last');
  await saw(s, 'the last');
  assert.deepEqual(told(s.events.items.slice(before)), [...wanted, 'INSERT the last'].sort());
  assert.equal(s.ofType('reset').length, 0);
  assertHidden(s, world);
});

test('policies that changed meanwhile: rows that came into sight, and those that left it', async (t) => {
  const world = await setUp(t);
  const { place, s, mine, foreign, hidden, rows } = world;
  s.kill();
  await place.stop();
  await expel(mine, stack.user1);
  await admit(foreign, stack.user1);
  await settled(stack);
  await place.start();
  const again = await follow(t, place, { lastEventId: s.lastId });
  await trips.task(foreign, 'the last');
  await saw(again, 'the last');
  assert.deepEqual(told(again.events.items), [
    ...Object.values(rows).map((id) => `DELETE ${id}`),
    'INSERT hidden', 'INSERT hidden, too', 'INSERT the last',
  ].sort());
  await trips.remove(hidden[0]);
  await again.take('message', (e) => e.data.old_record?.id === hidden[0]);
});

test('changes that were dropped without a sign are found by comparing', async (t) => {
  const world = await setUp(t, { index: { verify: '2s' } });
  await stack.control.part('realtime', 'drop-changes', { count: 1000 });
  t.after(() => stack.control.part('realtime', 'reset'));
  await trips.rename(world.rows.changes, 'lost');
  await until(async () => {
    const { faults } = await stack.control.part('realtime', 'state');
    return faults.dropChanges < 1000;
  }, 'a dropped change');
  await stack.control.part('realtime', 'drop-changes', { count: 0 });
  assert.equal((await saw(world.s, 'lost')).data.repaired, true);
  assert.equal(world.s.ofType('reset').length, 0);
});

test('while the table cannot be read there is a reset, and changes come all the same', async (t) => {
  const world = await setUp(t);
  const { place, s } = world;
  s.kill();
  await place.stop();
  await writeMeanwhile(world);
  await stack.control.fault({ method: 'GET', path: '/rest/v1/tasks', status: 503, count: 3 });
  await place.start();
  const again = await follow(t, place, { lastEventId: s.lastId });
  await again.take('reset', (e) => e.data.reason === 'gap', longer);
  await trips.task(world.mine, 'read at last');
  await saw(again, 'read at last');
  await until(async () => (await place.metric('tidegate_fills_total')) > 0, 'a read');
  await trips.remove(world.rows.stays);
  await again.take('message', (e) => e.data.old_record?.id === world.rows.stays, longer);
  assertHidden(again, world);
});

test('a row that came without all its columns is read again, as the user', async (t) => {
  const place = await placeGateway(t, stack, KEPT);
  const title = randomBytes(20_000).toString('hex');
  const row = await trips.task(await tripOf(stack.user1), title);
  const s = await follow(t, place);
  await trips.done(row, true);
  const { data } = await s.take('message', (e) => e.data.type === 'UPDATE', longer);
  assert.deepEqual([data.record.title, data.record.done, data.partial], [title, true, undefined]);
  assert.ok((await place.metric('tidegate_rows_read_again_total')) > 0);
});

test('more rows than strict.index_rows: as without catchup', async (t) => {
  const place = await placeGateway(t, stack, { ...KEPT, strict: { index_rows: 2 }, streams: { reset_spread: '0' } });
  const mine = await tripOf(stack.user1);
  for (const title of ['a', 'b', 'c']) {
    await trips.task(mine, title);
  }
  const s = await follow(t, place);
  assert.deepEqual([s.topic.guarantee, s.topic.deletes], ['live', 'partial']);
  assert.equal(s.hello.uncovered.length, 1);
  const row = await trips.task(mine, 'd');
  await saw(s, 'd');
  await trips.remove(row);
  await s.take('reset', (e) => e.data.reason === 'gap', longer);
});

test('a gateway that takes over repairs what nobody covered', async (t) => {
  const group = { gateway: { lease: '2s', group_size: 2, secret: 'x'.repeat(32) } };
  const world = await setUp(t, group);
  const { place, s, mine, rows } = world;
  const settings = { ...KEPT, ...group, store: { url: world.redis.url } };
  const second = await placeGateway(t, stack, settings);
  const other = await follow(t, second);
  await trips.task(mine, 'by both');
  await Promise.all([saw(s, 'by both'), saw(other, 'by both')]);
  s.kill();
  await place.kill();
  const wanted = await writeMeanwhile(world);
  await trips.task(mine, 'the last');
  await saw(other, 'the last');
  await until(() => told(other.events.items).length === wanted.length + 2, 'all of it', 40_000);
  assert.deepEqual(told(other.events.items), [...wanted, 'INSERT by both', 'INSERT the last'].sort());
  assert.equal(other.ofType('reset').length, 0);
  await trips.remove(rows.stays);
  await other.take('message', (e) => e.data.old_record?.id === rows.stays, longer);
  assertHidden(other, world);
});

test('rows of a composite primary key', async (t) => {
  const redis = await startRedis(t);
  const tables = { 'public.trip_members': { primary_key: ['trip_id', 'user_id'], catchup: 'created_at' } };
  const place = await placeGateway(t, stack, { tables, store: { url: redis.url } });
  const mine = await tripOf(stack.user1);
  const topics = 'table:public.trip_members';
  const s = await follow(t, place, { topics });
  const change = (type, id) => (e) => e.data.type === type && (e.data.record ?? e.data.old_record).user_id === id;
  await admit(mine, stack.user2);
  await s.take('message', change('INSERT', stack.user2.id));
  s.kill();
  await place.stop();
  await expel(mine, stack.user2);
  const trip = await tripOf(stack.user1);
  await admit(trip, stack.user2);
  await place.start();
  const again = await follow(t, place, { topics, lastEventId: s.lastId });
  const { data } = await again.take('message', change('DELETE', stack.user2.id), longer);
  assert.deepEqual(data.old_record, { trip_id: mine, user_id: stack.user2.id });
  const inserted = await again.take('message', change('INSERT', stack.user2.id), longer);
  assert.equal(inserted.data.record.trip_id, trip);
  assert.equal(again.ofType('reset').length, 0);
});

test('a filter: rows that left it, and those that came into it', async (t) => {
  const redis = await startRedis(t);
  const place = await placeGateway(t, stack, { ...KEPT, store: { url: redis.url } });
  const mine = await tripOf(stack.user1);
  const topics = `${TASKS}:done=eq.false`;
  const s = await follow(t, place, { topics });
  const [leaves, enters] = [await trips.task(mine, 'leaves'), await trips.task(mine, 'enters')];
  await saw(s, 'enters');
  await trips.done(enters, true);
  s.kill();
  await place.stop();
  await trips.done(leaves, true);
  await trips.done(enters, false);
  await settled(stack);
  await place.start();
  const again = await follow(t, place, { topics, lastEventId: s.lastId });
  await trips.task(mine, 'the last');
  await saw(again, 'the last');
  assert.deepEqual(told(again.events.items), [`DELETE ${leaves}`, 'INSERT the last', 'UPDATE enters'].sort());
});
