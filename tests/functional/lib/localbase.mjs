// localbase.mjs - one local stack for a test file: started before its first test,
// stopped after its last, on free ports. Plus a client of its control port.
import { after, before } from 'node:test';
import pg from 'pg';
import { startLocalbase } from '../../localbase/main.mjs';
import { within } from '../../localbase/within.mjs';

const END_MS = 20_000;

/**
 * Registers start and stop with node:test. Returns an object that holds what
 * startLocalbase() returned, and besides, once the tests run:
 *   control    the control port (createControl)
 *   connect()  a pg client as superuser, ended before the stack stops
 * Call it at the top of a file or of a describe(). Node runs the hooks of a file
 * side by side, so a hook that needs the stack awaits `stack.ready` first.
 */
export function useLocalbase(options = {}) {
  const clients = [];
  const stack = {
    connect: async () => {
      await stack.ready;
      const client = new pg.Client(stack.db_url);
      clients.push(client);
      await client.connect();
      return client;
    },
  };
  let markReady;
  stack.ready = new Promise((resolve) => {
    markReady = resolve;
  });
  before(async () => {
    const starting = startLocalbase({ quiet: true, ...options }).then((started) =>
      Object.assign(stack, started, { control: createControl(started.control_url) }),
    );
    markReady(starting);
    await starting;
  });
  after(async () => {
    const started = await stack.ready.catch(() => null);
    const ended = Promise.all(clients.map((client) => client.end()));
    try {
      await within(END_MS, ended, () => 'the connections to PostgreSQL did not end');
    } finally {
      await started?.stop();
    }
  });
  return stack;
}

/** The control port as functions. Each throws when the port refuses. */
export function createControl(controlUrl) {
  async function call(method, path, json) {
    const init = { method };
    if (json !== undefined) {
      init.body = JSON.stringify(json);
    }
    const response = await fetch(controlUrl + path, init);
    const value = await response.json();
    if (!response.ok) {
      throw new Error(`control ${method} ${path}: ${value.message}`);
    }
    return value;
  }
  return {
    /** Adds a fault (tests/localbase/faults.mjs); its id. */
    fault: async (json) => (await call('POST', '/faults', json)).id,
    release: (id) => call('POST', `/faults/${id}/release`),
    /** Waits until `min` requests hang in the fault. */
    held: async (id, min = 1) => {
      const { reached } = await call('GET', `/faults/${id}/held?min=${min}`);
      if (!reached) {
        throw new Error(`fault ${id} never held ${min} request(s)`);
      }
    },
    clearFaults: () => call('DELETE', '/faults'),
    /** Requests that the edge has seen; with `min`, waits until that many are there. */
    requests: async (query = {}) =>
      (await call('GET', `/requests?${new URLSearchParams(query)}`)).requests,
    clearRequests: () => call('DELETE', '/requests'),
    signJwt: async (claims, alg) => (await call('POST', '/jwt/sign', { claims, alg })).token,
    /** A new key of `alg` signs from now on; the kid. The old one stays published. */
    rotateKey: async (alg = 'ES256') => (await call('POST', '/jwt/rotate', { alg })).kid,
    forgetKeys: () => call('POST', '/jwt/forget', {}),
    /** A part's own switch, e.g. part('auth', 'configure', { jwt_exp: 2 }). */
    part: (name, command, json = {}) => call('POST', `/${name}/${command}`, json),
  };
}

/** fetch() of a path below `baseUrl`, as `token` (a key is a token too). */
export function createCaller(getUrl, getKey) {
  return async (method, path, { token, body, headers = {}, key = getKey() } = {}) => {
    const all = { apikey: key, authorization: `Bearer ${token ?? key}`, ...headers };
    const init = { method, headers: all, redirect: 'manual' };
    if (body !== undefined) {
      init.body = typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
      init.headers['content-type'] ??= 'application/json';
    }
    for (const name of Object.keys(all).filter((n) => all[n] === null || all[n] === undefined)) {
      delete all[name];
    }
    const response = await fetch(getUrl() + path, init);
    const text = await response.text();
    let json = null;
    try {
      json = JSON.parse(text);
    } catch {
      // not JSON: `text` says what it was
    }
    return { status: response.status, headers: response.headers, text, json };
  };
}
