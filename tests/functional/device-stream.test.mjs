// Devices on a stream: registered by first use, resumed without a cursor from what they
// acknowledged, each user's own. On both stores.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { useLocalbase } from './lib/localbase.mjs';
import { startRedis } from './lib/redis.mjs';
import { openStream } from './lib/sse.mjs';
import { named, placeGateway, TASKS, titles, Writer } from './lib/streams.mjs';

const stack = useLocalbase();
let counter = 0;

async function setUp(t, kind, settings = {}) {
  const store = kind === 'redis' ? { url: (await startRedis(t)).url } : {};
  const gateway = await placeGateway(t, stack, {
    ...settings,
    store: { ...store, ...settings.store },
  });
  const open = async (more = {}) => {
    const s = await openStream(gateway.url, { topics: TASKS, token: stack.user1.token, ...more });
    t.after(() => s.kill());
    s.hello = await s.take('hello');
    return s;
  };
  const writer = await Writer.to(stack);
  /** Rows that `s` has seen come. */
  const write = async (s, n = 1) => {
    const wanted = named(`d${++counter}`, n);
    await writer.tasks(wanted);
    for (const title of wanted) {
      await s.take('message', (e) => e.data.record.title === title, { timeoutMs: 20_000 });
    }
    return wanted;
  };
  return { gateway, open, writer, write };
}

for (const kind of ['memory', 'redis']) {
  describe(`a device on the ${kind} store`, () => {
    test('is told its id in hello', async (t) => {
      const { open } = await setUp(t, kind);
      const s = await open({ params: { device: 'phone' } });
      assert.deepEqual(s.hello.data.device, { id: 'phone' });
      assert.equal(s.headers['tidegate-device'], undefined, 'nothing was issued');
    });

    test('resumes without a cursor from the one it came with before', async (t) => {
      const { open, write } = await setUp(t, kind);
      const live = await open();
      const first = await open({ params: { device: 'phone' } });
      await write(first);
      const seen = first.lastId;
      first.kill();
      const missed = await write(live, 3);
      const second = await open({ lastEventId: seen, params: { device: 'phone' } });
      await second.take('message', (e) => e.data.record.title === missed[2]);
      second.kill();
      const third = await open({ params: { device: 'phone' } });
      await third.take('message', (e) => e.data.record.title === missed[2]);
      assert.deepEqual(titles(third.rows), missed, 'behind the acknowledged cursor, nothing less');
      assert.equal(third.headers['tidegate-recovered'], 'true');
      assert.equal(third.hello.data.topics[0].recovered, true);
    });
  });
}
