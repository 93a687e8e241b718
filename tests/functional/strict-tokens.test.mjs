// Short-lived tokens on a strict topic: the user's newest one goes upstream before the old one ends;
// when no good token is left the channel is left, and so is the promise: a replay says `reset`.
// not under sanitizers: it waits for a token's end most of the time
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ask } from './lib/device.mjs';
import { useLocalbase } from './lib/localbase.mjs';
import { openStream } from './lib/sse.mjs';
import { placeGateway, TASKS, titles, until, Writer } from './lib/streams.mjs';
import { openSocket } from './lib/ws.mjs';

const LIFE_S = 62; /* one with less than a minute left is not joined with */
const stack = useLocalbase();
const now = () => Date.now() / 1000;

/** A session's next token, which lasts so long. */
async function grant(url, lifeS, type, body) {
  await stack.control.part('auth', 'configure', { jwt_exp: lifeS });
  const headers = { apikey: stack.anon_key };
  const { status, json } = await ask(url, `/auth/v1/token?grant_type=${type}`, { method: 'POST', headers, body });
  await stack.control.part('auth', 'configure', { jwt_exp: 3600 });
  assert.equal(status, 200, JSON.stringify(json));
  return { token: json.access_token, refresh: json.refresh_token, exp: json.expires_at };
}

const signIn = (url, { email, password }, lifeS) => grant(url, lifeS, 'password', { email, password });
const renew = (url, { refresh }) => grant(url, 3600, 'refresh_token', { refresh_token: refresh });

/** The user's channels as upstream has them. */
async function upstream({ id }) {
  const { sockets } = await stack.control.part('realtime', 'state');
  return sockets.flatMap(({ channels }) => channels).filter(({ sub }) => sub === id);
}

const saw = (client, title) => client.take('message', (e) => e.data.record.title === title);

test('the newest token goes upstream in time; without one the coverage ends', async (t) => {
  const place = await placeGateway(t, stack, { streams: { token_grace: '0' } });
  const writer = await Writer.to(stack);
  const write = (title) =>
    Promise.all([writer.tasks(title, stack.trip1_id), writer.tasks(title, stack.trip2_id)]);
  const kept = await signIn(place.url, stack.user1, LIFE_S);
  const left = await signIn(place.url, stack.user2, LIFE_S);
  const keeps = await openSocket(place.url, { topics: TASKS, token: kept.token });
  t.after(() => keeps.kill());
  const leaves = await openStream(place.url, { topics: TASKS, token: left.token });
  t.after(() => leaves.kill());
  await leaves.take('hello');
  await write('covered');
  await Promise.all([saw(keeps, 'covered'), saw(leaves, 'covered')]);
  const joins = await place.metric('tidegate_upstream_joins_total');

  const fresh = await renew(place.url, kept);
  assert.deepEqual((await upstream(stack.user1)).map(({ exp }) => exp), [kept.exp]);
  await keeps.tell('token', { token: fresh.token });
  await until(async () => (await upstream(stack.user1)).some(({ exp }) => exp === fresh.exp), 'the fresh token');
  assert.ok(now() < kept.exp, 'the one before is still good');

  assert.deepEqual((await upstream(stack.user2)).map(({ exp }) => exp), [left.exp]);
  await place.log.take((l) => l.event === 'feed_expired', { timeoutMs: (LIFE_S + 20) * 1000 });
  assert.ok(now() >= left.exp, 'not before its end');
  await until(async () => (await upstream(stack.user2)).length === 0, 'the channel to be left');
  assert.equal((await leaves.take('bye')).data.reason, 'expired');
  await leaves.ended;

  await write('uncovered');
  await saw(keeps, 'uncovered');
  assert.deepEqual(keeps.ofType('reset'), []);
  assert.equal(await place.metric('tidegate_upstream_joins_total'), joins, 'nothing was joined anew');
  assert.equal(await place.metric('tidegate_feeds_live'), 1);

  const { token } = await renew(place.url, left);
  const again = await openStream(place.url, { topics: TASKS, token, lastEventId: leaves.lastId });
  t.after(() => again.kill());
  const [topic] = (await again.take('hello')).data.topics;
  assert.deepEqual([topic.recovered, topic.reason], [false, 'gap']);
  assert.equal((await again.take('reset')).data.reason, 'gap');
  await write('covered again');
  await saw(again, 'covered again');
  assert.deepEqual(titles(again.rows), ['covered again']);
  assert.equal(await place.metric('tidegate_upstream_joins_total'), joins + 1);
});

test('a token with less than a minute left is joined with by nobody', async (t) => {
  const place = await placeGateway(t, stack);
  const { token } = await signIn(place.url, stack.user1, 50);
  const refused = await openStream(place.url, { topics: TASKS, token }).then(assert.fail, (error) => error);
  assert.equal(refused.status, 401, refused.message);
  assert.deepEqual(await upstream(stack.user1), []);
  // A longer one of the same user opens the topic for both.
  const { token: longer } = await signIn(place.url, stack.user1, 3600);
  for (const good of [longer, token]) {
    const s = await openStream(place.url, { topics: TASKS, token: good });
    t.after(() => s.kill());
    assert.equal((await s.take('hello')).data.topics[0].state, 'ready');
  }
});
