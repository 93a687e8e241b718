// join.mjs - reads a phx_join and decides about it (reference/realtime-protocol.md §4.1 to §4.3).

import { randomUUID } from 'node:crypto';
import { Channel } from './channel.mjs';
import { sliceArray, sliceObject } from './codec.mjs';
import { checkToken, TokenError } from './tokens.mjs';

const PREFIX = 'realtime:';
const MAX_ID = 2 ** 27;

/** The reason of a refused join, as the client reads it. */
export class JoinError extends Error {}

function flexibleBool(value) {
  return value === true || (typeof value === 'string' && value.toLowerCase() === 'true');
}

function isMap(value) {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

function canonical(value) {
  if (Array.isArray(value)) {
    return `[${value.map(canonical).join(',')}]`;
  }
  if (isMap(value)) {
    return `{${Object.keys(value)
      .sort()
      .map((k) => `${JSON.stringify(k)}:${canonical(value[k])}`)
      .join(',')}}`;
  }
  return JSON.stringify(value);
}

/* Stable and opaque like Erlang's phash2, but never 0, which realtime-js ignores. */
function entryId(entry) {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(canonical(entry))) {
    hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  }
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 0;
  return (hash % (MAX_ID - 1)) + 1;
}

/* The requested entries: value, id, and the reply's text, which repeats the request's bytes. */
function readEntries(msg) {
  const asked = msg.payload?.config?.postgres_changes;
  if (!Array.isArray(asked)) {
    return [];
  }
  const configText = sliceObject(msg.payloadText).get('config');
  const texts = sliceArray(sliceObject(configText).get('postgres_changes'));
  return asked
    .map((entry, i) => ({ entry, text: texts[i] }))
    .filter(({ entry }) => isMap(entry))
    .map(({ entry, text }) => {
      const id = entryId(entry);
      const body = text.slice(0, -1).trimEnd();
      return { entry, id, reply: `${body}${body.endsWith('{') ? '' : ','}"id":${id}}` };
    });
}

function readOptions(payload) {
  const config = isMap(payload?.config) ? payload.config : {};
  const broadcast = isMap(config.broadcast) ? config.broadcast : {};
  const presence = isMap(config.presence) ? config.presence : {};
  const key = presence.key;
  return {
    isPrivate: flexibleBool(config.private),
    ack: flexibleBool(broadcast.ack),
    self: flexibleBool(broadcast.self),
    replay: Object.hasOwn(broadcast, 'replay'),
    presenceEnabled: flexibleBool(presence.enabled),
    presenceKey: key === undefined || key === null || key === '' ? randomUUID() : String(key),
  };
}

async function joinClaims(rt, socket, payload) {
  const given = payload?.user_token ?? payload?.access_token;
  const token = typeof given === 'string' && !given.startsWith('sb_') ? given : socket.token;
  try {
    return { token, claims: await checkToken(rt.jwt, token) };
  } catch (err) {
    throw err instanceof TokenError ? new JoinError(`${err.code}: ${err.message}`) : err;
  }
}

/* A fault that refuses this join, used up by it. */
function takeRefusal(rt, topic) {
  const refusal = rt.faults.refusals.find((r) => r.topic === null || r.topic === topic);
  if (refusal === undefined) {
    return null;
  }
  refusal.count--;
  rt.faults.refusals = rt.faults.refusals.filter((r) => r.count > 0);
  return refusal.reason;
}

/** The new channel and the text of its ok response. Throws JoinError. */
export async function openChannel(rt, socket, msg) {
  const sub = msg.topic.slice(PREFIX.length);
  if (sub === '') {
    throw new JoinError('TopicNameRequired: You must provide a topic name');
  }
  const refusal = takeRefusal(rt, msg.topic);
  if (refusal !== null) {
    throw new JoinError(refusal);
  }
  if (socket.channels.size >= rt.cfg.maxChannels) {
    throw new JoinError('ChannelRateLimitReached: Too many channels');
  }
  const { token, claims } = await joinClaims(rt, socket, msg.payload);
  const options = readOptions(msg.payload);
  const entries = readEntries(msg);
  const channel = new Channel(rt, socket, {
    topic: msg.topic,
    sub,
    joinRef: msg.joinRef ?? msg.ref,
    options,
    entries,
    claims,
    token,
  });
  try {
    const denied = await channel.authorize();
    if (denied !== null) {
      throw new JoinError(`Unauthorized: ${denied}`);
    }
    if (options.replay && !options.isPrivate) {
      throw new JoinError('UnableToReplayMessages: Replay is not allowed for public channels');
    }
  } catch (err) {
    channel.end();
    throw err;
  }
  return { channel, response: `{"postgres_changes":[${entries.map((e) => e.reply).join(',')}]}` };
}
