// POST /sync/v1/publish, with the log in memory and in Redis: who may, what clients get, in which
// order, how often, and what an answer tells.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { useLocalbase } from './lib/localbase.mjs';
import { PATH, post, publish, SECRET, sign } from './lib/publisher.mjs';
import { startRedis } from './lib/redis.mjs';
import { isAbove, openStream } from './lib/sse.mjs';
import { assertAscending, placeGateway, TASKS, until, Writer } from './lib/streams.mjs';
import { openSocket } from './lib/ws.mjs';

const stack = useLocalbase();
const SETTINGS = {
  topics: {
    notices: { public: true },
    rooms: { public: true, key_type: 'int' },
    brief: { public: true, retain: { events: 10 } },
  },
  publish: { secret: SECRET, events_max: 50 },
  limits: { own_body_bytes: '64k' },
  store: { event_bytes: '16k' },
};
let counter = 0;
const freshTopic = () => `notices:t${++counter}`;
const numbers = (n, from = 0) => Array.from({ length: n }, (_, i) => from + i);
const payloads = (events) => events.map((e) => e.data.payload);

async function listen(t, gateway, topics, more = {}) {
  const s = await openStream(gateway.url, { topics, headers: { apikey: stack.anon_key }, ...more });
  t.after(() => s.kill());
  s.hello = await s.take('hello');
  return s;
}

const takeMany = (s, n) => s.events.takeMany(n, (e) => e.type === 'message');

/** Every test of `fn` on both stores. */
function onBothStores(fn) {
  for (const kind of ['memory', 'redis']) {
    describe(`on ${kind}`, () => {
      fn(async (t, more = {}) => {
        const store = { ...SETTINGS.store };
        if (kind === 'redis') {
          store.url = (await startRedis(t)).url;
        }
        const server = { workers: 2 };
        return placeGateway(t, stack, { ...SETTINGS, server, ...more, store });
      });
    });
  }
}

onBothStores((start) => {
  test('a topic keeps as many events as it says', async (t) => {
    const gateway = await start(t);
    const begin = async (topic) => {
      const sent = numbers(40).map((payload) => ({ topic, payload }));
      const [{ id: cursor }] = await publish(gateway.url, stack, sent);
      return () => listen(t, gateway, topic, { lastEventId: cursor });
    };
    const long = await begin(freshTopic());
    const brief = await begin('brief:a');
    // From the store, and then from what the stream before has brought to memory.
    for (const from of ['store', 'memory']) {
      const whole = await long();
      assert.equal(whole.headers['tidegate-recovered'], 'true', from);
      assert.deepEqual(payloads(await takeMany(whole, 39)), numbers(39, 1));
      const rest = await brief();
      assert.match(rest.headers['tidegate-recovered'], /^false; *reason=expired/, from);
      assert.equal((await rest.take('reset')).data.reason, 'expired');
      await rest.take('message', (e) => e.data.payload === 39);
      const kept = payloads(rest.ofType('message'));
      assert.deepEqual(kept, numbers(kept.length, 40 - kept.length));
      assert.ok(kept.length >= 10 && kept.length < 20, `${kept.length} kept`);
    }
  });

  test('subscribers get what was published, in order, once, with its digits', async (t) => {
    const gateway = await start(t);
    const topic = freshTopic();
    const streams = await Promise.all(numbers(4).map(() => listen(t, gateway, topic)));
    assert.equal(streams[0].hello.data.topics[0].state, 'ready');
    const ids = [];
    for (const from of [0, 40, 80]) {
      const sent = numbers(40, from).map((payload) => ({ topic, type: 'n', payload }));
      ids.push(...(await publish(gateway.url, stack, sent)).map((e) => e.id));
    }
    const exact = `{"topic":"${topic}","type":"x","payload":{"big":9007199254740993,"n":1.10,"s":"a\\u00e9"}}`;
    await post(gateway.url, exact.replaceAll(',', ' ,\n\t '), { apikey: stack.service_key });
    for (const s of streams) {
      const got = await takeMany(s, 121);
      assert.deepEqual(payloads(got.slice(0, 120)), numbers(120));
      assert.deepEqual(got.slice(0, 120).map((e) => e.id), ids);
      assert.equal(got[120].text, exact);
      assertAscending(s.events.items);
    }
  });

  test('an answer tells ids, duplicates, and whether anyone listens here', async (t) => {
    const gateway = await start(t);
    const [heard, unheard] = [freshTopic(), freshTopic()];
    const s = await listen(t, gateway, heard);
    const events = [{ topic: heard, id: 'a' }, { topic: unheard, id: 'a' }];
    const first = await publish(gateway.url, stack, events);
    assert.deepEqual(first.map((e) => [e.topic, e.duplicate, e.listeners]), [
      [heard, false, true],
      [unheard, false, false],
    ]);
    const again = await publish(gateway.url, stack, [...events, { topic: heard, id: 'b' }]);
    assert.deepEqual(again.map((e) => e.duplicate), [true, true, false]);
    assert.deepEqual(again.slice(0, 2).map((e) => e.id), first.map((e) => e.id));
    assert.deepEqual((await takeMany(s, 2)).map((e) => e.id), [first[0].id, again[2].id]);
    s.kill();
    await until(async () => !(await publish(gateway.url, stack, { topic: heard }))[0].listeners);
    assert.ok((await gateway.metric('tidegate_published_total')) >= 4);
    assert.equal(await gateway.metric('tidegate_publish_duplicates_total'), 2);
  });

  test('one key sent many times at once is one event', async (t) => {
    const gateway = await start(t);
    const topic = freshTopic();
    const s = await listen(t, gateway, topic);
    const all = await Promise.all(
      numbers(20).map((i) => publish(gateway.url, stack, { topic, id: 'once', payload: i })),
    );
    assert.equal(all.filter(([e]) => !e.duplicate).length, 1);
    assert.equal(new Set(all.map(([e]) => e.id)).size, 1);
    const [end] = await publish(gateway.url, stack, { topic, payload: 'end' });
    const got = await takeMany(s, 2);
    assert.deepEqual(got.map((e) => e.id), [all[0][0].id, end.id]);
  });

  test('a client that was away gets all of it, and no more', async (t) => {
    const gateway = await start(t);
    const topic = freshTopic();
    const s = await listen(t, gateway, topic);
    await publish(gateway.url, stack, numbers(5).map((payload) => ({ topic, payload })));
    const seen = await takeMany(s, 5);
    s.kill();
    for (const from of [5, 55, 105]) {
      await publish(gateway.url, stack, numbers(50, from).map((payload) => ({ topic, payload })));
    }
    const back = await listen(t, gateway, topic, { lastEventId: seen[2].id });
    assert.equal(back.headers['tidegate-recovered'].startsWith('true'), true);
    assert.deepEqual(payloads(await takeMany(back, 152)), numbers(152, 3));
    assert.equal(back.ofType('reset').length, 0);
  });

  test('reaches sockets and polls under the same ids, also of callers without a user', async (t) => {
    const gateway = await start(t);
    const topic = freshTopic();
    const headers = { apikey: stack.anon_key };
    const sse = await listen(t, gateway, topic);
    const ws = await openSocket(gateway.url, { topics: topic, headers });
    t.after(() => ws.kill());
    const cursor = sse.hello.id;
    const poll = (params) =>
      fetch(`${gateway.url}/sync/v1/poll?${new URLSearchParams({ topic, cursor, ...params })}`, { headers });
    const parked = poll({ wait: '20' });
    const sent = await publish(gateway.url, stack, numbers(5).map((payload) => ({ topic, payload })));
    assert.ok((await (await parked).json()).events.length > 0);
    const events = await until(async () => {
      const body = await (await poll({})).json();
      return body.events.length === 5 && body.events;
    }, 'all five, which the log may bring one after the other');
    const ids = sent.map((e) => e.id);
    assert.deepEqual(events.map((e) => [e.id, e.payload]), ids.map((id, i) => [id, i]));
    assert.deepEqual((await takeMany(sse, 5)).map((e) => e.id), ids);
    assert.deepEqual((await takeMany(ws, 5)).map((e) => e.id), ids);
  });

  test('published topics and tables share a stream, in the order of their ids', async (t) => {
    const gateway = await start(t);
    const topic = freshTopic();
    const writer = await Writer.to(stack);
    const s = await listen(t, gateway, [topic, TASKS], { token: stack.user1.token, headers: {} });
    for (const i of numbers(10)) {
      await publish(gateway.url, stack, { topic, payload: i });
      await writer.tasks(`both ${i}`);
    }
    const got = await takeMany(s, 20);
    assertAscending(got);
    assert.deepEqual(payloads(got.filter((e) => e.data.topic === topic)), numbers(10));
  });
});

describe('what a database webhook sends', () => {
  const row = '{"id":9007199254740993,"price":1.10,"tags":["a, b"]}';
  const body = `{"type":"UPDATE","table":"orders","schema":"public","record":${row},"old_record":null}`;

  test('is taken as it is', async (t) => {
    const gateway = await placeGateway(t, stack, SETTINGS);
    const topic = freshTopic();
    const s = await listen(t, gateway, topic);
    const target = `${PATH}?topic=${encodeURIComponent(topic)}`;
    const headers = { authorization: `Bearer ${stack.service_key}`, 'idempotency-key': 'hook-1' };
    const first = await post(gateway.url, body, headers, target);
    assert.equal(first.status, 200);
    const again = await post(gateway.url, body, headers, target);
    assert.equal(again.json.events[0].duplicate, true);
    assert.equal(again.json.events[0].id, first.json.events[0].id);
    const [event] = await takeMany(s, 1);
    assert.equal(event.text, `{"topic":"${topic}",${body.slice(1)}`);
  });

  test('may be signed instead of carrying a key', async (t) => {
    const gateway = await placeGateway(t, stack, SETTINGS);
    const target = `${PATH}?topic=${freshTopic()}`;
    const now = Math.floor(Date.now() / 1000);
    const send = (signature, path = target, text = body) =>
      post(gateway.url, text, { 'tidegate-signature': signature }, path);
    assert.equal((await send(sign(target, body))).status, 200);
    const refused = [
      await send(sign(target, body, { secret: `${SECRET}x` })),
      await send(sign(target, body, { sec: now - 400 })),
      await send(sign(target, body, { sec: now + 400 })),
      await send(sign(target, body), `${PATH}?topic=notices:other`),
      await send(sign(target, body), target, body.replace('UPDATE', 'DELETE')),
      await send('t=1'),
    ];
    for (const { status, json } of refused) {
      assert.deepEqual([status, json.code], [401, 'TG417']);
    }
    assert.match(refused[1].json.details, /too far/);
  });
});

describe('who may not, and what is not taken', () => {
  test('has its own answer', async (t) => {
    const gateway = await placeGateway(t, stack, SETTINGS);
    const event = { topic: 'notices:1' };
    const key = { apikey: stack.service_key };
    const bearer = (token) => ({ authorization: `Bearer ${token}` });
    const cases = [
      [event, {}, 401, 'TG414'],
      [event, { apikey: 'nonsense' }, 401, 'TG415'],
      [event, { apikey: stack.anon_key }, 403, 'TG430'],
      [event, { apikey: stack.anon_key, ...bearer(stack.user1.token) }, 403, 'TG430'],
      [event, bearer(stack.user1.token), 401, 'TG415'],
      ['nonsense', key, 400, 'TG405'],
      [[event], key, 400, 'TG405'],
      [{ events: [] }, key, 400, 'TG406'],
      [{ events: Array(51).fill(event) }, key, 400, 'TG406'],
      [{ topic: 'unknown:1' }, key, 400, 'TG403'],
      [{ topic: 'rooms:01' }, key, 400, 'TG403'],
      [{ topic: TASKS }, key, 400, 'TG403'],
      [{ events: [event, { topic: 'notices:2', paylod: 1 }] }, key, 400, 'TG405'],
      [{ ...event, payload: 'x'.repeat(17000) }, key, 413, 'TG513'],
      [{ ...event, payload: 'x'.repeat(70000) }, key, 413, 'TG513'],
    ];
    const s = await listen(t, gateway, ['notices:1', 'notices:2']);
    for (const [body, headers, status, code] of cases) {
      const answer = await post(gateway.url, body, headers);
      assert.deepEqual([answer.status, answer.json.code], [status, code], JSON.stringify(answer));
      assert.ok(answer.headers['x-request-id']);
    }
    const [end] = await publish(gateway.url, stack, event);
    assert.equal((await s.take('message')).id, end.id, 'nothing of all that was written');
    const get = await fetch(gateway.url + PATH);
    assert.deepEqual([get.status, get.headers.get('allow')], [405, 'POST, OPTIONS']);
  });

  test('topics have one spelling, and only public ones are for everybody', async (t) => {
    const gateway = await placeGateway(t, stack, SETTINGS);
    for (const [topics, status] of [['rooms:07', 400], ['other:1', 400], ['notices:', 400]]) {
      const refused = await listen(t, gateway, topics).catch((error) => error);
      assert.equal(refused.status, status, topics);
    }
    const strict = await listen(t, gateway, TASKS).catch((error) => error);
    assert.equal(strict.status, 401);
    const s = await listen(t, gateway, 'rooms:7', { token: stack.user1.token, headers: {} });
    await publish(gateway.url, stack, { topic: 'rooms:7', payload: 1 });
    assert.equal((await s.take('message')).data.payload, 1);
  });
});

describe('gateways on one Redis', () => {
  const group = (redis, lease = '2s') => ({
    ...SETTINGS,
    gateway: { lease, group_size: 2, secret: SECRET },
    store: { ...SETTINGS.store, url: redis.url },
  });

  test('deliver what either took, and a key is one event for both', async (t) => {
    const redis = await startRedis(t);
    const [a, b] = [await placeGateway(t, stack, group(redis)), await placeGateway(t, stack, group(redis))];
    const topic = freshTopic();
    const streams = [await listen(t, a, topic), await listen(t, b, topic)];
    const answers = await Promise.all(
      numbers(30).flatMap((i) =>
        [a, b].map((g) => publish(g.url, stack, { topic, id: `k${i}`, payload: i })),
      ),
    );
    assert.equal(answers.filter(([e]) => e.duplicate).length, 30);
    const got = await takeMany(streams[0], 30);
    assert.deepEqual(payloads(got).sort((x, y) => x - y), numbers(30));
    assert.deepEqual((await takeMany(streams[1], 30)).map((e) => e.id), got.map((e) => e.id));
  });

  test('a restart loses nothing that was answered', async (t) => {
    const redis = await startRedis(t);
    const gateway = await placeGateway(t, stack, group(redis));
    const topic = freshTopic();
    const first = await listen(t, gateway, topic);
    await publish(gateway.url, stack, { topic, payload: 0 });
    const { id } = await first.take('message');
    await publish(gateway.url, stack, numbers(20, 1).map((payload) => ({ topic, payload })));
    await gateway.kill();
    await gateway.start();
    await publish(gateway.url, stack, { topic, payload: 21 });
    const back = await listen(t, gateway, topic, { lastEventId: id });
    const got = await takeMany(back, 21);
    assert.deepEqual(payloads(got), numbers(21, 1));
    assert.ok(isAbove(got[0].id, id));
    assert.equal(back.ofType('reset').length, 0);
  });

  test('without Redis publishing says 503, and streams that they are offline', async (t) => {
    const redis = await startRedis(t);
    const gateway = await placeGateway(t, stack, { ...SETTINGS, store: { url: redis.url, timeout: '1s' } });
    const topic = freshTopic();
    const s = await listen(t, gateway, topic);
    await publish(gateway.url, stack, { topic, payload: 'before' });
    await redis.save();
    await redis.kill();
    assert.deepEqual((await s.take('status')).data, { topic, state: 'offline' });
    const refused = await post(gateway.url, { topic }, { apikey: stack.service_key });
    assert.equal(refused.status, 503);
    assert.ok(refused.headers['retry-after']);
    await redis.start();
    await s.take('status', (e) => e.data.state === 'ready', { timeoutMs: 40_000 });
    await until(() => publish(gateway.url, stack, { topic, payload: 'after' }).catch(() => null));
    await s.take('message', (e) => e.data.payload === 'after');
  });
});
