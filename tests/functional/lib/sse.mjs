// sse.mjs - an SSE client: what came, in order, with ids as a browser would keep them.
import http from 'node:http';
import { Inbox } from './inbox.mjs';

/** Bytes to events, by the rules of the HTML standard. */
export class SseParser {
  constructor(onEvent) {
    this.onEvent = onEvent;
    this.rest = '';
    this.lastId = '';
    this.clear();
  }

  clear() {
    this.data = [];
    this.name = 'message';
    this.fields = [];
  }

  push(text) {
    const lines = (this.rest + text).split('\n');
    this.rest = lines.pop();
    for (const line of lines) {
      this.#line(line);
    }
  }

  #line(line) {
    if (line === '') {
      this.#dispatch();
    } else if (line.startsWith(':')) {
      this.onEvent({ type: 'comment', text: line.slice(1) });
    } else {
      const at = line.indexOf(':');
      const field = at < 0 ? line : line.slice(0, at);
      const value = at < 0 ? '' : line.slice(at + 1).replace(/^ /, '');
      this.fields.push(field);
      if (field === 'data') {
        this.data.push(value);
      } else if (field === 'event') {
        this.name = value;
      } else if (field === 'id') {
        this.pendingId = value;
      } else if (field === 'retry') {
        this.onEvent({ type: 'retry', ms: Number(value) });
      }
    }
  }

  #dispatch() {
    if (this.pendingId !== undefined) {
      this.lastId = this.pendingId;
    }
    if (this.data.length > 0) {
      const text = this.data.join('\n');
      const event = { type: this.name, id: this.lastId, text, hasId: this.pendingId !== undefined };
      this.onEvent({ ...event, data: JSON.parse(text) });
    } else if (this.pendingId !== undefined) {
      this.onEvent({ type: 'position', id: this.lastId });
    }
    this.pendingId = undefined;
    this.clear();
  }
}

/** One stream. `events` is an Inbox of { type, id, data, text }, and comment, retry, position. */
export class SseClient {
  constructor(request, onEvent = () => {}) {
    this.request = request;
    this.events = new Inbox('stream');
    this.parser = new SseParser((event) => {
      if (!this.isEnded) {
        onEvent(event);
        this.events.push(event);
      }
    });
    this.ended = new Promise((resolve) => {
      this.markEnded = resolve;
    });
    this.isEnded = false;
  }

  /** What a client would resume from. */
  get lastId() {
    return this.parser.lastId;
  }

  get rows() {
    return this.events.items.filter((e) => e.type === 'message');
  }

  ofType(type) {
    return this.events.items.filter((e) => e.type === type);
  }

  /** Waits for an event of this type (that fits). */
  take(type, fits = () => true, options = {}) {
    return this.events.take((e) => e.type === type && fits(e), { what: type, ...options });
  }

  /** Cuts the connection, now. */
  kill() {
    this.request.destroy();
    this.finish();
  }

  finish() {
    this.isEnded = true;
    this.markEnded();
  }
}

/** The query of a stream; topics may be one or many. */
export function streamPath(topics, params = {}) {
  const query = new URLSearchParams(params);
  for (const topic of [topics].flat()) {
    query.append('topic', topic);
  }
  return `/sync/v1/stream?${query}`;
}

/**
 * Opens a stream: a client once the head is there. What is no stream rejects with an error
 * that has status, headers, body and json. `onEvent` sees each event as it comes.
 */
export function openStream(baseUrl, options) {
  const { topics = [], params, token, lastEventId, headers = {}, onEvent } = options;
  return new Promise((resolve, reject) => {
    const all = { accept: 'text/event-stream', ...headers };
    if (token !== undefined) {
      all.authorization = `Bearer ${token}`;
    }
    if (lastEventId !== undefined) {
      all['last-event-id'] = lastEventId;
    }
    const request = http.request(baseUrl + streamPath(topics, params), { headers: all, agent: false });
    const client = new SseClient(request, onEvent);
    request.on('error', (error) => {
      client.finish();
      reject(error);
    });
    request.on('response', (response) => {
      client.status = response.statusCode;
      client.headers = response.headers;
      response.setEncoding('utf8');
      response.on('error', () => client.finish());
      response.on('close', () => client.finish());
      if (response.statusCode !== 200) {
        let body = '';
        response.on('data', (text) => {
          body += text;
        });
        response.on('end', () => {
          const error = new Error(`the stream was refused: ${response.statusCode} ${body}`);
          const json = body === '' ? null : JSON.parse(body);
          const { statusCode: status, headers: got } = response;
          reject(Object.assign(error, { status, headers: got, body, json }));
        });
        return;
      }
      response.on('data', (text) => client.parser.push(text));
      resolve(client);
    });
    request.end();
  });
}

/** Position of a cursor: [epoch, ms, seq]. */
export function parseCursor(id) {
  const dot = id.lastIndexOf('.');
  const [ms, seq] = id.slice(dot + 1).split('-');
  return [id.slice(0, dot), BigInt(ms), BigInt(seq)];
}

/** Whether cursor `a` lies above `b`; of one epoch both. */
export function isAbove(a, b) {
  const [, am, as] = parseCursor(a);
  const [, bm, bs] = parseCursor(b);
  return am > bm || (am === bm && as > bs);
}
