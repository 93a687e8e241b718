// The Auth part of the local stack: error shapes, sessions and refresh rules.
import assert from 'node:assert/strict';
import crypto, { randomUUID } from 'node:crypto';
import { after, before, beforeEach, describe, test } from 'node:test';
import { createCaller, useLocalbase } from './lib/localbase.mjs';

const NEW_SHAPE = { 'x-supabase-api-version': '2024-01-01' };

const stack = useLocalbase();
const call = createCaller(
  () => stack.url,
  () => stack.anon_key,
);
let db;

before(async () => {
  db = await stack.connect();
});

async function signUp() {
  const body = { email: `${randomUUID()}@example.com`, password: 'a long password' };
  const { json } = await call('POST', '/auth/v1/signup', { body });
  return { ...json, email: body.email };
}

const refresh = (token, headers = NEW_SHAPE) =>
  call('POST', '/auth/v1/token?grant_type=refresh_token', {
    body: { refresh_token: token },
    headers,
  });
const getUser = (token) => call('GET', '/auth/v1/user', { token, headers: NEW_SHAPE });

describe('errors', () => {
  test('the new shape is for those who name an API version', async () => {
    const body = { email: 'user1@example.com', password: 'wrong' };
    const path = '/auth/v1/token?grant_type=password';
    const fresh = await call('POST', path, { body, headers: NEW_SHAPE });
    assert.equal(fresh.status, 400);
    assert.deepEqual(fresh.json, {
      code: 'invalid_credentials',
      message: 'Invalid login credentials',
    });
    assert.equal(fresh.headers.get('x-supabase-api-version'), '2024-01-01');
    const old = await call('POST', path, { body });
    assert.deepEqual(old.json, {
      code: 400,
      error_code: 'invalid_credentials',
      msg: 'Invalid login credentials',
    });
    assert.equal(old.headers.get('x-supabase-api-version'), null);
    assert.equal(old.headers.get('x-sb-error-code'), 'invalid_credentials');
  });

  for (const [name, method, path, options, status, code] of [
    [
      'no bearer',
      'GET',
      '/user',
      { headers: { authorization: null }, key: 'publishable' },
      403,
      'bad_jwt',
    ],
    ['garbage', 'GET', '/user', { token: 'a.b.c' }, 403, 'bad_jwt'],
    ['a key is no user', 'GET', '/user', {}, 403, 'bad_jwt'],
    ['not JSON', 'POST', '/signup', { body: '{' }, 400, 'bad_json'],
    ['not an object', 'POST', '/signup', { body: '[]' }, 400, 'bad_json'],
    ['no password', 'POST', '/signup', { body: { email: 'a@b.c' } }, 400, 'validation_failed'],
    [
      'no e-mail address',
      'POST',
      '/signup',
      { body: { email: 'a', password: 'abcdefg' } },
      400,
      'validation_failed',
    ],
    ['unknown grant', 'POST', '/token?grant_type=x', { body: {} }, 400, 'invalid_credentials'],
    [
      'short refresh token',
      'POST',
      '/token?grant_type=refresh_token',
      { body: { refresh_token: 'x' } },
      400,
      'validation_failed',
    ],
    [
      'unknown refresh token',
      'POST',
      '/token?grant_type=refresh_token',
      { body: { refresh_token: 'abcdefghijkl' } },
      400,
      'refresh_token_not_found',
    ],
    [
      'too large',
      'POST',
      '/signup',
      { body: JSON.stringify({ data: { x: 'y'.repeat(1 << 20) } }) },
      413,
      'request_entity_too_large',
    ],
  ]) {
    test(`${name}: ${status} ${code}`, async () => {
      const key = options.key === 'publishable' ? stack.publishable_key : stack.anon_key;
      const headers = { ...NEW_SHAPE, ...options.headers };
      const answer = await call(method, `/auth/v1${path}`, { ...options, key, headers });
      assert.deepEqual([answer.status, answer.json.code], [status, code]);
    });
  }

  test('an unrouted path is plain text', async () => {
    const answer = await call('GET', '/auth/v1/nothing-here');
    assert.deepEqual([answer.status, answer.text], [404, '404 page not found\n']);
    assert.equal((await call('DELETE', '/auth/v1/token')).status, 405);
  });
});

describe('settings and keys', () => {
  test('health and settings answer', async () => {
    assert.equal((await call('GET', '/auth/v1/health')).json.name, 'GoTrue');
    const { json } = await call('GET', '/auth/v1/settings');
    assert.equal(json.external.email, true);
    assert.equal(json.mailer_autoconfirm, true);
  });

  test('JWKS needs no key and verifies an ES256 token', async () => {
    const response = await fetch(`${stack.url}/auth/v1/.well-known/jwks.json`);
    assert.equal(response.headers.get('cache-control'), 'public, max-age=600');
    const { keys } = await response.json();
    const jwk = keys.find(({ alg }) => alg === 'ES256');
    assert.equal(jwk.d, undefined);
    const exp = Math.floor(Date.now() / 1000) + 60;
    const token = await stack.control.signJwt(
      { sub: stack.user1.id, role: 'authenticated', exp },
      'ES256',
    );
    const [head, payload, signature] = token.split('.');
    const key = crypto.createPublicKey({ key: jwk, format: 'jwk' });
    const options = { key, dsaEncoding: 'ieee-p1363' };
    const input = Buffer.from(`${head}.${payload}`);
    assert.ok(crypto.verify('sha256', input, options, Buffer.from(signature, 'base64url')));
    assert.equal((await getUser(token)).json.id, stack.user1.id);
  });

  test('a rotated key stays published until it is forgotten', async () => {
    const exp = Math.floor(Date.now() / 1000) + 60;
    const claims = { sub: stack.user1.id, role: 'authenticated', exp };
    const kids = async () =>
      (await call('GET', '/auth/v1/.well-known/jwks.json')).json.keys.map(({ kid }) => kid);
    const old = await stack.control.signJwt(claims, 'ES256');
    const before = await kids();
    const kid = await stack.control.rotateKey('ES256');
    const during = await kids();
    assert.deepEqual(new Set(during), new Set([...before, kid]));
    const fresh = await stack.control.signJwt(claims, 'ES256');
    for (const token of [old, fresh]) {
      assert.equal((await getUser(token)).status, 200);
    }
    await stack.control.forgetKeys();
    assert.equal((await kids()).length, before.length);
    assert.equal((await getUser(old)).json.code, 'bad_jwt');
    assert.equal((await getUser(fresh)).status, 200);
  });

  test('the algorithm of new tokens can be changed', async () => {
    await stack.control.part('auth', 'configure', { jwt_alg: 'ES256' });
    const { access_token: token } = await signUp();
    await stack.control.part('auth', 'configure', { jwt_alg: 'HS256' });
    assert.match(Buffer.from(token.split('.')[0], 'base64url').toString(), /"alg":"ES256"/);
    assert.equal((await getUser(token)).status, 200);
  });

  test('without autoconfirm a sign-up gives a user and no session', async () => {
    await stack.control.part('auth', 'configure', { autoconfirm: false });
    try {
      const body = { email: `${randomUUID()}@example.com`, password: 'a long password' };
      const first = await call('POST', '/auth/v1/signup', { body });
      assert.deepEqual([first.status, first.json.access_token], [200, undefined]);
      const again = await call('POST', '/auth/v1/signup', { body });
      assert.deepEqual([again.status, again.json.identities], [200, []]);
      assert.notEqual(again.json.id, first.json.id);
      const signIn = await call('POST', '/auth/v1/token?grant_type=password', {
        body,
        headers: NEW_SHAPE,
      });
      assert.equal(signIn.json.code, 'email_not_confirmed');
    } finally {
      await stack.control.part('auth', 'configure', { autoconfirm: true });
    }
  });

  test('a token ends when its time is over', async () => {
    await stack.control.part('auth', 'configure', { jwt_exp: 1 });
    const { access_token: token, expires_in: life } = await signUp();
    await stack.control.part('auth', 'configure', { jwt_exp: 3600 });
    assert.equal(life, 1);
    const past = Math.floor(Date.now() / 1000) - 1;
    const old = await stack.control.signJwt({
      sub: stack.user1.id,
      role: 'authenticated',
      exp: past,
    });
    assert.equal((await getUser(old)).json.code, 'bad_jwt');
    assert.equal(token.split('.').length, 3);
  });
});

describe('sessions', () => {
  const scopes = { local: [403, 200], others: [200, 403], global: [403, 403] };
  for (const [scope, expected] of Object.entries(scopes)) {
    test(`logout ${scope} ends the right sessions`, async () => {
      const mine = await signUp();
      const body = { email: mine.email, password: 'a long password' };
      const other = (await call('POST', '/auth/v1/token?grant_type=password', { body })).json;
      const path = `/auth/v1/logout?scope=${scope}`;
      assert.equal((await call('POST', path, { token: mine.access_token })).status, 204);
      const seen = [await getUser(mine.access_token), await getUser(other.access_token)];
      assert.deepEqual(
        seen.map(({ status }) => status),
        expected,
      );
      const ended = seen.filter(({ status }) => status === 403);
      ended.forEach(({ json }) => assert.equal(json.code, 'session_not_found'));
    });
  }

  test('an unknown logout scope is refused', async () => {
    const { access_token: token } = await signUp();
    assert.equal((await call('POST', '/auth/v1/logout?scope=x', { token })).status, 400);
  });

  test('a deleted session keeps working for REST until the token ends', async () => {
    const { access_token: token } = await signUp();
    await call('POST', '/auth/v1/logout', { token });
    assert.equal((await call('GET', '/rest/v1/trips', { token })).status, 200);
  });

  test('a banned user is refused', async () => {
    const { access_token: token, refresh_token: refreshToken, user } = await signUp();
    await db.query("update auth.users set banned_until = now() + interval '1 hour' where id = $1", [
      user.id,
    ]);
    assert.equal((await getUser(token)).json.code, 'user_banned');
    const refused = await refresh(refreshToken);
    assert.deepEqual([refused.status, refused.json.code], [400, 'user_banned']);
  });

  test('a session past its end cannot be refreshed', async () => {
    const { refresh_token: token, user } = await signUp();
    await db.query(
      "update auth.sessions set not_after = now() - interval '1 s' where user_id = $1",
      [user.id],
    );
    assert.equal((await refresh(token)).json.code, 'session_expired');
  });

  test('a locked session answers 409 in the end', async () => {
    const { refresh_token: token, user } = await signUp();
    await db.query('begin');
    await db.query('select 1 from auth.sessions where user_id = $1 for update', [user.id]);
    const refused = await refresh(token);
    await db.query('rollback');
    assert.deepEqual([refused.status, refused.json.code], [409, 'conflict']);
    assert.equal((await refresh(token)).status, 200);
  });
});

for (const version of [1, 2]) {
  describe(`refresh tokens of version ${version}`, () => {
    beforeEach(() =>
      stack.control.part('auth', 'configure', {
        refresh_token_version: version,
        reuse_interval: 0,
      }),
    );
    after(() =>
      stack.control.part('auth', 'configure', { refresh_token_version: 1, reuse_interval: 10 }),
    );

    test('the same token twice gives the same successor', async () => {
      const { refresh_token: first } = await signUp();
      assert.ok(version === 1 ? first.length === 12 : first.length >= 51);
      const one = await refresh(first);
      const two = await refresh(first);
      assert.equal(one.status, 200);
      assert.equal(two.json.refresh_token, one.json.refresh_token);
      assert.equal(two.headers.get('sb-auth-refresh-token-reuse-cause'), 'fail-to-save');
    });

    test('parallel refreshes agree on the successor', async () => {
      const { refresh_token: first } = await signUp();
      const answers = await Promise.all(Array.from({ length: 8 }, () => refresh(first)));
      assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
      assert.equal(new Set(answers.map(({ json }) => json.refresh_token)).size, 1);
    });

    test('a grandparent outside the interval ends the session', async () => {
      const { refresh_token: first } = await signUp();
      const second = (await refresh(first)).json.refresh_token;
      const third = (await refresh(second)).json.refresh_token;
      const reused = await refresh(first);
      assert.deepEqual([reused.status, reused.json.code], [400, 'refresh_token_already_used']);
      assert.equal((await refresh(third)).status, 400);
    });

    test('a grandparent within the interval is let through', async () => {
      await stack.control.part('auth', 'configure', { reuse_interval: 600 });
      const { refresh_token: first } = await signUp();
      const second = (await refresh(first)).json.refresh_token;
      await refresh(second);
      const reused = await refresh(first);
      assert.equal(reused.status, 200);
      assert.equal(reused.headers.get('sb-auth-refresh-token-reuse-cause'), 'concurrent-refresh');
    });
  });
}

test('a forged version 2 token is unknown, a damaged one is invalid', async () => {
  await stack.control.part('auth', 'configure', { refresh_token_version: 2 });
  const { refresh_token: good } = await signUp();
  await stack.control.part('auth', 'configure', { refresh_token_version: 1 });
  const raw = Buffer.from(good, 'base64url');
  const forged = Buffer.from(raw.subarray(0, -4));
  forged[forged.length - 1] ^= 1;
  const sum = crypto.createHash('sha256').update(forged).digest().subarray(0, 4);
  const unknown = await refresh(Buffer.concat([forged, sum]).toString('base64url'));
  assert.equal(unknown.json.code, 'refresh_token_not_found');
  raw[20] ^= 1;
  assert.equal((await refresh(raw.toString('base64url'))).json.code, 'validation_failed');
});
