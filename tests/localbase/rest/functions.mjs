// functions.mjs - calls of stored functions: /rpc/<name>.
import { RestError } from './errors.mjs';
import { appliedHeader, effectiveRange } from './prefer.mjs';
import { parseQuery } from './query.mjs';
import { createParams, ident, readSql, tableName } from './sql.mjs';
import { checkMaxAffected, checkSingle, contentRange, parseBody, readStatus } from './tables.mjs';

const READS = ['GET', 'HEAD'];

function notFound(call, name, given) {
  const full = `${call.schema}.${name}`;
  const list = given.join(', ');
  const where = 'but no matches were found in the schema cache.';
  const [message, details] =
    given.length === 0
      ? [
          `Could not find the function ${full} without parameters in the schema cache`,
          `Searched for the function ${full} without parameters, ${where}`,
        ]
      : [
          `Could not find the function ${full}(${list}) in the schema cache`,
          `Searched for the function ${full} with parameters ${list}` +
            ` or with a single unnamed json/jsonb parameter, ${where}`,
        ];
  return (similar) => {
    const hint = similar ? `Perhaps you meant to call the function ${similar}` : null;
    return new RestError(404, 'PGRST202', message, { details, hint });
  };
}

/** The overload that takes exactly these arguments. */
function matches(fn, given) {
  const known = fn.args.map(({ name }) => name);
  const required = fn.args.filter(({ optional }) => !optional);
  return (
    given.every((g) => known.includes(g)) && required.every(({ name }) => given.includes(name))
  );
}

async function findFunction(call, name, given) {
  const key = `${call.schema}.${name}`;
  const pick = ({ functions }) => functions.get(key)?.find((fn) => matches(fn, given));
  const fn = await call.catalog.find(pick);
  if (fn === undefined) {
    const { functions } = await call.catalog.get();
    const other = functions.get(key)?.[0];
    const args = other?.args.map((arg) => arg.name).join(', ');
    const similar = other && `${key}${args === '' ? '' : `(${args})`}`;
    throw notFound(call, name, given)(similar);
  }
  return fn;
}

/** Names and JSON text of the arguments, from the body or the query. */
async function readArguments(call, name) {
  const { req } = call;
  if (!READS.includes(req.method)) {
    const body = parseBody({ ...call, text: call.text === '' ? '{}' : call.text });
    if (body.isArray) {
      throw new RestError(400, 'PGRST102', 'Arguments must be one JSON object');
    }
    return { given: body.names, json: body.text, query: parseQuery(call.rawQuery) };
  }
  const { functions } = await call.catalog.get();
  const overloads = functions.get(`${call.schema}.${name}`) ?? [];
  const known = new Set(overloads.flatMap(({ args }) => args.map((arg) => arg.name)));
  const query = parseQuery(call.rawQuery, (param) => known.has(param));
  const json = JSON.stringify(Object.fromEntries(query.args));
  return { given: query.args.map(([arg]) => arg), json, query };
}

/** `with` prefix and FROM text that call the function once. */
function callSql(fn, given, json, params) {
  const used = fn.args.filter((arg) => given.includes(arg.name));
  const target = tableName(fn);
  const values = used.map((arg) => `${ident(arg.name)} := pgrst_args.${ident(arg.name)}`);
  const types = used.map((arg) => `${ident(arg.name)} ${arg.type}`).join(', ');
  const args =
    used.length === 0
      ? ''
      : `pgrst_args as (select * from json_to_record(${params.p(json)}::json) as _ (${types})), `;
  const from = used.length === 0 ? '' : 'pgrst_args, lateral ';
  const call = `${target}(${values.join(', ')})`;
  const rows = fn.isRow
    ? `select pgrst_fn.* from ${from}${call} pgrst_fn`
    : `select pgrst_fn as pgrst_scalar from ${from}${call} pgrst_fn`;
  return `${args}pgrst_call as materialized (${rows}), `;
}

/** Functions may choose status and headers through two settings. */
async function readGucs(client) {
  const { rows } = await client.query(`select
    nullif(current_setting('response.status', true), '') as status,
    nullif(current_setting('response.headers', true), '') as headers`);
  try {
    const list = rows[0].headers === null ? [] : JSON.parse(rows[0].headers);
    const status = rows[0].status === null ? undefined : Number(rows[0].status);
    return { status, headers: Object.assign({}, ...list) };
  } catch {
    throw new RestError(500, 'PGRST111', 'response.headers guc must be a JSON array of objects');
  }
}

/** The text of a scalar result: its values without the object around them. */
function scalarBody(fn, text) {
  return fn.many
    ? `(select coalesce(json_agg(pgrst_scalar)::text, '[]') from ${text})`
    : `(select coalesce((json_agg(pgrst_scalar) -> 0)::text, 'null') from ${text})`;
}

function functionSql(fn, { query, range, media, exact, prefix, params }) {
  if (!fn.isRow) {
    const body = scalarBody(fn, 'pgrst_call');
    return `with ${prefix}n as (select count(*) as n from pgrst_call)
      select n.n::int as n, n.n as total, ${body} as body from n`;
  }
  const shape = fn.many ? media : { ...media, single: true };
  const parts = { source: 'pgrst_call', from: 'pgrst_call', query, range, exact, params };
  return readSql({ ...parts, media: shape, prefix });
}

export async function runFunction(call, name) {
  const { req, prefer, media } = call;
  if (!['GET', 'HEAD', 'POST'].includes(req.method)) {
    const message = `Cannot use the ${req.method} method on RPC`;
    throw new RestError(405, 'PGRST101', message);
  }
  const { given, json, query } = await readArguments(call, name);
  const fn = await findFunction(call, name, given);
  const range = effectiveRange(req, query);
  const params = createParams();
  const prefix = callSql(fn, given, json, params);
  const exact = prefer.count !== undefined;
  const sql = functionSql(fn, { query, range, media, exact, prefix, params });
  const { row, gucs } = await call.transact(READS.includes(req.method), async (client) => {
    const { rows } = await client.query(sql, params.values);
    if (fn.many) {
      checkSingle(media, rows[0].n);
    }
    checkMaxAffected(prefer, rows[0].n);
    return { row: rows[0], gucs: await readGucs(client) };
  });
  const total = exact && row.total !== null ? Number(row.total) : null;
  const status = fn.isVoid ? 204 : readStatus(range.offset, row.n, total);
  const headers = {
    ...(fn.isVoid ? {} : { 'Content-Type': media.type }),
    ...contentRange(range.offset, row.n, total),
    ...appliedHeader(prefer, ['count', 'handling', 'timezone', 'max-affected']),
    ...gucs.headers,
  };
  return { status: gucs.status ?? status, body: fn.isVoid ? '' : row.body, headers };
}
