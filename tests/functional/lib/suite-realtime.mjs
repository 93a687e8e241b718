// suite-realtime.mjs - what unmodified supabase-js expects of Realtime, at any base URL.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { Inbox } from './inbox.mjs';
import { client, listen } from './supabase.mjs';

const MESSAGES = 'trip_chat_messages';

/** `getContext()`: { url, anon_key, user1, user2, trip1_id, trip2_id }. */
export function defineRealtimeSuite({ name, getContext }) {
  // Channels stay until the end: removing a client's last one closes its socket, and
  // a subscription made while that is under way is lost in the client.
  describe(`${name}: realtime`, () => {
    let ctx;
    let one;
    let two;

    before(async () => {
      ctx = await getContext();
      one = client(ctx, ctx.user1.token);
      two = client(ctx, ctx.user2.token);
    });

    after(async () => {
      await Promise.all([one, two].map((c) => c.removeAllChannels()));
      await Promise.all([one, two].map((c) => c.realtime.disconnect()));
    });

    async function post(supabase, tripId, content) {
      const { data, error } = await supabase
        .from(MESSAGES)
        .insert({ trip_id: tripId, content })
        .select()
        .single();
      assert.equal(error, null);
      return data;
    }

    const changeOf =
      (type, id) =>
      ({ change }) =>
        change?.eventType === type && (change.new.id ?? change.old.id) === id;

    test('INSERT, UPDATE and DELETE arrive in order with their rows', async () => {
      const filter = { event: '*', schema: 'public', table: MESSAGES };
      const { inbox } = await listen(one, `rows-${randomUUID()}`, { changes: [filter] });
      const row = await post(one, ctx.trip1_id, 'first');
      const changed = await one.from(MESSAGES).update({ content: 'second' }).eq('id', row.id);
      assert.equal(changed.error, null);
      const updated = await inbox.take(changeOf('UPDATE', row.id), { what: 'UPDATE' });
      const removed = await one.from(MESSAGES).delete().eq('id', row.id);
      assert.equal(removed.error, null);
      await inbox.take(changeOf('DELETE', row.id), { what: 'DELETE' });
      const mine = inbox.items.filter(
        ({ change }) => change && (change.new.id ?? change.old.id) === row.id,
      );
      assert.deepEqual(
        mine.map(({ change }) => change.eventType),
        ['INSERT', 'UPDATE', 'DELETE'],
      );
      assert.equal(mine[0].change.new.content, 'first');
      assert.equal(mine[0].change.errors, null);
      assert.equal(updated.change.new.content, 'second');
      assert.deepEqual(updated.change.old, { id: row.id });
      assert.deepEqual(mine[2].change.old, { id: row.id });
    });

    test('a filter lets only its rows through', async () => {
      const wanted = randomUUID();
      const filter = {
        event: 'INSERT',
        schema: 'public',
        table: 'events',
        filter: `kind=eq.${wanted}`,
      };
      const { inbox } = await listen(one, `filter-${wanted}`, { changes: [filter] });
      const rows = ['other', wanted, 'other', wanted].map((kind, n) => ({
        trip_id: ctx.trip1_id,
        kind,
        payload: { n },
      }));
      assert.equal((await one.from('events').insert(rows)).error, null);
      const got = await inbox.takeMany(2, (item) => item.change);
      assert.deepEqual(
        got.map(({ change }) => change.new.payload.n),
        [1, 3],
      );
    });

    test('another user gets nothing of a trip that is not theirs', async () => {
      const filter = { event: 'INSERT', schema: 'public', table: MESSAGES };
      const topic = `rls-${randomUUID()}`;
      const mine = await listen(one, topic, { changes: [filter] });
      const theirs = await listen(two, topic, { changes: [filter] });
      const secret = await post(one, ctx.trip1_id, 'for trip 1 only');
      const own = await post(two, ctx.trip2_id, 'for trip 2 only');
      await mine.inbox.take(changeOf('INSERT', secret.id));
      await theirs.inbox.take(changeOf('INSERT', own.id));
      const ids = (inbox) => inbox.items.filter((i) => i.change).map((i) => i.change.new.id);
      assert.deepEqual(ids(theirs.inbox), [own.id]);
      assert.deepEqual(ids(mine.inbox), [secret.id]);
    });

    test('a broadcast reaches the others, is acknowledged, and comes back with self', async () => {
      const topic = `talk-${randomUUID()}`;
      const config = { broadcast: { ack: true, self: true } };
      const sender = await listen(one, topic, { events: ['note'], config });
      const receiver = await listen(two, topic, { events: ['note'] });
      const payload = { text: 'gr\u00fc\u00df', n: 7 };
      const sent = await sender.channel.send({ type: 'broadcast', event: 'note', payload });
      assert.equal(sent, 'ok');
      for (const { inbox } of [sender, receiver]) {
        const { broadcast } = await inbox.take((item) => item.broadcast);
        assert.deepEqual(broadcast.payload, payload);
      }
    });

    test('a broadcast by HTTP reaches those who joined', async () => {
      const topic = `http-${randomUUID()}`;
      const receiver = await listen(two, topic, { events: ['note'] });
      const unjoined = one.channel(topic);
      const sent = await unjoined.send({ type: 'broadcast', event: 'note', payload: { n: 1 } });
      assert.equal(sent, 'ok');
      const { broadcast } = await receiver.inbox.take((item) => item.broadcast);
      assert.deepEqual(broadcast.payload, { n: 1 });
    });

    test('presence shows who is here, who came and who left', async () => {
      const topic = `room-${randomUUID()}`;
      const seen = new Inbox('presence');
      const watcher = one.channel(topic, { config: { presence: { key: 'one' } } });
      watcher.on('presence', { event: 'sync' }, () => seen.push({ ...watcher.presenceState() }));
      watcher.on('presence', { event: 'leave' }, ({ key }) => seen.push({ left: key }));
      const joined = new Inbox('watcher');
      watcher.subscribe((status) => joined.push({ status }));
      await joined.take(({ status }) => status === 'SUBSCRIBED');
      assert.equal(await watcher.track({ name: 'Ada' }), 'ok');
      const visitor = await listen(two, topic, { config: { presence: { key: 'two' } } });
      assert.equal(await visitor.channel.track({ name: 'Bo' }), 'ok');
      const both = await seen.take((state) => state.one && state.two, { what: 'both' });
      assert.equal(both.one[0].name, 'Ada');
      assert.equal(both.two[0].name, 'Bo');
      assert.equal(typeof both.two[0].presence_ref, 'string');
      await visitor.channel.unsubscribe();
      await seen.take(({ left }) => left === 'two', { what: 'the leave' });
    });
  });
}
