// snapshot=1: the rows first, then the changes, without a hole between, as the user sees them.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createCaller, useLocalbase } from './lib/localbase.mjs';
import { publish } from './lib/publisher.mjs';
import { openStream } from './lib/sse.mjs';
import {
  EVENTS, gapsOf, named, placeGateway, randomFrom, SAMPLES, seedOf, TASKS, until, Writer,
} from './lib/streams.mjs';

const stack = useLocalbase();
const call = createCaller(
  () => stack.url,
  () => stack.anon_key,
);
let counter = 0;

/** An app that keeps a copy of the table: rows and changes by primary key, in the order they come. */
class Replica {
  constructor() {
    this.rows = new Map();
    this.isWhole = false;
    this.pages = 0;
  }

  take({ type, data }) {
    if (type === 'snapshot' && data.error === undefined) {
      this.pages++;
      data.rows.forEach((row) => this.rows.set(row.id, row));
      this.isWhole ||= !data.more;
    } else if (type === 'message' && data.type === 'DELETE') {
      this.rows.delete(data.old_record.id);
    } else if (type === 'message' && data.record !== undefined) {
      this.rows.set(data.record.id, data.record);
    }
  }

  get titles() {
    return [...this.rows.values()].map((row) => row.title).sort();
  }
}

async function start(t, streams = {}, more = {}) {
  const gateway = await placeGateway(t, stack, {
    streams: { snapshot_rows: 10, ...streams },
    topics: { notices: { public: true } },
    ...more,
  });
  const writer = await Writer.to(stack);
  const open = async ({ params, ...options } = {}) => {
    const replica = new Replica();
    const s = await openStream(gateway.url, {
      topics: TASKS,
      token: stack.user1.token,
      params: { snapshot: '1', ...params },
      ...options,
      onEvent: (event) => replica.take(event),
    });
    t.after(() => s.kill());
    return Object.assign(s, { replica, hello: await s.take('hello') });
  };
  const mark = async (s) => {
    const title = `mark ${++counter}`;
    await writer.tasks(title);
    return s.take('message', (e) => e.data.record?.title === title, { timeoutMs: 30_000 });
  };
  return { gateway, writer, open, mark };
}

const whole = (s) => s.take('snapshot', (e) => !e.data.more, { timeoutMs: 30_000 });

/** The table as the user sees it, through PostgREST. */
async function table(user, query = '') {
  const { json } = await call('GET', `/rest/v1/tasks?select=*${query}`, { token: user.token });
  return json;
}

describe('a snapshot', () => {
  test('comes in pages behind hello and before the changes', async (t) => {
    const { writer, open, mark } = await start(t);
    await writer.query('delete from public.tasks');
    await writer.tasks(named('row', 25));
    const s = await open();
    assert.deepEqual([s.hello.hasId, s.hello.data.cursor], [false, undefined]);
    assert.equal(s.headers['tidegate-cursor'], undefined);
    const last = await whole(s);
    const pages = s.ofType('snapshot');
    assert.deepEqual(pages.map((p) => p.data.rows.length), [10, 10, 5, 0]);
    assert.deepEqual(pages.map((p) => p.data.more), [true, true, true, false]);
    assert.deepEqual(pages.map((p) => p.hasId), [false, false, false, true]);
    const ids = pages.flatMap((p) => p.data.rows.map((row) => row.id));
    assert.deepEqual(ids, [...ids].sort(), 'in the order of the key');
    assert.deepEqual(s.replica.titles, named('row', 25).sort());
    const change = await mark(s);
    const kinds = s.events.items.filter((e) => e.data !== undefined).map((e) => e.type);
    assert.deepEqual(kinds, ['hello', ...Array(4).fill('snapshot'), 'message']);
    // Where the snapshot was taken the changes go on.
    const back = await open({ lastEventId: last.id, params: { snapshot: '1' } });
    assert.equal(back.hello.data.topics[0].recovered, true);
    assert.equal((await back.take('message')).id, change.id);
    assert.equal(back.ofType('snapshot').length, 0, 'a resume that recovers needs none');
  });

  test('of an empty table is one page', async (t) => {
    const { writer, open, mark } = await start(t);
    await writer.query('delete from public.tasks');
    const s = await open();
    await whole(s);
    assert.deepEqual(s.ofType('snapshot').map((p) => p.data), [{ topic: TASKS, rows: [], more: false }]);
    await mark(s);
  });

  test('is the rows that the policies show, with the topic\'s filter', async (t) => {
    const { writer, open } = await start(t);
    await writer.query('delete from public.tasks');
    await writer.tasks(named('mine', 12));
    await writer.tasks(named('other', 12), stack.trip2_id);
    await writer.tasks(['a, "b" (c)', 'x*y', '100%']);
    const cases = [
      ['', (row) => !row.title.startsWith('other')],
      [':title=eq."a, \\"b\\" (c)"', (row) => row.title.startsWith('a,')],
      [':title=in.("a, \\"b\\" (c)",mine-3, mine-4 ,other-1)', (row) => /^(a,|mine-[34])/.test(row.title)],
      [':title=like.mine%', (row) => row.title.startsWith('mine')],
      [':title=not.like.mine%,done=is.false', (row) => /^(a,|x\*|100)/.test(row.title)],
      [':title=eq.100%', (row) => row.title === '100%'],
      [':title=match.^mine-1.$', (row) => /^mine-1.$/.test(row.title)],
      [`:trip_id=eq.${stack.trip2_id}`, () => false],
    ];
    const all = await table(stack.user1);
    for (const [filter, fits] of cases) {
      const s = await open({ topics: TASKS + filter });
      await whole(s);
      const expected = all.filter(fits).map((row) => row.title).sort();
      assert.deepEqual(s.replica.titles, expected, filter);
      s.kill();
    }
  });

  test('keeps every digit', async (t) => {
    const { writer, open } = await start(t);
    await writer.query('delete from public.type_samples');
    await writer.query(`insert into public.type_samples (id, big, exact, doc, at) values
      (9007199254740993, -9007199254740995, 1.10, '{"n": 12345678901234567890.50, "s": " a  b "}',
       '2024-05-06T05:08:09.123456Z'), (9007199254740994, 1, 2.0, '[1, 2]', null),
      (9007199254740995, null, null, null, null)`);
    const s = await open({ topics: SAMPLES, params: { snapshot: '1' } });
    await whole(s);
    const [{ text }] = s.ofType('snapshot');
    for (const part of [
      '"id":9007199254740993,', '"big":-9007199254740995,', '"exact":1.10,', '"exact":2.0,',
      '"n": 12345678901234567890.50'.replace(' ', ''), '" a  b "', '2024-05-06T05:08:09.123456+00:00',
    ]) {
      assert.ok(text.includes(part), `${part} in ${text}`);
    }
    assert.ok(!text.includes('\n'));
  });

  test('goes by another key where the operator of the app names one', async (t) => {
    const { writer, open, mark } = await start(t, { snapshot_rows: 3 });
    await writer.query('delete from public.tasks');
    const at = (i) => `2024-01-01T00:00:0${i}.5+00:00`;
    for (let i = 0; i < 8; i++) {
      await writer.query('insert into public.tasks (trip_id, title, created_at) values ($1, $2, $3)', [
        stack.trip1_id, `t${i}`, at(i),
      ]);
    }
    const s = await open({ params: { snapshot: '1', snapshot_key: 'created_at' } });
    await whole(s);
    const order = s.ofType('snapshot').flatMap((p) => p.data.rows.map((row) => row.title));
    assert.deepEqual(order, named('t', 8).map((name) => name.replace('-', '')));
    await mark(s);
  });

  test('covers several topics, one after the other; published ones have no rows', async (t) => {
    const { gateway, writer, open, mark } = await start(t);
    await writer.query('delete from public.tasks');
    await writer.query('delete from public.events');
    await writer.tasks(named('row', 12));
    await writer.events(named('kind', 12));
    const s = await open({ topics: [TASKS, 'notices:1', EVENTS] });
    await publish(gateway.url, stack, { topic: 'notices:1', payload: 1 });
    await s.take('snapshot', (e) => e.data.topic === EVENTS && !e.data.more);
    const pages = s.ofType('snapshot');
    assert.deepEqual(pages.map((p) => [p.data.topic, p.data.rows.length, p.hasId]), [
      [TASKS, 10, false], [TASKS, 2, false], [TASKS, 0, false],
      [EVENTS, 10, false], [EVENTS, 2, false], [EVENTS, 0, true],
    ]);
    await s.take('message', (e) => e.data.topic === 'notices:1');
    await mark(s);
  });
});

describe('a resume that does not recover', () => {
  test('gets the rows instead of a reset', async (t) => {
    const { writer, open, mark } = await start(t);
    await writer.query('delete from public.tasks');
    await writer.tasks(named('row', 15));
    const s = await open({ lastEventId: 'otherlog.1-0' });
    const [topic] = s.hello.data.topics;
    assert.deepEqual([topic.recovered, topic.reason], [false, 'epoch']);
    assert.ok(s.headers['tidegate-recovered'].startsWith('false'));
    await whole(s);
    assert.deepEqual(s.replica.titles, named('row', 15).sort());
    await mark(s);
    assert.equal(s.ofType('reset').length, 0);
  });
});

describe('while rows change', () => {
  /** `n` random writes; titles are unique. */
  async function storm(writer, random, n) {
    const client = writer.client;
    for (let i = 0; i < n; i++) {
      const kind = random();
      if (kind < 0.4) {
        await writer.tasks(`new ${++counter}`);
      } else {
        const pick = `(select id from public.tasks order by md5(id::text || '${i}') limit 1)`;
        const sql =
          kind < 0.75
            ? `update public.tasks set title = 'changed ${++counter}' where id = ${pick}`
            : `delete from public.tasks where id = ${pick}`;
        await client.query(sql);
      }
    }
  }

  /** Lets `n` pages pass, and holds the next of each of so many streams; the fault. */
  async function holdBehind(n, streams) {
    const page = { method: 'GET', path: '/rest/v1/tasks?select=*' };
    await stack.control.fault({ ...page, count: n });
    return stack.control.fault({ ...page, count: streams, hold: true });
  }

  test('thousands of rows end as the table does', { timeout: 120_000 }, async (t) => {
    const random = randomFrom(seedOf(t));
    const { gateway, writer, open } = await start(t, { snapshot_rows: 50 });
    await writer.query('delete from public.tasks');
    await writer.query(
      `insert into public.tasks (trip_id, title)
       select $1, 'seed ' || n from generate_series(1, 3000) n`, [stack.trip1_id]);
    const warm = await open({ params: { snapshot: '0' } });
    const held = await holdBehind(30, 3);
    t.after(() => stack.control.clearFaults());
    const [streams] = await Promise.all([
      Promise.all([1, 2, 3].map(() => open())),
      storm(writer, random, 200), // while pages are read
    ]);
    await stack.control.held(held, 3);
    await storm(writer, random, 200); // between two pages
    assert.ok(streams.every((s) => s.replica.pages > 0 && !s.replica.isWhole));
    await stack.control.release(held);
    await Promise.all([...streams.map(whole), storm(writer, random, 200)]);
    const end = `end ${++counter}`;
    await writer.tasks(end);
    const expected = (await writer.query('select id, title from public.tasks')).rows;
    for (const s of streams) {
      await s.take('message', (e) => e.data.record?.title === end, { timeoutMs: 60_000 });
      assert.deepEqual(s.ofType('reset'), [], `nothing excuses a reset; ${gapsOf(gateway)}`);
      const got = [...s.replica.rows.values()].map(({ id, title }) => `${id} ${title}`).sort();
      assert.deepEqual(got, expected.map(({ id, title }) => `${id} ${title}`).sort());
      assert.ok(s.replica.pages > 50);
    }
    warm.kill();
  });

  test('a slow reader gets page after page, and all of it', { timeout: 120_000 }, async (t) => {
    const { gateway, writer, open, mark } = await start(t, { snapshot_rows: 200, snapshot_bytes: '4m' });
    await writer.query('delete from public.tasks');
    await writer.query(
      `insert into public.tasks (trip_id, title)
       select $1, n || ' ' || repeat('x', 8000) from generate_series(1, 2500) n`, [stack.trip1_id]);
    // Upstream would tell of these rows too, for as long as the test waits for the mark.
    await stack.control.part('realtime', 'lose-slot');
    const s = await open();
    s.request.res.pause();
    await until(async () => (await gateway.metric('tidegate_snapshots_stuck')) === 1, 'no room');
    assert.ok((await gateway.metric('tidegate_snapshot_rows_total')) < 2500);
    s.request.res.resume();
    await whole(s);
    assert.equal(s.replica.rows.size, 2500);
    assert.equal(await gateway.metric('tidegate_snapshots_stuck'), 0);
    await mark(s);
  });
});

describe('what cannot be read', () => {
  test('refuses the stream in PostgREST\'s words', async (t) => {
    const { open } = await start(t);
    const refused = (options) => open(options).then(() => assert.fail('opened'), (error) => error);
    const cases = [
      [{ params: { snapshot: '1', snapshot_key: 'nothing' } }, 400, 'TG403', /nothing/],
      [{ params: { snapshot: '1', snapshot_key: 'a->b' } }, 400, 'TG406', /snapshot_key/],
      [{ params: { snapshot: '1', snapshot_key: 'trip_id' } }, 400, 'TG406', /unique/],
      [{ topics: `${TASKS}:title=like.a*` }, 400, 'TG403', /cannot look for/],
    ];
    const writer = await Writer.to(stack);
    await writer.tasks(named('two', 2));
    for (const [options, status, code, words] of cases) {
      const error = await refused(options);
      assert.deepEqual([error.status, error.json?.code], [status, code], error.message);
      assert.match(error.json.details, words);
    }
  });

  test('is told when it happens midway, and the client comes again', async (t) => {
    const { writer, open, gateway } = await start(t);
    await writer.query('delete from public.tasks');
    await writer.tasks(named('row', 25));
    const held = await stack.control.fault({ method: 'GET', path: '/rest/v1/tasks?select=*', hold: true });
    const opening = open();
    await stack.control.held(held);
    await stack.control.fault({
      method: 'GET', path: '/rest/v1/tasks?select=*', status: 403, body: { code: '42501', message: 'no longer' },
    });
    await stack.control.release(held);
    const s = await opening;
    assert.equal((await s.take('snapshot', (e) => e.data.error)).data.error.details, 'no longer');
    assert.equal((await s.take('bye')).data.reason, 'snapshot');
    await s.ended;
    assert.equal(s.lastId, '', 'there is no position to resume at');
    assert.equal(await gateway.metric('tidegate_snapshot_failures_total'), 1);
    const again = await open();
    await whole(again);
    assert.deepEqual(again.replica.titles, named('row', 25).sort());
  });

  test('is 502 when PostgREST is away, before anything was said', async (t) => {
    const { open } = await start(t, {}, { upstream: { retry_budget: 0 } });
    await stack.control.fault({ method: 'GET', path: '/rest/v1/tasks?select=*', drop: 'before', count: 3 });
    const error = await open().catch((e) => e);
    await stack.control.clearFaults();
    assert.equal(error.status, 502);
  });

  test('a client that leaves early leaves nothing behind', async (t) => {
    const { writer, open, gateway } = await start(t);
    await writer.tasks(named('row', 25));
    const held = await stack.control.fault({ method: 'GET', path: '/rest/v1/tasks?select=*', hold: true });
    const controller = new AbortController();
    const leaving = fetch(`${gateway.url}/sync/v1/stream?topic=${TASKS}&snapshot=1`, {
      headers: { authorization: `Bearer ${stack.user1.token}` },
      signal: controller.signal,
    }).catch(() => null);
    await stack.control.held(held);
    controller.abort();
    await leaving;
    await until(async () => (await gateway.metric('tidegate_streams')) === 0);
    await stack.control.release(held);
    const s = await open();
    await whole(s);
  });
});
