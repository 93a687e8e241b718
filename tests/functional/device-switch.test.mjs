// Devices that change their transport at random, die at random, and come back with a cursor or
// without, while rows are written: everything once, in order. SEED=<n> repeats a run.
// also under tsan
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Device } from './lib/device.mjs';
import { useLocalbase } from './lib/localbase.mjs';
import { startRedis } from './lib/redis.mjs';
import { EVENTS, named, placeGateway, randomFrom, seedOf, TASKS, Writer } from './lib/streams.mjs';

const ROWS = 600;
const DEVICES = 4;
const stack = useLocalbase();

/** Rows of both tables in a random order, some at once; `before()` is awaited before each. */
async function insertAll(random, prefix, before) {
  const writer = await Writer.to(stack);
  const tasks = named(`${prefix}-t`, ROWS / 2);
  const events = named(`${prefix}-e`, ROWS / 2);
  const left = { tasks: [...tasks], events: [...events] };
  while (left.tasks.length + left.events.length > 0) {
    await before();
    const which = left.events.length === 0 || (left.tasks.length > 0 && random() < 0.5) ? 'tasks' : 'events';
    const n = random() < 0.1 ? Math.ceil(random() * 30) : 1;
    await writer.query('begin');
    await writer[which](left[which].splice(0, n));
    await writer.query('commit');
  }
  return new Map([[TASKS, tasks], [EVENTS, events]]);
}

async function switchAtRandom(t, settings) {
  const seed = seedOf(t);
  const random = randomFrom(seed);
  const place = await placeGateway(t, stack, settings);
  const names = [...named('phone', DEVICES - 2), 'twin', 'twin']; // and two streams of one device
  const devices = names.map((name) => {
    const isAlone = name !== 'twin';
    return new Device({ url: () => place.url, token: stack.user1.token, name, random, isAlone });
  });
  for (const device of devices) {
    await device.begin([TASKS, EVENTS]);
  }
  const lives = Promise.all(devices.map((device) => device.live()));
  const work = (async () => {
    const wanted = await insertAll(random, `s${seed}`, async () => {
      if (random() < 0.15) {
        devices[Math.floor(random() * DEVICES)].kill();
      }
    });
    devices.forEach((device) => device.settle());
    await Promise.all(devices.map((device) => device.complete(wanted)));
  })();
  await Promise.race([work, lives]); // a device that fails ends the test
  await Promise.all(devices.map((device) => device.finish()));
  for (const device of devices) {
    t.diagnostic(`${device.name}: ${JSON.stringify(device.uses)}, ${device.repeats} repeats`);
    assert.deepEqual(device.resets, [], 'nothing happened that would excuse a reset');
  }
}

describe('devices that switch between SSE, WebSocket and poll at random', () => {
  test('miss nothing and get nothing twice, from memory', async (t) => {
    await switchAtRandom(t, {});
  });

  test('miss nothing and get nothing twice, from Redis', async (t) => {
    const redis = await startRedis(t);
    await switchAtRandom(t, { store: { url: redis.url } });
  });

  test('miss nothing and get nothing twice, from small rings, with two workers', async (t) => {
    const redis = await startRedis(t);
    await switchAtRandom(t, {
      server: { workers: 2 },
      streams: { ring_events: 16 },
      store: { url: redis.url },
    });
  });
});
