// What Redis itself holds of devices: which keys, for how long, and what is told when it is
// emptied or has no memory left.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ask, openAt } from './lib/devices.mjs';
import { useLocalbase } from './lib/localbase.mjs';
import { startRedis } from './lib/redis.mjs';
import { EVENTS, placeGateway, TASKS, until, Writer } from './lib/streams.mjs';

const stack = useLocalbase();
const TTL_MS = 7_200_000;
let counter = 0;

async function setUp(t) {
  const redis = await startRedis(t);
  const gateway = await placeGateway(t, stack, { store: { url: redis.url }, devices: { ttl: '2h' } });
  const writer = await Writer.to(stack);
  const open = (user, device, more = {}) =>
    openAt(t, gateway.url, { token: user.token, params: { device, ...more.params }, topics: more.topics ?? TASKS });
  const askAs = (user, method, path, body) => ask(gateway.url, method, path, { token: user.token, body });
  /** The keys behind the prefix, sorted. */
  const keys = async (kinds) => {
    const script = "return table.concat(redis.call('KEYS', '*'), ' ')";
    const all = (await redis.command('EVAL', script, '0')).split(' ');
    return all.filter((key) => kinds.test(key.replace(/^\{[^}]*\}:1:/, ''))).sort();
  };
  const write = async (s) => {
    const title = `device-redis-${++counter}`;
    await writer.tasks(title);
    return s.take('message', (e) => e.data.record.title === title, { timeoutMs: 20_000 });
  };
  return { redis, gateway, open, askAs, keys, write };
}

const number = (answer) => Number(answer.replace(':', ''));

describe('Redis', () => {
  test('holds a key for each device and one for each user, and all of them expire', async (t) => {
    const { redis, open, askAs, keys, write } = await setUp(t);
    const phone = await open(stack.user1, 'phone', { topics: [TASKS, EVENTS] });
    await open(stack.user1, 'watch');
    await open(stack.user2, 'phone');
    const devices = await keys(/^d:/);
    const users = await keys(/^u:/);
    assert.equal(devices.length, 3);
    assert.equal(users.length, 2);
    for (const key of [...devices, ...users]) {
      const ttl = number(await redis.command('PTTL', key));
      assert.ok(ttl > TTL_MS - 60_000 && ttl <= TTL_MS, `${key}: ${ttl}`);
    }
    const mine = users.find((user) => devices.includes(`${user.replace(':u:', ':d:')}:watch`));
    assert.equal(number(await redis.command('ZCARD', mine)), 2);
    const key = `${mine.replace(':u:', ':d:')}:phone`;
    const begun = () => redis.command('HGET', key, `t:${TASKS}`);
    await until(async () => (await begun()) === phone.hello.id, 'where it began');
    await write(phone);
    await askAs(stack.user1, 'POST', '/ack', { device: 'phone', cursor: phone.lastId });
    assert.equal(await redis.command('HGET', key, `t:${TASKS}`), phone.lastId);
    assert.equal(await redis.command('HGET', key, `t:${EVENTS}`), phone.lastId);
  });

  test('keeps no device that has expired, nor counts it', async (t) => {
    const { redis, open, askAs, keys } = await setUp(t);
    await open(stack.user1, 'phone');
    await open(stack.user1, 'watch');
    const [user] = await keys(/^u:/);
    const phone = `${user.replace(':u:', ':d:')}:phone`;
    // Its time has come: the key is gone, and its place in the index is past.
    await redis.command('DEL', phone);
    await redis.command('ZADD', user, '1', 'phone');
    const { json } = await askAs(stack.user1, 'GET', '/devices');
    assert.deepEqual([json.total, json.devices.map((device) => device.id)], [1, ['watch']]);
    assert.equal(number(await redis.command('ZCARD', user)), 1);
  });

  test('that is emptied resets the streams, and devices register anew', async (t) => {
    const { redis, open, askAs, keys, write } = await setUp(t);
    const first = await open(stack.user1, 'phone');
    await write(first);
    const before = first.lastId;
    await askAs(stack.user1, 'POST', '/ack', { device: 'phone', cursor: before });
    await redis.command('FLUSHALL');
    await first.take('reset', (e) => e.data.reason === 'epoch', { timeoutMs: 40_000 });
    assert.deepEqual(await keys(/^[du]:/), []);
    assert.equal((await askAs(stack.user1, 'POST', '/ack', { device: 'phone', cursor: before })).status, 404);
    assert.deepEqual((await askAs(stack.user1, 'GET', '/devices')).json, { devices: [], total: 0 });
    first.kill();
    const second = await open(stack.user1, 'phone', { params: { cursor: before } });
    assert.equal(second.hello.data.topics[0].reason, 'epoch');
    // A worker that notices the new log just now answers 503 once.
    const { json } = await until(async () => {
      const answer = await askAs(stack.user1, 'GET', '/devices/phone');
      return answer.status === 503 ? null : answer;
    }, 'the store');
    assert.equal(json.topics[0].cursor, null, 'a cursor of the old log is not kept');
    const event = await until(() => write(second).catch(() => null), 'a row');
    await askAs(stack.user1, 'POST', '/ack', { device: 'phone', cursor: event.id });
    const again = (await askAs(stack.user1, 'GET', '/devices/phone')).json;
    assert.equal(again.topics[0].cursor, event.id);
  });

  test('without memory says so, and what runs goes on', async (t) => {
    const { redis, gateway, open, askAs, keys } = await setUp(t);
    const stream = await open(stack.user1, 'phone');
    await redis.command('CONFIG', 'SET', 'maxmemory', '1');
    const before = await keys(/./);
    const refused = await fetch(`${gateway.url}/sync/v1/stream?topic=${encodeURIComponent(TASKS)}&device=watch`, {
      headers: { authorization: `Bearer ${stack.user1.token}` },
    });
    assert.equal(refused.status, 503);
    assert.equal((await refused.json()).code, 'TG612');
    assert.ok(Number(refused.headers.get('retry-after')) > 0);
    const acked = await askAs(stack.user1, 'POST', '/ack', { device: 'phone', cursor: stream.lastId });
    assert.deepEqual([acked.status, acked.json.code], [503, 'TG612']);
    assert.deepEqual(await keys(/./), before, 'nothing was written');
    // What only reads goes on, and so does a stream without a device.
    assert.equal((await askAs(stack.user1, 'GET', '/devices')).json.total, 1);
    await openAt(t, gateway.url, { token: stack.user1.token });
    assert.ok((await fetch(`${gateway.adminUrl}/readyz`)).ok, 'the store is not down');
    await redis.command('CONFIG', 'SET', 'maxmemory', '0');
    await open(stack.user1, 'watch');
    assert.equal((await askAs(stack.user1, 'GET', '/devices')).json.total, 2);
  });
});
