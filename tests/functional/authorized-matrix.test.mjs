// Users, trips, transports; rows that are written, moved and deleted, members who come and go, all
// at random. Whoever may read a trip gets every change of it, once and in order; whoever may not,
// nothing. What was written is the oracle. SEED=<n> repeats a run, WRITES=<n> makes it longer.
// also under tsan
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Follower } from './lib/follower.mjs';
import { useLocalbase } from './lib/localbase.mjs';
import { startRedis } from './lib/redis.mjs';
import { placeGateway, randomFrom, seedOf, until } from './lib/streams.mjs';
import { readTasks, rowsHeld, TABLES, TRIP_TASKS, World } from './lib/world.mjs';

const WRITES = Number(process.env.WRITES ?? 400);
const BOUND_MS = 5000; /* feed lag and one query, on a machine that is busy with other tests */
const stack = useLocalbase();

const plain = ({ type, pk, title, isMoved }) => `${type} ${pk} ${title} ${isMoved}`;

/** Where in `told` the events of a stay stand, without a hole; -1: nowhere. */
function runIn(told, events) {
  const wanted = events.map(plain);
  const all = told.map(plain);
  for (let at = 0; at + wanted.length <= all.length; at++) {
    if (wanted.every((event, i) => event === all[at + i])) {
      return at;
    }
  }
  return -1;
}

/** One stay against the oracle. */
function checkStay(world, follower, trip, stay) {
  const told = world.told.get(trip);
  const from = told.findIndex((e) => e.clock > stay.from);
  const at = stay.events.length === 0 ? -1 : runIn(told, stay.events);
  const what = `${follower.name}, from ${stay.from} until ${stay.until}`;
  if (stay.events.length > 0) {
    assert.ok(at >= 0, `${what}: not a run of what was written:\n${stay.events.map(plain).join('\n')}`);
    assert.ok(from < 0 || at <= from, `${what}: began late, ${told[from] && plain(told[from])}`);
  }
  if (stay.until === undefined) {
    const isWhole = at < 0 ? from < 0 : at + stay.events.length === told.length;
    assert.ok(isWhole, `${what}: ended early`);
    return;
  }
  /* What came after the removal had been committed, came within the bound. */
  const removals = world.removedAt.get(`${trip} ${follower.user}`) ?? [];
  const removed = removals.findLast((clock) => clock <= stay.until + 1); // perhaps told before the commit was known here
  assert.ok(removed !== undefined, `${what}: revoked, but never removed`);
  for (const { clock } of at < 0 ? [] : told.slice(at, at + stay.events.length)) {
    const late = world.committedAt[clock] - world.committedAt[removed];
    assert.ok(clock <= removed || late <= BOUND_MS, `${what}: got what was written ${late} ms after the removal`);
  }
}

async function runMatrix(t, settings) {
  const random = randomFrom(seedOf(t));
  const place = await placeGateway(t, stack, { topics: { 'trip-tasks': TRIP_TASKS }, tables: TABLES, ...settings });
  const world = await World.make(stack, random);
  const followers = world.users.flatMap((user, u) =>
    world.trips.flatMap((trip, i) =>
      ['sse', 'ws', 'poll'].map((transport) => {
        const topic = `trip-tasks:${trip}`;
        const options = { url: () => place.url, token: user.token, topic, transport };
        const name = `user ${u} trip ${i} by ${transport}`;
        const follower = new Follower({ ...options, name, clock: () => world.begun, read: readTasks(stack, place, trip) });
        return Object.assign(follower, { user: user.id, trip });
      }),
    ),
  );
  t.after(() => followers.forEach((f) => f.finish()));
  const lives = Promise.all(followers.map((follower) => follower.live()));
  // Removed and taken back before anybody was asked: what it read in between showed it nothing.
  const wasAway = (f) => (world.removedAt.get(`${f.trip} ${f.user}`) ?? []).some((clock) => clock >= f.stays.at(-1).from);
  const isMember = (f) => world.members.get(f.trip).has(f.user);
  const work = async () => {
    await until(() => followers.every((f) => !isMember(f) || f.stay !== null), 'everybody to begin');
    for (let i = 0; i < WRITES; i++) {
      await world.step();
      followers.forEach((f) => isMember(f) && f.wake());
      if (random() < 0.2) {
        world.pick(followers).kill();
      }
      if (random() < 0.05) {
        await new Promise((resolve) => {
          setImmediate(resolve); // a breath: the others' turn
        });
      }
    }
    const last = await world.close();
    // What it has read is not what it has been told: that may still be on its way.
    const isTold = ({ stay, trip }) => stay.from >= world.told.get(trip).at(-1).clock || stay.events.at(-1)?.pk === last.get(trip);
    const isSettled = (f) => (isMember(f) ? f.stay?.reads === 0 && f.rows.has(last.get(f.trip)) && isTold(f) : f.stay === null);
    await until(
      () => {
        followers.forEach((f) => isMember(f) && f.wake());
        return followers.every(isSettled);
      },
      'a settled end',
      60_000,
    ).catch((error) => {
      const open = followers.filter((f) => !isSettled(f)).map((f) => `${f.name} (member: ${isMember(f)}, stay: ${f.stay !== null})`);
      throw new Error(`${error.message}: ${open.join(', ')}`);
    });
  };
  await Promise.race([work(), lives]);
  followers.forEach((f) => f.finish());
  await lives;
  const count = (of) => followers.reduce((sum, f) => sum + of(f), 0);
  t.diagnostic(
    `${world.clock} transactions, ${count((f) => f.stays.length)} stays, ${count((f) => f.kills)} kills, ` +
      `${count((f) => f.stays.reduce((sum, s) => sum + s.events.length, 0))} events`,
  );
  for (const f of followers) {
    assert.deepEqual(f.resets, [], `${f.name}: nothing was lost that would excuse a reset`);
    f.stays.forEach((stay) => checkStay(world, f, f.trip, stay));
    if (isMember(f) && !wasAway(f)) {
      assert.deepEqual(rowsHeld(f), await world.rowsOf(f.trip), `${f.name}: ends as the table does`);
    }
  }
}

describe('users, memberships and transports at random', () => {
  test('everybody gets what is theirs, once and in order, and nothing else; from memory', async (t) => {
    await runMatrix(t, {});
  });

  test('the same, from Redis, with two workers and small rings', async (t) => {
    const redis = await startRedis(t);
    await runMatrix(t, { server: { workers: 2 }, streams: { ring_events: 16 }, store: { url: redis.url } });
  });
});
