// prefer.mjs - the request headers that shape an answer: Prefer, Accept, Range.
import { RestError } from './errors.mjs';

const VALUES = {
  resolution: ['merge-duplicates', 'ignore-duplicates'],
  missing: ['default', 'null'],
  return: ['representation', 'minimal', 'headers-only'],
  count: ['exact', 'planned', 'estimated'],
  tx: ['commit', 'rollback'],
  handling: ['strict', 'lenient'],
};

/** Prefer as an object; the first of a kind wins. */
export function parsePrefer(header = '') {
  const prefer = {};
  const invalid = [];
  for (const part of header
    .split(',')
    .map((text) => text.trim())
    .filter((text) => text !== '')) {
    const [name, ...rest] = part.split('=');
    const value = rest.join('=');
    const isMax = name === 'max-affected' && /^\d{1,9}$/.test(value);
    const isTimezone = name === 'timezone' && value !== '';
    if (isMax || isTimezone || VALUES[name]?.includes(value)) {
      prefer[name] ??= value;
    } else {
      invalid.push(part);
    }
  }
  if (prefer.handling === 'strict' && invalid.length > 0) {
    const details = `Invalid preferences: ${invalid.join(', ')}`;
    const message = 'Invalid preferences given with handling=strict';
    throw new RestError(400, 'PGRST122', message, { details });
  }
  if (prefer.handling !== 'strict') {
    delete prefer['max-affected'];
  }
  return prefer;
}

/** The Preference-Applied header for the given kinds, in the server's fixed order. */
export function appliedHeader(prefer, kinds) {
  const order = [
    'resolution',
    'missing',
    'return',
    'count',
    'handling',
    'timezone',
    'max-affected',
  ];
  const applied = order
    .filter((kind) => kinds.includes(kind) && prefer[kind] !== undefined)
    .map((kind) => `${kind}=${prefer[kind]}`);
  return applied.length === 0 ? {} : { 'Preference-Applied': applied.join(', ') };
}

const MEDIA = {
  'application/json': { type: 'application/json; charset=utf-8' },
  'application/vnd.pgrst.object+json': {
    type: 'application/vnd.pgrst.object+json; charset=utf-8',
    single: true,
  },
  'application/vnd.pgrst.object': {
    type: 'application/vnd.pgrst.object+json; charset=utf-8',
    single: true,
  },
  'application/vnd.pgrst.array+json': { type: 'application/vnd.pgrst.array+json; charset=utf-8' },
  'application/vnd.pgrst.array': { type: 'application/vnd.pgrst.array+json; charset=utf-8' },
  'application/openapi+json': { type: 'application/openapi+json; charset=utf-8' },
  'text/csv': { type: 'text/csv; charset=utf-8', csv: true },
  'application/*': { type: 'application/json; charset=utf-8' },
  '*/*': { type: 'application/json; charset=utf-8' },
};

/** The best media type that the client accepts: { type, single?, csv?, stripped? }. */
export function parseAccept(header = '*/*') {
  const wanted = header.split(',').map((text, index) => {
    const [name, ...params] = text.split(';').map((part) => part.trim().toLowerCase());
    const q = params.find((param) => param.startsWith('q='));
    return { name, params, q: q === undefined ? 1 : Number(q.slice(2)) || 0, index };
  });
  wanted.sort((a, b) => b.q - a.q || a.index - b.index);
  const chosen = wanted.find(({ name }) => Object.hasOwn(MEDIA, name));
  if (chosen === undefined) {
    const message = `None of these media types are available: ${header}`;
    throw new RestError(406, 'PGRST107', message);
  }
  const stripped = chosen.params.includes('nulls=stripped');
  const { type, ...rest } = MEDIA[chosen.name];
  const shown = stripped ? type.replace(';', ';nulls=stripped;') : type;
  return { ...rest, type: shown, stripped };
}

/** The header `Range: 0-9` joined with limit and offset; { offset, limit }. */
export function effectiveRange(req, query) {
  const match = req.method === 'GET' && /^(\d{1,15})-(\d{0,15})$/.exec(req.headers.range ?? '');
  if (!match) {
    return { offset: query.offset, limit: query.limit };
  }
  const first = Number(match[1]);
  const last = match[2] === '' ? Infinity : Number(match[2]);
  if (last < first) {
    const details =
      'The lower boundary must be lower than or equal to the upper boundary in the Range header.';
    throw new RestError(416, 'PGRST103', 'Requested range not satisfiable', { details });
  }
  const offset = Math.max(first, query.offset);
  const end = Math.min(last + 1, query.limit === undefined ? Infinity : query.offset + query.limit);
  return { offset, limit: end === Infinity ? undefined : Math.max(0, end - offset) };
}
