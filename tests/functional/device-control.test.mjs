// What becomes of a device's streams: two at once, forgotten, given a fresh token, passed by
// retention; on one gateway and over two. On both stores.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ask, deviceWorld, openAt, writeSeen } from './lib/devices.mjs';
import { useLocalbase } from './lib/localbase.mjs';
import { publish } from './lib/publisher.mjs';
import { startRedis } from './lib/redis.mjs';
import { placeGateway, TASKS, titles, Writer } from './lib/streams.mjs';

const stack = useLocalbase();
const phone = { params: { device: 'phone' } };
const TOPICS = { topics: { notices: { public: true } } };

for (const kind of ['memory', 'redis']) {
  describe(`a device on the ${kind} store`, () => {
    test('has two live streams, counted over all workers, and both end when it is forgotten', async (t) => {
      const { open, ask, write } = await deviceWorld(t, stack, kind, { server: { workers: 2 } });
      const streams = [];
      for (let i = 0; i < 4; i++) {
        streams.push(await open(phone));
      }
      const tablet = await open({ params: { device: 'tablet' } });
      const [title] = await write(tablet);
      for (const s of streams) {
        await s.take('message', (e) => e.data.record.title === title);
      }
      assert.equal((await ask('GET', '/devices/phone')).json.streams, 4);
      assert.equal((await ask('DELETE', '/devices/phone')).status, 204);
      for (const s of streams) {
        assert.equal((await s.take('bye')).data.reason, 'device_deleted');
        await s.ended;
      }
      assert.equal((await ask('GET', '/devices/phone')).status, 404);
      assert.equal((await ask('DELETE', '/devices/phone')).status, 404);
      await write(tablet);
      assert.equal((await ask('GET', '/devices/tablet')).json.streams, 1);
    });

    test('that was forgotten begins anew', async (t) => {
      const { open, ask, write } = await deviceWorld(t, stack, kind);
      const live = await open();
      const s = await open(phone);
      await write(s);
      await ask('POST', '/ack', { body: { device: 'phone', cursor: s.lastId } });
      await ask('DELETE', '/devices/phone');
      await s.ended;
      await write(live);
      const again = await open(phone);
      assert.equal(again.hello.data.topics[0].recovered, undefined, 'nothing to resume');
      const [title] = await write(again);
      assert.deepEqual(titles(again.rows), [title]);
    });

    test('is told apart by its user when it is forgotten', async (t) => {
      const { gateway, open, ask: ask1, write } = await deviceWorld(t, stack, kind);
      const mine = await open(phone);
      const theirs = await open({ token: stack.user2.token, ...phone });
      const deleted = await ask(gateway.url, 'DELETE', '/devices/phone', { token: stack.user2.token });
      assert.equal(deleted.status, 204);
      await theirs.ended;
      await write(mine);
      assert.equal((await ask1('GET', '/devices/phone')).json.streams, 1);
    });

    test('shows how much waits behind each cursor, and how old it is', async (t) => {
      const { open, ask, write } = await deviceWorld(t, stack, kind);
      const s = await open({ ...phone, params: { device: 'phone', label: 'my phone' } });
      await write(s);
      await ask('POST', '/ack', { body: { device: 'phone', cursor: s.lastId } });
      const acked = s.lastId;
      const topic = async () => (await ask('GET', '/devices/phone')).json.topics[0];
      const none = await topic();
      assert.deepEqual(none, { topic: TASKS, cursor: acked, depth: 0, is_capped: false, lag_ms: 0 });
      await write(s, 3);
      const [first, , last] = s.rows.slice(-3);
      const ms = (id) => Number(id.split('.')[1].split('-')[0]);
      assert.deepEqual(await topic(), {
        topic: TASKS,
        cursor: acked,
        depth: 3,
        is_capped: false,
        oldest: first.id,
        newest: last.id,
        lag_ms: ms(last.id) - ms(acked),
      });
      const { json } = await ask('GET', '/devices/phone');
      assert.equal(json.label, 'my phone');
      assert.equal(json.streams, 1);
    });

    test('that retention has passed is reset once, and not again once it has acknowledged', async (t) => {
      const { gateway, open, ask } = await deviceWorld(t, stack, kind, {
        ...TOPICS,
        store: { retain_events: 10 },
      });
      const options = { topics: 'notices:a', ...phone };
      const send = (n) => publish(gateway.url, stack, Array.from({ length: n }, (_, i) => ({ topic: 'notices:a', payload: i })));
      const first = await open(options);
      await send(1);
      await first.take('message');
      await ask('POST', '/ack', { body: { device: 'phone', cursor: first.lastId } });
      first.kill();
      for (let i = 0; i < 5; i++) {
        await send(100);
      }
      const second = await open(options);
      assert.match(second.headers['tidegate-recovered'], /^false; *reason=expired/);
      assert.equal((await second.take('reset')).data.reason, 'expired');
      await second.take('message', (e) => e.data.payload === 99);
      await ask('POST', '/ack', { body: { device: 'phone', cursor: second.lastId } });
      await send(1);
      await second.take('message', (e) => e.data.payload === 0);
      assert.equal(second.ofType('reset').length, 1);
      second.kill();
      const third = await open(options);
      await third.take('message');
      assert.match(third.headers['tidegate-recovered'], /^true/);
      assert.equal(third.ofType('reset').length, 0);
      assert.equal(third.rows.length, 1);
    });

    test('without a user is issued by the gateway, found by its id alone, and never listed', async (t) => {
      const { gateway } = await deviceWorld(t, stack, kind, { ...TOPICS, devices: { anonymous_max: 2 } });
      const headers = { apikey: stack.anon_key };
      const open = (params) => openAt(t, gateway.url, { topics: 'notices:a', headers, params });
      const own = (method, path, more = {}) => ask(gateway.url, method, path, { headers, ...more });
      const first = await open({ device: 'new' });
      const id = first.headers['tidegate-device'];
      assert.match(id, /^[0-9a-f]{40}$/);
      assert.deepEqual(first.hello.data.device, { id });
      const [event] = await publish(gateway.url, stack, { topic: 'notices:a', payload: 1 });
      await first.take('message');
      assert.equal((await own('POST', '/ack', { body: { device: id, cursor: event.id } })).status, 200);
      first.kill();
      await publish(gateway.url, stack, { topic: 'notices:a', payload: 2 });
      const again = await open({ device: id });
      assert.equal(again.headers['tidegate-device'], undefined);
      assert.equal((await again.take('message')).data.payload, 2);
      assert.equal((await own('GET', `/devices/${id}`)).json.topics[0].cursor, event.id);
      assert.equal((await own('GET', '/devices')).status, 401);
      const guessed = await open({ device: 'phone' }).catch((e) => e);
      assert.equal(guessed.status, 404);
      assert.match(guessed.json.hint, /device=new/);
      await open({ device: 'new' });
      const full = await open({ device: 'new' }).catch((e) => e);
      assert.equal(full.status, 503);
      assert.equal(full.json.code, 'TG611');
      assert.equal((await own('DELETE', `/devices/${id}`)).status, 204);
      assert.equal((await again.take('bye')).data.reason, 'device_deleted');
      await open({ device: 'new' });
    });
  });
}

/** A token of user 1 of its own, of the same class without `more`. */
async function fresh(more = {}) {
  const claims = JSON.parse(Buffer.from(stack.user1.token.split('.')[1], 'base64url'));
  const now = Math.floor(Date.now() / 1000);
  return stack.control.signJwt({ ...claims, iat: now, exp: now + 7200, ...more });
}

describe('two gateways on one Redis', () => {
  async function setUp(t) {
    const redis = await startRedis(t);
    const settings = {
      gateway: { lease: '2s', group_size: 2, secret: 's'.repeat(32) },
      store: { url: redis.url },
    };
    const a = await placeGateway(t, stack, settings);
    const b = await placeGateway(t, stack, settings);
    const writer = await Writer.to(stack);
    return { a, b, writer, token: stack.user1.token };
  }

  test('a device that is forgotten at one ends at the other', async (t) => {
    const { a, b, token } = await setUp(t);
    const there = await openAt(t, b.url, { token, ...phone });
    const here = await openAt(t, a.url, { token, ...phone });
    assert.equal((await ask(a.url, 'GET', '/devices/phone', { token })).json.streams, 1, 'of its own');
    assert.equal((await ask(a.url, 'DELETE', '/devices/phone', { token })).status, 204);
    for (const s of [here, there]) {
      assert.equal((await s.take('bye')).data.reason, 'device_deleted');
    }
    assert.equal((await ask(b.url, 'GET', '/devices/phone', { token })).status, 404);
  });

  test('a device acknowledges at one and resumes at the other', async (t) => {
    const { a, b, writer, token } = await setUp(t);
    const live = await openAt(t, a.url, { token });
    const s = await openAt(t, a.url, { token, ...phone });
    await writeSeen(writer, s);
    await ask(b.url, 'POST', '/ack', { token, body: { device: 'phone', cursor: s.lastId } });
    s.kill();
    const missed = await writeSeen(writer, live, 2);
    const again = await openAt(t, b.url, { token, ...phone });
    await again.take('message', (e) => e.data.record.title === missed[1]);
    assert.deepEqual(titles(again.rows), missed);
  });

  test('a fresh token brought to one reaches the stream at the other', async (t) => {
    const { a, b, writer } = await setUp(t);
    const s = await openAt(t, b.url, { token: stack.user1.token, ...phone });
    const other = await openAt(t, b.url, { token: stack.user1.token, params: { device: 'tablet' } });
    const bring = async (more) =>
      ask(a.url, 'POST', '/token', { token: await fresh(more), body: { device: 'phone' } });
    assert.equal((await bring()).status, 204);
    await writeSeen(writer, s);
    assert.equal((await bring({ aal: 'aal2' })).status, 204);
    assert.equal((await s.take('bye')).data.reason, 'token', 'one of another class ends it');
    await s.ended;
    await writeSeen(writer, other);
  });

  test('a fresh token without a device, a user, or sense is refused', async (t) => {
    const { a, token } = await setUp(t);
    assert.equal((await ask(a.url, 'POST', '/token', { body: { device: 'phone' } })).status, 401);
    assert.equal((await ask(a.url, 'POST', '/token', { token, body: {} })).status, 400);
    assert.equal((await ask(a.url, 'POST', '/token', { token, body: '[' })).status, 400);
  });
});
