// channel.mjs - one joined topic of one socket (reference/realtime-protocol.md §4 to §10).
//
// A channel is live from its ok reply until end(); what arrives from a timer or
// the database after that is dropped.

import { mayWrite, readRights } from './authorize.mjs';
import { sliceObject } from './codec.mjs';
import { EntryError } from './filters.mjs';
import { checkToken, expiredNow } from './tokens.mjs';

const TOKEN_CHECK_MS = 300_000;
const PRESENCE_WINDOW_MS = 30_000;

let nextSerial = 1;

export class Channel {
  constructor(rt, socket, { topic, sub, joinRef, options, entries, claims, token }) {
    this.rt = rt;
    this.socket = socket;
    this.serial = nextSerial++;
    this.topic = topic;
    this.sub = sub;
    this.joinRef = joinRef;
    this.isPrivate = options.isPrivate;
    this.ack = options.ack;
    this.self = options.self;
    this.presenceKey = options.presenceKey;
    this.presenceEnabled = options.presenceEnabled;
    this.roomKey = rt.roomKey(sub, options.isPrivate);
    this.entries = entries;
    this.live = true;
    this.timers = new Set();
    this.subscription = null;
    this.attempt = 0;
    this.wanted = 0;
    this.presenceCalls = [];
    this.rights = { broadcast: true, presence: true };
    this.writes = new Map();
    this.useToken(token, claims);
  }

  /* Timers and tokens */

  after(ms, fn) {
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      fn();
    }, ms);
    this.timers.add(timer);
    return timer;
  }

  sleep(ms) {
    return new Promise((resolve) => {
      this.after(ms, resolve);
    });
  }

  useToken(token, claims) {
    this.token = token;
    this.claims = claims;
    this.claimsText = JSON.stringify(claims);
    this.writes.clear();
    clearTimeout(this.tokenTimer);
    this.timers.delete(this.tokenTimer);
    const left = Math.max(0, claims.exp * 1000 - Date.now());
    this.tokenTimer = this.after(Math.min(TOKEN_CHECK_MS, left), () => this.recheckToken());
  }

  async recheckToken() {
    try {
      this.useToken(this.token, await checkToken(this.rt.jwt, this.token));
    } catch (err) {
      this.shutdown(err.message);
    }
  }

  /** As if the token had run out this moment. */
  expireNow() {
    this.shutdown(expiredNow().message);
  }

  who() {
    return {
      sub: this.sub,
      claims: this.claims,
      claimsText: this.claimsText,
      headers: this.socket.headers,
    };
  }

  /* Private channels: resolves to a refusal text or null. */
  async authorize() {
    if (this.isPrivate) {
      this.rights = await readRights(this.rt.pool, this.who());
      if (!this.rights.broadcast && !this.rights.presence) {
        return `You do not have permissions to read from this Channel topic: ${this.sub}`;
      }
    }
    return null;
  }

  mayReadBroadcast() {
    return this.rights.broadcast;
  }

  mayReadPresence() {
    return this.rights.presence && (!this.isPrivate || this.presenceEnabled);
  }

  async mayWrite(extension) {
    if (!this.isPrivate) {
      return true;
    }
    if (!this.writes.has(extension)) {
      this.writes.set(
        extension,
        mayWrite(this.rt.pool, this.who(), extension).catch((err) => {
          this.rt.log(`write check on ${this.topic}: ${err.message}`);
          return false;
        }),
      );
    }
    return this.writes.get(extension);
  }

  /* Frames */

  /** Fan-out frames bear no refs. */
  push(event, payloadText) {
    if (this.live) {
      this.socket.send({ topic: this.topic, event, payloadText });
    }
  }

  /** Frames of the channel itself bear its join_ref. */
  pushOwn(event, payloadText) {
    if (this.live) {
      this.socket.send({ joinRef: this.joinRef, topic: this.topic, event, payloadText });
    }
  }

  system(extension, status, message) {
    this.pushOwn('system', JSON.stringify({ extension, status, message, channel: this.sub }));
  }

  reply(msg, status, response) {
    this.socket.reply(msg, status, response);
  }

  deliverChange(payloadText) {
    this.push('postgres_changes', payloadText);
  }

  /* Life */

  async afterJoin() {
    const started = this.entries.length > 0 ? await this.prepare() : null;
    if (this.live && this.presenceEnabled && this.mayReadPresence()) {
      this.pushOwn('presence_state', this.rt.rooms.presenceOf(this).stateText());
    }
    if (started !== null) {
      await this.finishSubscribe(started, this.rt.cfg.subscribedDelayMs);
    }
  }

  /* An inactive subscription under the present claims; null after a failure that was told. */
  async prepare() {
    const attempt = ++this.attempt;
    try {
      const subscription = await this.rt.changes.prepare(
        this,
        this.entries,
        this.claims,
        this.claimsText,
      );
      return attempt === this.attempt ? { attempt, subscription } : null;
    } catch (err) {
      if (err instanceof EntryError) {
        this.system('postgres_changes', 'error', err.message);
      } else {
        this.failedForNow(err);
      }
      return null;
    }
  }

  /* Something that may pass: told, and tried again later. */
  failedForNow(err) {
    this.system('postgres_changes', 'error', `{:error, ${JSON.stringify(err.message)}}`);
    if (this.live) {
      this.after(this.rt.cfg.subscribeRetryMs, () => this.resubscribe());
    }
  }

  async finishSubscribe({ attempt, subscription }, delayMs) {
    await this.sleep(delayMs + this.rt.faults.subscribedDelayMs);
    await this.rt.subscribedGate.pass();
    try {
      // The slot may have gone while we waited; from here to activate() it cannot.
      await this.rt.changes.ensureRunning();
    } catch (err) {
      this.failedForNow(err);
      return;
    }
    if (!this.live || attempt !== this.attempt) {
      return;
    }
    if (this.subscription !== null && this.subscription.active) {
      this.rt.changes.replace(this.subscription, subscription);
    } else {
      this.rt.changes.activate(subscription);
    }
    this.subscription = subscription;
    this.system('postgres_changes', 'ok', 'Subscribed to PostgreSQL');
  }

  /**
   * Subscribes again under the present claims; another `Subscribed` frame follows. There is one
   * timer for all reasons: who comes later puts it off, or takes its place.
   */
  async resubscribe(delayMs = this.rt.cfg.resubscribeDelayMs) {
    if (!this.live || this.entries.length === 0) {
      return;
    }
    const wanted = ++this.wanted;
    await this.sleep(delayMs);
    if (wanted !== this.wanted) {
      return;
    }
    const started = this.live ? await this.prepare() : null;
    if (started !== null) {
      await this.finishSubscribe(started, 0);
    }
  }

  /** Ends the channel without a word. Safe to call twice. */
  end() {
    if (!this.live) {
      return;
    }
    this.live = false;
    this.timers.forEach(clearTimeout);
    this.timers.clear();
    if (this.subscription !== null) {
      this.rt.changes.remove(this.subscription);
    }
    this.rt.rooms.leave(this);
    this.socket.forget(this);
  }

  /** phx_close and phx_error show the join_ref in both places. */
  close(event = 'phx_close', payload = {}) {
    this.end();
    this.socket.send({
      joinRef: this.joinRef,
      ref: this.joinRef,
      topic: this.topic,
      event,
      payloadText: JSON.stringify(payload),
    });
  }

  /** A deliberate end of this channel only: says why, then closes it. */
  shutdown(message) {
    if (this.live) {
      this.system('system', 'error', message);
      this.close();
    }
  }

  /* Messages */

  async handle(msg) {
    switch (msg.event) {
      case 'phx_leave':
        this.reply(msg, 'ok', '{}');
        this.close();
        break;
      case 'access_token':
        await this.onAccessToken(msg.payload?.access_token);
        break;
      case 'broadcast':
        await this.onBroadcast(msg);
        break;
      case 'presence':
        await this.onPresence(msg);
        break;
      default:
        break;
    }
  }

  async onAccessToken(token) {
    if (typeof token !== 'string' || token === this.token || token.startsWith('sb_')) {
      return;
    }
    try {
      this.useToken(token, await checkToken(this.rt.jwt, token));
    } catch (err) {
      this.shutdown(err.message);
      return;
    }
    const refusal = await this.authorize();
    if (refusal !== null) {
      this.shutdown(refusal);
      return;
    }
    this.resubscribe(this.rt.cfg.tokenDelayMs).catch((err) => this.rt.log(`resubscribe ${this.topic}: ${err.message}`));
  }

  async onBroadcast(msg) {
    if (!(await this.mayWrite('broadcast'))) {
      return;
    }
    const size =
      msg.user === undefined ? Buffer.byteLength(msg.payloadText) : msg.user.payload.length;
    if (size > this.rt.cfg.maxPayloadBytes) {
      if (this.ack) {
        this.reply(msg, 'error', '"payload_size_exceeded"');
      }
      return;
    }
    const except = this.self ? null : this;
    if (msg.user === undefined) {
      this.rt.rooms.broadcastText(this.roomKey, msg.payloadText, except);
    } else {
      this.rt.rooms.broadcastUser(this.roomKey, { ...msg.user, metadata: '' }, except);
    }
    if (this.ack) {
      this.reply(msg, 'ok', '{}');
    }
  }

  presenceLimitReached() {
    const now = Date.now();
    this.presenceCalls = this.presenceCalls.filter((t) => now - t < PRESENCE_WINDOW_MS);
    this.presenceCalls.push(now);
    return this.presenceCalls.length > this.rt.cfg.maxPresenceCalls;
  }

  async onPresence(msg) {
    if (this.presenceLimitReached()) {
      this.shutdown('Client presence rate limit exceeded');
      return;
    }
    const event = String(msg.payload?.event ?? '').toLowerCase();
    if (!['track', 'untrack'].includes(event) || !(await this.mayWrite('presence'))) {
      this.reply(msg, 'error', '{}');
      return;
    }
    const tracked = msg.payload.payload;
    if (
      event === 'track' &&
      (tracked === null || typeof tracked !== 'object' || Array.isArray(tracked))
    ) {
      this.reply(msg, 'error', '{"reason":"Presence track payload must be a map"}');
      return;
    }
    this.presenceEnabled = this.presenceEnabled || event === 'track';
    this.reply(msg, 'ok', '{}');
    this.rt.rooms.updatePresence(
      this,
      event === 'track' ? sliceObject(msg.payloadText).get('payload') : null,
    );
  }
}
