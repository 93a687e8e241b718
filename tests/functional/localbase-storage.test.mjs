// localbase-storage.test.mjs - Storage of the stand-in: what the SDK does not show.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import http from 'node:http';
import { once } from 'node:events';
import { test } from 'node:test';
import { MAX_SYNTHETIC_BYTES, syntheticSha256, syntheticStream } from '../localbase/bytes.mjs';
import { useLocalbase } from './lib/localbase.mjs';

const ctx = useLocalbase();

async function storage(path, options = {}, token = 'user') {
  const authorization = token === 'user' ? `Bearer ${ctx.user1.token}` : token;
  const headers = { ...(authorization === null ? {} : { authorization }), ...options.headers };
  return fetch(`${ctx.url}/storage/v1${path}`, { ...options, headers });
}

function tusHeaders(extra = {}) {
  return { 'tus-resumable': '1.0.0', ...extra };
}

function tusMetadata(name) {
  const pairs = { bucketName: 'documents', objectName: name, contentType: 'text/plain' };
  return Object.entries(pairs)
    .map(([k, v]) => `${k} ${Buffer.from(v).toString('base64')}`)
    .join(',');
}

async function createUpload(name, length, headers = {}) {
  const response = await storage('/upload/resumable', {
    method: 'POST',
    headers: tusHeaders({
      'upload-length': String(length),
      'upload-metadata': tusMetadata(name),
      ...headers,
    }),
  });
  assert.equal(response.status, 201);
  return response.headers.get('location');
}

function patch(location, offset, body) {
  const path = new URL(location).pathname.replace('/storage/v1', '');
  return storage(path, {
    method: 'PATCH',
    headers: tusHeaders({
      'upload-offset': String(offset),
      'content-type': 'application/offset+octet-stream',
    }),
    body,
  });
}

test('errors are HTTP 400 with the real status as a string', async () => {
  const missing = await storage('/object/authenticated/documents/none');
  assert.equal(missing.status, 400);
  assert.deepEqual(await missing.json(), {
    statusCode: '404',
    error: 'not_found',
    message: 'Object not found',
    code: 'NoSuchKey',
  });
  const bad = await storage('/object/documents/x', { method: 'POST', body: 'x' }, 'Bearer a.b.c');
  assert.equal(bad.status, 400);
  assert.equal((await bad.json()).message, 'Invalid Compact JWS');
  const hidden = await storage('/object/documents/x', {}, null);
  assert.equal((await hidden.json()).error, 'Bucket not found');
});

test('buckets: made, limited, emptied and dropped by the service role only', async () => {
  const bucket = `b-${crypto.randomUUID()}`;
  const asService = (path, method, json) =>
    storage(path, { method, body: json && JSON.stringify(json) }, `Bearer ${ctx.service_key}`);
  const limits = { file_size_limit: 5, allowed_mime_types: ['text/plain'] };
  const user = await storage('/bucket', { method: 'POST', body: `{"name":"${bucket}"}` });
  assert.equal((await user.json()).statusCode, '403');
  const made = await asService('/bucket', 'POST', { name: bucket, public: true, ...limits });
  assert.deepEqual(await made.json(), { name: bucket });
  const twice = await asService('/bucket', 'POST', { name: bucket });
  assert.equal((await twice.json()).statusCode, '409');
  const put = (name, body, type) =>
    storage(
      `/object/${bucket}/${name}`,
      { method: 'POST', body, headers: { 'content-type': type } },
      `Bearer ${ctx.service_key}`,
    );
  assert.equal((await put('a', 'four', 'text/plain')).status, 200);
  assert.equal((await (await put('b', 'too long', 'text/plain')).json()).statusCode, '413');
  assert.equal((await (await put('c', '{}', 'application/json')).json()).statusCode, '415');
  const full = await asService(`/bucket/${bucket}`, 'DELETE');
  assert.equal((await full.json()).statusCode, '409');
  assert.equal((await asService(`/bucket/${bucket}/empty`, 'POST', {})).status, 200);
  assert.equal((await asService(`/bucket/${bucket}`, 'DELETE')).status, 200);
  const gone = await asService(`/bucket/${bucket}`, 'GET');
  assert.equal((await gone.json()).error, 'Bucket not found');
});

test('TUS: create, patch in pieces, look at the offset, read the object', async () => {
  const name = crypto.randomUUID();
  const location = await createUpload(name, 10);
  assert.ok(location.startsWith(`${ctx.url}/storage/v1/upload/resumable/`));
  const first = await patch(location, 0, 'hello');
  assert.equal(first.status, 204);
  assert.equal(first.headers.get('upload-offset'), '5');
  assert.equal(first.headers.get('tus-complete'), null);
  const seen = await fetch(location, { method: 'HEAD', headers: tusHeaders() });
  assert.equal(seen.status, 200);
  assert.equal(seen.headers.get('upload-offset'), '5');
  assert.equal(seen.headers.get('upload-length'), '10');
  assert.equal(seen.headers.get('cache-control'), 'no-store');
  const wrong = await patch(location, 3, 'xx');
  assert.equal(wrong.status, 409);
  assert.match(wrong.headers.get('content-type'), /^text\/plain/);
  const last = await patch(location, 5, 'world');
  assert.equal(last.headers.get('tus-complete'), '1');
  const read = await storage(`/object/authenticated/documents/${name}`);
  assert.equal(await read.text(), 'helloworld');
  assert.equal(read.headers.get('content-type'), 'text/plain');
});

test('TUS: Location follows X-Forwarded-Host and -Proto', async () => {
  const location = await createUpload(crypto.randomUUID(), 1, {
    'x-forwarded-host': 'gateway.example',
    'x-forwarded-proto': 'https',
  });
  assert.ok(location.startsWith('https://gateway.example/storage/v1/upload/resumable/'));
});

test('TUS: what arrived before a break stays and the rest follows', async () => {
  const name = crypto.randomUUID();
  const location = await createUpload(name, 100_000);
  const url = new URL(location);
  const req = http.request(url, {
    method: 'PATCH',
    headers: tusHeaders({
      authorization: `Bearer ${ctx.user1.token}`,
      'upload-offset': '0',
      'content-type': 'application/offset+octet-stream',
      'content-length': '100000',
    }),
  });
  req.on('error', () => {});
  req.write(Buffer.alloc(40_000, 'a'));
  const offsetNow = async () => {
    const { headers } = await fetch(location, { method: 'HEAD', headers: tusHeaders() });
    return Number(headers.get('upload-offset'));
  };
  while ((await offsetNow()) < 40_000);
  req.destroy();
  let rest = await patch(location, 40_000, Buffer.alloc(60_000, 'b'));
  while (rest.status === 409) {
    rest = await patch(location, 40_000, Buffer.alloc(60_000, 'b'));
  }
  assert.equal(rest.status, 204);
  const read = await storage(`/object/authenticated/documents/${name}`);
  assert.equal(await read.text(), 'a'.repeat(40_000) + 'b'.repeat(60_000));
});

test('TUS: too big is 413 and tells the limit', async () => {
  const response = await storage('/upload/resumable', {
    method: 'POST',
    headers: tusHeaders({
      'upload-length': String(2 ** 40),
      'upload-metadata': tusMetadata('big'),
    }),
  });
  assert.equal(response.status, 413);
  const options = await storage('/upload/resumable', { method: 'OPTIONS' });
  assert.equal(options.status, 204);
  assert.match(options.headers.get('tus-extension'), /creation-with-upload/);
});

test('a suffix range, If-Range and a download name', async () => {
  const bytes = await (await storage('/object/public/synthetic/100000', {}, null)).arrayBuffer();
  const suffix = await storage('/object/public/synthetic/100000', {
    headers: { range: 'bytes=-1000' },
  });
  assert.equal(suffix.status, 206);
  assert.deepEqual(await suffix.arrayBuffer(), bytes.slice(99_000));
  const middle = await storage('/object/public/synthetic/100000', {
    headers: { range: 'bytes=65000-66999', 'if-range': suffix.headers.get('etag') },
  });
  assert.deepEqual(await middle.arrayBuffer(), bytes.slice(65_000, 67_000));
  const changed = await storage('/object/public/synthetic/100000?download=a.bin', {
    headers: { range: 'bytes=0-1', 'if-range': '"other"' },
  });
  assert.equal(changed.status, 200);
  assert.match(changed.headers.get('content-disposition'), /^attachment; filename="a\.bin"/);
  await changed.arrayBuffer();
});

test('big bodies stream both ways: memory does not follow their size', async () => {
  const size = 128 * 1024 * 1024;
  const before = process.memoryUsage.rss();
  const hash = crypto.createHash('sha256');
  const down = await storage(`/object/public/synthetic/${size}`);
  for await (const chunk of down.body) {
    hash.update(chunk);
  }
  const expected = await syntheticSha256(size);
  assert.equal(hash.digest('hex'), expected);
  const req = http.request(`${ctx.url}/storage/v1/object/sink/big`, {
    method: 'POST',
    headers: { authorization: `Bearer ${ctx.user1.token}`, 'content-length': size },
  });
  syntheticStream(0, size).pipe(req);
  const [res] = await once(req, 'response');
  const answer = JSON.parse(Buffer.concat(await res.toArray()).toString());
  assert.deepEqual([answer.size, answer.sha256], [size, expected]);
  assert.ok(process.memoryUsage.rss() - before < size / 2);
  assert.ok(MAX_SYNTHETIC_BYTES > size);
});

test('an upload that breaks off leaves nothing', async () => {
  const name = crypto.randomUUID();
  const req = http.request(`${ctx.url}/storage/v1/object/documents/${name}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${ctx.user1.token}`, 'content-length': 1000 },
  });
  req.on('error', () => {});
  req.write('half');
  await ctx.control.requests({ path: `/storage/v1/object/documents/${name}`, min: 1 });
  req.destroy();
  const retry = await storage(`/object/documents/${name}`, { method: 'POST', body: 'whole' });
  assert.equal(retry.status, 200);
  const read = await storage(`/object/authenticated/documents/${name}`);
  assert.equal(await read.text(), 'whole');
});
