// records.mjs - from wal2json lines to the JSON texts of column values.
//
// Only PostgreSQL turns a value into JSON (to_jsonb), and the result stays text:
// int8 and numeric keep all their digits. A column that the WAL does not hold
// (unchanged TOAST) stays absent.

import { quoteIdent } from './filters.mjs';
import { tableKey } from './catalog.mjs';

const MAX_CHANGE_BYTES = 1_048_576;
const MAX_KEPT_BYTES = 64;
const TYPES = { I: 'INSERT', U: 'UPDATE', D: 'DELETE' };

const CONVERT = (relation) => `
with line as (select i, d::jsonb as d from unnest($1::text[]) with ordinality u(d, i)),
part as (
  select i, w.part, e.c, e.c->>'name' as name,
           case when e.c->>'type' in ('json', 'jsonb') then (e.c->>'value')::jsonb
                else e.c->'value' end as v
  from line, (values ('columns'), ('identity')) w(part), jsonb_array_elements(line.d->w.part) e(c)),
row as (
  select i, part, jsonb_object_agg(name, v) as given,
           jsonb_object_agg(name, v) filter (where c->>'type' = 'bytea') as raw
  from part group by i, part)
select i::int - 1 as i, part,
       (select json_object_agg(r.key, coalesce(row.raw->r.key, r.value)::text)
    from jsonb_each(to_jsonb(jsonb_populate_record(null::${relation}, row.given))) r
    where row.given ? r.key) as vals
from row`;

function msTimestamp(text) {
  /* 2026-11-22 16:50:07.881754+00: the session's zone is UTC. */
  const match = /^(\S+) (\d\d:\d\d:\d\d)(?:\.(\d+))?/.exec(text);
  return `${match[1]}T${match[2]}.${(match[3] ?? '').padEnd(3, '0').slice(0, 3)}Z`;
}

function toChange(line, index) {
  const wal = JSON.parse(line);
  return {
    index,
    key: tableKey(wal.schema, wal.table),
    schema: wal.schema,
    table: wal.table,
    type: TYPES[wal.action],
    timestamp: msTimestamp(wal.timestamp),
    oversize: Buffer.byteLength(line) > MAX_CHANGE_BYTES,
    wal,
    record: null,
    old: null,
  };
}

function trim(values) {
  return Object.fromEntries(
    Object.entries(values).filter(([, v]) => Buffer.byteLength(v) <= MAX_KEPT_BYTES),
  );
}

/* Fills record and old of the changes of one table: objects of column name to JSON text. */
async function convert(db, changes, lines, log) {
  const { schema, table } = changes[0];
  const relation = `${quoteIdent(schema)}.${quoteIdent(table)}`;
  let rows;
  try {
    ({ rows } = await db.query(CONVERT(relation), [changes.map((c) => lines[c.index])]));
  } catch (err) {
    log(`changes of ${schema}.${table} dropped: ${err.message}`);
    return;
  }
  for (const { i, part, vals } of rows) {
    changes[i][part === 'columns' ? 'record' : 'old'] = vals;
  }
  for (const change of changes.filter((c) => c.oversize)) {
    /* Filters look at the whole row, the event shows what is left. */
    change.fullRecord = change.record;
    change.fullOld = change.old;
    change.record = change.record && trim(change.record);
    change.old = change.old && trim(change.old);
  }
}

export function groupBy(items, keyOf) {
  const out = new Map();
  for (const item of items) {
    const key = keyOf(item);
    if (!out.has(key)) {
      out.set(key, []);
    }
    out.get(key).push(item);
  }
  return out;
}

/** The changes of one poll in commit order, restricted to the tables that `wanted(key)` names. */
export async function readChanges(db, lines, wanted, log) {
  const changes = lines.map(toChange).filter((c) => wanted(c.key));
  for (const group of groupBy(changes, (c) => c.key).values()) {
    await convert(db, group, lines, log);
  }
  return changes.filter((c) => c.record !== null || c.old !== null);
}

/** A JSON text as the text PostgreSQL would read back into a scalar column. */
export function scalarText(json) {
  if (json === undefined || json === 'null') {
    return null;
  }
  return json[0] === '"' ? JSON.parse(json) : json;
}

export function objectText(values, names) {
  const members = [];
  for (const name of names) {
    if (values[name] !== undefined) {
      members.push(`${JSON.stringify(name)}:${values[name]}`);
    }
  }
  return `{${members.join(',')}}`;
}
