// poll.mjs - a client that polls: one answer at a time, its cursor kept from one to the next.
import assert from 'node:assert/strict';
import http from 'node:http';

/** The target of a poll; topics may be one or many. */
export function pollPath(topics, params = {}) {
  const query = new URLSearchParams(params);
  for (const topic of [topics].flat()) {
    query.append('topic', topic);
  }
  return `/sync/v1/poll?${query}`;
}

/**
 * One poll: { status, headers, text, json (null without a body), events, cursor, bytes } once
 * the answer is whole. `agent` keeps connections.
 */
export function poll(baseUrl, { topics = [], params, token, headers = {}, agent = false, onRequest }) {
  return new Promise((resolve, reject) => {
    const all = { ...headers };
    if (token !== undefined) {
      all.authorization = `Bearer ${token}`;
    }
    const request = http.request(baseUrl + pollPath(topics, params), { headers: all, agent });
    request.on('error', reject);
    request.on('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('error', reject);
      response.on('data', (data) => {
        text += data;
      });
      response.on('end', () => {
        const { statusCode: status, headers: got, socket } = response;
        const json = text === '' ? null : JSON.parse(text);
        if (json?.cursor !== undefined) {
          assert.equal(got['tidegate-cursor'], json.cursor);
          assert.equal(got.etag, `"${json.cursor}"`);
        }
        const cursor = got['tidegate-cursor'];
        resolve({ status, headers: got, text, json, events: json?.events ?? [], cursor, socket });
      });
    });
    onRequest?.(request);
    request.end();
  });
}

/** Polls on and on from where the last answer ended. */
export class Poller {
  constructor(options) {
    Object.assign(this, options); /* url, topics, token, params */
    this.cursor = options.cursor ?? null;
  }

  async next(params = {}, headers = {}) {
    const all = { ...this.params, ...params };
    if (this.cursor !== null) {
      all.cursor = this.cursor;
    }
    const { url, topics, token } = this;
    const answer = await poll(url, { topics, token, params: all, headers });
    if (answer.cursor !== undefined) {
      this.cursor = answer.cursor;
    }
    return answer;
  }

  /** Polls, waiting, until `holds(events so far)`; all events. */
  async until(holds, params = { wait: 5 }) {
    const events = [];
    const end = Date.now() + 30_000;
    while (!holds(events)) {
      assert.ok(Date.now() < end, `only ${events.length} events came`);
      const answer = await this.next(params);
      assert.ok([200, 204].includes(answer.status), `${answer.status} ${answer.text}`);
      events.push(...answer.events);
    }
    return events;
  }
}
