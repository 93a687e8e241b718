// What a poll answers: nothing new, news, and how both are said; from memory and from Redis.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startGateway, inFrontOf } from './lib/gateway.mjs';
import { useLocalbase } from './lib/localbase.mjs';
import { poll, Poller } from './lib/poll.mjs';
import { startRedis } from './lib/redis.mjs';
import { isAbove, openStream, parseCursor } from './lib/sse.mjs';
import { EVENTS, named, placeGateway, SAMPLES, TASKS, until, Writer } from './lib/streams.mjs';

const stack = useLocalbase();
let writer = null;

before(async () => {
  writer = await Writer.to(stack);
});

const titlesOf = (events) => events.map((e) => e.record.title ?? e.record.kind);
const token = () => stack.user1.token;

for (const store of ['memory', 'redis']) {
  describe(`with the store in ${store}`, () => {
    const gateway = { url: '' };
    const settings = { server: { workers: 1 }, polls: { bytes: '64k' }, streams: {} };

    const ends = [];

    before(async () => {
      await stack.ready;
      const more = {};
      if (store === 'redis') {
        more.store = { url: (await startRedis({ after: (end) => ends.push(end) })).url };
      }
      Object.assign(gateway, await startGateway(inFrontOf(stack, { ...settings, ...more })));
      ends.unshift(() => gateway.stop());
    });
    after(async () => {
      for (const end of ends) {
        await end();
      }
    });

    /** A poller that begins now, on topics that are covered. */
    async function started(topics = TASKS, params = {}) {
      const p = new Poller({ url: gateway.url, topics, token: token() });
      const first = await p.next();
      assert.equal(first.status, 204, first.text);
      // What the test before has written is decoded a little later: poll behind a mark.
      const mark = `mark ${process.hrtime.bigint()}`;
      await writer.tasks(mark);
      await writer.events(mark);
      const topicsOf = [topics].flat().filter((t) => t === TASKS || t === EVENTS).length;
      await p.until((all) => all.filter((e) => titlesOf([e])[0] === mark).length === topicsOf);
      p.params = params;
      return p;
    }

    test('nothing new is 204 with a cursor and when to come again', async () => {
      const p = await started();
      const { status, headers, text } = await p.next();
      assert.equal(status, 204);
      assert.equal(text, '');
      assert.equal(headers['content-length'], undefined);
      assert.ok(Number(headers['next-poll']) >= 27 && Number(headers['next-poll']) <= 33);
      assert.equal(headers['tidegate-recovered'], 'true');
      assert.equal(headers.etag, `"${headers['tidegate-cursor']}"`);
      assert.equal(headers['cache-control'], 'no-store');
      assert.ok(headers['x-request-id']);
    });

    test('without a cursor it starts now, and nothing was resumed', async () => {
      const p = await started();
      await writer.tasks('before');
      await p.until((all) => titlesOf(all).includes('before'));
      const fresh = new Poller({ url: gateway.url, topics: TASKS, token: token() });
      const first = await fresh.next();
      assert.equal(first.status, 204);
      assert.equal(first.headers['tidegate-recovered'], undefined);
      assert.ok(parseCursor(first.cursor));
      const now = await fresh.next({ cursor: 'now' });
      assert.equal(now.status, 204);
    });

    test('news is 200 with the events as all transports say them', async () => {
      const p = await started();
      const [row] = await writer.tasks('news');
      const [event] = await p.until((all) => all.length > 0);
      assert.ok(isAbove(event.id, p.cursor) || event.id === p.cursor);
      assert.equal(event.topic, TASKS);
      assert.equal(event.type, 'INSERT');
      assert.equal(event.schema, 'public');
      assert.equal(event.table, 'tasks');
      assert.equal(event.record.id, row.id);
      assert.equal(event.event, undefined, 'a change is not named');
    });

    test('an answer says nothing of topics that are as they should be', async () => {
      const p = await started();
      await writer.tasks('plain');
      let answer = null;
      do {
        answer = await p.next({ wait: 5 });
      } while (answer.status === 204);
      assert.deepEqual(Object.keys(answer.json), ['events', 'cursor', 'more']);
      assert.equal(answer.json.more, false);
      assert.equal(answer.headers['content-type'], 'application/json');
      assert.equal(answer.headers['tidegate-recovered'], 'true');
      assert.equal(answer.headers['next-poll'], undefined);
    });

    test('a waiting poll wakes up for an insert', async () => {
      const p = await started();
      for (let i = 0; i < 3; i++) {
        const waiting = p.next({ wait: 60 });
        await until(async () => (await gateway.metric('tidegate_streams')) > 0, 'a parked poll');
        await writer.tasks(`wake ${i}`);
        assert.deepEqual(titlesOf((await waiting).events), [`wake ${i}`]);
      }
    });

    test('a wait that is over is 204', async () => {
      const p = await started();
      const began = Date.now();
      const answer = await p.next({ wait: 1 });
      assert.equal(answer.status, 204);
      assert.equal(answer.headers['tidegate-recovered'], 'true');
      assert.ok(Date.now() - began >= 990);
    });

    test('a client that repeats its tag gets 304', async () => {
      const p = await started();
      const tag = `"${(await p.next()).cursor}"`;
      const ask = (params) =>
        poll(gateway.url, { topics: TASKS, token: token(), params, headers: { 'if-none-match': tag } });
      for (const params of [{ cursor: p.cursor }, {}]) {
        const same = await ask(params);
        assert.equal(same.status, 304);
        assert.equal(same.text, '');
        assert.equal(same.headers.etag, tag);
        assert.equal(same.headers['tidegate-recovered'], 'true');
        assert.ok(same.headers['tidegate-cursor']);
        assert.ok(same.headers['next-poll']);
      }
      await writer.tasks('new');
      const news = await until(async () => {
        const answer = await ask({});
        return answer.status === 200 ? answer : null;
      }, 'the row');
      assert.deepEqual(titlesOf(news.events), ['new']);
      assert.notEqual(news.headers.etag, tag);
    });

    test('a tag that is none of ours is no cursor', async () => {
      await started();
      const headers = { 'if-none-match': '"abc"' };
      const { status } = await poll(gateway.url, { topics: TASKS, token: token(), headers });
      assert.equal(status, 204);
    });

    test('1,000 rows are walked in small answers, each once, in order', async () => {
      const p = await started(TASKS, { limit: 37 });
      await writer.query(
        `insert into public.tasks (trip_id, title)
         select $1, 'walk ' || n from generate_series(1, 1000) n`,
        [stack.trip1_id],
      );
      const reader = new Poller({ url: gateway.url, topics: TASKS, token: token(), cursor: p.cursor });
      await reader.until((all) => all.length >= 1000, { wait: 5, limit: 1000 });
      const got = [];
      let answers = 0;
      for (;;) {
        const answer = await p.next();
        assert.ok(answer.events.length <= 37);
        got.push(...answer.events);
        answers++;
        if (answer.status === 204 || !answer.json.more) {
          break;
        }
        assert.equal(answer.events.length, 37);
        assert.equal(answer.events.at(-1).id, answer.cursor, 'the cursor of the last event');
      }
      assert.deepEqual(titlesOf(got), Array.from({ length: 1000 }, (_, i) => `walk ${i + 1}`));
      assert.equal(answers, Math.ceil(1000 / 37));
      assert.equal((await p.next()).status, 204);
    });

    test('cursor=earliest is all that the log still holds, and no loss', async () => {
      const p = await started(EVENTS, { fields: 'kind', compact: 1, limit: 1000 });
      await writer.query(
        `insert into public.events (trip_id, kind) select $1, 'k' || n from generate_series(1, 300) n`,
        [stack.trip1_id],
      );
      const all = await until(async () => {
        const params = { ...p.params, cursor: 'earliest' };
        const answer = await poll(gateway.url, { topics: EVENTS, token: token(), params });
        return answer.events.length >= 300 ? answer : null;
      }, 'all rows');
      assert.ok(titlesOf(all.events).includes('k300'));
      assert.equal(all.events.filter((e) => e.event !== undefined).length, 0);
      assert.equal(all.json.topics, undefined);
    });

    test('the byte cap cuts an answer, and an event above it comes alone', async () => {
      const p = await started();
      const big = 'x'.repeat(20_000);
      await writer.tasks([`1${big}`, `2${big}`, `3${big}`, `4${big}`, `5${'x'.repeat(100_000)}`, '6']);
      const reader = new Poller({ url: gateway.url, topics: TASKS, token: token(), cursor: p.cursor });
      await reader.until((all) => titlesOf(all).includes('6'));
      const sizes = [];
      let more = true;
      while (more) {
        const answer = await p.next();
        sizes.push(answer.events.map((e) => e.record.title[0]).join(''));
        ({ more } = answer.json);
      }
      assert.deepEqual(sizes, ['123', '4', '5', '6']);
    });

    test('fields and compact leave little, and every digit of that', async () => {
      const p = await started(SAMPLES, { fields: 'big,exact', compact: 1 });
      await writer.query(
        `insert into public.type_samples (trip_id, big, exact) values ($1, 9223372036854775807, 1.10)`,
        [stack.trip1_id],
      );
      let answer = null;
      do {
        answer = await p.next({ wait: 5 });
      } while (answer.status === 204);
      assert.match(
        answer.text,
        /^\{"events":\[\{"type":"INSERT","record":\{"big":9223372036854775807,"exact":1\.10\}\}\],/,
      );
    });

    test('compact names the topic when there are several', async () => {
      const p = await started([TASKS, EVENTS], { fields: 'title,kind', compact: 1 });
      await writer.tasks('short');
      assert.deepEqual(await p.until((all) => all.length > 0), [
        { topic: TASKS, type: 'INSERT', record: { title: 'short' } },
      ]);
    });

    test('updates and deletes come with what fields and compact leave of them', async () => {
      const p = await started(TASKS, { fields: 'id', compact: 1 });
      const [{ id }] = await writer.tasks('to go');
      const next = () => p.until((all) => all.length > 0);
      assert.deepEqual(await next(), [{ type: 'INSERT', record: { id } }]);
      await writer.query(`update public.tasks set title = 'gone' where id = $1`, [id]);
      assert.deepEqual(await next(), [{ type: 'UPDATE', record: { id } }]);
      await writer.query('delete from public.tasks where id = $1', [id]);
      assert.deepEqual(await next(), [{ type: 'DELETE', old_record: { id } }]);
    });

    test('several topics are in the order of ids', async () => {
      const p = await started([TASKS, EVENTS]);
      const reader = new Poller({ ...p, cursor: p.cursor });
      for (let i = 0; i < 20; i++) {
        await writer.tasks(`t${i}`);
        await writer.events(`e${i}`);
      }
      await reader.until((all) => all.length >= 40);
      const all = await p.until((got) => got.length >= 40, { limit: 7 });
      assert.equal(new Set(all.map((e) => e.id)).size, 40);
      for (let i = 1; i < all.length; i++) {
        assert.ok(isAbove(all[i].id, all[i - 1].id));
      }
    });

    // DESIGN.md 2.2: a page of one topic is read empty while the other one moves on.
    test('a topic that is read empty loses nothing while another one moves on', async () => {
      const p = await started([TASKS, EVENTS]);
      const seen = [];
      const write = async () => {
        for (let i = 0; i < 30; i++) {
          await writer.events(`h-e${i}`);
          await writer.tasks(`h-t${i}`);
        }
      };
      const writing = write();
      while (seen.length < 60) {
        const answer = await p.next({ limit: 3, wait: 5 });
        seen.push(...titlesOf(answer.events));
      }
      await writing;
      assert.deepEqual(seen.sort(), [...named('h-e', 30).map((s) => s.replace('-e-', '-e')),
        ...named('h-t', 30).map((s) => s.replace('-t-', '-t'))].sort());
    });

    test('a cursor of no log is 400, one ahead of the log and one of another log are resets', async () => {
      const p = await started();
      const [epoch, ms] = parseCursor(p.cursor);
      const ask = (cursor) => poll(gateway.url, { topics: TASKS, token: token(), params: { cursor } });
      for (const bad of ['x', '1-1', `${epoch}.01-1`, `${epoch}.1`, `${epoch}.-1-1`, `${epoch}.1-1 `]) {
        const { status, json } = await ask(bad);
        assert.equal(status, 400, bad);
        assert.equal(json.code, 'TG404');
      }
      for (const [cursor, reason] of [
        [`${epoch}.${ms + 10_000_000n}-0`, 'ahead'],
        [`zzzzzzzz.${ms}-0`, 'epoch'],
      ]) {
        const { status, json, headers } = await ask(cursor);
        assert.equal(status, 200);
        assert.equal(headers['tidegate-recovered'], `false; reason=${reason}`);
        assert.equal(json.events[0].event, 'reset');
        assert.equal(json.events[0].reason, reason);
        assert.equal(json.events[0].topic, TASKS);
        assert.deepEqual(json.topics, [
          { topic: TASKS, state: 'ready', recovered: false, reason },
        ]);
        assert.equal((await ask(json.cursor)).headers['tidegate-recovered'], 'true', 'once');
      }
    });

    test('a stream goes on where a poll ended, and a poll where a stream did', async (t) => {
      const p = await started();
      await writer.tasks(['s1', 's2', 's3']);
      const first = await p.until((all) => all.length >= 1, { wait: 5, limit: 1 });
      assert.deepEqual(titlesOf(first), ['s1']);
      const s = await openStream(gateway.url, { topics: TASKS, token: token(), lastEventId: p.cursor });
      t.after(() => s.kill());
      await s.take('message', (e) => e.data.record.title === 's3');
      assert.deepEqual(s.rows.map((e) => e.data.record.title), ['s2', 's3']);
      s.kill();
      p.cursor = s.rows[0].id;
      assert.deepEqual(titlesOf(await p.until((all) => all.length >= 1)), ['s3']);
    });

    test('a device goes on where it was', async () => {
      const p = await started();
      const device = `d-${store}`;
      const ask = (params) => poll(gateway.url, { topics: TASKS, token: token(), params: { device, ...params } });
      await writer.tasks(['d1', 'd2']);
      const one = await until(async () => {
        const answer = await ask({ cursor: p.cursor, limit: 1 });
        return answer.status === 200 ? answer : null;
      }, 'a row');
      assert.deepEqual(titlesOf(one.events), ['d1']);
      await ask({ cursor: one.cursor, limit: 1 }); // acknowledges d1
      const resumed = await until(async () => {
        const answer = await ask({});
        return titlesOf(answer.events)[0] === 'd2' ? answer : null;
      }, 'the row behind the acknowledged one');
      assert.equal(resumed.headers['tidegate-recovered'], 'true');
    });

    test('what is asked for wrongly is 400 and says why', async () => {
      const wrong = {
        wait: ['-1', '61', '1.5', 'x', ''],
        limit: ['0', '1001', 'x', ''],
        compact: ['2', 'true'],
        fields: ['', 'a,,b', 'a"b'],
        snapshot: ['1'],
        device: ['a b'],
      };
      for (const [name, values] of Object.entries(wrong)) {
        for (const value of values) {
          const params = { [name]: value };
          const { status, json } = await poll(gateway.url, { topics: TASKS, token: token(), params });
          assert.equal(status, 400, `${name}=${value}`);
          assert.equal(json.code, 'TG406');
          assert.ok(json.details.includes(name === 'device' ? 'device' : name === 'snapshot' ? 'snapshot' : name), json.details);
        }
      }
      const none = await poll(gateway.url, { token: token() });
      assert.equal(none.json.code, 'TG403');
      const bad = await poll(gateway.url, { topics: 'table:secret.x', token: token() });
      assert.equal(bad.status, 403);
      const nobody = await poll(gateway.url, { topics: TASKS });
      assert.equal(nobody.status, 401);
    });

    test('a page of a browser may read what it needs, others are spared the words', async () => {
      const p = await started();
      const plain = await p.next();
      assert.equal(plain.headers['access-control-allow-origin'], undefined);
      const page = await p.next({}, { origin: 'https://app.example' });
      assert.equal(page.headers['access-control-allow-origin'], '*');
      assert.match(page.headers['access-control-expose-headers'], /tidegate-cursor.*next-poll.*etag/);
    });

    test('polls answered from memory are no streams', async () => {
      const p = await started();
      await p.next();
      const opened = await gateway.metric('tidegate_streams_opened_total');
      const atOnce = await gateway.metric('tidegate_polls_at_once_total');
      for (let i = 0; i < 10; i++) {
        assert.equal((await p.next()).status, 204);
      }
      assert.equal(await gateway.metric('tidegate_streams_opened_total'), opened);
      assert.equal(await gateway.metric('tidegate_polls_at_once_total'), atOnce + 10);
    });
  });
}

describe('a topic that upstream has not covered yet', () => {
  const rt = (command, json) => stack.control.part('realtime', command, json);

  test('is told as joining, and a poll behind that as a reset', async (t) => {
    await stack.ready;
    await rt('hold-subscribed', { hold: true });
    t.after(() => rt('hold-subscribed', { hold: false }));
    const gateway = await placeGateway(t, stack, { streams: { ready_wait: '300ms' } });
    const p = new Poller({ url: gateway.url, topics: TASKS, token: token() });
    const first = await p.next();
    assert.equal(first.status, 200);
    assert.deepEqual(first.json.topics, [{ topic: TASKS, state: 'joining' }]);
    assert.deepEqual(first.events, []);
    await rt('hold-subscribed', { hold: false });
    const reset = await until(async () => {
      const answer = await p.next();
      return answer.events.length > 0 ? answer : null;
    }, 'the reset');
    assert.equal(reset.events[0].event, 'reset');
    assert.match(reset.headers['tidegate-recovered'], /^false; reason=(gap|joining)$/);
  });
});

describe('a poll that comes long after the one before', () => {
  test('finds what happened while no worker kept the topic', async (t) => {
    const gateway = await placeGateway(t, stack, { streams: { topic_linger: '100ms', heartbeat: '1s' } });
    const p = new Poller({ url: gateway.url, topics: TASKS, token: token() });
    await p.next();
    await until(async () => (await gateway.metric('tidegate_stream_topics')) === 0, 'the end of the linger');
    const writer = await Writer.to(stack);
    await writer.tasks('while nobody looked');
    const answer = await until(async () => {
      const got = await p.next();
      return got.events.length > 0 ? got : null;
    }, 'the row');
    assert.deepEqual(answer.events.map((e) => e.record?.title ?? e), ['while nobody looked']);
    assert.match(answer.headers['tidegate-recovered'], /^true/);
  });
});
