// localbase-realtime-protocol.test.mjs - sockets, channels, broadcast and presence of the
// stand-in, frame by frame (both serialisations).
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, test } from 'node:test';
import WebSocket from 'ws';
import { useLocalbase } from './lib/localbase.mjs';
import { RawRealtime } from './lib/raw-realtime.mjs';

const ctx = useLocalbase();
const open = [];

after(() => Promise.all(open.map((socket) => socket.close())));

async function connect(options) {
  const socket = await RawRealtime.open(ctx.url, ctx.anon_key, options);
  open.push(socket);
  return socket;
}

const control = (name, json) => ctx.control.part('realtime', name, json);

const tokenOf = (claims) => ctx.control.signJwt(claims);

function upgrade(query, headers = {}) {
  const ws = new WebSocket(`${ctx.url.replace('http', 'ws')}/realtime/v1/websocket?${query}`, {
    headers,
  });
  return new Promise((resolve, reject) => {
    ws.on('error', reject);
    ws.on('open', () => resolve({ ws, status: 101 }));
    ws.on('unexpected-response', async (_, res) => {
      const text = Buffer.concat(await res.toArray()).toString();
      resolve({ status: res.statusCode, text });
    });
  });
}

/** A kind 3 frame. */
function push({ joinRef, ref, topic, event, payload, json = true }) {
  const fields = [joinRef, ref, topic, event, ''].map((f) => Buffer.from(f));
  const head = Buffer.from([3, ...fields.map((f) => f.length), json ? 1 : 0]);
  return Buffer.concat([head, ...fields, Buffer.from(payload)]);
}

test('vsn 1 frames are objects without join_ref, and absent vsn means 1', async () => {
  const { ws, status } = await upgrade(`apikey=${ctx.anon_key}`);
  assert.equal(status, 101);
  ws.send('{"topic":"phoenix","event":"heartbeat","payload":{},"ref":"7"}');
  const [data] = await once(ws, 'message');
  assert.deepEqual(JSON.parse(data.toString()), {
    ref: '7',
    topic: 'phoenix',
    event: 'phx_reply',
    payload: { status: 'ok', response: {} },
  });
  ws.close();
  const socket = await connect({ vsn: '1.0.0' });
  const { reply } = await socket.join('realtime:v1');
  assert.deepEqual(reply, { status: 'ok', response: { postgres_changes: [] } });
});

test('vsn 2: heartbeat before any join, refs where they belong, unmatched topics', async () => {
  const socket = await connect();
  const beat = await socket.ask({ topic: 'phoenix', event: 'heartbeat', ref: '13' });
  assert.equal(beat.raw, '[null,"13","phoenix","phx_reply",{"status":"ok","response":{}}]');
  const lost = await socket.ask({ joinRef: '9', topic: 'realtime:no', event: 'broadcast' });
  assert.deepEqual(lost.payload.response, { reason: 'unmatched topic' });
  assert.equal(lost.joinRef, null);
  const left = await socket.ask({ topic: 'realtime:no', event: 'phx_leave' });
  assert.equal(left.payload.status, 'ok');
  socket.ws.send('not json');
  socket.ws.send('{}');
  socket.ws.send(Buffer.from([9, 9]));
  await socket.settle();
});

test('no permessage-deflate is agreed on', async () => {
  const socket = await connect();
  assert.equal(socket.ws.extensions, '');
});

test('upgrades are refused with the words of Realtime', async () => {
  assert.deepEqual(await upgrade(`apikey=${ctx.anon_key}&vsn=3.0.0`), { status: 403, text: '' });
  const bad = { 'x-api-key': 'nonsense' };
  const refused = await upgrade(`apikey=${ctx.anon_key}&vsn=2.0.0`, bad);
  assert.equal(refused.status, 401);
  assert.equal(JSON.parse(refused.text).error, 'The token provided is not a valid JWT');
  const old = await tokenOf({ role: 'anon', exp: 1 });
  const expired = await upgrade(`apikey=${ctx.anon_key}`, { 'x-api-key': old });
  assert.equal(JSON.parse(expired.text).error, 'Token has expired');
  const bare = await tokenOf({ exp: 9e9 });
  const missing = await upgrade(`apikey=${ctx.anon_key}`, { 'x-api-key': bare });
  assert.equal(JSON.parse(missing.text).error, 'Fields `role` and `exp` are required in JWT');
  await control('refuse-upgrades', { status: 429, error: 'Too many connected users' });
  const crowded = await upgrade(`apikey=${ctx.anon_key}`);
  assert.equal(crowded.status, 429);
  assert.equal((await upgrade(`apikey=${ctx.publishable_key}`)).status, 101);
});

test('leave is answered and then closed; a duplicate join closes the old one last', async () => {
  const socket = await connect();
  const topic = 'realtime:dup';
  const first = await socket.join(topic);
  const second = await socket.join(topic);
  const closed = await socket.event('phx_close', { topic });
  assert.equal(closed.raw, `["${first.ref}","${first.ref}","${topic}","phx_close",{}]`);
  const replyAt = socket.inbox.items.findIndex((f) => f.ref === second.ref);
  assert.ok(replyAt < socket.inbox.items.indexOf(closed));
  const from = socket.inbox.size;
  const ref = socket.send({ joinRef: second.ref, topic, event: 'phx_leave' });
  const last = await socket.event('phx_close', { topic, from });
  const events = socket.inbox.items.slice(from).map((f) => [f.event, f.ref]);
  assert.deepEqual(events, [
    ['phx_reply', ref],
    ['phx_close', second.ref],
  ]);
  assert.equal(last.joinRef, second.ref);
});

test('refused joins say why, and hold the whole socket while they do', async () => {
  const socket = await connect();
  const reasonOf = async (topic, options) => (await socket.join(topic, options)).reply;
  assert.deepEqual(await reasonOf('realtime:'), {
    status: 'error',
    response: { reason: 'TopicNameRequired: You must provide a topic name' },
  });
  const malformed = await reasonOf('realtime:a', { token: 'x.y' });
  const jwtText = 'MalformedJWT: The token provided is not a valid JWT';
  assert.equal(malformed.response.reason, jwtText);
  const old = await tokenOf({ role: 'authenticated', exp: Math.floor(Date.now() / 1000) - 10 });
  const expired = await reasonOf('realtime:a', { token: old });
  assert.match(expired.response.reason, /^InvalidJWTToken: Token has expired 1\d seconds ago$/);
  const config = { broadcast: { replay: null } };
  const replay = await reasonOf('realtime:a', { config });
  assert.match(replay.response.reason, /^UnableToReplayMessages: Replay is not allowed/);

  await control('refuse-joins', {
    reason: 'RealtimeRestarting: Realtime is restarting, please standby',
  });
  const from = socket.inbox.size;
  socket.send({ joinRef: 'j', ref: 'j', topic: 'realtime:b', event: 'phx_join' });
  await socket.settle();
  const order = socket.inbox.items.slice(from).map((f) => f.topic);
  assert.deepEqual(order, ['realtime:b', 'phoenix']);
  assert.equal((await reasonOf('realtime:b')).status, 'ok');
});

test('only so many channels fit on a socket', async () => {
  const socket = await connect();
  await control('config', { maxChannels: 2 });
  try {
    await socket.join('realtime:1');
    await socket.join('realtime:2');
    const { reply } = await socket.join('realtime:3');
    assert.equal(reply.response.reason, 'ChannelRateLimitReached: Too many channels');
  } finally {
    await control('config', { maxChannels: 100 });
  }
});

test('oversize frames close with 1009, silence with 1000', async () => {
  const big = await connect();
  big.ws.send('x'.repeat(5_000_001));
  assert.equal((await big.closed).code, 1009);
  await control('config', { idleCloseMs: 50 });
  try {
    const silent = await connect();
    assert.equal((await silent.closed).code, 1000);
  } finally {
    await control('config', { idleCloseMs: 60_000 });
  }
});

test('an expired token ends its channel and not its socket', async () => {
  const socket = await connect();
  // Long enough for a join on a busy machine.
  const exp = Math.floor(Date.now() / 1000) + 4;
  const token = await tokenOf({ role: 'authenticated', exp });
  const { reply } = await socket.join('realtime:short', { token });
  assert.equal(reply.status, 'ok');
  await socket.join('realtime:long');
  const { payload } = await socket.event('system', { topic: 'realtime:short' });
  assert.match(payload.message, /^Token has expired \d seconds ago$/);
  assert.deepEqual([payload.status, payload.extension], ['error', 'system']);
  await socket.event('phx_close', { topic: 'realtime:short' });
  assert.equal((await control('expire', { topic: 'realtime:long' })).expired, 1);
  await socket.event('phx_close', { topic: 'realtime:long' });
  await socket.settle();
});

test('a text broadcast is relayed as it is to both versions', async () => {
  const [sender, two, one] = await Promise.all([connect(), connect(), connect({ vsn: '1.0.0' })]);
  const topic = 'realtime:text';
  const config = { broadcast: { ack: true } };
  const { ref } = await sender.join(topic, { config });
  await Promise.all([two.join(topic), one.join(topic)]);
  const payload = '{"type":"broadcast","event":"e","payload":{"n":12345678901234567890.10}}';
  sender.ws.send(`["${ref}","b1","${topic}","broadcast",${payload}]`);
  const ack = await sender.reply('b1');
  assert.equal(ack.raw, `["${ref}","b1","${topic}","phx_reply",{"status":"ok","response":{}}]`);
  assert.equal((await two.event('broadcast')).raw, `[null,null,"${topic}","broadcast",${payload}]`);
  assert.ok((await one.event('broadcast')).raw.includes(payload));
  assert.ok(!sender.inbox.items.some((f) => f.event === 'broadcast'));
});

test('a kind 3 broadcast comes out as kind 4, and as text for vsn 1 unless binary', async () => {
  const [sender, two, one] = await Promise.all([connect(), connect(), connect({ vsn: '1.0.0' })]);
  const topic = 'realtime:trip:9';
  const config = { broadcast: { ack: false, self: true } };
  const { ref: joinRef } = await sender.join(topic, { config });
  await Promise.all([two.join(topic), one.join(topic)]);
  const frame = { joinRef, ref: '13', topic, event: 'ping' };
  sender.ws.send(push({ ...frame, payload: [0xde, 0xad], json: false }));
  sender.ws.send(push({ ...frame, payload: '{"n":1}' }));
  const head = '040f0400';
  const name = '7265616c74696d653a747269703a3970696e67';
  const hex = (n) => (f) => f.binary?.toString('hex') === n;
  for (const socket of [sender, two]) {
    await socket.inbox.take(hex(`${head}00${name}dead`), { what: 'binary' });
    await socket.inbox.take(hex(`${head}01${name}7b226e223a317d`), { what: 'json' });
  }
  const text = await one.event('broadcast');
  assert.deepEqual(text.payload, { event: 'ping', payload: { n: 1 }, type: 'broadcast' });
  await one.settle();
  await sender.settle();
  assert.equal(one.inbox.items.filter((f) => f.event === 'broadcast').length, 1);
  assert.ok(!sender.inbox.items.some((f) => f.ref === '13'));
});

test('REST broadcasts: batch as text, single event as kind 4, and their refusals', async () => {
  const socket = await connect();
  await socket.join('realtime:rest room');
  const post = (path, body, type = 'application/json') =>
    fetch(`${ctx.url}/realtime/v1/api/broadcast${path}`, {
      method: 'POST',
      headers: { apikey: ctx.anon_key, 'content-type': type },
      body,
    });
  const message = { topic: 'rest room', event: 'e', payload: { a: 1 } };
  const batch = await post('', JSON.stringify({ messages: [message] }));
  assert.deepEqual([batch.status, await batch.text()], [202, '']);
  const { payload } = await socket.event('broadcast');
  assert.deepEqual(payload, { event: 'e', payload: { a: 1 }, type: 'broadcast' });
  const single = await post(`/rest%20room/events/e?apikey=${ctx.anon_key}&vsn=2.0.0`, '{"b":2}');
  assert.equal(single.status, 202);
  const json = await socket.inbox.take((f) => f.binary);
  assert.ok(json.binary.toString().endsWith('realtime:rest roome{"b":2}'));
  const raw = await post('/rest%20room/events/e', Buffer.from([1, 2]), 'application/octet-stream');
  assert.equal(raw.status, 202);
  await socket.inbox.take((f) => f.binary?.at(4) === 0 && f.binary.at(-1) === 2);
  const bad = await post('', '{"messages":[{"topic":"t","event":"e"},{}]}');
  assert.equal(bad.status, 422);
  assert.deepEqual((await bad.json()).errors.messages[0], { payload: ["can't be blank"] });
  assert.equal((await post('/t/events/e', 'x', 'text/plain')).status, 415);
});

test('presence: state once, diffs to all, update with phx_ref_prev, leave', async () => {
  const [one, two] = await Promise.all([connect(), connect()]);
  const topic = 'realtime:here';
  const config = (key) => ({ presence: { enabled: true, key } });
  const a = await one.join(topic, { config: config('a') });
  assert.deepEqual((await one.event('presence_state')).payload, {});
  const b = await two.join(topic, { config: config('b') });
  const track = (socket, joinRef, payload) =>
    socket.ask({ joinRef, topic, event: 'presence', payload: { event: 'TRACK', payload } });
  assert.equal((await track(one, a.ref, { x: 1 })).payload.status, 'ok');
  const came = await two.event('presence_diff');
  const meta = came.payload.joins.a.metas[0];
  assert.equal(meta.x, 1);
  let from = two.inbox.size;
  await track(one, a.ref, { x: 1 });
  await track(one, a.ref, { x: 2 });
  const changed = (await two.event('presence_diff', { from })).payload;
  assert.equal(changed.leaves.a.metas[0].phx_ref, meta.phx_ref);
  assert.equal(changed.joins.a.metas[0].phx_ref_prev, meta.phx_ref);
  const notMap = await track(two, b.ref, 'text');
  assert.equal(notMap.payload.response.reason, 'Presence track payload must be a map');
  from = two.inbox.size;
  await one.close();
  const gone = (await two.event('presence_diff', { from })).payload;
  assert.deepEqual(Object.keys(gone.leaves), ['a']);
  for (let i = 0; i < 5; i++) {
    two.send({ joinRef: b.ref, topic, event: 'presence', payload: { event: 'untrack' } });
  }
  const { payload } = await two.event('system', { topic });
  assert.equal(payload.message, 'Client presence rate limit exceeded');
  await two.event('phx_close', { topic });
});

test('private channels obey the policies of realtime.messages', async () => {
  const db = await ctx.connect();
  await db.query(`
    create policy reads on realtime.messages for select to authenticated
      using (realtime.topic() = 'trip:' || auth.uid());
    create policy writes on realtime.messages for insert to authenticated
      with check (realtime.topic() = 'trip:' || auth.uid() and extension = 'broadcast')`);
  const topic = `realtime:trip:${ctx.user1.id}`;
  const config = { private: true, broadcast: { ack: true, self: true } };
  const [one, two, outsider] = await Promise.all([connect(), connect(), connect()]);
  const mine = await one.join(topic, { config, token: ctx.user1.token });
  assert.equal(mine.reply.status, 'ok');
  const theirs = await two.join(topic, { config, token: ctx.user2.token });
  const refusal = 'Unauthorized: You do not have permissions to read from this Channel topic: ';
  assert.equal(theirs.reply.response.reason, refusal + topic.slice('realtime:'.length));
  await outsider.join(topic);
  const payload = { type: 'broadcast', event: 'e', payload: {} };
  const sent = await one.ask({ joinRef: mine.ref, topic, event: 'broadcast', payload });
  assert.equal(sent.payload.status, 'ok');
  await one.event('broadcast');
  await outsider.settle();
  assert.ok(!outsider.inbox.items.some((f) => f.event === 'broadcast'));
  const untold = { event: 'track', payload: {} };
  const denied = await one.ask({ joinRef: mine.ref, topic, event: 'presence', payload: untold });
  assert.deepEqual(denied.payload, { status: 'error', response: {} });
  const from = one.inbox.size;
  const token = { access_token: ctx.user2.token };
  one.send({ joinRef: mine.ref, topic, event: 'access_token', payload: token });
  await one.event('phx_close', { topic, from });
});

test('sockets can be cut, closed with a code, and drained', async () => {
  const [cut, coded, drained] = await Promise.all([connect(), connect(), connect()]);
  for (const [i, socket] of [cut, coded, drained].entries()) {
    await socket.join(`realtime:drop-${i}`);
  }
  const { sockets } = await control('state');
  const idOf = (topic) => sockets.find((s) => s.channels.some((c) => c.topic === topic)).id;
  await control('drop', { socket: idOf('realtime:drop-0') });
  assert.equal((await cut.closed).code, 1006);
  await control('drop', { socket: idOf('realtime:drop-1'), code: 4001, reason: 'test' });
  assert.deepEqual(await coded.closed, { code: 4001, reason: 'test' });
  await control('drop', { socket: idOf('realtime:drop-2'), code: 1012 });
  assert.equal((await drained.closed).code, 1012);
  const { payload } = await drained.event('system');
  assert.deepEqual(payload, {
    extension: 'system',
    status: 'ok',
    message: 'Server requested disconnect',
  });
});

test('channels can be closed with phx_error and joins delayed', async () => {
  const socket = await connect();
  const { ref } = await socket.join('realtime:crash');
  await control('close-channels', { topic: 'realtime:crash', event: 'phx_error' });
  const error = await socket.event('phx_error');
  assert.deepEqual([error.joinRef, error.ref], [ref, ref]);
  await control('delay', { joinMs: 50 });
  const from = socket.inbox.size;
  socket.send({ joinRef: 'x', ref: 'x', topic: 'realtime:slow', event: 'phx_join' });
  await socket.settle();
  assert.equal(socket.inbox.items[from].ref, 'x');
  await control('reset');
});
