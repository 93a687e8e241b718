// changes.mjs - the postgres_changes extension: who is subscribed to what, and
// the life of the decoder that feeds them.
//
// A subscription is active from just before its `Subscribed to PostgreSQL`
// frame; a batch is matched against the subscriptions that are active when the
// poll has returned, so whatever commits after that frame is delivered.

import { loadRoles, loadTables, publicationTables } from './catalog.mjs';
import { Decoder } from './decoder.mjs';
import { fanOut } from './fanout.mjs';
import { compileFilters, describeEntry, EntryError, parseEntry } from './filters.mjs';
import { readChanges } from './records.mjs';

const CHECK_ADVICE = 'Unable to subscribe to changes with given parameters. ';

function failureText(entry, err) {
  const where = describeEntry(entry);
  const code = err.code ?? 'P0001';
  const name =
    {
      P0001: 'raise_exception',
      '22P02': 'invalid_text_representation',
      22023: 'invalid_parameter_value',
      42704: 'undefined_object',
    }[code] ?? 'error';
  return (
    `${CHECK_ADVICE}An exception happened so please check your connect parameters: ${where}. ` +
    `Exception: ERROR ${code} (${name}) ${err.message}`
  );
}

function matches(entry, table) {
  return (
    (entry.schema === '*' || entry.schema === table.schema) &&
    (entry.table === '*' || entry.table === table.table)
  );
}

export class Changes {
  constructor({ pool, db, log, cfg, faults }) {
    this.pool = pool;
    this.log = log;
    this.cfg = cfg;
    this.faults = faults;
    this.rows = new Map();
    this.subscriptions = new Set();
    this.tables = [];
    this.checked = null;
    this.idleTimer = null;
    this.checkTimer = null;
    this.counts = { decoded: 0, delivered: 0, dropped: 0 };
    this.decoder = new Decoder({
      db,
      log,
      pollMs: cfg.pollMs,
      onBatch: (lines) => this.onBatch(lines),
    });
  }

  async onBatch(lines) {
    try {
      const read = await readChanges(this.pool, lines, (key) => this.rows.has(key), this.log);
      this.counts.decoded += lines.length;
      const changes = read.filter(() => {
        if (this.faults.dropChanges > 0) {
          this.faults.dropChanges--;
          this.counts.dropped++;
          return false;
        }
        return true;
      });
      if (changes.length > 0) {
        this.counts.delivered += await fanOut(this, changes, (key) => this.rows.get(key) ?? []);
      }
    } catch (err) {
      this.log(`a batch of ${lines.length} changes is lost: ${err.message}`);
    }
  }

  /* Resolves when the WAL is being read. */
  async ensureRunning() {
    clearTimeout(this.idleTimer);
    await this.refreshTables();
    await this.decoder.start();
    this.armIdle();
    if (this.checkTimer === null) {
      this.checked = JSON.stringify(this.tables);
      this.checkTimer = setInterval(
        () => this.checkPublication().catch((err) => this.log(`publication check: ${err.message}`)),
        this.cfg.publicationCheckMs,
      );
      this.checkTimer.unref();
    }
  }

  async refreshTables() {
    this.tables = await publicationTables(this.pool, this.cfg.publication);
    this.decoder.setTables(this.tables);
  }

  /* Tables that came or went since the last check make everybody subscribe again. */
  async checkPublication() {
    await this.refreshTables();
    const now = JSON.stringify(this.tables);
    const changed = this.checked !== null && this.checked !== now;
    this.checked = now;
    if (changed) {
      this.resubscribeAll();
    }
  }

  /** As when the publication changes: all subscriptions go, every channel subscribes again. */
  resubscribeAll() {
    const all = [...this.subscriptions];
    all.forEach((s) => this.remove(s));
    all.forEach((s) => s.channel.resubscribe());
    return all.length;
  }

  /* The rows an entry stands for, one per matching table. Throws EntryError. */
  async expand(entry, id, role) {
    const tables = this.tables.filter((t) => matches(entry, t));
    if (tables.length === 0) {
      throw new EntryError(
        `${CHECK_ADVICE}Please check Realtime is enabled for the given connect parameters: ` +
          describeEntry(entry),
      );
    }
    try {
      const roles = await loadRoles(this.pool, [role]);
      if (!roles.has(role)) {
        throw Object.assign(new Error(`role "${role}" does not exist`), { code: '42704' });
      }
      const seen = await loadTables(this.pool, tables, [role]);
      const out = [];
      for (const [key, table] of seen) {
        const columns = table.columns.map((c) => ({ ...c, readable: c.readers.has(role) }));
        out.push({
          key,
          id,
          event: entry.event,
          select: entry.select,
          filters: await compileFilters(this.pool, entry, columns),
        });
      }
      return out;
    } catch (err) {
      throw new EntryError(failureText(entry, err));
    }
  }

  /** Makes the subscription of a channel; inactive until activate(). Throws EntryError. */
  async prepare(channel, entries, claims, claimsText) {
    await this.ensureRunning();
    const subscription = {
      channel,
      role: String(claims.role),
      claimsText,
      userKey: JSON.stringify([String(claims.role), claimsText]),
      rows: [],
      active: false,
      successor: null,
    };
    for (const { entry, id } of entries) {
      for (const row of await this.expand(parseEntry(entry), id, subscription.role)) {
        subscription.rows.push({ ...row, subscription });
      }
    }
    return subscription;
  }

  activate(subscription) {
    subscription.active = true;
    this.subscriptions.add(subscription);
    for (const row of subscription.rows) {
      if (!this.rows.has(row.key)) {
        this.rows.set(row.key, new Set());
      }
      this.rows.get(row.key).add(row);
    }
    clearTimeout(this.idleTimer);
  }

  /** As an update of the claims in place: what is being checked under `old` still arrives. */
  replace(old, subscription) {
    this.remove(old);
    old.successor = subscription;
    this.activate(subscription);
  }

  remove(subscription) {
    if (!this.subscriptions.delete(subscription)) {
      return;
    }
    subscription.active = false;
    for (const row of subscription.rows) {
      const set = this.rows.get(row.key);
      set?.delete(row);
      if (set?.size === 0) {
        this.rows.delete(row.key);
      }
    }
    this.armIdle();
  }

  /* The slot goes when nobody has been subscribed for long. */
  armIdle() {
    clearTimeout(this.idleTimer);
    if (this.subscriptions.size === 0) {
      this.idleTimer = setTimeout(() => this.stop(), this.cfg.idleSlotMs);
      this.idleTimer.unref();
    }
  }

  /** As a restart: what the slot held is gone, the new one starts from now. */
  async loseSlot() {
    await this.decoder.stop();
    await this.decoder.start();
  }

  state() {
    return {
      running: this.decoder.client !== null,
      paused: this.decoder.paused,
      tables: this.tables.map((t) => `${t.schema}.${t.table}`),
      subscriptions: this.subscriptions.size,
      polls: this.decoder.polls,
      ...this.counts,
    };
  }

  async stop() {
    clearTimeout(this.idleTimer);
    clearInterval(this.checkTimer);
    this.checkTimer = null;
    await this.decoder.stop();
  }
}
