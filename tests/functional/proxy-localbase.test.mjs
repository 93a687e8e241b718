// The same bytes once straight to the local stack and once through the gateway: status, reason,
// fields and bodies are the same, but for what each hop says of itself.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { describe, test } from 'node:test';
import { inFrontOf, useGateway } from './lib/gateway.mjs';
import { Client } from './lib/http1.mjs';
import { useLocalbase } from './lib/localbase.mjs';

const stack = useLocalbase();
const gateway = useGateway(async () => {
  await stack.ready;
  return inFrontOf(stack, { auth: { verify_rest: 'off', verify_storage: 'off' } });
});

const HOP = /^(connection|keep-alive|te|trailer|transfer-encoding|upgrade|proxy-.*|expect|host)$/i;
const OURS = /^(x-request-id|x-forwarded-for|date|content-length)$/i;
const sha = (bytes) => crypto.createHash('sha256').update(bytes).digest('hex').slice(0, 16);

/** The body by its framing; `whole: false` when the connection ended before it did. */
async function readBody(client, head, bodyless) {
  const parts = [];
  const whole = (value) => ({ whole: value, bytes: Buffer.concat(parts) });
  const take = async (n) => {
    while (client.bytes.length < n && !client.ended && !client.error) {
      await client.change();
    }
    const got = client.bytes.subarray(0, n);
    client.bytes = client.bytes.subarray(got.length);
    parts.push(got);
    return got.length === n;
  };
  if (bodyless || head.status === 204 || head.status === 304) {
    return whole(true);
  }
  if (/chunked/i.test(head.get('transfer-encoding') ?? '')) {
    for (;;) {
      const line = await client.takeThrough('\r\n').catch(() => null);
      if (line === null) {
        return whole(false);
      }
      const size = parseInt(line, 16);
      if (size === 0) {
        // Trailers, which no proxy needs to keep.
        while ((await client.takeThrough('\r\n')) !== '\r\n');
        return whole(true);
      }
      const all = await take(size);
      if (!all || (await client.takeThrough('\r\n').catch(() => null)) === null) {
        return whole(false);
      }
    }
  }
  const length = head.get('content-length');
  return whole(length === undefined ? (parts.push(await client.rest()), true) : await take(Number(length)));
}

async function exchange(port, { text, body = '', expect = false }) {
  const client = await Client.to(port);
  const interim = [];
  client.send(text);
  if (!expect && body.length > 0) {
    client.send(body);
  }
  try {
    for (;;) {
      const head = await client.head();
      if (head.status === 100 && expect) {
        client.send(body);
      }
      if (head.status >= 200) {
        return { head, interim, body: await readBody(client, head, text.startsWith('HEAD ')) };
      }
      if (head.status !== 100) {
        interim.push([head.status, head.fields]);
      }
    }
  } catch {
    return { none: true };
  } finally {
    client.destroy();
  }
}

/** What an echo saw, without what belongs to the hop. */
function echoOf(bytes) {
  const { raw_headers: raw, ...rest } = JSON.parse(bytes);
  const fields = [];
  for (let i = 0; i < raw.length; i += 2) {
    if (!HOP.test(raw[i]) && !OURS.test(raw[i])) {
      fields.push([raw[i], raw[i + 1]]);
    }
  }
  return { ...rest, fields };
}

function summary({ head, interim, body, none }, isEcho) {
  if (none) {
    return { none };
  }
  const fields = head.fields.filter(([n]) => !HOP.test(n) && !OURS.test(n));
  return {
    status: head.status,
    reason: head.reason,
    interim,
    fields,
    // The echo's own length tells the hop's fields.
    length: isEcho ? undefined : head.get('content-length'),
    whole: body.whole,
    size: isEcho ? undefined : body.bytes.length,
    body: isEcho && head.status === 200 && body.bytes.length > 0 ? echoOf(body.bytes) : sha(body.bytes),
  };
}

async function compare(request, change = (s) => s) {
  const isEcho = request.text.includes('/functions/v1/echo');
  const [direct, through] = await Promise.all([
    exchange(Number(new URL(stack.url).port), request),
    exchange(gateway.port, request),
  ]);
  const [a, b] = [summary(direct, isEcho), summary(through, isEcho)];
  assert.deepEqual(b, change(a), request.text.split('\r\n')[0]);
}

const build = (method, target, fields = [], body = '', options = {}) => ({
  text: `${[`${method} ${target} HTTP/1.1`, 'Host: x.test', ...fields].join('\r\n')}\r\n\r\n`,
  body,
  ...options,
});
const sized = (body) => [`Content-Length: ${body.length}`];

async function compareAll(requests) {
  assert.ok(requests.length > 0);
  let at = 0;
  const worker = async () => {
    while (at < requests.length) {
      await compare(requests[at++]);
    }
  };
  await Promise.all([worker(), worker(), worker(), worker()]);
}

const key = () => [`apikey: ${stack.anon_key}`];
const asUser = () => [...key(), `Authorization: Bearer ${stack.user1.token}`];
const chunked = (...parts) =>
  `${parts.map((p) => `${p.length.toString(16)}\r\n${p}\r\n`).join('')}0\r\n\r\n`;

const TARGETS = [
  '', '?', '?a', '?a=1&a=2&a=1', '?q=%2B+%20%00%ff', '?%', '?%zz', '?a=b=c&&;', '?x=%E2%82%AC', '?"<>^`{|}',
  '/deep/er', '/%41%2f%2E', '/a//b', '/a;b=c', '/%2525', '/@host:1', '/a:b', '/*', "/!$'()~", '?u=http://h/../x',
  '/%C3%A9', '?a[]=1&a[]=2', '?or=(a.eq.1,b.in.("x","y"))', `?long=${'l'.repeat(6000)}`,
];
const FIELDS = [
  [],
  ['X-A: 1', 'x-a: 2', 'X-a: 3'],
  ['MiXeD-CaSe: Value', 'accept: */*', 'ACCEPT-ENCODING: gzip, br'],
  ['X-Empty:', 'X-Blank:   ', 'X-Tab:\tx\t'],
  ['Cookie: a=1; b=2', 'Range: bytes=0-1', 'Prefer: return=minimal', 'Prefer: count=exact'],
  ['X-Latin: \xe9\xff', 'X-Quote: "a, b"', 'X-Comma: ,,'],
  ['Connection: close', 'User-Agent: Mozilla/5.0', 'X-Underscore_: 1'],
  [`X-Long: ${'v'.repeat(5000)}`],
];
const BODIES = [
  ['GET', () => []],
  ['DELETE', () => []],
  ['POST', () => ['Content-Length: 0'], () => ''],
  ['POST', () => ['Content-Type: text/plain', 'Content-Length: 5'], () => 'hello'],
  ['PATCH', () => ['Transfer-Encoding: chunked'], () => chunked('a', 'bc', 'd'.repeat(5000))],
  ['PUT', () => ['Content-Length: 300000'], () => Buffer.alloc(300000, 'x')],
  ['OPTIONS', () => []],
  ['HEAD', () => []],
  ['PUT', () => ['Expect: 100-continue', 'Content-Length: 4'], () => 'body', { expect: true }],
];

describe('the same with the gateway and without', () => {
  test('methods, targets, fields and bodies, as a function sees them', async () => {
    const requests = [];
    TARGETS.forEach((target, t) => {
      BODIES.forEach(([method, fields, body = () => '', options], b) => {
        const more = FIELDS[(t + b) % FIELDS.length];
        requests.push(build(method, `/functions/v1/echo${target}`, [...key(), ...more, ...fields()], body(), options));
      });
    });
    assert.ok(requests.length > 200);
    await compareAll(requests);
  });

  test('answers of every shape', async () => {
    const targets = [
      'hello', 'headers', 'bytes/0', 'bytes/1', 'bytes/100000', 'bytes/3000000', 'chunked', 'chunked?chunks=50&size=3000',
      'chunked?trailer=x', 'not-modified', 'not-modified?length=7', 'status/201', 'status/404?reason=Nope', 'status/200?reason=',
      'status/402?reason=boom', 'status/546', 'status/299?reason=Odd', 'interim?kinds=103', 'interim?kinds=100,103,102', 'drip?bytes=5&ms=1',
      'sse?events=5&ms=1', 'relay-error', 'nothing-here', 'status/204', 'status/503', 'status/500',
      'die?after=10&of=100&mode=length', 'die?after=10&of=100&mode=chunked',
    ];
    await compareAll(
      targets.flatMap((t) => ['GET', 'POST', 'HEAD'].filter((m) => m === 'GET' || !/^die|trailer/.test(t))
        .map((m) => build(m, `/functions/v1/${t}`, [...key(), ...(m === 'POST' ? sized('{}') : [])], m === 'POST' ? '{}' : ''))),
    );
  });

  test('an early answer, with the body under way and without', async () => {
    await compareAll([
      build('POST', '/functions/v1/early', [...key(), 'Content-Length: 1000'], 'x'.repeat(10)),
      build('POST', '/functions/v1/early?status=413', [...key(), 'Expect: 100-continue', 'Content-Length: 1000'], 'x'.repeat(1000), { expect: true }),
      build('PUT', '/functions/v1/early?status=401', [...key(), 'Transfer-Encoding: chunked'], '5\r\nhello\r\n'),
    ]);
  });

  test('upstream that breaks off before any head is the one thing that is told otherwise', async () => {
    for (const more of ['', '&reset=1']) {
      const request = build('POST', `/functions/v1/die?mode=head${more}`, [...key(), 'Content-Length: 0']);
      assert.deepEqual(await exchange(Number(new URL(stack.url).port), request), { none: true });
      const { head, body } = await exchange(gateway.port, request);
      assert.equal(head.status, 502);
      assert.equal(JSON.parse(body.bytes).code, 'TG602');
    }
  });

  test('REST, its errors, counts and singular objects', async () => {
    const paths = [
      'trips?select=*&order=id', 'trips?select=id,name&limit=1', 'tasks?id=eq.x', 'nope', 'tasks?select=nope', 'rpc/nope',
      'trip_members?user_id=eq.11111111-1111-4111-8111-111111111111&order=trip_id', 'tasks?or=(id.is.null,title.eq."a,b")', '',
    ];
    const fields = [[], ['Prefer: count=exact', 'Range: 0-0', 'Range-Unit: items'], ['Accept: application/vnd.pgrst.object+json'], ['Accept: text/csv'], ['Accept-Profile: nope']];
    const requests = [];
    for (const path of paths) {
      for (const more of fields) {
        requests.push(build('GET', `/rest/v1/${path}`, [...asUser(), ...more]));
      }
      requests.push(build('HEAD', `/rest/v1/${path}`, asUser()), build('GET', `/rest/v1/${path}`, key()));
    }
    await compareAll(requests);
  });

  test('Auth, its two shapes of error, and bad keys', async () => {
    const bad = JSON.stringify({ email: 'nobody@example.com', password: 'wrong' });
    const version = 'X-Supabase-Api-Version: 2024-01-01';
    await compareAll([
      build('GET', '/auth/v1/settings', key()), build('GET', '/auth/v1/health', key()),
      build('GET', '/auth/v1/user', asUser()), build('GET', '/auth/v1/user', key()),
      build('GET', '/auth/v1/user', [...key(), 'Authorization: Bearer nonsense', version]),
      build('POST', '/auth/v1/token?grant_type=password', [...key(), ...sized(bad), 'Content-Type: application/json'], bad),
      build('POST', '/auth/v1/token?grant_type=password', [...key(), ...sized(bad), 'Content-Type: application/json', version], bad),
      build('POST', '/auth/v1/token?grant_type=what', [...key(), 'Content-Length: 2'], '{}'),
      build('GET', '/auth/v1/.well-known/jwks.json'), build('GET', '/auth/v1/nope', key()),
      build('GET', '/rest/v1/trips', ['apikey: nonsense']), build('OPTIONS', '/rest/v1/trips', ['Origin: https://a', 'Access-Control-Request-Method: POST']),
      build('GET', '/rest/v1/trips', [...key(), 'Origin: https://a']),
    ]);
  });

  test('Storage: ranges, validators, missing objects', async () => {
    const service = [`apikey: ${stack.service_key}`, `Authorization: Bearer ${stack.service_key}`];
    const port = Number(new URL(stack.url).port);
    const bucket = JSON.stringify({ id: 'diff', name: 'diff', public: true });
    await exchange(port, build('POST', '/storage/v1/bucket', [...service, ...sized(bucket), 'Content-Type: application/json'], bucket));
    const put = await exchange(port, build('POST', '/storage/v1/object/diff/a.txt', [...service, 'Content-Type: text/plain', ...sized('0123456789')], '0123456789'));
    assert.equal(put.head.status, 200);
    const path = '/storage/v1/object/public/diff/a.txt';
    const etag = (await exchange(port, build('GET', path))).head.get('etag');
    const requests = [[], ['Range: bytes=2-5'], ['Range: bytes=5-'], ['Range: bytes=-3'], ['Range: bytes=50-60'], [`If-None-Match: ${etag}`], ['If-None-Match: "x"']]
      .flatMap((fields) => [build('GET', path, fields), build('HEAD', path, fields)]);
    requests.push(build('GET', '/storage/v1/object/public/diff/none'), build('GET', `${path}?download=b%20c.txt`),
      build('OPTIONS', '/storage/v1/upload/resumable', ['Tus-Resumable: 1.0.0']), build('GET', '/storage/v1/object/diff/a.txt', asUser()));
    await compareAll(requests);
  });
});
