// Signing out: the streams of a session end on every gateway, its tokens open no new ones.
// also under tsan
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import { useLocalbase } from './lib/localbase.mjs';
import { startRedis } from './lib/redis.mjs';
import { openStream } from './lib/sse.mjs';
import { placeGateway, TASKS, until, Writer } from './lib/streams.mjs';
import { client } from './lib/supabase.mjs';
import { openSocket } from './lib/ws.mjs';

const stack = useLocalbase();
const SECRET = 'group-secret-group-secret-group-secret';
const PASSWORD = 'a long password';
const BOUND_MS = 2000; // from the answer of the sign-out to the last bye

const claimsOf = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString());

/** An unmodified supabase-js client of the gateway, signed in as a user of its own. */
async function signUp(gateway) {
  const supabase = client({ url: gateway.url, anon_key: stack.anon_key });
  const email = `${randomUUID()}@example.com`;
  const { data, error } = await supabase.auth.signUp({ email, password: PASSWORD });
  assert.equal(error, null);
  return { supabase, email, token: data.session.access_token };
}

/** Another session of the same user. */
async function signInAgain(gateway, { email }) {
  const supabase = client({ url: gateway.url, anon_key: stack.anon_key });
  const { data, error } = await supabase.auth.signInWithPassword({ email, password: PASSWORD });
  assert.equal(error, null);
  return { supabase, email, token: data.session.access_token };
}

/** Tokens issued from now on are of a later second than these. */
async function nextSecond(...users) {
  const newest = Math.max(...users.map(({ token }) => claimsOf(token).iat));
  await until(() => Date.now() >= (newest + 1) * 1000, 'the next second');
}

const logout = (gateway, token, query = '') =>
  fetch(`${gateway.url}/auth/v1/logout${query}`, {
    method: 'POST',
    headers: { apikey: stack.anon_key, authorization: `Bearer ${token}` },
  });

async function open(t, gateway, token, more = {}) {
  const stream = await openStream(gateway.url, { topics: TASKS, token, ...more });
  t.after(() => stream.kill());
  await stream.take('hello');
  return stream;
}

const byeOf = async (stream) => {
  const bye = await stream.take('bye', () => true, { timeoutMs: BOUND_MS });
  await stream.ended;
  return bye.data.reason;
};

/** The code with which own endpoints refuse it; undefined: they do not. */
async function codeOf(gateway, token) {
  const response = await fetch(`${gateway.url}/sync/v1/ticket`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}` },
  });
  const { code } = await response.json();
  assert.equal(response.status, code === undefined ? 200 : 401);
  return code;
}

const poll = (gateway, token, query) =>
  fetch(`${gateway.url}/sync/v1/poll?topic=${TASKS}&${query}`, {
    headers: { authorization: `Bearer ${token}` },
  });

const isRefused = async (gateway, token) => (await codeOf(gateway, token)) === 'TG418';

async function oneGateway(t, settings = {}) {
  return { here: await placeGateway(t, stack, { server: { workers: 2 }, ...settings }) };
}

async function twoGateways(t) {
  const redis = await startRedis(t);
  const group = {
    server: { workers: 2 },
    store: { url: redis.url, timeout: '1s' },
    gateway: { group_size: 2, secret: SECRET, lease: '2s' },
  };
  const here = await placeGateway(t, stack, group);
  return { redis, here, there: await placeGateway(t, stack, group) };
}

for (const [kind, make] of [
  ['in memory', oneGateway],
  ['on Redis, two gateways', twoGateways],
]) {
  describe(`signOut() of supabase-js, the store ${kind}`, () => {
    test('ends the streams of the session, refuses its token, passes it upstream', async (t) => {
      const { here, there = here } = await make(t);
      const user = await signUp(here);
      const streams = await Promise.all(
        [here, here, there, there].map((g) => open(t, g, user.token)),
      );
      const stranger = await open(t, there, stack.user1.token);
      assert.equal((await user.supabase.auth.signOut()).error, null);
      for (const stream of streams) {
        assert.equal(await byeOf(stream), 'signed_out');
      }
      for (const gateway of [here, there]) {
        await until(() => isRefused(gateway, user.token), 'a refusal', BOUND_MS);
        const refused = await openStream(gateway.url, { topics: TASKS, token: user.token }).catch((e) => e);
        assert.equal(refused.status, 401);
        assert.equal(refused.json.code, 'TG418');
        const rest = await fetch(`${gateway.url}/rest/v1/tasks?limit=1`, {
          headers: { apikey: stack.anon_key, authorization: `Bearer ${user.token}` },
        });
        assert.equal(rest.status, 200, 'Supabase decides');
      }
      assert.equal(stranger.ofType('bye').length, 0);
      const writer = await Writer.to(stack);
      await writer.tasks('after the sign-out');
      await stranger.take('message');
    });

    test('with scope=local leaves the other sessions alone', async (t) => {
      const { here, there = here } = await make(t);
      const user = await signUp(here);
      const other = await signInAgain(here, user);
      const mine = await open(t, there, user.token);
      const others = await Promise.all([here, there].map((g) => open(t, g, other.token)));
      await user.supabase.auth.signOut({ scope: 'local' });
      assert.equal(await byeOf(mine), 'signed_out');
      await until(() => isRefused(there, user.token), 'a refusal', BOUND_MS);
      for (const stream of others) {
        assert.ok(!stream.isEnded && stream.ofType('bye').length === 0);
      }
      for (const gateway of [here, there]) {
        assert.equal(await codeOf(gateway, other.token), undefined);
      }
    });

    test('with scope=others ends all but this one', async (t) => {
      const { here, there = here } = await make(t);
      const user = await signUp(here);
      const other = await signInAgain(here, user);
      await nextSecond(user, other);
      const mine = await open(t, there, user.token);
      const theirs = await open(t, there, other.token);
      await user.supabase.auth.signOut({ scope: 'others' });
      assert.equal(await byeOf(theirs), 'signed_out');
      await until(() => isRefused(there, other.token), 'a refusal', BOUND_MS);
      assert.equal(await codeOf(there, user.token), undefined);
      assert.ok(!mine.isEnded && mine.ofType('bye').length === 0);
    });

    test('everywhere refuses tokens from before, and who signs in again is welcome', async (t) => {
      const { here, there = here } = await make(t);
      const user = await signUp(here);
      const other = await signInAgain(here, user);
      await nextSecond(user, other);
      const theirs = await open(t, there, other.token);
      await user.supabase.auth.signOut();
      assert.equal(await byeOf(theirs), 'signed_out');
      for (const gateway of [here, there]) {
        await until(() => isRefused(gateway, user.token), 'a refusal', BOUND_MS);
        await until(() => isRefused(gateway, other.token), 'a refusal', BOUND_MS);
      }
      const again = await signInAgain(here, user);
      const stream = await open(t, there, again.token);
      assert.equal(await codeOf(here, again.token), undefined);
      assert.equal(stream.ofType('bye').length, 0);
    });

    test('ends WebSockets with 1008, also when their token has moved on', async (t) => {
      const { here, there = here } = await make(t);
      const user = await signUp(here);
      const other = await signInAgain(here, user);
      const socket = await openSocket(there.url, { topics: TASKS, token: other.token });
      t.after(() => socket.kill());
      await socket.tell('token', { token: user.token });
      const stays = await openSocket(there.url, { topics: TASKS, token: other.token });
      t.after(() => stays.kill());
      await user.supabase.auth.signOut({ scope: 'local' });
      const bye = await socket.take('bye', () => true, { timeoutMs: BOUND_MS });
      assert.equal(bye.data.reason, 'signed_out');
      assert.equal((await socket.closed).code, 1008);
      // Nobody moves a socket to a session that is over.
      await until(() => isRefused(there, user.token), 'a refusal', BOUND_MS);
      const answer = await stays.ask('token', { token: user.token });
      assert.equal(answer.event, 'error');
      assert.equal(answer.code, 'TG418');
      assert.equal((await stays.tell('token', { token: other.token })).event, 'ok');
    });

    test('of one session, many at once, is one sign-out', async (t) => {
      const { here, there = here } = await make(t);
      const user = await signUp(here);
      const other = await signInAgain(here, user);
      const streams = await Promise.all([here, here, there, there].map((g) => open(t, g, user.token)));
      const theirs = await open(t, there, other.token);
      const answers = await Promise.all(Array.from({ length: 12 }, (_, i) =>
        logout(i % 2 === 0 ? here : there, user.token, '?scope=local')));
      // Auth knows the session for the first, and perhaps for some that came with it.
      const statuses = answers.map(({ status }) => status);
      assert.ok(statuses.includes(204), String(statuses));
      assert.ok(statuses.every((status) => [204, 403].includes(status)), String(statuses));
      for (const stream of streams) {
        assert.equal(await byeOf(stream), 'signed_out');
        assert.equal(stream.ofType('bye').length, 1);
      }
      for (const gateway of [here, there]) {
        await until(() => isRefused(gateway, user.token), 'a refusal', BOUND_MS);
        assert.equal(await codeOf(gateway, other.token), undefined);
      }
      assert.ok(!theirs.isEnded);
    });

    test('ends a poll that waits', async (t) => {
      const { here, there = here } = await make(t);
      const user = await signUp(here);
      const first = await poll(there, user.token, 'wait=0');
      const waiting = poll(there, user.token, `wait=60&cursor=${first.headers.get('tidegate-cursor')}`);
      await until(async () => (await there.metric('tidegate_streams')) === 1, 'the poll to wait');
      const began = Date.now();
      await user.supabase.auth.signOut();
      const answer = await waiting;
      assert.ok(Date.now() - began < BOUND_MS);
      assert.equal((await answer.text()).includes('"record"'), false);
      await until(() => isRefused(there, user.token), 'a refusal', BOUND_MS);
      assert.equal((await poll(there, user.token, 'wait=60')).status, 401);
    });

    test('makes tickets of the session useless', async (t) => {
      const { here, there = here } = await make(t);
      const user = await signUp(here);
      const response = await fetch(`${here.url}/sync/v1/ticket`, {
        method: 'POST',
        headers: { authorization: `Bearer ${user.token}` },
      });
      const { ticket } = await response.json();
      await user.supabase.auth.signOut();
      await until(() => isRefused(there, user.token), 'a refusal', BOUND_MS);
      const refused = await openStream(there.url, { topics: TASKS, params: { ticket } }).catch((e) => e);
      assert.equal(refused.json.code, 'TG418');
    });
  });
}

describe('a sign-out that Auth', () => {
  test('refuses ends nothing', async (t) => {
    const { here } = await oneGateway(t);
    const user = await signUp(here);
    const stream = await open(t, here, user.token);
    assert.equal((await logout(here, user.token, '?scope=nonsense')).status, 400);
    const fault = await stack.control.fault({ path: '/auth/v1/logout', status: 500 });
    assert.equal((await logout(here, user.token)).status, 500);
    await stack.control.clearFaults();
    assert.ok(fault !== undefined);
    assert.equal(await codeOf(here, user.token), undefined);
    assert.equal(stream.ofType('bye').length, 0);
  });

  test('knows nothing of any more ends that session', async (t) => {
    const { here } = await oneGateway(t);
    const user = await signUp(here);
    const other = await signInAgain(here, user);
    const stream = await open(t, here, user.token);
    const theirs = await open(t, here, other.token);
    // Elsewhere, past the gateway.
    const direct = await fetch(`${stack.url}/auth/v1/logout?scope=local`, {
      method: 'POST',
      headers: { apikey: stack.anon_key, authorization: `Bearer ${user.token}` },
    });
    assert.equal(direct.status, 204);
    assert.equal(await codeOf(here, user.token), undefined);
    assert.equal((await logout(here, user.token)).status, 403);
    assert.equal(await byeOf(stream), 'signed_out');
    // Another worker may hear of it a moment later.
    await until(() => isRefused(here, user.token), 'a refusal', BOUND_MS);
    assert.ok(!theirs.isEnded);
  });

  test('gets without a token of ours ends nothing', async (t) => {
    const { here } = await oneGateway(t);
    const user = await signUp(here);
    const stream = await open(t, here, user.token);
    const forged = `${user.token.slice(0, -6)}AAAAAA`;
    await logout(here, forged);
    await logout(here, stack.anon_key);
    assert.equal(await codeOf(here, user.token), undefined);
    assert.equal(stream.ofType('bye').length, 0);
  });
});

describe('the deny list', () => {
  test('outlasts restarts of gateways, and no token is in it or in the logs', async (t) => {
    const { redis, here, there } = await twoGateways(t);
    const user = await signUp(here);
    await user.supabase.auth.signOut();
    await until(() => isRefused(there, user.token), 'a refusal', BOUND_MS);
    const stopped = [await here.stop(), await there.stop()];
    await there.start();
    await until(() => isRefused(there, user.token), 'a refusal', BOUND_MS);
    await redis.save();
    for (const log of stopped.map((g) => g.lines())) {
      assert.ok(!log.includes(user.token.split('.')[1]) && !log.includes(user.token.split('.')[2]));
      assert.ok(!log.includes(user.email));
    }
  });

  test('is read again by a gateway that was cut off from the store', async (t) => {
    const { redis, here, there } = await twoGateways(t);
    const user = await signUp(here);
    const stream = await open(t, there, user.token);
    redis.freeze();
    try {
      await there.log.take((l) => l.event === 'store_down', { timeoutMs: 40_000 });
      await here.log.take((l) => l.event === 'store_down', { timeoutMs: 40_000 });
      // This gateway acts at once, the other one when it can know.
      const own = await signInAgain(here, user);
      assert.equal((await own.supabase.auth.signOut({ scope: 'local' })).error, null);
      await until(() => isRefused(here, own.token), 'a refusal', BOUND_MS);
      assert.equal((await user.supabase.auth.signOut({ scope: 'local' })).error, null);
      await until(() => isRefused(here, user.token), 'a refusal', BOUND_MS);
      assert.equal(await codeOf(there, user.token), undefined);
    } finally {
      redis.go();
    }
    await until(() => isRefused(there, user.token), 'a refusal', 40_000);
    const bye = await stream.take('bye', () => true, { timeoutMs: 40_000 });
    assert.equal(bye.data.reason, 'signed_out');
  });
});
