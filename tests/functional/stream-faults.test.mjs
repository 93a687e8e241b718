// What upstream does to a stream: every loss is told by a reset, and the stream goes on.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { afterEach, describe, test } from 'node:test';
import { useLocalbase } from './lib/localbase.mjs';
import { openStream } from './lib/sse.mjs';
import { EVENTS, gapsOf, named, placeGateway, TASKS, titles, until, Writer } from './lib/streams.mjs';

const stack = useLocalbase();
const rt = (command, json) => stack.control.part('realtime', command, json);
let counter = 0;

afterEach(() => rt('reset'));

/** A gateway and one live stream of the tasks. */
async function setUp(t, settings = {}, options = {}) {
  const gateway = await placeGateway(t, stack, settings);
  const open = async (more = {}) => {
    const s = await openStream(gateway.url, {
      topics: TASKS,
      token: stack.user1.token,
      ...options,
      ...more,
    });
    t.after(() => s.kill());
    s.hello = await s.take('hello');
    return s;
  };
  const writer = await Writer.to(stack);
  const stream = await open();
  if (stream.hello.data.topics.some(({ state }) => state === 'joining')) {
    await stream.take('status', (e) => e.data.state === 'ready', { timeoutMs: 30_000 });
  }
  /** Writes a row and waits until the stream has it; its event. */
  const proven = async (s = stream) => {
    const title = `proof ${++counter}`;
    await writer.tasks(title);
    return s.take('message', (e) => e.data.record.title === title);
  };
  return { gateway, open, writer, stream, proven };
}

const channels = async () => (await rt('state')).sockets.flatMap((s) => s.channels);

describe('the upstream socket', () => {
  for (const [how, json] of [['cut', {}], ['closed with 1012', { code: 1012 }], ['closed with 1000', { code: 1000 }]]) {
    test(`${how} is a gap: streams are told and go on`, async (t) => {
      const { stream, proven } = await setUp(t);
      await proven();
      await rt('drop', json);
      const reset = await stream.take('reset');
      assert.deepEqual(reset.data, { topic: TASKS, reason: 'gap' });
      assert.ok(reset.hasId);
      await stream.take('status', (e) => e.data.state === 'ready');
      const states = stream.ofType('status').map((e) => [e.data.topic, e.data.state]);
      assert.deepEqual(states, [[TASKS, 'offline'], [TASKS, 'ready']]);
      await proven();
      assert.equal(stream.ofType('reset').length, 1);
      assert.equal(titles(stream.rows).length, 2);
    });
  }

  test('cut while a client was away is a reset at its place in the resume', async (t) => {
    const { stream, proven, open, writer } = await setUp(t);
    await proven();
    const witness = await open();
    stream.kill();
    await writer.tasks('before the cut');
    await witness.take('message', (e) => e.data.record.title === 'before the cut');
    await rt('drop');
    await witness.take('reset');
    await proven(witness);
    const resumed = await open({ lastEventId: stream.lastId });
    const gap = resumed.events.items.indexOf(await resumed.take('reset'));
    assert.equal(resumed.hello.data.topics[0].recovered, false);
    assert.equal(resumed.hello.data.topics[0].reason, 'gap');
    assert.equal(resumed.headers['tidegate-recovered'], 'false; reason=gap');
    const after = await resumed.take('message', () => true, { from: gap });
    assert.equal(after.data.record.title, `proof ${counter}`);
    // Behind the reset nothing is amiss any more.
    const again = await open({ lastEventId: resumed.lastId });
    assert.equal(again.hello.data.topics[0].recovered, true);
  });

  test('that answers no heartbeat is given up', async (t) => {
    const { stream, proven } = await setUp(t, { realtime: { heartbeat: '1s' } });
    await rt('delay', { muteHeartbeats: true });
    await stream.take('status', (e) => e.data.state === 'offline'); // soon: two heartbeats at most
    await rt('delay', { muteHeartbeats: false });
    await stream.take('reset');
    await proven();
  });

  test('refused for a while is tried again', async (t) => {
    const { stream, proven } = await setUp(t);
    await rt('refuse-upgrades', { count: 3 });
    await rt('drop');
    await stream.take('reset', () => true, { timeoutMs: 30_000 });
    await proven();
  });
});

describe('many changes at once', () => {
  test('are all delivered, however few the log takes at a time', async (t) => {
    const { gateway, stream, writer, proven } = await setUp(t, { store: { max_pending: 20 } });
    await proven();
    const wanted = named('many', 3000);
    await writer.query(
      `insert into public.tasks (trip_id, title)
       select $1, 'many-' || n from generate_series(0, 2999) n order by n`, [stack.trip1_id]);
    await stream.take('message', (e) => e.data.record.title === wanted.at(-1), { timeoutMs: 30_000 });
    assert.deepEqual(titles(stream.rows).filter((title) => title.startsWith('many')), wanted);
    assert.deepEqual(stream.ofType('reset'), [], gapsOf(gateway));
    assert.equal(await gateway.metric('tidegate_gaps_total'), 1, 'that of the join');
  });
});

describe('a channel', () => {
  for (const event of ['phx_close', 'phx_error']) {
    test(`ended by ${event} is joined again, with a reset`, async (t) => {
      const { stream, proven } = await setUp(t);
      await rt('close-channels', { event });
      await stream.take('reset', () => true, { timeoutMs: 30_000 });
      await proven();
    });
  }

  test('subscribed anew without our asking is a reset', async (t) => {
    const { stream, proven } = await setUp(t);
    await rt('resubscribe');
    const reset = await stream.take('reset');
    assert.equal(reset.data.reason, 'gap');
    await proven();
  });

  test('that is given a fresher token goes on without a reset', async (t) => {
    const { stream, proven, open } = await setUp(t);
    const before = (await channels()).length;
    const now = Math.floor(Date.now() / 1000);
    const [, body] = stack.user1.token.split('.');
    const claims = JSON.parse(Buffer.from(body, 'base64url'));
    const token = await stack.control.signJwt({ ...claims, iat: now, exp: claims.exp + 600 });
    const other = await open({ token });
    const { data } = await proven();
    assert.equal((await other.take('message')).data.record.title, data.record.title);
    assert.equal((await channels()).length, before, 'one channel for one class');
    await proven();
    assert.equal(stream.ofType('reset').length + other.ofType('reset').length, 0);
    // One `Subscribed` was ours; the next one is not.
    await rt('resubscribe');
    await stream.take('reset');
    await other.take('reset');
    await proven();
  });

  test('whose token upstream no longer takes waits for another one', async (t) => {
    const { stream, proven, open } = await setUp(t);
    await proven();
    await rt('expire');
    await stream.take('status', (e) => e.data.state === 'offline');
    const now = Math.floor(Date.now() / 1000);
    const [, body] = stack.user1.token.split('.');
    const claims = JSON.parse(Buffer.from(body, 'base64url'));
    const token = await stack.control.signJwt({ ...claims, iat: now, exp: claims.exp + 600 });
    const other = await open({ token });
    await stream.take('reset');
    await proven();
    await proven(other);
  });

  test('is shared by all streams of a class', async (t) => {
    const { open } = await setUp(t);
    const before = (await channels()).length;
    await open();
    await open();
    assert.equal((await channels()).length, before);
  });
});

describe('decoding that pauses', () => {
  test('delays rows and loses none', async (t) => {
    const { stream, writer } = await setUp(t);
    await rt('pause');
    await writer.tasks(named('paused', 20));
    await rt('resume');
    const rows = await stream.events.takeMany(20, (e) => e.type === 'message');
    assert.deepEqual(titles(rows), named('paused', 20));
    assert.equal(stream.ofType('reset').length, 0);
  });
});

describe('a join that takes its time', () => {
  test('starts the stream as joining, and tells when it is ready', async (t) => {
    const { gateway, writer } = await setUp(t, { streams: { ready_wait: '1s' } });
    await rt('hold-subscribed', { hold: true });
    const s = await openStream(gateway.url, { topics: EVENTS, token: stack.user1.token });
    t.after(() => s.kill());
    const hello = await s.take('hello');
    assert.equal(hello.data.topics[0].state, 'joining');
    await rt('hold-subscribed', { hold: false });
    const status = await s.take('status');
    assert.deepEqual(status.data, { topic: EVENTS, state: 'ready' });
    assert.ok(status.hasId);
    await writer.events('after ready');
    assert.equal((await s.take('message')).data.record.kind, 'after ready');
    assert.equal(s.ofType('reset').length, 0);
  });

  test('refused for a while is repeated', async (t) => {
    const { gateway, writer } = await setUp(t, { streams: { ready_wait: '1s' } });
    await rt('refuse-joins', { count: 2 });
    const s = await openStream(gateway.url, { topics: EVENTS, token: stack.user1.token });
    t.after(() => s.kill());
    const hello = await s.take('hello');
    if (hello.data.topics[0].state === 'joining') {
      await s.take('status', (e) => e.data.state === 'ready', { timeoutMs: 40_000 });
    }
    await writer.events('after refusals');
    assert.equal((await s.take('message')).data.record.kind, 'after refusals');
  });

  test('keeps a resumed client honest: joining now, reset when covered', async (t) => {
    const { stream, proven, open, writer } = await setUp(t, { streams: { ready_wait: '1s' } });
    const { id } = await proven();
    await rt('hold-subscribed', { hold: true });
    await rt('drop');
    await stream.take('status', (e) => e.data.state === 'offline');
    const resumed = await open({ lastEventId: id });
    assert.equal(resumed.hello.data.topics[0].recovered, false);
    await writer.tasks('lost meanwhile');
    await rt('hold-subscribed', { hold: false });
    await resumed.take('reset');
    await proven(resumed);
  });
});

describe('a row that is long', () => {
  test('comes whole', async (t) => {
    const { stream, writer } = await setUp(t);
    const title = 'long '.repeat(100_000);
    await writer.tasks(title);
    const { data } = await stream.take('message');
    assert.equal(data.record.title, title);
  });

  test('beyond what the log takes is a reset', async (t) => {
    const { stream, writer, proven } = await setUp(t, { store: { event_bytes: '16k' } });
    await writer.tasks('x'.repeat(40_000));
    const reset = await stream.take('reset');
    assert.equal(reset.data.reason, 'gap');
    await proven();
    assert.equal(stream.rows.length, 1);
  });

  test('beyond what upstream carries comes without its long columns', async (t) => {
    const { stream, writer, proven } = await setUp(t);
    const [{ id }] = await writer.tasks('y'.repeat(1_200_000));
    const { data } = await stream.take('message', (e) => e.data.record.id === id);
    assert.deepEqual([data.record.title, data.partial], [undefined, true]);
    await proven();
  });

  test('comes without the long columns that an update did not change', async (t) => {
    const { stream, writer, proven } = await setUp(t);
    const title = randomBytes(20_000).toString('hex');
    const [{ id }] = await writer.tasks(title);
    await writer.query('update public.tasks set done = true where id = $1', [id]);
    const { data } = await stream.take('message', (e) => e.data.type === 'UPDATE');
    assert.deepEqual([data.record.done, data.record.title, data.partial], [true, undefined, true]);
    await proven();
  });
});

describe('rows of others', () => {
  test('are not shown, live or replayed', async (t) => {
    const { stream, proven, open, writer } = await setUp(t);
    const second = await open({ token: stack.user2.token });
    const start = second.hello.id;
    await writer.tasks(named('of trip 1', 10), stack.trip1_id);
    await writer.tasks('of trip 2', stack.trip2_id);
    await proven();
    assert.deepEqual(titles([await second.take('message')]), ['of trip 2']);
    const resumed = await open({ token: stack.user2.token, lastEventId: start });
    await resumed.take('message');
    const stolen = await open({ token: stack.user2.token, lastEventId: stream.hello.id });
    await stolen.take('message');
    for (const s of [second, resumed, stolen]) {
      assert.deepEqual(titles(s.rows), ['of trip 2']);
    }
    assert.ok(!titles(stream.rows).includes('of trip 2'));
  });

  test('of the same user are kept apart by class', async (t) => {
    const { proven, open } = await setUp(t);
    const before = (await channels()).length;
    const [, body] = stack.user1.token.split('.');
    const claims = JSON.parse(Buffer.from(body, 'base64url'));
    const token = await stack.control.signJwt({ ...claims, aal: 'aal2' });
    const other = await open({ token });
    assert.equal((await channels()).length, before + 1);
    await proven(other);
    // The first class's log is not the second's: its cursor finds nothing of it there.
    const crossed = await open({ token });
    assert.equal(crossed.rows.length, 0);
  });
});

describe('history that is gone', () => {
  test('is told: expired', async (t) => {
    const { stream, writer, open } = await setUp(t, { store: { retain_events: 20 } });
    const first = stream.hello.id;
    await writer.tasks(named('old', 200));
    await stream.events.takeMany(200, (e) => e.type === 'message');
    const resumed = await open({ lastEventId: first });
    assert.equal(resumed.hello.data.topics[0].reason, 'expired');
    const reset = await resumed.take('reset');
    assert.deepEqual(reset.data, { topic: TASKS, reason: 'expired' });
    await writer.tasks('new');
    await resumed.take('message', (e) => e.data.record.title === 'new');
    assert.ok(resumed.rows.length < 200);
  });

  test('or was never there: epoch and ahead', async (t) => {
    const { stream, open, proven } = await setUp(t);
    const [epoch] = stream.hello.id.split('.');
    for (const [cursor, reason] of [
      ['elsewhere.1795370110248-0', 'epoch'],
      [`${epoch}.99999999999999-0`, 'ahead'],
    ]) {
      const s = await open({ lastEventId: cursor });
      assert.equal(s.hello.data.topics[0].recovered, false);
      assert.equal(s.hello.data.topics[0].reason, reason);
      assert.equal((await s.take('reset')).data.reason, reason);
      assert.equal(s.hello.id.split('.')[0], epoch);
      await proven(s);
      const again = await open({ lastEventId: s.lastId });
      assert.equal(again.hello.data.topics[0].recovered, true);
    }
  });

  test('of one of several topics is told for that one', async (t) => {
    const { gateway, writer } = await setUp(t, { store: { retain_events: 20 } });
    const topics = [TASKS, EVENTS];
    const options = { topics, token: stack.user1.token };
    const s = await openStream(gateway.url, options);
    const { id } = await s.take('hello');
    await writer.tasks(named('many', 200));
    await writer.events('only one');
    await s.take('message', (e) => e.data.record.kind === 'only one');
    s.kill();
    const resumed = await openStream(gateway.url, { ...options, lastEventId: id });
    t.after(() => resumed.kill());
    const hello = await resumed.take('hello');
    assert.deepEqual(hello.data.topics.map((x) => x.recovered), [false, true]);
    assert.equal((await resumed.take('reset')).data.topic, TASKS);
    await resumed.take('message', (e) => e.data.topic === EVENTS);
    assert.equal(resumed.ofType('reset').length, 1);
  });
});

describe('the end of the gateway', () => {
  test('is told to every stream, with a time to come back', async (t) => {
    const { gateway, stream, open } = await setUp(t, { server: { drain_timeout: '3s' } });
    const streams = [stream];
    for (let i = 0; i < 10; i++) {
      streams.push(await open());
    }
    const began = Date.now();
    await gateway.stop();
    assert.ok(Date.now() - began < 4000, 'ended within the drain time');
    const retries = [];
    for (const s of streams) {
      const bye = await s.take('bye');
      assert.equal(bye.data.reason, 'drain');
      assert.equal(s.ofType('retry').at(-1).ms, bye.data.retry);
      retries.push(bye.data.retry);
      await s.ended;
    }
    assert.ok(new Set(retries).size > 1, 'spread in time');
    await until(async () => (await channels()).length === 0, 'the channels to go');
  });
});
