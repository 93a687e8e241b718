// control.mjs - the control port: faults, the request recorder, the parts' own switches.
//
//   GET    /                          which parts and switches there are
//   POST   /faults {…}                add a fault (see faults.mjs) -> {id}
//   GET    /faults, DELETE /faults[/<id>], POST /faults/<id>/release
//   GET    /faults/<id>/held?min=1&timeout_ms=5000   waits until so many requests hang in it
//   GET    /requests?path=&method=&after=&min=&timeout_ms=   waits until `min` are there
//   DELETE /requests
//   POST   /jwt/sign {claims, alg?}   any token, signed by the project's key -> {token}
//   POST   /jwt/rotate {alg}          a new ES256 or RS256 key; the old one stays in JWKS -> {kid}
//   POST   /jwt/forget                takes the rotated keys out of JWKS
//   POST   /<part>/<switch> {…}       e.g. /realtime/drop
import http from 'node:http';
import { once } from 'node:events';
import { HttpError, readJson, sendJson } from './http.mjs';
import { signingKey } from './keys.mjs';

const DEFAULT_WAIT_MS = 5000;

function numberParam(params, name, fallback) {
  const value = Number(params.get(name) ?? fallback);
  if (!Number.isInteger(value) || value < 0) {
    throw new HttpError(400, `${name} must be a whole number`);
  }
  return value;
}

async function faultRoute(ctx, method, id, verb, params, json) {
  const { faults } = ctx;
  if (id === undefined && method === 'POST') {
    return faults.add(json);
  }
  if (method === 'GET' && id === undefined) {
    return faults.list();
  }
  if (method === 'DELETE') {
    return faults.remove(id);
  }
  if (method === 'POST' && verb === 'release') {
    faults.release(id);
    return {};
  }
  if (method === 'GET' && verb === 'held') {
    const min = numberParam(params, 'min', 1);
    const enough = () => faults.held(id) >= min;
    const reached = await faults.until(enough, numberParam(params, 'timeout_ms', DEFAULT_WAIT_MS));
    return { held: faults.held(id), reached };
  }
  throw new HttpError(404, 'no such fault route');
}

async function requestRoute(ctx, method, params) {
  if (method === 'DELETE') {
    return { removed: ctx.faults.clearRequests() };
  }
  const query = {
    path: params.get('path') ?? '/',
    method: params.get('method') ?? '*',
    after: numberParam(params, 'after', 0),
  };
  const min = numberParam(params, 'min', 0);
  if (min > 0) {
    const enough = () => ctx.faults.requests(query).length >= min;
    await ctx.faults.until(enough, numberParam(params, 'timeout_ms', DEFAULT_WAIT_MS));
  }
  return { last: ctx.faults.last(), requests: ctx.faults.requests(query) };
}

function jwtRoute(ctx, verb, json) {
  switch (verb) {
    case 'sign':
      return { token: ctx.jwt.sign(json.claims ?? {}, { alg: json.alg }) };
    case 'rotate':
      return { kid: ctx.jwt.rotate(json.alg ?? 'ES256', signingKey) };
    case 'forget':
      ctx.jwt.forget();
      return {};
    default:
      throw new HttpError(404, 'no such token route');
  }
}

async function route(ctx, parts, req) {
  const url = new URL(req.url, 'http://control');
  const [first = '', second, third] = url.pathname.split('/').slice(1);
  const json = await readJson(req);
  if (first === 'faults') {
    return faultRoute(ctx, req.method, second, third, url.searchParams, json);
  }
  if (first === 'requests') {
    return requestRoute(ctx, req.method, url.searchParams);
  }
  if (first === 'jwt' && req.method === 'POST') {
    return jwtRoute(ctx, second, json);
  }
  if (first === '') {
    const entries = Object.entries(parts).map(([n, p]) => [n, Object.keys(p.control ?? {})]);
    return Object.fromEntries(entries);
  }
  const part = Object.hasOwn(parts, first) ? parts[first] : undefined;
  const isSwitch = part?.control !== undefined && Object.hasOwn(part.control, second ?? '');
  if (!isSwitch || req.method !== 'POST') {
    throw new HttpError(404, 'no such switch');
  }
  return (await part.control[second](json)) ?? {};
}

/** Starts the control port. Returns { url, stop() }. */
export async function startControl(ctx, parts, port) {
  const server = http.createServer((req, res) => {
    route(ctx, parts, req).then(
      (value) => sendJson(req, res, 200, value),
      (error) => sendJson(req, res, error.status ?? 400, { message: error.message }),
    );
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    stop: async () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
