// Pages of rows that no PostgREST should send: the client is told what can be told, in the way that
// is promised, nothing grows, and the next stream is as good as ever.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SANITIZED } from './lib/gateway.mjs';
import { useLocalbase } from './lib/localbase.mjs';
import { openStream } from './lib/sse.mjs';
import { named, placeGateway, TASKS, until, Writer } from './lib/streams.mjs';
import { openSocket } from './lib/ws.mjs';

const stack = useLocalbase();
const GROWTH_KIB = 16 * 1024;
const PAGE = { method: 'GET', path: '/rest/v1/tasks?select=*' };
const text = (body, type = 'application/json') => ({ status: 200, body, headers: { 'Content-Type': type } });
const row = (id, more = {}) => ({ id, trip_id: stack.trip1_id, title: 'x', ...more });

/** What comes instead of a page; status and code of a refusal, and how often it is asked. */
const CASES = {
  'is cut in the middle': [{ cut_after_bytes: 50 }, 502, 'TG602'],
  'is no JSON': [text('[{"id":'), 502, 'TG602'],
  'has something behind it': [text('[] []'), 502, 'TG602'],
  'is no list': [text('{"id":1}'), 502, 'TG602'],
  'is nothing at all': [text(''), 502, 'TG602'],
  'is a page for people': [text('<html><h1>It works!</h1></html>', 'text/html'), 502, 'TG602'],
  'is nested without end': [text('['.repeat(100_000) + ']'.repeat(100_000)), 502, 'TG602'],
  'is a list of numbers': [text('[1,2,3]'), 400, 'TG406'],
  'has rows without the key': [text('[{"title":"x"},{}]'), 400, 'TG406'],
  'has a row that is too large': [text(JSON.stringify([row('1', { title: 'x'.repeat(6_000_000) })])), 502, 'TG602', 9],
  'comes too late': [{ delay_ms: 120_000 }, 504, 'TG609'],
  'is an error in no words': [{ status: 500, body: 'oops' }, 502, 'TG602'],
  'comes with another status': [{ status: 302, body: '[]', headers: { Location: '/' } }, 502, 'TG602'],
};

async function start(t) {
  const gateway = await placeGateway(t, stack, {
    streams: { snapshot_rows: 10 },
    upstream: { retry_budget: 0, first_byte_timeout: '300ms', breaker_failures: 0 },
  });
  t.after(() => stack.control.clearFaults());
  const writer = await Writer.to(stack);
  await writer.query('delete from public.tasks');
  await writer.tasks(named('row', 25));
  const options = { topics: TASKS, token: stack.user1.token };
  const open = async () => {
    const s = await openStream(gateway.url, { ...options, params: { snapshot: '1' } });
    t.after(() => s.kill());
    return s;
  };
  const socket = async () => {
    const s = await openSocket(gateway.url, { token: stack.user1.token });
    t.after(() => s.kill());
    return s;
  };
  return { gateway, open, socket, misread: (fault, count = 1) => stack.control.fault({ ...PAGE, ...fault, count }) };
}

const wholeOf = async (s) => {
  await s.take('snapshot', (e) => e.data.more === false);
  return s.ofType('snapshot').flatMap((e) => e.data.rows.map((r) => r.title)).sort();
};
const fresh = () => named('row', 25).sort();

describe('a page that', () => {
  for (const [what, [fault, status, code, count]] of Object.entries(CASES)) {
    test(what, async (t) => {
      const { gateway, open, socket, misread } = await start(t);
      assert.deepEqual(await wholeOf(await open()), fresh());
      const before = gateway.now.rssKib();
      // The first one: nothing has been said yet.
      await misread(fault, count);
      const refused = await open().then(() => assert.fail('it opened'), (error) => error);
      assert.deepEqual([refused.status, refused.json.code], [status, code]);
      await stack.control.clearFaults();
      // The first one of a topic of a socket, which goes on.
      const s = await socket();
      await misread(fault, count);
      const answer = await s.ask('subscribe', { topic: TASKS, snapshot: true });
      assert.deepEqual([answer.event, answer.code], ['error', code]);
      await stack.control.clearFaults();
      await s.tell('subscribe', { topic: TASKS, snapshot: true });
      assert.deepEqual(await wholeOf(s), fresh());
      // The second one: rows have been told.
      await stack.control.fault(PAGE); // passes one
      await misread(fault, count);
      const broken = await open();
      const { data } = await broken.take('snapshot', (e) => e.data.error !== undefined);
      assert.equal(data.error.code, code);
      assert.equal((await broken.take('bye')).data.reason, 'snapshot');
      await broken.ended;
      assert.equal(broken.lastId, '', 'there is no position to resume at');
      await stack.control.clearFaults();
      assert.equal(await gateway.metric('tidegate_snapshot_failures_total'), 3);
      assert.deepEqual(await wholeOf(await open()), fresh());
      const grown = gateway.now.rssKib() - before;
      assert.ok(SANITIZED || grown < GROWTH_KIB, `${grown} KiB more`);
    });
  }

  test('comes again and again ends, too', async (t) => {
    const { gateway, open, misread } = await start(t);
    await misread(text(JSON.stringify([row('1'), row('2'), row('3')])), 1000);
    const s = await open();
    const { data } = await s.take('snapshot', (e) => e.data.error !== undefined);
    assert.deepEqual([data.error.code, data.error.details], ['TG602', 'the same rows came again']);
    assert.equal((await s.take('bye')).data.reason, 'snapshot');
    await s.ended;
    assert.equal(s.ofType('snapshot').length, 2, 'one page, and why there is no other');
    await until(async () => (await gateway.metric('tidegate_streams')) === 0, 'its end');
  });

  test('has more rows than were asked for is told whole', async (t) => {
    const { open, misread } = await start(t);
    const many = Array.from({ length: 1000 }, (_, i) => row(`00000000-0000-4000-8000-00000000${1000 + i}`));
    await misread(text(JSON.stringify(many)));
    const s = await open();
    await s.take('snapshot', (e) => e.data.more === false);
    const pages = s.ofType('snapshot').map((e) => e.data.rows.length);
    assert.equal(pages[0], 1000);
  });
});
