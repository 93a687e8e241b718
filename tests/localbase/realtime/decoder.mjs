// decoder.mjs - reads the WAL: one temporary wal2json slot on its own
// connection, polled while somebody is subscribed.
//
// As upstream: the slot dies with its connection and nothing that happened in
// between is kept. Batches are handed on strictly one after the other, in
// commit order.

import pg from 'pg';

const MAX_CHANGES = 2000;
const RETRY_MS = 1000;

const POLL = `select data from pg_logical_slot_get_changes($1, null, $2,
  'format-version', '2', 'include-timestamp', 'true', 'include-pk', 'true',
  'include-transaction', 'false', 'actions', 'insert,update,delete', 'add-tables', $3)`;

/* wal2json reads its table list with commas as separators and backslash as escape. */
function escapeTable({ schema, table }) {
  const escape = (s) => s.replace(/[\\,. '"]/g, '\\$&');
  return `${escape(schema)}.${escape(table)}`;
}

/** `onBatch(lines)` gets the wal2json texts of one poll; the next poll waits for it. */
export class Decoder {
  constructor({ db, log, pollMs, onBatch }) {
    this.db = db;
    this.log = log;
    this.pollMs = pollMs;
    this.onBatch = onBatch;
    this.tables = [];
    this.paused = false;
    this.client = null;
    this.ready = null;
    this.generation = 0;
    this.polls = 0;
    this.begun = 0;
    this.emptied = 0; /* the last poll that left nothing behind */
    this.waiting = [];
    this.wake = null;
    this.polling = null;
    this.running = null;
  }

  /** Which publication tables to decode; empty means none. */
  setTables(tables) {
    this.tables = tables;
  }

  /** Resolves once the slot exists: every later commit will be seen. */
  start() {
    if (this.ready === null) {
      const generation = ++this.generation;
      this.ready = this.open(generation);
      this.ready.catch(() => {
        if (generation === this.generation) {
          this.ready = null;
        }
      });
    }
    return this.ready;
  }

  async open(generation) {
    await this.running;
    const client = new pg.Client({ ...this.db, application_name: 'localbase_realtime_decoder' });
    client.on('error', (err) => this.log(`decoder connection: ${err.message}`));
    await client.connect();
    const slot = `supabase_realtime_${process.pid}_${generation}`;
    try {
      await client.query(
        "set timezone = 'UTC'; set datestyle = 'ISO, MDY'; set bytea_output = 'hex'",
      );
      await client.query('select pg_create_logical_replication_slot($1, $2, true)', [
        slot,
        'wal2json',
      ]);
    } catch (err) {
      await client.end().catch(() => {});
      throw err;
    }
    if (generation !== this.generation) {
      await client.end();
      throw new Error('the decoder was stopped');
    }
    this.client = client;
    this.running = this.loop(client, slot, generation);
  }

  async loop(client, slot, generation) {
    while (generation === this.generation) {
      let n = 0;
      const began = ++this.begun;
      try {
        this.polling = this.paused ? null : this.poll(client, slot);
        n = (await this.polling) ?? 0;
        this.emptied = n < MAX_CHANGES ? began : this.emptied;
      } catch (err) {
        if (generation === this.generation) {
          this.log(`decoder: ${err.message}`);
          this.restart();
        }
        break;
      }
      this.waiting = this.waiting.filter((isOver) => !isOver());
      if (n === 0 && this.waiting.length === 0) {
        await this.sleep(this.pollMs);
      }
    }
    this.waiting = this.waiting.filter((isOver) => !isOver());
    await client.end().catch(() => {});
  }

  async poll(client, slot) {
    /* An empty list would mean every table, hence a name that cannot be one. */
    const wanted =
      this.tables.length > 0 ? this.tables.map(escapeTable).join(',') : 'pg_catalog.none';
    const { rows } = await client.query({
      name: 'poll',
      text: POLL,
      values: [slot, MAX_CHANGES, wanted],
    });
    this.polls++;
    if (rows.length > 0) {
      await this.onBatch(rows.map((r) => r.data));
    }
    return rows.length;
  }

  /* The slot is lost, and with it what it held; the next one starts from now. */
  restart() {
    const generation = ++this.generation;
    this.ready = null;
    this.client = null;
    const again = () => {
      if (generation === this.generation) {
        this.start().catch((err) => {
          this.log(`decoder restart: ${err.message}`);
          this.restart();
        });
      }
    };
    setTimeout(again, RETRY_MS).unref();
  }

  sleep(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Resolves when no poll is under way any more: what commits from here on stays in the slot. */
  async pause() {
    this.paused = true;
    await this.polling?.catch(() => {});
  }

  resume() {
    this.paused = false;
    this.wake?.();
  }

  /** Resolves when all that was committed before has been handed on, or nothing is being read. */
  async settle() {
    await this.ready?.catch(() => {});
    const { generation, begun } = this;
    await new Promise((resolve) => {
      const isOver = () => {
        const isRead = this.client !== null && !this.paused && generation === this.generation;
        if (isRead && this.emptied <= begun) {
          return false;
        }
        resolve();
        return true;
      };
      if (!isOver()) {
        this.waiting.push(isOver);
        this.wake?.();
      }
    });
  }

  /** Drops the slot. */
  async stop() {
    this.generation++;
    this.ready = null;
    this.client = null;
    this.wake?.();
    await this.running;
  }
}
