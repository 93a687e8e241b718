// world.mjs - trips, members and tasks that are written at random, and what each trip's topic must
// tell of it: the oracle. One connection writes, so the order of commits is known.
import assert from 'node:assert/strict';
import { ask } from './device.mjs';

export const COLUMNS = ['id', 'trip_id', 'title', 'done', 'position', 'updated_at'];

/** The tasks of a trip, for its members. */
export const TRIP_TASKS = {
  table: 'public.tasks',
  key: 'trip_id',
  key_type: 'uuid',
  columns: COLUMNS,
  authorize: 'trip_members?select=user_id&trip_id=eq.{key}&user_id=eq.{sub}',
  revoke_on: { table: 'public.trip_members', key: 'trip_id', user: 'user_id' },
  catchup: 'updated_at',
};
export const TABLES = { 'public.trip_members': { primary_key: ['trip_id', 'user_id'] } };

const MAX_ROWS = 800;

/** Reads trips' tasks through the gateway, as an app does. */
export const readTasks = (stack, place, trips) => async (token) => {
  const path = `/rest/v1/tasks?select=${COLUMNS}&trip_id=in.(${trips})`;
  const { status, json } = await ask(place.url, path, { token, headers: { apikey: stack.anon_key } });
  assert.equal(status, 200, JSON.stringify(json));
  return json;
};

/** The rows that a follower has, as World.rowsOf() has them. */
export const rowsHeld = (follower) =>
  [...follower.rows.values()]
    .map(({ id, title }) => ({ id, title }))
    .sort((a, b) => (a.id < b.id ? -1 : 1));

/** The database as the test knows it, and what each topic must tell. */
export class World {
  static async make(stack, random, { users = 4, trips = 3 } = {}) {
    const world = new World();
    world.stack = stack;
    world.db = await stack.connect();
    world.random = random;
    world.clock = 0;
    world.begun = 0; /* with what is being committed: others may know of it before this test does */
    world.told = new Map(); /* trip -> [{ clock, type, pk, title, isMoved }] */
    world.committedAt = [];
    world.rows = new Map(); /* id -> trip */
    world.members = new Map(); /* trip -> Set of users */
    world.removedAt = new Map(); /* "trip user" -> [clock] */
    world.users = await Promise.all(Array.from({ length: users }, () => world.signUp()));
    world.beforeCommit = async () => {};
    const owner = world.users[0].id;
    for (let i = 0; i < trips; i++) {
      const sql = 'insert into public.trips (name, owner_id) values ($1, $2) returning id';
      const { id } = (await world.db.query(sql, [`trip ${i}`, owner])).rows[0];
      world.told.set(id, []);
      world.members.set(id, new Set([owner]));
    }
    world.trips = [...world.told.keys()];
    return world;
  }

  /** Somebody new, who is a member of nothing: { id, token }. */
  async signUp() {
    const email = `u${crypto.randomUUID()}@example.com`;
    const { status, json } = await ask(this.stack.url, '/auth/v1/signup', {
      method: 'POST',
      headers: { apikey: this.stack.anon_key },
      body: { email, password: 'a-long-password' },
    });
    assert.equal(status, 200, JSON.stringify(json));
    return { id: json.user.id, token: json.access_token };
  }

  pick(list) {
    return list[Math.floor(this.random() * list.length)];
  }

  #tell(trip, event) {
    this.told.get(trip).push({ ...event, clock: this.clock + 1 });
  }

  async #insert(trip, title) {
    const sql = 'insert into public.tasks (trip_id, title) values ($1, $2) returning id';
    const pk = (await this.db.query(sql, [trip, title])).rows[0].id;
    this.rows.set(pk, trip);
    this.#tell(trip, { type: 'INSERT', pk, title, isMoved: false });
    return pk;
  }

  async #update(pk) {
    const trip = this.rows.get(pk);
    const title = `w${this.clock}-${pk}-${this.random()}`;
    await this.db.query('update public.tasks set title = $2 where id = $1', [pk, title]);
    this.#tell(trip, { type: 'UPDATE', pk, title, isMoved: false });
  }

  async #move(pk) {
    const from = this.rows.get(pk);
    const to = this.pick(this.trips.filter((trip) => trip !== from));
    const title = `w${this.clock}-${pk}-${this.random()}`;
    await this.db.query('update public.tasks set trip_id = $2, title = $3 where id = $1', [pk, to, title]);
    this.rows.set(pk, to);
    this.#tell(from, { type: 'DELETE', pk, title: undefined, isMoved: true });
    this.#tell(to, { type: 'INSERT', pk, title, isMoved: false });
  }

  async #remove(pk) {
    await this.db.query('delete from public.tasks where id = $1', [pk]);
    this.#tell(this.rows.get(pk), { type: 'DELETE', pk, title: undefined, isMoved: false });
    this.rows.delete(pk);
  }

  async #oneWrite() {
    const pk = this.pick([...this.rows.keys()]);
    // Not more rows than PostgREST shows in one answer: then some go instead.
    const kind = this.rows.size < MAX_ROWS ? this.random() : 0.5 + this.random() / 2;
    if (pk === undefined || kind < 0.5) {
      await this.#insert(this.pick(this.trips), `w${this.clock}-${this.rows.size}`);
    } else if (kind < 0.75) {
      await this.#update(pk);
    } else if (kind < 0.85) {
      await this.#move(pk);
    } else {
      await this.#remove(pk);
    }
  }

  async #oneMember() {
    const trip = this.pick(this.trips);
    const user = this.pick(this.users.slice(1)); /* the owner stays */
    const members = this.members.get(trip);
    if (members.has(user.id)) {
      await this.db.query('delete from public.trip_members where trip_id = $1 and user_id = $2', [trip, user.id]);
      members.delete(user.id);
      this.removals.push([`${trip} ${user.id}`, this.clock + 1]);
    } else {
      await this.db.query('insert into public.trip_members (trip_id, user_id) values ($1, $2)', [trip, user.id]);
      members.add(user.id);
    }
  }

  /** A transaction of one or more changes. */
  async step({ members = 0.12 } = {}) {
    const n = this.random() < 0.1 ? Math.ceil(this.random() * 20) : 1;
    this.removals = [];
    await this.db.query('begin');
    if (this.random() < members) {
      await this.#oneMember();
    } else {
      for (let i = 0; i < n; i++) {
        await this.#oneWrite();
      }
    }
    await this.#commit();
    for (const [who, clock] of this.removals) {
      this.removedAt.set(who, [...(this.removedAt.get(who) ?? []), clock]);
    }
  }

  /** A last row for each trip, which everybody who may must see: trip -> id. */
  async close() {
    const last = new Map();
    for (const trip of this.trips) {
      const title = `last of ${trip} at ${this.clock}`;
      await this.db.query('begin');
      last.set(trip, await this.#insert(trip, title));
      await this.#commit();
    }
    return last;
  }

  /** The rows of a trip as the table has them: [{ id, title }], by id. */
  async rowsOf(trip) {
    const sql = 'select id, title from public.tasks where trip_id = $1 order by id';
    return (await this.db.query(sql, [trip])).rows;
  }

  async allRows() {
    const sql = 'select id, title from public.tasks where trip_id = any($1) order by id';
    return (await this.db.query(sql, [this.trips])).rows;
  }

  /** `beforeCommit()` sees in `db` what the clock's next number is about to commit. */
  async #commit() {
    await this.beforeCommit();
    this.begun = this.clock + 1;
    await this.db.query('commit');
    this.clock++;
    this.committedAt[this.clock] = Date.now();
  }
}
