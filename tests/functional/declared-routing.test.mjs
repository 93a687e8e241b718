// Declared topics: one upstream channel for a whole table, and every row to the topic of its key.
// also under tsan: a table's rows pass from the link to the hub, the store and the workers.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { listen, placeDeclared, short, Trips } from './lib/declared.mjs';
import { useLocalbase } from './lib/localbase.mjs';
import { openStream } from './lib/sse.mjs';

const stack = useLocalbase();

async function setUp(t, settings) {
  const gateway = await placeDeclared(t, stack, settings);
  const trips = await Trips.to(stack);
  return { gateway, trips, a: await trips.trip('a'), b: await trips.trip('b') };
}

test('rows go to the topic of their key, cut to its columns', async (t) => {
  const { gateway, trips, a, b } = await setUp(t);
  const ofA = await listen(t, gateway, stack, `trip-tasks:${a}`);
  const ofB = await listen(t, gateway, stack, `trip-tasks:${b}`);
  assert.deepEqual(ofA.hello.data.topics, [
    { topic: `trip-tasks:${a}`, guarantee: 'live', state: 'ready' },
  ]);
  const id = await trips.task(a, 'first');
  await trips.rename(id, 'second');
  await trips.task(b, 'other');
  const [insert, update] = await ofA.events.takeMany(2, (e) => e.type === 'message');
  assert.equal(insert.data.topic, `trip-tasks:${a}`);
  assert.equal(insert.data.schema, 'public');
  assert.equal(insert.data.table, 'tasks');
  assert.match(insert.data.commit_timestamp, /^\d{4}-\d\d-\d\dT/);
  assert.deepEqual(Object.keys(insert.data.record), ['id', 'trip_id', 'title', 'done', 'position']);
  assert.equal(update.data.type, 'UPDATE');
  assert.deepEqual(update.data.old_record, { id });
  assert.equal((await ofB.take('message')).data.record.title, 'other');
  assert.deepEqual(short(ofA.events.items), ['INSERT first', 'UPDATE second']);
  assert.deepEqual(short(ofB.events.items), ['INSERT other']);
});

test('a DELETE goes to the topic that the row was in, and to no other', async (t) => {
  const { gateway, trips, a, b } = await setUp(t);
  const gone = await trips.task(a, 'written before anybody listened');
  const ofA = await listen(t, gateway, stack, `trip-tasks:${a}`);
  const ofB = await listen(t, gateway, stack, `trip-tasks:${b}`);
  await trips.remove(gone);
  const event = await ofA.take('message', (e) => e.data.type === 'DELETE');
  assert.deepEqual(event.data.old_record, { id: gone });
  await trips.task(b, 'last');
  await ofB.take('message', (e) => e.data.record?.title === 'last');
  assert.deepEqual(short(ofB.events.items), ['INSERT last']);
  assert.equal(ofA.ofType('reset').length + ofB.ofType('reset').length, 0);
});

test('a row whose key changes leaves its topic and comes as new to the other', async (t) => {
  const { gateway, trips, a, b } = await setUp(t);
  const ofA = await listen(t, gateway, stack, `trip-tasks:${a}`);
  const ofB = await listen(t, gateway, stack, `trip-tasks:${b}`);
  const id = await trips.task(a, 'wanderer');
  await trips.move(id, b);
  await trips.remove(id);
  await Promise.all([ofA, ofB].map((s) => s.take('message', (e) => e.data.type === 'DELETE')));
  assert.deepEqual(short(ofA.events.items), ['INSERT wanderer', `DELETE ${id} moved`]);
  assert.deepEqual(short(ofB.events.items), ['INSERT wanderer', `DELETE ${id}`]);
});

test('a row whose primary key changes is another one', async (t) => {
  const { gateway, trips, a } = await setUp(t);
  const s = await listen(t, gateway, stack, `trip-tasks:${a}`);
  const [before, after] = [await trips.task(a, 'one'), randomUUID()];
  await trips.query('update public.tasks set id = $2 where id = $1', [before, after]);
  await trips.remove(after);
  await s.take('message', (e) => e.data.old_record?.id === after);
  assert.deepEqual(short(s.events.items), ['INSERT one', `DELETE ${before}`, 'INSERT one', `DELETE ${after}`]);
});

test('a row that leaves the condition is deleted, and inserted when it comes back', async (t) => {
  const { gateway, trips, a } = await setUp(t);
  const s = await listen(t, gateway, stack, `open-tasks:${a}`);
  const id = await trips.task(a, 'chore');
  await trips.done(id, true);
  await trips.rename(id, 'chore, done');
  await trips.done(id, false);
  await s.events.takeMany(3, (e) => e.type === 'message');
  assert.deepEqual(short(s.events.items), ['INSERT chore', `DELETE ${id}`, 'INSERT chore, done']);
});

test('a composite primary key names the row that went', async (t) => {
  const { gateway, trips, a } = await setUp(t);
  const s = await listen(t, gateway, stack, `members:${a}`);
  const values = [a, stack.user2.id];
  await trips.query('insert into public.trip_members (trip_id, user_id) values ($1, $2)', values);
  await trips.query('delete from public.trip_members where trip_id = $1 and user_id = $2', values);
  const [insert, gone] = await s.events.takeMany(2, (e) => e.type === 'message' && e.data.record?.user_id !== stack.user1.id);
  assert.equal(insert.data.record.role, 'member');
  assert.deepEqual(gone.data.old_record, { trip_id: a, user_id: stack.user2.id });
});

test('every digit stays', async (t) => {
  const { gateway, trips } = await setUp(t);
  const s = await listen(t, gateway, stack, 'samples:digits');
  const doc = '{"deep": {"n": 12345678901234567890.10, "list": [1.0]}}';
  await trips.query(
    `insert into public.type_samples (label, big, exact, doc, numbers)
     values ('digits', 9223372036854775807, 1.10, $1, '{9007199254740993}')`,
    [doc],
  );
  const { text } = await s.take('message');
  assert.match(text, /"big":9223372036854775807[,}]/);
  assert.match(text, /"exact":1\.10[,}]/);
  assert.match(text, /"n": ?12345678901234567890\.10[,}]/);
  assert.match(text, /"list": ?\[1\.0\]/);
  assert.match(text, /"numbers":\[9007199254740993\]/);
  await trips.query("delete from public.type_samples where label = 'digits'");
});

test('rows are kept for whoever comes later', async (t) => {
  const { gateway, trips, a } = await setUp(t);
  const first = await listen(t, gateway, stack, `trip-tasks:${a}`);
  const cursor = first.hello.data.cursor;
  first.kill();
  await trips.task(a, 'while nobody listened');
  const again = await listen(t, gateway, stack, `trip-tasks:${a}`, { lastEventId: cursor });
  assert.equal((await again.take('message')).data.record.title, 'while nobody listened');
  assert.equal(again.hello.data.topics[0].recovered, true);
});

test('columns that upstream leaves out are read again', async (t) => {
  const { gateway, trips, a } = await setUp(t, { store: { event_bytes: '4m' } });
  const s = await listen(t, gateway, stack, `trip-tasks:${a}`);
  const long = Array.from({ length: 500 }, (_, i) => Math.sin(i).toString(36)).join('');
  const id = await trips.task(a, long);
  await trips.query("alter table public.tasks alter column title set storage external");
  await trips.query('update public.tasks set title = title || $2 where id = $1', [id, long]);
  await trips.done(id, true);
  const huge = await trips.task(a, 'x'.repeat(1_200_000));
  const [, , done, big] = await s.events.takeMany(4, (e) => e.type === 'message');
  assert.equal(done.data.record.done, true);
  assert.equal(done.data.record.title, long + long);
  assert.equal(big.data.record.id, huge);
  assert.equal(big.data.record.title.length, 1_200_000);
  assert.equal(done.data.partial ?? big.data.partial, undefined);
  assert.equal(s.ofType('reset').length, 0);
});

test('a row is read again by a primary key of any name', async (t) => {
  const trips = await Trips.to(stack);
  const query = trips.query.bind(trips);
  await query(`create table public.sizes ("größe" int primary key, part text, note text, long text)`);
  await query('alter table public.sizes alter column long set storage external');
  await query('grant select on public.sizes to service_role');
  await query('alter publication supabase_realtime add table public.sizes');
  const sizes = { table: 'public.sizes', key: 'part', columns: ['größe', 'part', 'note', 'long'], public: true };
  const gateway = await placeDeclared(t, stack, {
    tables: { 'public.sizes': { primary_key: ['größe'] } },
    topics: { sizes },
  });
  const s = await listen(t, gateway, stack, 'sizes:a');
  const long = 'x'.repeat(9000);
  await query(`insert into public.sizes values (1, 'a', 'first', $1)`, [long]);
  await query(`update public.sizes set note = 'second'`);
  const update = await s.take('message', (e) => e.data.type === 'UPDATE');
  assert.deepEqual(update.data.record, { größe: 1, part: 'a', note: 'second', long });
  assert.equal(update.data.partial, undefined);
});

test('a row that is too large for the log is told in part', async (t) => {
  const { gateway, trips, a } = await setUp(t, { store: { event_bytes: '64k' } });
  const s = await listen(t, gateway, stack, `kept-tasks:${a}`);
  const id = await trips.task(a, 'x'.repeat(100_000));
  await trips.task(a, 'small');
  const [large, small] = await s.events.takeMany(2, (e) => e.type === 'message');
  assert.equal(large.data.partial, true);
  assert.deepEqual(large.data.record, { id, trip_id: a, done: false, position: 0 });
  assert.equal(small.data.record.title, 'small');
  assert.equal(s.ofType('reset').length, 0);
});

test('snapshot=1 gives the rows with the key as the user sees them, in the topic\'s columns, then changes', async (t) => {
  const { gateway, trips } = await setUp(t);
  const trip = stack.trip1_id;
  const topic = `trip-tasks:${trip}`;
  const ids = [await trips.task(trip, 'one'), await trips.task(trip, 'two')];
  await trips.task(stack.trip2_id, 'of others');
  const stream = await openStream(gateway.url, {
    topics: topic,
    token: stack.user1.token,
    params: { snapshot: '1' },
  });
  t.after(() => stream.kill());
  await stream.take('snapshot', ({ data }) => !data.more);
  const rows = stream.ofType('snapshot').flatMap(({ data }) => data.rows);
  assert.deepEqual(rows.map(({ title }) => title).sort(), ['one', 'two']);
  assert.deepEqual(Object.keys(rows[0]), ['id', 'trip_id', 'title', 'done', 'position']);
  await trips.remove(ids[0]);
  const gone = await stream.take('message', ({ data }) => data.type === 'DELETE');
  assert.equal(gone.data.old_record.id, ids[0]);
  const stranger = await openStream(gateway.url, {
    topics: topic,
    token: stack.user2.token,
    params: { snapshot: '1' },
  });
  t.after(() => stranger.kill());
  assert.deepEqual((await stranger.take('snapshot')).data.rows, [], 'policies apply to rows that are read');
  const refused = await openStream(gateway.url, {
    topics: topic,
    token: stack.user1.token,
    params: { snapshot: '1', snapshot_key: 'created_at' },
  }).catch((error) => error);
  assert.equal(refused.status, 400);
  assert.match(refused.json.details, /snapshot_key/);
});
