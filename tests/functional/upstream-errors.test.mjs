// What Realtime says against the gateway: each class of the table of docs/TOPICS.md, as a client,
// the log and the metrics show it.
import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { listen, placeDeclared, Trips } from './lib/declared.mjs';
import { useLocalbase } from './lib/localbase.mjs';
import { openStream } from './lib/sse.mjs';
import { EVENTS, named, placeGateway, TASKS, titles, until, Writer } from './lib/streams.mjs';
import { openSocket } from './lib/ws.mjs';

const PRIVATE = 'PrivateOnly: This project only allows private channels';
const STARTING = 'InitializingProjectConnection: Connecting to the project database';

const stack = useLocalbase();
const rt = (name, json = {}) => stack.control.part('realtime', name, json);
const DEFAULTS = { joinErrorDelayMs: 50, maxChannels: 100 };

afterEach(async () => {
  await rt('reset');
  await rt('config', DEFAULTS);
});

const now = () => Math.floor(Date.now() / 1000);
const signed = (exp) =>
  stack.control.signJwt({ sub: stack.user1.id, aud: 'authenticated', role: 'authenticated', iat: now(), exp });

/** Errors of a class so far. */
async function errorsOf(gateway, name) {
  const text = await (await fetch(`${gateway.adminUrl}/metrics`)).text();
  return Number(new RegExp(`^tidegate_upstream_errors_total\\{class="${name}"\\} (\\d+)$`, 'm').exec(text)[1]);
}

const logged = (gateway, event, cause) =>
  gateway.log.items.filter((line) => line.event === event && line.cause === cause);

/** A line comes by another way than what a client is told: it may be the later one. */
async function loggedOnce(gateway, event, cause) {
  await gateway.log.take((line) => line.event === event && line.cause === cause);
  assert.equal(logged(gateway, event, cause).length, 1, `${event} ${cause}`);
}

/** A stream of a user's own topics, behind its hello. */
async function follow(t, gateway, topics = TASKS, more = {}) {
  const s = await openStream(gateway.url, { topics, token: stack.user1.token, ...more });
  t.after(() => s.kill());
  await s.take('hello');
  return s;
}

/** A gateway whose declared tables are all covered: it joins nothing by itself. */
async function placeCovered(t, settings) {
  const gateway = await placeDeclared(t, stack, settings);
  const count = (name) => gateway.metric(`tidegate_${name}`);
  await until(async () => (await count('feeds')) === (await count('feeds_live')), 'coverage');
  return gateway;
}

describe('what is given up', () => {
  const reasons = {
    private_only: PRIVATE,
    tenant: 'TenantNotFound: Tenant with the given ID does not exist',
    disabled: 'RealtimeDisabledForTenant: Realtime disabled for this tenant',
  };
  for (const [cause, reason] of Object.entries(reasons)) {
    test(`(${cause}) is told instead of a stream, and not asked for again`, async (t) => {
      const gateway = await placeGateway(t, stack);
      await rt('refuse-joins', { reason, count: 1 });
      await assert.rejects(follow(t, gateway), ({ status, json }) => {
        assert.deepEqual([status, json.code], [502, 'TG614']);
        assert.ok(json.details.includes(reason), json.details);
        return true;
      });
      assert.equal(await errorsOf(gateway, 'give_up'), 1);
      assert.equal(await gateway.metric('tidegate_upstream_joins_total'), 1);
      await loggedOnce(gateway, 'upstream_error', cause);
      assert.equal(logged(gateway, 'feed_refused', cause).length, 0);
      await follow(t, gateway); /* whoever asks again is asked for again */
      await loggedOnce(gateway, 'upstream_cleared', cause);
    });
  }

  test('takes the topic from streams that run', async (t) => {
    const gateway = await placeGateway(t, stack);
    const socket = await openSocket(gateway.url, { topics: TASKS, token: stack.user1.token });
    t.after(() => socket.kill());
    await socket.take('hello');
    await rt('refuse-joins', { reason: 'Unauthorized: You do not have permissions', count: 1 });
    await rt('close-channels');
    const { data } = await socket.take('revoked');
    assert.deepEqual([data.topic, data.code], [TASKS, 'TG430']);
    assert.match(JSON.stringify(data), /You do not have permissions/);
  });

  for (const [status, cause] of [[401, 'api_key'], [403, 'disabled'], [404, 'tenant']]) {
    test(`is a WebSocket upgrade that is answered by ${status}`, async (t) => {
      const gateway = await placeGateway(t, stack);
      await rt('refuse-upgrades', { status, error: 'no', count: 1 });
      await assert.rejects(follow(t, gateway), { status: 502 });
      await loggedOnce(gateway, 'upstream_error', cause);
      await follow(t, gateway);
    });
  }

  test('of a declared topic is its reason, for as long as it takes', async (t) => {
    const gateway = await placeCovered(t);
    const trips = await Trips.to(stack);
    const topic = `trip-tasks:${await trips.trip()}`;
    const s = await listen(t, gateway, stack, topic);
    await rt('refuse-joins', { reason: PRIVATE, count: await gateway.metric('tidegate_feeds') });
    await rt('close-channels');
    await s.take('status', (e) => e.data.reason === 'private_only');
    assert.deepEqual(
      s.ofType('status').map(({ data }) => [data.topic, data.state, data.reason]),
      [[topic, 'offline', 'closed'], [topic, 'offline', 'private_only']],
    );
    const late = await listen(t, gateway, stack, topic);
    assert.equal(late.hello.data.topics[0].state, 'joining');
    assert.equal((await late.take('status')).data.reason, 'private_only');
    await loggedOnce(gateway, 'upstream_error', 'private_only'); /* all tables, one line */
  });
});

describe('what may pass', () => {
  test('is tried again, counted each time and logged once', async (t) => {
    const gateway = await placeGateway(t, stack);
    await rt('refuse-joins', { reason: STARTING, count: 3 });
    await follow(t, gateway);
    await loggedOnce(gateway, 'upstream_cleared', 'database');
    assert.equal(await errorsOf(gateway, 'retry'), 3);
    await loggedOnce(gateway, 'upstream_error', 'database');
  });

  test('is why a topic is offline', async (t) => {
    const gateway = await placeGateway(t, stack);
    const s = await follow(t, gateway);
    await rt('close-channels', { event: 'phx_error' });
    const { data } = await s.take('status');
    assert.deepEqual([data.state, data.reason], ['offline', 'crashed']);
    await s.take('reset');
  });

  test('a limit of the project holds the joins back for seconds', async (t) => {
    const gateway = await placeGateway(t, stack, { streams: { ready_wait: '1s' } });
    await rt('refuse-joins', { reason: 'ClientJoinRateLimitReached: Too many joins per second', count: 1 });
    const s = await follow(t, gateway);
    await until(async () => (await errorsOf(gateway, 'back_off')) === 1, 'the refusal');
    assert.equal(await gateway.metric('tidegate_upstream_joins_total'), 1);
    await s.take('status', (e) => e.data.state === 'ready', { timeoutMs: 30_000 });
    assert.equal(await gateway.metric('tidegate_upstream_joins_total'), 2);
  });

  test('channels that a socket has no room for are joined on another one', async (t) => {
    const gateway = await placeGateway(t, stack);
    await rt('config', { maxChannels: 1 });
    const streams = [await follow(t, gateway), await follow(t, gateway, EVENTS)];
    assert.equal(await errorsOf(gateway, 'move'), 1);
    assert.equal(await gateway.metric('tidegate_upstream_sockets'), 2);
    const writer = await Writer.to(stack);
    await writer.tasks('moved');
    await writer.events('moved');
    for (const s of streams) {
      assert.deepEqual(titles([await s.take('message')]), ['moved']);
    }
  });
});

describe("users' joins that are refused", () => {
  test("do not delay the service's feeds", async (t) => {
    const gateway = await placeCovered(t, { streams: { ready_wait: '30s' } });
    const trips = await Trips.to(stack);
    const trip = await trips.trip();
    const s = await listen(t, gateway, stack, `trip-tasks:${trip}`);
    await rt('config', { joinErrorDelayMs: 5000 });
    await rt('refuse-joins', { reason: PRIVATE, count: 1 });
    const refused = assert.rejects(follow(t, gateway), { status: 502 }).then(() => 'the refusal');
    await until(async () => (await rt('state')).faults.refusals.length === 0, 'the join');
    const first = Promise.race([refused, s.take('message').then((e) => titles([e])[0])]);
    await trips.task(trip, 'in time');
    assert.equal(await first, 'in time', 'the row waited for a user');
    assert.equal(s.ofType('status').length, 0);
    await refused;
  });
});

describe("changes near the project's message rate", () => {
  const near = { realtime: { messages_per_second: 1 } }; /* near is 48 in a minute */

  test('are a reset of a topic that cannot be compared', async (t) => {
    const gateway = await placeGateway(t, stack, near);
    const s = await follow(t, gateway);
    const writer = await Writer.to(stack);
    await writer.tasks(named('few', 40));
    await s.take('message', (e) => e.data.record.title === 'few-39');
    assert.equal(s.ofType('reset').length, 0);
    await writer.tasks(named('many', 10));
    await s.take('message', (e) => e.data.record.title === 'many-9');
    await s.take('reset');
    assert.equal(await gateway.metric('tidegate_upstream_rate_near_total'), 1);
    await gateway.log.take((line) => line.event === 'rate_near');
    assert.equal(gateway.log.items.filter((line) => line.event === 'rate_near').length, 1);
  });

  test('are compared with the table, and what was dropped in silence is repaired', async (t) => {
    const gateway = await placeCovered(t, { ...near, index: { verify: '1d' } });
    const trips = await Trips.to(stack);
    const trip = await trips.trip();
    const s = await listen(t, gateway, stack, `kept-tasks:${trip}`);
    await trips.task(trip, 'first');
    await s.take('message'); /* and so what the trip's making changed */
    await rt('drop-changes', { count: 1 });
    await trips.task(trip, 'dropped');
    await until(async () => (await rt('state')).faults.dropChanges === 0, 'the dropped change');
    for (const title of named('more', 48)) {
      await trips.task(trip, title);
    }
    const { data } = await s.take('message', (e) => e.data.record.title === 'dropped', { timeoutMs: 60_000 });
    assert.equal(data.repaired, true);
    assert.equal(s.ofType('reset').length, 0);
  });
});

describe('a subscription that upstream made anew', () => {
  /** A stream whose class gets a longer token while it runs. */
  async function renewed(t) {
    const gateway = await placeGateway(t, stack);
    const s = await follow(t, gateway, TASKS, { token: await signed(now() + 600) });
    await follow(t, gateway, TASKS, { token: await signed(now() + 3600) });
    return { gateway, s };
  }

  test('for a new token is no hole', async (t) => {
    const { gateway, s } = await renewed(t);
    const writer = await Writer.to(stack);
    for (let i = 0; i < 8; i++) {
      await writer.tasks(`t-${i}`);
      await s.take('message', (e) => e.data.record.title === `t-${i}`);
      await new Promise((resolve) => {
        setTimeout(resolve, 200); // over the time in which the token is answered
      });
    }
    assert.equal(s.ofType('reset').length, 0);
    assert.equal(await gateway.metric('tidegate_gaps_total'), 1, 'of the join');
  });

  test('while a new token waits for its answer is one', async (t) => {
    const { s } = await renewed(t);
    await rt('resubscribe');
    // On a busy machine it comes a second after the token, and is taken for its answer
    // (realtime/README.md); the next one is not. tests/unit/realtime_link has each moment.
    await s.take('reset', () => true, { timeoutMs: 3000 }).catch(async () => {
      await rt('resubscribe');
      await s.take('reset');
    });
  });
});
