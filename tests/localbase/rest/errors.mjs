// errors.mjs - PostgREST's errors: its own codes, and SQLSTATE to HTTP status.
import { JwtError } from '../jwt.mjs';
import { sendJson } from '../http.mjs';

export class RestError extends Error {
  constructor(status, code, message, { details = null, hint = null, headers = {} } = {}) {
    super(message);
    Object.assign(this, { status, code, details, hint, headers });
  }
}

export function parseError(what, text, details) {
  const message = `"failed to parse ${what} (${text})" (line 1, column 1)`;
  return new RestError(400, 'PGRST100', message, { details });
}

// Whole codes first, then classes (two characters).
const BY_CODE = {
  23503: 409,
  23505: 409,
  25006: 405,
  21000: 500,
  22023: 400,
  53400: 500,
  '57P01': 503,
  P0001: 400,
  42883: 404,
  '42P01': 404,
  '42P17': 500,
};
const BY_CLASS = {
  '08': 503,
  '09': 500,
  '0L': 403,
  '0P': 403,
  25: 500,
  28: 403,
  '2D': 500,
  38: 500,
  39: 500,
  '3B': 500,
  40: 500,
  53: 503,
  54: 500,
  55: 500,
  57: 500,
  58: 500,
  F0: 500,
  HV: 500,
  P0: 500,
  XX: 500,
};

function sqlStatus(code, message, isAnon) {
  if (code === '42501') {
    return isAnon ? 401 : 403;
  }
  if (code === '21000' && message.endsWith('requires a WHERE clause')) {
    return 400;
  }
  if (code === '22023' && /^role ".*" does not exist$/.test(message)) {
    return 401;
  }
  const pt = /^PT([1-9]\d\d)$/.exec(code);
  return pt ? Number(pt[1]) : (BY_CODE[code] ?? BY_CLASS[code.slice(0, 2)] ?? 400);
}

/** An error raised with sqlstate PGRST: JSON in MESSAGE and DETAIL says all. */
function fromPgrstState(error) {
  try {
    const body = JSON.parse(error.message);
    const { status, headers = {} } = JSON.parse(error.detail);
    const { code, message, details = null, hint = null } = body;
    return new RestError(status, code, message, { details, hint, headers });
  } catch {
    const message = 'Could not parse JSON in the "RAISE SQLSTATE \'PGRST\'" error';
    return new RestError(500, 'PGRST121', message);
  }
}

const JWT_ERRORS = {
  bad_alg: ['PGRST301', 'Wrong or unsupported encoding algorithm'],
  expired: ['PGRST303', 'JWT expired'],
  not_yet: ['PGRST303', 'JWT not yet valid'],
  future: ['PGRST303', 'JWT issued at future'],
};

/** Any JwtError, as REST words it. */
export function fromJwtError(error, token) {
  let [code, message] = JWT_ERRORS[error.code] ?? ['PGRST301', 'No suitable key or wrong key type'];
  let details = null;
  if (token === '') {
    message = 'Empty JWT is sent in Authorization header';
  } else if (error.code === 'bad_parts') {
    message = `Expected 3 parts in JWT; got ${token.split('.').length}`;
  } else if (error.code === 'bad_signature') {
    details = 'None of the keys was able to decode the JWT';
  }
  const challenge = `Bearer error="invalid_token", error_description="${message}"`;
  return new RestError(401, code, message, { details, headers: { 'WWW-Authenticate': challenge } });
}

/** What went wrong below, as an answer. `isAnon`: the statement ran as the anon role. */
export function toRestError(error, isAnon) {
  if (error instanceof RestError) {
    return error;
  }
  if (error instanceof JwtError) {
    return fromJwtError(error, '');
  }
  if (typeof error.severity === 'string' && typeof error.code === 'string') {
    if (error.code === 'PGRST') {
      return fromPgrstState(error);
    }
    const status = sqlStatus(error.code, error.message, isAnon);
    const details = error.detail ?? null;
    return new RestError(status, error.code, error.message, { details, hint: error.hint ?? null });
  }
  if (/timeout exceeded when trying to connect/.test(error.message)) {
    const message = 'Timed out acquiring connection from connection pool.';
    return new RestError(504, 'PGRST003', message);
  }
  const details = error.message;
  return new RestError(503, 'PGRST001', 'Database client error. Retrying the connection.', {
    details,
  });
}

/** `PTnnn` errors choose the reason phrase too; only printable ASCII may go there. */
function reasonOf(error) {
  return error.code.startsWith('PT') ? error.message.replace(/[^\x20-\x7e]/g, '?') : undefined;
}

export function sendRestError(req, res, error) {
  const { code, details, hint, message, status } = error;
  const headers = { 'Proxy-Status': `PostgREST; error=${code}`, ...error.headers };
  if (status === 401 && headers['WWW-Authenticate'] === undefined) {
    headers['WWW-Authenticate'] = 'Bearer';
  }
  if (status === 503) {
    headers['Retry-After'] = '1';
  }
  const reason = reasonOf(error);
  if (reason !== undefined) {
    res.statusMessage = reason;
  }
  sendJson(req, res, status, { code, details, hint, message }, headers);
}
