// follower.mjs - one user's app on one topic, by one transport: it resumes where it was whenever its
// connection ends, forgets everything when it is told that it may not read any more, and asks
// again when somebody gives it the right back. What came is kept per stay: from a subscription
// to the revocation, or to the end.
import assert from 'node:assert/strict';
import { ask } from './device.mjs';
import { openStream } from './sse.mjs';
import { openSocket } from './ws.mjs';

/** The gateway cannot know now, or the connection broke: asked again. */
const isPassing = (error) => error.status === 503 || error.status === undefined;

const soon = (value) =>
  new Promise((resolve) => {
    setTimeout(resolve, 10, value); // asks on: nothing is decided by the time it takes
  });

export class Follower {
  /**
   * `clock()` is the number of the last write committed; `read()` the rows of the topic by REST;
   * `heard(message, since)` is told all that comes, and by Date.now() when it was asked for.
   */
  constructor({ url, token, name, topic, transport, clock, read, heard = () => {} }) {
    Object.assign(this, { url, token, name, topic, transport, clock, read, heard });
    this.stays = [];
    this.rows = new Map(); /* id -> record */
    this.cursor = null;
    this.stay = null;
    this.resets = [];
    this.kills = 0;
    this.isDone = false;
    this.knock = () => {};
    this.cut = () => {};
    this.asleep = null;
    this.wakeUp = () => {};
  }

  /** A stay begins: from here on nothing may be missed. */
  #begin(cursor) {
    this.cursor = cursor;
    if (this.stay === null) {
      this.stay = { from: this.clock(), events: [], reads: 0 };
      this.stays.push(this.stay);
      this.#reread();
    }
  }

  /** After a subscription, and after a reset, an app reads what is there; newer events win. */
  #reread() {
    const { stay } = this;
    stay.reads++;
    this.reading = (async () => {
      const since = stay.events.length;
      let rows = null;
      while (rows === null && this.stay === stay && !this.isDone) {
        rows = await this.read(this.token).catch(() => soon(null)); /* the gateway is away: again */
      }
      if (rows === null || this.stay !== stay) {
        return;
      }
      const touched = new Set(stay.events.slice(since).map((e) => e.pk));
      const read = new Map(rows.map((row) => [row.id, row]));
      for (const id of [...this.rows.keys()].filter((key) => !read.has(key) && !touched.has(key))) {
        this.rows.delete(id);
      }
      for (const [id, row] of read) {
        if (!touched.has(id)) {
          this.rows.set(id, row);
        }
      }
      stay.reads--;
    })();
  }

  #lose() {
    if (this.stay !== null) {
      this.stay.until = this.clock();
    }
    this.stay = null;
    this.cursor = null;
    this.rows.clear();
  }

  /** One message, in the form of WebSocket and poll. */
  #take(message, since) {
    const { event, id } = message;
    this.heard(message, since);
    if (event === 'revoked') {
      assert.equal(message.topic, this.topic);
      this.#lose();
      this.cut();
      return;
    }
    if (this.stay === null) {
      assert.ok(event !== undefined, `${this.name}: ${JSON.stringify(message)} outside of a stay`);
      return;
    }
    if (event === 'reset') {
      this.resets.push(message);
      this.#reread();
    } else if (event === undefined) {
      assert.equal(message.topic, this.topic);
      const row = message.record ?? message.old_record;
      this.stay.events.push({
        type: message.type,
        pk: row.id,
        title: message.record?.title,
        isMoved: message.moved === true,
        isRepaired: message.repaired === true,
      });
      if (message.type === 'DELETE') {
        this.rows.delete(row.id);
      } else {
        this.rows.set(row.id, message.record);
      }
    }
    if (id !== undefined) {
      this.cursor = id;
    }
  }

  /** It may have been finished while its connection was being opened. */
  #endIfDone() {
    if (this.isDone) {
      this.cut();
    }
  }

  async by_sse() {
    const since = Date.now();
    const stream = await openStream(this.url(), {
      topics: this.topic,
      token: this.token,
      lastEventId: this.cursor ?? undefined,
      onEvent: (e) => {
        if (e.type === 'hello') {
          this.#begin(e.id);
        } else if (e.type === 'position') {
          this.cursor = e.id;
        } else if (e.data !== undefined) {
          const event = e.type === 'message' ? undefined : e.type;
          this.#take({ ...e.data, event, id: e.hasId ? e.id : undefined }, since);
        }
      },
    });
    this.cut = () => stream.kill();
    this.#endIfDone();
    await stream.ended;
  }

  async by_ws() {
    let refusal = null;
    const since = Date.now();
    const socket = await openSocket(this.url(), {
      token: this.token,
      onMessage: ({ type, data }) => {
        if (type === 'ok') {
          this.#begin(data.cursor);
        } else if (type === 'error') {
          refusal = data;
          this.cut();
        } else if (type !== 'hello' && type !== 'bye') {
          this.#take(data, since);
        }
      },
    });
    this.cut = () => socket.kill();
    this.#endIfDone();
    const cursor = this.cursor === null ? {} : { cursor: this.cursor };
    socket.say({ event: 'subscribe', ref: 's', topic: this.topic, ...cursor });
    await socket.closed;
    if (refusal !== null) {
      const status = refusal.code.startsWith('TG43') ? 403 : 503; /* docs/ERRORS.md */
      throw Object.assign(new Error(JSON.stringify(refusal)), { status });
    }
  }

  async by_poll() {
    const abort = new AbortController();
    let isOver = false;
    this.cut = () => {
      isOver = true;
      abort.abort();
    };
    while (!isOver) {
      const since = Date.now();
      const cursor = this.cursor === null ? {} : { cursor: this.cursor };
      const query = new URLSearchParams({ topic: this.topic, wait: '2', ...cursor });
      const { status, json, headers } = await ask(this.url(), `/sync/v1/poll?${query}`, {
        token: this.token,
        signal: abort.signal,
      }).catch((error) => {
        if (isOver) {
          return {};
        }
        throw error;
      });
      if (isOver) {
        return;
      }
      if (![200, 204].includes(status)) {
        throw Object.assign(new Error(`${status} ${JSON.stringify(json)}`), { status });
      }
      if (this.stay === null) {
        this.#begin(headers['tidegate-cursor']);
      }
      for (const message of json?.events ?? []) {
        this.#take(message, since);
      }
      if (this.stay !== null) {
        this.cursor = headers['tidegate-cursor'];
      }
    }
  }

  /** Begins anew, as an app that was installed again. */
  forget() {
    this.#lose();
    this.cut();
  }

  /** Dies, whatever it is doing; it comes back. */
  kill() {
    this.kills++;
    this.cut();
  }

  /** Is away until wakeUp(). */
  sleep() {
    this.asleep = new Promise((resolve) => {
      this.wakeUp = resolve;
    });
    this.kill();
  }

  /** Somebody has changed who may read: one that was refused asks again. */
  wake() {
    this.knock();
  }

  async live() {
    while (!this.isDone) {
      await this.asleep;
      try {
        await this[`by_${this.transport}`]();
      } catch (error) {
        if (error.status === 403) {
          this.#lose();
          if (!this.isDone) {
            await new Promise((resolve) => {
              this.knock = resolve;
            });
          }
        } else if (isPassing(error)) {
          await soon();
        } else {
          throw error;
        }
      }
      await this.reading;
    }
  }

  /** The last of its life. */
  finish() {
    this.isDone = true;
    this.wakeUp();
    this.knock();
    this.cut();
  }
}
