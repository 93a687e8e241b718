// What the operator sees: health, metrics, status, logs without secrets, reload and drain.
//
// also under tsan: the operator's port reads what the workers write; reload and drain.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { describe, test } from 'node:test';
import { inFrontOf, readLog, startGateway, useGateway } from './lib/gateway.mjs';
import { Client, GET } from './lib/http1.mjs';
import { createCaller, useLocalbase } from './lib/localbase.mjs';
import { startRedis } from './lib/redis.mjs';
import { openStream } from './lib/sse.mjs';
import { until } from './lib/streams.mjs';

const stack = useLocalbase();
const gateway = useGateway(async () => {
  await stack.ready;
  return inFrontOf(stack, { server: { workers: 2 } });
});
const call = createCaller(
  () => gateway.url,
  () => stack.anon_key,
);

/** A gateway of one test; ended there, or by `t.after`. */
async function start(t, more, options) {
  const own = await startGateway(inFrontOf(stack, more), options);
  t.after(() => own.kill());
  return own;
}

const read = async (url, init) => {
  const response = await fetch(url, init);
  return { status: response.status, headers: response.headers, text: await response.text() };
};

test('its table of descriptors is as large from the start as its clients may need', async (t) => {
  const own = await start(t, { server: { max_connections: 3000 } });
  const size = Number(/^FDSize:\s+(\d+)/m.exec(readFileSync(`/proc/${own.pid}/status`, 'utf8'))[1]);
  assert.ok(size >= 3000, `${size}`);
});

describe('the admin port', () => {
  test('/healthz and /readyz are plain words that nobody may keep', async () => {
    for (const [path, text] of [['/healthz', 'ok\n'], ['/readyz', 'ready\n']]) {
      const got = await read(gateway.adminUrl + path);
      assert.deepEqual([got.status, got.text], [200, text]);
      assert.equal(got.headers.get('cache-control'), 'no-store');
      const head = await read(gateway.adminUrl + path, { method: 'HEAD' });
      assert.deepEqual([head.status, head.text], [200, '']);
    }
  });

  test('serves nothing else, and only GET and HEAD', async () => {
    const none = await read(`${gateway.adminUrl}/rest/v1/tasks`);
    assert.equal(none.status, 404);
    assert.equal(JSON.parse(none.text).code, 'TG440');
    const post = await read(`${gateway.adminUrl}/metrics`, { method: 'POST', body: 'x' });
    assert.equal(post.status, 405);
    assert.equal(post.headers.get('allow'), 'GET, HEAD');
  });

  test('the public port serves none of it', async () => {
    for (const path of ['/healthz', '/readyz', '/metrics', '/status']) {
      assert.equal((await read(gateway.url + path)).status, 404, path);
    }
  });

  test('/metrics is Prometheus text, every name with its help and type', async () => {
    const { status, text, headers } = await read(`${gateway.adminUrl}/metrics`);
    assert.equal(status, 200);
    assert.match(headers.get('content-type'), /^text\/plain; version=0\.0\.4/);
    assert.ok(text.endsWith('\n'));
    const known = new Map();
    const samples = new Set();
    let name = null;
    for (const line of text.slice(0, -1).split('\n')) {
      const help = /^# HELP (\S+) (\S.*)$/.exec(line);
      const type = /^# TYPE (\S+) (counter|gauge)$/.exec(line);
      const sample = /^([a-zA-Z_:][\w:]*)(\{\w+="[^"\\]*"(?:,\w+="[^"\\]*")*\})? (\d+(?:\.\d+)?)$/.exec(line);
      if (help) {
        assert.ok(!known.has(help[1]), `${help[1]} comes twice`);
        name = help[1];
        known.set(name, { help: help[2] });
      } else if (type) {
        assert.equal(type[1], name);
        known.get(name).type = type[2];
      } else {
        assert.ok(sample, `not Prometheus text: ${line}`);
        assert.equal(sample[1], name, 'samples stand under their name');
        assert.ok(!samples.has(line.split(' ')[0]), `${line} comes twice`);
        samples.add(line.split(' ')[0]);
      }
    }
    for (const [metric, { type, help }] of known) {
      assert.match(metric, /^tidegate_/);
      assert.ok(type && help.length > 5, metric);
      assert.equal(type === 'counter', metric.endsWith('_total'), metric);
    }
    assert.ok(known.size > 40);
    assert.ok(samples.has('tidegate_requests_total{worker="1"}'));
  });

  test('counters go on with what happens', async () => {
    const requests = await gateway.metric('tidegate_requests_total');
    const refused = await gateway.metric('tidegate_refused_total');
    await read(`${gateway.url}/nothing/here`);
    assert.equal(await gateway.metric('tidegate_requests_total'), requests + 1);
    assert.equal(await gateway.metric('tidegate_refused_total'), refused + 1);
  });

  test('/status is JSON', async () => {
    const { status, text, headers } = await read(`${gateway.adminUrl}/status`);
    assert.equal(status, 200);
    assert.match(headers.get('content-type'), /^application\/json/);
    const { version, uptime_seconds: uptime, ready, reason, gateway: own } = JSON.parse(text);
    assert.match(version, /^\d+\.\d+\.\d+/);
    assert.ok(Number.isInteger(uptime));
    assert.deepEqual([ready, reason], [true, null]);
    assert.equal(own.clients.workers, 2);
    assert.deepEqual(own.store, { up: 1, backend: 'memory' });
    assert.ok(Number.isInteger(own.realtime.feeds));
  });

  test('/readyz says 503 and why while the store is down; proxying goes on', async (t) => {
    const redis = await startRedis(t);
    const own = await start(t, { store: { url: redis.url, timeout: '500ms' } });
    await redis.kill();
    const down = await until(async () => {
      const got = await read(`${own.adminUrl}/readyz`);
      return got.status === 503 && got;
    }, 'a 503');
    assert.equal(down.text, 'not ready: the store cannot be reached\n');
    const told = JSON.parse((await read(`${own.adminUrl}/status`)).text);
    assert.deepEqual([told.ready, told.reason], [false, 'the store cannot be reached']);
    assert.equal(await own.metric('tidegate_ready'), 0);
    assert.equal(await own.metric('tidegate_store_up'), 0);
    assert.equal((await read(`${own.adminUrl}/healthz`)).status, 200);
    const proxied = await read(`${own.url}/functions/v1/hello`, {
      method: 'POST', body: '{"name":"you"}', headers: { apikey: stack.anon_key, 'content-type': 'application/json' },
    });
    assert.deepEqual([proxied.status, proxied.text], [200, '{"message":"Hello you!"}']);
    await redis.start();
    await until(async () => (await read(`${own.adminUrl}/readyz`)).status === 200, 'ready again');
    assert.equal(await own.stop(), 0);
  });
});

describe('logs', () => {
  test('are logfmt, a line each, and hold the request ids that clients got', async () => {
    const answers = [
      await call('GET', '/rest/v1/tasks?select=id', { token: stack.user1.token }),
      await call('GET', '/nothing/here'),
      await call('GET', '/sync/v1/stream?topic=x%0Aforged=1', { token: stack.user1.token }),
      await call('GET', '/functions/v1/status/500?reason=a%20b'),
    ];
    for (const { headers, status } of answers) {
      const id = headers.get('x-request-id');
      assert.ok(id, `an id with status ${status}`);
      await gateway.log.take((line) => line.req === id, { what: `a line of ${id}` });
    }
    const lines = gateway.lines().split('\n');
    assert.ok(lines.length > 10);
    for (const line of lines) {
      assert.match(line, /^ts=\S+ level=(debug|info|warn|error) event=\w+( [a-z_]+=("([^"\\]|\\.)*"|[^\s"=]*))*$/);
      assert.ok(line.length < 4096);
      const { event, req } = readLog(line);
      assert.ok(!['request', 'refused'].includes(event) || req, line);
      assert.equal(readLog(line).forged, undefined);
    }
  });

  test('hold no token, key, e-mail address or payload, at debug level', async () => {
    const email = 'some.body+tag@private.example';
    const password = 'password-in-clear-1';
    const payload = 'payload-in-clear-2';
    const jar = { cookie: 'session=cookie-in-clear-3', 'x-client-info': 'supabase-js/2' };
    const signup = await call('POST', '/auth/v1/signup', { body: { email, password }, headers: jar });
    assert.equal(signup.status, 200, signup.text);
    const { access_token: token, refresh_token: refresh } = signup.json;
    await call('POST', '/auth/v1/token?grant_type=password', { body: { email, password } });
    await call('POST', '/auth/v1/token?grant_type=password', { body: { email, password: 'wrong' } });
    await call('POST', '/auth/v1/token?grant_type=refresh_token', { body: { refresh_token: refresh } });
    await call('GET', `/auth/v1/verify?token=otp-in-clear-4&type=signup&email=${email}`);
    await call('GET', `/rest/v1/tasks?title=eq.${payload}&apikey=${stack.anon_key}`, { key: null, token });
    await call('POST', '/rest/v1/tasks', { token, body: { trip_id: stack.trip1_id, title: payload } });
    await call('GET', '/rest/v1/tasks', { token: `${token}x` });
    await call('GET', '/rest/v1/tasks', { key: 'sb_secret_in-clear-5', token });
    await call('POST', `/storage/v1/object/avatars/${email}/a.txt`, { token, body: payload });
    await call('GET', `/storage/v1/object/avatars/${encodeURIComponent(email)}/a.txt`, { token });
    await call('POST', '/functions/v1/hello', { token, body: { name: payload } });
    await call('GET', `/${email}`, { token });
    await call('GET', `/rest/v1/..%2f${payload}`, { token });
    await call('GET', '/sync/v1/stream?topic=table:public.tasks', { token: 'aaaa.bbbb-in-clear-6.cccc' });
    for (const value of [email, payload]) {
      const topics = `table:public.tasks:title=eq.${value}`;
      const stream = await openStream(gateway.url, { topics, token: stack.user1.token });
      await stream.take('hello');
      stream.kill();
      await openStream(gateway.url, { topics: `${topics}:${value}`, token }).then((s) => s.kill(), () => {});
      await openStream(gateway.url, { topics, token, params: { cursor: value } }).then((s) => s.kill(), () => {});
    }
    const refused = { topics: `table:public.tasks:id=eq.${payload}`, token: stack.user1.token };
    const stream = await openStream(gateway.url, refused).catch(() => null);
    await stream?.take('revoked').catch(() => {});
    stream?.kill();
    const socket = net.connect(gateway.port, '127.0.0.1');
    socket.write(`GET /rest/v1/x HTTP/1.1\r\nHost: a\r\nAuthorization : Bearer ${token}\r\n\r\n`);
    socket.resume();
    await once(socket, 'close');
    await call('GET', '/the/end');
    await gateway.log.take((line) => line.event === 'refused' && line.status === '404');

    const log = gateway.lines();
    const secrets = [
      token, token.split('.')[2], refresh, stack.anon_key, stack.service_key, stack.jwt_secret,
      stack.user1.token, stack.user1.token.split('.')[1], email, encodeURIComponent(email),
      'private.example', 'in-clear', password, payload, 'Bearer',
    ];
    for (const secret of secrets) {
      const line = log.split('\n').find((l) => l.includes(secret));
      assert.equal(line, undefined, `${secret} stands in the log: ${line}`);
    }
  });

  test('SIGHUP changes log.level, and a file that cannot be read changes nothing', async (t) => {
    const config = inFrontOf(stack, { log: { level: 'info' } });
    const own = await start(t, { log: { level: 'info' } });
    await read(`${own.url}/nothing`);
    own.configure({ ...config, log: { level: 'debug' }, server: { workers: 7 } });
    own.signal('SIGHUP');
    await own.log.take((line) => line.event === 'reloaded');
    assert.ok(!own.log.items.some((line) => line.level === 'debug'), 'no debug line at info');
    const changed = own.log.items.filter((line) => line.event === 'config_changed');
    assert.ok(changed.some((line) => line.key === 'log.level' && line.effect === 'now'));
    assert.ok(changed.some((line) => line.key === 'server.workers' && line.effect === 'after a restart'));
    await read(`${own.url}/nothing`);
    await own.log.take((line) => line.event === 'refused' && line.level === 'debug');

    own.configure({ ...config, log: { level: 'loud' } });
    own.signal('SIGHUP');
    const failed = await own.log.take((line) => line.event === 'reload_failed');
    assert.match(failed.errors, /log\.level: "loud" is not allowed/);
    const from = own.log.size;
    await read(`${own.url}/nothing`);
    await own.log.take((line) => line.event === 'refused', { from });
    assert.equal(await own.stop(), 0);
  });
});

describe('SIGTERM', () => {
  const key = () => ({ apikey: stack.anon_key });

  /** A request that hangs upstream until release(). */
  async function hold(own, agent) {
    const fault = await stack.control.fault({ path: '/functions/v1/hello', hold: true });
    const answered = new Promise((resolve, reject) => {
      const request = http.request(`${own.url}/functions/v1/hello`, { method: 'POST', agent, headers: key() });
      request.on('error', reject);
      request.on('response', (response) => {
        let text = '';
        response.on('data', (data) => {
          text += data;
        });
        response.on('error', reject);
        response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, text }));
      });
      request.end('{"name":"slow"}');
    });
    answered.catch(() => {});
    await stack.control.held(fault);
    return { answered, release: () => stack.control.release(fault) };
  }

  test('lets running requests finish, ends the rest, refuses new ones, exits with 0', async (t) => {
    const own = await start(t, { server: { drain_timeout: '20s', workers: 2 } });
    const agent = new http.Agent({ keepAlive: true });
    t.after(() => agent.destroy());
    const idle = await Client.to(own.port);
    assert.equal((await idle.ask(GET('/nothing'))).status, 404);
    const slow = await hold(own, agent);

    own.signal('SIGTERM');
    await own.log.take((line) => line.event === 'drain');
    await idle.end();
    const draining = await read(`${own.adminUrl}/readyz`);
    assert.deepEqual([draining.status, draining.text], [503, 'not ready: draining\n']);
    await until(async () => {
      const socket = net.connect(own.port, '127.0.0.1');
      const [event] = await Promise.race([
        once(socket, 'connect').then(() => ['connect']),
        once(socket, 'error').then(() => ['error'], () => ['error']),
      ]).catch(() => ['error']);
      socket.destroy();
      return event === 'error';
    }, 'a refused connection');
    // One worker has ended by now, the other has not: its counters are still there to be read.
    await own.log.take((line) => line.event === 'drained');
    assert.ok((await own.metric('tidegate_requests_total')) >= 2);
    assert.ok((await own.metric('tidegate_upstream_calls_total')) >= 1);
    own.signal('SIGTERM');
    own.signal('SIGINT');
    await slow.release();
    const answer = await slow.answered;
    assert.deepEqual([answer.status, answer.headers.connection], [200, 'close']);
    assert.match(answer.text, /Hello/);
    assert.equal(await own.exited, 0);
    const cuts = own.log.items.filter((line) => line.event === 'drained').map((line) => line.cut);
    assert.deepEqual(cuts, ['0', '0']);
    assert.equal(own.log.items.at(-2).event, 'stop');
  });

  test('cuts what is not over by drain_timeout, and still exits with 0', async (t) => {
    const own = await start(t, { server: { drain_timeout: '300ms', workers: 1 } });
    const slow = await hold(own);
    const began = process.hrtime.bigint();
    own.signal('SIGTERM');
    await assert.rejects(slow.answered);
    assert.equal(await own.exited, 0);
    const ms = Number((process.hrtime.bigint() - began) / 1_000_000n);
    assert.ok(ms >= 290 && ms < 10_000, `${ms} ms`);
    assert.ok(own.log.items.some((line) => line.event === 'drained' && line.cut === '1'));
    await slow.release();
  });

  test('tells streams goodbye', async (t) => {
    const own = await start(t, { server: { drain_timeout: '5s', workers: 1 } });
    const s = await openStream(own.url, { topics: 'table:public.tasks', token: stack.user1.token });
    await s.take('hello');
    own.signal('SIGTERM');
    await s.take('bye');
    await s.ended;
    assert.equal(await own.exited, 0);
  });
});
