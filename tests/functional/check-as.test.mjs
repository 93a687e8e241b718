// `tidegate --check --as <token>`: each thing that can be missing is broken by SQL, named, and
// mended by the SQL that the finding tells.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { binary, inFrontOf } from './lib/gateway.mjs';
import { useLocalbase } from './lib/localbase.mjs';
import { TABLES, TRIP_TASKS } from './lib/world.mjs';

const dir = mkdtempSync(path.join(os.tmpdir(), 'tidegate-check-as-'));
const stack = useLocalbase();
let db;

before(async () => {
  db = await stack.connect();
});
after(() => rmSync(dir, { recursive: true, force: true }));

/** Runs the program to its end. */
async function run(args, input = '') {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('TIDEGATE_'));
  const child = spawn(binary(), args, { env: Object.fromEntries(kept), stdio: 'pipe' });
  child.stdin.on('error', () => {}).end(input); // it may end without reading
  const out = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) {
    child[name].setEncoding('utf8').on('data', (text) => {
      out[name] += text;
    });
  }
  const [code] = await once(child, 'close');
  return { code, ...out };
}

let files = 0;

/** Checks these settings as a user: exit status, and the lines as { level, code, subject, text, fix }. */
async function check(settings, token = stack.user1.token) {
  const file = path.join(dir, `${files++}.yaml`);
  writeFileSync(file, JSON.stringify(inFrontOf(stack, settings)));
  const { code, stdout, stderr } = await run(['--check', '--as', token, '-c', file]);
  const [first, ...lines] = stdout.trimEnd().split('\n');
  assert.equal(first, 'The configuration is valid.', stderr);
  return {
    code,
    lines: lines.map((line) => {
      const found = /^(finding|warning|note) (\S+) (\S+): (.*?)(?:\. Fix: (.*))?$/.exec(line);
      assert.ok(found, line);
      const [, level, name, subject, text, fix] = found;
      return { level, code: name, subject, text, fix };
    }),
  };
}

const ofLevel = (told, level) => told.lines.filter((line) => line.level === level);
const tasks = (more = {}) => ({ tables: TABLES, topics: { 'trip-tasks': { ...TRIP_TASKS, ...more } } });

async function fine(settings, token) {
  const told = await check(settings, token);
  assert.deepEqual([told.code, ofLevel(told, 'finding')], [0, []]);
  return told;
}

/** One finding, of this code. */
async function finds(settings, code, token) {
  const told = await check(settings, token);
  const findings = ofLevel(told, 'finding');
  assert.deepEqual([told.code, findings.map((f) => f.code)], [1, [code]], JSON.stringify(told.lines));
  return findings[0];
}

/** A table of the test's own that nothing is missing of; its topic. */
async function makeTable(t, name) {
  await db.query(`create table public.${name} (id bigint primary key, owner uuid not null);
    alter table public.${name} enable row level security;
    create policy own on public.${name} for select to authenticated using (owner = auth.uid());
    grant select on public.${name} to authenticated, service_role;
    alter publication supabase_realtime add table public.${name};
    notify pgrst, 'reload schema'`);
  await db.query(`insert into public.${name} values (1, $1), (2, $2)`, [stack.user1.id, stack.user2.id]);
  t.after(() => db.query(`drop table if exists public.${name}`));
  return {
    topics: {
      mine: {
        table: `public.${name}`, key: 'owner', key_type: 'uuid', columns: ['id', 'owner'],
        authorize: 'trips?select=id&limit=1&owner_id=eq.{sub}&owner_id=eq.{key}',
      },
    },
  };
}

describe('--check --as', () => {
  test('says nothing where topics and policies agree', async () => {
    await db.query('insert into public.tasks (trip_id, title) values ($1, $2)', [stack.trip1_id, 'a task']);
    const { lines } = await fine({ ...tasks(), strict: { tables: ['public.tasks'] } });
    assert.deepEqual(lines.map((l) => [l.level, l.code, l.subject]), [['note', 'rows', 'trip-tasks']]);
    assert.match(lines[0].text, /^[1-9]\d* are shown by both, /);
  });

  test('names the rows that a topic would show and policies hide', async (t) => {
    const id = (
      await db.query(
        `insert into public.tasks (trip_id, title) values ($1, 'hidden') returning id`, [stack.trip1_id],
      )
    ).rows[0].id;
    t.after(() => db.query('drop policy if exists part on public.tasks'));
    await db.query(
      `create policy part on public.tasks as restrictive for select to authenticated using (title <> 'hidden')`,
    );
    const wider = await finds(tasks(), 'wider');
    assert.ok(wider.text.includes(`1, ["${id}"] of key ${stack.trip1_id}`), wider.text);
    await db.query('drop policy part on public.tasks; create policy part on public.tasks as restrictive ' +
      'for select to authenticated using (false)');
    const blind = await finds(tasks(), 'policy');
    assert.match(blind.fix, /create policy tidegate_read on public.tasks for select to authenticated using/);
    await db.query('drop policy part on public.tasks');
    await fine(tasks());
  });

  test('warns of rows that policies show and the topic does not', async () => {
    const told = await fine(tasks({ authorize: 'trips?select=id&id=eq.{key}&name=eq.nobody-has-this' }));
    const [warning] = ofLevel(told, 'warning');
    assert.equal(warning.code, 'narrower');
    assert.match(warning.text, /of key [0-9a-f-]{36}/);
  });

  test('a public topic without a question shows everybody what policies may hide', async (t) => {
    const settings = await makeTable(t, 'check_public');
    const topic = { ...settings.topics.mine, public: true };
    delete topic.authorize;
    const { text } = await finds({ topics: { mine: topic } }, 'wider');
    assert.ok(text.includes(`[2] of key ${stack.user2.id}`), text);
  });

  test('a grant that is missing, of the user and of the service', async (t) => {
    const settings = await makeTable(t, 'check_grant');
    await fine(settings);
    for (const role of ['authenticated', 'service_role']) {
      await db.query(`revoke all on public.check_grant from ${role}, public`);
      const { fix } = await finds(settings, 'grant');
      assert.equal(fix, `grant select on public.check_grant to ${role};`);
      await db.query(fix);
      await fine(settings);
    }
  });

  test('a table that is not published, of a topic, of revoke_on and of strict topics', async (t) => {
    const settings = await makeTable(t, 'check_pub');
    const strict = { strict: { tables: ['public.check_pub'] } };
    const revoke = {
      topics: { notes: { authorize: 'trips?id=eq.{key}', revoke_on: { table: 'public.check_pub', user: 'owner' } } },
    };
    await db.query('alter publication supabase_realtime drop table public.check_pub');
    for (const one of [settings, strict, revoke]) {
      const { fix } = await finds(one, 'publication');
      assert.equal(fix, 'alter publication supabase_realtime add table public.check_pub;');
    }
    await db.query('alter publication supabase_realtime add table public.check_pub');
    for (const one of [settings, strict, revoke]) {
      await fine(one);
    }
  });

  test('a table that is not there', async () => {
    const topic = { ...TRIP_TASKS, table: 'public.nowhere' };
    const { fix } = await finds({ tables: TABLES, topics: { 'trip-tasks': topic } }, 'table');
    assert.match(fix, /notify pgrst, 'reload schema';$/);
    await finds({ strict: { tables: ['public.nowhere'] } }, 'table');
  });

  test('a primary key that the table has not, or that is not unique', async () => {
    const missing = await finds({ tables: { 'public.tasks': { primary_key: ['nr'] } }, ...wrongKey('nr') }, 'primary-key');
    assert.match(missing.text, /has no column nr, which is configured as its primary key$/);
    await db.query(
      `insert into public.tasks (trip_id, title) values ($1, 'one'), ($1, 'two')`, [stack.trip1_id],
    );
    const twice = await finds(
      { tables: { 'public.tasks': { primary_key: ['trip_id'] } }, ...wrongKey('trip_id') }, 'primary-key',
    );
    assert.match(twice.text, /two rows have the primary key \["[0-9a-f-]{36}"\]/);
  });

  test('a column that the table has not', async () => {
    const { text } = await finds(tasks({ columns: [...TRIP_TASKS.columns, 'colour'] }), 'column');
    assert.match(text, /colour does not exist/);
  });

  test('keys that are not of key_type', async () => {
    const { text } = await finds(tasks({ key_type: 'int' }), 'key-type');
    assert.match(text, /rows have a key that is none by key_type, such as [0-9a-f-]{36}/);
  });

  test('a question that PostgREST does not answer', async () => {
    const { text } = await finds(tasks({ authorize: 'nowhere?id=eq.{key}&user=eq.{sub}' }), 'authorize');
    assert.match(text, /status 404/);
  });

  test('a token that the project does not accept ends it at once', async () => {
    const parts = stack.user1.token.split('.');
    parts[2] = Buffer.from('no signature at all').toString('base64url');
    const { text } = await finds(
      { ...tasks(), strict: { tables: ['public.tasks'] } }, 'token', parts.join('.'),
    );
    assert.match(text, /does not accept the token of --as/);
  });

  test('a project that does not answer', async () => {
    const settings = { ...tasks(), supabase: { url: 'http://127.0.0.1:9' } };
    await finds(settings, 'unreachable');
  });

  test('the token may stand on standard input', async () => {
    const file = path.join(dir, 'stdin.yaml');
    writeFileSync(file, JSON.stringify(inFrontOf(stack, tasks())));
    const args = ['--check', '--as', '-', '-c', file];
    const { stdout, code } = await run(args, `${stack.user1.token}\n`);
    assert.match(stdout, /^The configuration is valid/);
    assert.equal(code, (await run(['--check', '--as', stack.user1.token, '-c', file])).code);
    const none = await run(args, '\n');
    assert.equal(none.code, 2);
    assert.match(none.stderr, /no token on standard input/);
  });

  test('wrong usage ends with 2: no token, none of a user, not a check', async () => {
    const wrong = [
      [['--check', '--as'], /a token is wanted behind/],
      [['--check', '--as', 'words'], /access token of a signed-in user/],
      [['--check', '--as', stack.anon_key], /names no user/],
      [['--dump', '--as', stack.user1.token], /only together with --check/],
    ];
    for (const [args, says] of wrong) {
      const { code, stdout, stderr } = await run(args);
      assert.deepEqual([code, stdout], [2, ''], args[0]);
      assert.match(stderr, says);
    }
  });
});

/** A topic of tasks whose primary key is said to be `column`. */
function wrongKey(column) {
  const columns = [...new Set(['trip_id', 'title', column])];
  const topic = { ...TRIP_TASKS, columns };
  delete topic.revoke_on;
  return { topics: { 'trip-tasks': topic } };
}
