// readme.test.mjs - every command of README.md, as written, in order.
//
// A fenced block whose info string is `sh run` is run to its end and must succeed. `sh stream` is
// left running, as a person would leave it in a terminal of its own; `ctrl-c` on a later block
// says that the person stops it first.
//
// not under sanitizers: the build with sanitizers has nothing more to show here than elsewhere.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { createWorkingCopy, isAlive, ROOT } from './lib/working-copy.mjs';
import { freePort } from '../localbase/ports.mjs';

const STEP_MS = 120_000;
const readme = fs.readFileSync(path.join(ROOT, 'README.md'), 'utf8');
const blocks = [...readme.matchAll(/^```sh (\S.*)\n([\s\S]*?)^```$/gm)].map((match) => ({
  words: match[1].trim().split(/\s+/),
  text: match[2],
  line: readme.slice(0, match.index).split('\n').length,
}));
/** What each stream shows before the reader goes on, in order. */
const CONTENTS = [['hello'], ['one', 'two', 'three']];

const copy = createWorkingCopy();
const env = { ...process.env };
const streams = [];
let answers = '';

function shell(text) {
  return spawn('bash', ['-c', `set -eu -o pipefail\n${text}`], {
    cwd: copy.home,
    detached: true,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

function rows(text) {
  return [...text.matchAll(/"content": ?"([^"]+)"/g)].map((match) => match[1]);
}

async function run(block) {
  const child = shell(block.text);
  const timer = setTimeout(() => process.kill(-child.pid, 'SIGKILL'), STEP_MS);
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    answers += chunk;
  });
  const [status] = await once(child, 'close');
  clearTimeout(timer);
  assert.equal(status, 0, `README.md:${block.line}`);
}

/** Resolves at its `hello`. */
async function stream(block) {
  const child = shell(block.text);
  const one = { child, text: '', closed: once(child, 'close'), line: block.line };
  streams.push(one);
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    one.text += chunk;
    child.emit('more');
  });
  await until(one, () => /^event: hello$/m.test(one.text));
}

async function until(one, isSo) {
  const deadline = setTimeout(() => one.child.emit('more', 'late'), STEP_MS);
  let late = false;
  while (!isSo()) {
    assert.ok(!late && one.child.exitCode === null, `README.md:${one.line} shows\n${one.text}`);
    const [word] = await Promise.race([once(one.child, 'more'), one.closed]);
    late = word === 'late';
  }
  clearTimeout(deadline);
}

async function stop(one, expected) {
  await until(one, () => rows(one.text).length >= expected.length && one.text.endsWith('\n\n'));
  process.kill(-one.child.pid, 'SIGINT');
  await one.closed;
  assert.deepEqual(rows(one.text), expected);
}

before(async () => {
  // The blocks name the program where ./run builds it.
  if (process.env.TIDEGATE_BIN) {
    const built = path.join(copy.home, 'build/release');
    fs.mkdirSync(built, { recursive: true });
    fs.symlinkSync(path.resolve(process.env.TIDEGATE_BIN), path.join(built, 'tidegate'));
  }
  for (const name of Object.keys(env).filter((each) => /^(TG|SUPABASE|REDIS)_/.test(each))) {
    delete env[name];
  }
  for (const name of ['', '_ADMIN', '_SUPABASE', '_DB', '_REDIS']) {
    env[`TIDEGATE_PORT${name}`] = String(await freePort());
  }
});

after(async () => {
  for (const one of streams.filter((each) => isAlive(each.child.pid))) {
    process.kill(-one.child.pid, 'SIGKILL');
  }
  await copy.run(['--stop']);
  copy.remove();
});

test('the commands of README.md work as written', async (t) => {
  let stopped = 0;
  assert.ok(blocks.length >= 8);
  for (const block of blocks) {
    const [kind, ...more] = block.words;
    await t.test(`README.md:${block.line}`, async () => {
      if (more.includes('ctrl-c')) {
        await stop(streams[stopped], CONTENTS[stopped]);
        stopped++;
      }
      assert.ok(['run', 'stream'].includes(kind), kind);
      await (kind === 'run' ? run : stream)(block);
      // Only ./run knows it; the gateway would refuse a variable that is none of its keys.
      delete env.TIDEGATE_BIN;
    });
  }
  assert.equal(stopped, CONTENTS.length);
  assert.deepEqual(fs.readdirSync(path.join(copy.home, '.run/pid')), []);
});

test('the answers that README.md shows are the ones that came', () => {
  const shown = readme.split('\n').filter((line) => line.startsWith('{"code":'));
  assert.equal(shown.length, 2);
  for (const line of shown) {
    assert.ok(answers.includes(line), line);
  }
});

test('README.md links to files that are there', () => {
  for (const [, target] of readme.matchAll(/\]\(([^)#]+)\)/g)) {
    assert.ok(/^https?:/.test(target) || fs.existsSync(path.join(ROOT, target)), target);
  }
});
