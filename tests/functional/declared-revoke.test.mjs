// Who may read is a row of a table: when it goes, so does access, before the next row is delivered.
// also under tsan: the hub's words about access reach every worker.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Trips } from './lib/declared.mjs';
import { useLocalbase } from './lib/localbase.mjs';
import { startRedis } from './lib/redis.mjs';
import { openStream } from './lib/sse.mjs';
import { placeGateway, until } from './lib/streams.mjs';

const stack = useLocalbase();
const longer = { timeoutMs: 40_000 };
const SETTINGS = {
  tables: { 'public.trip_members': { primary_key: ['trip_id', 'user_id'] } },
  topics: {
    chores: {
      table: 'public.tasks',
      key: 'trip_id',
      key_type: 'uuid',
      columns: ['id', 'trip_id', 'title'],
      catchup: 'updated_at',
      authorize: 'trip_members?select=user_id&trip_id=eq.{key}&user_id=eq.{sub}',
      revoke_on: { table: 'public.trip_members', key: 'trip_id', user: 'user_id' },
      recheck: '1h',
    },
  },
};

async function setUp(t, settings = {}) {
  const gateway = await placeGateway(t, stack, { ...SETTINGS, server: { workers: 2 }, ...settings });
  await until(async () => (await gateway.metric('tidegate_feeds_live')) === 2, 'both tables');
  const trips = await Trips.to(stack);
  const trip = await trips.trip('guarded');
  const join = (user) =>
    trips.query(
      'insert into public.trip_members (trip_id, user_id) values ($1, $2) on conflict do nothing',
      [trip, user.id],
    );
  const leave = (user) =>
    trips.query('delete from public.trip_members where trip_id = $1 and user_id = $2', [
      trip,
      user.id,
    ]);
  const listen = async (user, more = {}) => {
    const s = await openStream(gateway.url, { topics: `chores:${trip}`, token: user.token, ...more });
    t.after(() => s.kill());
    s.hello = await s.take('hello');
    return s;
  };
  await join(stack.user1);
  await join(stack.user2);
  return { gateway, trips, trip, join, leave, listen };
}

test('a member that was removed is told so and gets nothing more', async (t) => {
  const { trips, trip, leave, listen } = await setUp(t);
  const one = await listen(stack.user1);
  const two = await listen(stack.user2);
  await trips.task(trip, 'for both');
  await one.take('message');
  await two.take('message');
  await leave(stack.user2);
  await two.take('revoked', (e) => e.data.topic === `chores:${trip}`, longer);
  await trips.task(trip, 'for one');
  await one.take('message', (e) => e.data.record.title === 'for one', longer);
  assert.equal(two.rows.length, 1);
  await assert.rejects(listen(stack.user2), { status: 403 });
});

test('a membership that is given to somebody else is taken from who had it', async (t) => {
  const { gateway, trips, trip, leave, listen } = await setUp(t);
  await leave(stack.user1);
  /* The beginning of coverage, two members, and one that left: nothing else is to come. */
  await until(async () => (await gateway.metric('tidegate_access_words_total')) >= 4, 'all words');
  const two = await listen(stack.user2);
  await trips.query(
    'update public.trip_members set user_id = $3 where trip_id = $1 and user_id = $2',
    [trip, stack.user2.id, stack.user1.id],
  );
  await two.take('revoked', (e) => e.data.topic === `chores:${trip}`, longer);
  await trips.task(trip, 'for the new member');
  const one = await listen(stack.user1, { params: { cursor: two.hello.id } });
  await one.take('message', (e) => e.data.record.title === 'for the new member', longer);
  assert.equal(two.rows.length, 0);
});

test('a change of access is asked about once, for the streams of all workers', async (t) => {
  const { gateway, trip, leave, listen } = await setUp(t, {
    server: { workers: 4 },
    streams: { per_user: 100 },
  });
  /* The beginning of coverage is such a change, too, and so is what made each of them a member. */
  await until(async () => (await gateway.metric('tidegate_access_words_total')) >= 3, 'both members');
  const streams = await Promise.all(Array.from({ length: 40 }, () => listen(stack.user2)));
  assert.equal(await gateway.metric('tidegate_access_asked_total'), 1);
  await leave(stack.user2);
  await Promise.all(
    streams.map((s) => s.take('revoked', (e) => e.data.topic === `chores:${trip}`, longer)),
  );
  assert.equal(await gateway.metric('tidegate_access_revoked_total'), 40);
  assert.equal(await gateway.metric('tidegate_access_asked_total'), 2);
});

test('what is committed behind the removal does not reach who was removed', async (t) => {
  const { trips, trip, leave, join, listen } = await setUp(t);
  for (let round = 0; round < 5; round++) {
    const one = await listen(stack.user1);
    /* Back again: a refusal is remembered until the change of the table has come. */
    const two = await until(() => listen(stack.user2).catch(() => null), 'access');
    await leave(stack.user2);
    await trips.task(trip, `secret ${round}`);
    await one.take('message', (e) => e.data.record.title === `secret ${round}`, longer);
    await two.take('revoked', () => true, longer);
    assert.equal(two.rows.filter((e) => e.data.record?.title === `secret ${round}`).length, 0);
    one.kill();
    await join(stack.user2);
  }
});

test('a removal while upstream was away counts when it is back', async (t) => {
  const redis = await startRedis(t);
  const { leave, listen } = await setUp(t, { store: { url: redis.url } });
  const two = await listen(stack.user2);
  await stack.control.part('realtime', 'hold-subscribed', { hold: true });
  t.after(() => stack.control.part('realtime', 'reset'));
  await stack.control.part('realtime', 'drop');
  await leave(stack.user2);
  await stack.control.part('realtime', 'hold-subscribed', { hold: false });
  await two.take('revoked', () => true, longer);
});
