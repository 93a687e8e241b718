// The edge of the local stack: keys and their swap, CORS, its own error bodies.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createCaller, useLocalbase } from './lib/localbase.mjs';

const WHO = '/rest/v1/rpc/whoami';

describe('the hosted manner', () => {
  const stack = useLocalbase();
  const call = createCaller(
    () => stack.url,
    () => stack.anon_key,
  );
  const roleOf = async (headers) =>
    (await call('GET', WHO, { headers: { authorization: null, apikey: null, ...headers } })).json
      .user;

  test('every kind of key stands for its role', async () => {
    assert.equal(await roleOf({ apikey: stack.anon_key }), 'anon');
    assert.equal(await roleOf({ apikey: stack.publishable_key }), 'anon');
    assert.equal(await roleOf({ apikey: stack.service_key }), 'service_role');
    assert.equal(await roleOf({ apikey: stack.secret_key }), 'service_role');
    const { publishable_key: apikey } = stack;
    assert.equal(await roleOf({ apikey, authorization: `Bearer ${apikey}` }), 'anon');
    assert.equal(
      await roleOf({ apikey, authorization: `Bearer ${stack.user1.token}` }),
      'authenticated',
    );
  });

  test('no key and a wrong key are told apart', async () => {
    const none = await call('GET', '/rest/v1/trips', {
      headers: { apikey: null, authorization: null },
    });
    assert.equal(none.status, 401);
    assert.equal(none.json.message, 'No API key found in request');
    assert.match(none.json.hint, /apikey/);
    for (const key of ['nonsense', stack.user1.token, `${stack.anon_key}x`]) {
      const wrong = await call('GET', '/rest/v1/trips', { key });
      assert.deepEqual([wrong.status, wrong.json.message], [401, 'Invalid API key']);
    }
  });

  test('an opaque key as bearer must be the apikey', async () => {
    const token = stack.secret_key;
    assert.equal((await call('GET', '/rest/v1/trips', { token })).status, 401);
    assert.equal((await call('GET', '/rest/v1/trips', { token, key: token })).status, 200);
  });

  test('a secret key from a browser is refused', async () => {
    const headers = { 'user-agent': 'Mozilla/5.0 (X11; Linux x86_64)' };
    const { status } = await call('GET', '/rest/v1/trips', { key: stack.secret_key, headers });
    assert.equal(status, 401);
    assert.equal((await call('GET', '/rest/v1/trips', { headers })).status, 200);
  });

  test('the key in the query opens the edge and upsets REST', async () => {
    const headers = { apikey: null, authorization: null };
    const auth = await call('GET', `/auth/v1/settings?apikey=${stack.anon_key}`, { headers });
    assert.equal(auth.status, 200);
    const rest = await call('GET', `/rest/v1/trips?apikey=${stack.anon_key}`, { headers });
    assert.deepEqual([rest.status, rest.json.code], [400, 'PGRST100']);
  });

  test('preflights are answered before any key is asked for', async () => {
    const response = await fetch(`${stack.url}/rest/v1/trips`, {
      method: 'OPTIONS',
      headers: {
        origin: 'https://app.example',
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'apikey, prefer, x-anything',
      },
    });
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('access-control-allow-origin'), '*');
    assert.equal(
      response.headers.get('access-control-allow-headers'),
      'apikey, prefer, x-anything',
    );
    assert.match(response.headers.get('access-control-allow-methods'), /PATCH/);
  });

  test('errors of the edge can be read by a browser', async () => {
    const { headers } = await call('GET', '/rest/v1/trips', { key: 'nonsense' });
    assert.equal(headers.get('access-control-allow-origin'), '*');
  });

  test('GraphQL is a function of a schema of its own', async () => {
    const body = { query: '{ __typename }' };
    const answer = await call('POST', '/graphql/v1', { body });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('content-profile'), 'graphql_public');
    assert.match(answer.json.errors[0].message, /not enabled/);
  });

  test('an unknown path has no route', async () => {
    const answer = await call('GET', '/nowhere');
    assert.deepEqual(
      [answer.status, answer.json.message],
      [404, 'no Route matched with those values'],
    );
  });

  test('requests of any size of head up to the limit pass', async () => {
    const list = Array.from({ length: 300 }, () => stack.trip1_id).join(',');
    const { status } = await call('GET', `/rest/v1/trips?id=in.(${list})`, {
      token: stack.user1.token,
    });
    assert.equal(status, 200);
  });
});

describe('the manner of Kong', () => {
  const stack = useLocalbase({ edge: 'kong' });
  const call = createCaller(
    () => stack.url,
    () => stack.anon_key,
  );

  test('a lone legacy service key arrives raw and REST sees nobody', async () => {
    const headers = { authorization: null };
    const legacy = await call('GET', WHO, { key: stack.service_key, headers });
    assert.equal(legacy.json.user, 'anon');
    const opaque = await call('GET', WHO, { key: stack.secret_key, headers });
    assert.equal(opaque.json.user, 'service_role');
  });

  test('its bodies', async () => {
    const headers = { apikey: null, authorization: null };
    const none = await call('GET', '/rest/v1/trips', { headers });
    assert.deepEqual(none.json, { message: 'No API key found in request' });
    const wrong = await call('GET', '/rest/v1/trips', { key: 'x' });
    assert.deepEqual(wrong.json, { message: 'Invalid authentication credentials' });
  });
});

describe('the manner of Envoy', () => {
  const stack = useLocalbase({ edge: 'envoy' });
  const call = createCaller(
    () => stack.url,
    () => stack.anon_key,
  );

  test('its refusal is plain text', async () => {
    const wrong = await call('GET', '/rest/v1/trips', { key: 'x' });
    assert.deepEqual([wrong.status, wrong.text], [401, 'Unauthorized']);
    assert.equal(wrong.headers.get('content-type'), 'text/plain');
  });
});
