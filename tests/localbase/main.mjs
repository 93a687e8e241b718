// main.mjs - starts the stand-in Supabase: PostgreSQL, the parts, edge and control port.
//
//   node tests/localbase/main.mjs [--dir D] [--port P] [--db-port P] [--control-port P]
//        [--jwt-exp S] [--jwt-alg HS256|ES256|RS256] [--reuse-interval S]
//        [--refresh-token-version 1|2] [--edge hosted|kong|envoy] [--parent-watch]
//
// Prints one line of JSON when everything answers, and stops on SIGTERM or SIGINT.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { createAuth } from './auth.mjs';
import { startCluster } from './cluster.mjs';
import { startControl } from './control.mjs';
import { EDGE_MANNERS, startEdge } from './edge.mjs';
import { createFaults } from './faults.mjs';
import { createFunctions } from './functions.mjs';
import { createJwt } from './jwt.mjs';
import { loadKeys } from './keys.mjs';
import { createRealtime } from './realtime/index.mjs';
import { createRest } from './rest.mjs';
import { DEMO, seedDatabase } from './seed.mjs';
import { createStorage } from './storage.mjs';
import { within } from './within.mjs';

const STOP_MS = 30_000; /* of one part */

const DEFAULTS = {
  dir: null,
  port: 0,
  dbPort: 0,
  controlPort: 0,
  jwtExp: 3600,
  jwtAlg: 'HS256',
  reuseInterval: 10,
  refreshTokenVersion: 1,
  edge: 'hosted',
  schemas: ['public', 'graphql_public'],
  quiet: false,
};

/** One line of logfmt on standard error. */
function log(level, event, fields = {}) {
  const pairs = Object.entries(fields).map(([k, v]) => `${k}=${JSON.stringify(v)}`);
  process.stderr.write(`localbase level=${level} event=${event} ${pairs.join(' ')}\n`);
}

function checkOptions(options) {
  const unknown = Object.keys(options).find((name) => !Object.hasOwn(DEFAULTS, name));
  if (unknown !== undefined) {
    throw new Error(`unknown option ${unknown}`);
  }
  const all = { ...DEFAULTS, ...options };
  for (const name of ['port', 'dbPort', 'controlPort']) {
    if (!Number.isInteger(all[name]) || all[name] < 0 || all[name] > 65535) {
      throw new Error(`${name} must be a port`);
    }
  }
  if (!Number.isInteger(all.jwtExp) || all.jwtExp < 1) {
    throw new Error('jwtExp must be a positive number of seconds');
  }
  if (![1, 2].includes(all.refreshTokenVersion) || !(all.reuseInterval >= 0)) {
    throw new Error('refreshTokenVersion is 1 or 2, reuseInterval not negative');
  }
  if (!EDGE_MANNERS.includes(all.edge)) {
    throw new Error(`edge must be one of ${EDGE_MANNERS.join(', ')}`);
  }
  return all;
}

function prepareDir(dir) {
  const made = dir === null ? fs.mkdtempSync(path.join(os.tmpdir(), 'localbase-')) : dir;
  fs.mkdirSync(made, { recursive: true });
  // PostgreSQL may run as another user, who passes through but reads nothing.
  fs.chmodSync(made, 0o711);
  return path.resolve(made);
}

async function signIn(url, keys, user) {
  const response = await fetch(`${url}/auth/v1/token?grant_type=password`, {
    method: 'POST',
    headers: { apikey: keys.anonKey, 'content-type': 'application/json' },
    body: JSON.stringify({ email: user.email, password: user.password }),
  });
  const body = await response.json();
  if (response.status !== 200) {
    throw new Error(`sign-in of ${user.email} failed: ${JSON.stringify(body)}`);
  }
  return { ...user, token: body.access_token };
}

function describe({ edge, control, cluster, keys, user1, user2 }) {
  const { host, port, user, password, database } = cluster.db;
  return {
    url: edge.url,
    control_url: control.url,
    db_url: `postgres://${user}:${password}@${host}:${port}/${database}`,
    anon_key: keys.anonKey,
    service_key: keys.serviceKey,
    publishable_key: keys.publishableKey,
    secret_key: keys.secretKey,
    jwt_secret: keys.jwtSecret,
    user1,
    user2,
    trip1_id: DEMO.trip1,
    trip2_id: DEMO.trip2,
  };
}

/** What rises is pushed on `cleanups` as [name, end], so that a failed start leaves nothing either. */
async function startAll(options, cleanups) {
  const dir = prepareDir(options.dir);
  const keys = loadKeys(dir);
  const cluster = await startCluster({
    dir: path.join(dir, 'pg'),
    port: options.dbPort,
    password: keys.dbPassword,
    logFile: path.join(dir, 'postgres.log'),
  });
  const stopCluster = async () => {
    await cluster.stop();
    if (options.dir === null) {
      fs.rmSync(cluster.dataDir, { recursive: true, force: true });
      fs.rmSync(dir, { recursive: true, force: true });
    }
  };
  cleanups.push(['PostgreSQL', stopCluster]);
  await seedDatabase(cluster.db);

  const pool = new pg.Pool({ ...cluster.db, max: 10 });
  pool.on('error', () => {}); // an idle connection cut by the shutdown
  cleanups.push(['the pool', () => pool.end()]);
  const config = { ...options, dir, keys, publicUrl: null };
  const ctx = {
    config,
    pg: pool,
    db: cluster.db,
    jwt: createJwt(keys, options.jwtAlg),
    faults: createFaults(),
    log: options.quiet ? () => {} : log,
  };
  const parts = {
    auth: createAuth(ctx),
    rest: createRest(ctx),
    realtime: createRealtime(ctx),
    storage: createStorage(ctx),
    functions: createFunctions(ctx),
  };
  cleanups.push(...Object.entries(parts).map(([name, part]) => [name, () => part.stop()]));

  const edge = await startEdge(ctx, parts, options.port);
  cleanups.push(['the edge', () => edge.stop()], ['faults', async () => ctx.faults.stop()]);
  config.publicUrl = edge.url;
  const control = await startControl(ctx, parts, options.controlPort);
  cleanups.push(['the control port', () => control.stop()]);
  const user1 = await signIn(edge.url, keys, DEMO.user1);
  const user2 = await signIn(edge.url, keys, DEMO.user2);
  return describe({ edge, control, cluster, keys, user1, user2 });
}

/**
 * Starts a whole stack. `options`: see DEFAULTS; without `dir` everything lives
 * in a temporary folder that stop() removes. Returns what main prints, and stop().
 */
export async function startLocalbase(options = {}) {
  const checked = checkOptions(options);
  const cleanups = [];
  let stopping = null;
  const stopAll = async () => {
    const failures = [];
    while (cleanups.length > 0) {
      const [name, end] = cleanups.pop();
      await within(STOP_MS, end(), () => `localbase: ${name} does not stop`).catch((error) =>
        failures.push(error),
      );
    }
    if (failures.length > 0) {
      throw failures[0];
    }
  };
  const stop = () => (stopping ??= stopAll());
  try {
    const described = await startAll(checked, cleanups);
    return { ...described, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function optionsFromArgs(argv) {
  const string = { type: 'string' };
  const { values } = parseArgs({
    args: argv,
    options: {
      dir: string,
      port: string,
      'db-port': string,
      'control-port': string,
      'jwt-exp': string,
      'jwt-alg': string,
      'reuse-interval': string,
      'refresh-token-version': string,
      edge: string,
      'parent-watch': { type: 'boolean' },
    },
  });
  const { 'parent-watch': parentWatch = false, ...rest } = values;
  const numeric = /^(.*port|jwt-exp|reuse-interval|refresh-token-version)$/;
  const options = {};
  for (const [name, value] of Object.entries(rest)) {
    const key = name.replace(/-(.)/g, (_, letter) => letter.toUpperCase());
    options[key] = numeric.test(name) ? Number(value) : value;
  }
  return { options, parentWatch };
}

async function main() {
  const { options, parentWatch } = optionsFromArgs(process.argv.slice(2));
  const starting = startLocalbase(options);
  let ending = false;
  const end = async () => {
    if (!ending) {
      ending = true;
      const stack = await starting.catch(() => null);
      await stack?.stop();
      process.exit(0);
    }
  };
  process.on('SIGTERM', end);
  process.on('SIGINT', end);
  if (parentWatch) {
    // Standard input is a pipe from the parent: its end means the parent is gone.
    process.stdin.on('end', end).on('error', end).resume();
  }
  const { stop, ...described } = await starting;
  process.stdout.write(`${JSON.stringify(described)}\n`);
}

if (
  process.argv[1] !== undefined &&
  fs.realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)
) {
  main().catch((error) => {
    process.stderr.write(`localbase: ${error.message}\n`);
    process.exit(1);
  });
}
