// Clients that leave in the middle of everything they asked for, and ask for everything at once:
// the gateway goes on, answers the next one, and ends with status 0. SEED=<n> repeats a run.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { describe, test } from 'node:test';
import { ask } from './lib/devices.mjs';
import { useLocalbase } from './lib/localbase.mjs';
import { poll, pollPath } from './lib/poll.mjs';
import { post, publish } from './lib/publisher.mjs';
import { startRedis } from './lib/redis.mjs';
import { openStream } from './lib/sse.mjs';
import { EVENTS, named, placeGateway, randomFrom, seedOf, TASKS, until, Writer } from './lib/streams.mjs';
import { closeFrame, FIN, frame, handshake, openRaw, openSocket, OP, RawSocket } from './lib/ws.mjs';

const stack = useLocalbase();
const DIGITS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
const TOPICS = [
  TASKS, EVENTS, 'notices:a', 'table:public.nowhere', `${TASKS}:title=`, '', '\u0000', 'notices:',
  ...DIGITS.map((i) => `${TASKS}:title=neq.${i}`),
];

async function storeOf(t, kind) {
  return kind === 'redis' ? { url: (await startRedis(t)).url } : {};
}

async function start(t, kind, settings = {}) {
  return placeGateway(t, stack, {
    topics: { notices: { public: true } },
    streams: { topics_max: 10, ring_events: 16, snapshot_rows: 3, per_user: 500, per_address: 1000 },
    limits: { own_body_bytes: '256k' },
    ...settings,
    server: { workers: 2, ...settings.server },
    store: settings.store ?? (await storeOf(t, kind)),
  });
}

/** Still well: a socket is opened, a topic added, a change comes. */
async function assertWell(t, gateway, writer) {
  const s = await openSocket(gateway.url, { token: stack.user1.token });
  t.after(() => s.kill());
  await s.tell('subscribe', { topic: TASKS });
  const title = `well-${Date.now()}-${Math.random()}`;
  await writer.tasks(title);
  await s.take('message', (e) => e.data.record.title === title);
  s.kill();
}

/** Something a client may say, or should not. */
function utterance(random) {
  const pick = (list) => list[Math.floor(random() * list.length)];
  const text = (message) => frame(FIN | OP.text, JSON.stringify(message));
  const topic = pick(TOPICS);
  const cursor = pick([undefined, 'now', 'earliest', 'zzzzz.1700000000000-0', '.', 'a'.repeat(300)]);
  return pick([
    () => text({ event: 'subscribe', ref: '1', topic, cursor }),
    () => text({ event: 'subscribe', ref: 2, topic, cursor, snapshot: true }),
    () => text({ event: 'subscribe', topic, snapshot: true, snapshot_key: pick(['id', 'title', 'no']) }),
    () => text({ event: 'unsubscribe', ref: '3', topic }),
    () => text({ event: 'ack', ref: '4', topic, cursor: pick(['zzzzz.1-1', '', 'now']) }),
    () => text({ event: 'ack', topics: Object.fromEntries(TOPICS.map((name) => [name, 'zzzzz.1-1'])) }),
    () => text({ event: 'token', token: pick([stack.user1.token, stack.user2.token, 'x.y.z', '']) }),
    () => text({ event: 'token', token: stack.user1.token }),
    () => frame(FIN | OP.ping, 'p'.repeat(125)),
    () => frame(OP.text, '{"event":'),
    () => frame(FIN | OP.text, `{"a":${'['.repeat(3000)}${']'.repeat(3000)}}`),
    () => closeFrame(1000),
  ])();
}

/** One socket that says many things in one segment, and leaves one way or another. */
async function hostile(gateway, random) {
  const raw = await RawSocket.connect(gateway.now.port);
  const n = 1 + Math.floor(random() * 25);
  const said = Array.from({ length: n }, () => utterance(random));
  const params = random() < 0.6 ? { device: `d${Math.floor(random() * 3)}` } : {};
  const shake = handshake({ params, token: stack.user1.token, topics: random() < 0.5 ? TASKS : [] });
  raw.write(shake, ...(random() < 0.5 ? said : []));
  if (random() < 0.8) {
    await Promise.race([raw.heads.take(() => true), raw.closed]);
    if (!raw.socket.destroyed) {
      raw.write(...said);
    }
  }
  const way = random();
  if (way < 0.3) {
    raw.socket.resetAndDestroy();
  } else if (way < 0.5) {
    raw.socket.end();
    await Promise.race([raw.closed, raw.heads.take(() => true)]);
  } else if (way < 0.8 && !raw.socket.destroyed) {
    await Promise.race([raw.closed, raw.frames.take(() => true)]);
  }
  raw.kill();
}

for (const kind of ['memory', 'redis']) {
  describe(`on the ${kind} store`, () => {
    test('sockets that leave in the middle of what they asked for', async (t) => {
      const random = randomFrom(seedOf(t));
      const gateway = await start(t, kind);
      const writer = await Writer.to(stack);
      const rounds = async () => {
        for (let i = 0; i < 40; i++) {
          await hostile(gateway, random);
        }
      };
      await Promise.all([rounds(), rounds(), rounds(), writer.tasks(named('h', 60))]);
      await assertWell(t, gateway, writer);
    });

    test('a subscribe too many does not use up a place', async (t) => {
      const gateway = await start(t, kind);
      const raw = await openRaw(gateway.now.port, { params: { device: 'twice' }, token: stack.user1.token });
      t.after(() => raw.kill());
      const text = (message) => frame(FIN | OP.text, JSON.stringify({ topic: 'notices:a', ...message }));
      for (let i = 0; i < 15; i++) {
        await raw.tell('subscribe', { topic: 'notices:a' });
        raw.write(text({ event: 'subscribe', ref: `again-${i}` }), text({ event: 'unsubscribe', ref: `leave-${i}` }));
        const { data: again } = await raw.events.take((e) => e.data.ref === `again-${i}`);
        assert.equal(again.event, 'error');
        assert.equal((await raw.events.take((e) => e.data.ref === `leave-${i}`)).data.event, 'ok');
      }
      for (const i of DIGITS) {
        await raw.tell('subscribe', { topic: `notices:${i}` }); // all ten that a stream may have
      }
    });

    test('a device that is deleted while it is opened', async (t) => {
      const gateway = await start(t, kind);
      const writer = await Writer.to(stack);
      const { token } = stack.user1;
      for (let i = 0; i < 10; i++) {
        const opened = DIGITS.slice(0, 4).map(() =>
          openSocket(gateway.url, { token, topics: TASKS, params: { device: 'torn' } })
            .catch(({ status }) => assert.equal(status, 403, 'it ended before it began')));
        const deleted = [1, 2].map(() => ask(gateway.url, 'DELETE', '/devices/to%72n', { token }));
        for (const { status } of await Promise.all(deleted)) {
          assert.ok([200, 204, 404].includes(status), `${status}`);
        }
        (await Promise.all(opened)).forEach((s) => s?.kill());
      }
      await assertWell(t, gateway, writer);
    });
  });
}

test('parked polls: some leave, some send the next one, all others are woken by one event', async (t) => {
  const many = 1000;
  const gateway = await start(t, 'memory', { streams: { per_user: 2 * many, per_address: 2 * many } });
  const { token } = stack.user1;
  const headers = { apikey: stack.anon_key };
  const target = pollPath('notices:b', { wait: 60 });
  const raws = await Promise.all(named('raw', 60).map(async () => {
    const socket = net.connect({ host: '127.0.0.1', port: gateway.now.port });
    socket.on('error', () => {});
    await once(socket, 'connect');
    const request = `GET ${target}&device=d HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${token}\r\n\r\n`;
    socket.write(request.repeat(3));
    return socket;
  }));
  const { cursor } = await poll(gateway.url, { topics: 'notices:b', token, headers });
  const waiting = named('poll', many).map(() =>
    poll(gateway.url, { topics: 'notices:b', params: { wait: 60, cursor }, headers }));
  await until(async () => (await gateway.metric('tidegate_streams')) >= many + 30, 'parked polls');
  raws.forEach((socket, i) => (i % 3 === 0 ? socket.resetAndDestroy() : i % 3 === 1 ? socket.end() : null));
  await post(gateway.url, { topic: 'notices:b', payload: 1 }, { apikey: stack.service_key });
  for (const { status, events } of await Promise.all(waiting)) {
    assert.equal(status, 200);
    assert.equal(events.length, 1);
  }
  raws.forEach((socket) => socket.destroy());
  await until(async () => (await gateway.metric('tidegate_streams')) === 0, 'no poll');
  const again = poll(gateway.url, { topics: 'notices:b', params: { wait: 60 }, headers });
  await until(async () => (await gateway.metric('tidegate_streams')) === 1, 'a parked poll');
  await gateway.stop();
  assert.equal((await again).status, 204, 'drained');
});

test('publishers that send too much, too deep, or do not wait for the answer', async (t) => {
  const gateway = await start(t, 'memory');
  const headers = { apikey: stack.service_key };
  const event = { topic: 'notices:c', payload: 1 };
  const many = (n) => ({ events: Array.from({ length: n }, () => event) });
  const deep = (n) => `{"topic":"notices:c","payload":${'['.repeat(n)}${']'.repeat(n)}}`;
  const twice = '{"topic":"notices:c","topic":"notices:d","payload":1}';
  assert.equal((await post(gateway.url, deep(60), headers)).status, 200);
  for (const [body, status] of [[deep(100), 400], [deep(50_000), 400], [twice, 400], [many(1001), 400],
    [`"${'x'.repeat(300_000)}"`, 413]]) {
    assert.equal((await post(gateway.url, body, headers)).status, status);
  }
  const text = JSON.stringify(many(50));
  for (let i = 0; i < 30; i++) {
    const socket = net.connect({ host: '127.0.0.1', port: gateway.now.port });
    socket.on('error', () => {});
    await once(socket, 'connect');
    const cut = i % 3 === 0 ? Math.floor(text.length / 2) : text.length;
    socket.write(`POST /sync/v1/publish HTTP/1.1\r\nHost: a\r\napikey: ${stack.service_key}\r\n` +
      `Content-Length: ${text.length}\r\n\r\n${text.slice(0, cut)}`, () => socket.resetAndDestroy());
    await once(socket, 'close');
  }
  assert.equal((await post(gateway.url, event, headers)).status, 200);
});

test('publishers that send byte by byte are heard, those that stop in the middle are told so', async (t) => {
  const gateway = await start(t, 'memory', { timeouts: { body_idle: '500ms' } });
  const stream = await openStream(gateway.url, { topics: 'notices:slow', headers: { apikey: stack.anon_key } });
  t.after(() => stream.kill());
  await stream.take('hello');
  const connect = async () => {
    const socket = net.connect({ host: '127.0.0.1', port: gateway.now.port, noDelay: true });
    t.after(() => socket.destroy());
    socket.on('error', () => {});
    await once(socket, 'connect');
    let text = '';
    socket.setEncoding('utf8').on('data', (data) => {
      text += data;
    });
    return { socket, ended: once(socket, 'close').then(() => text) };
  };
  const head = (fields) => 'POST /sync/v1/publish HTTP/1.1\r\nHost: a\r\nConnection: close\r\n' +
    `apikey: ${stack.service_key}\r\n${fields}\r\n`;
  const body = JSON.stringify({ topic: 'notices:slow', payload: 'x'.repeat(40) });
  const pieces = {
    length: [head(`Content-Length: ${body.length}\r\n`), ...body],
    chunks: [head('Transfer-Encoding: chunked\r\n'), ...[...body].flatMap((c) => [...`1\r\n${c}\r\n`]), '0\r\n\r\n'],
  };
  const stalled = await Promise.all(named('stalled', 100).map(connect));
  stalled.forEach(({ socket }, i) => socket.write(head(`Content-Length: ${i % 2 === 0 ? body.length : 200_000}\r\n`) +
    body.slice(0, i % body.length)));
  for (const [how, parts] of Object.entries(pieces)) {
    const { socket, ended } = await connect();
    for (const part of parts) {
      await new Promise((resolve) => {
        socket.write(part, resolve); // has left before the next one does
      });
    }
    assert.match(await ended, /^HTTP\/1.1 200 /, how);
  }
  for (const { ended } of stalled) {
    assert.match(await ended, /^HTTP\/1.1 408 [^]*"TG480"/);
  }
  await publish(gateway.url, stack, { topic: 'notices:slow', payload: 'last' });
  await stream.take('message', (e) => e.data.payload === 'last');
  assert.equal(stream.ofType('message').length, 3, 'nothing of those that stopped');
});

/** Another writer's control entry, as the gateways' own script would append it. */
const FORGE = `
  local log = redis.call('KEYS', '*:log')[1]
  local meta = string.gsub(log, 'log$', 'meta')
  local id = redis.call('XADD', log, '*', 'c', '', 'p', ARGV[1], 'b', redis.call('HGET', meta, 'last') or '0-0')
  redis.call('HSET', meta, 'last', id)
  return id`;

test('words in the log that no gateway wrote', async (t) => {
  const redis = await startRedis(t);
  const gateway = await start(t, 'redis', { store: { url: redis.url } });
  const writer = await Writer.to(stack);
  const s = await openSocket(gateway.url, {
    token: stack.user1.token, topics: TASKS, params: { device: 'f' },
  });
  t.after(() => s.kill());
  const word = (members) => JSON.stringify({ v: 1, user: 'x', ...members });
  const words = [
    '', '{', '[]', 'null', '{"v":1}', '{"v":-1,"kind":"token"}', '['.repeat(5000), 'x'.repeat(200_000),
    word({ kind: 'token', device: 'f', token: 'forged' }),
    word({ kind: 'token', device: '\u0000', token: '' }),
    word({ kind: 'device_end', device: 'd'.repeat(10_000) }),
    word({ kind: 'session_end', session: 's', scope: 'local', at: 1e18, until: 9223372036854775807n.toString() }),
    `{"v":1,"user":"x","kind":"session_end","session":"","scope":"global","at":0,"until":9223372036854775807}`,
    `{"v":1,"user":"${'u'.repeat(5000)}","kind":"session_end","session":"a:b","scope":"others","at":1,"until":1}`,
    ...named('s', 300).map((session) =>
      `{"v":1,"user":"x","kind":"session_end","session":"${session}","scope":"others","at":1,"until":9999999999}`),
  ];
  for (const text of words) {
    assert.match(await redis.command('EVAL', FORGE, '0', text), /^\d+-\d+$/);
  }
  await writer.tasks('behind-the-words');
  await s.take('message', (e) => e.data.record.title === 'behind-the-words');
  await assertWell(t, gateway, writer);
});
