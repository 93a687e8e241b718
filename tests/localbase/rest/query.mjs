// query.mjs - the query string of a REST request, read into a tree.
//
// Filters become { col, not, op, quantifier, value } and logic becomes
// { logic: 'and' | 'or', not, items }. `+` is a space, as on the real server.
import { parseError, RestError } from './errors.mjs';

export const OPERATORS = new Set([
  'eq',
  'neq',
  'gt',
  'gte',
  'lt',
  'lte',
  'like',
  'ilike',
  'match',
  'imatch',
  'in',
  'is',
  'isdistinct',
  'cs',
  'cd',
  'ov',
  'sl',
  'sr',
  'nxr',
  'nxl',
  'adj',
  'fts',
  'plfts',
  'phfts',
  'wfts',
]);
const QUANTIFIABLE = new Set(['eq', 'like', 'ilike', 'gt', 'gte', 'lt', 'lte', 'match', 'imatch']);
const FULL_TEXT = new Set(['fts', 'plfts', 'phfts', 'wfts']);
const IS_VALUES = new Set(['null', 'not_null', 'true', 'false', 'unknown']);
const MAX_DEPTH = 20;
const MAX_NODES = 2000;

function decode(text) {
  let decoded;
  try {
    decoded = decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    throw parseError('query', text, 'invalid percent-encoding');
  }
  // A NUL would end the SQL text early.
  if (decoded.includes('\0')) {
    throw parseError('query', text, 'unexpected NUL');
  }
  return decoded;
}

/** [[name, value]] in the order of the raw query. */
export function splitQuery(rawQuery) {
  return rawQuery
    .split('&')
    .filter((pair) => pair !== '')
    .map((pair) => {
      const mark = pair.indexOf('=');
      return mark < 0
        ? [decode(pair), '']
        : [decode(pair.slice(0, mark)), decode(pair.slice(mark + 1))];
    });
}

/** `a->b->>c` becomes { name: 'a', path: [{ arrow: '->', key: 'b' }, …] }. */
export function parseColumn(text, what = 'filter') {
  const match = /^("(?:[^"\\]|\\.)*"|[^->:.,()"]+(?:-(?!>)[^->:.,()"]+)*)((?:->>?[^->]+)*)$/.exec(
    text,
  );
  if (match === null) {
    throw parseError(what, text, 'expecting field name (* or [a..z0..9_$])');
  }
  const quoted = match[1].startsWith('"');
  const name = quoted ? match[1].slice(1, -1).replace(/\\(.)/g, '$1') : match[1].trim();
  const path = [...match[2].matchAll(/(->>?)([^->]+)/g)].map(([, arrow, key]) => ({ arrow, key }));
  return { name, path };
}

/** Elements of `(a,"b,c","q\"x")`, without the parentheses. */
function parseList(text, whole) {
  const items = [];
  const element = /\s*(?:"((?:[^"\\]|\\.)*)"|([^,]*))\s*(,|$)/gy;
  let last = text === '' ? '' : ',';
  while (last === ',') {
    const match = element.exec(text);
    if (match === null) {
      throw parseError('filter', whole, 'unexpected character in list');
    }
    items.push(match[1] === undefined ? match[2] : match[1].replace(/\\(.)/g, '$1'));
    last = match[3];
  }
  return items;
}

function makeFilter(col, expression, whole) {
  const match = /^(not\.)?([a-z]+)(?:\(([^()]*)\))?\.([\s\S]*)$/.exec(expression);
  if (match === null || !OPERATORS.has(match[2])) {
    const first = expression.slice(0, 1);
    const details = `unexpected "${first}" expecting "not" or operator (eq, gt, ...)`;
    throw parseError('filter', whole, details);
  }
  const [, not, op, argument, text] = match;
  const filter = { col, not: not !== undefined, op, value: text };
  if (argument !== undefined) {
    const isQuantifier = QUANTIFIABLE.has(op) && (argument === 'any' || argument === 'all');
    if (!isQuantifier && !FULL_TEXT.has(op)) {
      throw parseError('filter', whole, `unexpected "(" after operator ${op}`);
    }
    filter[isQuantifier ? 'quantifier' : 'language'] = argument;
  }
  if (op === 'in') {
    const list = /^\(([\s\S]*)\)$/.exec(text);
    if (list === null) {
      throw parseError('filter', whole, 'expecting "("');
    }
    filter.value = parseList(list[1], whole);
  } else if (op === 'is') {
    filter.value = text.toLowerCase();
    if (!IS_VALUES.has(filter.value)) {
      throw parseError('filter', whole, 'expecting isVal: (null, not_null, true, false, unknown)');
    }
  }
  return filter;
}

/** Reads `(a.eq.1,and(b.gt.2,c.is.null))` with a cursor over the text. */
class LogicReader {
  constructor(text, whole) {
    Object.assign(this, { text, whole, at: 0, nodes: 0 });
  }

  fail(details) {
    throw parseError('logic tree', this.whole, details);
  }

  group(depth) {
    if (depth > MAX_DEPTH) {
      this.fail('nested too deeply');
    }
    if (this.text[this.at] !== '(') {
      this.fail('expecting "("');
    }
    const items = [];
    do {
      this.at++;
      items.push(this.item(depth));
    } while (this.text[this.at] === ',');
    if (this.text[this.at] !== ')') {
      this.fail('expecting "," or ")"');
    }
    this.at++;
    return items;
  }

  item(depth) {
    if (++this.nodes > MAX_NODES) {
      this.fail('too many conditions');
    }
    const head = /\s*(not\.)?(and|or)(?=\()/y;
    head.lastIndex = this.at;
    const match = head.exec(this.text);
    if (match !== null) {
      this.at = head.lastIndex;
      const items = this.group(depth + 1);
      return { logic: match[2], not: match[1] !== undefined, items };
    }
    return this.condition();
  }

  condition() {
    const head = /\s*("(?:[^"\\]|\\.)*"[^.,()]*|[^.,()"]+)\.((?:not\.)?[a-z]+(?:\([^()]*\))?)\./y;
    head.lastIndex = this.at;
    const match = head.exec(this.text);
    if (match === null) {
      this.fail('expecting field name and operator');
    }
    this.at = head.lastIndex;
    const value = this.value(/(^|\.)in$/.test(match[2]));
    return makeFilter(parseColumn(match[1], 'logic tree'), `${match[2]}.${value}`, this.whole);
  }

  value(isList) {
    const shape = isList
      ? /\((?:"(?:[^"\\]|\\.)*"|[^")])*\)/y
      : /"(?:[^"\\]|\\.)*"|\{[^{}]*\}|[^,()]*/y;
    shape.lastIndex = this.at;
    const match = shape.exec(this.text);
    if (match === null) {
      this.fail('bad value');
    }
    this.at = shape.lastIndex;
    const isQuoted = !isList && match[0].startsWith('"');
    return isQuoted ? match[0].slice(1, -1).replace(/\\(.)/g, '$1') : match[0];
  }
}

function parseLogic(name, text) {
  const reader = new LogicReader(text, text);
  const items = reader.group(1);
  if (reader.at !== text.length) {
    reader.fail('unexpected text after ")"');
  }
  return { logic: name.replace('not.', ''), not: name.startsWith('not.'), items };
}

function parseOrder(text) {
  return text.split(',').map((term) => {
    const match = /^(.*?)(?:\.(asc|desc))?(?:\.(nullsfirst|nullslast))?$/.exec(term);
    const [, column, direction, nulls] = match;
    return { col: parseColumn(column, 'order'), direction, nulls };
  });
}

/** One item of select: [alias:]column[->path][::cast]. */
function parseSelectItem(text) {
  if (text === '*') {
    return { star: true };
  }
  const match = /^(?:([^:()]+):(?!:))?([^:()]+)(?:::([A-Za-z_][A-Za-z0-9_ ]*(?:\[\])?))?$/.exec(
    text,
  );
  if (match === null) {
    throw parseError('select parameter', text, 'unexpected end of input or character');
  }
  const [, alias, column, cast] = match;
  const col = parseColumn(column, 'select parameter');
  const lastKey = col.path.findLast(({ key }) => !/^-?\d+$/.test(key))?.key;
  return { col, cast, as: alias ?? lastKey ?? col.name, plain: !cast && col.path.length === 0 };
}

function parseSelect(text) {
  if (/[()]/.test(text)) {
    const details = 'This server embeds no resources';
    const message = `Could not find a relationship for '${text}' in the schema cache`;
    throw new RestError(400, 'PGRST200', message, { details });
  }
  return text.split(',').map((item) => parseSelectItem(item.trim()));
}

function parseNumber(name, text) {
  if (!/^-?\d{1,15}$/.test(text)) {
    throw parseError(`${name} parameter`, text, 'expecting digit');
  }
  if (Number(text) < 0) {
    const details = `${name} must not be negative`;
    const message = 'Requested range not satisfiable';
    throw new RestError(416, 'PGRST103', message, { details });
  }
  return Number(text);
}

const names = (text) => text.split(',').map((name) => parseColumn(name.trim(), 'columns').name);

/**
 * The query as { select, filters, order, limit, offset, columns, onConflict }.
 * `isArgument(name)` tells which parameters are a function's arguments; they are
 * returned in `args`.
 */
export function parseQuery(rawQuery, isArgument = () => false) {
  const query = { select: [{ star: true }], filters: [], order: [], args: [], offset: 0 };
  for (const [name, value] of splitQuery(rawQuery)) {
    if (isArgument(name)) {
      query.args.push([name, value]);
    } else if (name === 'select') {
      query.select = value === '' ? query.select : parseSelect(value);
    } else if (name === 'order') {
      query.order = value === '' ? [] : parseOrder(value);
    } else if (name === 'limit' || name === 'offset') {
      query[name] = parseNumber(name, value);
    } else if (name === 'columns') {
      query.columns = names(value);
    } else if (name === 'on_conflict') {
      query.onConflict = names(value);
    } else if (/^(not\.)?(and|or)$/.test(name)) {
      query.filters.push(parseLogic(name, value));
    } else {
      query.filters.push(makeFilter(parseColumn(name), value, value));
    }
  }
  return query;
}
