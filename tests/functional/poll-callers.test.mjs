// Who polls: nobody in particular, a page with a ticket, an anonymous device, a user who signs out;
// and what is published reaches them.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { useLocalbase } from './lib/localbase.mjs';
import { poll, Poller } from './lib/poll.mjs';
import { publish } from './lib/publisher.mjs';
import { placeGateway, TASKS, until } from './lib/streams.mjs';

const stack = useLocalbase();
const TOPICS = { notices: { public: true } };
const payloads = (events) => events.map((e) => e.payload);

async function setUp(t, settings = {}) {
  const gateway = await placeGateway(t, stack, { topics: TOPICS, ...settings });
  const parked = (n) =>
    until(async () => (await gateway.metric('tidegate_streams')) === n, `${n} parked polls`);
  const anyone = (topics, params = {}) =>
    poll(gateway.url, { topics, params, headers: { apikey: stack.anon_key } });
  return { gateway, parked, anyone };
}

describe('what is published', () => {
  test('wakes the polls of anyone, and waits for those who come later', async (t) => {
    const { gateway, parked, anyone } = await setUp(t);
    const { cursor } = await anyone('notices:a');
    const waiting = [1, 2, 3].map(() => anyone('notices:a', { cursor, wait: 60 }));
    await parked(3);
    const sent = [{ topic: 'notices:a', type: 'n', payload: 1 }];
    const [{ id }] = await publish(gateway.url, stack, sent);
    for (const answer of await Promise.all(waiting)) {
      assert.deepEqual(answer.events, [{ id, topic: 'notices:a', type: 'n', payload: 1 }]);
    }
    const late = await anyone('notices:a', { cursor, compact: 1, fields: 'x' });
    assert.deepEqual(late.events, [{ type: 'n', payload: 1 }]);
    const all = await anyone('notices:a', { cursor: 'earliest' });
    assert.deepEqual(payloads(all.events), [1]);
  });

  test('of several topics comes in its order', async (t) => {
    const { gateway, anyone } = await setUp(t);
    const topics = ['notices:a', 'notices:b'];
    const { cursor } = await anyone(topics);
    const sent = Array.from({ length: 40 }, (_, i) => ({
      topic: topics[i % 3 === 0 ? 0 : 1],
      type: 'n',
      payload: i,
    }));
    await publish(gateway.url, stack, sent);
    const got = [];
    let at = cursor;
    while (got.length < 40) {
      const answer = await anyone(topics, { cursor: at, limit: 7, wait: 5 });
      got.push(...payloads(answer.events));
      at = answer.cursor;
    }
    assert.deepEqual(got, sent.map((e) => e.payload));
  });

  test('is all that anyone may poll', async (t) => {
    const { anyone } = await setUp(t);
    const { status, json } = await anyone(TASKS);
    assert.equal(status, 401);
    assert.equal(json.code, 'TG410');
  });
});

describe('an anonymous device', () => {
  test('is issued by its first poll and goes on where it was', async (t) => {
    const { gateway, anyone } = await setUp(t);
    const first = await anyone('notices:a', { device: 'new' });
    assert.equal(first.status, 204);
    const device = first.headers['tidegate-device'];
    assert.ok(device.length >= 32);
    await publish(gateway.url, stack, [1, 2, 3].map((payload) => ({ topic: 'notices:a', type: 'n', payload })));
    await anyone('notices:a', { device, cursor: first.cursor });
    const resumed = await anyone('notices:a', { device });
    assert.deepEqual(payloads(resumed.events), [1, 2, 3]);
    assert.equal(resumed.headers['tidegate-device'], undefined, 'it has one already');
    assert.equal((await anyone('notices:a', { device: 'a'.repeat(40) })).status, 404);
  });
});

describe('a ticket', () => {
  test('is good for one poll', async (t) => {
    const { gateway } = await setUp(t);
    const response = await fetch(`${gateway.url}/sync/v1/ticket`, {
      method: 'POST',
      headers: { authorization: `Bearer ${stack.user1.token}` },
    });
    const { ticket } = await response.json();
    const ask = () => poll(gateway.url, { topics: TASKS, params: { ticket } });
    assert.equal((await ask()).status, 204);
    const again = await ask();
    assert.equal(again.status, 401);
    assert.equal(again.json.code, 'TG419');
  });
});

describe('a user who signs out', () => {
  test('ends the polls of that session', async (t) => {
    const { gateway, parked } = await setUp(t);
    const signUp = await fetch(`${gateway.url}/auth/v1/signup`, {
      method: 'POST',
      headers: { apikey: stack.anon_key, 'content-type': 'application/json' },
      body: JSON.stringify({ email: `poll-${Date.now()}@example.com`, password: 'correct horse' }),
    });
    const { access_token: token } = await signUp.json();
    const p = new Poller({ url: gateway.url, topics: TASKS, token });
    assert.equal((await p.next()).status, 204);
    const waiting = p.next({ wait: 60 });
    await parked(1);
    const began = Date.now();
    await fetch(`${gateway.url}/auth/v1/logout`, {
      method: 'POST',
      headers: { apikey: stack.anon_key, authorization: `Bearer ${token}` },
    });
    assert.equal((await waiting).status, 204);
    assert.ok(Date.now() - began < 10_000);
    const refused = await p.next();
    assert.equal(refused.status, 401);
    assert.equal(refused.json.code, 'TG418');
  });
});
