// suite-functions.mjs - what unmodified supabase-js expects of Functions, at any base URL.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { client } from './supabase.mjs';

/** `getContext()`: { url, anon_key, user1 }. */
export function defineFunctionsSuite({ name, getContext }) {
  describe(`${name}: functions`, () => {
    let ctx;
    let functions;

    before(async () => {
      ctx = await getContext();
      functions = client(ctx, ctx.user1.token).functions;
    });

    test('invoke sends JSON and the user token, and reads JSON', async () => {
      const { data, error } = await functions.invoke('hello', { body: { name: 'Ada' } });
      assert.equal(error, null);
      assert.deepEqual(data, { message: 'Hello Ada!' });
      const echoed = await functions.invoke('echo', { body: { a: 1 } });
      assert.equal(echoed.data.method, 'POST');
      assert.equal(echoed.data.body, '{"a":1}');
      const raw = echoed.data.raw_headers;
      const at = raw.findIndex((name_, i) => i % 2 === 0 && /^authorization$/i.test(name_));
      assert.equal(raw[at + 1], `Bearer ${ctx.user1.token}`);
    });

    test('invoke passes binary bodies and other verbs', async () => {
      const body = randomBytes(100_000);
      const { data } = await functions.invoke('echo/below?x=%2F&x=2', {
        method: 'PUT',
        body: new Uint8Array(body).buffer,
      });
      assert.equal(data.method, 'PUT');
      assert.equal(data.target, '/functions/v1/echo/below?x=%2F&x=2');
      assert.equal(data.body_bytes, body.length);
      assert.equal(data.body_sha256, createHash('sha256').update(body).digest('hex'));
    });

    test('a failing function is an HTTP error, a failing relay a relay error', async () => {
      const failed = await functions.invoke('status/402');
      assert.equal(failed.error.name, 'FunctionsHttpError');
      assert.equal(failed.error.context.status, 402);
      await failed.error.context.text();
      const relayed = await functions.invoke('relay-error');
      assert.equal(relayed.error.name, 'FunctionsRelayError');
      await relayed.error.context.text();
    });

    test('an event stream arrives piece by piece', async () => {
      const response = await fetch(`${ctx.url}/functions/v1/sse?events=3&ms=5`, {
        headers: { apikey: ctx.anon_key },
      });
      assert.equal(response.headers.get('content-type'), 'text/event-stream');
      assert.equal((await response.text()).match(/^id: \d$/gm).length, 3);
    });
  });
}
