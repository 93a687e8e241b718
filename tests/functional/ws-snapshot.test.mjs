// A subscribe with snapshot: true, on a running WebSocket: ok, the rows, then the changes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { useLocalbase } from './lib/localbase.mjs';
import { EVENTS, named, placeGateway, TASKS, titles, until, Writer } from './lib/streams.mjs';
import { openSocket } from './lib/ws.mjs';

const stack = useLocalbase();

async function setUp(t) {
  const gateway = await placeGateway(t, stack, { streams: { snapshot_rows: 10 } });
  const writer = await Writer.to(stack);
  const open = async (options = {}) => {
    const s = await openSocket(gateway.url, { token: stack.user1.token, ...options });
    t.after(() => s.kill());
    return s;
  };
  await writer.query('delete from public.tasks');
  await writer.query('delete from public.events');
  return { gateway, writer, open };
}

const lastPage = (s, topic) => s.take('snapshot', (e) => e.data.topic === topic && !e.data.more);
const rowsOf = (s, topic) => s.ofType('snapshot').filter((e) => e.data.topic === topic)
  .flatMap((e) => e.data.rows);

test('the rows come behind ok and before the changes, each page once', async (t) => {
  const { writer, open } = await setUp(t);
  await writer.tasks(named('old', 25));
  const s = await open();
  const answer = await s.tell('subscribe', { topic: TASKS, snapshot: true });
  assert.equal(answer.topic, TASKS);
  await writer.tasks(named('new', 3));
  const page = await lastPage(s, TASKS);
  await until(() => s.rows.some((e) => e.data.record.title === 'new-2'), 'the changes');
  const rows = rowsOf(s, TASKS);
  assert.equal(new Set(rows.map((row) => row.id)).size, rows.length);
  for (const title of named('old', 25)) {
    assert.ok(rows.some((row) => row.title === title), title);
  }
  assert.equal(page.id, answer.cursor, 'the position before the read');
  const order = s.events.items.map((e) => e.type);
  assert.ok(order.indexOf('ok') < order.indexOf('snapshot'));
  assert.ok(order.lastIndexOf('snapshot') < order.indexOf('message'));
});

test('changes of other topics wait for the rows, and are not lost', async (t) => {
  const { writer, open } = await setUp(t);
  await writer.tasks(named('old', 35));
  await writer.events(named('was', 12));
  const s = await open({ topics: EVENTS });
  s.say({ event: 'subscribe', ref: 'a', topic: TASKS, snapshot: true });
  s.say({ event: 'subscribe', ref: 'b', topic: `${EVENTS}:kind=neq.x`, snapshot: true });
  await writer.events(named('is', 5));
  await lastPage(s, TASKS);
  await lastPage(s, `${EVENTS}:kind=neq.x`);
  // Upstream may tell of the earlier ones, too.
  const changes = () => titles(s.rows.filter((e) => e.data.topic === EVENTS)).filter((kind) => kind.startsWith('is'));
  await until(() => changes().length === 5, 'the changes');
  assert.deepEqual(changes(), named('is', 5));
  assert.equal(rowsOf(s, TASKS).length, 35);
  assert.ok(rowsOf(s, `${EVENTS}:kind=neq.x`).length >= 12);
});

test('a resume that recovers has no rows, one that fails has them and no reset', async (t) => {
  const { writer, open } = await setUp(t);
  await writer.tasks(named('old', 5));
  const live = await open({ topics: TASKS });
  const s = await open();
  const good = await s.tell('subscribe', { topic: TASKS, cursor: live.hello.id, snapshot: true });
  assert.equal(good.recovered, true);
  const bad = await s.tell('subscribe', { topic: EVENTS, cursor: 'zzzzz.1700000000000-0', snapshot: true });
  assert.equal(bad.recovered, false);
  assert.equal(bad.reason, 'epoch');
  await lastPage(s, EVENTS);
  await writer.events('after');
  await s.take('message', (e) => e.data.record?.kind === 'after');
  assert.equal(s.ofType('reset').length, 0);
  assert.equal(rowsOf(s, TASKS).length, 0);
});

test('what cannot be read is an error, and the socket goes on', async (t) => {
  const { writer, open } = await setUp(t);
  const s = await open({ topics: EVENTS });
  const none = await s.ask('subscribe', { topic: TASKS, snapshot: true, snapshot_key: 'nothing' });
  assert.equal(none.event, 'error', JSON.stringify(none));
  const bad = await s.ask('subscribe', { topic: TASKS, snapshot: true, snapshot_key: 'a b;' });
  assert.equal(bad.code, 'TG406');
  await writer.events('on');
  await s.take('message', (e) => e.data.record?.kind === 'on');
  await s.tell('subscribe', { topic: TASKS, snapshot: true });
  await lastPage(s, TASKS);
  await writer.tasks('too');
  await s.take('message', (e) => e.data.record?.title === 'too');
});

test('a topic may leave before or amid its rows', async (t) => {
  const { writer, open } = await setUp(t);
  await writer.tasks(named('old', 200));
  const s = await open({ topics: EVENTS });
  s.say({ event: 'subscribe', ref: 'a', topic: TASKS, snapshot: true });
  s.say({ event: 'unsubscribe', ref: 'b', topic: TASKS });
  await s.take('ok', (e) => e.data.ref === 'b');
  assert.equal((await s.take('error', (e) => e.data.ref === 'a')).data.code, 'TG490');
  s.say({ event: 'subscribe', ref: 'c', topic: TASKS, snapshot: true });
  await s.take('snapshot', (e) => e.data.rows.length > 0);
  await s.tell('unsubscribe', { topic: TASKS });
  await writer.tasks('unseen');
  await writer.events('seen');
  await s.take('message', (e) => e.data.record?.kind === 'seen');
  assert.equal(titles(s.rows).includes('unseen'), false);
  await s.tell('subscribe', { topic: TASKS, snapshot: true });
  await lastPage(s, TASKS);
  assert.equal((await open({ topics: TASKS, params: { snapshot: 1 } }).catch((e) => e)).status, 400);
});
