// localbase-functions.test.mjs - Functions of the stand-in: the awkward answers.
import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import { once } from 'node:events';
import { test } from 'node:test';
import { useLocalbase } from './lib/localbase.mjs';

const ctx = useLocalbase();

async function call(path, { body, ...options } = {}) {
  const req = http.request(`${ctx.url}/functions/v1/${path}`, options);
  const interim = [];
  req.on('information', ({ statusCode }) => interim.push(statusCode));
  req.end(body);
  const [res] = await once(req, 'response');
  const chunks = [];
  let broke = false;
  try {
    for await (const chunk of res) {
      chunks.push(chunk);
    }
  } catch {
    broke = true;
  }
  return { res, interim, broke, text: Buffer.concat(chunks).toString() };
}

/** The answer as bytes; the request is written as it stands. */
async function rawCall(text) {
  const socket = net.connect(Number(new URL(ctx.url).port), '127.0.0.1');
  socket.write(text);
  const chunks = await socket.toArray();
  return Buffer.concat(chunks).toString('latin1');
}

test('echo keeps target, header order, case and repetition', async () => {
  const raw = await rawCall(
    'POST /functions/v1/echo/a%2Fb?x=1&x=%20 HTTP/1.1\r\nHost: h\r\n' +
      'X-B: 1\r\nx-a: 2\r\nX-B: 3\r\n' +
      'X-Empty:\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
  );
  const seen = JSON.parse(raw.slice(raw.indexOf('\r\n\r\n') + 4));
  assert.equal(seen.target, '/functions/v1/echo/a%2Fb?x=1&x=%20');
  assert.deepEqual(seen.raw_headers.slice(2, 10), [
    'X-B',
    '1',
    'x-a',
    '2',
    'X-B',
    '3',
    'X-Empty',
    '',
  ]);
  assert.equal(seen.body, 'abc');
});

test('status gives any reason phrase, the empty one too', async () => {
  const custom = await rawCall(
    'GET /functions/v1/status/402?reason=boom%20it HTTP/1.1\r\nHost: h\r\n' +
      'Connection: close\r\n\r\n',
  );
  assert.match(custom, /^HTTP\/1\.1 402 boom it\r\n/);
  const empty = await rawCall(
    'GET /functions/v1/status/299?reason= HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n',
  );
  assert.match(empty, /^HTTP\/1\.1 299 \r\n/);
});

test('headers come repeated, empty and in their own case', async () => {
  const { res } = await call('headers');
  const named = (name) =>
    res.rawHeaders.filter((_, i) => i % 2 === 1 && res.rawHeaders[i - 1] === name);
  assert.deepEqual(named('Set-Cookie'), ['a=1; Path=/', 'b=2; HttpOnly']);
  assert.deepEqual(named('X-Dup'), ['one', 'two', 'one']);
  assert.deepEqual(named('X-Empty'), ['']);
  assert.deepEqual(named('X-MiXeD-cAsE'), ['kept']);
});

test('interim answers come before the final one', async () => {
  const { res, interim, text } = await call('interim?kinds=100,102,103');
  assert.deepEqual(interim, [100, 102, 103]);
  assert.equal(res.statusCode, 200);
  assert.equal(text, 'final');
});

test('bodies of unknown length: chunked, with a trailer, and none for HEAD', async () => {
  const { res, text } = await call('chunked?chunks=3&size=2&trailer=end');
  assert.equal(res.headers['transfer-encoding'], 'chunked');
  assert.equal(text, 'aabbcc');
  assert.equal(res.trailers['x-trailer'], 'end');
  const head = await call('chunked', { method: 'HEAD' });
  assert.equal(head.res.headers['content-length'], undefined);
  assert.equal(head.text, '');
});

test('304 comes with no length or with the promised one, and no body', async () => {
  const without = await call('not-modified');
  assert.equal(without.res.statusCode, 304);
  assert.equal(without.res.headers['content-length'], undefined);
  const promised = await call('not-modified?length=123');
  assert.equal(promised.res.headers['content-length'], '123');
  assert.equal(promised.text, '');
});

test('die breaks off in mid-body, before the last chunk, and before the head', async () => {
  const short = await call('die?after=10&of=100');
  assert.equal(short.res.headers['content-length'], '100');
  assert.deepEqual([short.broke, short.text.length > 0], [true, true]);
  const open = await call('die?after=10&mode=chunked');
  assert.equal(open.broke, true);
  await assert.rejects(call('die?mode=head'));
});

test('early answers although the body never comes', async () => {
  const raw = await rawCall(
    'POST /functions/v1/early?status=413&close=1 HTTP/1.1\r\nHost: h\r\n' +
      'Content-Length: 1000\r\n\r\n',
  );
  assert.match(raw, /^HTTP\/1\.1 413 /);
});

test('Expect: 100-continue is answered by 100, and by early with the final answer', async () => {
  const ask = (path, body) =>
    `POST /functions/v1/${path} HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n` +
    `Expect: 100-continue\r\nConnection: close\r\n\r\n${body}`;
  assert.match(await rawCall(ask('echo', 'abc')), /^HTTP\/1\.1 100 .*\r\n\r\nHTTP\/1\.1 200 /);
  assert.match(await rawCall(ask('early', '')), /^HTTP\/1\.1 413 /);
});

test('raw gives exactly the bytes asked for', async () => {
  const bytes = 'HTTP/1.1 200\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok';
  const b64 = encodeURIComponent(Buffer.from(bytes).toString('base64'));
  const raw = await rawCall(`GET /functions/v1/raw?b64=${b64} HTTP/1.1\r\nHost: h\r\n\r\n`);
  assert.equal(raw, bytes);
});

test('drip and slow-read take their time and lose nothing', async () => {
  const { text } = await call('drip?bytes=12&ms=1');
  assert.equal(text, '012345678901');
  const read = await call('slow-read?rate=10000000', { method: 'POST', body: 'x'.repeat(1000) });
  assert.equal(JSON.parse(read.text).body_bytes, 1000);
});

test('an unknown function is 404', async () => {
  const { res, text } = await call('nothing');
  assert.equal(res.statusCode, 404);
  assert.equal(JSON.parse(text).code, 'NOT_FOUND');
});
