// fanout.mjs - decides who gets which change, and what they see of it.
//
// One batch at a time, order kept. Row level security is asked of PostgreSQL
// under the subscriber's own role and claims, once per (role, claims) and table
// for the whole batch, against the current state of the table as upstream does
// (reference/realtime-protocol.md §8.3 to §8.5).

import { loadRoles, loadTables } from './catalog.mjs';
import { quoteIdent } from './filters.mjs';
import { groupBy, objectText, scalarText } from './records.mjs';

/* What filters and RLS look at: new values, or the old identity for a DELETE. */
function subject(change) {
  return change.type === 'DELETE'
    ? (change.fullOld ?? change.old)
    : (change.fullRecord ?? change.record);
}

function columnText(change, filter, json) {
  if (!filter.isArray) {
    return scalarText(json);
  }
  const raw = (change.wal.columns ?? change.wal.identity).find((c) => c.name === filter.column);
  return raw.value;
}

async function sqlPasses(db, filter, changes) {
  const texts = changes.map((c) => columnText(c, filter, subject(c)[filter.column]));
  const { rows } = await db.query(
    `select k.i from unnest($1::text[]) with ordinality k(v, i) where ${filter.sql('k.v', '$2')}`,
    [texts, filter.value],
  );
  return new Set(rows.map((r) => changes[Number(r.i) - 1]));
}

/* The changes that pass all filters of one subscription row. */
async function filterChanges(db, filters, changes) {
  let left = changes;
  for (const filter of filters) {
    left = left.filter((c) => subject(c)?.[filter.column] !== undefined);
    if (filter.local !== null) {
      left = left.filter((c) => filter.local(subject(c)[filter.column]));
    } else if (left.length > 0) {
      const passed = await sqlPasses(db, filter, left);
      left = left.filter((c) => passed.has(c));
    }
  }
  return left;
}

/* One look-up by key per row: `offset 0` forbids a join, which would run the policy on the whole
   table, and keys of the column's own type let the index be used beneath the policy. */
async function visibleRows(client, table, changes) {
  const pk = table.columns.filter((c) => c.pk);
  const names = pk.map((_, i) => `c${i}`);
  const where = pk.map((c, i) => `x.${quoteIdent(c.name)} = k.c${i}`).join(' and ');
  const arrays = pk.map((c, i) => `$${i + 1}::text[]::${c.type}[]`).join(', ');
  const relation = `${quoteIdent(table.schema)}.${quoteIdent(table.table)}`;
  const { rows } = await client.query(
    `select k.i from unnest(${arrays}) with ordinality k(${names.join(', ')}, i)
     where exists (select 1 from ${relation} x where ${where} offset 0)`,
    pk.map((c) => changes.map((change) => scalarText(subject(change)[c.name]))),
  );
  return rows.map((r) => changes[Number(r.i) - 1]);
}

/* Asks as one user. wanted: Map of table to Set of changes. Answers the visible changes. */
async function visibleTo(pool, { role, claimsText }, wanted, log) {
  const visible = new Set();
  const client = await pool.connect();
  try {
    await client.query('begin read only');
    await client.query(
      "select set_config('role', $1, true), set_config('request.jwt.claims', $2, true)",
      [role, claimsText],
    );
    for (const [table, changes] of wanted) {
      for (const change of await visibleRows(client, table, [...changes])) {
        visible.add(change);
      }
    }
    await client.query('commit');
  } catch (err) {
    log(`row level security check as ${role}: ${err.message}`);
    await client.query('rollback').catch(() => {});
  } finally {
    client.release();
  }
  return visible;
}

function isErrorShape(change, table, role) {
  const pk = table.columns.filter((c) => c.pk);
  return change.type !== 'DELETE' && (pk.length === 0 || !pk.every((c) => c.readers.has(role)));
}

/* What a (role, selection) sees of a change. */
function dataText(change, table, role, select) {
  const pk = table.columns.filter((c) => c.pk);
  const readable = (c) => c.readers.has(role);
  const [schema, name] = [change.schema, change.table].map((n) => JSON.stringify(n));
  const base = `"schema":${schema},"table":${name},"type":"${change.type}"`;
  if (isErrorShape(change, table, role)) {
    const error =
      pk.length === 0 ? 'Error 400: Bad Request, no primary key' : 'Error 401: Unauthorized';
    const old = change.type === 'UPDATE' ? ',"old_record":{}' : '';
    return `{${base},"commit_timestamp":null,"columns":[],"record":{}${old},"errors":["${error}"]}`;
  }
  const shown = table.columns.filter(
    (c) => readable(c) && (select === null || c.pk || select.includes(c.name)),
  );
  const names = shown.map((c) => c.name);
  const parts = [
    base,
    `"commit_timestamp":"${change.timestamp}"`,
    `"columns":${JSON.stringify(shown.map((c) => ({ name: c.name, type: c.typname })))}`,
  ];
  if (change.type !== 'DELETE') {
    parts.push(`"record":${objectText(change.record ?? {}, names)}`);
  }
  if (change.type !== 'INSERT') {
    const pkOnly = change.type === 'DELETE' && table.rls;
    const oldNames = pkOnly ? shown.filter((c) => c.pk).map((c) => c.name) : names;
    const hidden = change.type === 'DELETE' && !pk.every(readable);
    parts.push(`"old_record":${hidden ? '{}' : objectText(change.old ?? {}, oldNames)}`);
  }
  parts.push(`"errors":${change.oversize ? '["Error 413: Payload Too Large"]' : 'null'}`);
  return `{${parts.join(',')}}`;
}

/* Pairs of change and subscription row that pass event and filters. */
async function candidates(db, changes, rowsOf, tables, log) {
  const byTable = groupBy(changes, (c) => c.key);
  const pairs = [];
  for (const [key, group] of byTable) {
    const table = tables.get(key);
    for (const row of table === undefined ? [] : rowsOf(key)) {
      const typed = row.event === '*' ? group : group.filter((c) => c.type === row.event);
      const isBroken = (c) => isErrorShape(c, table, row.subscription.role);
      const broken = typed.filter(isBroken);
      const whole = typed.filter((c) => !isBroken(c));
      try {
        for (const change of await filterChanges(db, row.filters, whole)) {
          pairs.push({ change, row, table, check: change.type !== 'DELETE' && table.rls });
        }
      } catch (err) {
        log(`filter on ${key}: ${err.message}`);
      }
      pairs.push(...broken.map((change) => ({ change, row, table, check: false })));
    }
  }
  return pairs;
}

async function applyRls(pool, pairs, bypass, log) {
  const users = groupBy(
    pairs.filter((p) => p.check && !bypass.get(p.row.subscription.role)),
    (p) => p.row.subscription.userKey,
  );
  const denied = new Set();
  for (const group of users.values()) {
    const wanted = new Map();
    for (const { table, change } of group) {
      wanted.set(table, (wanted.get(table) ?? new Set()).add(change));
    }
    const visible = await visibleTo(pool, group[0].row.subscription, wanted, log);
    group.filter((p) => !visible.has(p.change)).forEach((p) => denied.add(p));
  }
  return denied.size === 0 ? pairs : pairs.filter((p) => !denied.has(p));
}

/* One frame per channel, change and (role, selection), all in commit order. */
function deliver(pairs) {
  const texts = new Map();
  const frames = new Map();
  for (const { change, row, table } of pairs) {
    const { channel, role } = row.subscription;
    const view = `${change.index}|${role}|${row.select === null ? '*' : row.select.join(',')}`;
    if (!texts.has(view)) {
      texts.set(view, dataText(change, table, role, row.select));
    }
    const key = `${channel.serial}|${view}`;
    if (!frames.has(key)) {
      frames.set(key, { channel, index: change.index, ids: [], text: texts.get(view) });
    }
    frames.get(key).ids.push(row.id);
  }
  for (const frame of [...frames.values()].sort((a, b) => a.index - b.index)) {
    frame.channel.deliverChange(`{"ids":[${frame.ids.join(',')}],"data":${frame.text}}`);
  }
}

/* Whether it, or what has replaced it meanwhile, is still subscribed. */
function isLive(subscription) {
  let last = subscription;
  while (last.successor !== null) {
    last = last.successor;
  }
  return last.active;
}

/** Delivers the changes. `rowsOf(key)` lists the live subscription rows of a table. */
export async function fanOut({ pool, log }, changes, rowsOf) {
  const keys = new Map(changes.map((c) => [c.key, c]));
  // As they are now: one that is replaced meanwhile must count neither twice nor not at all.
  const rowsNow = new Map([...keys.keys()].map((key) => [key, [...rowsOf(key)]]));
  const rows = [...rowsNow.values()].flat();
  const roles = [...new Set(rows.map((r) => r.subscription.role))];
  const [tables, bypass] = await Promise.all([
    loadTables(pool, [...keys.values()], roles),
    loadRoles(pool, roles),
  ]);
  const pairs = await candidates(pool, changes, (key) => rowsNow.get(key), tables, log);
  const allowed = await applyRls(pool, pairs, bypass, log);
  deliver(allowed.filter((p) => isLive(p.row.subscription)));
  return allowed.length;
}
