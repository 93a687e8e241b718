// The WebSocket end to end, with the package `ws` as its client: hello, live changes, topics that
// come and go while it runs, acknowledgements, tokens, and how it ends.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { useLocalbase } from './lib/localbase.mjs';
import { publish } from './lib/publisher.mjs';
import { startRedis } from './lib/redis.mjs';
import { isAbove, openStream } from './lib/sse.mjs';
import { assertAscending, EVENTS, named, placeGateway, TASKS, titles, until, Writer } from './lib/streams.mjs';
import { openSocket, OP } from './lib/ws.mjs';

const stack = useLocalbase();
let counter = 0;

async function setUp(t, settings = {}, kind = 'memory') {
  const store = kind === 'redis' ? { url: (await startRedis(t)).url } : {};
  const gateway = await placeGateway(t, stack, { ...settings, store: { ...store, ...settings.store } });
  const writer = await Writer.to(stack);
  const open = async (options = {}) => {
    const s = await openSocket(gateway.url, { topics: TASKS, token: stack.user1.token, ...options });
    t.after(() => s.kill());
    return s;
  };
  /** Rows that `s` has seen come. */
  const write = async (s, n = 1) => {
    const wanted = named(`w${++counter}`, n);
    await writer.tasks(wanted);
    await until(() => wanted.every((title) => titles(s.rows).includes(title)), 'the rows');
    return wanted;
  };
  return { gateway, open, writer, write };
}

describe('a WebSocket', () => {
  test('says hello, and nothing of extensions', async (t) => {
    const { open } = await setUp(t);
    const s = await open();
    assert.equal(s.events.items[0].type, 'hello');
    assert.equal(s.hello.id, s.hello.data.cursor);
    assert.equal(s.headers['tidegate-cursor'], s.hello.id);
    assert.ok(s.headers['x-request-id']);
    assert.equal(s.headers['sec-websocket-extensions'], undefined);
    assert.equal(s.headers['sec-websocket-protocol'], undefined);
    assert.deepEqual(s.hello.data.topics, [{ topic: TASKS, guarantee: 'live', state: 'ready' }]);
  });

  test('delivers what SSE delivers, under the same ids', async (t) => {
    const { gateway, open, write } = await setUp(t);
    const s = await open();
    const sse = await openStream(gateway.url, { topics: TASKS, token: stack.user1.token });
    t.after(() => sse.kill());
    await sse.take('hello');
    const wanted = await write(s, 20);
    await sse.take('message', (e) => e.data.record.title === wanted[19]);
    assert.deepEqual(titles(s.rows), wanted);
    assertAscending(s.events.items);
    const plain = s.rows.map(({ data: { id, ...rest } }) => rest);
    assert.deepEqual(plain, sse.rows.map((e) => e.data));
    assert.deepEqual(s.rows.map((e) => e.id), sse.rows.map((e) => e.id));
    assert.match(s.rows[0].text, /^\{"id":"/, 'a change has no event member, and its id first');
  });

  test('resumes by a cursor of SSE, and SSE by its own', async (t) => {
    const { gateway, open, write } = await setUp(t);
    const live = await open();
    const first = await openStream(gateway.url, { topics: TASKS, token: stack.user1.token });
    await first.take('hello');
    await write(live, 2);
    await first.events.takeMany(2, (e) => e.type === 'message');
    first.kill();
    const missed = await write(live, 3);
    const second = await open({ params: { cursor: first.lastId } });
    await second.events.takeMany(3, (e) => e.type === 'message');
    assert.equal(second.headers['tidegate-recovered'], 'true');
    assert.equal(second.hello.data.topics[0].recovered, true);
    assert.deepEqual(titles(second.rows), missed);
    second.kill();
    const more = await write(live, 2);
    const third = await openStream(gateway.url, {
      topics: TASKS, token: stack.user1.token, lastEventId: second.lastId,
    });
    t.after(() => third.kill());
    await third.events.takeMany(2, (e) => e.type === 'message');
    assert.deepEqual(titles(third.rows), more);
  });

  test('without a topic waits for subscribe', async (t) => {
    const { open, write } = await setUp(t);
    const s = await open({ topics: [] });
    assert.deepEqual(s.hello.data.topics, []);
    const answer = await s.tell('subscribe', { topic: TASKS });
    assert.equal(answer.topic, TASKS);
    assert.equal(answer.state, 'ready');
    assert.ok(answer.cursor);
    assert.equal(answer.recovered, undefined);
    await write(s, 2);
  });
});

describe('topics on a running WebSocket', () => {
  test('are added with a cursor of their own, and catch up in order', async (t) => {
    const { open, writer, write } = await setUp(t);
    const live = await open({ topics: [TASKS, EVENTS] });
    const old = live.hello.id;
    await writer.events(named('old', 5));
    await live.events.takeMany(5, (e) => e.data.table === 'events');
    const s = await open();
    await write(s, 3);
    const answer = await s.tell('subscribe', { topic: EVENTS, cursor: old });
    assert.equal(answer.recovered, true);
    const rows = await s.events.takeMany(5, (e) => e.data.table === 'events');
    assert.deepEqual(titles(rows), named('old', 5));
    await writer.events('new');
    await s.take('message', (e) => e.data.record?.kind === 'new');
    const after = await write(s, 1);
    assert.equal(titles(s.rows).at(-1), after[0]);
    assert.ok(s.events.items.indexOf(rows[0]) > s.events.items.findIndex((e) => e.type === 'ok'),
      'the answer stands before its events');
  });

  test('have a reset of their own when the cursor is none of this log', async (t) => {
    const { open } = await setUp(t);
    const s = await open();
    const answer = await s.tell('subscribe', { topic: EVENTS, cursor: 'zzzzz.1700000000000-0' });
    assert.equal(answer.recovered, false);
    assert.equal(answer.reason, 'epoch');
    await s.take('reset', (e) => e.data.topic === EVENTS);
  });

  test('are removed, and nothing more of them comes', async (t) => {
    const { open, writer, write } = await setUp(t);
    const s = await open({ topics: [TASKS, EVENTS] });
    await writer.events('seen');
    await s.take('message', (e) => e.data.table === 'events');
    await s.tell('unsubscribe', { topic: EVENTS });
    await writer.events('unseen');
    await write(s, 2);
    assert.equal(s.rows.filter((e) => e.data.table === 'events').length, 1);
    const again = await s.ask('unsubscribe', { topic: EVENTS });
    assert.equal(again.event, 'error');
    assert.equal(again.code, 'TG440');
    await s.tell('subscribe', { topic: EVENTS });
    await writer.events('back');
    await s.take('message', (e) => e.data.record?.kind === 'back');
  });

  test('that are asked for wrongly are refused, and the rest goes on', async (t) => {
    const { open, write } = await setUp(t, { streams: { topics_max: 2 } });
    const s = await open();
    const refused = async (members, code, words) => {
      const answer = await s.ask('subscribe', members);
      assert.equal(answer.event, 'error', JSON.stringify(answer));
      assert.equal(answer.code, code, JSON.stringify(answer));
      assert.match(`${answer.message} ${answer.details}`, words);
    };
    await refused({ topic: 'nonsense' }, 'TG403', /topic/);
    await refused({}, 'TG403', /topic/);
    await refused({ topic: 7 }, 'TG406', /strings/);
    await refused({ topic: EVENTS, cursor: 'nonsense' }, 'TG404', /cursor/);
    await refused({ topic: 'table:auth.users' }, 'TG430', /not served/);
    await refused({ topic: TASKS }, 'TG490', /already/);
    await s.tell('subscribe', { topic: EVENTS });
    await refused({ topic: `${TASKS}:title=eq.x` }, 'TG403', /too many/);
    await write(s, 1);
  });
});

describe('a message that is none', () => {
  test('gets an error with its ref, and the socket stays', async (t) => {
    const { open, write } = await setUp(t);
    const s = await open();
    const said = async (text, code, ref) => {
      const from = s.events.size;
      s.send(text);
      const { data } = await s.take('error', () => true, { from });
      assert.equal(data.code, code, text);
      assert.deepEqual(data.ref, ref, text);
    };
    await said('', 'TG405');
    await said('nonsense', 'TG405');
    await said('[1]', 'TG405');
    await said('{"ref":"a"', 'TG405');
    await said('{"ref":"a"}', 'TG406', 'a');
    await said('{"event":"dance","ref":"b"}', 'TG406', 'b');
    await said(' {"event":7,"ref":12}', 'TG406', 12);
    await said('{"event":"ack","ref":-1.5}', 'TG406', -1.5);
    await said('{"event":"dance","ref":{"a":1}}', 'TG406');
    await said(`{"event":"dance","ref":"${'x'.repeat(200)}"}`, 'TG406');
    await said('{"event":"dance","ref":"\\u00e9\\n"}', 'TG406', 'é\n');
    await write(s, 1);
  });
});

for (const kind of ['memory', 'redis']) {
  describe(`a device on a WebSocket, ${kind} store`, () => {
    test('acknowledges per topic, or all at once, and resumes there', async (t) => {
      const { open, writer, write } = await setUp(t, {}, kind);
      const device = { params: { device: 'tablet' } };
      const live = await open({ topics: [TASKS, EVENTS] });
      const s = await open({ ...device, topics: [TASKS, EVENTS] });
      await write(s, 2);
      await s.tell('ack', { cursor: s.lastId });
      const late = await write(s, 2);
      await writer.events(named('e', 2));
      await s.events.takeMany(2, (e) => e.data.table === 'events');
      const [first] = s.rows.filter((e) => e.data.table === 'events');
      await s.tell('ack', { topic: EVENTS, cursor: first.id });
      s.kill();
      const more = await write(live, 1);
      const next = await open({ ...device, topics: [TASKS, EVENTS] });
      assert.equal(next.headers['tidegate-recovered'], 'true');
      await next.events.takeMany(4, (e) => e.type === 'message');
      const of = (table) => titles(next.rows.filter((e) => e.data.table === table));
      assert.deepEqual(of('tasks'), [...late, ...more]);
      assert.deepEqual(of('events'), ['e-1']);
      await next.tell('ack', { topics: { [TASKS]: next.lastId, [EVENTS]: next.lastId } });
      next.kill();
      const third = await open({ ...device, topics: [TASKS, EVENTS] });
      await write(third, 1);
      assert.equal(third.rows.length, 1, 'nothing was left');
    });

    test('tells where to begin on a topic that is added, unless the client does', async (t) => {
      const { open, writer } = await setUp(t, {}, kind);
      const device = { params: { device: 'tablet' } };
      const live = await open({ topics: EVENTS });
      const s = await open({ ...device, topics: [] });
      await s.tell('subscribe', { topic: EVENTS });
      await writer.events(named('f', 2));
      await s.events.takeMany(2, (e) => e.type === 'message');
      await s.tell('ack', { topic: EVENTS, cursor: s.rows[0].id });
      s.kill();
      await writer.events('g');
      await live.take('message', (e) => e.data.record.kind === 'g');
      const next = await open({ ...device, topics: [] });
      assert.equal((await next.tell('subscribe', { topic: EVENTS })).recovered, true);
      await next.events.takeMany(2, (e) => e.type === 'message');
      assert.deepEqual(titles(next.rows), ['f-1', 'g']);
      const own = await open({ ...device, topics: [] });
      await own.tell('subscribe', { topic: EVENTS, cursor: live.hello.id });
      await own.events.takeMany(3, (e) => e.type === 'message');
    });

    test('does not acknowledge what the log does not have', async (t) => {
      const { open } = await setUp(t, {}, kind);
      const s = await open({ params: { device: 'tablet' } });
      const epoch = s.hello.id.split('.')[0];
      const refused = async (members, words) => {
        const answer = await s.ask('ack', members);
        assert.equal(answer.event, 'error', JSON.stringify(answer));
        assert.equal(answer.code, 'TG404');
        assert.match(String(answer.details), words);
      };
      await refused({ topic: TASKS, cursor: `${epoch}.99999999999999-0` }, /ahead/);
      await refused({ topic: TASKS, cursor: 'zzzzz.1700000000000-0' }, /another log/);
      await refused({ topic: EVENTS, cursor: s.hello.id }, /does not have/);
      await refused({ topic: TASKS, cursor: 'now' }, /null/);
    });
  });
}

test('only a device acknowledges', async (t) => {
  const { open } = await setUp(t);
  const s = await open();
  const answer = await s.ask('ack', { cursor: s.hello.id });
  assert.equal(answer.code, 'TG406');
  assert.match(answer.details, /device/);
});

test('one cursor for all leaves out a topic that the client cannot have seen up to it', async (t) => {
  const { open, writer, write } = await setUp(t);
  const device = { params: { device: 'tablet' } };
  const live = await open({ topics: [TASKS, EVENTS] });
  const old = live.hello.id;
  await writer.events(named('h', 3));
  await live.events.takeMany(3, (e) => e.type === 'message');
  const s = await open(device);
  await write(s, 1);
  const seen = s.lastId;
  await s.tell('subscribe', { topic: EVENTS, cursor: old });
  await s.tell('ack', { cursor: seen }); // said before the older events of the new topic were read
  s.kill();
  const next = await open({ ...device, topics: [TASKS, EVENTS] });
  await next.events.takeMany(3, (e) => e.type === 'message');
  assert.deepEqual(titles(next.rows), named('h', 3));
  const after = await write(next, 1);
  assert.ok(isAbove(next.lastId, seen));
  assert.equal(titles(next.rows).at(-1), after[0]);
});

test('a caller without a user follows public topics, and no others', async (t) => {
  const { gateway, open } = await setUp(t, { topics: { notices: { public: true } } });
  const s = await open({ topics: [], token: undefined, params: { apikey: stack.anon_key, device: 'new' } });
  const { id } = s.hello.data.device;
  assert.equal(s.headers['tidegate-device'], id);
  assert.equal((await s.ask('subscribe', { topic: TASKS })).code, 'TG410');
  await s.tell('subscribe', { topic: 'notices:all' });
  await publish(gateway.url, stack, { topic: 'notices:all', payload: { n: 1 } });
  const first = await s.take('message');
  await s.tell('ack', { cursor: first.id });
  s.kill();
  await publish(gateway.url, stack, { topic: 'notices:all', payload: { n: 2 } });
  const next = await open({
    topics: 'notices:all', token: undefined, params: { apikey: stack.anon_key, device: id },
  });
  await next.take('message');
  assert.equal(next.rows.length, 1);
  assert.equal(next.headers['tidegate-recovered'], 'true');
});

describe('a token on a running WebSocket', () => {
  test('of the same user goes on, of another ends it', async (t) => {
    const { open, write } = await setUp(t);
    const s = await open();
    const answer = await s.tell('token', { token: stack.user1.token });
    assert.equal(typeof answer.exp, 'number');
    await write(s, 1);
    const bad = await s.ask('token', { token: 'nonsense' });
    assert.equal(bad.event, 'error');
    assert.equal(bad.code, 'TG411');
    assert.equal((await s.ask('token', {})).code, 'TG406');
    await write(s, 1);
    s.say({ event: 'token', token: stack.user2.token });
    const { data } = await s.take('bye');
    assert.equal(data.reason, 'token');
    assert.equal((await s.closed).code, 1008);
  });
});

describe('the end', () => {
  test('is a close handshake, whoever begins', async (t) => {
    const { gateway, open } = await setUp(t, { server: { drain_timeout: '5s' } });
    const s = await open();
    assert.deepEqual(await s.close(1000, 'enough'), { code: 1000, reason: '' });
    await gateway.log.take((l) => l.event === 'stream_end' && l.why === 'closed');
    const drained = await open();
    await gateway.stop();
    const bye = await drained.take('bye');
    assert.equal(bye.data.reason, 'drain');
    assert.ok(bye.data.retry > 0);
    assert.deepEqual(await drained.closed, { code: 1001, reason: 'drain' });
  });

  test('of a client that is gone is seen by its silence', async (t) => {
    const { gateway, open } = await setUp(t, { streams: { heartbeat: '1s' } });
    const s = await open({ ws: { autoPong: false } });
    await until(() => s.pings >= 2, 'pings');
    const dead = gateway.log.take((l) => l.event === 'stream_end' && l.why === 'silent', { timeoutMs: 20_000 });
    await dead;
    assert.equal((await s.closed).code, 1006);
    assert.equal(OP.ping, 9);
  });

  test('does not come to a client that only answers pings', async (t) => {
    const { open, write } = await setUp(t, { streams: { heartbeat: '1s' } });
    const s = await open();
    await until(() => s.pings >= 6, 'pings');
    await write(s, 1);
    assert.equal(s.end, undefined);
  });
});
