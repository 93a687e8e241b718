// gateway.mjs - the gateway under test: the real binary with a configuration of its own.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import { within } from '../../localbase/within.mjs';
import { Inbox } from './inbox.mjs';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const START_MS = 20_000;
const STOP_MS = 60_000; /* longer than any test lets a gateway drain, also under a sanitizer */
const MAX_TOLD_CHARS = 5000;

/** Whether the gateways are built with a sanitizer: what they keep in memory says nothing then. */
export const SANITIZED = process.env.ASAN_OPTIONS !== undefined;

export const binary = () => process.env.TIDEGATE_BIN ?? path.join(ROOT, 'build/dev/tidegate');

/** YAML of two levels; JSON's scalars and lists are YAML's. */
function toYaml(config) {
  return Object.entries(config)
    .map(([section, keys]) => {
      const lines = Object.entries(keys).map(([name, v]) => `  ${name}: ${JSON.stringify(v)}\n`);
      return `${section}:\n${lines.join('')}`;
    })
    .join('');
}

/** One line of logfmt as an object. */
export function readLog(line) {
  const fields = {};
  for (const [, name, quoted, plain] of line.matchAll(/(\S+?)=(?:"((?:[^"\\]|\\.)*)"|(\S*))/g)) {
    fields[name] = quoted === undefined ? plain : quoted.replace(/\\(.)/g, '$1');
  }
  return fields;
}

function environment(extra) {
  // Other names that begin so are configuration.
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('TIDEGATE_'));
  return { ...Object.fromEntries(kept), ...extra };
}

/** The threads of a process that does not end, and what each waits for in the kernel. */
function threadsOf(pid) {
  const dir = `/proc/${pid}/task`;
  const first = (file) => readFileSync(file, 'utf8').trim();
  return readdirSync(dir)
    .map((tid) => `${first(`${dir}/${tid}/comm`)} in ${first(`${dir}/${tid}/wchan`)}`)
    .join(', ');
}

/**
 * Starts a gateway; `config` by section, on top of free ports and debug lines. Resolves once
 * its /readyz says so (or, with `ready: false`, once it listens), to
 *   url, adminUrl, port, pid
 *   log                  an Inbox of its log lines as objects
 *   lines()              all of standard error so far
 *   metric(name)         a counter, summed over the workers
 *   rssKib()             resident memory
 *   stop()               SIGTERM; the exit status. One that does not end is killed, and an error
 *   configure(config)    writes the configuration file anew
 *   signal(name)         sends a signal; `exited` resolves to the exit status
 *   kill()               SIGKILL; resolves when it is gone
 */
export async function startGateway(config, { env = {}, ready = true } = {}) {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'tidegate-test-'));
  const file = path.join(dir, 'tidegate.yaml');
  const configure = (wanted) => {
    const sections = { server: {}, admin: {}, log: {}, ...wanted };
    sections.server = { listen: '127.0.0.1:0', ...sections.server };
    sections.admin = { listen: '127.0.0.1:0', ...sections.admin };
    sections.log = { level: 'debug', ...sections.log };
    writeFileSync(file, toYaml(sections));
  };
  configure(config);
  const child = spawn(binary(), ['--config', file], {
    env: environment(env),
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  const log = new Inbox('log');
  const text = [];
  let rest = '';
  child.stderr.setEncoding('utf8');
  child.stderr.on('data', (data) => {
    const lines = (rest + data).split('\n');
    rest = lines.pop();
    text.push(...lines);
    lines.forEach((line) => log.push(readLog(line)));
  });
  const gone = (code, signal) => {
    rmSync(dir, { recursive: true, force: true });
    log.push({ event: 'exited', code, signal });
    return code;
  };
  const exited = once(child, 'close').then(
    ([code, signal]) => gone(code, signal),
    (error) => {
      text.push(error.message); // it could not even be started
      return gone(null, null);
    },
  );
  const of = (event) => (line) => line.event === event || line.event === 'exited';
  const listen = await log.take(of('listen'), { timeoutMs: START_MS, what: 'event=listen' });
  const admin = await log.take(of('admin'), { timeoutMs: START_MS, what: 'event=admin' });
  if (listen.event === 'exited' || admin.event === 'exited') {
    throw new Error(`the gateway did not start:\n${text.join('\n')}`);
  }
  const gateway = {
    url: `http://127.0.0.1:${listen.port}`,
    adminUrl: `http://127.0.0.1:${admin.port}`,
    port: Number(listen.port),
    pid: child.pid,
    exited,
    configure,
    signal: (name) => child.kill(name),
    log,
    lines: () => text.join('\n'),
    metric: async (name) => {
      const metrics = await (await fetch(`http://127.0.0.1:${admin.port}/metrics`)).text();
      const values = metrics.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\d+)$`, 'gm'));
      return [...values].reduce((sum, [, value]) => sum + Number(value), 0);
    },
    rssKib: () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`))[1]),
    stop: async () => {
      child.kill('SIGTERM');
      const told = () =>
        `the gateway did not end on SIGTERM: ${threadsOf(child.pid)}\n` +
        `${text.join('\n').slice(-MAX_TOLD_CHARS)}`;
      return within(STOP_MS, exited, told).catch(async (error) => {
        child.kill('SIGKILL');
        await exited;
        throw error;
      });
    },
    kill: async () => {
      child.kill('SIGKILL');
      await exited;
    },
  };
  while (ready && !(await fetch(`${gateway.adminUrl}/readyz`)).ok) {
    assert.equal(child.exitCode, null, text.join('\n'));
  }
  return gateway;
}

/** Settings that put a gateway before a local stack (the object of useLocalbase()). */
export function inFrontOf(stack, more = {}) {
  return {
    ...more,
    realtime: { messages_per_second: 0, ...more.realtime }, /* the stack has no limit */
    supabase: {
      url: stack.url,
      anon_key: stack.anon_key,
      service_key: stack.service_key,
      jwt_secret: stack.jwt_secret,
      ...more.supabase,
    },
  };
}

/**
 * Registers start and stop with node:test: `makeConfig()` is asked (and awaited) once what
 * stands behind the gateway is there. Returns what startGateway() will have resolved to.
 */
export function useGateway(makeConfig, options = {}) {
  const gateway = {};
  before(async () => {
    Object.assign(gateway, await startGateway(await makeConfig(), options));
  });
  after(async () => {
    if (gateway.stop) {
      assert.equal(await gateway.stop(), 0, `exit status; log:\n${gateway.lines()}`);
    }
  });
  return gateway;
}
