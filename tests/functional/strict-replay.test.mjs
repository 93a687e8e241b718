// A replay of a strict topic shows what the user can see when it comes back, not what could be
// seen when it was committed, and nothing unasked.
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { useLocalbase } from './lib/localbase.mjs';
import { poll } from './lib/poll.mjs';
import { openStream } from './lib/sse.mjs';
import { named, placeGateway, TASKS, Writer } from './lib/streams.mjs';
import { openSocket } from './lib/ws.mjs';

const QUESTIONS = '/rest/v1/tasks';
const stack = useLocalbase();
let n = 0;

async function setMember(writer, isMember) {
  const sql = isMember
    ? 'insert into public.trip_members (trip_id, user_id) values ($1, $2) on conflict do nothing'
    : 'delete from public.trip_members where trip_id = $1 and user_id = $2';
  await writer.query(sql, [stack.trip1_id, stack.user2.id]);
}

/** A device of user 2 that has seen the start and sleeps; another one keeps the topic open. */
async function asleep(t) {
  const place = await placeGateway(t, stack);
  const writer = await Writer.to(stack);
  await setMember(writer, true);
  const awake = await openStream(place.url, { topics: TASKS, token: stack.user2.token });
  t.after(() => awake.kill());
  const { id } = await awake.take('hello');
  const write = async (name) => {
    const rows = await writer.tasks(named(`${name}-${n++}`, 3));
    await awake.take('message', (e) => e.data.record?.id === rows.at(-1).id);
    return rows.map((row) => row.id);
  };
  return { place, writer, id, write };
}

/** By each transport: the ids of rows that a resume shows until it meets `last`. */
const RESUME = {
  sse: async (place, id, last) => {
    const stream = await openStream(place.url, { topics: TASKS, token: stack.user2.token, lastEventId: id });
    await stream.take('message', (e) => e.data.record?.id === last);
    stream.kill();
    return stream.events.items.filter((e) => e.type === 'message').map((e) => e.data.record?.id);
  },
  ws: async (place, id, last) => {
    const socket = await openSocket(place.url, { token: stack.user2.token });
    await socket.tell('subscribe', { topic: TASKS, cursor: id });
    await socket.take('message', (e) => e.data.record?.id === last);
    socket.kill();
    return socket.rows.map((e) => e.data.record?.id);
  },
  poll: async (place, id) => {
    const { events } = await poll(place.url, { topics: TASKS, token: stack.user2.token, params: { wait: '0', cursor: id } });
    return events.map((e) => e.record?.id);
  },
};

beforeEach(async () => {
  await stack.ready;
  await stack.control.clearFaults();
});

for (const transport of Object.keys(RESUME)) {
  test(`rows that a device may not see any more are not replayed by ${transport}`, async (t) => {
    const { place, writer, id, write } = await asleep(t);
    const hidden = await write('hidden');
    const shown = await write('shown');
    const { rows } = await writer.query(
      'insert into public.trips (name, owner_id) values ($1, $2) returning id',
      ['elsewhere', stack.user1.id],
    );
    await writer.query('update public.tasks set trip_id = $1 where id = any($2)', [rows[0].id, hidden]);
    const seen = await RESUME[transport](place, id, shown.at(-1));
    assert.deepEqual(seen.filter((row) => hidden.includes(row)), []);
    assert.deepEqual(seen.filter((row) => shown.includes(row)), shown);
  });
}

test('nothing of a trip is replayed to who was taken from it', async (t) => {
  const { place, writer, id, write } = await asleep(t);
  await write('hidden');
  await setMember(writer, false);
  assert.deepEqual(await RESUME.poll(place, id), []);
});

test('a replay waits while PostgREST is away, and goes on with it', async (t) => {
  const { place, id, write } = await asleep(t);
  const shown = await write('shown');
  await stack.control.fault({ method: 'GET', path: QUESTIONS, status: 503, count: 2 });
  assert.deepEqual(await RESUME.sse(place, id, shown.at(-1)), shown);
});
