// The stack as a program: one line when ready, a clean end, nothing left behind.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import pg from 'pg';

const MAIN = fileURLToPath(new URL('../localbase/main.mjs', import.meta.url));
const children = [];

after(() => children.forEach((child) => child.kill('SIGKILL')));

function launch(args) {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
  children.push(child);
  child.exited = once(child, 'exit');
  return child;
}

async function launchReady(args) {
  const child = launch(args);
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  return { child, ready: JSON.parse(line) };
}

/** Resolves once nobody accepts connections there any more. */
async function refusesConnections(dbUrl) {
  for (;;) {
    const client = new pg.Client(dbUrl);
    client.on('error', () => {});
    try {
      await client.connect();
      await once(client, 'end'); // the server ends it when it stops
    } catch {
      return;
    }
  }
}

test('a run without a folder leaves nothing', async () => {
  const { child, ready } = await launchReady([]);
  assert.deepEqual(Object.keys(ready).sort(), [
    'anon_key',
    'control_url',
    'db_url',
    'jwt_secret',
    'publishable_key',
    'secret_key',
    'service_key',
    'trip1_id',
    'trip2_id',
    'url',
    'user1',
    'user2',
  ]);
  const client = new pg.Client(ready.db_url);
  await client.connect();
  const { rows } = await client.query("select current_setting('data_directory') as dir");
  await client.end();
  child.kill('SIGTERM');
  assert.deepEqual(await child.exited, [0, null]);
  assert.equal(fs.existsSync(rows[0].dir), false);
  assert.equal(fs.existsSync(path.dirname(rows[0].dir)), path.dirname(rows[0].dir) === os.tmpdir());
});

test('a kept folder keeps keys, users and rows', async () => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'localbase-kept-'));
  try {
    const first = await launchReady(['--dir', dir]);
    first.child.kill('SIGINT');
    assert.deepEqual(await first.child.exited, [0, null]);
    const second = await launchReady(['--dir', dir, '--jwt-exp', '120', '--parent-watch']);
    for (const name of ['anon_key', 'service_key', 'publishable_key', 'secret_key', 'jwt_secret']) {
      assert.equal(second.ready[name], first.ready[name]);
    }
    const response = await fetch(`${second.ready.url}/rest/v1/trips?select=id`, {
      headers: { apikey: first.ready.anon_key, authorization: `Bearer ${first.ready.user1.token}` },
    });
    assert.deepEqual(await response.json(), [{ id: first.ready.trip1_id }]);
    second.child.stdin.end(); // the parent is gone
    assert.deepEqual(await second.child.exited, [0, null]);
  } finally {
    fs.rmSync(dir, { recursive: true, force: true });
  }
});

test('user tokens are signed as the start asks', async () => {
  for (const alg of ['ES256', 'RS256']) {
    const { child, ready } = await launchReady(['--jwt-alg', alg, '--refresh-token-version', '2']);
    const { token } = ready.user2;
    const header = JSON.parse(Buffer.from(token.split('.')[0], 'base64url').toString('utf8'));
    assert.equal(header.alg, alg);
    const response = await fetch(`${ready.url}/rest/v1/trips?select=id`, {
      headers: { apikey: ready.publishable_key, authorization: `Bearer ${token}` },
    });
    assert.deepEqual(await response.json(), [{ id: ready.trip2_id }]);
    child.kill('SIGTERM');
    assert.deepEqual(await child.exited, [0, null]);
  }
});

test('PostgreSQL does not outlive a killed stack', async () => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'localbase-killed-'));
  try {
    const { child, ready } = await launchReady(['--dir', dir]);
    child.kill('SIGKILL');
    await child.exited;
    await refusesConnections(ready.db_url);
  } finally {
    fs.rmSync(dir, { recursive: true, force: true });
  }
});

test('bad options stop the start with a word of why', async () => {
  for (const args of [['--jwt-exp', '0'], ['--edge', 'x'], ['--port', '99999'], ['--nonsense']]) {
    const child = launch(args);
    let text = '';
    child.stderr.on('data', (chunk) => {
      text += chunk;
    });
    const [code] = await child.exited;
    assert.equal(code, 1);
    assert.match(text, /^localbase: .+/);
  }
});
