// device.mjs - a device as an app would write it: it takes the same topics by SSE, WebSocket or
// poll, changes between them whenever it likes, and keeps one cursor a topic.
import assert from 'node:assert/strict';
import http from 'node:http';
import WebSocket from 'ws';
import { within } from '../../localbase/within.mjs';
import { isAbove, openStream } from './sse.mjs';
import { until } from './streams.mjs';

const END_MS = 30_000; /* a poll's wait, and some more */

/** One JSON request; { status, headers, json }. */
export function ask(baseUrl, path, { method = 'GET', token, body, headers = {}, signal } = {}) {
  return new Promise((resolve, reject) => {
    const all = { ...headers };
    if (token !== undefined) {
      all.authorization = `Bearer ${token}`;
    }
    if (body !== undefined) {
      all['content-type'] = 'application/json';
    }
    const request = http.request(baseUrl + path, { method, headers: all, agent: false, signal });
    request.on('error', reject);
    request.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (data) => {
        text += data;
      });
      response.on('error', reject);
      response.on('end', () => {
        const { statusCode: status, headers: got } = response;
        resolve({ status, headers: got, json: text === '' ? null : JSON.parse(text) });
      });
    });
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** The earliest of some cursors of one epoch. */
const earliest = (cursors) => cursors.reduce((a, b) => (isAbove(a, b) ? b : a));

/** What a connection of a device has promised per topic, and the check of what it brings. */
class Connection {
  constructor(device, floors) {
    this.device = device;
    this.floors = floors; /* topic -> cursor it began behind */
    this.last = new Map(floors);
    this.events = 0;
    this.isOver = false;
    this.over = new Promise((resolve) => {
      this.markOver = () => {
        this.isOver = true;
        resolve();
      };
    });
  }

  /** A message in the form of WebSocket and poll. */
  take(message) {
    if (this.isOver) {
      return; // what was on its way when the device died
    }
    const { event, topic, id } = message;
    if (event === undefined) {
      assert.ok(this.floors.has(topic), `${topic} was not asked for`);
      assert.ok(isAbove(id, this.last.get(topic)), `${this.name}: ${id} of ${topic} came late or again`);
      this.last.set(topic, id);
      this.events++;
      this.device.keep(topic, id, message.record.title ?? message.record.kind);
    } else if (event === 'reset') {
      this.device.resets.push(message);
    }
  }

  /** A cursor for all its topics: everything up to it has come. */
  moveTo(cursor) {
    if (!this.isOver) {
      for (const topic of this.floors.keys()) {
        this.device.moveTo(topic, cursor);
      }
    }
  }
}

export class Device {
  /** `isAlone`: nobody else goes by its name, so what is acknowledged for it is its own. */
  constructor({ url, token, name, random, isAlone = true }) {
    Object.assign(this, { url, token, name, random, isAlone });
    this.at = new Map(); /* topic -> cursor */
    this.got = new Map(); /* topic -> [title], once each */
    this.resets = [];
    this.uses = { sse: 0, ws: 0, poll: 0 };
    this.repeats = 0;
    this.connection = null;
    this.isFinished = false;
    this.doing = 'nothing yet';
  }

  keep(topic, id, title) {
    if (isAbove(id, this.at.get(topic))) {
      this.at.set(topic, id);
      this.got.get(topic).push(title);
    } else {
      this.repeats++; // asked from further back, for another topic's sake
    }
  }

  moveTo(topic, cursor) {
    if (isAbove(cursor, this.at.get(topic))) {
      this.at.set(topic, cursor);
    }
  }

  /** Begins on all topics now. */
  async begin(topics) {
    const stream = await openStream(this.url(), { topics, token: this.token, params: { device: this.name } });
    const hello = await stream.take('hello');
    for (const topic of topics) {
      this.at.set(topic, hello.id);
      this.got.set(topic, []);
    }
    stream.kill();
  }

  /** Tells the gateway what it has, so that it may come without a cursor. */
  async acknowledge() {
    this.doing = 'acknowledging';
    const body = { device: this.name, topics: Object.fromEntries(this.at) };
    const { status, json } = await ask(this.url(), '/sync/v1/ack', { method: 'POST', token: this.token, body });
    assert.equal(status, 200, JSON.stringify(json));
  }

  /** Dies, whatever it is doing. */
  kill() {
    this.connection?.kill?.();
    this.connection?.markOver();
  }

  #pick(list) {
    return list[Math.floor(this.random() * list.length)];
  }

  /** One connection, by any transport, until it has brought `n` events or is killed. */
  async connect(n) {
    const one = !this.isSettling && this.random() < 0.3;
    const topics = one ? [this.#pick([...this.at.keys()])] : [...this.at.keys()];
    const byDevice = this.isAlone && this.random() < 0.4;
    const transport = this.#pick(['sse', 'ws', 'poll']);
    if (byDevice) {
      await this.acknowledge();
    }
    if (this.isFinished || (one && this.isSettling)) {
      return; // meanwhile: nothing more may come, and nobody would end the connection
    }
    this.uses[transport]++;
    this.doing = `taking ${n} of ${topics} by ${transport}${byDevice ? ', without a cursor' : ''}`;
    await this[`by_${transport}`](topics, byDevice, n);
  }

  #open(topics, floors, name) {
    const connection = new Connection(this, new Map(topics.map((topic, i) => [topic, floors[i]])));
    connection.name = `${this.name} by ${name}`;
    this.connection = connection;
    return connection;
  }

  /** Where a stream with one cursor for all its topics begins. */
  #common(topics, byDevice) {
    const own = topics.map((topic) => this.at.get(topic));
    const cursor = earliest(own);
    return { floors: byDevice ? own : own.map(() => cursor), params: byDevice ? {} : { cursor } };
  }

  async by_sse(topics, byDevice, n) {
    const { floors, params } = this.#common(topics, byDevice);
    const connection = this.#open(topics, floors, 'sse');
    const stream = await openStream(this.url(), {
      topics,
      token: this.token,
      params: { ...params, device: this.name },
      onEvent: (event) => {
        if (event.type === 'position') {
          connection.moveTo(event.id);
        } else if (event.data !== undefined) {
          const named = event.type === 'message' ? {} : { event: event.type };
          connection.take({ ...named, ...event.data, id: event.id });
        }
        if (connection.events >= n) {
          connection.markOver();
        }
      },
    });
    await Promise.race([connection.over, stream.ended]);
    connection.markOver();
    stream.kill();
  }

  async by_ws(topics, byDevice, n) {
    const connection = this.#open(topics, topics.map((topic) => this.at.get(topic)), 'ws');
    const url = `${this.url().replace('http', 'ws')}/sync/v1/ws?device=${this.name}`;
    const socket = new WebSocket(url, { headers: { authorization: `Bearer ${this.token}` } });
    connection.kill = () => socket.terminate();
    const failed = [];
    const subscribe = (topic) => {
      const cursor = byDevice ? {} : { cursor: this.at.get(topic) };
      socket.send(JSON.stringify({ event: 'subscribe', ref: topic, topic, ...cursor }));
    };
    const waiting = [...topics];
    socket.on('message', (data) => {
      const message = JSON.parse(data);
      if (message.event === 'hello') {
        subscribe(waiting.shift());
      } else if (message.event === 'ok' && waiting.length > 0) {
        subscribe(waiting.shift()); // on a running socket, with an older cursor
      } else if (message.event === 'error') {
        failed.push(message);
        connection.markOver();
      } else {
        connection.take(message);
      }
      if (connection.events >= n) {
        connection.markOver();
      }
    });
    socket.on('error', (error) => failed.push(error));
    socket.on('close', () => connection.markOver());
    await connection.over;
    socket.terminate();
    assert.deepEqual(failed.filter((e) => e.event === 'error'), []);
  }

  async by_poll(topics, byDevice, n) {
    const { floors, params } = this.#common(topics, byDevice);
    const connection = this.#open(topics, floors, 'poll');
    const abort = new AbortController();
    connection.kill = () => abort.abort();
    let query = params;
    while (!connection.isOver && connection.events < n) {
      const search = new URLSearchParams({
        ...query,
        device: this.name,
        wait: this.#pick(['0', '1', '20']),
        limit: this.#pick(['1', '3', '100']),
      });
      topics.forEach((topic) => search.append('topic', topic));
      const answer = await ask(this.url(), `/sync/v1/poll?${search}`, {
        token: this.token,
        signal: abort.signal,
      }).catch((error) => {
        if (abort.signal.aborted) {
          return null;
        }
        throw error;
      });
      if (answer === null) {
        return;
      }
      assert.ok([200, 204].includes(answer.status), JSON.stringify(answer));
      for (const message of answer.json?.events ?? []) {
        connection.take(message);
      }
      const cursor = answer.json?.cursor ?? answer.headers['tidegate-cursor'];
      assert.equal(answer.headers['tidegate-cursor'], cursor);
      connection.moveTo(cursor);
      query = { cursor };
      topics.forEach((topic) => connection.last.set(topic, cursor)); // one for all, from here on
    }
    connection.markOver();
  }

  /** Nothing more will come: from here on it asks for all its topics. */
  settle() {
    this.isSettling = true;
    this.kill();
  }

  /** Lives: connection after connection, until finish(). */
  live() {
    this.life = (async () => {
      while (!this.isFinished) {
        await this.connect(1 + Math.floor(this.random() * 20));
      }
      this.doing = 'nothing any more';
    })();
    return this.life;
  }

  /** Ends its life, whatever it is doing; what it does on and on is told. */
  async finish() {
    this.isFinished = true;
    this.kill();
    await within(END_MS, this.life, () => `${this.name}, ${this.doing}, does not end`);
  }

  /** Until it has all of `wanted` (topic -> titles), each once and in order. */
  async complete(wanted, timeoutMs = 60_000) {
    const lacks = () => [...wanted].filter(([topic, titles]) => this.got.get(topic).length < titles.length);
    await until(() => lacks().length === 0, `${this.name}'s events`, timeoutMs).catch((error) => {
      const missing = lacks().map(([topic, titles]) => {
        const got = new Set(this.got.get(topic));
        return `${topic}: ${titles.filter((title) => !got.has(title)).slice(0, 5)}`;
      });
      throw new Error(`${error.message}; missing ${missing.join('; ')}`);
    });
    for (const [topic, titles] of wanted) {
      assert.deepEqual(this.got.get(topic), titles, `${this.name}: ${topic}, once each, in order`);
    }
  }
}
