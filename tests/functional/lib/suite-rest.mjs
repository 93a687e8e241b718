// suite-rest.mjs - tables and functions with supabase-js.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, test } from 'node:test';

export function defineRestSuite(env) {
  let client;
  let stranger;
  let trip;

  before(async () => {
    client = await env.signedIn(env.getStack().user1);
    stranger = await env.signedIn(env.getStack().user2);
  });

  async function makeTrip() {
    const made = await client
      .from('trips')
      .insert({ name: `Trip ${randomUUID()}` })
      .select();
    assert.equal(made.error, null);
    trip = made.data[0].id;
    return trip;
  }

  async function makeTasks(titles) {
    await makeTrip();
    const rows = titles.map((title, position) => ({ trip_id: trip, title, position }));
    const { error } = await client.from('tasks').insert(rows);
    assert.equal(error, null);
  }

  const tasks = (columns = 'title', options) =>
    client.from('tasks').select(columns, options).eq('trip_id', trip);
  const titlesOf = async (query) => {
    const { data, error } = await query;
    assert.equal(error, null);
    return data.map(({ title }) => title);
  };

  test('insert().select().single() gives the row back', async () => {
    const row = { trip_id: env.getStack().trip1_id, content: 'Grüße, "Lisbon" 🚋' };
    const query = client.from('trip_chat_messages').insert(row).select().single();
    const { data, error, status } = await query;
    assert.equal(error, null);
    assert.equal(status, 201);
    assert.equal(data.content, row.content);
    assert.equal(data.sender_id, env.getStack().user1.id);
    assert.equal(data.deleted_at, null);
    assert.match(data.id, /^[0-9a-f-]{36}$/);
  });

  test('an insert without select answers 201 and no row', async () => {
    const row = { trip_id: env.getStack().trip1_id, content: 'quiet' };
    const answer = await client.from('trip_chat_messages').insert(row);
    assert.deepEqual([answer.error, answer.status, answer.data], [null, 201, null]);
  });

  test('filters choose rows', async () => {
    await makeTasks(['alpha', 'beta', 'gamma', 'de,lta']);
    const order = { ascending: true };
    const sorted = (query) => titlesOf(query.order('position', order));
    assert.deepEqual(await sorted(tasks().eq('title', 'beta')), ['beta']);
    assert.deepEqual(await sorted(tasks().neq('title', 'beta').lt('position', 3)), [
      'alpha',
      'gamma',
    ]);
    assert.deepEqual(await sorted(tasks().gt('position', 1)), ['gamma', 'de,lta']);
    assert.deepEqual(await sorted(tasks().gte('position', 1).lte('position', 2)), [
      'beta',
      'gamma',
    ]);
    assert.deepEqual(await sorted(tasks().like('title', '%,%')), ['de,lta']);
    assert.deepEqual(await sorted(tasks().ilike('title', 'ALPH*')), ['alpha']);
    assert.deepEqual(await sorted(tasks().in('title', ['alpha', 'de,lta'])), ['alpha', 'de,lta']);
    assert.deepEqual(await sorted(tasks().is('assignee_id', null).is('done', false).limit(1)), [
      'alpha',
    ]);
    assert.deepEqual(await sorted(tasks().not('title', 'in', '(alpha,beta)').lt('position', 3)), [
      'gamma',
    ]);
    assert.deepEqual(await sorted(tasks().or('title.eq.alpha,and(position.gt.1,title.like.g*)')), [
      'alpha',
      'gamma',
    ]);
    assert.deepEqual(await sorted(tasks().match({ title: 'beta', position: 1 })), ['beta']);
  });

  test('order, limit, range and count', async () => {
    await makeTasks(['a', 'b', 'c', 'd', 'e']);
    const down = { ascending: false };
    assert.deepEqual(await titlesOf(tasks().order('title', down).limit(2)), ['e', 'd']);
    const page = await tasks('title', { count: 'exact' }).order('title').range(1, 2);
    assert.deepEqual([page.status, page.count, page.data.length], [206, 5, 2]);
    const head = await tasks('*', { count: 'exact', head: true });
    assert.deepEqual([head.count, head.data], [5, null]);
    const beyond = await tasks('title', { count: 'exact' }).range(10, 12);
    assert.equal(beyond.status, 416);
    assert.equal(beyond.error.code, 'PGRST103');
  });

  test('update and delete touch the chosen rows', async () => {
    await makeTasks(['one', 'two']);
    const changed = await client
      .from('tasks')
      .update({ done: true })
      .eq('trip_id', trip)
      .eq('title', 'one')
      .select('title,done');
    assert.deepEqual(changed.data, [{ title: 'one', done: true }]);
    const none = await client.from('tasks').update({ done: true }).eq('id', randomUUID()).select();
    assert.deepEqual([none.status, none.data], [200, []]);
    const gone = await client.from('tasks').delete({ count: 'exact' }).eq('trip_id', trip);
    assert.deepEqual([gone.status, gone.count], [204, 2]);
    assert.deepEqual(await titlesOf(tasks()), []);
  });

  test('upsert merges or ignores what is there', async () => {
    await makeTrip();
    const row = { id: randomUUID(), trip_id: trip, title: 'first' };
    const made = await client.from('tasks').upsert(row).select('title').single();
    assert.deepEqual([made.status, made.data.title], [201, 'first']);
    const merged = await client
      .from('tasks')
      .upsert({ ...row, title: 'second' })
      .select('title');
    assert.deepEqual([merged.status, merged.data], [200, [{ title: 'second' }]]);
    const ignored = await client
      .from('tasks')
      .upsert({ ...row, title: 'third' }, { ignoreDuplicates: true })
      .select('title');
    assert.deepEqual([ignored.status, ignored.data], [201, []]);
    const twice = await client.from('tasks').insert(row);
    assert.deepEqual([twice.status, twice.error.code], [409, '23505']);
  });

  test('single() wants exactly one row, maybeSingle() at most one', async () => {
    await makeTasks(['x', 'y']);
    const many = await tasks().single();
    assert.deepEqual([many.status, many.error.code], [406, 'PGRST116']);
    const none = await tasks().eq('title', 'z').maybeSingle();
    assert.deepEqual([none.error, none.data], [null, null]);
    const one = await tasks('name:title').eq('title', 'x').single();
    assert.deepEqual(one.data, { name: 'x' });
  });

  test('row level security hides and refuses', async () => {
    const { trip1_id: tripId } = env.getStack();
    const seen = await stranger.from('trips').select('id').eq('id', tripId);
    assert.deepEqual(seen.data, []);
    const refused = await stranger
      .from('trip_chat_messages')
      .insert({ trip_id: tripId, content: 'x' });
    assert.deepEqual([refused.status, refused.error.code], [403, '42501']);
    const nobody = env.createClient();
    assert.deepEqual((await nobody.from('trips').select('id')).data, []);
    const anonymous = await nobody.from('tasks').insert({ trip_id: tripId, title: 'x' });
    assert.deepEqual([anonymous.status, anonymous.error.code], [401, '42501']);
  });

  test('the service key sees every row', async () => {
    for (const key of [env.getStack().service_key, env.getStack().secret_key]) {
      const { data, error } = await env.createClient({ key }).from('trips').select('id');
      assert.equal(error, null);
      const ids = data.map(({ id }) => id);
      assert.ok(ids.includes(env.getStack().trip1_id) && ids.includes(env.getStack().trip2_id));
    }
  });

  test('functions are called with and without results', async () => {
    const sum = await client.rpc('add_numbers', { a: 2, b: 40 });
    assert.deepEqual([sum.error, sum.data], [null, 42]);
    const read = await client.rpc('add_numbers', { a: 2 }, { get: true });
    assert.deepEqual([read.error, read.data], [null, 3]);
    const nothing = await client.rpc('do_nothing');
    assert.deepEqual([nothing.status, nothing.error, nothing.data], [204, null, null]);
    const rows = await client
      .rpc('trip_messages', { trip: env.getStack().trip1_id })
      .select('content')
      .limit(1);
    assert.equal(rows.error, null);
    assert.ok(rows.data.length <= 1);
    const raised = await client.rpc('raise_error', { state: 'PT418', message: 'teapot' });
    assert.deepEqual([raised.status, raised.error.message], [418, 'teapot']);
  });

  test('errors carry the code of the database', async () => {
    const table = await client.from('no_such_table').select();
    assert.deepEqual([table.status, table.error.code], [404, 'PGRST205']);
    const column = await client.from('trips').select('nope');
    assert.deepEqual([column.status, column.error.code], [400, '42703']);
    const value = await client.from('trips').select().eq('id', 'nope');
    assert.deepEqual([value.status, value.error.code], [400, '22P02']);
    const parent = await client.from('trip_members').insert({ trip_id: randomUUID() });
    assert.equal(parent.status, 403);
  });

  test('values keep every digit', async () => {
    const label = randomUUID();
    const text =
      `{"label":"${label}","big":9223372036854775807,` +
      '"exact":1234567890123456789.000000000000000001230,"doc":{"n":1.10}}';
    const { access_token: token } = (await client.auth.getSession()).data.session;
    const response = await fetch(`${env.getUrl()}/rest/v1/type_samples?select=big,exact,doc`, {
      method: 'POST',
      body: text,
      headers: {
        apikey: env.getStack().anon_key,
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        prefer: 'return=representation',
      },
    });
    const expected =
      '[{"big":9223372036854775807,"exact":1234567890123456789.000000000000000001230,' +
      '"doc":{"n": 1.10}}]';
    assert.equal(await response.text(), expected);
  });

  test('csv comes as text', async () => {
    await makeTasks(['x']);
    const { data, error } = await tasks('title,done').csv();
    assert.deepEqual([error, data], [null, 'title,done\nx,f']);
  });
}
