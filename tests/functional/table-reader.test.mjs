// Rows of a real PostgreSQL, once as Realtime tells them and once as PostgREST does: one primary
// key and one hash. Tables read in pages, as the service and as a user, and which keys a user sees.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { useLocalbase } from './lib/localbase.mjs';
import { RawRealtime } from './lib/raw-realtime.mjs';
import { testProgram } from './lib/test-program.mjs';

const COLUMNS =
  'trip_id,big,exact,approx,small,flag,label,doc,raw,tags,numbers,at,day,span';
const run = promisify(execFile);
const ctx = useLocalbase();
let db;
let socket;

before(async () => {
  db = await ctx.connect();
  socket = await RawRealtime.open(ctx.url, ctx.service_key);
});

after(() => socket?.close());

/** Its lines: rows (primary key to hash), keys (to yes or no), done (words). */
async function reader(args, input = '') {
  const running = run(testProgram('table_reader'), args, { maxBuffer: 1 << 26 });
  running.child.stdin.end(input);
  const { stdout } = await running.catch((err) => err);
  const told = { rows: new Map(), keys: new Map(), order: [], done: null };
  for (const line of stdout.split('\n').filter((l) => l !== '')) {
    const [kind, first, ...rest] = line.split(' ');
    const key = rest.join(' ');
    if (kind === 'row') {
      assert.ok(!told.rows.has(key), `${key} came twice`);
      told.rows.set(key, first);
      told.order.push(key);
    } else if (kind === 'key') {
      told.keys.set(key, first);
    } else {
      assert.equal(kind, 'done', line);
      told.done = [first, ...rest];
    }
  }
  return told;
}

const rows = (bearer, table, pk, columns, pageRows) =>
  reader(['rows', ctx.url, ctx.anon_key, bearer, table, pk, columns, String(pageRows)]);

const keys = (bearer, table, pk, pks) =>
  reader(['keys', ctx.url, ctx.anon_key, bearer, table, pk, ...pks]);

/** The text of a member of the object at `from`, as it stands there. */
function slice(raw, name) {
  const at = raw.indexOf(`"${name}":`) + name.length + 3;
  let depth = 0;
  let inString = false;
  for (let i = at; i < raw.length; i++) {
    const c = raw[i];
    if (inString) {
      i += c === '\\' ? 1 : 0;
      inString = c !== '"';
    } else if (c === '"') {
      inString = true;
    } else if (c === '{' || c === '[') {
      depth++;
    } else if ((c === '}' || c === ']') && --depth === 0) {
      return raw.slice(at, i + 1);
    }
  }
  throw new Error(`no ${name} in ${raw}`);
}

const ODD = {
  big: ['9007199254740993', '-9223372036854775808', '0', null],
  exact: ['1.10', '0.000', '12345678901234567890.10', '1e-20', '1e30', '-0.5', null],
  approx: ['1e20', '1e-7', '0.1', '-0', '1e300', '3.141592653589793', null],
  small: ['5', '-32768', null],
  flag: ['t', 'f', null],
  label: ['', 'a "b"\n\tc', 'h\u00e4\u4f60\u{1f600}', '\\x4142', '4142', '</b>', '\u007f', null],
  doc: [
    '{}',
    '[]',
    '"text"',
    '1.10',
    'null',
    '{"b": 1.10, "a": {"y": [1, 2, {"q": null, "p": "\\u00e9\\/"}], "x": 9007199254740993}}',
    '[1e3, 1.0, -0.0, "1", true]',
    null,
  ],
  raw: [Buffer.from([0xde, 0xad, 0xbe, 0xef]), Buffer.alloc(0), Buffer.from('\\x41'), null],
  tags: ['{}', '{"x,y","z \\"q\\""}', '{NULL,null}', null],
  numbers: ['{9007199254740993}', '{1,NULL}', null],
  at: ['2024-05-06 07:08:09.123456+02', 'infinity', '0044-03-15 BC', null],
  day: ['2024-05-06', null],
  span: ['1 year 2 mons 3 days 04:05:06.789', null],
};

async function addSample(seed) {
  const names = Object.keys(ODD);
  const values = names.map((name, i) => {
    const all = ODD[name];
    return all[(seed + i * Math.floor(seed / 9)) % all.length];
  });
  const { rows: added } = await db.query(
    `insert into type_samples (trip_id, ${names.join(', ')})
     values ($1, ${names.map((name, i) => `$${i + 2}`).join(', ')})
     on conflict (label) do update set label = null returning id`,
    [ctx.trip1_id, ...values],
  );
  return added[0].id;
}

test('a row is the same from both sides, whatever its types', async () => {
  const entry = { event: '*', schema: 'public', table: 'type_samples' };
  await socket.subscribe('realtime:rows', [entry], ctx.service_key);
  await db.query('delete from type_samples');
  for (let seed = 0; seed < 90; seed++) {
    await addSample(seed);
  }
  await db.query('insert into type_samples (trip_id) values ($1)', [ctx.trip1_id]);
  await socket.event('postgres_changes', {
    fits: ({ payload: { data } }) => data.type === 'INSERT' && data.record.small === null &&
      data.record.approx === null && data.record.doc === null && data.record.day === null &&
      data.record.flag === null && data.record.raw === null,
  });
  // What the last change of each row says.
  const records = new Map();
  for (const frame of socket.inbox.items.filter((f) => f.event === 'postgres_changes')) {
    const { data } = frame.payload;
    if (data.type === 'DELETE') {
      records.delete(data.old_record.id);
    } else {
      records.set(data.record.id, slice(frame.raw, 'record'));
    }
  }
  const live = await reader(['hash', 'id'], `${[...records.values()].join('\n')}\n`);
  const read = await rows(ctx.service_key, 'type_samples', 'id', COLUMNS, 7);
  assert.deepEqual(read.done.slice(0, 2), ['TG_OK', '200']);
  assert.ok(read.rows.size > 30, `${read.rows.size} rows`);
  assert.deepEqual(new Map([...live.rows].sort()), new Map([...read.rows].sort()));
  assert.equal(new Set(read.rows.values()).size, read.rows.size, 'rows that differ are equal');
});

test('a number that is none is null from Realtime, and differs', async () => {
  const from = socket.inbox.size;
  await db.query('delete from type_samples');
  await db.query(`insert into type_samples (trip_id, approx) values ($1, 'NaN')`, [ctx.trip1_id]);
  const frame = await socket.event('postgres_changes', {
    from,
    fits: ({ payload: { data } }) => data.type === 'INSERT',
  });
  const live = await reader(['hash', 'id'], `${slice(frame.raw, 'record')}\n`);
  const read = await rows(ctx.service_key, 'type_samples', 'id', COLUMNS, 7);
  assert.equal(frame.payload.data.record.approx, null);
  assert.deepEqual([...live.rows.keys()], [...read.rows.keys()]);
  assert.notDeepEqual([...live.rows.values()], [...read.rows.values()]);
});

test('a table with a composite key is read in pages, whole and in order', async () => {
  await db.query(
    `create table public.pairs (a text, b numeric, n int, primary key (a, b));
     grant select on public.pairs to service_role`,
  );
  const odd = ['', 'a,b', 'q"(\\', 'x y', 'a&b=c', '%41', 'null', '+', 'h\u00e4', '*'];
  for (const a of odd) {
    for (let b = 0; b < 5; b++) {
      await db.query('insert into pairs values ($1, $2, 1)', [a, b / 4]);
    }
  }
  await db.query("notify pgrst, 'reload schema'");
  const all = await rows(ctx.service_key, 'pairs', 'a,b', 'n', 100);
  assert.deepEqual(all.done.slice(0, 3), ['TG_OK', '200', '1']);
  assert.equal(all.rows.size, 50);
  const paged = await rows(ctx.service_key, 'pairs', 'a,b', 'n', 3);
  assert.deepEqual(paged.done.slice(0, 3), ['TG_OK', '200', '17']);
  assert.deepEqual(paged.order, all.order);
  const asked = [...all.order, '["a,b",7]', '["","0"]'];
  const { keys: seen } = await keys(ctx.service_key, 'pairs', 'a,b', asked);
  assert.deepEqual(
    [...seen].filter(([, is]) => is === 'no').map(([key]) => key),
    ['["a,b",7]', '["","0"]'],
  );
});

test('a user reads and sees what the policies allow', async () => {
  for (const trip of [ctx.trip1_id, ctx.trip2_id]) {
    for (let i = 0; i < 5; i++) {
      await db.query('insert into tasks (trip_id, title) values ($1, $2)', [trip, `task ${i}`]);
    }
  }
  const { rows: mine } = await db.query('select id from tasks where trip_id = $1', [ctx.trip1_id]);
  const { rows: theirs } = await db.query('select id from tasks where trip_id = $1', [
    ctx.trip2_id,
  ]);
  assert.ok(mine.length > 0 && theirs.length > 0);
  const read = await rows(ctx.user1.token, 'tasks', 'id', 'title', 2);
  assert.deepEqual(read.order.sort(), mine.map(({ id }) => `["${id}"]`).sort());
  const asked = [...mine, ...theirs, { id: randomUUID() }].map(({ id }) => `["${id}"]`);
  const { keys: seen, done } = await keys(ctx.user1.token, 'tasks', 'id', asked);
  assert.equal(done[0], 'TG_OK');
  assert.deepEqual([...seen.values()].filter((is) => is === 'yes').length, mine.length);
  assert.ok(mine.every(({ id }) => seen.get(`["${id}"]`) === 'yes'));
});

test('a secret key is enough to read as the service', async () => {
  const read = await rows(ctx.secret_key, 'tasks', 'id', 'title', 100);
  assert.equal(read.done[0], 'TG_OK');
  const { rows: all } = await db.query('select id from tasks');
  assert.equal(read.rows.size, all.length);
});

test('what cannot be read is told apart', async () => {
  const ends = async (bearer, table, columns) =>
    (await rows(bearer, table, 'id', columns, 10)).done.slice(0, 2);
  assert.deepEqual(await ends(ctx.service_key, 'nothing', 'x'), ['TG_ENOTFOUND', '404']);
  assert.deepEqual(await ends(ctx.service_key, 'tasks', 'nothing'), ['TG_EBADPARAM', '400']);
  assert.deepEqual(await ends('a.b.c', 'tasks', 'title'), ['TG_EBADTOKEN', '401']);
});
