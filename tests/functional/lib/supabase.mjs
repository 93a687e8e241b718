// supabase.mjs - unmodified supabase-js clients for the suites.
import { createClient } from '@supabase/supabase-js';
import WebSocket from 'ws';
import { Inbox } from './inbox.mjs';

/** A client of `url`; with `token`, that user's. */
export function client({ url, anon_key: anonKey }, token) {
  const options = {
    auth: { persistSession: false, autoRefreshToken: false, detectSessionInUrl: false },
    realtime: { transport: WebSocket },
    ...(token === undefined ? {} : { accessToken: async () => token }),
  };
  return createClient(url, anonKey, options);
}

/**
 * Subscribes a channel, and collects its changes, broadcasts and statuses.
 * `changes`: postgres_changes filters. Resolves once everything flows.
 */
export async function listen(supabase, name, { changes = [], events = [], config } = {}) {
  const inbox = new Inbox(name);
  // The first join may go out before the token is known; then it runs as anon.
  await supabase.realtime.setAuth();
  const channel = supabase.channel(name, config === undefined ? undefined : { config });
  for (const filter of changes) {
    channel.on('postgres_changes', filter, (change) => inbox.push({ change }));
  }
  for (const event of events) {
    channel.on('broadcast', { event }, (broadcast) => inbox.push({ broadcast }));
  }
  channel.on('system', {}, (system) => inbox.push({ system }));
  channel.subscribe((status, error) => inbox.push({ status, error }));
  await inbox.take((item) => item.status === 'SUBSCRIBED', { what: 'SUBSCRIBED' });
  if (changes.length > 0) {
    await inbox.take((item) => item.system?.message === 'Subscribed to PostgreSQL', {
      what: 'Subscribed to PostgreSQL',
    });
  }
  return { channel, inbox };
}
