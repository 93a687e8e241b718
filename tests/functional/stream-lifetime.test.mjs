// How long a stream lives: its token's end, announced, held and renewed; its maximum age; what
// the log still holds from the earliest on.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { deviceWorld } from './lib/devices.mjs';
import { useLocalbase } from './lib/localbase.mjs';
import { poll } from './lib/poll.mjs';
import { openStream } from './lib/sse.mjs';
import { assertAscending, named, placeGateway, TASKS, titles, Writer } from './lib/streams.mjs';
import { openSocket } from './lib/ws.mjs';

const stack = useLocalbase();
const now = () => Math.floor(Date.now() / 1000);

const signed = (exp, sub = stack.user1.id) =>
  stack.control.signJwt({ sub, aud: 'authenticated', role: 'authenticated', iat: now(), exp });

async function setUp(t, streams) {
  const gateway = await placeGateway(t, stack, { streams });
  const writer = await Writer.to(stack);
  const open = async (options = {}) => {
    const s = await openStream(gateway.url, { topics: TASKS, ...options });
    t.after(() => s.kill());
    await s.take('hello');
    return s;
  };
  // A stream of the same class with a long token: the topic stays covered, and shows what is live.
  const keeper = await open({ token: await signed(now() + 3600) });
  const write = async (title) => {
    await writer.tasks(title);
    await keeper.take('message', (e) => e.data.record.title === title);
  };
  return { gateway, writer, open, keeper, write };
}

describe("a token's end", () => {
  test('is announced, holds events, and ends the stream after the grace', async (t) => {
    const { gateway, open, write } = await setUp(t, { token_grace: '2s' });
    const exp = now() + 5;
    const s = await open({ token: await signed(exp) });
    const expiring = await s.take('expiring');
    assert.deepEqual(expiring.data, { exp, grace: 2000 });
    assert.ok(!expiring.hasId, 'it moves no cursor');
    await write('before');
    await s.take('message');
    const bye = await s.take('bye', () => true, { timeoutMs: 15_000 });
    assert.deepEqual(bye.data.reason, 'expired');
    assert.ok(Date.now() >= (exp + 2) * 1000 - 20, 'not before the grace is over');
    await s.ended;
    assert.equal(await gateway.metric('tidegate_streams_expired_total'), 1);
  });

  test('loses nothing: a fresh token goes on where events were held', async (t) => {
    const { gateway, write } = await setUp(t, { token_grace: '1m' });
    const exp = now() + 5;
    const s = await openSocket(gateway.url, { topics: TASKS, token: await signed(exp) });
    t.after(() => s.kill());
    await s.take('expiring');
    await write('live');
    await s.take('message');
    // Past the second of exp by the gateway's clock, which is this one.
    while (Date.now() < exp * 1000 + 50) {
      await write(`until-${Date.now()}`);
    }
    await write('held-1');
    await write('held-2');
    assert.ok(!titles(s.rows).some((title) => title.startsWith('held')));
    await s.tell('token', { token: await signed(now() + 3600) });
    await s.take('message', (e) => e.data.record.title === 'held-2');
    assert.deepEqual(titles(s.rows).slice(-2), ['held-1', 'held-2']);
    assertAscending(s.events.items);
    assert.equal(s.events.items.filter((e) => e.type === 'reset').length, 0);
    await write('live again');
    await s.take('message', (e) => e.data.record.title === 'live again');
  });

  test('resumes by its cursor when nobody renewed it', async (t) => {
    const { open, write } = await setUp(t, { token_grace: '0' });
    const s = await open({ token: await signed(now() + 5) });
    await write('seen');
    await s.take('message');
    await s.ended;
    await write('missed');
    const again = await open({ token: await signed(now() + 3600), lastEventId: s.lastId });
    await again.take('message', (e) => e.data.record.title === 'missed');
    assert.deepEqual(titles(again.rows), ['missed']);
  });
});

describe('the age of a stream', () => {
  test('ends with bye and a short retry, each at its own time, and nothing is lost', async (t) => {
    const { gateway, open, writer } = await setUp(t, { max_age: '4s' });
    const token = await signed(now() + 3600);
    const opened = Date.now();
    const streams = await Promise.all(Array.from({ length: 10 }, () => open({ token })));
    const wanted = named('aged', 30);
    const written = (async () => {
      for (const title of wanted) {
        await writer.tasks(title);
      }
    })();
    for (const s of streams) {
      const bye = await s.take('bye');
      assert.equal(bye.data.reason, 'age');
      assert.ok(bye.data.retry < 1000);
      assert.ok(Date.now() - opened >= 3600 - 20, 'at most a tenth early');
      await s.ended;
    }
    await written;
    for (const s of streams.slice(0, 3)) {
      const again = await open({ token, lastEventId: s.lastId });
      const seen = titles(s.rows);
      while (seen.length + again.rows.length < wanted.length) {
        await again.take('message', () => true, { from: again.events.size });
      }
      assert.deepEqual([...seen, ...titles(again.rows)], wanted);
    }
    assert.ok((await gateway.metric('tidegate_streams_aged_total')) >= 10);
  });
});

describe('a WebSocket', () => {
  for (const [reason, code, exp, streams] of [
    ['expired', 1008, 4, { token_grace: '100ms' }],
    ['age', 1001, 3600, { max_age: '1s' }],
  ]) {
    test(`is told ${reason} and closed with ${code}`, async (t) => {
      const { gateway } = await setUp(t, streams);
      const s = await openSocket(gateway.url, { topics: TASKS, token: await signed(now() + exp) });
      t.after(() => s.kill());
      assert.equal((await s.take('bye')).data.reason, reason);
      await s.closed;
      assert.deepEqual(s.end, { code, reason });
      await gateway.log.take((l) => l.event === 'stream_end' && l.by === 'ws' && l.why === reason);
    });
  }
});

describe('cursor=earliest', () => {
  test('brings what the log holds, and is no resume', async (t) => {
    const { open, write } = await setUp(t, {});
    for (const title of named('kept', 5)) {
      await write(title);
    }
    const token = await signed(now() + 3600);
    const s = await open({ token, params: { cursor: 'earliest' } });
    await s.take('message', (e) => e.data.record.title === 'kept-4');
    assert.deepEqual(titles(s.rows), named('kept', 5));
    assert.equal(s.ofType('reset').length, 0);
    assert.equal(s.events.items.find((e) => e.type === 'hello').data.topics[0].recovered, undefined);
  });

  for (const kind of ['memory', 'redis']) {
    test(`tells of a gap in what the log holds, on ${kind}`, async (t) => {
      const { gateway, open, write } = await deviceWorld(t, stack, kind);
      t.after(() => stack.control.part('realtime', 'reset'));
      const witness = await open();
      const [before] = await write(witness);
      await stack.control.part('realtime', 'drop');
      const { id } = await witness.take('reset');
      await witness.take('status', (e) => e.data.state === 'ready');
      const after = await write(witness, 2);
      const s = await open({ params: { cursor: 'earliest' } });
      await s.take('message', (e) => e.data.record.title === after[1]);
      assert.deepEqual(titles(s.rows), after);
      assert.ok(!titles(s.rows).includes(before));
      assert.deepEqual(s.ofType('reset').map((e) => [e.id, e.data.reason]), [[id, 'gap']]);
      assert.deepEqual([s.hello.data.topics[0].recovered, s.hello.data.topics[0].reason], [undefined, 'gap']);
      const polled = await poll(gateway.url, {
        topics: TASKS, token: stack.user1.token, params: { cursor: 'earliest' },
      });
      assert.deepEqual(polled.events.map((e) => e.event ?? e.type), ['reset', 'INSERT', 'INSERT']);
    });
  }
});
