// functions.mjs - Edge Functions that show what reached them, and functions that
// answer in every awkward way HTTP/1.1 allows. functions.md lists them.
import crypto from 'node:crypto';
import { once } from 'node:events';
import { pipeline } from 'node:stream/promises';
import { MAX_SYNTHETIC_BYTES, syntheticStream } from './bytes.mjs';
import { HttpError, readBody, sendJson, sendText } from './http.mjs';

const MAX_SHOWN_BYTES = 4096;
const MAX_EVENTS = 100_000;
const MAX_DELAY_MS = 600_000;
const MAX_RAW_BYTES = 1024 * 1024;

function number(params, name, fallback, max) {
  const value = Number(params.get(name) ?? fallback);
  if (!Number.isInteger(value) || value < 0 || value > max) {
    throw new HttpError(400, `${name} must be a whole number up to ${max}`);
  }
  return value;
}

async function send(res, chunk) {
  if (!res.write(chunk) && !res.destroyed) {
    await Promise.race([once(res, 'drain'), once(res, 'close')]);
  }
}

/** Waits, and answers false when the client has gone meanwhile. */
function pause(res, ms) {
  return new Promise((resolve) => {
    const finish = (alive) => {
      clearTimeout(timer);
      res.off('close', gone);
      resolve(alive);
    };
    const gone = () => finish(false);
    const timer = setTimeout(() => finish(true), ms);
    res.on('close', gone);
  });
}

async function digest(req) {
  const hash = crypto.createHash('sha256');
  const kept = [];
  let size = 0;
  for await (const chunk of req) {
    hash.update(chunk);
    size += chunk.length;
    if (size <= MAX_SHOWN_BYTES) {
      kept.push(chunk);
    }
  }
  const shown = size <= MAX_SHOWN_BYTES ? { body: Buffer.concat(kept).toString('utf8') } : {};
  return { body_bytes: size, body_sha256: hash.digest('hex'), ...shown };
}

async function echo(req, res) {
  const seen = {
    method: req.method,
    target: req.url,
    http_version: req.httpVersion,
    raw_headers: req.rawHeaders,
    ...(await digest(req)),
    raw_trailers: req.rawTrailers,
  };
  sendJson(req, res, 200, seen);
}

async function hello(req, res) {
  const text = (await readBody(req)).toString('utf8');
  let name = 'world';
  try {
    name = JSON.parse(text).name ?? name;
  } catch {
    name = text || name;
  }
  sendJson(req, res, 200, { message: `Hello ${name}!` });
}

async function sse(req, res, { params }) {
  const events = number(params, 'events', 5, MAX_EVENTS);
  const ms = number(params, 'ms', 10, MAX_DELAY_MS);
  res.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
  for (let i = 1; i <= events && !res.destroyed; i++) {
    await send(res, `id: ${i}\nevent: tick\ndata: {"n":${i}}\n\n`);
    if (ms > 0 && i < events && !(await pause(res, ms))) {
      return;
    }
  }
  res.end();
}

/** /status/<code>?reason=...: any reason phrase, the empty one too. */
function status(req, res, { rest, params }) {
  const code = Number(rest[0]);
  if (!Number.isInteger(code) || code < 200 || code > 599) {
    throw new HttpError(400, 'status must be 200 to 599');
  }
  req.resume();
  const bodiless = code === 204 || code === 304;
  const body = bodiless ? '' : JSON.stringify({ status: code });
  const headers = bodiless
    ? {}
    : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) };
  const reason = params.get('reason');
  res.writeHead(code, ...(reason === null ? [headers] : [reason, headers]));
  res.end(body);
}

/** Answers although the request's body is still on its way. */
function early(req, res, { params }) {
  const code = number(params, 'status', 413, 599);
  // Whoever asked first and was not told to go on may send the body or not: no next request.
  const closing = params.get('close') === '1' || req.headers.expect !== undefined;
  const body = JSON.stringify({ message: 'answered before the body' });
  const headers = { 'Content-Type': 'application/json', 'Content-Length': body.length };
  res.writeHead(code, closing ? { ...headers, Connection: 'close' } : headers);
  res.end(body);
  if (closing) {
    res.on('finish', () => req.socket.destroySoon());
  } else {
    req.resume();
  }
}

/** Promises `of` bytes, sends `after`, and is gone. */
async function die(req, res, { params }) {
  const after = number(params, 'after', 10, MAX_SYNTHETIC_BYTES);
  const of = number(params, 'of', 100, MAX_SYNTHETIC_BYTES);
  const mode = params.get('mode') ?? 'length';
  req.resume();
  if (mode === 'head') {
    req.socket.destroy();
    return;
  }
  const type = { 'Content-Type': 'application/octet-stream' };
  res.writeHead(200, mode === 'chunked' ? type : { ...type, 'Content-Length': of });
  for await (const chunk of syntheticStream(0, after)) {
    await send(res, chunk);
  }
  // The bytes must be out before the connection goes, or the test sees fewer.
  res.socket?.write('', () => {
    if (params.get('reset') === '1') {
      req.socket.resetAndDestroy();
    } else {
      req.socket.destroy();
    }
  });
}

/** A body of unknown length; HEAD of it tells no length either. */
async function chunked(req, res, { params }) {
  const chunks = number(params, 'chunks', 3, MAX_EVENTS);
  const size = number(params, 'size', 10, 1024 * 1024);
  req.resume();
  const headers = { 'Content-Type': 'application/octet-stream' };
  const trailer = params.get('trailer');
  res.writeHead(200, trailer === null ? headers : { ...headers, Trailer: 'X-Trailer' });
  for (let i = 0; i < chunks && req.method !== 'HEAD' && !res.destroyed; i++) {
    await send(res, Buffer.alloc(size, 97 + (i % 26)));
  }
  if (trailer !== null) {
    res.addTrailers({ 'X-Trailer': trailer });
  }
  res.end();
}

/** `n` bytes of known length, with one range of them on request. */
async function bytes(req, res, { rest }) {
  const size = Number(rest[0]);
  if (!Number.isInteger(size) || size < 0 || size > MAX_SYNTHETIC_BYTES) {
    throw new HttpError(400, 'bad size');
  }
  req.resume();
  res.writeHead(200, { 'Content-Type': 'application/octet-stream', 'Content-Length': size });
  if (req.method === 'HEAD') {
    res.end();
    return;
  }
  await pipeline(syntheticStream(0, size), res).catch(() => res.destroy());
}

function notModified(req, res, { params }) {
  req.resume();
  const length = params.get('length');
  const headers = { ETag: '"v1"', ...(length === null ? {} : { 'Content-Length': length }) };
  res.writeHead(304, headers);
  res.end();
}

/** Repeated, empty and oddly written header fields. */
function headers(req, res) {
  req.resume();
  res.setHeader('Set-Cookie', ['a=1; Path=/', 'b=2; HttpOnly']);
  res.setHeader('X-Dup', ['one', 'two', 'one']);
  res.setHeader('X-Empty', '');
  res.setHeader('x-lower-case', 'kept');
  res.setHeader('X-MiXeD-cAsE', 'kept');
  res.setHeader('X-Spaces', 'a  b\tc');
  res.setHeader('X-Latin', Buffer.from('gr\u00fc\u00df', 'utf8').toString('latin1'));
  res.setHeader('X-Long', 'y'.repeat(4000));
  res.setHeader('WWW-Authenticate', ['Basic realm="a"', 'Bearer realm="b, c"']);
  sendText(req, res, 200, 'headers', { 'Content-Type': 'text/plain' });
}

/** Interim answers before the final one: ?kinds=100,102,103 */
async function interim(req, res, { params }) {
  const kinds = (params.get('kinds') ?? '103').split(',');
  const ms = number(params, 'ms', 0, MAX_DELAY_MS);
  req.resume();
  for (const kind of kinds) {
    if (kind === '100') {
      res.writeContinue();
    } else if (kind === '102') {
      res.writeProcessing();
    } else if (kind === '103') {
      res.writeEarlyHints({ link: '</style.css>; rel=preload; as=style' });
    }
    if (!(await pause(res, ms))) {
      return;
    }
  }
  sendText(req, res, 200, 'final', { 'Content-Type': 'text/plain' });
}

async function drip(req, res, { params }) {
  const size = number(params, 'bytes', 10, MAX_EVENTS);
  const ms = number(params, 'ms', 20, MAX_DELAY_MS);
  req.resume();
  res.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': size });
  for (let i = 0; i < size; i++) {
    await send(res, String(i % 10));
    if (i + 1 < size && !(await pause(res, ms))) {
      return;
    }
  }
  res.end();
}

async function wait(req, res, { params }) {
  req.resume();
  if (await pause(res, number(params, 'ms', 100, MAX_DELAY_MS))) {
    sendText(req, res, 200, 'waited', { 'Content-Type': 'text/plain' });
  }
}

/** Any bytes at all as the answer, given as ?b64=; the connection ends after them. */
function raw(req, res, { params }) {
  const answer = Buffer.from(params.get('b64') ?? '', 'base64');
  if (answer.length > MAX_RAW_BYTES) {
    throw new HttpError(400, 'too long');
  }
  req.resume();
  req.socket.end(answer);
}

/** Reads the body slowly: `rate` bytes a second. */
async function slowRead(req, res, { params }) {
  const rate = number(params, 'rate', 65_536, MAX_SYNTHETIC_BYTES) || 1;
  const hash = crypto.createHash('sha256');
  let size = 0;
  for await (const chunk of req) {
    hash.update(chunk);
    size += chunk.length;
    await pause(res, (chunk.length * 1000) / rate);
  }
  sendJson(req, res, 200, { body_bytes: size, body_sha256: hash.digest('hex') });
}

function relayError(req, res) {
  req.resume();
  sendJson(req, res, 500, { message: 'relay' }, { 'x-relay-error': 'true' });
}

const FUNCTIONS = {
  bytes,
  chunked,
  die,
  drip,
  early,
  echo,
  headers,
  hello,
  interim,
  'not-modified': notModified,
  raw,
  'relay-error': relayError,
  'slow-read': slowRead,
  sse,
  status,
  wait,
};

export function createFunctions() {
  return {
    async handle(req, res, info) {
      const [name, ...rest] = info.path.split('/').slice(1);
      if (!Object.hasOwn(FUNCTIONS, name)) {
        throw new HttpError(404, 'Requested function was not found', {
          code: 'NOT_FOUND',
          message: 'Requested function was not found',
        });
      }
      await FUNCTIONS[name](req, res, { rest, params: new URLSearchParams(info.rawQuery) });
    },

    async stop() {},
  };
}
