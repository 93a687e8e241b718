// Who may read a topic: PostgREST is asked as the user, once for all who ask the same, again when
// the answer is old, and what it says then holds for streams that are open (also under tsan: where
// several workers ask the same).
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { useLocalbase } from './lib/localbase.mjs';
import { poll } from './lib/poll.mjs';
import { publish } from './lib/publisher.mjs';
import { openStream } from './lib/sse.mjs';
import { placeGateway, until } from './lib/streams.mjs';
import { openSocket } from './lib/ws.mjs';

const AUTHORIZE = 'trip_members?select=user_id&trip_id=eq.{key}&user_id=eq.{sub}';
const QUESTIONS = '/rest/v1/trip_members';
const stack = useLocalbase();

const notes = (more = {}) => ({ 'trip-notes': { key_type: 'uuid', authorize: AUTHORIZE, ...more } });
const topicOf = (trip) => `trip-notes:${trip}`;
const questions = async () => (await stack.control.requests({ path: QUESTIONS })).length;

async function setMember(trip, user, isMember) {
  const db = await stack.connect();
  const sql = isMember
    ? 'insert into public.trip_members (trip_id, user_id) values ($1, $2) on conflict do nothing'
    : 'delete from public.trip_members where trip_id = $1 and user_id = $2';
  await db.query(sql, [trip, user]);
}

/** By each transport: what a subscription is answered, [status, code]. */
const SUBSCRIBE = {
  sse: (place, topics, token) =>
    openStream(place.url, { topics, token }).then(
      (stream) => {
        stream.kill();
        return [200];
      },
      (error) => [error.status, error.json.code, error.json.details],
    ),
  ws: async (place, topics, token) => {
    const socket = await openSocket(place.url, { token });
    const answer = await socket.ask('subscribe', { topic: topics });
    socket.kill();
    return answer.event === 'ok' ? [200] : [answer.code.startsWith('TG43') ? 403 : 503, answer.code, answer.details];
  },
  poll: async (place, topics, token) => {
    const { status, json } = await poll(place.url, { topics, token, params: { wait: '0' } });
    return status === 204 ? [200] : [status, json.code, json.details];
  },
};

beforeEach(async () => {
  await stack.ready;
  await stack.control.clearFaults();
  await stack.control.clearRequests();
  await setMember(stack.trip1_id, stack.user2.id, false);
});

describe('admission', () => {
  for (const [transport, subscribe] of Object.entries(SUBSCRIBE)) {
    test(`a member may read, a stranger may not, by ${transport}`, async (t) => {
      const place = await placeGateway(t, stack, { topics: notes() });
      const topic = topicOf(stack.trip1_id);
      assert.deepEqual(await subscribe(place, topic, stack.user1.token), [200]);
      const [status, code, details] = await subscribe(place, topic, stack.user2.token);
      assert.deepEqual([status, code], [403, 'TG430']);
      assert.match(details, /you may not read/);
    });

    test(`nobody knows while PostgREST fails, by ${transport}`, async (t) => {
      const place = await placeGateway(t, stack, { topics: notes() });
      await stack.control.fault({ method: 'GET', path: QUESTIONS, status: 503, count: 20 });
      const [status, code] = await subscribe(place, topicOf(stack.trip1_id), stack.user1.token);
      assert.deepEqual([status, code], [503, 'TG613']);
      await stack.control.clearFaults();
      assert.deepEqual(await subscribe(place, topicOf(stack.trip1_id), stack.user1.token), [200]);
    });
  }

  test('without a user it is refused unasked', async (t) => {
    const place = await placeGateway(t, stack, { topics: notes() });
    const { status } = await poll(place.url, {
      topics: topicOf(stack.trip1_id),
      headers: { apikey: stack.anon_key },
    });
    assert.equal(status, 401);
    assert.equal(await questions(), 0);
  });

  test('of a public topic it is asked without a user: some are open to everybody, and some to nobody', async (t) => {
    const isDone = 'tasks?select=id&trip_id=eq.{key}&done=is.true';
    const everybody = { key_type: 'uuid', public: true, authorize: 'rpc/may_everybody?trip={key}' };
    const place = await placeGateway(t, stack, { topics: { 'open-notes': everybody, 'shut-notes': { ...everybody, authorize: isDone } } });
    const db = await stack.connect();
    await db.query("create or replace function public.may_everybody(trip uuid) returns boolean language sql as 'select true'");
    await db.query("notify pgrst, 'reload schema'");
    const headers = { apikey: stack.anon_key };
    const ask = (name) => poll(place.url, { topics: `${name}:${stack.trip1_id}`, headers, params: { wait: '0' } });
    assert.equal((await ask('shut-notes')).json.code, 'TG430');
    await until(async () => (await ask('open-notes')).status === 204, 'yes');
  });

  test('one topic of several that is refused refuses the stream, and is named', async (t) => {
    const place = await placeGateway(t, stack, { topics: notes() });
    const topics = [topicOf(stack.trip1_id), topicOf(stack.trip2_id)];
    const error = await openStream(place.url, { topics, token: stack.user1.token }).catch((e) => e);
    assert.equal(error.status, 403);
    assert.equal(error.json.details, `you may not read ${topicOf(stack.trip2_id)}`);
  });

  test('an answer is no more than what PostgREST shows the user', async (t) => {
    for (const [authorize, status] of [
      ['trip_members?select=user_id&trip_id=eq.{key}', 403],
      ['no_such_table?select=id&trip_id=eq.{key}&user_id=eq.{sub}', 403],
      ['rpc/is_trip_member?trip={key}', 403],
    ]) {
      const place = await placeGateway(t, stack, { topics: notes({ authorize }) });
      assert.equal((await SUBSCRIBE.poll(place, topicOf(stack.trip1_id), stack.user2.token))[0], status, authorize);
    }
    const place = await placeGateway(t, stack, { topics: notes({ authorize: 'rpc/is_trip_member?trip={key}' }) });
    assert.deepEqual(await SUBSCRIBE.poll(place, topicOf(stack.trip1_id), stack.user1.token), [200]);
  });
});

describe('questions', () => {
  test('equal ones at once are one, and the answer is remembered', async (t) => {
    const place = await placeGateway(t, stack, { topics: notes() });
    const id = await stack.control.fault({ method: 'GET', path: QUESTIONS, hold: true });
    const open = Array.from({ length: 20 }, () =>
      openStream(place.url, { topics: topicOf(stack.trip1_id), token: stack.user1.token }),
    );
    await stack.control.held(id);
    await until(async () => (await place.metric('tidegate_access_shared_total')) === 19, '19 who share');
    await stack.control.release(id);
    const streams = await Promise.all(open);
    assert.deepEqual(await SUBSCRIBE.poll(place, topicOf(stack.trip1_id), stack.user1.token), [200]);
    assert.equal(await questions(), 1);
    streams.forEach((stream) => stream.kill());
  });

  for (const workers of [2, 4]) {
    test(`equal ones at once are one, of ${workers} workers`, async (t) => {
      const place = await placeGateway(t, stack, {
        topics: notes(),
        server: { workers },
        streams: { per_user: 100 },
      });
      const id = await stack.control.fault({ method: 'GET', path: QUESTIONS, hold: true });
      const open = Array.from({ length: 50 }, () =>
        openStream(place.url, { topics: topicOf(stack.trip1_id), token: stack.user1.token }),
      );
      await stack.control.held(id);
      await until(async () => (await place.metric('tidegate_access_shared_total')) === 49, '49 who share');
      assert.equal(await place.metric('tidegate_access_passed_total'), workers - 1);
      await stack.control.release(id);
      const streams = await Promise.all(open);
      assert.equal(await questions(), 1);
      assert.equal(await place.metric('tidegate_access_asked_total'), 1);
      streams.forEach((stream) => stream.kill());
    });
  }

  test('a gateway that ends while its workers wait for one of them ends in order', async (t) => {
    const place = await placeGateway(t, stack, {
      topics: notes(),
      server: { workers: 4, drain_timeout: '1s' },
      streams: { per_user: 100 },
    });
    const id = await stack.control.fault({ method: 'GET', path: QUESTIONS, hold: true });
    const open = Array.from({ length: 30 }, () =>
      openStream(place.url, { topics: topicOf(stack.trip1_id), token: stack.user1.token }).then(
        () => 'opened',
        () => 'refused',
      ),
    );
    await stack.control.held(id);
    await until(async () => (await place.metric('tidegate_access_shared_total')) === 29, '29 who share');
    await place.stop();
    await stack.control.release(id);
    assert.deepEqual([...new Set(await Promise.all(open))], ['refused']);
  });

  test('what one worker asked is remembered for all', async (t) => {
    const place = await placeGateway(t, stack, { topics: notes(), server: { workers: 4 } });
    const ask = () => SUBSCRIBE.poll(place, topicOf(stack.trip1_id), stack.user1.token);
    assert.deepEqual(await ask(), [200]);
    for (let n = 1; n < 20; n++) {
      assert.deepEqual(await ask(), [200]);
    }
    assert.equal(await questions(), 1);
  });

  test('a client that leaves while it is asked about leaves nothing', async (t) => {
    const place = await placeGateway(t, stack, { topics: notes() });
    const id = await stack.control.fault({ method: 'GET', path: QUESTIONS, hold: true });
    const abort = new AbortController();
    const gone = fetch(`${place.url}/sync/v1/stream?topic=${topicOf(stack.trip1_id)}`, {
      headers: { authorization: `Bearer ${stack.user1.token}` },
      signal: abort.signal,
    }).catch((error) => error.name);
    await stack.control.held(id);
    abort.abort();
    assert.equal(await gone, 'AbortError');
    await until(async () => (await place.metric('tidegate_connections')) === 0, 'the end of the connection');
    await stack.control.release(id);
    assert.deepEqual(await SUBSCRIBE.sse(place, topicOf(stack.trip1_id), stack.user1.token), [200]);
  });

  test('a user who asks too much is told so', async (t) => {
    const place = await placeGateway(t, stack, {
      topics: notes(),
      access: { per_user: 2 },
      server: { workers: 4 },
    });
    const began = Date.now();
    const statuses = await Promise.all(
      Array.from({ length: 10 }, () =>
        poll(place.url, { topics: topicOf(crypto.randomUUID()), token: stack.user1.token }).then(({ status }) => status),
      ),
    );
    const more = Math.ceil((Date.now() - began) / 500); // so many may be asked besides, meanwhile
    const count = (wanted) => statuses.filter((status) => status === wanted).length;
    assert.equal(count(403) + count(429), 10, String(statuses));
    assert.ok(count(403) >= 2 && count(403) <= 2 + more, `${statuses}, ${more} more`);
  });
});

describe('open streams', () => {
  const settings = (recheck = '1s') => ({ topics: notes({ recheck }) });

  async function letIn() {
    await setMember(stack.trip1_id, stack.user2.id, true);
    return { topics: topicOf(stack.trip1_id), token: stack.user2.token };
  }

  test('lose a topic when it is asked about again: SSE', async (t) => {
    const place = await placeGateway(t, stack, settings());
    const stream = await openStream(place.url, await letIn());
    await publish(place.url, stack, { topic: topicOf(stack.trip1_id), payload: { n: 1 } });
    await stream.take('message');
    await setMember(stack.trip1_id, stack.user2.id, false);
    const { data } = await stream.take('revoked');
    assert.deepEqual([data.topic, data.code], [topicOf(stack.trip1_id), 'TG430']);
    assert.equal((await stream.take('bye')).data.reason, 'revoked');
    await stream.ended;
    assert.equal((await SUBSCRIBE.sse(place, topicOf(stack.trip1_id), stack.user2.token))[0], 403);
  });

  test('lose one topic and keep the others: SSE', async (t) => {
    const place = await placeGateway(t, stack, settings());
    const { token } = await letIn();
    const topics = [topicOf(stack.trip1_id), topicOf(stack.trip2_id)];
    const stream = await openStream(place.url, { topics, token });
    await stream.take('hello');
    await setMember(stack.trip1_id, stack.user2.id, false);
    assert.equal((await stream.take('revoked')).data.topic, topics[0]);
    await publish(place.url, stack, [
      { topic: topics[0], payload: { n: 1 } },
      { topic: topics[1], payload: { n: 2 } },
    ]);
    assert.equal((await stream.take('message')).data.topic, topics[1]);
    assert.equal(stream.rows.length, 1);
    stream.kill();
  });

  test('lose a topic: WebSocket, which stays', async (t) => {
    const place = await placeGateway(t, stack, settings());
    const { topics, token } = await letIn();
    const socket = await openSocket(place.url, { token });
    await socket.tell('subscribe', { topic: topics });
    await setMember(stack.trip1_id, stack.user2.id, false);
    assert.equal((await socket.take('revoked')).data.topic, topics);
    assert.equal((await socket.ask('subscribe', { topic: topics })).code, 'TG430');
    await setMember(stack.trip1_id, stack.user2.id, true);
    await until(
      async () => (await poll(place.url, { topics, token, params: { wait: '0' } })).status === 204,
      'access again',
    );
    assert.equal((await socket.ask('subscribe', { topic: topics })).event, 'ok');
    socket.kill();
  });

  test('end a poll that waits', async (t) => {
    const place = await placeGateway(t, stack, settings());
    const { topics, token } = await letIn();
    const waiting = poll(place.url, { topics, token, params: { wait: '60' } });
    await until(async () => (await place.metric('tidegate_streams')) === 1, 'a parked poll');
    await setMember(stack.trip1_id, stack.user2.id, false);
    assert.equal((await waiting).status, 403);
  });

  test('go on while nobody knows, and are held when the grace is over', async (t) => {
    const place = await placeGateway(t, stack, { ...settings(), access: { grace: '2s' } });
    const { topics, token } = await letIn();
    const stream = await openStream(place.url, { topics, token });
    await stream.take('hello');
    await stack.control.fault({ method: 'GET', path: QUESTIONS, status: 503, count: 1000 });
    await until(async () => (await place.metric('tidegate_access_unknown_total')) > 0, 'a failed question');
    await publish(place.url, stack, { topic: topics, payload: { n: 1 } });
    await stream.take('message');
    await until(async () => (await place.metric('tidegate_access_held_total')) === 1, 'a held stream');
    assert.equal((await stream.take('status')).data.state, 'unverified');
    await publish(place.url, stack, { topic: topics, payload: { n: 2 } });
    await until(async () => (await place.metric('tidegate_frames_total')) === 2, 'the event on the worker');
    assert.equal(stream.rows.length, 1);
    await stack.control.clearFaults();
    await until(() => stream.rows.length === 2, 'the event that was held');
    stream.kill();
  });
});
