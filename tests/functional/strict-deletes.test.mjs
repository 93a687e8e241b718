// Supabase tells everybody who follows a table of every DELETE. A strict topic passes on those of
// rows that its user may have known: nobody is shown a foreign primary key, live or on a replay.
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { Trips } from './lib/declared.mjs';
import { useLocalbase } from './lib/localbase.mjs';
import { Poller } from './lib/poll.mjs';
import { openStream } from './lib/sse.mjs';
import { placeGateway, TASKS, until } from './lib/streams.mjs';
import { openSocket } from './lib/ws.mjs';

const stack = useLocalbase();
let trips;

before(async () => {
  await stack.ready;
  trips = await Trips.to(stack);
});
after(() => trips?.writer.client.end());
beforeEach(() => stack.control.clearFaults());

/** A new trip that these users, and no others, are members of. */
async function tripOf(...users) {
  const trip = await trips.trip();
  await trips.query('delete from public.trip_members where trip_id = $1', [trip]);
  for (const { id } of users) {
    await trips.query('insert into public.trip_members (trip_id, user_id) values ($1, $2)', [trip, id]);
  }
  return trip;
}

const rowOf = (data) => data.record?.id ?? data.old_record?.id;

/** A stream whose topic is covered. */
async function openReady(t, place, options) {
  const s = await openStream(place.url, options);
  t.after(() => s.kill());
  const { data } = await s.take('hello');
  assert.equal(data.topics[0].state, 'ready');
  return s;
}

/** Ready, on both transports that push, and a poll's cursor: what came is in `seen()`, as text. */
async function follow(t, place, user) {
  const more = { topics: TASKS, token: user.token };
  const sse = await openReady(t, place, more);
  const ws = await openSocket(place.url, more);
  t.after(() => ws.kill());
  const poller = new Poller({ url: place.url, ...more });
  await poller.next({ wait: 0 });
  const takes = (fits) => Promise.all([
    sse.take('message', (e) => fits(e.data)),
    ws.take('message', (e) => fits(e.data)),
    poller.until((events) => events.some(fits)),
  ]);
  const seen = () => JSON.stringify([sse.events.items, ws.events.items]);
  return { sse, ws, poller, takes, seen };
}

test('a DELETE is told to those who could see the row, and its key to nobody else', async (t) => {
  const place = await placeGateway(t, stack);
  const [both, one] = [await tripOf(stack.user1, stack.user2), await tripOf(stack.user1)];
  const old = await trips.task(one, 'was there before');
  const first = await follow(t, place, stack.user1);
  const second = await follow(t, place, stack.user2);
  const start = second.poller.cursor;
  const fresh = await trips.task(one, 'is new');
  await first.sse.take('message', (e) => e.data.record?.id === fresh);
  await trips.remove(old);
  await trips.remove(fresh);
  const last = await trips.task(both, 'the last one');
  const polled = (await first.takes((e) => e.record?.id === last))[2];
  await second.takes((e) => e.record?.id === last);
  for (const events of [first.sse.rows.map((e) => e.data), first.ws.rows.map((e) => e.data), polled]) {
    const deletes = events.filter((e) => e.type === 'DELETE');
    assert.deepEqual(deletes.map((e) => e.old_record), [{ id: old }, { id: fresh }]);
  }
  // The same on a replay.
  for (const [user, wanted] of [[stack.user1, [old, fresh, last]], [stack.user2, [last]]]) {
    const again = await openStream(place.url, { topics: TASKS, token: user.token, lastEventId: start });
    t.after(() => again.kill());
    await again.take('message', (e) => e.data.record?.id === last);
    assert.deepEqual(again.rows.map((e) => rowOf(e.data)), wanted);
  }
  assert.ok(!second.seen().includes(old) && !second.seen().includes(fresh));
  assert.equal(await place.metric('tidegate_hidden_deletes_total'), 2);
  assert.equal(await place.metric('tidegate_unknown_deletes_total'), 0);
});

test('while the rows cannot be read a DELETE is a reset, once they are it is not', async (t) => {
  const place = await placeGateway(t, stack, { streams: { reset_spread: '0' } });
  const [both, one] = [await tripOf(stack.user1, stack.user2), await tripOf(stack.user1)];
  const foreign = [await trips.task(one, 'a'), await trips.task(one, 'b')];
  const read = { method: 'GET', path: '/rest/v1/tasks' };
  await stack.control.fault({ ...read, status: 503 });
  const held = await stack.control.fault({ ...read, hold: true });
  const s = await openReady(t, place, { topics: TASKS, token: stack.user2.token });
  await place.log.take((l) => l.event === 'strict_unread');
  const resets = () => s.ofType('reset').length;
  const before = resets();
  await trips.remove(foreign[0]);
  await until(() => resets() > before, 'a reset');
  // Read at last: a reset says so, and then nothing is said of foreign rows.
  await stack.control.held(held);
  const unread = resets();
  await stack.control.release(held);
  await until(() => resets() > unread, 'the reset of the read');
  const settled = await trips.task(both, 'settled');
  await s.take('message', (e) => e.data.record?.id === settled);
  const then = resets();
  await trips.remove(foreign[1]);
  await trips.remove(settled);
  await s.take('message', (e) => e.data.old_record?.id === settled);
  assert.equal(resets(), then);
  assert.ok(!foreign.some((row) => JSON.stringify(s.events.items).includes(row)));
});

test('above strict.index_rows the DELETE of an unknown row is a reset', async (t) => {
  const place = await placeGateway(t, stack, { strict: { index_rows: 2 }, streams: { reset_spread: '0' } });
  const trip = await tripOf(stack.user1);
  for (const title of ['a', 'b', 'c']) {
    await trips.task(trip, title);
  }
  const s = await openReady(t, place, { topics: TASKS, token: stack.user1.token });
  await place.log.take((l) => l.event === 'strict_full');
  const row = await trips.task(trip, 'd');
  await s.take('message', (e) => e.data.record?.id === row);
  await trips.remove(row);
  await s.take('reset', (e) => e.data.reason === 'gap');
  // Upstream may tell of the first three, too: it reads what was committed after it has subscribed.
  assert.ok(!s.rows.some((e) => e.data.type === 'DELETE'));
});

test('an UPDATE shows of the old row its primary key alone, whatever upstream sends', async (t) => {
  const place = await placeGateway(t, stack);
  const trip = await tripOf(stack.user1);
  await trips.query('alter table public.tasks replica identity full');
  t.after(() => trips.query('alter table public.tasks replica identity default'));
  const row = await trips.task(trip, 'before');
  const s = await openReady(t, place, { topics: TASKS, token: stack.user1.token });
  await trips.rename(row, 'after');
  const { data } = await s.take('message', (e) => e.data.type === 'UPDATE');
  assert.deepEqual(data.old_record, { id: row });
});
