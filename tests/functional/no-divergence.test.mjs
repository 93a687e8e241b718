// Upstream fails in every way it knows, at random, while rows are written. A topic with `catchup`,
// declared or strict, ends equal to the table whatever was lost; a declared one without is told of
// every loss that has a sign. RUNS=200 makes many runs (about a few seconds each), SEED=<n> repeats one.
// not under sanitizers: it waits for reconnects most of the time; the declared tests run there
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Follower } from './lib/follower.mjs';
import { useLocalbase } from './lib/localbase.mjs';
import { startRedis } from './lib/redis.mjs';
import { placeGateway, randomFrom, seedOf, TASKS, until } from './lib/streams.mjs';
import { readTasks, rowsHeld, TABLES, TRIP_TASKS, World } from './lib/world.mjs';

const RUNS = Number(process.env.RUNS ?? 3);
const STEPS = 30;
const stack = useLocalbase();
const { catchup: _, ...WITHOUT } = TRIP_TASKS;

/** What can happen; each returns what ends it, if anything must. `isSilent`: nothing tells. */
const FAULTS = [
  { name: 'socket cut', run: (c) => c.part('realtime', 'drop') },
  { name: 'socket closed', run: (c) => c.part('realtime', 'drop', { code: 1011 }) },
  { name: 'socket drained', run: (c) => c.part('realtime', 'drop', { code: 1012 }) },
  {
    name: 'joins refused',
    run: async (c) => {
      await c.part('realtime', 'refuse-joins', { count: 2 });
      await c.part('realtime', 'drop');
    },
  },
  {
    name: 'upgrades refused',
    run: async (c) => {
      await c.part('realtime', 'refuse-upgrades', { count: 2 });
      await c.part('realtime', 'drop');
    },
  },
  {
    name: 'decoding paused',
    run: async (c) => {
      await c.part('realtime', 'pause');
      return () => c.part('realtime', 'resume');
    },
  },
  {
    name: 'Subscribed delayed',
    run: async (c) => {
      await c.part('realtime', 'hold-subscribed', { hold: true });
      await c.part('realtime', 'drop');
      return () => c.part('realtime', 'hold-subscribed', { hold: false });
    },
  },
  { name: 'slot lost', isSilent: true, run: (c) => c.part('realtime', 'lose-slot') },
  { name: 'channels closed', run: (c) => c.part('realtime', 'close-channels') },
  { name: 'channels crashed', run: (c) => c.part('realtime', 'close-channels', { event: 'phx_error' }) },
  { name: 'subscribed anew', run: (c) => c.part('realtime', 'resubscribe') },
  { name: 'tokens expired', isService: true, run: (c) => c.part('realtime', 'expire') },
  { name: 'changes dropped', isSilent: true, run: (c) => c.part('realtime', 'drop-changes', { count: 5 }) },
  {
    name: 'PostgREST down',
    run: async (c) => {
      await c.fault({ method: 'GET', path: '/rest/v1/tasks', count: 3, status: 503 });
      await c.part('realtime', 'drop');
    },
  },
  { name: 'gateway killed', isHard: true },
  { name: 'gateway restarted', isHard: true },
];

/** One run: faults among writes, then calm; who follows must end as the table does. */
async function oneRun(t, { world, place, followers, faults }, seed) {
  const random = randomFrom(seed);
  const { control } = stack;
  const happened = [];
  const endings = [];
  const end = async () => {
    for (const ending of endings.splice(0)) {
      await ending();
    }
  };
  for (let i = 0; i < STEPS; i++) {
    await world.step({ members: 0 });
    if (random() < 0.1) {
      const fault = faults[Math.floor(random() * faults.length)];
      happened.push(fault.name);
      if (fault.isHard) {
        await (fault.name === 'gateway killed' ? place.kill() : place.stop());
        await world.step({ members: 0 });
        await place.start();
      } else {
        const ending = await fault.run(control);
        if (typeof ending === 'function') {
          endings.push(ending);
        }
      }
    }
    if (random() < 0.1) {
      followers[Math.floor(random() * followers.length)].kill();
    }
    if (random() < 0.1) {
      await end();
    }
  }
  await end();
  await control.part('realtime', 'reset');
  await control.clearFaults();
  const isSilent = FAULTS.some((f) => f.isSilent && happened.includes(f.name));
  await world.close();
  const wanted = new Map();
  for (const trip of world.trips) {
    wanted.set(trip, JSON.stringify(await world.rowsOf(trip)));
  }
  wanted.set(undefined, JSON.stringify(await world.allRows()));
  const differs = (f) => (f.hasCatchup || !isSilent) && JSON.stringify(rowsHeld(f)) !== wanted.get(f.trip);
  await until(() => followers.every((f) => !differs(f)), 'the table everywhere', 60_000).catch((error) => {
    const who = followers.filter(differs).map((f) => {
      const held = new Map(rowsHeld(f).map(({ id, title }) => [id, title]));
      const rows = JSON.parse(wanted.get(f.trip));
      const lacks = rows.filter(({ id, title }) => held.get(id) !== title).length;
      return `${f.name}: lacks ${lacks}, has ${held.size} of ${rows.length}, resets ${f.resets.length}`;
    });
    throw new Error(`SEED=${seed}: ${error.message}; ${happened}; ${who.join('; ')}`);
  });
  if (isSilent) {
    followers.filter((f) => !f.hasCatchup).forEach((f) => f.forget());
  }
  t.diagnostic(`SEED=${seed}: ${happened.join(', ') || 'nothing'}`);
}

/** Everybody follows by every transport, through all runs. */
async function allRuns(t, { settings, topics, faults }) {
  const first = seedOf(t);
  const redis = await startRedis(t);
  const place = await placeGateway(t, stack, { ...settings, store: { url: redis.url }, index: { verify: '1s' } });
  const world = await World.make(stack, randomFrom(first), { users: 1, trips: 2 });
  const followers = topics(world).flatMap(({ topic, trip, hasCatchup }) =>
    ['sse', 'ws', 'poll'].map((transport) => {
      const follower = new Follower({
        url: () => place.url,
        token: world.users[0].token,
        transport,
        name: `${topic} by ${transport}`,
        topic,
        clock: () => world.clock,
        read: readTasks(stack, place, trip === undefined ? world.trips : [trip]),
      });
      return Object.assign(follower, { trip, hasCatchup });
    }),
  );
  t.after(() => followers.forEach((f) => f.finish()));
  const lives = Promise.all(followers.map((follower) => follower.live()));
  const work = async () => {
    // A row that was read, and gone before the gateway knew of it, is told to nobody (docs/TOPICS.md).
    await until(() => followers.every((f) => f.stay?.reads === 0), 'everybody to begin');
    for (let run = 0; run < RUNS; run++) {
      await oneRun(t, { world, place, followers, faults }, first + run);
    }
  };
  await Promise.race([work(), lives]);
  followers.forEach((f) => f.finish());
  await lives;
  const kept = followers.filter((f) => f.hasCatchup);
  t.diagnostic(
    `resets: ${kept.reduce((sum, f) => sum + f.resets.length, 0)} with catchup, ` +
      `${followers.reduce((sum, f) => sum + f.resets.length, 0)} in all`,
  );
}

describe('no silent divergence', () => {
  const limit = { timeout: RUNS * 60_000 + 60_000 };

  test(`${RUNS} runs of faults at random`, limit, (t) =>
    allRuns(t, {
      settings: { topics: { kept: TRIP_TASKS, plain: WITHOUT }, tables: TABLES },
      topics: ({ trips }) =>
        trips.flatMap((trip) => ['kept', 'plain'].map((name) => ({ topic: `${name}:${trip}`, trip, hasCatchup: name === 'kept' }))),
      faults: FAULTS,
    }));

  test(`${RUNS} runs of strict topics with catchup`, limit, (t) =>
    allRuns(t, {
      settings: { tables: { 'public.tasks': { catchup: 'updated_at' } } },
      topics: ({ trips: [trip] }) => [
        { topic: TASKS, hasCatchup: true },
        { topic: `${TASKS}:trip_id=eq.${trip}`, trip, hasCatchup: true },
      ],
      // A user whose token is not taken any more has to bring another one.
      faults: FAULTS.filter((fault) => !fault.isService),
    }));
});
