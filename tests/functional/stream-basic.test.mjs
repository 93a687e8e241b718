// The event stream end to end: hello, live changes, digits, heartbeats, resuming.
//
// also under tsan: link, hub, store and workers pass events on.
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { useGateway, inFrontOf } from './lib/gateway.mjs';
import { createCaller, useLocalbase } from './lib/localbase.mjs';
import { isAbove, openStream, parseCursor } from './lib/sse.mjs';
import {
  assertAscending, EVENTS, named, placeGateway, SAMPLES, TASKS, titles, until, Writer,
} from './lib/streams.mjs';

const stack = useLocalbase();
const call = createCaller(
  () => stack.url,
  () => stack.anon_key,
);
const gateway = useGateway(async () => {
  await stack.ready;
  return inFrontOf(stack, { server: { workers: 1 }, streams: { heartbeat: '1s' } });
});
let writer = null;

async function rest(method, path, body, user = stack.user1) {
  const headers = { prefer: 'return=representation' };
  const { status, json, text } = await call(method, path, { token: user.token, body, headers });
  assert.ok(status < 300, `${method} ${path}: ${status} ${text}`);
  return json[0];
}

const addTask = (title) => rest('POST', '/rest/v1/tasks', { trip_id: stack.trip1_id, title });

/** A stream of user 1, closed at the end of the test, behind its hello. */
async function listen(t, options = {}) {
  const s = await openStream(gateway.url, { topics: TASKS, token: stack.user1.token, ...options });
  t.after(() => s.kill());
  s.hello = await s.take('hello');
  return s;
}

async function write() {
  writer ??= await Writer.to(stack);
  return writer;
}

// What the test before has written is decoded a little later: wait until that is over.
beforeEach(async () => {
  const s = await openStream(gateway.url, { topics: TASKS, token: stack.user1.token });
  const mark = `mark ${process.hrtime.bigint()}`;
  await s.take('hello');
  await (await write()).tasks(mark);
  await s.take('message', (e) => e.data.record?.title === mark);
  s.kill();
});

describe('hello', () => {
  test('is the first event and says where the stream starts', async (t) => {
    const s = await listen(t);
    const [first] = s.events.items.filter((e) => e.type !== 'retry');
    assert.equal(first.type, 'hello');
    assert.ok(first.hasId);
    assert.equal(first.id, first.data.cursor);
    assert.equal(s.headers['tidegate-cursor'], first.data.cursor);
    assert.deepEqual(first.data.topics, [{ topic: TASKS, guarantee: 'live', state: 'ready' }]);
    assert.equal(first.data.heartbeat, 1000);
    assert.ok(first.data.uncovered.some((text) => text.includes('leaves the filter')));
    assert.deepEqual(s.ofType('retry').map((e) => e.ms), [3000]);
  });

  test('comes with the headers of an event stream', async (t) => {
    const s = await listen(t);
    assert.match(s.headers['content-type'], /^text\/event-stream/);
    assert.equal(s.headers['cache-control'], 'no-store');
    assert.equal(s.headers['x-accel-buffering'], 'no');
    assert.ok(s.headers['x-request-id']);
    assert.equal(s.headers['content-length'], undefined);
    assert.equal(s.headers['tidegate-recovered'], undefined, 'nothing was resumed');
  });
});

describe('a live change', () => {
  test('of each kind arrives as what it is', async (t) => {
    const s = await listen(t);
    const next = (type) => s.take('message', (e) => e.data.type === type);
    const row = await addTask('to be changed');
    const insert = await next('INSERT');
    await rest('PATCH', `/rest/v1/tasks?id=eq.${row.id}`, { title: 'changed', done: true });
    const update = await next('UPDATE');
    await rest('DELETE', `/rest/v1/tasks?id=eq.${row.id}`);
    const gone = await next('DELETE');
    assert.equal(s.rows.length, 3);
    for (const { data, text, hasId } of [insert, update, gone]) {
      assert.ok(hasId);
      assert.equal(data.topic, TASKS);
      assert.equal(data.schema, 'public');
      assert.equal(data.table, 'tasks');
      assert.match(data.commit_timestamp, /^\d{4}-\d\d-\d\dT/);
      assert.ok(!text.includes('\n'));
    }
    assert.equal(insert.data.record.title, 'to be changed');
    assert.deepEqual(Object.keys(insert.data.record).sort(), Object.keys(row).sort());
    assert.equal(update.data.record.title, 'changed');
    assert.deepEqual(update.data.old_record, { id: row.id });
    assert.deepEqual(gone.data.old_record, { id: row.id });
    assertAscending(s.events.items);
  });

  test('keeps every digit', async (t) => {
    const s = await listen(t, { topics: SAMPLES });
    await write();
    const doc = '{"deep": {"n": 12345678901234567890.10, "list": [1.0, 1e400]}, "text": "ü\\n\\"€"}';
    await writer.query(
      `insert into public.type_samples (trip_id, big, exact, doc, numbers)
       values ($1, 9223372036854775807, 1.10, $2, '{9007199254740993,-9223372036854775808}')`,
      [stack.trip1_id, doc],
    );
    const { text, data } = await s.take('message');
    assert.match(text, /"big":9223372036854775807[,}]/);
    assert.match(text, /"exact":1\.10[,}]/);
    assert.match(text, /"n": ?12345678901234567890\.10[,}]/);
    assert.match(text, /"list": ?\[1\.0, ?10{400}\]/);
    assert.match(text, /"numbers":\[9007199254740993, ?-9223372036854775808\]/);
    assert.equal(data.record.doc.text, 'ü\n"€');
  });

  test('of a row that the filter does not take stays away', async (t) => {
    const s = await listen(t, { topics: `${TASKS}:title=eq.wanted` });
    await addTask('unwanted');
    await addTask('wanted');
    const first = await s.take('message');
    assert.equal(first.data.record.title, 'wanted');
    assert.equal(first.data.topic, `${TASKS}:title=eq.wanted`);
  });

  test('reaches every stream of a topic under one id', async (t) => {
    const streams = [await listen(t), await listen(t), await listen(t)];
    await addTask('for all');
    const ids = new Set();
    for (const s of streams) {
      ids.add((await s.take('message')).id);
    }
    assert.equal(ids.size, 1);
  });

  test('reaches 500 streams of one topic', async (t) => {
    const own = await placeGateway(t, stack, { streams: { per_user: 1000, per_address: 1000 } });
    const streams = await Promise.all(
      named('s', 500).map(() =>
        openStream(own.url, { topics: TASKS, token: stack.user1.token }),
      ),
    );
    t.after(() => streams.forEach((s) => s.kill()));
    await Promise.all(streams.map((s) => s.take('hello')));
    await (await write()).tasks(named('crowd', 5));
    for (const s of streams) {
      assert.deepEqual(titles(await s.events.takeMany(5, (e) => e.type === 'message')), named('crowd', 5));
    }
  });

  test('reaches streams on each of two workers', async (t) => {
    const own = await placeGateway(t, stack, { server: { workers: 2 } });
    const streams = [];
    t.after(() => streams.forEach((s) => s.kill()));
    // The kernel chooses the worker: connect until both have some.
    await until(async () => {
      const s = await openStream(own.url, { topics: TASKS, token: stack.user1.token });
      streams.push(s);
      const text = await (await fetch(`${own.adminUrl}/metrics`)).text();
      const held = [...text.matchAll(/^tidegate_streams\{worker="\d+"\} (\d+)$/gm)];
      return (held.length === 2 && held.every((m) => Number(m[1]) > 0)) || streams.length === 18;
    }, 'streams on both workers');
    await (await write()).tasks(named('both', 20));
    for (const s of streams) {
      const rows = await s.events.takeMany(20, (e) => e.type === 'message');
      assert.deepEqual(titles(rows), named('both', 20));
    }
  });
});

describe('a quiet stream', () => {
  test('is kept open by comments, and its position does not grow old', async (t) => {
    const s = await listen(t);
    const elsewhere = await listen(t, { topics: EVENTS });
    await s.take('comment');
    await (await write()).events('elsewhere');
    const { id } = await elsewhere.take('message');
    const position = await s.take('position', (e) => e.id === id || isAbove(e.id, id));
    // Whoever resumes there misses nothing.
    s.kill();
    await addTask('behind the position');
    const resumed = await listen(t, { lastEventId: position.id });
    assert.deepEqual(titles([await resumed.take('message')]), ['behind the position']);
    assert.equal(resumed.hello.data.topics[0].recovered, true);
  });
});

describe('resuming', () => {
  test('misses nothing of a topic that no worker kept up meanwhile', async (t) => {
    const brief = await placeGateway(t, stack, { streams: { heartbeat: '1s', topic_linger: '0s' } });
    const options = { topics: TASKS, token: stack.user1.token };
    const s = await openStream(brief.url, options);
    const { id } = await s.take('hello');
    s.kill();
    await until(async () => (await brief.metric('tidegate_stream_topics')) === 0);
    await addTask('while nobody followed');
    const resumed = await openStream(brief.url, { ...options, lastEventId: id });
    t.after(() => resumed.kill());
    assert.equal((await resumed.take('hello')).data.topics[0].recovered, true);
    assert.deepEqual(titles([await resumed.take('message')]), ['while nobody followed']);
  });

  test('gives exactly the rows that were missed, by header or by cursor', async (t) => {
    const s = await listen(t);
    await addTask('seen');
    const { id } = await s.take('message');
    s.kill();
    await (await write()).tasks(named('missed', 5));
    const since = named('missed', 5);
    for (const how of [{ lastEventId: id }, { params: { cursor: id } }]) {
      const resumed = await listen(t, how);
      const rows = await resumed.events.takeMany(since.length, (e) => e.type === 'message');
      assert.deepEqual(titles(rows), since);
      const [{ replayed, ...topic }] = resumed.hello.data.topics;
      assert.deepEqual(topic, { topic: TASKS, guarantee: 'live', state: 'ready', recovered: true });
      assert.ok(replayed <= since.length);
      if (since.length > 5) {
        assert.equal(replayed, since.length, 'all of them have come through before');
      }
      assert.equal(resumed.headers['tidegate-recovered'], 'true');
      assert.equal(resumed.hello.data.cursor, id);
      const afterwards = `after ${Object.keys(how)}`;
      since.push(afterwards);
      await addTask(afterwards);
      await resumed.take('message', (e) => e.data.record.title === afterwards);
      assert.deepEqual(titles(resumed.rows), since);
      assertAscending(resumed.events.items);
      assert.equal(resumed.ofType('reset').length, 0);
      resumed.kill();
    }
  });

  test('takes Last-Event-ID before cursor=', async (t) => {
    const s = await listen(t);
    await (await write()).tasks(['first', 'second', 'third']);
    const [first, second] = await s.events.takeMany(3, (e) => e.type === 'message');
    const resumed = await listen(t, { lastEventId: second.id, params: { cursor: first.id } });
    assert.equal((await resumed.take('message')).data.record.title, 'third');
    const byQuery = await listen(t, { lastEventId: '', params: { cursor: first.id } });
    assert.equal((await byQuery.take('message')).data.record.title, 'second');
  });

  test('from now is a start, not a resume', async (t) => {
    const earlier = await listen(t);
    await addTask('before');
    await earlier.take('message');
    const s = await listen(t, { params: { cursor: 'now' } });
    assert.equal(s.hello.data.topics[0].recovered, undefined);
    await addTask('after');
    assert.equal((await s.take('message')).data.record.title, 'after');
  });

  test('from the hello of a stream that saw nothing gives what came since', async (t) => {
    const s = await listen(t);
    s.kill();
    await addTask('came since');
    const resumed = await listen(t, { lastEventId: s.hello.id });
    assert.equal((await resumed.take('message')).data.record.title, 'came since');
  });
});

describe('several topics on one stream', () => {
  const topics = [TASKS, EVENTS, `${TASKS}:title=like.odd%`];

  async function mixed() {
    const w = await write();
    for (let i = 0; i < 60; i++) {
      if (i % 3 === 0) {
        await w.events(`mix-${i}`);
      } else {
        await w.tasks(`${i % 3 === 1 ? 'odd' : 'even'}-${i}`);
      }
    }
    return 60 + 20; // the odd ones come on two topics
  }

  test('are merged with ascending ids, live and replayed', async (t) => {
    const s = await listen(t, { topics });
    assert.deepEqual(s.hello.data.topics.map((x) => x.topic), topics);
    const n = await mixed();
    const live = await s.events.takeMany(n, (e) => e.type === 'message');
    assertAscending(s.events.items);
    const replayed = await listen(t, { topics, lastEventId: s.hello.id });
    const again = await replayed.events.takeMany(n, (e) => e.type === 'message');
    assertAscending(replayed.events.items);
    const key = (e) => `${e.id} ${e.data.topic}`;
    assert.deepEqual(again.map(key).sort(), live.map(key).sort());
    assert.equal(replayed.headers['tidegate-recovered'], 'true');
  });

  test('are resumed in the middle without loss', async (t) => {
    const s = await listen(t, { topics });
    const n = await mixed();
    const live = await s.events.takeMany(n, (e) => e.type === 'message');
    for (const at of [0, 7, 33, n - 2]) {
      const resumed = await listen(t, { topics, lastEventId: live[at].id });
      const rest = await resumed.events.takeMany(n - at - 1, (e) => e.type === 'message');
      assert.deepEqual(rest.map((e) => e.id), live.slice(at + 1).map((e) => e.id));
      resumed.kill();
    }
  });

  test('named twice are one', async (t) => {
    const s = await listen(t, { topics: [TASKS, TASKS] });
    assert.equal(s.hello.data.topics.length, 1);
    assert.ok(parseCursor(s.hello.id)[0].length > 0);
  });
});
