// suite-storage.mjs - what unmodified supabase-js expects of Storage, at any base URL.
import assert from 'node:assert/strict';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { client } from './supabase.mjs';

const BUCKET = 'documents';

/** `getContext()`: { url, anon_key, user1, user2 }. */
export function defineStorageSuite({ name, getContext }) {
  describe(`${name}: storage`, () => {
    let ctx;
    let bucket;

    before(async () => {
      ctx = await getContext();
      bucket = client(ctx, ctx.user1.token).storage.from(BUCKET);
    });

    async function put(path, body, options) {
      const { data, error } = await bucket.upload(path, body, options);
      assert.equal(error, null);
      return data;
    }

    test('an upload can be listed, read back byte by byte, and removed', async () => {
      const folder = randomUUID();
      const bytes = randomBytes(200_000);
      const put1 = await put(`${folder}/a b.bin`, bytes, { contentType: 'application/x-test' });
      assert.equal(put1.path, `${folder}/a b.bin`);
      const listed = await bucket.list(folder);
      assert.deepEqual(
        listed.data.map((o) => [o.name, o.metadata.size, o.metadata.mimetype]),
        [['a b.bin', bytes.length, 'application/x-test']],
      );
      const { data, error } = await bucket.download(`${folder}/a b.bin`);
      assert.equal(error, null);
      assert.deepEqual(Buffer.from(await data.arrayBuffer()), bytes);
      const removed = await bucket.remove([`${folder}/a b.bin`, `${folder}/none`]);
      assert.equal(removed.error, null);
      assert.equal(removed.data.length, 1);
      assert.deepEqual((await bucket.list(folder)).data, []);
    });

    test('a Blob goes up as a form and keeps its type and bytes', async () => {
      const path = `${randomUUID()}.txt`;
      const text = `--boundary\r\n${'x'.repeat(100_000)}\r\n--`;
      await put(path, new Blob([text], { type: 'text/plain' }), { cacheControl: '60' });
      const { data } = await bucket.download(path);
      assert.equal(await data.text(), text);
      const { data: info } = await bucket.info(path);
      assert.equal(info.contentType, 'text/plain');
      assert.equal(info.cacheControl, 'max-age=60');
    });

    test('a second upload is a duplicate unless it upserts', async () => {
      const path = randomUUID();
      await put(path, Buffer.from('one'));
      const again = await bucket.upload(path, Buffer.from('two'));
      assert.equal(again.error.statusCode, '409');
      assert.equal(again.error.message, 'The resource already exists');
      await put(path, Buffer.from('three'), { upsert: true });
      const { data } = await bucket.download(path);
      assert.equal(await data.text(), 'three');
    });

    test('a signed URL reads without a token, and only that object', async () => {
      const path = `${randomUUID()}/signed.txt`;
      await put(path, Buffer.from('signed'));
      const { data, error } = await bucket.createSignedUrl(path, 60);
      assert.equal(error, null);
      assert.ok(data.signedUrl.startsWith(`${ctx.url}/storage/v1/object/sign/`));
      const response = await fetch(data.signedUrl);
      assert.equal(response.status, 200);
      assert.equal(await response.text(), 'signed');
      const other = await fetch(data.signedUrl.replace('signed.txt', 'other.txt'));
      assert.equal(other.status, 400);
      await other.text();
    });

    test('a signed upload URL takes one upload', async () => {
      const path = `${randomUUID()}/up.txt`;
      const { data } = await bucket.createSignedUploadUrl(path);
      const anon = client(ctx).storage.from(BUCKET);
      const sent = await anon.uploadToSignedUrl(path, data.token, Buffer.from('up'));
      assert.equal(sent.error, null);
      assert.equal(await (await bucket.download(path)).data.text(), 'up');
    });

    test('a public bucket serves ranges, validators and 304', async () => {
      const path = `${randomUUID()}.bin`;
      const bytes = randomBytes(1000);
      const avatars = client(ctx, ctx.user1.token).storage.from('avatars');
      assert.equal((await avatars.upload(path, bytes)).error, null);
      const url = avatars.getPublicUrl(path).data.publicUrl;
      const part = await fetch(url, { headers: { range: 'bytes=10-19' } });
      assert.equal(part.status, 206);
      assert.equal(part.headers.get('content-range'), 'bytes 10-19/1000');
      assert.deepEqual(Buffer.from(await part.arrayBuffer()), bytes.subarray(10, 20));
      const etag = part.headers.get('etag');
      assert.equal(etag, `"${createHash('md5').update(bytes).digest('hex')}"`);
      assert.ok(part.headers.get('last-modified'));
      const same = await fetch(url, { headers: { 'if-none-match': etag } });
      assert.equal(same.status, 304);
      const beyond = await fetch(url, { headers: { range: 'bytes=5000-' } });
      assert.equal(beyond.status, 416);
      await beyond.text();
      const head = await fetch(url, { method: 'HEAD' });
      assert.equal(head.headers.get('content-length'), '1000');
    });

    test('objects can be copied and moved', async () => {
      const folder = randomUUID();
      await put(`${folder}/a`, Buffer.from('a'));
      assert.equal((await bucket.copy(`${folder}/a`, `${folder}/b`)).error, null);
      assert.equal((await bucket.move(`${folder}/a`, `${folder}/c`)).error, null);
      const names = (await bucket.list(folder)).data.map((o) => o.name);
      assert.deepEqual(names, ['b', 'c']);
      assert.equal(await (await bucket.download(`${folder}/c`)).data.text(), 'a');
    });

    test('without a user nothing is written and private objects do not exist', async () => {
      const anon = client(ctx).storage.from(BUCKET);
      const refused = await anon.upload(randomUUID(), Buffer.from('x'));
      assert.equal(refused.error.statusCode, '403');
      const path = randomUUID();
      await put(path, Buffer.from('secret'));
      const { error } = await anon.download(path);
      assert.ok(error);
    });
  });
}
