// supabase-suite.mjs - what unmodified supabase-js must be able to do, whatever is
// in front: the same tests run against the local stack and through the gateway.
//
// Each part is a file suite-<part>.mjs that exports define<Part>Suite(env), with
//   env = { name, getUrl(), getStack(), getContext(), createClient(options?), signedIn(user?) }
// where getStack() is the object of useLocalbase() and getContext() resolves to a
// copy of it whose `url` is the one under test. Tests make their own users and rows,
// so they run in any order and more than once on one stack.
import { after, describe } from 'node:test';
import { createClient } from '@supabase/supabase-js';
import WebSocket from 'ws';
import { defineAuthSuite } from './suite-auth.mjs';
import { defineFunctionsSuite } from './suite-functions.mjs';
import { defineRealtimeSuite } from './suite-realtime.mjs';
import { defineRestSuite } from './suite-rest.mjs';
import { defineStorageSuite } from './suite-storage.mjs';

function createEnv({ name, getUrl, getStack }) {
  const clients = new Set();

  function makeClient({ key = getStack().anon_key, ...options } = {}) {
    const client = createClient(getUrl(), key, {
      ...options,
      auth: { persistSession: false, autoRefreshToken: false, ...options.auth },
      realtime: { transport: WebSocket, ...options.realtime },
    });
    clients.add(client);
    return client;
  }

  /** A client signed in as `user` (user 1 of the stack unless given). */
  async function signedIn(user = getStack().user1, options = {}) {
    const client = makeClient(options);
    const { email, password } = user;
    const { error } = await client.auth.signInWithPassword({ email, password });
    if (error) {
      throw error;
    }
    return client;
  }

  async function getContext() {
    await getStack().ready;
    return { ...getStack(), url: getUrl() };
  }

  async function close() {
    await Promise.all([...clients].map((client) => client.removeAllChannels()));
    clients.forEach((client) => client.realtime.disconnect());
    clients.clear();
  }

  return { name, getUrl, getStack, getContext, createClient: makeClient, signedIn, close };
}

/** Registers the whole suite. `getUrl`: the base URL that the SDK is pointed at. */
export function defineSupabaseSuite({ name, getUrl, getStack }) {
  describe(`supabase-js against ${name}`, () => {
    const env = createEnv({ name, getUrl, getStack });
    after(() => env.close());
    describe('auth', () => defineAuthSuite(env));
    describe('rest', () => defineRestSuite(env));
    defineStorageSuite(env);
    defineFunctionsSuite(env);
    defineRealtimeSuite(env);
  });
}
