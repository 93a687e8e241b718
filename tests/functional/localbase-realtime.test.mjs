// localbase-realtime.test.mjs - postgres_changes of the stand-in, frame by frame.
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { useLocalbase } from './lib/localbase.mjs';
import { RawRealtime } from './lib/raw-realtime.mjs';
import { until } from './lib/streams.mjs';

const ctx = useLocalbase();
const open = [];
let db;

before(async () => {
  db = await ctx.connect();
});

after(() => Promise.all(open.map((socket) => socket.close())));

async function connect(options) {
  const socket = await RawRealtime.open(ctx.url, ctx.anon_key, options);
  open.push(socket);
  return socket;
}

const control = (name, json) => ctx.control.part('realtime', name, json);

const table = (name, more = {}) => ({ event: '*', schema: 'public', table: name, ...more });

/** Inserts a sample row of trip 1 and answers its id. */
async function addSample(columns) {
  const all = { trip_id: ctx.trip1_id, ...columns };
  const names = Object.keys(all);
  const { rows } = await db.query(
    `insert into type_samples (${names.join(', ')})
     values (${names.map((_, i) => `$${i + 1}`).join(', ')}) returning id`,
    Object.values(all),
  );
  return rows[0].id;
}

const ofRow = (id) => (frame) =>
  String((frame.payload.data.record ?? frame.payload.data.old_record).id) === id;

test('the join reply repeats every entry byte by byte with a stable id', async () => {
  const socket = await connect();
  const entries = [
    table('tasks', { event: 'insert', extra: { z: 1, a: 2 } }),
    table('tasks', { filter: 'done=eq.true', select: ['title'] }),
  ];
  const { reply, ids, ref } = await socket.subscribe('realtime:echo', entries, ctx.user1.token);
  assert.equal(reply.status, 'ok');
  const back = reply.response.postgres_changes;
  assert.deepEqual(
    back.map(({ id, ...entry }) => entry),
    entries,
  );
  assert.ok(ids.every((id) => Number.isInteger(id) && id > 0 && id < 2 ** 27));
  assert.notEqual(ids[0], ids[1]);
  const again = await socket.subscribe('realtime:echo2', entries, ctx.user1.token);
  assert.deepEqual(again.ids, ids);
  const system = socket.inbox.items.find((f) => f.event === 'system');
  assert.deepEqual(
    [system.joinRef, system.ref, system.payload],
    [
      ref,
      null,
      {
        extension: 'postgres_changes',
        status: 'ok',
        message: 'Subscribed to PostgreSQL',
        channel: 'echo',
      },
    ],
  );
});

test('values keep all their digits and shapes', async () => {
  const socket = await connect();
  const { ids } = await socket.subscribe('realtime:t', [table('type_samples')], ctx.user1.token);
  const id = await addSample({
    big: '9007199254740993',
    exact: '12345678901234567890.10',
    flag: true,
    label: 'a "b"\n\u00fc',
    doc: '{"n": 1.10, "big": 9007199254740993}',
    raw: Buffer.from([0xde, 0xad]),
    tags: ['x,y', 'z'],
    numbers: '{9007199254740993}',
    at: '2024-05-06 07:08:09.123456+02',
    day: '2024-05-06',
  });
  const frame = await socket.event('postgres_changes', { fits: ofRow(id) });
  assert.ok(frame.raw.startsWith(`[null,null,"realtime:t","postgres_changes",{"ids":[${ids[0]}],`));
  for (const piece of [
    '"big":9007199254740993,',
    '"exact":12345678901234567890.10,',
    '"numbers":[9007199254740993]',
    '"n": 1.10',
  ]) {
    assert.ok(frame.raw.includes(piece), `${piece} in ${frame.raw}`);
  }
  const { record, columns, errors, commit_timestamp: stamp, type } = frame.payload.data;
  assert.equal(record.raw, 'dead');
  assert.equal(record.label, 'a "b"\n\u00fc');
  assert.deepEqual(record.tags, ['x,y', 'z']);
  assert.equal(record.at, '2024-05-06T05:08:09.123456+00:00');
  assert.equal(record.small, null);
  assert.deepEqual(columns.slice(0, 3), [
    { name: 'id', type: 'int8' },
    { name: 'trip_id', type: 'uuid' },
    { name: 'big', type: 'int8' },
  ]);
  assert.equal(columns.find((c) => c.name === 'tags').type, '_text');
  assert.match(stamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.deepEqual([errors, type], [null, 'INSERT']);
});

test('filters compare in the type of the column', async () => {
  const socket = await connect();
  const mark = randomUUID();
  const filters = {
    eq: 'small=eq.5',
    neq: 'small=neq.5',
    lt: 'small=lt.5',
    lte: 'small=lte.5',
    gt: 'small=gt.5',
    gte: 'small=gte.5',
    in: 'small=in.(4,6)',
    numeric: 'exact=eq.1.5',
    day: 'day=lt.2024-01-02',
    text: 'label=in.("a,b",c)',
    like: 'label=like.a%',
    not: 'small=not.in.(4,6)',
    null: 'small=is.null',
  };
  const names = Object.keys(filters);
  const entries = names.map((n) => table('type_samples', { event: 'INSERT', filter: filters[n] }));
  entries.push(table('type_samples', { event: 'INSERT', select: ['big'] }));
  const { ids } = await socket.subscribe(`realtime:${mark}`, entries, ctx.user1.token);
  const matched = async (columns) => {
    const id = await addSample(columns);
    // The last entry sees every row, in a frame of its own (another selection), after the rest.
    const isLast = (f) => ofRow(id)(f) && f.payload.ids.includes(ids.at(-1));
    await socket.event('postgres_changes', { fits: isLast });
    const frames = socket.inbox.items.filter((f) => f.event === 'postgres_changes' && ofRow(id)(f));
    const seen = frames.flatMap((f) => f.payload.ids);
    return names.filter((_, i) => seen.includes(ids[i]));
  };
  assert.deepEqual(await matched({ small: 5 }), ['eq', 'lte', 'gte', 'not']);
  assert.deepEqual(await matched({ small: 4 }), ['neq', 'lt', 'lte', 'in']);
  assert.deepEqual(await matched({ small: 6, exact: '1.500' }), [
    'neq',
    'gt',
    'gte',
    'in',
    'numeric',
  ]);
  assert.deepEqual(await matched({ day: '2024-01-01', label: `a,b` }), [
    'day',
    'text',
    'like',
    'null',
  ]);
});

test('bad filters are told in a system frame and the channel stays', async () => {
  const socket = await connect();
  const wrong = {
    'nothing=eq.1': /invalid column for filter nothing/,
    'small=eq.abc': /invalid input syntax for type smallint: "abc"/,
    hey: /^Error parsing `filter` params: \["hey"\]$/,
    'small=foo.1': /^Error parsing `filter` params: \["small", "foo\.1"\]$/,
    [`small=in.(${Array(101).fill(1).join(',')})`]: /too many values for `in` filter\. Maximum 100/,
    'small=like.1': /operator like requires a text-compatible column type, got smallint/,
  };
  let n = 0;
  for (const [filter, text] of Object.entries(wrong)) {
    const topic = `realtime:wrong-${n++}`;
    const entries = [table('tasks'), table('type_samples', { filter })];
    const { reply } = await socket.join(topic, {
      config: { postgres_changes: entries },
      token: ctx.user1.token,
    });
    assert.equal(reply.status, 'ok');
    const { payload } = await socket.event('system', { topic });
    assert.deepEqual([payload.extension, payload.status], ['postgres_changes', 'error']);
    assert.match(payload.message, text);
  }
  const unknown = [table('private_notes')];
  await socket.join('realtime:unpublished', { config: { postgres_changes: unknown } });
  const { payload } = await socket.event('system', { topic: 'realtime:unpublished' });
  assert.match(payload.message, /Please check Realtime is enabled/);
  const { channels } = (await control('state')).sockets.find((s) => s.channels.length === n + 1);
  assert.ok(channels.every((c) => !c.subscribed));
});

test('DELETE goes to every subscriber of the table with the key only', async () => {
  const socket = await connect();
  const id = await addSample({ small: 1, label: randomUUID() });
  const entries = [
    table('type_samples', { event: 'DELETE' }),
    table('type_samples', { event: 'DELETE', filter: `trip_id=eq.${ctx.trip1_id}` }),
    table('type_samples', { event: 'DELETE', filter: `id=eq.${id}` }),
  ];
  // User 2 may not see a row of trip 1, and hears of its end all the same.
  const { ids } = await socket.subscribe('realtime:delete', entries, ctx.user2.token);
  await db.query('delete from type_samples where id = $1', [id]);
  const { payload } = await socket.event('postgres_changes', { fits: ofRow(id) });
  assert.deepEqual(payload.data.old_record, { id: Number(id) });
  assert.equal(payload.data.record, undefined);
  assert.deepEqual([...payload.ids].sort(), [ids[0], ids[2]].sort());
});

test('an unchanged TOASTed column is missing from an UPDATE', async () => {
  const socket = await connect();
  const big = randomBytes(20_000).toString('hex');
  await socket.subscribe('realtime:toast', [table('type_samples')], ctx.user1.token);
  const id = await addSample({ small: 1, doc: JSON.stringify({ big }) });
  await db.query('update type_samples set small = 2 where id = $1', [id]);
  const isUpdate = (f) => f.payload.data.type === 'UPDATE' && ofRow(id)(f);
  const { payload } = await socket.event('postgres_changes', { fits: isUpdate });
  assert.equal(payload.data.record.small, 2);
  assert.equal('doc' in payload.data.record, false);
  assert.ok(payload.data.columns.some((c) => c.name === 'doc'));
  assert.equal(payload.data.errors, null);
});

test('a change over 1 MiB keeps only its short values', async () => {
  const socket = await connect();
  await socket.subscribe('realtime:huge', [table('type_samples')], ctx.user1.token);
  const id = await addSample({ small: 7, doc: JSON.stringify('x'.repeat(1_100_000)) });
  const { payload } = await socket.event('postgres_changes', { fits: ofRow(id) });
  assert.deepEqual(payload.data.errors, ['Error 413: Payload Too Large']);
  assert.equal(payload.data.record.small, 7);
  assert.equal('doc' in payload.data.record, false);
});

test('column privileges and missing keys shape what is shown', async () => {
  await db.query(`
    create table public.guarded (id int primary key, open text, secret text);
    create table public.keyless (n int);
    create table public.sealed (id int primary key, open text);
    revoke all on public.guarded, public.sealed from anon, authenticated;
    grant select (id, open) on public.guarded to authenticated;
    grant select (open) on public.sealed to authenticated;
    alter publication supabase_realtime add table public.guarded, public.keyless, public.sealed`);
  const socket = await connect();
  const entries = ['guarded', 'keyless', 'sealed'].map((name) => table(name));
  await socket.subscribe('realtime:guarded', entries, ctx.user1.token);
  await db.query("insert into guarded values (1, 'o', 's')");
  await db.query('insert into keyless values (1)');
  await db.query("insert into sealed values (1, 'o')");
  const of = async (name) => {
    const fits = (f) => f.payload.data.table === name;
    return (await socket.event('postgres_changes', { fits })).payload.data;
  };
  const guarded = await of('guarded');
  assert.deepEqual(guarded.record, { id: 1, open: 'o' });
  assert.deepEqual(
    guarded.columns.map((c) => c.name),
    ['id', 'open'],
  );
  const shape = { columns: [], record: {}, commit_timestamp: null };
  const seen = ({ columns, record, commit_timestamp }) => ({ columns, record, commit_timestamp });
  const keyless = await of('keyless');
  assert.deepEqual(seen(keyless), shape);
  assert.deepEqual(keyless.errors, ['Error 400: Bad Request, no primary key']);
  const sealed = await of('sealed');
  assert.deepEqual(seen(sealed), shape);
  assert.deepEqual(sealed.errors, ['Error 401: Unauthorized']);
  await db.query('drop table public.guarded, public.keyless, public.sealed');
});

test('a new access_token brings new rights and another Subscribed', async () => {
  const socket = await connect();
  const topic = 'realtime:token';
  const { ref } = await socket.subscribe(topic, [table('type_samples')], ctx.user2.token);
  const hidden = await addSample({ small: 1 });
  const theirs = await addSample({ small: 1, trip_id: ctx.trip2_id });
  await socket.event('postgres_changes', { fits: ofRow(theirs) });
  const from = socket.inbox.size;
  const payload = { access_token: ctx.user1.token };
  socket.send({ joinRef: ref, topic, event: 'access_token', payload });
  await socket.subscribed(topic, from);
  const shown = await addSample({ small: 2 });
  await socket.event('postgres_changes', { fits: ofRow(shown) });
  const ids = socket.inbox.items
    .filter((f) => f.event === 'postgres_changes')
    .map((f) => String(f.payload.data.record.id));
  assert.ok(!ids.includes(hidden));
  assert.ok(!socket.inbox.items.some((f) => f.event === 'phx_reply' && f.ref === '2'));
});

test('a change that is being checked while a new access_token comes arrives', async () => {
  const socket = await connect();
  const topic = 'realtime:token-between';
  const { ref } = await socket.subscribe(topic, [table('type_samples')], ctx.user1.token);
  // The policy reads this table: the check of the row waits for us.
  const holder = await ctx.connect();
  await holder.query('begin');
  await holder.query('lock table trip_members in access exclusive mode');
  const row = await addSample({ small: 3 });
  await until(async () => {
    const { rows } = await db.query(
      "select 1 from pg_locks where relation = 'trip_members'::regclass and not granted",
    );
    return rows.length > 0;
  }, 'a check that waits');
  const from = socket.inbox.size;
  const [, claims] = ctx.user1.token.split('.');
  const fresher = { ...JSON.parse(Buffer.from(claims, 'base64url')), jti: randomUUID() };
  const payload = { access_token: await ctx.control.signJwt(fresher) };
  socket.send({ joinRef: ref, topic, event: 'access_token', payload });
  await socket.subscribed(topic, from);
  await holder.query('rollback');
  const arrived = await socket.event('postgres_changes', { fits: ofRow(row) });
  assert.equal(arrived.payload.ids.length, 1);
});

test('the service role sees everything, in commit order, without a gap', async () => {
  const socket = await RawRealtime.open(ctx.url, ctx.service_key);
  open.push(socket);
  const filter = `kind=eq.${randomUUID()}`;
  await socket.subscribe('realtime:order', [table('events', { event: 'INSERT', filter })]);
  const kind = filter.slice('kind=eq.'.length);
  for (let batch = 0; batch < 20; batch++) {
    await db.query(
      `insert into events (trip_id, kind, payload)
       select $1, $2, jsonb_build_object('n', $3 * 100 + g) from generate_series(0, 99) g`,
      [ctx.trip2_id, kind, batch],
    );
  }
  const frames = await socket.inbox.takeMany(2000, (f) => f.event === 'postgres_changes');
  assert.deepEqual(
    frames.map((f) => f.payload.data.record.payload.n),
    Array.from({ length: 2000 }, (_, n) => n),
  );
});

test('decoding can be paused, changes dropped, the slot lost', async () => {
  const socket = await connect();
  const topic = 'realtime:faults';
  await socket.subscribe(topic, [table('type_samples', { event: 'INSERT' })], ctx.user1.token);
  await control('pause');
  const late = await addSample({ small: 1 });
  await socket.settle();
  assert.ok(!socket.inbox.items.some((f) => f.event === 'postgres_changes' && ofRow(late)(f)));
  await control('resume');
  await socket.event('postgres_changes', { fits: ofRow(late) });

  await control('drop-changes', { count: 1 });
  const dropped = await addSample({ small: 2 });
  const kept = await addSample({ small: 3 });
  await socket.event('postgres_changes', { fits: ofRow(kept) });

  await control('pause');
  const lost = await addSample({ small: 4 });
  await control('lose-slot');
  await control('resume');
  const next = await addSample({ small: 5 });
  await socket.event('postgres_changes', { fits: ofRow(next) });

  const from = socket.inbox.size;
  await control('resubscribe');
  await socket.subscribed(topic, from);
  const seen = socket.inbox.items.filter((f) => f.event === 'postgres_changes');
  assert.ok(!seen.some((f) => ofRow(dropped)(f) || ofRow(lost)(f)));
});

test('Subscribed can be held back, and nothing flows before it', async () => {
  const [socket, witness] = await Promise.all([connect(), connect()]);
  const entries = [table('type_samples', { event: 'INSERT' })];
  await witness.subscribe('realtime:witness', entries, ctx.user1.token);
  await control('hold-subscribed', { hold: true });
  const config = { postgres_changes: entries };
  await socket.join('realtime:late', { config, token: ctx.user1.token });
  const early = await addSample({ small: 1 });
  await witness.event('postgres_changes', { fits: ofRow(early) });
  assert.ok(!socket.inbox.items.some((f) => f.event === 'system'));
  await control('hold-subscribed', { hold: false });
  await socket.subscribed('realtime:late');
  const shown = await addSample({ small: 2 });
  await socket.event('postgres_changes', { fits: ofRow(shown) });
  assert.ok(!socket.inbox.items.some((f) => f.event === 'postgres_changes' && ofRow(early)(f)));
});

test('a broken decoder connection loses what it held and goes on', async () => {
  const socket = await connect();
  await socket.subscribe('realtime:cut', [table('type_samples')], ctx.user1.token);
  await db.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where application_name = 'localbase_realtime_decoder'`,
  );
  const isBack = async () => (await control('state')).changes.running;
  while (await isBack());
  while (!(await isBack()));
  const id = await addSample({ small: 1 });
  await socket.event('postgres_changes', { fits: ofRow(id) });
});

test('the slot goes when nobody is subscribed any more, and comes back', async () => {
  const slots = async () => {
    const { rows } = await db.query('select count(*)::int as n from pg_replication_slots');
    return rows[0].n;
  };
  await Promise.all(open.map((socket) => socket.close()));
  await control('config', { idleSlotMs: 1 });
  try {
    const first = await connect();
    await first.subscribe('realtime:one', [table('type_samples')], ctx.user1.token);
    await first.close();
    while ((await slots()) > 0);
  } finally {
    await control('config', { idleSlotMs: 600_000 });
  }
  const socket = await connect();
  await socket.subscribe('realtime:two', [table('type_samples')], ctx.user1.token);
  const id = await addSample({ small: 1 });
  await socket.event('postgres_changes', { fits: ofRow(id) });
});
