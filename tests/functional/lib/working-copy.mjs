// working-copy.mjs - a copy of the repository in a temporary folder, to try ./run in: the copy
// that a person has running stays as it is.
import { execFile, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { freePort } from '../../localbase/ports.mjs';

export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
const TIMEOUT_MS = 120_000;
const execFileAsync = promisify(execFile);
const COPIED = [
  'run', 'scripts', 'cmake', 'CMakeLists.txt', 'CMakePresets.json', 'lib', 'config', 'realtime',
  'sync', 'handlers', 'server', 'tests/CMakeLists.txt', 'tests/localbase', 'tests/package.json',
  'tests/package-lock.json',
];

/** Alive, and no zombie. */
export function isAlive(pid) {
  try {
    return !/^\d+ \(.*\) Z/.test(fs.readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

/** As scripts/node-modules.sh sees it. */
function isInstalled() {
  const read = (file) => fs.readFileSync(path.join(ROOT, 'tests', file), 'utf8');
  try {
    return read('package-lock.json') === read('node_modules/.tidegate-lock');
  } catch {
    return false;
  }
}

/**
 * home          the copy's folder
 * run(args, env)    ./run in it, to its end; { stdout, stderr }, rejects unless it exits with 0
 * start(args, env)  ./run in it, in a process group of its own; the child
 * sourced()     the variables of .run/env, as a shell that sources it sees them
 * pids()        the processes that it has on record, by name
 * remove()
 */
export function createWorkingCopy() {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'tidegate-run-'));
  for (const name of COPIED.filter((each) => fs.existsSync(path.join(ROOT, each)))) {
    fs.cpSync(path.join(ROOT, name), path.join(home, name), {
      recursive: true,
      filter: (from) => path.basename(from) !== 'node_modules',
    });
  }
  // What is installed already need not be installed again. (An older set must not be linked: the
  // copy would install over it, and npm empties what a link points to.)
  if (isInstalled()) {
    fs.symlinkSync(path.join(ROOT, 'tests/node_modules'), path.join(home, 'tests/node_modules'));
  }

  /** An environment without this run's own settings, and with ports that are free. */
  async function environment(more) {
    const clean = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !/^(TIDEGATE|TG|SUPABASE|REDIS)_/.test(name)),
    );
    for (const name of ['', '_ADMIN', '_SUPABASE', '_DB', '_REDIS']) {
      clean[`TIDEGATE_PORT${name}`] = String(await freePort());
    }
    return { ...clean, TIDEGATE_BIN: process.env.TIDEGATE_BIN ?? '', ...more };
  }

  return {
    home,
    async run(args = [], env = {}) {
      return execFileAsync(path.join(home, 'run'), args, {
        cwd: os.tmpdir(),
        env: await environment(env),
        timeout: TIMEOUT_MS,
      });
    },
    async start(args = [], env = {}) {
      return spawn(path.join(home, 'run'), args, {
        cwd: os.tmpdir(),
        detached: true,
        env: await environment(env),
        stdio: ['ignore', 'pipe', 'inherit'],
      });
    },
    async sourced() {
      const { stdout } = await execFileAsync('bash', [
        '-c', 'set -eu; . "$1"; node -e "console.log(JSON.stringify(process.env))"', '-',
        path.join(home, '.run/env'),
      ]);
      return JSON.parse(stdout);
    },
    pids() {
      const folder = path.join(home, '.run/pid');
      return Object.fromEntries(
        fs.readdirSync(folder).map((name) => [
          name,
          Number(fs.readFileSync(path.join(folder, name), 'utf8').split(' ')[0]),
        ]),
      );
    },
    remove() {
      fs.rmSync(home, { recursive: true, force: true });
    },
  };
}
