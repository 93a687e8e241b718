// POST /sync/v1/ack: forward only, never beyond the log, topic by topic. On both stores.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { deviceWorld } from './lib/devices.mjs';
import { useLocalbase } from './lib/localbase.mjs';
import { parseCursor } from './lib/sse.mjs';
import { EVENTS, TASKS } from './lib/streams.mjs';
import { openSocket } from './lib/ws.mjs';

const stack = useLocalbase();
const phone = { params: { device: 'phone' } };

for (const kind of ['memory', 'redis']) {
  describe(`an acknowledgement on the ${kind} store`, () => {
    async function setUp(t) {
      const world = await deviceWorld(t, stack, kind);
      const ack = (body) => world.ask('POST', '/ack', { body: { device: 'phone', ...body } });
      const held = async () => {
        const { json } = await world.ask('GET', '/devices/phone');
        return Object.fromEntries(json.topics.map((topic) => [topic.topic, topic.cursor]));
      };
      return { ...world, ack, held };
    }

    test('moves forward only', async (t) => {
      const { open, write, ack, held } = await setUp(t);
      const s = await open(phone);
      await write(s);
      const early = s.lastId;
      await write(s);
      const late = s.lastId;
      assert.deepEqual((await ack({ cursor: late })).json, { device: 'phone', topics: { [TASKS]: 'ok' } });
      assert.deepEqual(await held(), { [TASKS]: late });
      assert.equal((await ack({ cursor: early })).json.topics[TASKS], 'ok');
      assert.deepEqual(await held(), { [TASKS]: late });
    });

    test('of many at once, in any order, keeps the furthest', async (t) => {
      const { open, write, ack, held, gateway } = await setUp(t);
      const s = await open(phone);
      await write(s, 40);
      const ids = s.rows.map((e) => e.id);
      const at = (i) => ids[(i * 17) % ids.length];
      const answers = await Promise.all(Array.from({ length: 400 }, (_, i) => ack({ cursor: at(i) })));
      for (const { status, json } of answers) {
        assert.deepEqual([status, json], [200, { device: 'phone', topics: { [TASKS]: 'ok' } }]);
      }
      assert.deepEqual(await held(), { [TASKS]: ids.at(-1) });
      assert.equal(await gateway.metric('tidegate_streams'), 1);
    });

    test('of a socket that says too many is answered while it is within its rate', async (t) => {
      const { open, write, held, gateway, ask } = await setUp(t);
      const s = await open(phone);
      await write(s, 40);
      const ids = s.rows.map((e) => e.id);
      const { token } = stack.user1;
      const socket = await openSocket(gateway.url, { topics: TASKS, token, ...phone });
      t.after(() => socket.kill());
      const at = (i) => ids[(i * 17) % ids.length];
      const answers = await Promise.all(
        Array.from({ length: 150 }, (_, i) => socket.ask('ack', { cursor: at(i) })));
      // So many questions to the store may be open at once; the others are told that it is too much.
      const ok = answers.filter((answer) => answer.event === 'ok');
      assert.ok(ok.length >= 64, `${ok.length} taken`);
      assert.ok(answers.every((answer) => answer.event === 'ok' || answer.code === 'TG529'));
      await socket.tell('ack', { cursor: ids.at(-1) });
      assert.deepEqual(await held(), { [TASKS]: ids.at(-1) });
      for (let i = 0; i < 2000; i++) {
        socket.say({ event: 'ack', ref: `x${i}`, cursor: at(i) });
      }
      assert.deepEqual(await socket.closed, { code: 1008, reason: 'rate' });
      assert.deepEqual(await held(), { [TASKS]: ids.at(-1) });
      await write(s);
      assert.equal((await ask('GET', '/devices/phone')).status, 200);
    });

    test('beyond the log, or of another log, changes nothing', async (t) => {
      const { open, write, ack, held } = await setUp(t);
      const s = await open(phone);
      await write(s);
      await ack({ cursor: s.lastId });
      const [epoch, ms] = parseCursor(s.lastId);
      assert.equal((await ack({ cursor: `${epoch}.${ms + 10_000_000n}-0` })).json.topics[TASKS], 'ahead');
      assert.equal((await ack({ cursor: `other.${ms}-0` })).json.topics[TASKS], 'epoch');
      assert.deepEqual(await held(), { [TASKS]: s.lastId });
    });

    test('is each topic its own, and a topic without a cursor leaves', async (t) => {
      const { open, write, ack, held } = await setUp(t);
      const s = await open({ topics: [TASKS, EVENTS], ...phone });
      await write(s);
      const one = s.lastId;
      await write(s);
      const two = s.lastId;
      const { json } = await ack({ topics: { [TASKS]: two, [EVENTS]: one, 'table:public.trips': one } });
      assert.deepEqual(json.topics, { [TASKS]: 'ok', [EVENTS]: 'ok', 'table:public.trips': 'unknown' });
      assert.deepEqual(await held(), { [TASKS]: two, [EVENTS]: one });
      assert.equal((await ack({ cursor: two, topics: [EVENTS] })).json.topics[EVENTS], 'ok');
      assert.equal((await ack({ topics: { [EVENTS]: null } })).json.topics[EVENTS], 'left');
      assert.deepEqual(await held(), { [TASKS]: two });
    });

    test('that makes no sense is refused', async (t) => {
      const { open, ack, ask, gateway } = await setUp(t);
      await open(phone);
      const code = async (body) => {
        const { status, json } = await ask('POST', '/ack', { body });
        return `${status} ${json.code}`;
      };
      assert.equal(await code('{"device":'), '400 TG405');
      assert.equal(await code({}), '400 TG405');
      assert.equal(await code({ device: 'phone' }), '400 TG405');
      assert.equal(await code({ device: 'a b', cursor: 'e.1-0' }), '400 TG405');
      assert.equal(await code({ device: 'phone', cursor: 'now' }), '400 TG404');
      assert.equal(await code({ device: 'phone', cursor: 7 }), '400 TG404');
      assert.equal(await code({ device: 'phone', topics: { [TASKS]: 'nonsense' } }), '400 TG404');
      assert.equal(await code({ device: 'phone', cursor: 'e.1-0', topics: [7] }), '400 TG403');
      assert.equal(await code({ device: 'phone', cursor: 'e.1-0', topics: {} }), '400 TG405');
      assert.equal(await code({ device: 'tablet', cursor: 'e.1-0' }), '404 TG440');
      assert.equal(await code({ device: 'tablet', topics: { [TASKS]: 'e.1-0' } }), '404 TG440');
      const stranger = await fetch(`${gateway.url}/sync/v1/ack`, { method: 'POST', body: '{}' });
      assert.equal(stranger.status, 401);
      assert.equal((await ack({ cursor: 'e.1-0' })).status, 200);
    });

    test('with a body that is too large is refused', async (t) => {
      const { ask } = await deviceWorld(t, stack, kind, { limits: { own_body_bytes: '1k' } });
      const { status, json } = await ask('POST', '/ack', { body: { device: 'phone', x: 'y'.repeat(2000) } });
      assert.equal(status, 413);
      assert.equal(json.code, 'TG513');
    });
  });
}
