// Polls on the wire: what a connection does after a parked poll, who leaves, who goes, and what a
// turn of a small client weighs.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { Client } from './lib/http1.mjs';
import { useLocalbase } from './lib/localbase.mjs';
import { poll, Poller, pollPath } from './lib/poll.mjs';
import { placeGateway, TASKS, until, Writer } from './lib/streams.mjs';

const stack = useLocalbase();
const run = promisify(execFile);
let writer = null;

before(async () => {
  writer = await Writer.to(stack);
});

const token = () => stack.user1.token;
const titlesOf = (events) => events.map((e) => e.record.title);

async function setUp(t, settings = {}) {
  const gateway = await placeGateway(t, stack, settings);
  const poller = new Poller({ url: gateway.url, topics: TASKS, token: token() });
  assert.equal((await poller.next()).status, 204);
  const parked = (n) =>
    until(async () => (await gateway.metric('tidegate_streams')) === n, `${n} parked polls`);
  return { gateway, poller, parked };
}

/** A bare connection to the gateway. */
async function connect(t, gateway) {
  const client = await Client.to(Number(new URL(gateway.url).port));
  t.after(() => client.socket.destroy());
  return client;
}

const request = (target, more = '') =>
  `GET ${target} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer ${token()}\r\n${more}\r\n`;

describe('the connection of a parked poll', () => {
  test('serves its next request once the poll is answered', async (t) => {
    const { gateway, poller, parked } = await setUp(t);
    const wire = await connect(t, gateway);
    let { cursor } = poller;
    for (let i = 0; i < 3; i++) {
      wire.send(request(pollPath(TASKS, { cursor, wait: 60 })));
      await parked(1);
      await writer.tasks(`turn ${i}`);
      const { status, body } = await wire.answer();
      assert.equal(status, 200);
      assert.deepEqual(titlesOf(JSON.parse(body).events), [`turn ${i}`]);
      ({ cursor } = JSON.parse(body));
    }
    wire.send(request('/rest/v1/trips?select=id', `apikey: ${stack.anon_key}\r\n`));
    assert.equal((await wire.answer()).status, 200);
  });

  test('keeps a request that was sent behind it until its turn', async (t) => {
    const { gateway, poller, parked } = await setUp(t);
    const wire = await connect(t, gateway);
    wire.send(request(pollPath(TASKS, { cursor: poller.cursor, wait: 60 })));
    wire.send(request('/sync/v1/nothing'));
    wire.send(request(pollPath(TASKS, { cursor: poller.cursor, limit: 1 })));
    await parked(1);
    assert.equal(wire.bytes.length, 0);
    await writer.tasks('first');
    const first = await wire.answer();
    assert.deepEqual(titlesOf(JSON.parse(first.body).events), ['first']);
    assert.equal((await wire.answer()).status, 404);
    assert.deepEqual(JSON.parse((await wire.answer()).body).events, JSON.parse(first.body).events);
  });

  test('may be left, which ends the poll and gives its places back', async (t) => {
    const { gateway, poller, parked } = await setUp(t, { streams: { per_user: 2 } });
    const path = pollPath(TASKS, { cursor: poller.cursor, wait: 60 });
    for (const leave of ['end', 'destroy']) {
      const wires = [await connect(t, gateway), await connect(t, gateway)];
      wires.forEach((wire) => wire.send(request(path)));
      await parked(2);
      const third = await poll(gateway.url, { topics: TASKS, token: token(), params: { wait: 1 } });
      assert.equal(third.status, 429);
      assert.equal(third.json.code, 'TG523');
      assert.equal((await poller.next()).status, 204, 'who does not wait takes no place');
      wires.forEach((wire) => wire.socket[leave]());
      await parked(0);
    }
    assert.equal((await poller.next({ wait: 1 })).status, 204);
    // Every request says how it ended.
    const left = (l) => l.event === 'own' && l.path === '/sync/v1/poll' && l.end === 'TG_ECLOSED';
    await gateway.log.takeMany(4, (l) => left(l) && l.status === '0');
    await gateway.log.take((l) => l.event === 'own' && l.status === '204' && l.end === 'TG_OK');
  });

  test('is told at once when the gateway goes, and where to go on', async (t) => {
    const { gateway, poller, parked } = await setUp(t);
    const waiting = poller.next({ wait: 60 });
    await parked(1);
    const began = Date.now();
    const stopped = gateway.stop();
    const answer = await waiting;
    assert.equal(answer.status, 204);
    assert.equal(answer.headers['next-poll'], '1');
    assert.equal(answer.headers.connection, 'close');
    assert.ok(answer.cursor);
    await stopped;
    assert.ok(Date.now() - began < 5000);
  });
});

describe('a shell with curl', () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'tidegate-poll-'));
  const tag = path.join(folder, 'tag');

  test('keeps its place in a file of curl alone', async (t) => {
    t.after(() => rmSync(folder, { recursive: true }));
    const { gateway } = await setUp(t);
    const turn = async (wait) => {
      const { stdout } = await run('curl', [
        '-s', '--etag-save', tag, '--etag-compare', tag, '-w', '%{http_code}',
        '-H', `Authorization: Bearer ${token()}`,
        `${gateway.url}/sync/v1/poll?topic=${TASKS}&wait=${wait}&fields=title&compact=1`,
      ]);
      return stdout;
    };
    assert.equal(await turn(0), '204');
    assert.match(readFileSync(tag, 'utf8'), /^"[a-z0-9]+\.\d+-\d+"/);
    assert.equal(await turn(0), '304');
    await writer.tasks('from a shell');
    assert.match(
      await turn(10),
      /^\{"events":\[\{"type":"INSERT","record":\{"title":"from a shell"\}\}\],.*\}200$/,
    );
    assert.equal(await turn(0), '304');
    await writer.tasks('once more');
    assert.match(await turn(10), /once more.*200$/);
  });
});

describe('a turn of a small client', () => {
  test('weighs a few hundred bytes', async (t) => {
    const { gateway, poller } = await setUp(t);
    const wire = await connect(t, gateway);
    const turn = async (params) => {
      wire.send(request(pollPath(TASKS, { cursor: poller.cursor, ...params })));
      const head = await wire.takeThrough('\r\n\r\n');
      const length = Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0);
      const body = (await wire.take(length)).toString();
      t.diagnostic(`${JSON.stringify(params)}: ${head.length} + ${length} bytes`);
      return { head, body };
    };
    const nothing = await turn({});
    assert.ok(nothing.head.length < 300, nothing.head);
    await writer.tasks('Milk');
    const whole = await turn({ wait: 10 });
    const small = await turn({ wait: 10, fields: 'id,title', compact: 1 });
    assert.ok(small.head.length < 300, small.head);
    assert.ok(small.body.length < 200, small.body);
    assert.ok(small.body.length < whole.body.length / 2);
  });
});
