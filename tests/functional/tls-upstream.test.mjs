// The local stack behind TLS: requests, the tunnel and the Realtime link, with certificates that
// are trusted and with those that are not.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import net from 'node:net';
import tls from 'node:tls';
import { after, before, describe, test } from 'node:test';
import { inFrontOf, useGateway } from './lib/gateway.mjs';
import { createCaller, useLocalbase } from './lib/localbase.mjs';
import { openStream } from './lib/sse.mjs';
import { client, listen } from './lib/supabase.mjs';
import { TASKS, until, Writer } from './lib/streams.mjs';
import { cert, certFile, key } from './lib/tls.mjs';
import { freePort } from '../localbase/ports.mjs';

const stack = useLocalbase();
const ca = certFile();
const sockets = new Set();
const firstBytes = []; // of every connection

function keep(socket) {
  sockets.add(socket);
  socket.on('error', () => {});
  socket.on('close', () => sockets.delete(socket));
  return socket;
}

// Ends TLS in front of the stack. What comes is looked at before it is believed to be TLS.
const terminator = tls.createServer({ key, cert, ALPNProtocols: ['http/1.1'] }, (caller) => {
  keep(caller);
  const server = keep(net.connect(new URL(stack.url).port, '127.0.0.1'));
  caller.pipe(server).pipe(caller);
  caller.on('close', () => server.destroy());
  server.on('close', () => caller.destroy());
});
terminator.on('tlsClientError', () => {});
const front = net.createServer((socket) => {
  keep(socket).once('data', (bytes) => {
    firstBytes.push(bytes[0]);
    socket.pause();
    socket.unshift(bytes);
    terminator.emit('connection', socket);
  });
});
const listening = once(front.listen(0, '127.0.0.1'), 'listening');
before(() => listening);
after(() => {
  sockets.forEach((socket) => socket.destroy());
  front.close();
  ca.remove();
});

async function behindTls(host, supabase) {
  await Promise.all([stack.ready, listening]);
  const at = `${host}:${front.address().port}`;
  return inFrontOf(stack, {
    server: { workers: 1 },
    streams: { ready_wait: '300ms' },
    supabase: {
      url: `https://${at}`,
      realtime_url: `wss://${at}/realtime/v1/websocket`,
      ...supabase,
    },
  });
}

describe('with the certificate of a known authority', () => {
  const gateway = useGateway(() => behindTls('localhost', { ca_file: ca.file }));
  const call = createCaller(
    () => gateway.url,
    () => stack.anon_key,
  );

  test('REST answers as without TLS', async () => {
    const rows = await call('GET', '/rest/v1/tasks?select=id', { token: stack.user1.token });
    const direct = await fetch(`${stack.url}/rest/v1/tasks?select=id`, {
      headers: { apikey: stack.anon_key, authorization: `Bearer ${stack.user1.token}` },
    });
    assert.deepEqual([rows.status, rows.text], [200, await direct.text()]);
  });

  test('storage takes and gives megabytes', async () => {
    const bytes = Buffer.alloc(3_000_000, 'a file ');
    const service = client({ url: gateway.url, anon_key: stack.service_key });
    const { data: buckets } = await service.storage.listBuckets();
    const admin = service.storage.from(buckets[0].name);
    const { error } = await admin.upload(`tls/${process.pid}.bin`, bytes);
    assert.equal(error, null);
    const { data } = await admin.download(`tls/${process.pid}.bin`);
    assert.ok(bytes.equals(Buffer.from(await data.arrayBuffer())));
  });

  test('supabase-js hears of a row through the tunnel', async (t) => {
    const user = client({ url: gateway.url, anon_key: stack.anon_key }, stack.user1.token);
    t.after(() => user.removeAllChannels());
    const changes = [{ event: 'INSERT', schema: 'public', table: 'tasks' }];
    const { inbox } = await listen(user, 'tls', { changes });
    await (await Writer.to(stack)).tasks('through the tunnel');
    await inbox.take((item) => item.change?.new.title === 'through the tunnel');
  });

  test('a stream hears of a row over the link', async (t) => {
    const s = await openStream(gateway.url, { topics: TASKS, token: stack.user1.token });
    t.after(() => s.kill());
    const hello = await s.take('hello');
    if (hello.data.topics[0].state !== 'ready') {
      await s.take('status', (e) => e.data.state === 'ready');
    }
    await (await Writer.to(stack)).tasks('over the link');
    await s.take('message', (e) => e.data.record.title === 'over the link');
    assert.equal(await gateway.metric('tidegate_upstream_online'), 1);
  });

  test('nothing was sent in clear', () => {
    assert.ok(firstBytes.length >= 3);
    assert.ok(firstBytes.every((byte) => byte === 0x16));
  });
});

for (const [name, host, supabase] of [
  ['that nobody vouches for', 'localhost', () => ({})],
  ['for another host', '127.0.0.1', () => ({ ca_file: ca.file })],
]) {
  describe(`with a certificate ${name}`, () => {
    const gateway = useGateway(() => behindTls(host, supabase()));

    test('requests get 502, the link stays offline and says so, nothing is sent', async (t) => {
      const from = firstBytes.length;
      for (let i = 0; i < 3; i++) {
        const answer = await fetch(`${gateway.url}/rest/v1/tasks`, { headers: { apikey: stack.anon_key } });
        assert.equal(answer.status, 502);
        const error = await answer.json();
        assert.equal(error.code, 'TG602');
        assert.ok(answer.headers.get('x-request-id'));
      }
      const s = await openStream(gateway.url, { topics: TASKS, token: stack.user1.token });
      t.after(() => s.kill());
      const hello = await s.take('hello');
      assert.notEqual(hello.data.topics[0].state, 'ready');
      // Where localhost has two addresses, every second attempt finds nobody.
      const isRefused = (l) =>
        l.event === 'upstream_error' && /certificate|verif|host ?name|TLS|SSL/i.test(l.message);
      const line = await gateway.log.take(isRefused);
      assert.equal(line.level, 'warn');
      assert.equal(await gateway.metric('tidegate_upstream_online'), 0);
      assert.equal(await gateway.metric('tidegate_feeds_live'), 0);
      const failed = gateway.log.items.filter(isRefused).length;
      const attempts = firstBytes.length - from;
      assert.ok(failed <= attempts, `${failed} lines of ${attempts} attempts`);
      assert.ok(firstBytes.every((byte) => byte === 0x16));
      assert.ok(!gateway.lines().includes(stack.anon_key));
    });
  });
}

describe('behind nginx, over HTTP/2', () => {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'tidegate-nginx-'));
  const at = (name) => path.join(dir, name);
  const sum = (bytes) => createHash('sha256').update(bytes).digest('hex');
  let nginx = null;

  async function startNginx() {
    await stack.ready;
    const port = await freePort();
    writeFileSync(at('key.pem'), key);
    writeFileSync(at('cert.pem'), cert);
    writeFileSync(
      at('nginx.conf'),
      `daemon off; master_process off; pid ${at('pid')}; error_log ${at('error.log')};
events {}
http {
  log_format versions '$server_protocol';
  access_log ${at('access.log')} versions;
  client_body_temp_path ${at('body')}; proxy_temp_path ${at('proxy')};
  fastcgi_temp_path ${at('f')}; uwsgi_temp_path ${at('u')}; scgi_temp_path ${at('s')};
  client_max_body_size 0;
  server {
    listen 127.0.0.1:${port} ssl http2;
    ssl_certificate ${at('cert.pem')}; ssl_certificate_key ${at('key.pem')};
    location / { proxy_pass ${stack.url}; proxy_http_version 1.1; proxy_set_header Host $http_host; }
  }
}
`,
    );
    nginx = spawn('nginx', ['-p', dir, '-e', at('error.log'), '-c', at('nginx.conf')], { stdio: 'ignore' });
    await until(
      () =>
        new Promise((resolve) => {
          const socket = net.connect(port, '127.0.0.1');
          socket.on('connect', () => {
            socket.destroy();
            resolve(true);
          });
          socket.on('error', () => resolve(false));
        }),
      'nginx',
    );
    return `https://localhost:${port}`;
  }

  const gateway = useGateway(async () => {
    const url = await startNginx();
    return inFrontOf(stack, {
      server: { workers: 1 },
      upstream: { http2: true },
      supabase: { url, ca_file: ca.file },
    });
  });
  after(async () => {
    if (nginx !== null) {
      nginx.kill('SIGTERM');
      await once(nginx, 'exit');
    }
    rmSync(dir, { recursive: true, force: true });
  });

  test('many at once, bytes as they were', async () => {
    const headers = { apikey: stack.anon_key };
    const direct = await fetch(`${stack.url}/functions/v1/bytes/300000`, { headers });
    const wanted = sum(Buffer.from(await direct.arrayBuffer()));
    const down = Array.from({ length: 20 }, async () => {
      const answer = await fetch(`${gateway.url}/functions/v1/bytes/300000`, { headers });
      assert.equal(answer.status, 200);
      assert.equal(sum(Buffer.from(await answer.arrayBuffer())), wanted);
    });
    const up = Array.from({ length: 20 }, async (_, i) => {
      const body = Buffer.alloc(100_000 + i, `body ${i} `);
      const url = `${gateway.url}/functions/v1/echo?n=${i}`;
      const answer = await (await fetch(url, { method: 'POST', headers, body })).json();
      assert.deepEqual([answer.body_bytes, answer.body_sha256], [body.length, sum(body)]);
      assert.ok(answer.target.endsWith(`?n=${i}`));
    });
    await Promise.all([...down, ...up]);
    await until(() => readFileSync(at('access.log'), 'utf8').split('\n').length > 40, 'the log');
    const versions = readFileSync(at('access.log'), 'utf8').trim().split('\n');
    assert.ok(versions.every((version) => version === 'HTTP/2.0'), [...new Set(versions)].join());
  });
});
