// tables.mjs - reads and writes of one table or view.
import { RestError } from './errors.mjs';
import { appliedHeader, effectiveRange } from './prefer.mjs';
import { parseQuery, splitQuery } from './query.mjs';
import {
  createParams,
  deleteSql,
  insertSql,
  readSql,
  tableName,
  updateSql,
  writeSql,
} from './sql.mjs';

const MAX_ROWS = 1000;

/** Content-Range of `n` rows from `offset`, of `total` (null: unknown). */
export function contentRange(offset, n, total) {
  const shown = n > 0 ? `${offset}-${offset + n - 1}` : '*';
  return { 'Content-Range': `${shown}/${total ?? '*'}` };
}

/** 416 for an offset past the end; 206 when a known total is larger than the page. */
export function readStatus(offset, n, total) {
  if (total === null) {
    return 200;
  }
  if (total > 0 && offset > total) {
    const details = `An offset of ${offset} was requested, but there are only ${total} rows.`;
    const headers = { 'Content-Range': `*/${total}` };
    throw new RestError(416, 'PGRST103', 'Requested range not satisfiable', { details, headers });
  }
  return n < total ? 206 : 200;
}

export function checkSingle(media, n) {
  if (media.single && n !== 1) {
    const message = 'Cannot coerce the result to a single JSON object';
    throw new RestError(406, 'PGRST116', message, { details: `The result contains ${n} rows` });
  }
}

export function checkMaxAffected(prefer, n) {
  if (prefer['max-affected'] !== undefined && n > Number(prefer['max-affected'])) {
    const message = 'Query result exceeds max-affected preference constraint';
    throw new RestError(400, 'PGRST124', message, { details: `The query affects ${n} rows` });
  }
}

/** Content-Location: the path and its parameters, sorted and encoded. */
export function contentLocation(call) {
  const pairs = splitQuery(call.rawQuery).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  const query = pairs.map(([k, v]) => `${encodeURIComponent(k)}=${encodeURIComponent(v)}`);
  const tail = query.length === 0 ? '' : `?${query.join('&')}`;
  return { 'Content-Location': `${call.path}${tail}` };
}

async function findTable(call, name) {
  const key = `${call.schema}.${name}`;
  const table = await call.catalog.find(({ tables }) => tables.get(key));
  if (table === undefined) {
    const { tables } = await call.catalog.get();
    const like = [...tables.values()].find(
      (t) => t.schema === call.schema && (t.name.startsWith(name) || name.startsWith(t.name)),
    );
    const hint = like ? `Perhaps you meant the table '${like.schema}.${like.name}'` : null;
    const message = `Could not find the table '${key}' in the schema cache`;
    throw new RestError(404, 'PGRST205', message, { hint });
  }
  return table;
}

/** The planner's guess of how many rows a read has. */
async function plannedTotal(client, sql, values) {
  const { rows } = await client.query(`explain (format json) ${sql}`, values);
  return rows[0]['QUERY PLAN'][0].Plan['Plan Rows'];
}

export async function readTable(call, name) {
  const table = await findTable(call, name);
  const query = parseQuery(call.rawQuery);
  const range = effectiveRange(call.req, query);
  const limited = { ...range, limit: Math.min(range.limit ?? MAX_ROWS, MAX_ROWS) };
  const { prefer, media } = call;
  const target = tableName(table);
  const params = createParams();
  const exact = prefer.count === 'exact' || prefer.count === 'estimated';
  const parts = { source: target, from: target, query, media, params };
  const sql = readSql({ ...parts, range: limited, exact });
  const row = await call.transact(true, async (client) => {
    const { rows } = await client.query(sql, params.values);
    if (prefer.count === 'planned') {
      const all = createParams();
      const whole = readSql({ ...parts, params: all, range: { offset: 0 }, exact: false });
      const plan = /shown as \(([\s\S]*?)\)\n/.exec(whole)[1];
      rows[0].total = await plannedTotal(client, plan, all.values);
    }
    return rows[0];
  });
  const total = row.total === null ? null : Number(row.total);
  const status = readStatus(range.offset, row.n, total);
  checkSingle(media, row.n);
  const headers = {
    'Content-Type': media.type,
    ...contentRange(range.offset, row.n, total),
    ...contentLocation(call),
    ...appliedHeader(prefer, ['count', 'handling', 'timezone']),
  };
  return { status, body: row.body, headers };
}

function badBody(message = 'Empty or invalid json') {
  return new RestError(400, 'PGRST102', message);
}

/** The body's text with its keys: { text, isArray, isEmpty, names }. */
export function parseBody(call, columns) {
  const type = (call.req.headers['content-type'] ?? 'application/json').split(';')[0].trim();
  if (!/^application\/(json|vnd\.pgrst\.object\+json)$/i.test(type)) {
    throw badBody(`Content-Type not acceptable: ${type}`);
  }
  let value;
  try {
    value = JSON.parse(call.text);
  } catch {
    throw badBody();
  }
  const rows = Array.isArray(value) ? value : [value];
  const isObject = (row) => row !== null && typeof row === 'object' && !Array.isArray(row);
  if (!rows.every(isObject)) {
    throw badBody('All lines must be JSON objects');
  }
  const names = columns ?? Object.keys(rows[0] ?? {});
  if (columns === undefined) {
    const wanted = JSON.stringify([...names].sort());
    if (rows.some((row) => JSON.stringify(Object.keys(row).sort()) !== wanted)) {
      throw badBody('All object keys must match');
    }
  }
  const isEmpty = rows.length === 0;
  return { text: call.text, isArray: Array.isArray(value), isEmpty, names, first: rows[0] };
}

/** PostgREST preloads safeupdate for its own login: no write without a filter. */
function requireFilter(verb, query) {
  if (query.filters.length === 0) {
    throw new RestError(400, '21000', `${verb} requires a WHERE clause`);
  }
}

/** PUT names one row by its whole primary key, and the body must agree. */
function checkPut(table, query, body) {
  const keys = query.filters.filter((f) => f.op === 'eq' && !f.not && f.col?.path.length === 0);
  const named = keys.map((f) => f.col.name).sort();
  const isWhole = keys.length === query.filters.length && table.key.length > 0;
  if (!isWhole || JSON.stringify(named) !== JSON.stringify([...table.key].sort())) {
    const message = "Filters must include all and only primary key columns with 'eq' operators";
    throw new RestError(405, 'PGRST105', message);
  }
  const agrees = keys.every((f) => String(body.first?.[f.col.name]) === f.value);
  if (body.isEmpty || !agrees) {
    const message = 'Payload values do not match URL in primary key column(s)';
    throw new RestError(400, 'PGRST115', message);
  }
}

/** {statement, noop}: the SQL of a write, or noop when no row can be touched. */
function planWrite(method, { table, query, prefer, body, params }) {
  if (method === 'DELETE') {
    requireFilter('DELETE', query);
    return { statement: deleteSql({ table, query, params }) };
  }
  if (body.isEmpty || (method === 'PATCH' && body.names.length === 0)) {
    return { noop: true };
  }
  if (method === 'PATCH') {
    requireFilter('UPDATE', query);
    return { statement: updateSql({ table, query, body, params }) };
  }
  return { statement: insertSql({ table, query, prefer, body, params }) };
}

function locationHeader(table, location) {
  if (location === null) {
    return {};
  }
  const pairs = Object.entries(location).map(([k, v]) => `${k}=eq.${encodeURIComponent(v)}`);
  return { Location: `/${table.name}?${pairs.join('&')}` };
}

function writeStatus(method, prefer, row, hasBody) {
  if (method === 'POST') {
    const allExisted = prefer.resolution === 'merge-duplicates' && row.n > 0 && row.inserted === 0;
    return allExisted ? 200 : 201;
  }
  if (method === 'PUT' && hasBody) {
    return row.inserted > 0 ? 201 : 200;
  }
  return hasBody ? 200 : 204;
}

const APPLIED = {
  POST: ['resolution', 'missing', 'return', 'count', 'handling', 'timezone'],
  PUT: ['return', 'count', 'handling', 'timezone'],
  PATCH: ['return', 'count', 'handling', 'timezone', 'max-affected'],
  DELETE: ['return', 'count', 'handling', 'timezone', 'max-affected'],
};

function writeHeaders({ method, table, prefer, media, row, hasBody }) {
  const total = prefer.count === undefined ? null : row.n;
  const shown = method === 'PATCH' ? row.n : 0;
  return {
    ...(hasBody ? { 'Content-Type': media.type } : {}),
    ...(method === 'PUT' ? {} : contentRange(0, shown, total)),
    ...(method === 'POST' && prefer.return === 'headers-only' && row.n === 1
      ? locationHeader(table, row.location)
      : {}),
    ...appliedHeader(prefer, APPLIED[method]),
  };
}

export async function writeTable(call, name) {
  const { method } = call.req;
  const { media } = call;
  const table = await findTable(call, name);
  const query = parseQuery(call.rawQuery);
  const body = method === 'DELETE' ? null : parseBody(call, query.columns);
  const prefer = { ...call.prefer };
  if (method === 'PUT') {
    checkPut(table, query, body);
    prefer.resolution = 'merge-duplicates';
  } else if (method !== 'POST') {
    delete prefer.resolution;
  }
  const hasBody = prefer.return === 'representation';
  const wants = { body: hasBody, location: method === 'POST' && prefer.return === 'headers-only' };
  const params = createParams();
  const { statement, noop } = planWrite(method, { table, query, prefer, body, params });
  const row = noop
    ? { n: 0, inserted: null, location: null, body: media.single ? 'null' : '[]' }
    : await call.transact(false, async (client) => {
        const sql = writeSql({ statement, table, query, media, wants, prefer });
        const { rows } = await client.query(sql, params.values);
        checkSingle(hasBody ? media : {}, rows[0].n);
        checkMaxAffected(prefer, rows[0].n);
        return rows[0];
      });
  checkSingle(hasBody ? media : {}, row.n);
  return {
    status: writeStatus(method, prefer, row, hasBody),
    body: hasBody ? row.body : '',
    headers: writeHeaders({ method, table, prefer, media, row, hasBody }),
  };
}
