// Devices on a stream: registered by first use, resumed without a cursor from what they
// acknowledged, each user's own, capped. On both stores.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ask, deviceWorld } from './lib/devices.mjs';
import { useLocalbase } from './lib/localbase.mjs';
import { parseCursor } from './lib/sse.mjs';
import { EVENTS, TASKS, titles, until } from './lib/streams.mjs';

const stack = useLocalbase();
const phone = { params: { device: 'phone' } };

for (const kind of ['memory', 'redis']) {
  describe(`a device on the ${kind} store`, () => {
    test('is told its id in hello and listed from its first use on', async (t) => {
      const { open, ask } = await deviceWorld(t, stack, kind);
      assert.deepEqual((await ask('GET', '/devices')).json, { devices: [], total: 0 });
      const s = await open({ params: { device: 'phone', label: 'Mein Ⓟhone' } });
      assert.deepEqual(s.hello.data.device, { id: 'phone' });
      assert.equal(s.headers['tidegate-device'], undefined, 'nothing was issued');
      const { json } = await ask('GET', '/devices');
      assert.equal(json.total, 1);
      const [device] = json.devices;
      assert.equal(device.id, 'phone');
      assert.equal(device.label, 'Mein Ⓟhone');
      assert.equal(device.topics, 1);
      assert.ok(Date.parse(device.created) <= Date.parse(device.last_seen));
      assert.ok(Date.parse(device.expires) > Date.parse(device.last_seen));
      s.kill();
      await open(phone);
      assert.equal((await ask('GET', '/devices')).json.devices[0].label, 'Mein Ⓟhone', 'it stays');
    });

    test('resumes without a cursor from the one it came with before', async (t) => {
      const { open, write } = await deviceWorld(t, stack, kind);
      const live = await open();
      const first = await open(phone);
      await write(first);
      const seen = first.lastId;
      first.kill();
      const missed = await write(live, 3);
      const second = await open({ lastEventId: seen, ...phone });
      await second.take('message', (e) => e.data.record.title === missed[2]);
      second.kill();
      const third = await open(phone);
      await third.take('message', (e) => e.data.record.title === missed[2]);
      assert.deepEqual(titles(third.rows), missed, 'behind the acknowledged cursor, nothing less');
      assert.match(third.headers['tidegate-recovered'], /^true/);
      assert.equal(third.hello.data.topics[0].recovered, true);
    });

    test('that brings a cursor is served from there, not from what it acknowledged', async (t) => {
      const { open, write, ask } = await deviceWorld(t, stack, kind);
      const first = await open(phone);
      await write(first);
      const early = first.lastId;
      const later = await write(first, 2);
      await ask('POST', '/ack', { body: { device: 'phone', cursor: first.lastId } });
      first.kill();
      const again = await open({ params: { device: 'phone', cursor: early } });
      await again.take('message', (e) => e.data.record.title === later[1]);
      assert.deepEqual(titles(again.rows), later);
      const now = await open({ params: { device: 'phone', cursor: 'now' } });
      await write(now);
      assert.equal(now.rows.length, 1);
    });

    test('that never acknowledges resumes from where it began', async (t) => {
      const { open, write } = await deviceWorld(t, stack, kind);
      const live = await open();
      const first = await open(phone);
      const [seen] = await write(first);
      first.kill();
      const missed = await write(live, 2);
      const again = await open(phone);
      await again.take('message', (e) => e.data.record.title === missed[1]);
      assert.deepEqual(titles(again.rows), [seen, ...missed], 'seen twice rather than not at all');
      assert.equal(again.hello.data.topics[0].recovered, true);
    });

    test('begins a topic that it has not acknowledged now, beside one that it has', async (t) => {
      const { open, write, writer, ask } = await deviceWorld(t, stack, kind);
      const live = await open({ topics: [TASKS, EVENTS] });
      const first = await open(phone);
      await write(first);
      await ask('POST', '/ack', { body: { device: 'phone', cursor: first.lastId } });
      first.kill();
      await writer.events('missed');
      await live.take('message', (e) => e.data.record.kind === 'missed');
      const [missed] = await write(live);
      const both = await open({ topics: [TASKS, EVENTS], ...phone });
      await both.take('message', (e) => e.data.record.title === missed);
      await writer.events('after');
      await both.take('message', (e) => e.data.record.kind === 'after');
      assert.deepEqual(titles(both.rows), [missed, 'after']);
    });

    test('with a cursor beyond the log is reset, and that cursor is not kept', async (t) => {
      const { open, write, ask } = await deviceWorld(t, stack, kind);
      const first = await open(phone);
      await write(first);
      await ask('POST', '/ack', { body: { device: 'phone', cursor: first.lastId } });
      const [epoch, ms] = parseCursor(first.lastId);
      const forged = await open({ params: { device: 'phone', cursor: `${epoch}.${ms + 3_600_000n}-0` } });
      assert.equal((await forged.take('reset')).data.reason, 'ahead');
      const { json } = await ask('GET', '/devices/phone');
      assert.equal(json.topics[0].cursor, first.rows[0].id);
      await write(forged);
      const again = await open(phone);
      await again.take('message');
      assert.equal(again.ofType('reset').length, 0);
    });

    test('is another one for another user', async (t) => {
      const { gateway, open, write, ask: ask1 } = await deviceWorld(t, stack, kind);
      const token = stack.user2.token;
      const mine = await open(phone);
      await write(mine);
      await ask1('POST', '/ack', { body: { device: 'phone', cursor: mine.lastId } });
      const theirs = await open({ token, ...phone });
      assert.equal(theirs.hello.data.topics[0].recovered, undefined, 'nothing to resume');
      await until(async () => {
        const got = await ask(gateway.url, 'GET', '/devices/phone', { token });
        return got.json.topics[0].cursor === theirs.hello.id;
      }, 'where it began');
      const acked = await ask1('GET', '/devices/phone');
      assert.equal(acked.json.topics[0].cursor, mine.lastId);
    });

    test('over a cap is told which', async (t) => {
      const { open, ask } = await deviceWorld(t, stack, kind, {
        devices: { per_user: 2, topics_max: 1 },
        streams: { per_user: 3 },
      });
      const refusal = (more) => open(more).then(() => assert.fail('it was opened'), (e) => e);
      await open({ params: { device: 'a' } });
      await open({ params: { device: 'b' } });
      const devices = await refusal({ params: { device: 'c' } });
      assert.equal(devices.status, 429);
      assert.equal(devices.json.code, 'TG525');
      assert.match(devices.json.hint, /DELETE/);
      const topics = await refusal({ topics: EVENTS, params: { device: 'a' } });
      assert.equal(topics.status, 429);
      assert.equal(topics.json.code, 'TG526');
      await open({ params: { device: 'a' } });
      const streams = await refusal({ params: { device: 'a' } });
      assert.equal(streams.json.code, 'TG523');
      assert.equal((await ask('GET', '/devices')).json.total, 2);
    });

    test('over a cap of streams is told which', async (t) => {
      for (const [streams, code, status] of [
        [{ per_user: 1 }, 'TG523', 429],
        [{ per_address: 1 }, 'TG524', 429],
        [{ max: 1 }, 'TG610', 503],
      ]) {
        const { open, gateway } = await deviceWorld(t, stack, kind, { streams });
        await open(phone);
        const error = await open({ params: { device: 'tablet' } }).catch((e) => e);
        assert.equal(error.status, status);
        assert.equal(error.json.code, code);
        assert.ok(Number(error.headers['retry-after']) > 0);
        await gateway.stop();
      }
    });

    test('that is away longer than its time to live is forgotten', async (t) => {
      const { open, ask } = await deviceWorld(t, stack, kind, { devices: { ttl: '1s' } });
      const s = await open(phone);
      s.kill();
      await until(async () => (await ask('GET', '/devices')).json.total === 0, 'the end of its time');
      assert.equal((await ask('GET', '/devices/phone')).status, 404);
    });

    test('with an id that is none is refused', async (t) => {
      const { open } = await deviceWorld(t, stack, kind);
      for (const device of ['', 'a b', 'a/b', 'ü', 'x'.repeat(129)]) {
        const error = await open({ params: { device } }).catch((e) => e);
        assert.equal(error.status, 400, device);
        assert.equal(error.json.code, 'TG406');
      }
      await open({ params: { device: 'x'.repeat(128) } });
    });
  });
}
