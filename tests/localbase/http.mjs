// http.mjs - the few helpers that every part of the stand-in needs.
export const MAX_BODY_BYTES = 8 * 1024 * 1024;

/** Thrown by a part; the edge's fallback turns it into an answer. */
export class HttpError extends Error {
  constructor(status, message, body = { message }) {
    super(message);
    this.status = status;
    this.body = body;
  }
}

/**
 * The whole request body. Past `max` it throws HttpError 413 and lets the rest of
 * the body run off, so that the answer still gets through.
 */
export function readBody(req, max = MAX_BODY_BYTES) {
  return new Promise((resolve, reject) => {
    const chunks = [];
    let size = 0;
    const onData = (chunk) => {
      size += chunk.length;
      if (size > max) {
        req.off('data', onData);
        req.resume();
        reject(new HttpError(413, 'Request body too large'));
        return;
      }
      chunks.push(chunk);
    };
    req.on('data', onData);
    req.on('end', () => resolve(Buffer.concat(chunks)));
    req.on('error', reject);
    req.on('close', () => reject(new HttpError(400, 'Request body broke off')));
  });
}

/** Body as JSON; an empty one is `fallback`. Throws HttpError 400 on anything else. */
export async function readJson(req, { max = MAX_BODY_BYTES, fallback = {} } = {}) {
  const text = (await readBody(req, max)).toString('utf8');
  if (text === '') {
    return fallback;
  }
  try {
    return JSON.parse(text);
  } catch {
    throw new HttpError(400, 'Could not parse request body as JSON');
  }
}

/** Answers with `text`, counting its bytes. HEAD gets the headers only. */
export function sendText(req, res, status, text, headers = {}) {
  const body = Buffer.from(text);
  const bodiless = status === 204 || status === 304;
  res.writeHead(status, bodiless ? headers : { ...headers, 'Content-Length': body.length });
  res.end(req.method === 'HEAD' || bodiless ? undefined : body);
}

export function sendJson(req, res, status, value, headers = {}) {
  const type = { 'Content-Type': 'application/json; charset=utf-8' };
  sendText(req, res, status, JSON.stringify(value), { ...type, ...headers });
}

/** The credentials of `Authorization: Bearer x` (empty for a bare `Bearer`), or null. */
export function bearerOf(headers) {
  const match = /^bearer(?: +(.*))?$/i.exec(headers.authorization ?? '');
  return match ? (match[1] ?? '').trim() : null;
}

/** One parameter of a raw query, decoded, or null. */
export function queryParam(rawQuery, name) {
  return new URLSearchParams(rawQuery).get(name);
}
