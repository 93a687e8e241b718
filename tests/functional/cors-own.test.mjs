// What browsers may do with the gateway's own endpoints (DESIGN.md 5.2): preflights, what a page may
// send and read, and who may open a WebSocket.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { useLocalbase } from './lib/localbase.mjs';
import { openStream } from './lib/sse.mjs';
import { placeGateway, TASKS } from './lib/streams.mjs';
import { openSocket } from './lib/ws.mjs';

const stack = useLocalbase();
const ORIGIN = 'https://app.example.com';
const STRANGER = 'https://app.example.com.evil.example';

const ENDPOINTS = [
  ['GET', '/sync/v1/stream'],
  ['GET', '/sync/v1/poll'],
  ['POST', '/sync/v1/ticket'],
  ['POST', '/sync/v1/token'],
  ['POST', '/sync/v1/ack'],
  ['POST', '/sync/v1/publish'],
  ['GET', '/sync/v1/devices'],
  ['DELETE', '/sync/v1/devices/d1'],
];
const SENT = [
  'authorization', 'apikey', 'content-type', 'last-event-id', 'idempotency-key', 'if-none-match',
  'x-client-info', 'x-supabase-api-version', 'x-request-id',
];
const SHOWN = [
  'tidegate-cursor', 'tidegate-recovered', 'tidegate-device', 'x-request-id', 'next-poll',
  'retry-after', 'etag',
];

const listOf = (response, name) => (response.headers.get(name) ?? '').toLowerCase().split(/, */);

const preflight = (gateway, method, path, origin) =>
  fetch(gateway.url + path, {
    method: 'OPTIONS',
    headers: {
      origin,
      'access-control-request-method': method,
      'access-control-request-headers': SENT.join(','),
    },
  });

const listed = (t) => placeGateway(t, stack, { cors: { origins: [ORIGIN, 'http://localhost:3000'] } });

describe('a page of a listed origin', () => {
  test('is told before it asks what it may do, at every endpoint', async (t) => {
    const gateway = await listed(t);
    for (const [method, path] of ENDPOINTS) {
      const answer = await preflight(gateway, method, path, ORIGIN);
      assert.equal(answer.status, 204, path);
      assert.equal(answer.headers.get('access-control-allow-origin'), ORIGIN);
      assert.equal(answer.headers.get('vary'), 'Origin');
      assert.equal(answer.headers.get('access-control-allow-credentials'), null);
      assert.ok(Number(answer.headers.get('access-control-max-age')) > 0);
      assert.ok(listOf(answer, 'access-control-allow-methods').includes(method.toLowerCase()));
      const allowed = listOf(answer, 'access-control-allow-headers');
      SENT.forEach((name) => assert.ok(allowed.includes(name), `${path}: ${name}`));
    }
  });

  test('may read every answer, errors too', async (t) => {
    const gateway = await listed(t);
    for (const [method, path] of ENDPOINTS) {
      const answer = await fetch(gateway.url + path, { method, headers: { origin: ORIGIN } });
      assert.ok(answer.status >= 400, path);
      assert.match((await answer.json()).code, /^TG/);
      assert.equal(answer.headers.get('access-control-allow-origin'), ORIGIN, path);
      const shown = listOf(answer, 'access-control-expose-headers');
      SHOWN.forEach((name) => assert.ok(shown.includes(name), `${path}: ${name}`));
    }
  });

  test('may follow a stream and a WebSocket', async (t) => {
    const gateway = await listed(t);
    const options = { topics: TASKS, token: stack.user1.token, headers: { origin: ORIGIN } };
    const stream = await openStream(gateway.url, options);
    t.after(() => stream.kill());
    assert.equal(stream.headers['access-control-allow-origin'], ORIGIN);
    const socket = await openSocket(gateway.url, options);
    t.after(() => socket.kill());
    assert.equal(socket.hello.data.topics.length, 1);
  });
});

describe('a page of another origin', () => {
  test('is told that it may not', async (t) => {
    const gateway = await listed(t);
    for (const [method, path] of ENDPOINTS) {
      const answer = await preflight(gateway, method, path, STRANGER);
      assert.equal(answer.status, 403);
      assert.equal((await answer.json()).code, 'TG430');
      assert.equal(answer.headers.get('access-control-allow-origin'), null);
    }
  });

  test('opens no WebSocket, for which browsers ask nobody', async (t) => {
    const gateway = await listed(t);
    for (const origin of [STRANGER, 'null', 'https://app.example.com:8443', 'http://app.example.com']) {
      const refused = await openSocket(gateway.url, {
        topics: TASKS,
        token: stack.user1.token,
        headers: { origin },
      }).catch((e) => e);
      assert.equal(refused.status, 403, origin);
      assert.equal(refused.json.code, 'TG430');
    }
  });

  test('and who is no page at all may', async (t) => {
    const gateway = await listed(t);
    const socket = await openSocket(gateway.url, { topics: TASKS, token: stack.user1.token });
    t.after(() => socket.kill());
    const open = await placeGateway(t, stack);
    const anywhere = await openSocket(open.url, {
      topics: TASKS,
      token: stack.user1.token,
      headers: { origin: STRANGER },
    });
    t.after(() => anywhere.kill());
  });
});
