// A bare client for lib/http1's test server: bytes out, answers in, and how the connection ended.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** The test server of the build under test, else that of the preset dev. */
function binary() {
  const places = [
    process.env.TG_HTTP1_SERVER,
    process.env.TIDEGATE_BIN && path.join(path.dirname(process.env.TIDEGATE_BIN), 'tests/http1_server'),
    path.join(ROOT, 'build/dev/tests/http1_server'),
  ];
  const found = places.find((place) => place && existsSync(place));
  assert.ok(found, 'http1_server is not built');
  return found;
}

/** Starts the server; `t.after` ends it, and its exit status is looked at. */
export async function startServer(t, settings = {}) {
  const args = Object.entries(settings).map(([name, value]) => `${name}=${value}`);
  const child = spawn(binary(), args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  const server = { port: Number(line.split(' ')[1]), child, exited };

  server.connect = () => Client.to(server.port);
  server.stats = async () => {
    const client = await server.connect();
    const { body } = await client.ask('GET /stats HTTP/1.1\r\nHost: a\r\n\r\n');
    client.destroy();
    return JSON.parse(body.toString());
  };
  /** Asks for the stats until `holds(stats)`; what on_gone said is added up. */
  server.until = async (holds) => {
    const gone = [];
    for (;;) {
      const stats = await server.stats();
      gone.push(...stats.gone);
      if (holds({ ...stats, gone })) {
        return { ...stats, gone };
      }
    }
  };
  t.after(async () => {
    child.kill('SIGTERM');
    const [code] = await exited;
    assert.equal(code, 0, 'the server ended well');
  });
  return server;
}

export class Client {
  static async to(port) {
    const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
    const client = new Client(socket);
    await once(socket, 'connect');
    return client;
  }

  constructor(socket) {
    this.socket = socket;
    this.bytes = Buffer.alloc(0);
    this.ended = false;
    this.error = null;
    this.wake = () => {};
    socket.on('data', (data) => {
      this.bytes = Buffer.concat([this.bytes, data]);
      this.wake();
    });
    socket.on('end', () => {
      this.ended = true;
      this.wake();
    });
    socket.on('error', (error) => {
      this.error = error;
      this.wake();
    });
    socket.on('close', () => {
      this.ended = true;
      this.wake();
    });
  }

  send(...pieces) {
    for (const piece of pieces) {
      this.socket.write(piece);
    }
    return this;
  }

  change() {
    return new Promise((resolve) => {
      this.wake = resolve;
    });
  }

  /** The first `n` bytes, which are taken away; fails when the end comes first. */
  async take(n) {
    while (this.bytes.length < n) {
      assert.ok(!this.ended && !this.error, `ended early: ${this.error} ${this.bytes}`);
      await this.change();
    }
    const taken = this.bytes.subarray(0, n);
    this.bytes = this.bytes.subarray(n);
    return taken;
  }

  async takeThrough(mark) {
    let at;
    while ((at = this.bytes.indexOf(mark)) === -1) {
      assert.ok(!this.ended && !this.error, `ended early: ${this.error} ${this.bytes}`);
      await this.change();
    }
    return (await this.take(at + mark.length)).toString('latin1');
  }

  /** Head of the next answer, interim ones included. */
  async head() {
    const lines = (await this.takeThrough('\r\n\r\n')).slice(0, -4).split('\r\n');
    const [, version, status, reason] = /^HTTP\/(\d\.\d) (\d{3}) (.*)$/.exec(lines[0]);
    const fields = lines.slice(1).map((line) => line.split(/: ?(.*)/s).slice(0, 2));
    const get = (name) => fields.find(([n]) => n.toLowerCase() === name)?.[1];
    return { version, status: Number(status), reason, fields, get };
  }

  /** Next answer, whole. `bodyless`: it answers a HEAD. */
  async answer({ bodyless = false } = {}) {
    const head = await this.head();
    let body = Buffer.alloc(0);
    if (bodyless || head.status < 200 || head.status === 204 || head.status === 304) {
      return { ...head, body };
    }
    if (head.get('transfer-encoding') === 'chunked') {
      for (;;) {
        const size = parseInt(await this.takeThrough('\r\n'), 16);
        body = Buffer.concat([body, await this.take(size)]);
        assert.equal((await this.take(2)).toString(), '\r\n');
        if (size === 0) {
          return { ...head, body };
        }
      }
    }
    if (head.get('content-length') !== undefined) {
      body = await this.take(Number(head.get('content-length')));
    } else {
      body = await this.rest();
    }
    return { ...head, body };
  }

  ask(text, options) {
    this.send(text);
    return this.answer(options);
  }

  /** Everything up to the end. */
  async rest() {
    while (!this.ended && !this.error) {
      await this.change();
    }
    const rest = this.bytes;
    this.bytes = Buffer.alloc(0);
    return rest;
  }

  /** The server ends the connection: cleanly, and without a byte more. */
  async end() {
    const rest = await this.rest();
    assert.equal(this.error, null);
    assert.equal(rest.toString('latin1'), '');
    this.socket.destroy();
  }

  halfClose() {
    this.socket.end();
    return this;
  }

  reset() {
    this.socket.resetAndDestroy();
  }

  destroy() {
    this.socket.destroy();
  }
}

export const GET = (target, fields = '') => `GET ${target} HTTP/1.1\r\nHost: a\r\n${fields}\r\n`;
export const POST = (target, body, fields = '') =>
  `POST ${target} HTTP/1.1\r\nHost: a\r\n${fields}Content-Length: ${body.length}\r\n\r\n${body}`;
