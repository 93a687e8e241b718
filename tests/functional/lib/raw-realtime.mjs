// raw-realtime.mjs - a Realtime client of bare frames, for tests of the protocol itself.
import { once } from 'node:events';
import WebSocket from 'ws';
import { Inbox } from './inbox.mjs';

/** The frame as an object, whichever vsn it came in. `raw` is what was on the wire. */
function readFrame(vsn, data, isBinary) {
  if (isBinary) {
    return { binary: Buffer.from(data) };
  }
  const raw = data.toString('utf8');
  const value = JSON.parse(raw);
  if (vsn.startsWith('1')) {
    return { raw, value, joinRef: null, ...value };
  }
  const [joinRef, ref, topic, event, payload] = value;
  return { raw, value, joinRef, ref, topic, event, payload };
}

export class RawRealtime {
  /** Opens a socket; `params` are more query parameters. */
  static async open(url, apikey, { vsn = '2.0.0', params = {}, headers = {} } = {}) {
    const query = new URLSearchParams({ apikey, vsn, ...params });
    const target = `${url.replace(/^http/, 'ws')}/realtime/v1/websocket?${query}`;
    const ws = new WebSocket(target, { headers, perMessageDeflate: true });
    const client = new RawRealtime(ws, vsn);
    await once(ws, 'open');
    return client;
  }

  constructor(ws, vsn) {
    this.ws = ws;
    this.vsn = vsn;
    this.ref = 0;
    this.inbox = new Inbox('frames');
    this.closed = new Promise((resolve) => {
      ws.on('close', (code, reason) => resolve({ code, reason: reason.toString() }));
    });
    ws.on('message', (data, isBinary) => this.inbox.push(readFrame(vsn, data, isBinary)));
  }

  nextRef() {
    return String(++this.ref);
  }

  send({ joinRef = null, ref = this.nextRef(), topic, event, payload = {} }) {
    const frame = this.vsn.startsWith('1')
      ? { topic, event, payload, ref, join_ref: joinRef }
      : [joinRef, ref, topic, event, payload];
    this.ws.send(JSON.stringify(frame));
    return ref;
  }

  reply(ref) {
    return this.inbox.take((f) => f.event === 'phx_reply' && f.ref === ref, {
      what: `the reply to ${ref}`,
    });
  }

  /** Sends and waits for the answer. */
  async ask(frame) {
    return this.reply(this.send(frame));
  }

  /** Joins, and answers { ref, reply }. */
  async join(topic, { config = {}, token } = {}) {
    const ref = this.nextRef();
    const payload = { config, ...(token === undefined ? {} : { access_token: token }) };
    this.send({ joinRef: ref, ref, topic, event: 'phx_join', payload });
    return { ref, reply: (await this.reply(ref)).payload };
  }

  /** Joins for changes and waits until they are being sent. */
  async subscribe(topic, changes, token) {
    const from = this.inbox.size;
    const joined = await this.join(topic, { config: { postgres_changes: changes }, token });
    await this.subscribed(topic, from);
    return { ...joined, ids: joined.reply.response.postgres_changes.map((c) => c.id) };
  }

  subscribed(topic, from = 0) {
    const fits = (f) =>
      f.event === 'system' && f.topic === topic && f.payload.message === 'Subscribed to PostgreSQL';
    return this.inbox.take(fits, { from, what: `Subscribed of ${topic}` });
  }

  event(name, { topic, from = 0, fits = () => true } = {}) {
    const all = (f) => f.event === name && (topic === undefined || f.topic === topic) && fits(f);
    return this.inbox.take(all, { from, what: `event ${name}` });
  }

  /** Resolves when everything sent before has been handled: the heartbeat comes back in order. */
  async settle() {
    await this.ask({ topic: 'phoenix', event: 'heartbeat' });
  }

  async close() {
    this.ws.close();
    await this.closed;
  }
}
