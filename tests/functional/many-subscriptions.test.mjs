// What one upstream subscription serves: many subscriptions to many keys of one table over one
// channel; and strict topics, which have a channel for each user. SCALE=1 is the whole of it, CI
// takes a tenth.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { useLocalbase } from './lib/localbase.mjs';
import { openStream } from './lib/sse.mjs';
import { placeGateway, until } from './lib/streams.mjs';
import { TRIP_TASKS } from './lib/world.mjs';
import { openSocket } from './lib/ws.mjs';

const SCALE = Number(process.env.SCALE ?? 0.1);
const stack = useLocalbase();

const status = async (place) => (await (await fetch(`${place.adminUrl}/status`)).json()).gateway;

/** Trips of one owner, made at once. */
async function makeTrips(db, n, owner) {
  const sql = `insert into public.trips (name, owner_id)
    select 'trip ' || i, $2 from generate_series(1, $1) i returning id`;
  return (await db.query(sql, [n, owner])).rows.map(({ id }) => id);
}

describe('one upstream channel', () => {
  test(`serves ${10_000 * SCALE} subscriptions to ${1000 * SCALE} keys`, { timeout: 300_000 }, async (t) => {
    const KEYS = 1000 * SCALE;
    const SUBSCRIPTIONS = 10_000 * SCALE;
    const PER_SOCKET = 50;
    await stack.ready;
    const db = await stack.connect();
    const trips = await makeTrips(db, KEYS, stack.user1.id);
    const place = await placeGateway(t, stack, {
      topics: { 'trip-tasks': TRIP_TASKS },
      tables: { 'public.trip_members': { primary_key: ['trip_id', 'user_id'] } },
      streams: { per_user: 1000, per_address: 1000, topics_max: PER_SOCKET, client_messages: 100 },
      access: { per_second: 1000, per_user: 1000 },
    });
    await until(async () => (await status(place)).realtime.feeds_live === 2, 'coverage');
    const sockets = [];
    for (let i = 0; i < SUBSCRIPTIONS / PER_SOCKET; i++) {
      const socket = await openSocket(place.url, { token: stack.user1.token });
      for (let k = 0; k < PER_SOCKET; k++) {
        const trip = trips[(i * PER_SOCKET + k) % KEYS];
        await socket.tell('subscribe', { topic: `trip-tasks:${trip}` });
      }
      sockets.push(socket);
    }
    const before = await status(place);
    assert.equal(before.saving.client_subscriptions, SUBSCRIPTIONS);
    assert.equal(before.realtime.channels, 2, 'the table, and the table of members');
    const sql = 'insert into public.tasks (trip_id, title) select id, $2 from unnest($1::uuid[]) id';
    await db.query(sql, [trips, 'for everybody']);
    const rows = () => sockets.reduce((sum, socket) => sum + socket.rows.length, 0);
    await until(() => rows() === SUBSCRIPTIONS, `${SUBSCRIPTIONS} deliveries`, 60_000);
    const after = await status(place);
    t.diagnostic(`realtime ${JSON.stringify(after.realtime)}`);
    t.diagnostic(`saving ${JSON.stringify(after.saving)}`);
    const questions = await place.metric('tidegate_access_asked_total');
    t.diagnostic(`${questions} questions for ${SUBSCRIPTIONS} subscriptions of one user to ${KEYS} keys`);
    assert.equal(questions, KEYS);
    assert.equal(after.saving.changes_received - before.saving.changes_received, KEYS);
    sockets.forEach((socket) => socket.kill());
  });
});

describe('strict topics', () => {
  test(`of ${500 * SCALE} users have a channel each`, { timeout: 300_000 }, async (t) => {
    const USERS = 500 * SCALE;
    await stack.ready;
    const db = await stack.connect();
    const { rows: users } = await db.query(
      `insert into auth.users (id, email, email_confirmed_at)
       select gen_random_uuid(), 'strict-' || gen_random_uuid() || '@example.com', now()
       from generate_series(1, $1) returning id`,
      [USERS],
    );
    const [trip] = await makeTrips(db, 1, stack.user1.id);
    const ids = users.map(({ id }) => id);
    await db.query('insert into public.trip_members (trip_id, user_id) select $1, unnest($2::uuid[])', [trip, ids]);
    const place = await placeGateway(t, stack, {
      streams: { per_address: 1000 },
      auth: { checks_per_second: 1000 },
      realtime: { joins_per_second: 100 },
    });
    const exp = Math.floor(Date.now() / 1000) + 3600;
    const streams = await Promise.all(
      ids.map(async (sub) => {
        const claims = { sub, role: 'authenticated', aud: 'authenticated', exp };
        const token = await stack.control.signJwt(claims);
        return openStream(place.url, { topics: `table:public.tasks:trip_id=eq.${trip}`, token });
      }),
    );
    await until(async () => (await status(place)).realtime.feeds_live === USERS, 'all to be covered', 240_000);
    await db.query('insert into public.tasks (trip_id, title) values ($1, $2)', [trip, 'for everybody']);
    await Promise.all(streams.map((stream) => stream.take('message', () => true, { timeoutMs: 60_000 })));
    const { realtime, saving } = await status(place);
    t.diagnostic(`realtime ${JSON.stringify(realtime)}`);
    t.diagnostic(`saving ${JSON.stringify(saving)}`);
    assert.equal(realtime.channels, USERS);
    assert.equal(realtime.sockets, Math.ceil(USERS / 100));
    streams.forEach((stream) => stream.kill());
  });
});
