// run-command.test.mjs - ./run --detach, what the README says to try, ./run --stop.
//
// not under sanitizers: the build with sanitizers has nothing more to show here than elsewhere.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const TIMEOUT_MS = 120_000;
const execFileAsync = promisify(execFile);

// A working copy of its own: the one that a person has running stays as it is.
const home = fs.mkdtempSync(path.join(os.tmpdir(), 'tidegate-run-'));
const copied = [
  'run', 'scripts', 'cmake', 'CMakeLists.txt', 'CMakePresets.json', 'lib', 'config', 'realtime',
  'sync', 'handlers', 'server', 'tests/CMakeLists.txt', 'tests/localbase', 'tests/package.json',
  'tests/package-lock.json',
];
let env = null;

/** Runs one of the copy's commands, in an environment without this run's own settings. */
async function command(...args) {
  const clean = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(TIDEGATE|TG|SUPABASE|REDIS)_/.test(name)),
  );
  const ports = {};
  for (const name of ['', '_ADMIN', '_SUPABASE', '_DB', '_REDIS']) {
    ports[`TIDEGATE_PORT${name}`] = String(await freePort());
  }
  return execFileAsync(path.join(home, 'run'), args, {
    cwd: os.tmpdir(),
    env: { ...clean, TIDEGATE_BIN: process.env.TIDEGATE_BIN ?? '', ...ports },
    timeout: TIMEOUT_MS,
  });
}

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** The variables of .run/env, as a shell that sources it sees them. */
async function sourced() {
  const { stdout } = await execFileAsync('bash', [
    '-c', 'set -eu; . "$1"; node -e "console.log(JSON.stringify(process.env))"', '-',
    path.join(home, '.run/env'),
  ]);
  return JSON.parse(stdout);
}

/** Runs the curl line of the README in a shell that has sourced .run/env. */
function shell(line) {
  return spawn('bash', ['-c', `. "$1"; exec ${line}`, '-', path.join(home, '.run/env')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

const STREAM =
  'curl -sN "$GATEWAY_URL/sync/v1/stream?topic=table:public.trip_chat_messages:trip_id=eq.$TRIP1_ID"' +
  ' -H "apikey: $ANON_KEY" -H "Authorization: Bearer $USER1_TOKEN"';
const INSERT =
  'curl -sf "$GATEWAY_URL/rest/v1/trip_chat_messages" -H "apikey: $ANON_KEY"' +
  ' -H "Authorization: Bearer $USER1_TOKEN" -H "Content-Type: application/json"';

async function insert(content) {
  const child = shell(`${INSERT} -d "{\\"trip_id\\":\\"$TRIP1_ID\\",\\"content\\":\\"${content}\\"}"`);
  const [status] = await once(child, 'exit');
  assert.equal(status, 0, `insert of ${content}`);
}

/** A stream whose text can be waited for. */
function stream(extra = '') {
  const child = shell(`${STREAM} ${extra}`);
  let text = '';
  let wake = () => {};
  child.stdout.setEncoding('utf8');
  child.stdout.on('data', (chunk) => {
    text += chunk;
    wake();
  });
  child.on('exit', () => wake('end'));
  const until = async (pattern) => {
    const deadline = AbortSignal.timeout(30_000);
    while (!pattern.test(text)) {
      const why = await new Promise((resolve) => {
        wake = resolve;
        deadline.addEventListener('abort', () => resolve('timeout'), { once: true });
      });
      assert.equal(why, undefined, `${why} before ${pattern} in:\n${text}`);
    }
    return text;
  };
  const stop = async () => {
    child.kill();
    await once(child, 'exit');
    return text;
  };
  return { until, stop };
}

function lastId(text) {
  return [...text.matchAll(/^id: ?(\S+)$/gm)].at(-1)[1];
}

function pids() {
  const folder = path.join(home, '.run/pid');
  return fs.readdirSync(folder).map((name) => {
    return Number(fs.readFileSync(path.join(folder, name), 'utf8').split(' ')[0]);
  });
}

function isAlive(pid) {
  try {
    return !/^\d+ \(.*\) Z/.test(fs.readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

before(async () => {
  for (const name of copied.filter((each) => fs.existsSync(path.join(ROOT, each)))) {
    fs.cpSync(path.join(ROOT, name), path.join(home, name), { recursive: true });
  }
  // What is installed already need not be installed again.
  fs.symlinkSync(path.join(ROOT, 'tests/node_modules'), path.join(home, 'tests/node_modules'));
  await command('--detach');
  env = await sourced();
});

after(async () => {
  await command('--stop');
  fs.rmSync(home, { recursive: true, force: true });
});

test('.run/env names everything that a shell needs', () => {
  const names = [
    'GATEWAY_URL', 'ADMIN_URL', 'SUPABASE_URL', 'ANON_KEY', 'SERVICE_KEY', 'JWT_SECRET',
    'DATABASE_URL', 'REDIS_URL', 'USER1_ID', 'USER1_TOKEN', 'USER2_ID', 'USER2_TOKEN', 'TRIP1_ID',
    'TRIP2_ID',
  ];
  for (const name of names) {
    assert.ok(env[name], name);
  }
  const { mode } = fs.statSync(path.join(home, '.run/env'));
  assert.equal(mode & 0o077, 0, 'it holds secrets');
});

test('each user is a member of the own trip only', async () => {
  const trips = async (token) => {
    const response = await fetch(`${env.GATEWAY_URL}/rest/v1/trips?select=id`, {
      headers: { apikey: env.ANON_KEY, authorization: `Bearer ${token}` },
    });
    return (await response.json()).map((trip) => trip.id);
  };
  assert.deepEqual(await trips(env.USER1_TOKEN), [env.TRIP1_ID]);
  assert.deepEqual(await trips(env.USER2_TOKEN), [env.TRIP2_ID]);
});

test('a row inserted through the gateway arrives; after a pause exactly the missed ones', async () => {
  const first = stream();
  await first.until(/^event: ?hello$/m);
  await insert('first');
  await first.until(/"first"/);
  await first.until(/\n\n$/);
  const seen = await first.stop();

  for (const content of ['missed-1', 'missed-2', 'missed-3']) {
    await insert(content);
  }
  const second = stream(`-H "Last-Event-ID: ${lastId(seen)}"`);
  await second.until(/"missed-3"/);
  const replayed = await second.stop();
  const found = [...replayed.matchAll(/"content": ?"([^"]+)"/g)].map((match) => match[1]);
  assert.deepEqual(found, ['missed-1', 'missed-2', 'missed-3']);
});

test('a second start says that it runs, and changes nothing', async () => {
  const before_ = pids();
  await command('--detach');
  assert.deepEqual(pids(), before_);
});

test('a start after a crash cleans up, and a stop leaves nothing', async () => {
  const crashed = pids();
  process.kill(Number(fs.readFileSync(path.join(home, '.run/pid/gateway'), 'utf8').split(' ')[0]), 'SIGKILL');
  await command('--detach');
  assert.deepEqual(crashed.filter(isAlive), []);
  const running = pids();
  assert.equal(running.filter(isAlive).length, 3);
  env = await sourced();
  assert.equal((await fetch(`${env.ADMIN_URL}/readyz`)).status, 200);

  await command('--stop');
  assert.deepEqual(running.filter(isAlive), []);
  assert.equal(fs.existsSync(path.join(home, '.run/env')), false);
  await assert.rejects(fetch(env.GATEWAY_URL));
});
