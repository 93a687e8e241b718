// rest.mjs - the PostgREST part: tables, views and functions over HTTP.
//
// One request is one transaction under the role and claims of its token. Left
// out: embedding of other tables, aggregates, forms as bodies.
import pg from 'pg';
import { createCatalog } from './rest/catalog.mjs';
import { fromJwtError, RestError, sendRestError, toRestError } from './rest/errors.mjs';
import { runFunction } from './rest/functions.mjs';
import { parseAccept, parsePrefer } from './rest/prefer.mjs';
import { readTable, writeTable } from './rest/tables.mjs';
import { readBody, sendJson, sendText } from './http.mjs';

const POOL_MAX = 10;
const POOL_WAIT_MS = 10_000;
const JWT_SKEW_S = 30;
const MAX_REST_BODY_BYTES = 32 * 1024 * 1024;
const READS = ['GET', 'HEAD'];
const METHODS = [...READS, 'POST', 'PATCH', 'PUT', 'DELETE'];

/** Role and claims of the caller. */
function authenticate(ctx, info) {
  if (info.token === null) {
    return { role: 'anon', claims: null };
  }
  try {
    const claims = ctx.jwt.verify(info.token, { skew_s: JWT_SKEW_S });
    return { role: typeof claims.role === 'string' ? claims.role : 'anon', claims };
  } catch (error) {
    throw fromJwtError(error, info.token);
  }
}

/** `/table` or `/rpc/name`, decoded; anything else is refused. */
function pathSegments(path) {
  const invalid = new RestError(404, 'PGRST125', 'Invalid path specified in request URL');
  let segments;
  try {
    segments = path
      .split('/')
      .slice(1)
      .map((segment) => decodeURIComponent(segment));
  } catch {
    throw invalid;
  }
  if (segments.length !== 1 && !(segments.length === 2 && segments[0] === 'rpc')) {
    throw invalid;
  }
  return segments;
}

function chooseSchema(schemas, req) {
  const header = READS.includes(req.method) ? 'accept-profile' : 'content-profile';
  const schema = req.headers[header] ?? schemas[0];
  if (!schemas.includes(schema)) {
    const hint = `Only the following schemas are exposed: ${schemas.join(', ')}`;
    throw new RestError(406, 'PGRST106', `Invalid schema: ${schema}`, { hint });
  }
  return schema;
}

function cookiesOf(headers) {
  const pairs = (headers.cookie ?? '').split(';').filter((pair) => pair.includes('='));
  return Object.fromEntries(
    pairs.map((pair) => {
      const mark = pair.indexOf('=');
      return [pair.slice(0, mark).trim(), pair.slice(mark + 1).trim()];
    }),
  );
}

export function createRest(ctx) {
  const schemas = ctx.config.schemas;
  const catalog = createCatalog(ctx, schemas);
  const pool = new pg.Pool({
    ...ctx.db,
    user: 'authenticator',
    max: POOL_MAX,
    connectionTimeoutMillis: POOL_WAIT_MS,
  });
  pool.on('error', () => {}); // an idle connection was cut; the next request opens one

  /** Settings of the transaction: who asks, and what SQL may read about the request. */
  async function impersonate(client, req, call) {
    const { cookie, ...headers } = req.headers;
    const known = await catalog.get();
    const settings = {
      search_path: `"${call.schema.replaceAll('"', '""')}", "extensions"`,
      'request.jwt.claims': JSON.stringify({ role: call.role, ...call.claims }),
      'request.method': req.method,
      'request.path': call.path,
      'request.headers': JSON.stringify(headers),
      'request.cookies': JSON.stringify(cookiesOf({ cookie })),
      role: call.role,
    };
    const limit = known.statementTimeouts.get(call.role);
    if (limit !== undefined) {
      settings.statement_timeout = limit;
    }
    if (call.prefer.timezone !== undefined) {
      settings.timezone = call.prefer.timezone;
    }
    const names = Object.keys(settings);
    const list = names.map((_, i) => `set_config($${2 * i + 1}, $${2 * i + 2}, true)`);
    await client.query(
      `select ${list.join(', ')}`,
      names.flatMap((n) => [n, settings[n]]),
    );
  }

  /** Runs `step(client)` as the caller. A thrown error rolls back. */
  async function transact(req, call, readOnly, step) {
    const client = await pool.connect();
    let broken = false;
    try {
      await client.query(readOnly ? 'begin read only' : 'begin');
      await impersonate(client, req, call);
      const result = await step(client);
      await client.query('commit');
      return result;
    } catch (error) {
      broken = await client.query('rollback').then(
        () => false,
        () => true,
      );
      throw error;
    } finally {
      client.release(broken);
    }
  }

  async function openapi(call) {
    const { tables, functions } = await catalog.get();
    const paths = { '/': { get: {} } };
    for (const table of tables.values()) {
      paths[`/${table.name}`] = { get: {}, post: {}, patch: {}, delete: {} };
    }
    for (const [fn] of functions.values()) {
      paths[`/rpc/${fn.name}`] = { post: {} };
    }
    const info = { title: 'PostgREST API', version: '17' };
    const type = 'application/openapi+json; charset=utf-8';
    const value = { swagger: '2.0', info, basePath: '/', paths, schema: call.schema };
    return { status: 200, body: JSON.stringify(value), headers: { 'Content-Type': type } };
  }

  async function dispatch(req, info, call) {
    const path = info.path.replace(/^\/+/, '/');
    if (!METHODS.includes(req.method)) {
      throw new RestError(405, 'PGRST117', `Unsupported HTTP method: ${req.method}`);
    }
    const segments = pathSegments(path);
    const isRpc = segments[0] === 'rpc' && segments.length === 2;
    call.schema = chooseSchema(schemas, req);
    call.prefer = parsePrefer(req.headers.prefer);
    call.media = parseAccept(req.headers.accept);
    call.path = path;
    call.rawQuery = info.rawQuery;
    call.transact = (readOnly, step) => transact(req, call, readOnly, step);
    call.catalog = catalog;
    call.req = req;
    if (isRpc) {
      return runFunction(call, segments[1]);
    }
    if (segments[0] === '') {
      return openapi(call);
    }
    const run = READS.includes(req.method) ? readTable : writeTable;
    return run(call, segments[0]);
  }

  function options(req, res) {
    req.resume();
    sendText(req, res, 200, '', { Allow: 'OPTIONS,GET,HEAD,POST,PUT,PATCH,DELETE' });
  }

  async function handle(req, res, info) {
    const call = { role: 'anon', claims: null };
    res.setHeader('Server', 'postgrest/17');
    res.setHeader('Vary', 'Accept, Prefer, Range');
    if (req.method === 'OPTIONS') {
      options(req, res);
      return;
    }
    try {
      // The whole body first: an answer to a half-read one would break keep-alive.
      call.text = (await readBody(req, MAX_REST_BODY_BYTES)).toString('utf8');
      Object.assign(call, authenticate(ctx, info));
      const { status, body, headers } = await dispatch(req, info, call);
      const profile = schemas.length > 1 ? { 'Content-Profile': call.schema } : {};
      sendText(req, res, status, body ?? '', { ...profile, ...headers });
    } catch (error) {
      if (error.status === 413) {
        sendJson(req, res, 413, error.body);
        return;
      }
      const shown = toRestError(error, call.role === 'anon');
      if (shown.code === 'PGRST001') {
        ctx.log('warn', 'rest_failed', { error: error.stack });
      }
      sendRestError(req, res, shown);
    }
  }

  const control = {
    reload: async () => catalog.reload(),
  };

  async function stop() {
    await catalog.stop();
    await pool.end();
  }

  return { handle, control, stop };
}
