// declared.mjs - declared topics of the demo schema that anybody may read, and trips of a test's
// own to write into.
import { openStream } from './sse.mjs';
import { placeGateway, Writer } from './streams.mjs';

const COLUMNS = ['id', 'trip_id', 'title', 'done', 'position'];

/** `trip-tasks` without repair, `kept-tasks` with it, `open-tasks` of those that are not done. */
export const DECLARED = {
  tables: {
    'public.trip_members': { primary_key: ['trip_id', 'user_id'] },
  },
  topics: {
    'trip-tasks': { table: 'public.tasks', key: 'trip_id', key_type: 'uuid', columns: COLUMNS, public: true },
    'kept-tasks': {
      table: 'public.tasks', key: 'trip_id', key_type: 'uuid', columns: COLUMNS, catchup: 'updated_at', public: true,
    },
    'open-tasks': {
      table: 'public.tasks', key: 'trip_id', key_type: 'uuid', columns: COLUMNS, where: 'done=is.false', public: true,
    },
    members: {
      table: 'public.trip_members', key: 'trip_id', key_type: 'uuid', columns: ['trip_id', 'user_id', 'role'], public: true,
    },
    samples: {
      table: 'public.type_samples', key: 'label', columns: ['id', 'label', 'big', 'exact', 'doc', 'numbers'], public: true,
    },
  },
};

export const placeDeclared = (t, stack, settings = {}) =>
  placeGateway(t, stack, { ...DECLARED, ...settings });

/** A stream of `topics` for whoever has the project's key, behind its hello. */
export async function listen(t, gateway, stack, topics, more = {}) {
  const s = await openStream(gateway.url, { topics, headers: { apikey: stack.anon_key }, ...more });
  t.after(() => s.kill());
  s.hello = await s.take('hello');
  return s;
}

/** Trips and tasks, written as superuser. */
export class Trips {
  static async to(stack) {
    const trips = new Trips();
    trips.stack = stack;
    trips.writer = await Writer.to(stack);
    return trips;
  }

  /** A new trip's id. */
  async trip(name = 'a trip') {
    const sql = 'insert into public.trips (name, owner_id) values ($1, $2) returning id';
    return (await this.writer.query(sql, [name, this.stack.user1.id])).rows[0].id;
  }

  async task(trip, title) {
    return (await this.writer.tasks(title, trip))[0].id;
  }

  query(sql, values) {
    return this.writer.query(sql, values);
  }

  move(id, trip) {
    return this.query('update public.tasks set trip_id = $2 where id = $1', [id, trip]);
  }

  rename(id, title) {
    return this.query('update public.tasks set title = $2 where id = $1', [id, title]);
  }

  done(id, done) {
    return this.query('update public.tasks set done = $2 where id = $1', [id, done]);
  }

  remove(id) {
    return this.query('delete from public.tasks where id = $1', [id]);
  }
}

/** What came of rows, in short: "INSERT title", "DELETE id". */
export const short = (events) =>
  events
    .filter((e) => e.type === 'message')
    .map(({ data }) => {
      const flags = ['moved', 'repaired', 'partial'].filter((flag) => data[flag] === true);
      return [data.type, data.record?.title ?? data.old_record.id, ...flags].join(' ');
    });

/** The same once, in no order, whoever told of it: upstream may be late with what a repair found. */
export const told = (events) => [...new Set(short(events).map((text) => text.replace(/ repaired$/, '')))].sort();
