// Topics that come and go at random on WebSockets that die at random, each with the cursor where its
// client left it, while rows are written: of every topic everything, once, in order. SEED=<n>
// repeats a run.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { useLocalbase } from './lib/localbase.mjs';
import { startRedis } from './lib/redis.mjs';
import { isAbove } from './lib/sse.mjs';
import { EVENTS, named, placeGateway, randomFrom, seedOf, TASKS, until, Writer } from './lib/streams.mjs';
import { openSocket } from './lib/ws.mjs';

const stack = useLocalbase();
const ROWS = 400;
const STEPS = 120;
const FILTERED = `${TASKS}:title=neq.t-7`;
const TOPICS = [TASKS, EVENTS, FILTERED];

/** A client that keeps one cursor a topic. */
class Reader {
  constructor(url, random) {
    Object.assign(this, { url, random, socket: null, has: new Set() });
    this.cursors = new Map();
    this.seen = new Map(TOPICS.map((topic) => [topic, []]));
    this.wrongs = [];
  }

  take({ type, id, data }) {
    if (type === 'message') {
      const last = this.cursors.get(data.topic);
      if (last !== undefined && !isAbove(id, last)) {
        this.wrongs.push(`${data.topic}: ${id} after ${last}`);
      }
      this.cursors.set(data.topic, id);
      this.seen.get(data.topic).push(data.record.title ?? data.record.kind);
    } else if (type === 'reset' || type === 'revoked') {
      this.wrongs.push(JSON.stringify(data));
    }
  }

  async connect() {
    this.has.clear();
    this.socket = await openSocket(this.url, {
      token: stack.user1.token, onMessage: (event) => this.take(event),
    });
  }

  async subscribe(topic) {
    const cursor = this.cursors.get(topic);
    const answer = await this.socket.tell('subscribe', { topic, cursor: cursor ?? 'now' });
    assert.equal(answer.recovered, cursor === undefined ? undefined : true, JSON.stringify(answer));
    if (cursor === undefined) {
      this.cursors.set(topic, answer.cursor);
    }
    this.has.add(topic);
  }

  async unsubscribe(topic) {
    await this.socket.tell('unsubscribe', { topic });
    this.has.delete(topic);
  }

  /** Something, at random. */
  async step() {
    const topic = TOPICS[Math.floor(this.random() * TOPICS.length)];
    if (this.random() < 0.1) {
      this.socket.kill();
      await this.connect();
    } else if (this.has.has(topic)) {
      await this.unsubscribe(topic);
    } else {
      await this.subscribe(topic);
    }
  }
}

async function run(t, settings) {
  const random = randomFrom(seedOf(t));
  const gateway = await placeGateway(t, stack, settings);
  const writer = await Writer.to(stack);
  const readers = [new Reader(gateway.url, random), new Reader(gateway.url, random)];
  t.after(() => readers.forEach((reader) => reader.socket?.kill()));
  for (const reader of readers) {
    await reader.connect();
    for (const topic of TOPICS) {
      await reader.subscribe(topic);
    }
  }
  const tasks = named('t', ROWS / 2);
  const events = named('e', ROWS / 2);
  const write = async () => {
    for (let i = 0; i < ROWS / 2; i++) {
      await writer.tasks(tasks[i]);
      await writer.events(events[i]);
    }
  };
  const read = async (reader) => {
    for (let i = 0; i < STEPS; i++) {
      await reader.step();
    }
  };
  await Promise.all([write(), ...readers.map(read)]);
  const wanted = new Map([
    [TASKS, tasks], [EVENTS, events], [FILTERED, tasks.filter((title) => title !== 't-7')],
  ]);
  for (const reader of readers) {
    for (const topic of TOPICS.filter((name) => !reader.has.has(name))) {
      await reader.subscribe(topic);
    }
    for (const [topic, titles] of wanted) {
      await until(() => reader.seen.get(topic).length >= titles.length, `all of ${topic}`);
      assert.deepEqual(reader.seen.get(topic), titles);
    }
    assert.deepEqual(reader.wrongs, []);
  }
}

describe('topics that come and go', () => {
  test('miss nothing, from memory', (t) => run(t, {}));

  test('miss nothing, from Redis and small rings, with two workers', async (t) => {
    const redis = await startRedis(t);
    await run(t, { server: { workers: 2 }, streams: { ring_events: 16 }, store: { url: redis.url } });
  });
});
