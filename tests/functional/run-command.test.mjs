// run-command.test.mjs - ./run --detach, what the README says to try, ./run --stop.
//
// not under sanitizers: the build with sanitizers has nothing more to show here than elsewhere.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { useLocalbase } from './lib/localbase.mjs';
import { startRedis } from './lib/redis.mjs';
import { createWorkingCopy, isAlive } from './lib/working-copy.mjs';

const copy = createWorkingCopy();
const { home } = copy;
let env = null;

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
  return Object.values(copy.pids());
}

before(async () => {
  await copy.run(['--detach']);
  env = await copy.sourced();
});

after(async () => {
  await copy.run(['--stop']);
  copy.remove();
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
  await copy.run(['--detach']);
  assert.deepEqual(pids(), before_);
});

test('a start after a crash cleans up, and a stop leaves nothing', async () => {
  const crashed = pids();
  process.kill(copy.pids().gateway, 'SIGKILL');
  await copy.run(['--detach']);
  assert.deepEqual(crashed.filter(isAlive), []);
  const running = pids();
  assert.equal(running.filter(isAlive).length, 3);
  env = await copy.sourced();
  assert.equal((await fetch(`${env.ADMIN_URL}/readyz`)).status, 200);

  await copy.run(['--stop']);
  assert.deepEqual(running.filter(isAlive), []);
  assert.equal(fs.existsSync(path.join(home, '.run/env')), false);
  await assert.rejects(fetch(env.GATEWAY_URL));
});

/** Until the child has printed `pattern`. */
async function printed(child, pattern) {
  let text = '';
  child.stdout.setEncoding('utf8');
  for await (const chunk of child.stdout) {
    text += chunk;
    if (pattern.test(text)) {
      return text;
    }
  }
  throw new Error(`it ended before ${pattern}:\n${text}`);
}

test('in the foreground it stops all of it on Ctrl-C', async () => {
  const child = await copy.start();
  const ended = once(child, 'exit');
  await printed(child, /Ctrl-C stops all of it/);
  const running = pids();
  assert.deepEqual(Object.keys(copy.pids()).sort(), ['gateway', 'redis', 'run', 'stack']);
  process.kill(-child.pid, 'SIGINT'); // what a terminal sends to the whole group
  const [status] = await ended;
  assert.equal(status, 130);
  assert.deepEqual(running.filter(isAlive), []);
  assert.equal(fs.existsSync(path.join(home, '.run/env')), false);
});

test('in the foreground it ends, and says why, when a part of it does', async () => {
  const child = await copy.start();
  const ended = once(child, 'exit');
  await printed(child, /Ctrl-C stops all of it/);
  const running = pids();
  process.kill(copy.pids().stack, 'SIGKILL');
  const [status] = await ended;
  assert.equal(status, 1);
  assert.deepEqual(running.filter(isAlive), []);
});

test('--stop ends one that runs in the foreground elsewhere', async () => {
  const child = await copy.start();
  const ended = once(child, 'exit');
  await printed(child, /Ctrl-C stops all of it/);
  const running = pids();
  await copy.run(['--stop']);
  await ended;
  assert.deepEqual(running.filter(isAlive), []);
});

test('an option that it does not know is told, and starts nothing', async () => {
  await assert.rejects(copy.run(['--nonsense']), (error) => /run --detach/.test(error.stdout));
  assert.deepEqual(copy.pids(), {});
});

test('a project without its key is refused before anything starts', async () => {
  await assert.rejects(
    copy.run(['--detach'], { SUPABASE_URL: 'http://127.0.0.1:1' }),
    (error) => /SUPABASE_ANON_KEY is not/.test(error.stderr),
  );
  assert.deepEqual(copy.pids(), {});
});

describe('in front of another project, with another Redis', () => {
  const stack = useLocalbase();
  const ends = [];
  let redis = null;

  before(async () => {
    redis = await startRedis({ after: (end) => ends.push(end) });
    await stack.ready;
    await copy.run(['--detach'], {
      SUPABASE_URL: stack.url,
      SUPABASE_ANON_KEY: stack.anon_key,
      SUPABASE_SERVICE_ROLE_KEY: stack.service_key,
      SUPABASE_JWT_SECRET: stack.jwt_secret,
      REDIS_URL: redis.url,
    });
    env = await copy.sourced();
  });

  after(async () => {
    await copy.run(['--stop']);
    await Promise.all(ends.map((end) => end()));
  });

  test('it starts the gateway and nothing else', () => {
    assert.deepEqual(Object.keys(copy.pids()), ['gateway']);
    assert.equal(env.SUPABASE_URL, stack.url);
    assert.equal(env.REDIS_URL, redis.url);
    assert.equal(env.USER1_TOKEN, '');
  });

  test('requests and streams go to that project', async () => {
    const headers = { apikey: env.ANON_KEY, authorization: `Bearer ${stack.user1.token}` };
    const rows = await fetch(`${env.GATEWAY_URL}/rest/v1/trips?select=id`, { headers });
    assert.deepEqual(await rows.json(), [{ id: stack.trip1_id }]);
    const stop = new AbortController();
    const answer = await fetch(`${env.GATEWAY_URL}/sync/v1/stream?topic=table:public.tasks`, {
      headers,
      signal: stop.signal,
    });
    assert.equal(answer.status, 200);
    stop.abort();
    assert.notEqual(await redis.command('GET', '{tidegate}:1:epoch'), null);
  });
});
