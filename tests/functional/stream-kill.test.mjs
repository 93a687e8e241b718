// What must never happen to a reader who comes and goes: a row lost, twice, or out of order.
// Clients die at random, gateways are ended and killed; SEED=<n> repeats a run.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { useLocalbase } from './lib/localbase.mjs';
import { startRedis } from './lib/redis.mjs';
import { App, named, placeGateway, randomFrom, seedOf, until, Writer } from './lib/streams.mjs';

const ROWS = 1000;
const KILLS = 50;
const RESTARTS = 6;
const stack = useLocalbase();

/**
 * Reads the tasks as an app would after a reset: the titles of this run. (PostgREST gives 1,000
 * rows at most, and the table holds other runs' too.)
 */
async function readTasks(prefix) {
  const init = { headers: { apikey: stack.anon_key, authorization: `Bearer ${stack.user1.token}` } };
  const response = await fetch(`${stack.url}/rest/v1/tasks?select=title&title=like.${prefix}-*`, init);
  assert.equal(response.status, 200);
  return (await response.json()).map((row) => row.title);
}

function appAt(place, prefix) {
  return new App({
    url: () => place.url,
    token: stack.user1.token,
    reread: () => readTasks(prefix),
  });
}

/** Inserts ROWS rows, some at once, some one by one; `during(i)` is awaited before each. */
async function insertAll(random, prefix, during) {
  const writer = await Writer.to(stack);
  const wanted = named(prefix, ROWS);
  for (let i = 0; i < ROWS; ) {
    const n = Math.min(ROWS - i, random() < 0.1 ? Math.ceil(random() * 40) : 1);
    await during(i, i + n);
    await writer.query('begin');
    await writer.tasks(wanted.slice(i, i + n));
    await writer.query('commit');
    i += n;
  }
  return wanted;
}

/** KILLS numbers of rows, at which something happens. */
function pickMoments(random, n) {
  const moments = new Set();
  while (moments.size < n) {
    moments.add(Math.floor(random() * ROWS));
  }
  return moments;
}

const due = (moments, from, to) => [...moments].filter((at) => at >= from && at < to).length;

/** Waits for a number of rows more than there are, so that kills fall anywhere. */
function someRows(app, n) {
  const client = app.client;
  const goal = app.delivered.length + n;
  return until(() => app.delivered.length >= goal || client.isEnded, 'some rows');
}

async function killClients(t, settings) {
  const seed = seedOf(t);
  const random = randomFrom(seed);
  const place = await placeGateway(t, stack, settings);
  const app = appAt(place, `k${seed}`);
  const moments = pickMoments(random, KILLS);
  let kills = 0;
  await app.connect();
  const wanted = await insertAll(random, `k${seed}`, async (from, to) => {
    for (let n = due(moments, from, to); n > 0; n--) {
      if (random() < 0.3 && app.delivered.length > 0) {
        await someRows(app, from > app.delivered.length ? 1 : 0);
      }
      app.kill();
      kills++;
      if (random() < 0.8) {
        await app.connect();
      } else {
        app.connecting = app.connect(); // while rows are written
        await app.connecting;
      }
    }
  });
  await app.complete(wanted);
  app.kill();
  const rows = app.delivered.filter((title) => title.startsWith(`k${seed}`));
  assert.equal(kills, KILLS);
  assert.equal(app.resets.length, 0, 'nothing happened that would excuse a reset');
  assert.deepEqual(rows, wanted, 'all rows, once each, in order');
  app.assertOnceInOrder();
}

describe('a client that is killed and resumes 50 times among 1,000 rows', () => {
  test('gets each row once and in order, from memory', async (t) => {
    await killClients(t, {});
  });

  test('gets each row once and in order, from Redis', async (t) => {
    const redis = await startRedis(t);
    await killClients(t, { store: { url: redis.url } });
  });

  test('gets each row once and in order from small rings and pages', async (t) => {
    await killClients(t, { server: { workers: 2 }, streams: { ring_events: 16 } });
  });
});

async function restartGateways(t, end) {
  const seed = seedOf(t);
  const random = randomFrom(seed);
  const redis = await startRedis(t);
  const place = await placeGateway(t, stack, { store: { url: redis.url }, gateway: { lease: '2s' } });
  const apps = named('app', 3).map(() => appAt(place, `r${seed}`));
  const moments = pickMoments(random, RESTARTS);
  let running = true;
  let restarting = Promise.resolve();
  // Each app lives on its own: whenever its stream ends, it comes back.
  const lives = [];
  const live = async (app) => {
    await app.connect();
    while (running) {
      await app.client.ended;
      if (running) {
        await app.connect();
      }
    }
  };
  for (const app of apps) {
    await app.connect();
    app.kill();
    lives.push(live(app));
  }
  const wanted = await insertAll(random, `r${seed}`, async (from, to) => {
    if (due(moments, from, to) > 0) {
      await restarting;
      const enough = Math.floor(from * random());
      await until(() => apps[0].seen.size >= enough, 'some rows');
      restarting = end(place).then(() => place.start()); // rows are written meanwhile
    }
  });
  await restarting;
  for (const app of apps) {
    await app.complete(wanted).catch((error) => {
      throw new Error(`${error.message}; the gateway's log ends:\n${place.now.lines().slice(-3000)}`);
    });
    app.assertOnceInOrder();
    assert.ok(app.resets.length <= 2 * RESTARTS + 2, `${app.resets.length} resets`);
  }
  running = false;
  apps.forEach((app) => app.kill());
  await Promise.all(lives);
}

describe('a gateway on Redis that goes away six times among 1,000 rows', () => {
  test('delivers every row or says reset, when it is ended in order', async (t) => {
    await restartGateways(t, (place) => place.stop());
  });

  test('delivers every row or says reset, when it is killed', async (t) => {
    await restartGateways(t, (place) => place.kill());
  });
});
