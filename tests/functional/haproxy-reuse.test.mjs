// HAProxy in front, its connections to the gateway shared by all clients: what one client does
// must never become another one's answer. And the PROXY protocol, as HAProxy speaks it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { inFrontOf, useGateway } from './lib/gateway.mjs';
import { Client, GET } from './lib/http1.mjs';
import { useLocalbase } from './lib/localbase.mjs';
import { openStream } from './lib/sse.mjs';
import { randomFrom, seedOf, TASKS, until, Writer } from './lib/streams.mjs';
import { openSocket } from './lib/ws.mjs';
import { freePort } from '../localbase/ports.mjs';

const CLIENTS = 8;
const ROUNDS = 60;
const stack = useLocalbase();

/** HAProxy before the gateway's port: `server` are words of its server line. Returns its port. */
async function startHaproxy(gatewayPort, server = '') {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'tidegate-haproxy-'));
  const file = path.join(dir, 'haproxy.cfg');
  const port = await freePort();
  writeFileSync(
    file,
    `global
  maxconn 500
defaults
  mode http
  timeout connect 5s
  timeout client 10s
  timeout server 10s
  timeout tunnel 60s
  http-reuse always
frontend public
  bind 127.0.0.1:${port}
  default_backend gateway
backend gateway
  server one 127.0.0.1:${gatewayPort} pool-max-conn 4 ${server}
`,
  );
  const child = spawn('haproxy', ['-db', '-f', file], { stdio: 'ignore' });
  const exited = once(child, 'exit');
  await until(
    () =>
      new Promise((resolve, reject) => {
        if (child.exitCode !== null) {
          reject(new Error('haproxy does not start'));
        }
        const socket = net.connect(port, '127.0.0.1');
        socket.on('connect', () => resolve(socket.destroy()));
        socket.on('error', () => resolve(false));
      }),
    'haproxy',
  );
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    stop: async () => {
      child.kill('SIGTERM');
      await exited;
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Registers start and stop; `gateway` is what useGateway() gave. */
function useHaproxy(gateway, server) {
  const haproxy = {};
  before(async () => {
    await until(() => gateway.port, 'the gateway');
    Object.assign(haproxy, await startHaproxy(gateway.port, server));
  });
  after(() => haproxy.stop?.());
  return haproxy;
}

describe('shared connections', () => {
  const gateway = useGateway(async () => {
    await stack.ready;
    return inFrontOf(stack, {
      server: { workers: 1, trusted_proxies: ['127.0.0.1'] },
      limits: { drop_bytes: '16k' },
      streams: { heartbeat: '1s' },
    });
  });
  const haproxy = useHaproxy(gateway);
  const key = () => `apikey: ${stack.anon_key}\r\n`;
  const connect = () => Client.to(haproxy.port);
  const echo = (tag, fields = '') =>
    GET(`/functions/v1/echo?tag=${tag}`, `${key()}X-Tag: ${tag}\r\n${fields}`);
  const post = (path, body, fields = '') =>
    `POST ${path} HTTP/1.1\r\nHost: a\r\n${key()}${fields}Content-Length: ${body.length}\r\n\r\n${body}`;

  function assertOwn(answer, tag) {
    assert.equal(answer.status, 200, answer.body.toString());
    const { target, raw_headers: raw } = JSON.parse(answer.body);
    assert.ok(target.endsWith(`tag=${tag}`), `${target} is the answer to ${tag}`);
    assert.equal(raw[raw.findIndex((name) => name.toLowerCase() === 'x-tag') + 1], tag);
  }

  // Each ends with the connection in step, or gone; true: it can be used again.
  const DEEDS = {
    echo: async (c, tag) => {
      assertOwn(await c.ask(echo(tag)), tag);
      return true;
    },
    body: async (c, tag) => {
      const answer = await c.ask(post(`/functions/v1/echo?tag=${tag}`, tag.repeat(500), `X-Tag: ${tag}\r\n`));
      assertOwn(answer, tag);
      assert.equal(JSON.parse(answer.body).body_bytes, tag.length * 500);
      return true;
    },
    chunks: async (c, tag) => {
      const hex = tag.length.toString(16);
      c.send(`POST /functions/v1/echo?tag=${tag} HTTP/1.1\r\nHost: a\r\n${key()}X-Tag: ${tag}\r\n`);
      const answer = await c.ask(`Transfer-Encoding: chunked\r\n\r\n${hex}\r\n${tag}\r\n0\r\n\r\n`);
      assertOwn(answer, tag);
      assert.equal(JSON.parse(answer.body).body, tag);
      return true;
    },
    pipeline: async (c, tag) => {
      c.send(echo(`${tag}a`) + echo(`${tag}b`) + echo(`${tag}c`));
      for (const end of ['a', 'b', 'c']) {
        assertOwn(await c.answer(), tag + end);
      }
      return true;
    },
    head: async (c, tag) => {
      const text = GET('/functions/v1/chunked', key()).replace('GET', 'HEAD');
      assert.equal((await c.ask(text, { bodyless: true })).status, 200);
      assertOwn(await c.ask(echo(tag)), tag);
      return true;
    },
    'not modified': async (c, tag) => {
      assert.equal((await c.ask(GET('/functions/v1/not-modified', key()))).status, 304);
      assert.equal((await c.ask(GET('/functions/v1/not-modified?length=7', key()))).status, 304);
      assertOwn(await c.ask(echo(tag)), tag);
      return true;
    },
    interim: async (c, tag) => {
      c.send(GET('/functions/v1/interim?kinds=102,103', key()));
      let head = await c.answer();
      while (head.status < 200) {
        head = await c.answer();
      }
      assert.equal(head.status, 200);
      assertOwn(await c.ask(echo(tag)), tag);
      return true;
    },
    early: async (c) => {
      c.send(`POST /functions/v1/early?status=413 HTTP/1.1\r\nHost: a\r\n${key()}Content-Length: 100000\r\n\r\n`);
      c.send('x'.repeat(1000));
      assert.equal((await c.answer()).status, 413);
      c.destroy();
      return false;
    },
    'aborted upload': async (c, tag) => {
      c.send(post('/functions/v1/echo', 'x'.repeat(20000)).slice(0, -15000));
      c.send(`GET /functions/v1/echo?tag=hidden-${tag} HTTP/1.1\r\nHost: a\r\n`);
      c.reset();
      return false;
    },
    'aborted answer': async (c) => {
      c.send(GET('/functions/v1/bytes/500000', key()));
      await c.head();
      c.reset();
      return false;
    },
    'aborted wait': async (c) => {
      c.send(GET('/functions/v1/wait?ms=50', key()));
      c.destroy();
      return false;
    },
    'half closed': async (c, tag) => {
      c.send(echo(tag)).halfClose();
      assertOwn(await c.answer(), tag);
      c.destroy();
      return false;
    },
    'broken chunks': async (c) => {
      c.send(`POST /functions/v1/echo HTTP/1.1\r\nHost: a\r\n${key()}Transfer-Encoding: chunked\r\n\r\n`);
      c.send('2\r\nabX\r\n');
      assert.ok([400, 502].includes((await c.answer()).status));
      c.destroy();
      return false;
    },
    'a body behind a stream': async (c, tag) => {
      const auth = `Authorization: Bearer ${stack.user1.token}\r\n`;
      const hidden = echo(`hidden-${tag}`);
      c.send(`GET /sync/v1/stream?topic=${TASKS} HTTP/1.1\r\nHost: a\r\n${auth}`);
      assert.equal((await c.ask(`Content-Length: ${hidden.length}\r\n\r\n${hidden}`)).status, 400);
      c.destroy();
      return false;
    },
    'upstream dies': async (c) => {
      c.send(GET('/functions/v1/die?after=10&of=100&mode=length', key()));
      const head = await c.head();
      const rest = await Promise.race([c.rest(), c.take(91).catch(() => Buffer.alloc(0))]);
      assert.ok(head.status === 502 || rest.length < 100, 'a cut answer looks cut');
      c.destroy();
      return false;
    },
    'not ours': async (c) => {
      assert.equal((await c.ask(GET('/nothing'))).status, 404);
      return true;
    },
    'dots': async (c) => {
      assert.equal((await c.ask(GET('/rest/v1/%2e%2e/x', key()))).status, 400);
      return true;
    },
  };

  for (const [name, deed] of Object.entries(DEEDS)) {
    test(`${name}, then another client`, async () => {
      const tag = `alone-${name.replaceAll(' ', '-')}`;
      const c = await connect();
      await deed(c, tag);
      c.destroy();
      const other = await connect();
      assertOwn(await other.ask(echo(`${tag}-other`)), `${tag}-other`);
      other.destroy();
    });
  }

  test('everybody at random: one request, one answer, the right one', { timeout: 120_000 }, async (t) => {
    const random = randomFrom(seedOf(t));
    const names = Object.keys(DEEDS);
    const one = async (id) => {
      let c = null;
      for (let round = 0; round < ROUNDS; round++) {
        const name = names[Math.floor(random() * names.length)];
        c ??= await connect();
        const goesOn = await DEEDS[name](c, `${id}x${round}`).catch((error) => {
          throw new Error(`${name}, client ${id}, round ${round}: ${error.message}`, { cause: error });
        });
        if (!goesOn || random() < 0.2) {
          c.destroy();
          c = null;
        }
      }
      c?.destroy();
    };
    await Promise.all(Array.from({ length: CLIENTS }, (_, id) => one(id)));
    const requests = await gateway.metric('tidegate_requests_total');
    const connections = await gateway.metric('tidegate_connections_total');
    assert.ok(connections * 2 < requests, `${connections} connections for ${requests} requests`);
    const seen = JSON.stringify(await stack.control.requests());
    assert.ok(!seen.includes('hidden-'), 'nothing inside a body was served');
  });

  test('a stream comes through at once, is kept open, and its end is seen on both sides', async () => {
    const s = await openStream(haproxy.url, { topics: TASKS, token: stack.user1.token });
    await s.take('hello');
    await (await Writer.to(stack)).tasks('through haproxy');
    await s.take('message', (e) => e.data.record.title === 'through haproxy');
    await s.events.takeMany(2, (e) => e.type === 'comment');
    s.kill();
    await until(async () => (await gateway.metric('tidegate_streams')) === 0, 'the end of the stream');
  });

  test('a WebSocket comes through both ways, with its pings and its close', async (t) => {
    const s = await openSocket(haproxy.url, { token: stack.user1.token });
    t.after(() => s.kill());
    await s.tell('subscribe', { topic: TASKS });
    await (await Writer.to(stack)).tasks('both ways');
    await s.take('message', (e) => e.data.record.title === 'both ways');
    await until(() => s.pings >= 2, 'pings');
    assert.deepEqual(await s.close(1000, 'enough'), { code: 1000, reason: '' });
    await until(async () => (await gateway.metric('tidegate_streams')) === 0, 'the end of the socket');
  });
});

for (const version of ['send-proxy', 'send-proxy-v2']) {
  describe(`the PROXY protocol, ${version}`, () => {
    const gateway = useGateway(async () => {
      await stack.ready;
      return inFrontOf(stack, {
        server: { workers: 1, proxy_protocol: true, trusted_proxies: ['127.0.0.1'] },
      });
    });
    const haproxy = useHaproxy(gateway, version);

    test('tells upstream and the log who the client is', async () => {
      const socket = net.connect({ port: haproxy.port, host: '127.0.0.1', localAddress: '127.0.0.9' });
      const client = new Client(socket);
      await once(socket, 'connect');
      const asked = GET('/functions/v1/echo', `apikey: ${stack.anon_key}\r\n`);
      const { raw_headers: raw } = JSON.parse((await client.ask(asked)).body);
      const at = raw.findIndex((name) => name.toLowerCase() === 'x-forwarded-for');
      assert.match(raw[at + 1] ?? 'none', /^127\.0\.0\.9$/);
      const { status, get } = await client.ask(GET('/nothing'));
      assert.equal(status, 404);
      const line = await gateway.log.take((l) => l.req === get('x-request-id'));
      assert.equal(line.peer, '127.0.0.9');
      client.destroy();
    });

    test('a connection without the header is refused', async () => {
      const client = await Client.to(gateway.port);
      client.send(GET('/functions/v1/echo'));
      const bytes = (await client.rest()).toString();
      assert.ok(bytes === '' || bytes.startsWith('HTTP/1.1 400 '), bytes);
    });
  });
}

describe('the PROXY protocol from somebody who is not trusted', () => {
  const gateway = useGateway(async () => {
    await stack.ready;
    return inFrontOf(stack, {
      server: { workers: 1, proxy_protocol: true, trusted_proxies: ['10.0.0.0/8'] },
    });
  });

  test('is no request', async () => {
    const client = await Client.to(gateway.port);
    client.send(`PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n${GET('/functions/v1/echo')}`);
    assert.equal((await client.answer()).status, 400);
    await client.end();
  });

  test('and without it requests are served', async () => {
    const client = await Client.to(gateway.port);
    const answer = await client.ask(GET('/functions/v1/echo', `apikey: ${stack.anon_key}\r\n`));
    assert.equal(answer.status, 200);
    client.destroy();
  });
});
