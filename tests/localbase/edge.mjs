// edge.mjs - the public port: what stands in front of Supabase's services.
//
// Checks the API key, swaps keys for tokens, answers CORS preflights, strips the
// public prefix and hands the request to its part. Three manners (`config.edge`):
//   hosted  bodies of the hosted edge; a lone apikey becomes `Authorization: Bearer`
//   kong    Kong's bodies; a lone legacy key arrives raw, so REST sees nobody
//   envoy   Envoy's text/plain bodies; otherwise like hosted
import http, { STATUS_CODES } from 'node:http';
import { once } from 'node:events';
import { bearerOf, sendJson, sendText } from './http.mjs';

const MAX_HEADER_BYTES = 65_536;
const KEEP_ALIVE_MS = 65_000;

// First match wins. `key`: the edge asks for an API key. `to` replaces the prefix.
const ROUTES = [
  { prefix: '/auth/v1/verify', part: 'auth', to: '/verify', key: false },
  { prefix: '/auth/v1/callback', part: 'auth', to: '/callback', key: false },
  { prefix: '/auth/v1/authorize', part: 'auth', to: '/authorize', key: false },
  { prefix: '/auth/v1/.well-known/', part: 'auth', to: '/.well-known/', key: false },
  { prefix: '/auth/v1/', part: 'auth', to: '/', key: true },
  { prefix: '/rest/v1/', part: 'rest', to: '/', key: true },
  { prefix: '/rest/v1', part: 'rest', to: '/', key: true, exact: true },
  {
    prefix: '/graphql/v1',
    part: 'rest',
    to: '/rpc/graphql',
    key: true,
    exact: true,
    profile: 'graphql_public',
  },
  { prefix: '/realtime/v1/', part: 'realtime', to: '/', key: true },
  { prefix: '/storage/v1/', part: 'storage', to: '/', key: false },
  { prefix: '/functions/v1/', part: 'functions', to: '/', key: false },
];

const KEY_ERRORS = {
  hosted: {
    missing: {
      message: 'No API key found in request',
      hint: 'No `apikey` request header or url param was found.',
    },
    wrong: {
      message: 'Invalid API key',
      hint: 'Double check your Supabase `anon` or `service_role` API key.',
    },
  },
  kong: {
    missing: { message: 'No API key found in request' },
    wrong: { message: 'Invalid authentication credentials' },
  },
  envoy: { missing: 'Unauthorized', wrong: 'Unauthorized' },
};

const BROWSER_ERROR = {
  message: 'Forbidden use of secret API key in browser',
  hint: 'Secret API keys can only be used in a protected environment and should never be exposed.',
};

export const EDGE_MANNERS = Object.keys(KEY_ERRORS);

function splitTarget(url) {
  const mark = url.indexOf('?');
  return mark < 0 ? [url, ''] : [url.slice(0, mark), url.slice(mark + 1)];
}

function findRoute(path) {
  return ROUTES.find((r) => (r.exact ? path === r.prefix : path.startsWith(r.prefix)));
}

/** Which role an API key stands for, or null. */
function roleOfKey(keys, apikey) {
  switch (apikey) {
    case keys.anonKey:
    case keys.publishableKey:
      return 'anon';
    case keys.serviceKey:
    case keys.secretKey:
      return 'service_role';
    default:
      return null;
  }
}

/** What the hosted edge refuses about opaque keys besides wrong ones; or null. */
function misuseOf(config, headers, apikey) {
  if (config.edge !== 'hosted' || apikey === null) {
    return null;
  }
  const bearer = bearerOf(headers);
  if (bearer?.startsWith('sb_') && bearer !== apikey) {
    return KEY_ERRORS.hosted.wrong;
  }
  const isBrowser = /^mozilla\//i.test(headers['user-agent'] ?? '');
  return apikey === config.keys.secretKey && isBrowser ? BROWSER_ERROR : null;
}

/** The Authorization value that the service behind gets; undefined for none. */
function swapKey(config, authorization, apikey, role) {
  const { keys } = config;
  if (authorization !== undefined && !/^bearer +sb_/i.test(authorization)) {
    return authorization;
  }
  if (role === null) {
    return undefined;
  }
  const legacy = role === 'anon' ? keys.anonKey : keys.serviceKey;
  const isOpaque = apikey === keys.publishableKey || apikey === keys.secretKey;
  return isOpaque || config.edge !== 'kong' ? `Bearer ${legacy}` : apikey;
}

function claimsOf(ctx, token) {
  try {
    return token === null ? null : ctx.jwt.verify(token);
  } catch {
    return null; // the part verifies again and refuses in its own words
  }
}

/**
 * The key decision for one request. Returns { error } or { info }; sets the
 * request's `authorization` and `apikey` to what the service behind would see.
 */
function admit(ctx, req, route, path, rawQuery) {
  const { config } = ctx;
  const inQuery = new URLSearchParams(rawQuery).get('apikey');
  const apikey = req.headers.apikey ?? inQuery ?? null;
  const role = apikey === null ? null : roleOfKey(config.keys, apikey);
  if (route.key && role === null) {
    return { error: KEY_ERRORS[config.edge][apikey === null ? 'missing' : 'wrong'] };
  }
  const misuse = misuseOf(config, req.headers, apikey);
  if (misuse !== null) {
    return { error: misuse };
  }
  if (apikey !== null) {
    req.headers.apikey = apikey;
  }
  const swapped = swapKey(config, req.headers.authorization, apikey, role);
  delete req.headers['sb-api-key'];
  if (route.profile !== undefined) {
    req.headers['content-profile'] = route.profile;
  }
  if (route.part === 'functions') {
    // Functions see Authorization as it came and the swapped key beside it.
    const legacy = { anon: config.keys.anonKey, service_role: config.keys.serviceKey }[role];
    if (legacy !== undefined) {
      req.headers['sb-api-key'] = legacy;
    }
  } else if (swapped === undefined) {
    delete req.headers.authorization;
  } else {
    req.headers.authorization = swapped;
  }
  const token = bearerOf(req.headers);
  const rest = route.to + path.slice(route.prefix.length);
  const claims = claimsOf(ctx, token);
  return { info: { path: rest, rawQuery, apikeyRole: role, claims, token, apikey } };
}

/** Answers a CORS preflight like Kong's plugin without options. */
function preflight(req, res) {
  const asked = req.headers['access-control-request-headers'];
  res.writeHead(200, {
    'Access-Control-Allow-Origin': '*',
    'Access-Control-Allow-Methods': 'GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT',
    ...(asked === undefined ? {} : { 'Access-Control-Allow-Headers': asked }),
    'Content-Length': 0,
  });
  res.end();
}

function isPreflight(req) {
  const { origin } = req.headers;
  return req.method === 'OPTIONS' && origin && req.headers['access-control-request-method'];
}

function refuseKey(req, res, error) {
  req.resume();
  if (typeof error === 'string') {
    sendText(req, res, 401, error, { 'Content-Type': 'text/plain' });
  } else {
    sendJson(req, res, 401, error);
  }
}

async function serve(ctx, parts, req, res) {
  ctx.faults.record(req);
  res.setHeader('Access-Control-Allow-Origin', '*');
  if (!(await ctx.faults.apply(req, res))) {
    return;
  }
  const [path, rawQuery] = splitTarget(req.url);
  const route = findRoute(path);
  if (isPreflight(req)) {
    preflight(req, res);
    return;
  }
  if (route === undefined) {
    req.resume();
    sendJson(req, res, 404, { message: 'no Route matched with those values' });
    return;
  }
  const { error, info } = admit(ctx, req, route, path, rawQuery);
  if (error !== undefined) {
    refuseKey(req, res, error);
    return;
  }
  await parts[route.part].handle(req, res, info);
}

/** A part threw: answer if there is still an answer to give. */
function onPartError(ctx, req, res, error) {
  if (error.status === undefined) {
    ctx.log('error', 'part_failed', { method: req.method, error: error.stack });
  }
  if (res.headersSent || req.socket.destroyed) {
    res.destroy();
    return;
  }
  req.resume();
  const body = error.body ?? { message: 'An unexpected error occurred' };
  sendJson(req, res, error.status ?? 500, body);
}

function refuseUpgrade(socket, status, body) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const type = typeof body === 'string' ? 'text/plain' : 'application/json; charset=utf-8';
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nContent-Type: ${type}\r\n` +
      `Content-Length: ${Buffer.byteLength(text)}\r\nConnection: close\r\n\r\n${text}`,
  );
}

async function serveUpgrade(ctx, parts, req, socket, head) {
  socket.on('error', () => socket.destroy());
  ctx.faults.record(req);
  const fault = ctx.faults.take(req.method, req.url);
  if (fault !== null) {
    await ctx.faults.wait(fault);
    if (fault.drop !== undefined) {
      socket.destroy();
      return;
    }
    if (fault.status !== undefined) {
      refuseUpgrade(socket, fault.status, fault.body ?? '');
      return;
    }
  }
  const [path, rawQuery] = splitTarget(req.url);
  const route = findRoute(path);
  const upgrade = route && parts[route.part].upgrade;
  if (!upgrade) {
    refuseUpgrade(socket, 404, { message: 'no Route matched with those values' });
    return;
  }
  const { error, info } = admit(ctx, req, route, path, rawQuery);
  if (error !== undefined) {
    refuseUpgrade(socket, 401, error);
    return;
  }
  await upgrade(req, socket, head, info);
}

/** Starts the public port. Returns { port, url, stop() }. */
export async function startEdge(ctx, parts, port) {
  const server = http.createServer({
    maxHeaderSize: MAX_HEADER_BYTES,
    keepAliveTimeout: KEEP_ALIVE_MS,
    requestTimeout: 0,
  });
  const upgraded = new Set();
  server.on('request', (req, res) => {
    serve(ctx, parts, req, res).catch((error) => onPartError(ctx, req, res, error));
  });
  // A client that asks before it sends its body is told to go on, but for the one
  // function that answers without wanting the body.
  server.on('checkContinue', (req, res) => {
    if (!req.url.startsWith('/functions/v1/early')) {
      res.writeContinue();
    }
    server.emit('request', req, res);
  });
  server.on('upgrade', (req, socket, head) => {
    upgraded.add(socket);
    socket.on('close', () => upgraded.delete(socket));
    serveUpgrade(ctx, parts, req, socket, head).catch((error) => {
      ctx.log('error', 'upgrade_failed', { error: error.stack });
      socket.destroy();
    });
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: server.address().port,
    url: `http://127.0.0.1:${server.address().port}`,
    stop: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      upgraded.forEach((socket) => socket.destroy());
      await closed;
    },
  };
}
