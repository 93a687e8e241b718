// cluster.mjs - one private PostgreSQL cluster: created, started and stopped by us.
//
// The server is our child and dies with us (parent-death signal), listens on
// 127.0.0.1 only and opens no Unix socket. Started by root it runs as `postgres`,
// because PostgreSQL refuses to run as root. Durability is off: it is for tests.
import { execFileSync, spawn } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { once } from 'node:events';
import pg from 'pg';
import { freePort } from './ports.mjs';

const START_TRIES = 3;
const READY_TIMEOUT_MS = 60_000;
const CONNECT_TIMEOUT_MS = 5000;
const STOP_TIMEOUT_MS = 20_000;
const MAX_LOG_TAIL_BYTES = 4096;

/** Folder with initdb and postgres: $PG_BIN_DIR, else the newest of Debian's. */
function findBinDir() {
  const root = '/usr/lib/postgresql';
  const candidates = process.env.PG_BIN_DIR ? [process.env.PG_BIN_DIR] : [];
  if (fs.existsSync(root)) {
    const versions = fs.readdirSync(root).filter((name) => /^\d+$/.test(name));
    versions.sort((a, b) => Number(b) - Number(a));
    candidates.push(...versions.map((name) => path.join(root, name, 'bin')));
  }
  const found = candidates.find((dir) => fs.existsSync(path.join(dir, 'initdb')));
  if (!found) {
    throw new Error('PostgreSQL is not installed: no initdb under /usr/lib/postgresql/*/bin');
  }
  return found;
}

/** How to run a program as the user that may own a cluster: [command, ...leading args]. */
function dropPrefix() {
  const die = ['setpriv', '--pdeathsig', 'INT'];
  if (process.getuid() === 0) {
    die.push('--reuid=postgres', '--regid=postgres', '--init-groups');
  }
  return die;
}

function run(prefix, program, args) {
  const [command, ...lead] = prefix;
  return execFileSync(command, [...lead, program, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: '/',
  });
}

/**
 * Where the cluster lives. It is `dir` itself, unless the `postgres` user cannot
 * get there (a checkout under /root): then a folder below the temporary one,
 * named after `dir` so that the next start finds it again.
 */
function placeData(dir, prefix) {
  fs.mkdirSync(dir, { recursive: true });
  if (process.getuid() !== 0) {
    return dir;
  }
  try {
    run(prefix, 'test', ['-x', path.dirname(dir)]);
    return dir;
  } catch {
    const tag = crypto.createHash('sha256').update(dir).digest('hex').slice(0, 16);
    const other = path.join(os.tmpdir(), `localbase-pg-${tag}`);
    fs.mkdirSync(other, { recursive: true });
    return other;
  }
}

function ownByPostgres(target) {
  if (process.getuid() === 0) {
    const id = (flag) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));
    fs.chownSync(target, id('-u'), id('-g'));
  }
}

function initialise(binDir, prefix, dataDir, password) {
  const passwordFile = path.join(dataDir, '..', `.pw-${process.pid}-${path.basename(dataDir)}`);
  fs.chmodSync(dataDir, 0o700);
  ownByPostgres(dataDir);
  fs.writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
  ownByPostgres(passwordFile);
  try {
    run(prefix, path.join(binDir, 'initdb'), [
      '-D',
      dataDir,
      '-U',
      'postgres',
      '-E',
      'UTF8',
      '--locale=C.UTF-8',
      '--no-sync',
      '--auth=scram-sha-256',
      `--pwfile=${passwordFile}`,
    ]);
  } finally {
    fs.rmSync(passwordFile, { force: true });
  }
}

function serverSettings(binDir, prefix, port) {
  const settings = {
    listen_addresses: '127.0.0.1',
    port,
    unix_socket_directories: '',
    wal_level: 'logical',
    max_wal_senders: 20,
    max_replication_slots: 20,
    max_connections: 100,
    shared_buffers: '64MB',
    fsync: 'off',
    synchronous_commit: 'off',
    full_page_writes: 'off',
    jit: 'off',
    // Commits are asynchronous, and decoding sees only WAL that has been written out.
    wal_writer_delay: '10ms',
    timezone: 'UTC',
    log_timezone: 'UTC',
  };
  // Minor releases since 2026 refuse output plugins that are not listed.
  const known = run(prefix, path.join(binDir, 'postgres'), ['--describe-config']);
  if (/^output_plugin_libraries\t/m.test(known)) {
    settings.output_plugin_libraries = 'pgoutput,test_decoding,wal2json';
  }
  return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

function logTail(file) {
  const text = fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '';
  return text.slice(-MAX_LOG_TAIL_BYTES);
}

/** Resolves once a connection is accepted; throws when the server exits first. */
async function waitReady(child, db, logFile) {
  const deadline = Date.now() + READY_TIMEOUT_MS;
  while (child.exitCode === null && child.signalCode === null && Date.now() < deadline) {
    // Somebody else may have taken the port meanwhile, and accept without a word: then the
    // server has ended, which the next round sees.
    const client = new pg.Client({ ...db, connectionTimeoutMillis: CONNECT_TIMEOUT_MS });
    client.on('error', () => {});
    try {
      await client.connect();
      await client.end();
      return;
    } catch {
      await client.end().catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  throw new Error(`PostgreSQL did not start:\n${logTail(logFile)}`);
}

async function stopChild(child) {
  if (child.exitCode !== null || child.signalCode !== null) {
    return;
  }
  const gone = once(child, 'exit');
  child.kill('SIGINT'); // fast shutdown: clients are cut, the files are clean
  const timer = setTimeout(() => child.kill('SIGQUIT'), STOP_TIMEOUT_MS);
  await gone;
  clearTimeout(timer);
}

async function startOnce({ binDir, prefix, dataDir, logFile, port, password }) {
  const db = { host: '127.0.0.1', port, user: 'postgres', password, database: 'postgres' };
  const [command, ...lead] = prefix;
  const log = fs.openSync(logFile, 'a');
  const args = [...lead, path.join(binDir, 'postgres'), '-D', dataDir];
  const child = spawn(command, [...args, ...serverSettings(binDir, prefix, port)], {
    stdio: ['ignore', log, log],
    detached: true, // Ctrl-C at a terminal is for us: we stop it last
    cwd: '/',
  });
  fs.closeSync(log);
  child.on('error', () => {});
  try {
    await waitReady(child, db, logFile);
  } catch (error) {
    await stopChild(child);
    throw error;
  }
  return { child, db };
}

/**
 * Starts the cluster in `dir` (made on first use, with `password` for the
 * superuser). Returns { db, child, dataDir, fresh, stop() }.
 */
export async function startCluster({ dir, port = 0, password, logFile }) {
  const binDir = findBinDir();
  const prefix = dropPrefix();
  const dataDir = placeData(path.resolve(dir), prefix);
  const fresh = !fs.existsSync(path.join(dataDir, 'PG_VERSION'));
  if (fresh) {
    initialise(binDir, prefix, dataDir, password);
  }
  for (let attempt = 1; ; attempt++) {
    const options = { binDir, prefix, dataDir, logFile, password };
    options.port = port || (await freePort());
    try {
      const started = await startOnce(options);
      return { ...started, dataDir, fresh, stop: () => stopChild(started.child) };
    } catch (error) {
      // Another process may have taken the free port between our look and the bind.
      if (port !== 0 || attempt === START_TRIES) {
        throw error;
      }
    }
  }
}
