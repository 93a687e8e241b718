// Strict topics of users who come and go, of a stranger and of another database role: the policies
// decide, row by row, and SQL is the oracle. Before each commit it is asked, as everybody, which
// rows that one may see. Nobody receives a row, or the primary key of one, that the policies did not
// allow; whoever could see a change all along gets it, once and in order. SEED=<n>, WRITES=<n>.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ask } from './lib/device.mjs';
import { Follower } from './lib/follower.mjs';
import { useLocalbase } from './lib/localbase.mjs';
import { startRedis } from './lib/redis.mjs';
import { openStream, parseCursor } from './lib/sse.mjs';
import { placeGateway, randomFrom, seedOf, TASKS, until } from './lib/streams.mjs';
import { World } from './lib/world.mjs';

const WRITES = Number(process.env.WRITES ?? 250);
/* What entered the log so long before somebody came, comes as a replay; what was asked for a replay
   holds for a second. */
const LAG_MS = 1500;
const UUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;
const AUDITED = ['id', 'trip_id', 'title'];
const stack = useLocalbase();

/** A role that may see some columns of some rows, whoever is a member of their trips. */
async function makeAuditors(db) {
  await db.query(`
    create role auditor nologin noinherit;
    grant auditor to authenticator;
    grant usage on schema public to auditor;
    grant select (${AUDITED}) on public.tasks to auditor;
    create policy audit on public.tasks for select to auditor using (title ~ '(^last|[02468]$)')`);
}

/** Everybody who follows: { name, claims, token }; the auditor is the first guest by another role. */
async function everybody(world) {
  const [owner, ...guests] = world.users;
  const exp = Math.floor(Date.now() / 1000) + 3600;
  const claims = { sub: guests[0].id, aud: 'authenticated', role: 'auditor', exp };
  const as = (name, { id, token }) => ({ name, token, claims: { sub: id, role: 'authenticated' } });
  return [
    as('owner', owner),
    ...guests.map((guest, i) => as(`guest ${i}`, guest)),
    as('stranger', await world.signUp()),
    { name: 'auditor', token: await stack.control.signJwt(claims), claims },
  ];
}

/** What the policies show, by the number of the commit: `sees(who, pk, from, to)`. */
class Oracle {
  constructor(world, people) {
    this.world = world;
    this.people = people;
    this.seen = people.map(() => [new Set()]);
    world.beforeCommit = () => this.#look();
  }

  /** As everybody, in one go: every result that has ids is somebody's. */
  async #look() {
    const { db, clock } = this.world;
    const as = ({ claims }) => {
      const [role, text] = [claims.role, JSON.stringify(claims)].map((value) => db.escapeLiteral(value));
      return `select set_config('role', ${role}, true), set_config('request.jwt.claims', ${text}, true);
        select id from public.tasks; reset role`;
    };
    const results = await db.query(this.people.map(as).join(';'));
    const shown = results.filter(({ fields }) => fields.some(({ name }) => name === 'id'));
    shown.forEach(({ rows }, i) => {
      this.seen[i][clock + 1] = new Set(rows.map(({ id }) => id));
    });
  }

  /** At some number from `from` to `to`. */
  ever(who, pk, from, to) {
    const seen = this.seen[this.people.indexOf(who)];
    return seen.slice(Math.max(from, 0), to + 1).some((ids) => ids.has(pk));
  }

  /** At all of them. */
  always(who, pk, from, to) {
    const seen = this.seen[this.people.indexOf(who)];
    return seen.slice(from, to + 1).every((ids) => ids.has(pk));
  }

  /** It was out of sight after it had been in it: a replay meanwhile did not show it. */
  hasLapsed(who, pk) {
    const seen = this.seen[this.people.indexOf(who)].map((ids) => ids.has(pk));
    return seen.lastIndexOf(false) > seen.indexOf(true);
  }

  /** What was written: [{ pk, title, trip, clock }], a delete without a title. */
  get written() {
    const all = this.world.trips.flatMap((trip) => this.world.told.get(trip).map((e) => ({ ...e, trip })));
    return all.filter((e) => !e.isMoved).sort((a, b) => a.clock - b.clock);
  }

  /** How much was committed by then, by the clock on the wall. */
  clockAt(ms) {
    const after = this.world.committedAt.findIndex((at) => at > ms);
    return (after < 0 ? this.world.committedAt.length : after) - 1;
  }
}

const idOf = ({ pk, title }) => `${pk} ${title}`;

/** What came to one follower, against the oracle. */
class Checked {
  constructor(follower, oracle) {
    Object.assign(this, { follower, oracle });
    this.written = new Map(oracle.written.map((e) => [idOf(e), e]));
    this.changes = follower.messages.filter(({ message }) => message.event === undefined);
  }

  /** Nobody hears of a row that the policies did not allow. */
  nothingForeign() {
    const { oracle, follower } = this;
    const rows = new Set(oracle.written.map((e) => e.pk));
    for (const { message, at, since } of follower.messages) {
      const text = JSON.stringify(message);
      for (const pk of (text.match(UUID) ?? []).filter((uuid) => rows.has(uuid))) {
        assert.ok(oracle.ever(follower.who, pk, 0, at + 1), `${follower.name}: was told of a foreign row: ${text}`);
      }
      if (message.record !== undefined) {
        this.#allowed(message, at, since);
      }
    }
  }

  #allowed(message, at, since) {
    const { oracle, follower } = this;
    const text = `${follower.name}: ${JSON.stringify(message)}`;
    const write = this.written.get(idOf({ pk: message.record.id, title: message.record.title }));
    assert.ok(write !== undefined, `${text}: nobody wrote that`);
    assert.ok(this.#isTaken(write), `${text}: not what the filter takes`);
    assert.ok(oracle.ever(follower.who, write.pk, write.clock, at + 1), `${text}: not allowed`);
    if (Number(parseCursor(message.id)[1]) < since - LAG_MS) {
      const then = oracle.clockAt(since - LAG_MS);
      assert.ok(oracle.ever(follower.who, write.pk, then, at + 1), `${text}: was replayed, and is not allowed any more`);
      follower.replayed++;
    }
    assert.deepEqual(Object.keys(message.old_record ?? {}).filter((column) => column !== 'id'), []);
    if (follower.who.claims.role === 'auditor') {
      assert.deepEqual(Object.keys(message.record).filter((column) => !AUDITED.includes(column)), [], text);
    }
  }

  /** Once, in order, and all that could be seen from the commit until what came behind it. */
  nothingMissing() {
    const { oracle, follower } = this;
    const told = new Map();
    let last = 0;
    for (const { message, at } of this.changes.filter(({ message: { repaired } }) => !repaired)) {
      const id = idOf({ pk: (message.record ?? message.old_record).id, title: message.record?.title });
      assert.ok(!told.has(id), `${follower.name}: ${id} came twice`);
      const { clock } = this.written.get(id);
      assert.ok(clock >= last, `${follower.name}: ${id} came late`);
      last = clock;
      told.set(id, { clock, at });
    }
    const heard = [...told.values()];
    for (const { message: { record, old_record: old }, at } of this.changes) {
      const id = idOf({ pk: (record ?? old).id, title: record?.title });
      told.set(id, told.get(id) ?? { at });
    }
    for (const write of oracle.written) {
      const next = heard.find(({ clock }) => clock > write.clock);
      const isDue = write.title === undefined ? this.#isDueDelete(write, heard, told) : this.#isDue(write, next);
      assert.ok(!isDue || told.has(idOf(write)), `${follower.name}: missed ${JSON.stringify(write)}`);
    }
  }

  #isTaken({ trip }) {
    return this.follower.trip === undefined || trip === this.follower.trip;
  }

  #isDue(write, next) {
    const { oracle, follower } = this;
    const until = next === undefined ? oracle.world.clock : next.at + 1;
    return this.#isTaken(write) && oracle.always(follower.who, write.pk, write.clock, until);
  }

  /** Of a row that it was told of, and could see until it was gone. */
  #isDueDelete(write, heard, told) {
    const { oracle, follower } = this;
    const known = oracle.written.find((e) => e.pk === write.pk && told.has(idOf(e)) && e.title !== undefined);
    if (!follower.hasDeletes || !this.#isTaken(write) || known === undefined) {
      return false;
    }
    const isOver = heard.some(({ clock }) => clock > write.clock);
    return isOver && oracle.always(follower.who, write.pk, known.clock, write.clock - 1);
  }
}

/** Covers the topics of all of them, so that no gap is to come. */
async function coverAll(place, people, topics) {
  for (const { token } of people) {
    (await openStream(place.url, { topics, token })).kill();
  }
  const wanted = people.length * topics.length;
  await until(async () => (await place.metric('tidegate_feeds_live')) === wanted, 'all feeds');
}

function makeFollowers({ world, place, people, topics, hasDeletes }) {
  const read = async (token) => {
    const path = `/rest/v1/tasks?select=id,title&trip_id=in.(${world.trips})`;
    const { status, json } = await ask(place.url, path, { token, headers: { apikey: stack.anon_key } });
    assert.equal(status, 200, JSON.stringify(json));
    return json;
  };
  return people.flatMap((who) =>
    topics.flatMap((topic, i) =>
      ['sse', 'ws', 'poll'].map((transport) => {
        const messages = [];
        const follower = new Follower({
          url: () => place.url,
          token: who.token,
          name: `${who.name}, topic ${i}, by ${transport}`,
          topic,
          transport,
          clock: () => world.clock,
          read,
          heard: (message, since) => messages.push({ message, since, at: world.clock }),
        });
        const trip = i === 0 ? undefined : world.trips[0];
        return Object.assign(follower, { who, messages, trip, hasDeletes: i === 0 || hasDeletes, replayed: 0 });
      }),
    ),
  );
}

async function runMatrix(t, { hasDeletes = false, isRepaired = false, ...settings }) {
  const random = randomFrom(seedOf(t));
  const place = await placeGateway(t, stack, settings);
  const world = await World.make(stack, random, { users: 3 });
  const people = await everybody(world);
  const topics = [TASKS, `${TASKS}:trip_id=eq.${world.trips[0]}`];
  await coverAll(place, people, topics);
  const oracle = new Oracle(world, people);
  const followers = makeFollowers({ world, place, people, topics, hasDeletes });
  t.after(() => followers.forEach((f) => f.finish()));
  const lives = Promise.all(followers.map((follower) => follower.live()));
  const work = async () => {
    await until(() => followers.every((f) => f.stay?.reads === 0), 'everybody to begin');
    const naps = new Map(followers.map((f) => [f, Math.floor(random() * WRITES * 0.2)]));
    for (let i = 0; i < WRITES; i++) {
      await world.step();
      followers.filter((f) => naps.get(f) === i).forEach((f) => f.sleep());
      followers.filter((f) => naps.get(f) + WRITES * 0.7 < i).forEach((f) => f.wakeUp());
      if (random() < 0.2) {
        world.pick(followers).kill();
      }
    }
    const last = [...(await world.close())];
    const lastOf = (f) => last.findLast(([trip, pk]) => (f.trip ?? trip) === trip && oracle.ever(f.who, pk, world.clock, world.clock));
    await until(() => followers.every((f) => lastOf(f) === undefined || f.rows.has(lastOf(f)[1])), 'the last row', 60_000);
  };
  await Promise.race([work(), lives]);
  const isWhole = (f) => {
    const may = oracle.seen[people.indexOf(f.who)][world.clock];
    return [...f.rows.keys()].every((pk) => may.has(pk)) && [...may].every((pk) => f.rows.has(pk) || oracle.hasLapsed(f.who, pk));
  };
  const repaired = followers.filter((f) => isRepaired && f.trip === undefined && f.who.claims.role !== 'auditor');
  await Promise.race([until(() => repaired.every(isWhole), 'what everybody may see', 60_000), lives]);
  followers.forEach((f) => f.finish());
  await lives;
  for (const f of followers) {
    const checked = new Checked(f, oracle);
    checked.nothingForeign();
    assert.deepEqual(f.resets, [], `${f.name}: nothing was lost that would excuse a reset`);
    checked.nothingMissing();
    if (f.who === people[0] && f.trip === undefined) {
      assert.deepEqual(new Set(f.rows.keys()), oracle.seen[0][world.clock], `${f.name}: ends as the table does`);
    }
  }
  const count = (of) => followers.reduce((sum, f) => sum + of(f), 0);
  t.diagnostic(
    `${world.clock} transactions, ${count((f) => f.kills)} kills, ${count((f) => f.messages.length)} messages, ` +
      `${count((f) => f.replayed)} late ones; ${await place.metric('tidegate_hidden_deletes_total')} deletes and ` +
      `${await place.metric('tidegate_replay_hidden_total')} replayed rows hidden`,
  );
  assert.ok((await place.metric('tidegate_hidden_deletes_total')) > 0);
}

describe('policies, roles and transports at random', () => {
  test('nobody hears of a row that the policies do not allow; from memory', async (t) => {
    await makeAuditors(await stack.connect());
    await runMatrix(t, {});
  });

  test('the same, from Redis, with two workers, small rings, whole old rows and frequent reads', async (t) => {
    const db = await stack.connect();
    await db.query('alter table public.tasks replica identity full');
    const redis = await startRedis(t);
    await runMatrix(t, {
      hasDeletes: true,
      server: { workers: 2 },
      streams: { ring_events: 16 },
      index: { verify: '1s' },
      store: { url: redis.url },
    });
  });

  test('with catchup everybody ends with the rows that the policies allow', async (t) => {
    const redis = await startRedis(t);
    await runMatrix(t, {
      hasDeletes: true,
      isRepaired: true,
      tables: { 'public.tasks': { catchup: 'updated_at' } },
      index: { verify: '1s' },
      store: { url: redis.url },
    });
  });
});
