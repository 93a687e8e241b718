// filters.mjs - postgres_changes entries and their filters: reading, checking
// against the catalogue, and deciding whether a row passes
// (reference/realtime-protocol.md §8.2, §8.3).

const COMPARE = { eq: '=', neq: '<>', lt: '<', lte: '<=', gt: '>', gte: '>=' };
const TEXT_OPS = { like: 'like', ilike: 'ilike', match: '~', imatch: '~*' };
const IS_VALUES = new Set(['null', 'true', 'false', 'unknown']);
const OPERATORS = new Set([
  ...Object.keys(COMPARE),
  ...Object.keys(TEXT_OPS),
  'in',
  'is',
  'isdistinct',
]);
const MAX_IN_VALUES = 100;
const INTEGERS = new Set(['int2', 'int4', 'int8', 'oid']);
/* Types for which equal values have equal JSON texts, so that eq needs no SQL. */
const CANONICAL = new Set([
  ...INTEGERS,
  'uuid',
  'text',
  'varchar',
  'name',
  'bool',
  'date',
  'timestamp',
  'timestamptz',
]);

/** Tells the subscriber what is wrong with an entry; the text is part of the protocol. */
export class EntryError extends Error {}

export function quoteIdent(name) {
  return `"${String(name).replaceAll('"', '""')}"`;
}

function inspect(value) {
  return Array.isArray(value) ? `[${value.map(inspect).join(', ')}]` : JSON.stringify(value);
}

/* Cuts at top-level commas: not inside ( ), nor inside a quoted run that opened after . ( or , */
function splitSegments(text) {
  const out = [];
  let depth = 0;
  let quoted = false;
  let from = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (quoted) {
      if (c === '\\') {
        i++;
      } else if (c === '"') {
        quoted = false;
      }
    } else if (c === '"' && (i === 0 || '.(,'.includes(text[i - 1]))) {
      quoted = true;
    } else if (c === '(') {
      depth++;
    } else if (c === ')') {
      depth--;
    } else if (c === ',' && depth <= 0) {
      out.push(text.slice(from, i));
      from = i + 1;
    }
  }
  out.push(text.slice(from));
  return out.map((s) => s.trim());
}

function unquote(value) {
  return /^"(?:[^"\\]|\\.)*"$/s.test(value) ? value.slice(1, -1).replace(/\\(.)/gs, '$1') : value;
}

function parseSegment(segment) {
  const eq = segment.indexOf('=');
  const parts = eq < 0 ? [segment] : [segment.slice(0, eq), segment.slice(eq + 1)];
  const match = eq > 0 ? /^(not\.)?([a-z]+)\.(.*)$/s.exec(parts[1].trim()) : null;
  if (
    match === null ||
    !OPERATORS.has(match[2]) ||
    (match[2] === 'in' && !/^\(.*\)$/s.test(match[3]))
  ) {
    throw new EntryError(`Error parsing \`filter\` params: ${inspect(parts)}`);
  }
  const [, not, op, raw] = match;
  return {
    column: parts[0].trim(),
    op,
    negate: not !== undefined,
    value: op === 'in' ? `{${raw.slice(1, -1)}}` : unquote(raw),
  };
}

export function parseFilter(text) {
  return text.trim() === '' ? [] : splitSegments(text).map(parseSegment);
}

function noParams(entry) {
  const shown = Object.entries(entry).map(
    ([k, v]) => `${JSON.stringify(k)} => ${v === null ? 'nil' : JSON.stringify(v)}`,
  );
  return new EntryError(
    'No subscription params provided. Please provide at least a `schema` or `table` ' +
      `to subscribe to: %{${shown.join(', ')}}`,
  );
}

/** An entry of the join's list, read. Throws EntryError. */
export function parseEntry(entry) {
  for (const key of ['schema', 'table', 'filter']) {
    if (Object.hasOwn(entry, key) && typeof entry[key] !== 'string') {
      throw noParams(entry);
    }
  }
  const wanted = typeof entry.event === 'string' ? entry.event.toUpperCase() : '*';
  const event = ['INSERT', 'UPDATE', 'DELETE'].includes(wanted) ? wanted : '*';
  if (entry.table === undefined && (entry.schema === undefined || entry.filter !== undefined)) {
    throw noParams(entry);
  }
  if (entry.select !== undefined && !Array.isArray(entry.select)) {
    throw new EntryError('Error parsing `select` params: expected a list of column names');
  }
  const select = (entry.select ?? []).filter((c) => typeof c === 'string');
  const [schema, table] = [entry.schema ?? 'public', entry.table ?? '*'];
  if (select.length > 0 && (schema === '*' || table === '*')) {
    throw new EntryError(
      'Column selection is not supported for wildcard subscriptions. ' +
        'Please specify both schema and table',
    );
  }
  return {
    event,
    schema,
    table,
    filters: parseFilter(entry.filter ?? ''),
    select: select.length > 0 ? select : null,
  };
}

/** How the entry is named inside an error text. */
export function describeEntry(e) {
  const filters = e.filters.map(
    (f) => `{${inspect(f.column)}, ${inspect(f.op)}, ${inspect(f.value)}}`,
  );
  const select = e.select === null ? 'nil' : inspect(e.select);
  const where = `event: ${e.event}, schema: ${e.schema}, table: ${e.table}`;
  return `[${where}, filters: [${filters.join(', ')}], select: ${select}]`;
}

function checkOperator(f, column) {
  if (Object.hasOwn(TEXT_OPS, f.op) && column.category !== 'S') {
    throw new EntryError(
      `operator ${f.op} requires a text-compatible column type, got ${column.type}`,
    );
  }
  if (f.op === 'is') {
    f.value = f.value.toLowerCase();
    if (!IS_VALUES.has(f.value)) {
      throw new EntryError('invalid value for is filter: must be null, true, false, or unknown');
    }
    if (f.value !== 'null' && column.typname !== 'bool') {
      throw new EntryError(`is ${f.value} filter requires a boolean column, got ${column.type}`);
    }
  }
}

/* The value(s) of a filter as JSON texts in the column's type: the cast is the check. */
async function canonicalValues(db, f, column) {
  if (f.op === 'in') {
    const { rows } = await db.query(
      `select to_jsonb(v)::text as j from unnest($1::text::${column.type}[]) v`,
      [f.value],
    );
    if (rows.length > MAX_IN_VALUES) {
      throw new EntryError(`too many values for \`in\` filter. Maximum ${MAX_IN_VALUES}`);
    }
    return rows.map((r) => r.j).filter((j) => j !== null);
  }
  if (f.op === 'is') {
    return [];
  }
  const type = Object.hasOwn(TEXT_OPS, f.op) ? 'text' : column.type;
  if (f.op === 'match' || f.op === 'imatch') {
    try {
      await db.query("select '' ~ $1::text", [f.value]);
    } catch (err) {
      throw new EntryError(`invalid regular expression for match filter: ${err.message}`);
    }
  }
  const { rows } = await db.query(`select to_jsonb($1::text::${type})::text as j`, [f.value]);
  return [rows[0].j];
}

/* A test that needs no database, or null when only SQL compares such values rightly. */
function localTest(f, column, values) {
  if (f.op === 'is' && f.value === 'null') {
    return (json) => json === 'null';
  }
  if (f.op === 'eq' || f.op === 'neq' || f.op === 'in') {
    if (!CANONICAL.has(column.typname) && !column.isEnum) {
      return null;
    }
    const set = new Set(values);
    return (json) => json !== 'null' && set.has(json) === (f.op !== 'neq');
  }
  if (Object.hasOwn(COMPARE, f.op) && INTEGERS.has(column.typname)) {
    const bound = BigInt(values[0]);
    const ops = {
      lt: (v) => v < bound,
      lte: (v) => v <= bound,
      gt: (v) => v > bound,
      gte: (v) => v >= bound,
    };
    return (json) => json !== 'null' && ops[f.op](BigInt(json));
  }
  return null;
}

function sqlTest(f, column, value, param) {
  const type = column.type;
  if (f.op === 'in') {
    return `${value}::${type} = any(${param}::text::${type}[])`;
  }
  if (f.op === 'is') {
    return `${value}::${type} is ${f.value} and ${param}::text is not null`;
  }
  if (f.op === 'isdistinct') {
    return `${value}::${type} is distinct from ${param}::text::${type}`;
  }
  if (Object.hasOwn(TEXT_OPS, f.op)) {
    return `${value}::text ${TEXT_OPS[f.op]} ${param}::text`;
  }
  return `${value}::${type} ${COMPARE[f.op]} ${param}::text::${type}`;
}

/** Checks filters and selection against a table as a role sees it; compiles. Throws EntryError. */
export async function compileFilters(db, entry, columns) {
  const byName = new Map(columns.map((c) => [c.name, c]));
  for (const name of entry.select ?? []) {
    if (!byName.get(name)?.readable) {
      throw new EntryError(`invalid column for select ${name}`);
    }
  }
  const out = [];
  for (const filter of entry.filters) {
    const f = { ...filter };
    const column = byName.get(f.column);
    if (!column?.readable) {
      throw new EntryError(`invalid column for filter ${f.column}`);
    }
    checkOperator(f, column);
    const values = await canonicalValues(db, f, column);
    const test = localTest(f, column, values);
    out.push({
      column: f.column,
      negate: f.negate,
      value: f.value,
      local:
        test !== null && f.negate
          ? (json) => (f.op === 'is' || json !== 'null') && !test(json)
          : test,
      isArray: column.category === 'A',
      sql: (value, param) =>
        f.negate ? `not (${sqlTest(f, column, value, param)})` : sqlTest(f, column, value, param),
    });
  }
  return out;
}
