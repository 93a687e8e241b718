// The same bytes once to the origin and once through the gateway: the origin is asked the same,
// and the client told the same, but for what DESIGN.md 5.2 lists.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import { useGateway } from './lib/gateway.mjs';
import { Client } from './lib/http1.mjs';
import { answers, endings, startScriptedOrigin } from './lib/scripted-origin.mjs';

const KEY = 'sb_publishable_differential';
let upstream;
const ready = startScriptedOrigin().then((started) => {
  upstream = started;
});
before(() => ready);
after(() => upstream.stop());
const gateway = useGateway(async () => {
  await ready;
  return {
    server: { workers: 1 },
    supabase: { url: upstream.url, anon_key: KEY, jwt_secret: 'x'.repeat(40) },
    auth: { verify_rest: 'off', verify_storage: 'off', verify_graphql: 'off' },
    upstream: { breaker_failures: 0, retry_budget: 0 },
  };
});

// Hop by hop, the gateway's own, or said anew on each hop.
const REQUEST_DIFFERS = new Set(
  'host connection keep-alive te expect upgrade proxy-connection apikey x-forwarded-for x-request-id'.split(' '),
);
const ANSWER_DIFFERS = new Set(
  'connection keep-alive transfer-encoding trailer x-request-id content-length'.split(' '),
);

const hash = (bytes) => createHash('sha256').update(bytes).digest('hex');
/** Blanks around a value are no part of it (RFC 9110 5.5). */
const without = (fields, names) =>
  fields
    .filter(([name]) => !names.has(name.toLowerCase()))
    .map(([name, value]) => [name, value.trim()]);
const valueOf = (fields, name) => fields.find(([n]) => n.toLowerCase() === name)?.[1];

/** What the client sees of one exchange. */
async function ask(port, text, { isHead, waits, body }) {
  const client = await Client.to(port);
  const seen = { interim: [] };
  client.send(Buffer.from(text, 'latin1'));
  if (waits) {
    const { status } = await client.head();
    assert.equal(status, 100);
  }
  client.send(body);
  try {
    let answer;
    for (;;) {
      answer = await client.head();
      if (answer.status >= 200) {
        break;
      }
      seen.interim.push([answer.status, answer.fields]);
    }
    seen.status = answer.status;
    seen.reason = answer.reason;
    seen.fields = answer.fields;
    seen.length = answer.get('content-length');
    seen.body = await bodyOf(client, answer, isHead);
    seen.end = 'whole';
  } catch (error) {
    assert.match(error.message, /ended early/);
    seen.end = seen.status === undefined ? 'nothing' : 'cut';
    seen.body = hash('');
  }
  client.destroy();
  return seen;
}

async function bodyOf(client, answer, isHead) {
  if (isHead || answer.status === 204 || answer.status === 304) {
    return hash('');
  }
  if (answer.get('transfer-encoding') === 'chunked') {
    const sum = createHash('sha256');
    for (;;) {
      const size = parseInt(await client.takeThrough('\r\n'), 16);
      if (size === 0) {
        await client.takeThrough('\r\n');
        return sum.digest('hex');
      }
      sum.update(await client.take(size));
      await client.take(2);
    }
  }
  const length = answer.get('content-length');
  return hash(length === undefined ? await client.rest() : await client.take(Number(length)));
}

/** Sends it both ways and compares both sides. */
async function compare(name, text, options) {
  let at = upstream.requests.size;
  const direct = await ask(upstream.port, text, options);
  const asked = await upstream.requests.take(() => true, { from: at });
  at = upstream.requests.size;
  const through = await ask(gateway.port, text, options);
  assert.equal(through.status, direct.status, `${name}: the status`);
  const passed = await upstream.requests.take(() => true, { from: at });

  assert.equal(passed.line, asked.line, `${name}: the request line`);
  assert.deepEqual(
    without(passed.fields, REQUEST_DIFFERS),
    without(asked.fields, REQUEST_DIFFERS),
    `${name}: the request's fields`,
  );
  assert.equal(valueOf(passed.fields, 'host'), `127.0.0.1:${upstream.port}`, name);
  assert.equal(valueOf(passed.fields, 'apikey'), valueOf(asked.fields, 'apikey') ?? KEY, name);
  assert.equal(passed.hash, asked.hash, `${name}: the request's body`);

  assert.equal(through.end, direct.end, `${name}: how the answer ends`);
  assert.equal(through.reason, direct.reason, `${name}: the reason`);
  assert.equal(through.body, direct.body, `${name}: the answer's body`);
  assert.deepEqual(through.interim, direct.interim, `${name}: interim answers`);
  const added = valueOf(direct.fields ?? [], 'date') ? [] : ['date'];
  const ours = new Set([...ANSWER_DIFFERS, ...added, ...listedBy(direct.fields ?? [])]);
  assert.deepEqual(
    without(through.fields ?? [], ours),
    without(direct.fields ?? [], ours),
    `${name}: the answer's fields`,
  );
  if (direct.length !== undefined) {
    assert.equal(through.length, direct.length, `${name}: the answer's length`);
  }
}

const listedBy = (fields) =>
  (valueOf(fields, 'connection') ?? '').split(',').map((token) => token.trim().toLowerCase());

/** A request as bytes: { text, body } */
function request({ method = 'GET', target, fields = [], body, chunked = false }) {
  const lines = [`${method} ${target} HTTP/1.1`, 'Host: a.example', ...fields];
  let bytes = Buffer.from(body ?? '', 'latin1');
  if (chunked) {
    lines.push('Transfer-Encoding: chunked');
    const half = Math.floor(bytes.length / 2);
    const chunk = (piece) =>
      piece.length === 0
        ? Buffer.alloc(0)
        : Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')]);
    bytes = Buffer.concat([
      chunk(bytes.subarray(0, half)),
      chunk(bytes.subarray(half)),
      Buffer.from('0\r\n\r\n'),
    ]);
  } else if (body !== undefined) {
    lines.push(`Content-Length: ${bytes.length}`);
  }
  return { text: `${lines.join('\r\n')}\r\n\r\n`, body: bytes };
}

async function each(cases) {
  for (const spec of cases) {
    const { text, body } = request(spec);
    const isHead = spec.method === 'HEAD';
    const name = `${spec.method ?? 'GET'} ${spec.target.slice(0, 80)} ${spec.name ?? ''}`;
    await compare(name, text, { isHead, body, waits: spec.waits ?? false });
  }
}

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];

test('every answer passes as it is, whatever was asked', async () => {
  const cases = Object.keys(answers).flatMap((answer) =>
    METHODS.map((method) => ({
      method,
      target: `/rest/v1/t?k=${answer}`,
      body: ['POST', 'PUT', 'PATCH'].includes(method) ? '{"a":1}' : undefined,
    })),
  );
  await each(cases);
});

test('odd targets arrive byte for byte', async () => {
  const tails = [
    '/t?k=ok&a=gt.1&a=lt.5',
    '/t?k=ok&select=id,trip:trips(name,"x%20y")&b=in.(1,2,"c,d")',
    '/t?k=ok&name=eq.%2B%20+%C3%A4&empty=&=&&flag',
    '/t?k=ok?&x=/../y&z=//..',
    '/%74%2Ct/%e4%F6?k=ok',
    "/a;b=c/$&'()*+,=:@!~_-.?k=ok",
    '/a//b/./c?k=ok',
    '/@host:80/x?k=ok',
    '/t?k=ok&u=http://evil.example/',
    `/t?k=ok&id=in.(${'12345,'.repeat(1500)}1)`,
    '/t?k=ok&q={}[]|^`<>"\\',
    '/?k=ok',
  ];
  const prefixes = ['/rest/v1', '/storage/v1', '/functions/v1', '/graphql/v1', '/auth/v1'];
  await each(prefixes.flatMap((prefix) => tails.map((tail) => ({ target: prefix + tail }))));
});

test('fields keep their order, case, repetition and emptiness', async () => {
  const sets = {
    repeated: ['X-A: 1', 'x-b: 2', 'X-A: 3', 'Prefer: return=minimal', 'Prefer: count=exact'],
    cases: ['aCcEpT: application/json', 'RANGE: 0-9', 'Range-Unit: items', 'x-CLIENT-info: a/1'],
    empty: ['X-Empty:', 'Accept:', 'User-Agent:', 'X-After: 1'],
    spaced: ['X-Spaced:  a  b ', 'X-Tab:\ta', 'X-Colon: a:b;c'],
    latin1: ['X-Name: caf\xe9'],
    cookies: ['Cookie: a=1; b=2', 'Cookie: c=3'],
    keys: [`apikey: ${KEY}`, `Authorization: Bearer ${KEY}`],
    basic: ['Authorization: Basic YTpi'],
    encodings: ['Accept-Encoding: gzip, br', 'Accept-Language: de', 'If-None-Match: W/"a"'],
    tus: ['Tus-Resumable: 1.0.0', 'Upload-Length: 10', 'Upload-Metadata: a YQ==,b'],
    agent: ['User-Agent: Mozilla/5.0 (X11)', 'Referer: http://a/', 'Origin: http://app.example'],
    trace: ['traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', 'tracestate: a=1'],
    many: Array.from({ length: 60 }, (_, i) => `X-Field-${i}: ${i}`),
    long: [`X-Long: ${'y'.repeat(12_000)}`],
  };
  const cases = Object.entries(sets).flatMap(([name, fields]) =>
    ['GET', 'POST', 'DELETE'].map((method) => ({
      name,
      method,
      fields,
      target: '/rest/v1/t?k=repeated',
      body: method === 'POST' ? 'x' : undefined,
    })),
  );
  await each(cases);
});

test('bodies arrive whole: none, empty, small, large, chunked, on any method', async () => {
  const large = Buffer.alloc(1_500_000, 'large body ').toString('latin1');
  const bodies = { empty: '', small: '{"a":[1,2]}', binary: '\x00\xff\r\n\r\n0\r\n', large };
  const cases = Object.entries(bodies).flatMap(([name, body]) =>
    ['POST', 'PUT', 'PATCH', 'DELETE', 'GET'].flatMap((method) => [
      { name, method, body, target: '/storage/v1/object/b/f?k=ok' },
      { name: `${name} chunked`, method, body, chunked: true, target: '/storage/v1/object/b/f?k=ok' },
    ]),
  );
  cases.push(
    { name: 'without a length', method: 'POST', target: '/rest/v1/rpc/f?k=ok' },
    { name: 'a large answer', target: '/storage/v1/object/b/f?k=big' },
    { name: 'both large', method: 'POST', body: large, target: '/functions/v1/f?k=big' },
    { name: 'a large one, asked for', method: 'HEAD', target: '/storage/v1/object/b/f?k=big' },
  );
  await each(cases);
});

test('100-continue, early answers, and origins that die', async () => {
  const body = Buffer.alloc(100_000, 'b').toString('latin1');
  await each([
    {
      name: 'expects 100',
      method: 'POST',
      body,
      waits: true,
      fields: ['Expect: 100-continue'],
      target: '/storage/v1/object/b/f?k=ok',
    },
    { name: 'early', method: 'POST', body, target: '/storage/v1/object/b/f?k=early' },
    { name: 'early chunked', method: 'PUT', body: 'x', chunked: true, target: '/rest/v1/t?k=ok' },
    ...Object.keys(endings).flatMap((k) => [
      { target: `/functions/v1/f?k=${k}` },
      { method: 'POST', body: 'x', target: `/functions/v1/f?k=${k}` },
    ]),
  ]);
});
