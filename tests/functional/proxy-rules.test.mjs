// What the proxy alters and what it leaves alone, byte by byte (DESIGN 5.2).
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { describe, test } from 'node:test';
import { startGateway, useGateway } from './lib/gateway.mjs';
import { Client } from './lib/http1.mjs';
import { answerWith, OK, useUpstream } from './lib/raw-upstream.mjs';

const ANON = 'sb_publishable_test';
const SECRET = 'sb_secret_test';
const upstream = useUpstream();
const settings = async (more = {}) => {
  await upstream.ready;
  return {
    ...more,
    upstream: { breaker_failures: 0, retry_budget: 0, ...more.upstream },
    supabase: { url: upstream.url, anon_key: ANON, jwt_secret: 'not a secret at all', ...more.supabase },
  };
};
const gateway = useGateway(settings);

const request = (line, ...fields) =>
  `${line} HTTP/1.1\r\n${['Host: gw.test', ...fields].join('\r\n')}\r\n\r\n`;

async function ask(text, { port = gateway.port, bodyless = false } = {}) {
  const client = await Client.to(port);
  const answer = await client.ask(text, { bodyless });
  client.destroy();
  return answer;
}

/** Sends, and returns what upstream saw beside the answer. */
async function pass(text, options) {
  upstream.forget();
  const [answer, seen] = await Promise.all([ask(text, options), upstream.next()]);
  return { answer, seen };
}

async function refused(text, status, code) {
  const before = upstream.requests.size;
  const answer = await ask(text);
  assert.equal(answer.status, status);
  const body = JSON.parse(answer.body);
  assert.equal(body.code, code);
  assert.equal(upstream.requests.size, before, 'upstream saw nothing');
  return answer;
}

describe('targets', () => {
  const raw = [
    '/rest/v1/tasks?a=gt.1&a=lt.5&or=(b.eq.1,c.in.("x",%22y%22))&d=a+b%2B',
    '/rest/v1/x@evil.example/y',
    '/storage/v1/object/b/a%2520b/%C3%A9//c',
    '/functions/v1/f?&&=&a',
    '/storage/v1/object/b/./x/../y',
    '/graphql/v1',
    "/rest/v1/t?q='*!;:$,~_-.[]{}|^`",
    '/auth/v1/authorize?redirect_to=http://a/b/../c',
  ];
  for (const target of raw) {
    test(`${target} goes upstream as it is`, async () => {
      const { seen } = await pass(request(`GET ${target}`));
      assert.equal(seen.target, target);
    });
  }
  test('every method passes', async () => {
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
      const { seen } = await pass(request(`${method} /rest/v1/t`));
      assert.equal(seen.method, method);
    }
    const { seen, answer } = await pass(request('HEAD /rest/v1/t'), { bodyless: true });
    assert.equal(seen.method, 'HEAD');
    assert.equal(answer.get('content-length'), '2');
  });
  test('@host in a target never chooses the host', async () => {
    const { seen } = await pass(request('GET /rest/v1/@127.0.0.1:1/x'));
    assert.equal(seen.target, '/rest/v1/@127.0.0.1:1/x');
    await refused(request('GET @127.0.0.1:1/rest/v1/t'), 400, 'TG402');
    await refused(request('GET http://gw.test@127.0.0.1:1/rest/v1/t'), 400, 'TG402');
  });
  test('the absolute form is for the own authority', async () => {
    const { seen } = await pass(request('GET http://gw.test/rest/v1/t?a=1'));
    assert.equal(seen.target, '/rest/v1/t?a=1');
    await refused(request('GET http://other.test/rest/v1/t'), 400, 'TG402');
    await refused(request('GET ftp://gw.test/rest/v1/t'), 400, 'TG402');
  });
  const crooked = [
    '/rest/v1/../../auth/v1/admin/users',
    '/rest/v1/%2e%2e/%2E%2E/auth/v1/user',
    '/rest/v1/..%2f..%2Fauth/v1/user',
    '/rest/v1/..\\..\\auth/v1/user',
    '/rest/v1/%5c..%5c../%2e%2e/auth/v1',
    '/rest%2fv1/t',
    '/x/../rest/v1/t',
    '/rest/v1//../t/../../auth/v1',
    '/realtime/v1/api/broadcast/../tenants',
    '/./rest/v1/t',
    '//rest/v1/t',
    '/sync/v1/../../rest/v1/t',
  ];
  for (const target of crooked) {
    test(`${target} is refused`, () => refused(request(`GET ${target}`), 400, 'TG402'));
  }
  for (const target of ['/', '/rest', '/rest/v1x', '/realtime/v1/', '/realtime/v1/api/tenants', '/pg/']) {
    test(`${target} is nobody's`, () => refused(request(`GET ${target}`), 404, 'TG440'));
  }
});

describe('request fields', () => {
  test('keep order, case, repetition and empty values', async () => {
    const fields = ['X-One: 1', 'x-TWO: a', 'X-Empty:', 'x-two: b', 'Prefer: a=1', 'Prefer: b', 'ACCEPT: x/y'];
    const { seen } = await pass(request('GET /rest/v1/t', ...fields));
    const kept = seen.fields.filter(([n]) => /^(x-one|x-two|x-empty|prefer|accept)$/i.test(n));
    assert.deepEqual(kept, [
      ['X-One', '1'], ['x-TWO', 'a'], ['X-Empty', ''], ['x-two', 'b'],
      ['Prefer', 'a=1'], ['Prefer', 'b'], ['ACCEPT', 'x/y'],
    ]);
  });
  test('nothing is added but the key, the address and the id', async () => {
    const { seen, answer } = await pass(request('GET /rest/v1/t'));
    assert.deepEqual(seen.fields.map(([n]) => n), ['Host', 'apikey', 'X-Forwarded-For', 'X-Request-Id']);
    assert.equal(seen.get('host'), `127.0.0.1:${upstream.port}`);
    assert.equal(seen.get('apikey'), ANON);
    assert.equal(seen.get('x-forwarded-for'), '127.0.0.1');
    assert.equal(seen.get('x-request-id'), answer.get('x-request-id'));
  });
  for (const name of ['Authorization', 'apikey', 'Host', 'Content-Type']) {
    test(`${name} twice is refused`, async () => {
      const fields = name === 'Host' ? ['Host: gw.test'] : [`${name}: a`, `${name}: a`];
      const answer = await ask(request('GET /rest/v1/t', ...fields));
      assert.equal(answer.status, 400);
    });
  }
  test('hop-by-hop and listed fields end here; some cannot be listed', async () => {
    const { seen } = await pass(
      request('POST /functions/v1/f', 'Connection: x-drop, apikey, authorization, content-type, Keep-Alive',
        'Keep-Alive: 5', 'X-Drop: 1', 'apikey: mine', 'Authorization: Basic x', 'Content-Type: a/b',
        'TE: trailers', 'Proxy-Authorization: x', 'Upgrade: h2c', 'Content-Length: 0'),
    );
    for (const name of ['connection', 'keep-alive', 'x-drop', 'te', 'proxy-authorization', 'upgrade']) {
      assert.equal(seen.get(name), undefined, name);
    }
    assert.equal(seen.get('apikey'), 'mine');
    assert.equal(seen.get('authorization'), 'Basic x');
    assert.equal(seen.get('content-type'), 'a/b');
    assert.equal(seen.get('content-length'), '0');
  });
  test('what only an edge may say is not believed of clients', async () => {
    const lies = ['X-Forwarded-For', 'X-Forwarded-Host', 'X-Forwarded-Proto', 'X-Forwarded-Prefix',
      'Forwarded', 'Sb-Forwarded-For', 'sb-api-key', 'x-api-key', 'X-JWT-AUD', 'X-Request-Id'];
    const { seen } = await pass(request('GET /auth/v1/settings', ...lies.map((n) => `${n}: lie`)));
    assert.equal(JSON.stringify(seen.fields).includes('lie'), false);
    assert.deepEqual(seen.all('x-forwarded-for'), ['127.0.0.1']);
  });
  test('traceparent passes', async () => {
    const { seen } = await pass(request('GET /rest/v1/t', 'traceparent: 00-ab-cd-01'));
    assert.equal(seen.get('traceparent'), '00-ab-cd-01');
  });
});

describe('the API key', () => {
  const cases = [
    ['/rest/v1/t?apikey=k1', '/rest/v1/t', 'k1'],
    ['/rest/v1/t?a=1&apikey=k1&b=%2B', '/rest/v1/t?a=1&b=%2B', 'k1'],
    ['/auth/v1/user?%61pikey=k%31&x', '/auth/v1/user?x', 'k1'],
    ['/rest/v1/t?xapikey=1&APIKEY=2', '/rest/v1/t?xapikey=1&APIKEY=2', ANON],
    ['/rest/v1/t?apikey=k1&apikey=k1&', '/rest/v1/t?', 'k1'],
  ];
  for (const [target, expected, key] of cases) {
    test(`${target} becomes ${expected}`, async () => {
      const { seen } = await pass(request(`GET ${target}`));
      assert.equal(seen.target, expected);
      assert.deepEqual(seen.all('apikey'), [key]);
    });
  }
  test('stays in the query of other services', async () => {
    const { seen } = await pass(request('GET /storage/v1/x?apikey=k1'));
    assert.equal(seen.target, '/storage/v1/x?apikey=k1');
    assert.equal(seen.get('apikey'), undefined);
  });
  test('two different ones are refused, one that cannot be a field too', async () => {
    await refused(request('GET /rest/v1/t?apikey=a&apikey=b'), 400, 'TG401');
    await refused(request('GET /rest/v1/t?apikey=a%0d%0aX:y'), 400, 'TG406');
    await refused(request('GET /rest/v1/t?apikey=a%0'), 400, 'TG406');
  });
  test('an opaque key as Bearer is no user and passes', async () => {
    const { seen } = await pass(request('GET /rest/v1/t', `Authorization: Bearer ${ANON}`));
    assert.equal(seen.get('authorization'), `Bearer ${ANON}`);
  });
  test('a secret key does not travel with the User-Agent of a browser', async () => {
    const agent = 'User-Agent: Mozilla/5.0 (X11)';
    const secret = await pass(request('GET /rest/v1/t', `apikey: ${SECRET}`, agent));
    assert.equal(secret.seen.get('user-agent'), undefined);
    const open = await pass(request('GET /rest/v1/t', `apikey: ${ANON}`, agent));
    assert.equal(open.seen.get('user-agent'), 'Mozilla/5.0 (X11)');
  });
});

describe('answers', () => {
  test('keep status, reason, order, case and repetition', async (t) => {
    answerWith(t, upstream, 'HTTP/1.1 546 It was  too much\r\nX-B: 1\r\nx-a: 2\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n' +
      'X-Empty:\r\nDate: then\r\nContent-Length: 2\r\n\r\nno');
    const { answer } = await pass(request('GET /functions/v1/f'));
    assert.equal(answer.status, 546);
    assert.equal(answer.reason, 'It was  too much');
    assert.deepEqual(answer.fields.filter(([n]) => !/^(x-request-id|content-length)$/i.test(n)), [
      ['X-B', '1'], ['x-a', '2'], ['Set-Cookie', 'a'], ['Set-Cookie', 'b'], ['X-Empty', ''], ['Date', 'then']]);
    assert.equal(answer.body.toString(), 'no');
  });
  test('an empty reason stays empty', async (t) => {
    answerWith(t, upstream, 'HTTP/1.1 207 \r\nContent-Length: 0\r\n\r\n');
    const { answer } = await pass(request('GET /rest/v1/rpc/f'));
    assert.equal(answer.reason, '');
  });
  test('hop-by-hop and listed fields end here, and what Auth says of its sessions', async (t) => {
    answerWith(t, upstream, 'HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: 5\r\nX-Hop: 1\r\n' +
      'sb-auth-user-id: u\r\nSb-Auth-Refresh-Token-Prefix: abcde\r\nX-Request-Id: theirs\r\nTrailer: x\r\n' +
      'sb-request-id: s\r\nContent-Length: 0\r\n\r\n');
    const { answer, seen } = await pass(request('GET /auth/v1/user'));
    for (const name of ['keep-alive', 'x-hop', 'sb-auth-user-id', 'sb-auth-refresh-token-prefix', 'trailer']) {
      assert.equal(answer.get(name), undefined, name);
    }
    assert.equal(answer.get('sb-request-id'), 's');
    assert.deepEqual(answer.fields.filter(([n]) => /^x-request-id$/i.test(n)).map(([, v]) => v), [seen.get('x-request-id')]);
  });
  test('interim answers: 103 passes, 100 does not', async (t) => {
    answerWith(t, upstream, `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\n\r\n${OK}`);
    const client = await Client.to(gateway.port);
    client.send(request('GET /functions/v1/f'));
    const first = await client.head();
    assert.equal(first.status, 103);
    assert.deepEqual(first.fields, [['Link', '</a>']]);
    assert.equal((await client.answer()).status, 200);
    client.destroy();
  });
  test('HEAD and 304 keep their length, 204 has none', async (t) => {
    answerWith(t, upstream, 'HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\nETag: "a"\r\n\r\n');
    assert.equal((await pass(request('GET /storage/v1/x'))).answer.get('content-length'), '77');
    upstream.answer = () => 'HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n';
    const head = await pass(request('HEAD /storage/v1/x'), { bodyless: true });
    assert.equal(head.answer.get('content-length'), '12345');
    upstream.answer = () => 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
    const unknown = await pass(request('HEAD /storage/v1/x'), { bodyless: true });
    assert.equal(unknown.answer.get('content-length'), undefined);
    upstream.answer = () => 'HTTP/1.1 204 No Content\r\n\r\n';
    assert.equal((await pass(request('DELETE /rest/v1/t'))).answer.get('content-length'), undefined);
  });
  test('a body that ends with the connection is chunked', async (t) => {
    answerWith(t, upstream, (req, socket) => socket.end('HTTP/1.1 200 OK\r\n\r\nall of it') && '');
    const { answer } = await pass(request('GET /functions/v1/f'));
    assert.equal(answer.get('transfer-encoding'), 'chunked');
    assert.equal(answer.body.toString(), 'all of it');
  });
  test('upstream that dies in mid-body leaves a truncated answer', async (t) => {
    answerWith(t, upstream, (req, socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123') && '');
    const client = await Client.to(gateway.port);
    client.send(request('GET /functions/v1/f'));
    assert.equal((await client.head()).status, 200);
    assert.equal((await client.rest()).toString(), '123');
    upstream.answer = (req, socket) =>
      socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n') && '';
    const chunked = await Client.to(gateway.port);
    chunked.send(request('GET /functions/v1/f'));
    await chunked.head();
    assert.equal((await chunked.rest()).toString().includes('\r\n0\r\n'), false);
  });
  test('upstream that dies before the head is a 502', async (t) => {
    answerWith(t, upstream, (req, socket) => socket.destroy() && '');
    const before = upstream.requests.size;
    const { answer } = await pass(request('POST /rest/v1/t', 'Content-Length: 0'));
    assert.equal(upstream.requests.size, before + 1, 'and was asked once');
    assert.equal(answer.status, 502);
    assert.equal(JSON.parse(answer.body).code, 'TG602');
    assert.equal(answer.get('access-control-allow-origin'), '*');
  });
  test('a TUS Location names the address that the client used', async (t) => {
    const at = (host) => `HTTP/1.1 201 Created\r\nLocation: ${host}/storage/v1/upload/resumable/abc%2Fd?x\r\nContent-Length: 0\r\n\r\n`;
    answerWith(t, upstream, () => at(upstream.url));
    const first = await pass(request('POST /storage/v1/upload/resumable', 'Content-Length: 0'));
    assert.equal(first.answer.get('location'), 'http://gw.test/storage/v1/upload/resumable/abc%2Fd?x');
    upstream.answer = () => 'HTTP/1.1 201 Created\r\nLocation: /t?id=eq.1\r\nContent-Length: 0\r\n\r\n';
    assert.equal((await pass(request('POST /rest/v1/t', 'Content-Length: 0'))).answer.get('location'), '/t?id=eq.1');
  });
  test('a failing token refresh is a 503, other failures pass as they are', async (t) => {
    answerWith(t, upstream, 'HTTP/1.1 520 Odd\r\nContent-Length: 2\r\nX-A: b\r\n\r\n{}');
    const refresh = await pass(request('POST /auth/v1/token?a&grant_type=refresh_token', 'Content-Length: 0'));
    assert.equal(refresh.answer.status, 503);
    assert.equal(refresh.answer.body.toString(), '{}');
    assert.equal((await pass(request('POST /auth/v1/token?grant_type=password', 'Content-Length: 0'))).answer.status, 520);
    upstream.answer = () => 'HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}';
    const bad = await pass(request('POST /auth/v1/token?grant_type=refresh_token', 'Content-Length: 0'));
    assert.equal(bad.answer.status, 400);
  });
  test("upstream's CORS fields pass once, as they are", async (t) => {
    answerWith(t, upstream, 'HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: https://a\r\nVary: Origin\r\nContent-Length: 0\r\n\r\n');
    const { answer } = await pass(request('GET /rest/v1/t', 'Origin: https://a'));
    assert.deepEqual(answer.fields.filter(([n]) => /^(access|vary)/i.test(n)),
      [['Access-Control-Allow-Origin', 'https://a'], ['Vary', 'Origin']]);
  });
});

describe('bodies', () => {
  test('with a length and chunked, both ways', async () => {
    const sized = await pass(`${request('POST /rest/v1/t', 'Content-Length: 5')}hello`);
    assert.equal(sized.seen.body.toString(), 'hello');
    assert.equal(sized.seen.get('content-length'), '5');
    const chunked = await pass(`${request('POST /rest/v1/t', 'Transfer-Encoding: chunked')}3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n`);
    assert.equal(chunked.seen.get('transfer-encoding'), 'chunked');
    assert.equal(chunked.seen.get('content-length'), undefined);
  });
  test('Expect: 100-continue is answered here', async () => {
    const client = await Client.to(gateway.port);
    upstream.forget();
    client.send(request('PUT /storage/v1/x', 'Expect: 100-continue', 'Content-Length: 3'));
    assert.equal((await client.head()).status, 100);
    client.send('abc');
    assert.equal((await client.answer()).status, 200);
    const seen = await upstream.next();
    assert.equal(seen.get('expect'), undefined);
    assert.equal(seen.body.toString(), 'abc');
    client.destroy();
  });
  test('an early answer goes out while the client still uploads', async (t) => {
    upstream.onHead = (req) => req.socket.write('HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig');
    t.after(() => {
      upstream.onHead = null;
    });
    const client = await Client.to(gateway.port);
    client.send(request('POST /storage/v1/x', 'Content-Length: 100000'), 'a'.repeat(1000));
    const answer = await client.answer();
    assert.equal(answer.status, 413);
    assert.equal(answer.body.toString(), 'big');
    client.destroy();
  });
  test('a client that leaves cancels its call', async (t) => {
    answerWith(t, upstream, () => '');
    upstream.forget();
    const client = await Client.to(gateway.port);
    client.send(request('GET /functions/v1/slow'));
    const seen = await upstream.next();
    client.destroy();
    await seen.connection.closed;
  });
});

test('proxies of the environment are ignored', async () => {
  const trap = net.createServer((socket) => socket.destroy());
  trap.listen(0, '127.0.0.1');
  await once(trap, 'listening');
  const proxy = `http://127.0.0.1:${trap.address().port}`;
  const env = { http_proxy: proxy, HTTP_PROXY: proxy, https_proxy: proxy, ALL_PROXY: proxy, no_proxy: '' };
  const other = await startGateway(await settings(), { env });
  const { answer } = await pass(request('GET /rest/v1/t'), { port: other.port });
  assert.equal(answer.status, 200);
  assert.equal(await other.stop(), 0);
  trap.close();
});

describe('behind a trusted proxy', () => {
  const trusted = useGateway(() => settings({ server: { trusted_proxies: ['127.0.0.0/8'] } }));
  test('forwarding fields are believed and appended to', async (t) => {
    answerWith(t, upstream, () => `HTTP/1.1 201 Created\r\nLocation: ${upstream.url}/storage/v1/upload/resumable/a\r\nContent-Length: 0\r\n\r\n`);
    const { seen, answer } = await pass(request('POST /storage/v1/upload/resumable', 'X-Forwarded-For: 192.0.2.7',
      'X-Forwarded-Proto: https', 'X-Forwarded-Host: app.example', 'Forwarded: for=192.0.2.7',
      'X-Request-Id: abc-1', 'Sb-Forwarded-For: 1.2.3.4', 'Content-Length: 0'), { port: trusted.port });
    assert.equal(seen.get('x-forwarded-for'), '192.0.2.7, 127.0.0.1');
    assert.equal(seen.get('x-forwarded-proto'), 'https');
    assert.equal(seen.get('forwarded'), 'for=192.0.2.7, for=127.0.0.1');
    assert.equal(seen.get('x-request-id'), 'abc-1');
    assert.equal(seen.get('sb-forwarded-for'), undefined);
    assert.equal(answer.get('x-request-id'), 'abc-1');
    assert.equal(answer.get('location'), 'https://app.example/storage/v1/upload/resumable/a');
  });
});

describe('the client address for Auth', () => {
  const told = useGateway(() => settings({ supabase: { service_key: SECRET, forward_client_ip: true } }));
  test('goes with the secret key, where that grants nothing', async () => {
    const agent = 'User-Agent: Mozilla/5.0';
    const token = await pass(request('POST /auth/v1/token?grant_type=password', `apikey: ${ANON}`,
      `Authorization: Bearer ${ANON}`, agent, 'Content-Length: 0'), { port: told.port });
    assert.equal(token.seen.get('sb-forwarded-for'), '127.0.0.1');
    assert.equal(token.seen.get('apikey'), SECRET);
    assert.equal(token.seen.get('authorization'), undefined);
    assert.equal(token.seen.get('user-agent'), undefined);
    for (const line of ['POST /auth/v1/admin/users', 'GET /auth/v1/user', 'POST /rest/v1/t']) {
      const { seen } = await pass(request(line, 'Content-Length: 0'), { port: told.port });
      assert.equal(seen.get('apikey'), ANON);
      assert.equal(seen.get('sb-forwarded-for'), undefined);
    }
  });
});

describe('with configured origins', () => {
  const strict = useGateway(() => settings({ cors: { origins: ['https://app.example'], max_age: '5m' } }));
  const preflight = (target, origin) => request(`OPTIONS ${target}`, `Origin: ${origin}`,
    'Access-Control-Request-Method: POST', 'Access-Control-Request-Headers: apikey,prefer');
  const cors = (answer) => answer.fields.filter(([n]) => /^(access-control|vary)/i.test(n));
  test('the gateway answers preflights for everything behind it', async () => {
    for (const target of ['/rest/v1/t', '/sync/v1/stream', '/auth/v1/token']) {
      const answer = await ask(preflight(target, 'https://app.example'), { port: strict.port });
      assert.equal(answer.status, 204);
      assert.equal(answer.get('access-control-allow-origin'), 'https://app.example');
      assert.equal(answer.get('access-control-max-age'), '300');
      assert.match(answer.get('access-control-allow-headers'), /last-event-id, idempotency-key/);
      assert.match(answer.get('access-control-allow-methods'), /PATCH/);
    }
    const other = await ask(preflight('/rest/v1/t', 'https://evil.example'), { port: strict.port });
    assert.equal(other.status, 403);
    assert.equal(other.get('access-control-allow-origin'), undefined);
  });
  test("upstream's fields are replaced, never doubled", async (t) => {
    answerWith(t, upstream, 'HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\n' +
      'Vary: Accept-Encoding, Origin\r\nVary: origin\r\nContent-Length: 0\r\n\r\n');
    const { answer } = await pass(request('GET /rest/v1/t', 'Origin: https://app.example'), { port: strict.port });
    assert.deepEqual(cors(answer).map(([n, v]) => [n, n === 'Access-Control-Expose-Headers' ? '' : v]), [
      ['Vary', 'Accept-Encoding'], ['Vary', 'Origin'],
      ['Access-Control-Allow-Origin', 'https://app.example'], ['Access-Control-Expose-Headers', '']]);
    assert.match(answer.get('access-control-expose-headers'), /tidegate-cursor.*content-range/);
    const evil = await pass(request('GET /rest/v1/t', 'Origin: https://evil.example'), { port: strict.port });
    assert.equal(evil.answer.get('access-control-allow-origin'), undefined);
  });
});

test('without configured origins own preflights are answered, others pass', async () => {
  const own = await ask(request('OPTIONS /sync/v1/stream', 'Origin: https://a', 'Access-Control-Request-Method: GET'));
  assert.equal(own.status, 204);
  assert.equal(own.get('access-control-allow-origin'), '*');
  const { answer } = await pass(request('OPTIONS /rest/v1/t', 'Origin: https://a', 'Access-Control-Request-Method: GET'));
  assert.equal(answer.status, 200);
});
