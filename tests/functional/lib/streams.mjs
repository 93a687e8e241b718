// streams.mjs - what the tests of event streams share: a gateway that can be restarted in its
// place, rows that are written and awaited, and a reader that resumes as an app would.
import assert from 'node:assert/strict';
import { inFrontOf, startGateway } from './gateway.mjs';
import { isAbove, openStream, parseCursor } from './sse.mjs';

export const TASKS = 'table:public.tasks';
export const EVENTS = 'table:public.events';
export const SAMPLES = 'table:public.type_samples';

/** Asks again and again until `holds` says something true; what it said. */
export async function until(holds, what = 'a condition', timeoutMs = 20_000) {
  const end = Date.now() + timeoutMs;
  for (;;) {
    const value = await holds();
    if (value) {
      return value;
    }
    assert.ok(Date.now() < end, `${what} did not come`);
    await new Promise((resolve) => {
      setTimeout(resolve, 5); // asks on: nothing is decided by the time it takes
    });
  }
}

/** A gateway in its place: restarted, it listens where it did. */
class Place {
  constructor(settings) {
    this.settings = settings;
    this.now = null;
  }

  async start() {
    this.now = await startGateway(this.settings);
    this.url = this.now.url;
    this.settings.server.listen = `127.0.0.1:${this.now.port}`;
    return this;
  }

  get log() {
    return this.now.log;
  }

  get adminUrl() {
    return this.now.adminUrl;
  }

  metric(name) {
    return this.now.metric(name);
  }

  rssKib() {
    return this.now.rssKib();
  }

  /** SIGTERM; exit status 0 or the test fails. */
  async stop() {
    const gateway = this.now;
    this.now = null;
    if (gateway !== null) {
      assert.equal(await gateway.stop(), 0, `exit status; log:\n${gateway.lines().slice(-5000)}`);
    }
    return gateway;
  }

  async kill() {
    const gateway = this.now;
    this.now = null;
    await gateway?.kill();
  }
}

/**
 * Until upstream has told of all that was written: who subscribes from here on hears of what follows
 * alone. (Otherwise rows that were committed just before may still come.)
 */
export const settled = (stack) => stack.control.part('realtime', 'settle');

/**
 * A gateway before `stack` for one test, behind all that was written for another; `t.after` stops
 * it. `settings` by section.
 */
export async function placeGateway(t, stack, settings = {}) {
  await stack.ready;
  await settled(stack);
  const place = new Place(
    inFrontOf(stack, {
      ...settings,
      server: { workers: 1, drain_timeout: '5s', ...settings.server },
    }),
  );
  t.after(() => place.stop());
  return place.start();
}

/** Rows of the demo schema, written as superuser through one pg client. */
export class Writer {
  constructor(stack, client) {
    this.stack = stack;
    this.client = client;
  }

  static async to(stack) {
    return new Writer(stack, await stack.connect());
  }

  /** Inserts a task per title into the trip, in one transaction each. */
  async tasks(titles, trip = this.stack.trip1_id) {
    const rows = [];
    for (const title of [titles].flat()) {
      const sql = 'insert into public.tasks (trip_id, title) values ($1, $2) returning *';
      rows.push((await this.client.query(sql, [trip, title])).rows[0]);
    }
    return rows;
  }

  async events(kinds, trip = this.stack.trip1_id) {
    for (const kind of [kinds].flat()) {
      await this.client.query('insert into public.events (trip_id, kind) values ($1, $2)', [
        trip,
        kind,
      ]);
    }
  }

  query(sql, values) {
    return this.client.query(sql, values);
  }
}

/** Titles `<name>-0` ... */
export const named = (name, n) => Array.from({ length: n }, (_, i) => `${name}-${i}`);

/** The titles (or kinds) of the rows that came. */
export const titles = (events) => events.map((e) => e.data.record.title ?? e.data.record.kind);

/** What a gateway has logged that explains a reset. */
export function gapsOf(place) {
  const events = /^(gap|feed_|link_|upstream_error|lease_lost|store_|change_unusable|tail_failed)/;
  const lines = place.log.items.filter((line) => events.test(line.event));
  return lines.map(({ event, why, cause }) => [event, why ?? cause ?? ''].join(' ').trim()).join(', ');
}

/** Ids ascend over everything that has one; within one epoch. */
export function assertAscending(events) {
  let last = null;
  for (const { id, hasId, type } of events) {
    if (!hasId) {
      continue;
    }
    if (last !== null && parseCursor(last)[0] === parseCursor(id)[0]) {
      assert.ok(type === 'reset' || last === id || isAbove(id, last), `${id} after ${last}`);
    }
    last = id;
  }
}

/**
 * An app: it reads a topic, resumes where it was whenever its stream ends, and on a `reset`, or
 * a topic that became ready late, reads the table again.
 */
export class App {
  constructor({ url, token, topics = TASKS, reread }) {
    Object.assign(this, { url, token, topics, reread });
    this.cursor = null;
    this.delivered = []; /* titles, in the order they came */
    this.seen = new Set(); /* delivered, or read again */
    this.ids = [];
    this.resets = [];
    this.client = null;
    this.rereads = Promise.resolve();
  }

  #take(event) {
    if (event.hasId) {
      this.cursor = event.id;
    }
    if (event.type === 'message') {
      const title = event.data.record.title ?? event.data.record.kind;
      this.delivered.push(title);
      this.seen.add(title);
      this.ids.push(event.id);
    } else if (event.type === 'reset' || (event.type === 'status' && event.data.state === 'ready')) {
      this.resets.push(event.data);
      this.#rereadSoon();
    } else if (event.type === 'position') {
      this.cursor = event.id;
    }
  }

  #rereadSoon() {
    this.rereads = this.rereads.then(async () => {
      for (const title of await this.reread()) {
        this.seen.add(title);
      }
    });
  }

  /** Connects, resuming; tries again while the gateway is away. */
  async connect(timeoutMs = 30_000) {
    const why = new Map(); /* what opening answered, and how often */
    this.client = await until(
      () =>
        openStream(this.url(), {
          topics: this.topics,
          token: this.token,
          lastEventId: this.cursor ?? undefined,
          onEvent: (event) => this.#take(event),
        }).catch((error) => {
          if (error.status !== undefined && error.status < 500) {
            throw error;
          }
          why.set(error.message, (why.get(error.message) ?? 0) + 1);
          return null;
        }),
      'a stream',
      timeoutMs,
    ).catch((error) => {
      throw new Error(`${error.message}: ${JSON.stringify([...why])}`);
    });
    return this.client;
  }

  kill() {
    this.client.kill();
  }

  /** Until everything in `wanted` was seen; says what is missing otherwise. */
  async complete(wanted, timeoutMs = 30_000) {
    const missing = () => wanted.filter((title) => !this.seen.has(title));
    await until(
      async () => {
        await this.rereads;
        return missing().length === 0;
      },
      'all rows',
      timeoutMs,
    ).catch((error) => {
      const lost = missing();
      throw new Error(`${error.message}: ${lost.length} missing, first ${lost.slice(0, 5)}`);
    });
  }

  /** Nothing came twice, and in the order of its ids. */
  assertOnceInOrder() {
    assert.equal(new Set(this.delivered).size, this.delivered.length, 'a row came twice');
    for (let i = 1; i < this.ids.length; i++) {
      const same = parseCursor(this.ids[i])[0] === parseCursor(this.ids[i - 1])[0];
      assert.ok(!same || isAbove(this.ids[i], this.ids[i - 1]), `${this.ids[i]} came late`);
    }
  }
}

/** A generator of numbers in [0, 1) that can be repeated. */
export function randomFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 4294967296;
  };
}

/** The seed of this run, told so that it can be repeated: SEED=... */
export function seedOf(t) {
  const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 32));
  t.diagnostic(`SEED=${seed}`);
  return seed;
}
