// redis.mjs - a Redis of a test's own: a free port, a temporary folder, and its bad days.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { freePort } from '../../localbase/ports.mjs';
import { within } from '../../localbase/within.mjs';

const END_MS = 20_000;

/** One command over a connection of its own; the first line of the answer, or the bulk. */
function ask(port, args) {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ port, host: '127.0.0.1' });
    let text = '';
    socket.setEncoding('utf8');
    socket.on('error', reject);
    socket.on('data', (data) => {
      text += data;
      const end = text.indexOf('\r\n');
      const bulk = /^\$(\d+)\r\n/.exec(text);
      if (bulk !== null && text.length < end + 4 + Number(bulk[1])) {
        return;
      }
      if (end >= 0) {
        socket.destroy();
        resolve(bulk === null ? text.slice(0, end) : text.slice(end + 2, -2));
      }
    });
    socket.on('close', () => reject(new Error(`Redis closed the connection: ${text}`)));
    const parts = args.map((arg) => `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`);
    socket.write(`*${args.length}\r\n${parts.join('')}`);
  });
}

class Redis {
  constructor(dir, port) {
    this.dir = dir;
    this.port = port;
    this.url = `redis://127.0.0.1:${port}/0`;
    this.child = null;
  }

  /** Starts it on what its folder holds, and waits for its answer. */
  async start() {
    const args = ['--port', String(this.port), '--bind', '127.0.0.1', '--dir', this.dir];
    this.child = spawn(
      'redis-server',
      [...args, '--save', '', '--appendonly', 'no', '--daemonize', 'no', '--maxmemory-policy', 'noeviction'],
      { stdio: 'ignore' },
    );
    this.exited = once(this.child, 'exit');
    const end = Date.now() + 20_000;
    while ((await this.command('PING').catch(() => '')) !== '+PONG') {
      if (Date.now() > end || this.child.exitCode !== null) {
        throw new Error('redis-server does not answer');
      }
      await new Promise((resolve) => {
        setTimeout(resolve, 10);
      });
    }
    return this;
  }

  command(...args) {
    return ask(this.port, args);
  }

  /** Writes the snapshot that the next start begins with. */
  async save() {
    const answer = await this.command('SAVE');
    if (answer !== '+OK') {
      throw new Error(`SAVE: ${answer}`);
    }
  }

  /** Keeps a copy of the snapshot, and puts it back. */
  keep() {
    return copyFile(path.join(this.dir, 'dump.rdb'), path.join(this.dir, 'kept.rdb'));
  }

  putBack() {
    return copyFile(path.join(this.dir, 'kept.rdb'), path.join(this.dir, 'dump.rdb'));
  }

  async #end(signal) {
    if (this.child !== null) {
      const { child } = this;
      child.kill(signal);
      this.child = null;
      await within(END_MS, this.exited, () => `redis-server did not end on ${signal}`).catch((error) => {
        child.kill('SIGKILL');
        throw error;
      });
    }
  }

  /** Without a snapshot: what was not saved is lost. */
  kill() {
    return this.#end('SIGKILL');
  }

  stop() {
    return this.#end('SIGTERM');
  }

  /** Answers nothing and closes nothing until go(). */
  freeze() {
    this.child.kill('SIGSTOP');
  }

  go() {
    this.child.kill('SIGCONT');
  }
}

/** A started Redis; `t.after` ends it and removes its folder. */
export async function startRedis(t) {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'tidegate-redis-'));
  const redis = new Redis(dir, await freePort());
  t.after(async () => {
    await redis.kill();
    await rm(dir, { recursive: true, force: true });
  });
  return redis.start();
}
