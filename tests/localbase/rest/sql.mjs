// sql.mjs - SQL text for one REST request.
//
// PostgreSQL casts the values, formats the JSON and raises the errors: filters
// are untyped parameters, bodies go in as one json parameter, rows come out as
// one text. Only identifiers and operators become text here, always quoted.
import { RestError } from './errors.mjs';

const BINARY = {
  eq: '=',
  neq: '<>',
  gt: '>',
  gte: '>=',
  lt: '<',
  lte: '<=',
  like: 'like',
  ilike: 'ilike',
  match: '~',
  imatch: '~*',
  isdistinct: 'is distinct from',
  cs: '@>',
  cd: '<@',
  ov: '&&',
  sl: '<<',
  sr: '>>',
  nxr: '&<',
  nxl: '&>',
  adj: '-|-',
};
const FULL_TEXT = {
  fts: 'to_tsquery',
  plfts: 'plainto_tsquery',
  phfts: 'phraseto_tsquery',
  wfts: 'websearch_to_tsquery',
};

export const ident = (name) => `"${name.replaceAll('"', '""')}"`;
export const literal = (text) => `E'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;
export const tableName = (table) => `${ident(table.schema)}.${ident(table.name)}`;

/** Array literal text: {"a","b"}. */
function arrayText(items) {
  return `{${items.map((item) => `"${item.replace(/["\\]/g, '\\$&')}"`).join(',')}}`;
}

/** Collects parameters: p('x') is its placeholder. */
export function createParams() {
  const values = [];
  const p = (value) => `$${values.push(value)}`;
  return { p, values };
}

/** `from`: the quoted relation that columns belong to. */
function columnSql(col, from) {
  const base = `${from}.${ident(col.name)}`;
  if (col.path.length === 0) {
    return base;
  }
  const steps = col.path.map(
    ({ arrow, key }) => arrow + (/^-?\d+$/.test(key) ? key : literal(key)),
  );
  return `(to_jsonb(${base})${steps.join('')})`;
}

function filterSql(filter, from, params) {
  const { op, quantifier } = filter;
  const col = columnSql(filter.col, from);
  const not = filter.not ? 'not ' : '';
  if (op === 'is') {
    return `${not}(${col} is ${filter.value.replace('_', ' ')})`;
  }
  if (op === 'in') {
    return `${not}(${col} = any (${params.p(arrayText(filter.value))}))`;
  }
  if (Object.hasOwn(FULL_TEXT, op)) {
    const language = filter.language ? `${literal(filter.language)}, ` : '';
    return `${not}(${col} @@ ${FULL_TEXT[op]}(${language}${params.p(filter.value)}))`;
  }
  const isPattern = op === 'like' || op === 'ilike';
  const value = params.p(isPattern ? filter.value.replaceAll('*', '%') : filter.value);
  const right = quantifier ? `${quantifier} (${value})` : value;
  return `${not}(${col} ${BINARY[op]} ${right})`;
}

function conditionSql(node, from, params) {
  if (node.logic === undefined) {
    return filterSql(node, from, params);
  }
  const items = node.items.map((item) => conditionSql(item, from, params));
  return `${node.not ? 'not ' : ''}(${items.join(` ${node.logic} `)})`;
}

export function whereSql(filters, from, params) {
  const conditions = filters.map((node) => conditionSql(node, from, params));
  return conditions.length === 0 ? '' : ` where ${conditions.join(' and ')}`;
}

export function orderSql(order, from) {
  const terms = order.map(({ col, direction = 'asc', nulls }) => {
    const tail = { nullsfirst: ' nulls first', nullslast: ' nulls last' }[nulls] ?? '';
    return `${columnSql(col, from)} ${direction}${tail}`;
  });
  return terms.length === 0 ? '' : ` order by ${terms.join(', ')}`;
}

/** The select list. */
export function selectSql(select, from) {
  const items = select.map((item) => {
    if (item.star) {
      return `${from}.*`;
    }
    const value = columnSql(item.col, from);
    return `${item.cast ? `cast(${value} as ${item.cast})` : value} as ${ident(item.as)}`;
  });
  return items.join(', ');
}

export function limitSql({ offset, limit }) {
  return `${limit === undefined ? '' : ` limit ${limit}`}${offset > 0 ? ` offset ${offset}` : ''}`;
}

/** The body text of relation `t`: an array, one object, or CSV. */
export function bodySql(media, t) {
  const row = media.stripped ? `json_strip_nulls(row_to_json(${t}))` : t;
  if (media.csv) {
    return `(select coalesce((select string_agg(a.k, ',') from (select json_object_keys(r) as k
      from (select row_to_json(${t}) as r from ${t} limit 1) s) a), '')
      || coalesce(E'\\n' || string_agg(substring(x.r::text, 2, length(x.r::text) - 2), E'\\n'), '')
      from (select ${t} as r from ${t}) x)`;
  }
  return media.single
    ? `(select coalesce((json_agg(${row}) -> 0)::text, 'null') from ${t})`
    : `(select coalesce(json_agg(${row})::text, '[]') from ${t})`;
}

function columnOf(table, name) {
  const column = table.columns.find((c) => c.name === name);
  if (column === undefined) {
    const message = `Could not find the '${name}' column of '${table.name}' in the schema cache`;
    throw new RestError(400, 'PGRST204', message);
  }
  return column;
}

/**
 * `(select … )` that yields the body's rows with the columns `names`, typed as
 * the table's. `isArray`: the body is an array; `defaults`: absent keys take the
 * column's default.
 */
function bodyRows(table, names, { isArray, defaults, json }) {
  const columns = names.map((name) => columnOf(table, name));
  const list = columns.map(({ name }) => ident(name)).join(', ');
  const types = columns.map(({ name, type }) => `${ident(name)} ${type}`).join(', ');
  const withDefaults = columns.filter(({ fallback }) => fallback !== null);
  if (defaults && withDefaults.length > 0) {
    const pairs = withDefaults.map(({ name, fallback }) => `${literal(name)}, ${fallback}`);
    const each = isArray ? `jsonb_array_elements(${json}::jsonb)` : `(select ${json}::jsonb)`;
    const from = `${each} as elem (value)`;
    const merged = `jsonb_build_object(${pairs.join(', ')}) || elem.value`;
    const filled = `(select jsonb_agg(${merged}) from ${from})`;
    return { list, rows: `select ${list} from jsonb_to_recordset(${filled}) as _ (${types})` };
  }
  const expand = isArray ? 'json_to_recordset' : 'json_to_record';
  return { list, rows: `select ${list} from ${expand}(${json}::json) as _ (${types})` };
}

function conflictSql(query, prefer, table, names) {
  if (prefer.resolution === undefined) {
    return '';
  }
  const target = query.onConflict ?? table.key;
  if (target.length === 0) {
    return '';
  }
  const columns = target.map(ident).join(', ');
  const sets = names.map((name) => `${ident(name)} = excluded.${ident(name)}`).join(', ');
  const update = prefer.resolution === 'merge-duplicates' && sets !== '';
  return ` on conflict (${columns}) do ${update ? `update set ${sets}` : 'nothing'}`;
}

/** insert …, without returning. `body`: { text, isArray, names }. */
export function insertSql({ table, query, prefer, body, params }) {
  const into = `insert into ${tableName(table)}`;
  if (body.names.length === 0) {
    return `${into} default values`;
  }
  const json = params.p(body.text);
  const defaults = prefer.missing === 'default';
  const { list, rows } = bodyRows(table, body.names, { isArray: body.isArray, defaults, json });
  return `${into} (${list}) ${rows}${conflictSql(query, prefer, table, body.names)}`;
}

export function updateSql({ table, query, body, params }) {
  const target = tableName(table);
  const json = params.p(body.text);
  const { rows } = bodyRows(table, body.names, { isArray: body.isArray, json });
  const sets = body.names.map((name) => `${ident(name)} = pgrst_body.${ident(name)}`).join(', ');
  const one = `${rows}${body.isArray ? ' limit 1' : ''}`;
  const where = whereSql(query.filters, target, params);
  return `update ${target} set ${sets} from (${one}) pgrst_body${where}`;
}

export function deleteSql({ table, query, params }) {
  const target = tableName(table);
  return `delete from ${target}${whereSql(query.filters, target, params)}`;
}

/**
 * Wraps a write. Yields n, inserted, location and body. Only the needed columns
 * are returned, so that a plain insert asks for no SELECT right.
 */
export function writeSql({ statement, table, query, media, wants, prefer }) {
  const target = tableName(table);
  const returned = [];
  if (wants.body) {
    returned.push(selectSql(query.select, target));
  }
  const keys = wants.location ? table.key : [];
  returned.push(...keys.map((name, i) => `${target}.${ident(name)} as "pgrst key ${i}"`));
  const isMerge = prefer.resolution === 'merge-duplicates';
  returned.push(isMerge ? `(${target}.xmax = 0) as "pgrst inserted"` : `1 as "pgrst one"`);
  const inserted = isMerge ? `(select count(*) from src where "pgrst inserted")` : 'null';
  const pairs = keys.map((name, i) => `${literal(name)}, src."pgrst key ${i}"`);
  const location =
    keys.length === 0 ? 'null' : `(select json_build_object(${pairs.join(', ')}) from src limit 1)`;
  // The columns that only we asked for are taken out again by naming the others.
  const shown = wants.body ? shownColumns(query.select, table) : null;
  const shownCte = shown === null ? '' : `, shown as (select ${shown} from src)`;
  return `with src as (${statement} returning ${returned.join(', ')})${shownCte}
    select (select count(*) from src)::int as n, ${inserted}::int as inserted,
      ${location} as location, ${wants.body ? bodySql(media, 'shown') : 'null'} as body`;
}

function shownColumns(select, table) {
  const expand = (item) => (item.star ? table.columns.map(({ name }) => name) : [item.as]);
  return select.flatMap(expand).map(ident).join(', ');
}

/** A read. Yields n, total and body. `source`: relation text in FROM, called `from`. */
export function readSql({ source, from, query, range, media, exact, params, prefix = '' }) {
  const where = whereSql(query.filters, from, params);
  const rows =
    `select ${selectSql(query.select, from)} from ${source}${where}` +
    `${orderSql(query.order, from)}${limitSql(range)}`;
  const total = exact ? `(select count(*) from (select 1 from ${source}${where}) c)` : 'null';
  return `with ${prefix}shown as (${rows})
    select (select count(*) from shown)::int as n, ${total}::bigint as total,
      ${bodySql(media, 'shown')} as body`;
}
