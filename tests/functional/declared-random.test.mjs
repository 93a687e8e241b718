// Random writes, losses and restarts: whoever follows a declared topic with `catchup` ends with what
// the database has. SEED=... repeats a run, RUNS=... makes more of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DECLARED, placeDeclared, Trips } from './lib/declared.mjs';
import { useLocalbase } from './lib/localbase.mjs';
import { startRedis } from './lib/redis.mjs';
import { openStream } from './lib/sse.mjs';
import { randomFrom, seedOf, until } from './lib/streams.mjs';

const stack = useLocalbase();
const RUNS = Number(process.env.RUNS ?? 2);
const STEPS = 60;

/** What a device has of one topic: it applies what comes by primary key, and resumes by cursor. */
class Device {
  constructor(gateway, topic) {
    Object.assign(this, { gateway, topic, rows: new Map(), cursor: 'now', resets: 0, log: [] });
  }

  #take(event) {
    if (event.hasId) {
      this.cursor = event.id;
    }
    if (event.type === 'reset') {
      this.resets++;
      this.log.push(`reset ${event.data.reason}`);
    } else if (event.type === 'message') {
      const { type, record, old_record: old } = event.data;
      this.log.push(`${event.id} ${JSON.stringify(event.data)}`);
      if (type === 'DELETE') {
        this.rows.delete(old.id);
      } else {
        this.rows.set(record.id, record.title);
      }
    }
  }

  async connect() {
    this.client = await until(
      () =>
        openStream(this.gateway.url, {
          topics: this.topic,
          headers: { apikey: stack.anon_key },
          lastEventId: this.cursor === 'now' ? undefined : this.cursor,
          onEvent: (event) => this.#take(event),
        }).catch(() => null),
      'a stream',
      60_000,
    );
    await this.client.take('hello');
  }
}

async function expected(trips, trip) {
  const { rows } = await trips.query('select id, title from public.tasks where trip_id = $1', [trip]);
  return new Map(rows.map((row) => [row.id, row.title]));
}

const same = (a, b) => a.size === b.size && [...a].every(([id, title]) => b.get(id) === title);

/** One random write. */
async function write(random, trips, world) {
  const pick = (list) => list[Math.floor(random() * list.length)];
  const what = random();
  if (what < 0.45 || world.tasks.length === 0) {
    world.tasks.push(await trips.task(pick(world.trips), `t${++world.n}`));
  } else if (what < 0.7) {
    await trips.rename(pick(world.tasks), `t${++world.n}`);
  } else if (what < 0.85) {
    await trips.move(pick(world.tasks), pick(world.trips));
  } else {
    const at = Math.floor(random() * world.tasks.length);
    await trips.remove(world.tasks.splice(at, 1)[0]);
  }
}

async function disturb(random, gateway, devices) {
  const part = (name, json) => stack.control.part('realtime', name, json);
  const what = random();
  if (what < 0.3) {
    await part('drop');
  } else if (what < 0.45) {
    await part('drop-changes', { count: 1 + Math.floor(random() * 5) });
  } else if (what < 0.6) {
    await part('resubscribe');
  } else if (what < 0.7) {
    await part('close-channels', { event: 'phx_error' });
  } else if (what < 0.8) {
    await gateway.kill();
    await gateway.start();
    await Promise.all(devices.map((d) => d.connect()));
  } else {
    const device = devices[Math.floor(random() * devices.length)];
    device.client.kill();
    await device.connect();
  }
  return what;
}

async function run(t, seed) {
  const random = randomFrom(seed);
  const redis = await startRedis(t);
  const gateway = await placeDeclared(t, stack, {
    tables: DECLARED.tables,
    topics: { 'kept-tasks': DECLARED.topics['kept-tasks'] },
    store: { url: redis.url },
    gateway: { lease: '2s' },
    index: { verify: '2s' },
  });
  const trips = await Trips.to(stack);
  const world = { trips: [], tasks: [], n: 0 };
  for (let i = 0; i < 3; i++) {
    world.trips.push(await trips.trip(`random ${i}`));
  }
  const devices = world.trips.map((trip) => new Device(gateway, `kept-tasks:${trip}`));
  await Promise.all(devices.map((d) => d.connect()));
  for (let i = 0; i < STEPS; i++) {
    await write(random, trips, world);
    if (random() < 0.1) {
      await disturb(random, gateway, devices);
    }
  }
  await stack.control.part('realtime', 'reset');
  for (const [i, trip] of world.trips.entries()) {
    const wanted = await expected(trips, trip);
    await until(() => same(devices[i].rows, wanted), `equality of ${i}`, 40_000).catch((error) => {
      const missing = [...wanted].filter(([id, title]) => devices[i].rows.get(id) !== title);
      const foreign = [...devices[i].rows].filter(([id]) => !wanted.has(id));
      throw new Error(
        `seed ${seed}: ${error.message}; resets ${devices[i].resets}, missing ${JSON.stringify(missing)}, ` +
          `foreign ${JSON.stringify(foreign)}, log\n${devices[i].log.slice(-40).join('\n')}\n${gateway.now.lines().slice(-6000)}`,
      );
    });
  }
  devices.forEach((d) => d.client.kill());
  await gateway.stop();
  await redis.stop?.();
  return devices.reduce((n, d) => n + d.resets, 0);
}

test('devices end with what the database has', { timeout: 300_000 }, async (t) => {
  const first = seedOf(t);
  for (let i = 0; i < RUNS; i++) {
    const resets = await run(t, first + i);
    t.diagnostic(`seed ${first + i}: ${resets} resets`);
  }
});
