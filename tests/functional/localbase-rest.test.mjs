// The PostgREST part of the local stack: what its answers look like on the wire.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { createCaller, useLocalbase } from './lib/localbase.mjs';

const stack = useLocalbase();
const anyone = createCaller(
  () => stack.url,
  () => stack.anon_key,
);
const call = (method, path, options = {}) =>
  anyone(method, `/rest/v1${path}`, { token: stack.user1.token, ...options });
const prefer = (...values) => ({ prefer: values.join(',') });
const REPRESENTATION = prefer('return=representation');
const SINGLE = { accept: 'application/vnd.pgrst.object+json' };

let db;
before(async () => {
  db = await stack.connect();
});

/** Rows of one label, so that tests do not see each other's. */
async function makeRows(n) {
  const tag = randomUUID();
  const rows = Array.from({ length: n }, (_, i) => ({
    label: `${tag.slice(0, 30)}-${i}`,
    big: i,
    tags: [tag],
  }));
  const { status } = await call('POST', '/type_samples', { body: rows });
  assert.equal(status, 201);
  return `tags=cs.{${tag}}`;
}

describe('reads', () => {
  test('Content-Range, 206 and 416 follow the total', async () => {
    const mine = await makeRows(5);
    const exact = prefer('count=exact');
    for (const [query, headers, status, range, length] of [
      ['', {}, 200, '0-4/*', 5],
      ['', exact, 200, '0-4/5', 5],
      ['&limit=2', {}, 200, '0-1/*', 2],
      ['&limit=2', exact, 206, '0-1/5', 2],
      ['&limit=2&offset=3', exact, 206, '3-4/5', 2],
      ['&offset=5', exact, 206, '*/5', 0],
      ['&offset=6', {}, 200, '*/*', 0],
      ['', { ...exact, range: '1-2' }, 206, '1-2/5', 2],
      ['', { range: '3-' }, 200, '3-4/*', 2],
      ['&big=gt.100', exact, 200, '*/0', 0],
    ]) {
      const answer = await call('GET', `/type_samples?select=big&${mine}${query}`, { headers });
      const seen = [answer.status, answer.headers.get('content-range'), answer.json.length];
      assert.deepEqual(seen, [status, range, length], `${query} ${JSON.stringify(headers)}`);
    }
    const beyond = await call('GET', `/type_samples?${mine}&offset=6`, { headers: exact });
    assert.deepEqual([beyond.status, beyond.json.code], [416, 'PGRST103']);
    assert.equal(beyond.headers.get('content-range'), '*/5');
    const backwards = await call('GET', `/type_samples?${mine}`, { headers: { range: '5-2' } });
    assert.deepEqual([backwards.status, backwards.json.code], [416, 'PGRST103']);
  });

  test('HEAD says what GET says, without a body', async () => {
    const mine = await makeRows(3);
    const answer = await call('HEAD', `/type_samples?${mine}&limit=1`, {
      headers: prefer('count=exact'),
    });
    assert.deepEqual([answer.status, answer.text], [206, '']);
    assert.equal(answer.headers.get('content-range'), '0-0/3');
    assert.equal(answer.headers.get('preference-applied'), 'count=exact');
  });

  test('headers of a read', async () => {
    const { headers } = await call('GET', '/trips?select=id&order=id');
    assert.equal(headers.get('content-type'), 'application/json; charset=utf-8');
    assert.equal(headers.get('content-location'), '/trips?order=id&select=id');
    assert.equal(headers.get('vary'), 'Accept, Prefer, Range');
    assert.equal(headers.get('content-profile'), 'public');
    assert.equal(headers.get('etag'), null);
    assert.equal(headers.get('access-control-allow-origin'), '*');
  });

  test('rows are separated as json_agg does', async () => {
    const mine = await makeRows(2);
    const { text } = await call('GET', `/type_samples?select=big&${mine}&order=big`);
    assert.equal(text, '[{"big":0}, \n {"big":1}]');
  });

  test('columns can be renamed, cast and reached into', async () => {
    const label = randomUUID();
    const doc = { a: { b: [10, 'x'] } };
    await call('POST', '/type_samples', { body: { label, doc, exact: 1.5 } });
    const select = 'name:label,exact::text,doc->a->b->0,last:doc->a->b->>1';
    const { json } = await call('GET', `/type_samples?select=${select}&label=eq.${label}`);
    assert.deepEqual(json, [{ name: label, exact: '1.5', b: 10, last: 'x' }]);
    const path = `/type_samples?select=label&doc->a->b->>1=eq.x&label=eq.${label}`;
    assert.equal((await call('GET', path)).json.length, 1);
  });

  test('filters of every operator choose what SQL would', async () => {
    const mine = await makeRows(6);
    const bigs = async (query) => {
      const answer = await call('GET', `/type_samples?select=big&order=big&${mine}&${query}`);
      assert.equal(answer.status, 200, answer.text);
      return answer.json.map(({ big }) => big);
    };
    for (const [query, expected] of [
      ['big=gte.4', [4, 5]],
      ['big=not.gte.2', [0, 1]],
      ['big=in.(1,3,99)', [1, 3]],
      ['big=not.in.(1,2,3,4,5)', [0]],
      ['big=gt.1&big=lt.4', [2, 3]],
      ['big=eq(any).{1,2}', [1, 2]],
      ['big=gt(all).{1,3}', [4, 5]],
      ['label=like.*-3', [3]],
      ['label=like(any).{*-3,*-4}', [3, 4]],
      ['label=match.-[12]$', [1, 2]],
      ['exact=is.null&big=lt.1', [0]],
      ['exact=is.not_null', []],
      ['exact=isdistinct.1&big=eq.0', [0]],
      ['or=(big.eq.1,big.eq.2)', [1, 2]],
      ['not.or=(big.lt.3,big.gt.4)', [3, 4]],
      ['or=(and(big.gt.0,big.lt.2),not.and(big.gte.0,big.lt.5))', [1, 5]],
      ['or=(big.in.(0,1),label.like."*-5")', [0, 1, 5]],
      ['and=(big.not.eq.0,big.not.in.(1,2,3,4))', [5]],
      ['or=(tags.cs.{none},big.eq.2)', [2]],
    ]) {
      assert.deepEqual(await bigs(query), expected, query);
    }
  });

  test('CSV quotes what needs it', async () => {
    const label = `a,"b" ${randomUUID().slice(0, 8)}`;
    await call('POST', '/type_samples', { body: { label } });
    const path = `/type_samples?select=label,flag&label=eq.${encodeURIComponent(label)}`;
    const { text } = await call('GET', path, { headers: { accept: 'text/csv' } });
    assert.equal(text, `label,flag\n"a,""b"" ${label.slice(-8)}",`);
  });

  test('nulls can be left out', async () => {
    const label = randomUUID();
    await call('POST', '/type_samples', { body: { label } });
    const headers = { accept: 'application/vnd.pgrst.array+json;nulls=stripped' };
    const { json } = await call('GET', `/type_samples?select=label,big&label=eq.${label}`, {
      headers,
    });
    assert.deepEqual(json, [{ label }]);
  });
});

describe('writes', () => {
  const row = (more = {}) => ({ id: randomUUID(), trip_id: stack.trip1_id, title: 't', ...more });

  test('return= decides the body and Location', async () => {
    const minimal = await call('POST', '/tasks', { body: row() });
    assert.deepEqual([minimal.status, minimal.text], [201, '']);
    assert.equal(minimal.headers.get('content-range'), '*/*');
    assert.equal(minimal.headers.get('content-type'), null);
    const body = row();
    const headers = prefer('return=headers-only');
    const located = await call('POST', '/tasks', { body, headers });
    assert.equal(located.headers.get('location'), `/tasks?id=eq.${body.id}`);
    assert.equal(located.headers.get('preference-applied'), 'return=headers-only');
    const full = await call('POST', '/tasks?select=title', {
      body: row(),
      headers: REPRESENTATION,
    });
    assert.deepEqual(full.json, [{ title: 't' }]);
  });

  test('an empty array inserts nothing and is no error', async () => {
    const answer = await call('POST', '/tasks', { body: [], headers: REPRESENTATION });
    assert.deepEqual([answer.status, answer.json], [201, []]);
  });

  test('a bulk insert is all or nothing', async () => {
    const good = row();
    const bad = await call('POST', '/tasks', { body: [good, row({ title: null })] });
    assert.deepEqual([bad.status, bad.json.code], [400, '23502']);
    assert.deepEqual((await call('GET', `/tasks?id=eq.${good.id}`)).json, []);
  });

  test('absent keys are NULL, or the default when asked', async () => {
    const headers = prefer('return=representation', 'missing=default');
    const body = [
      { trip_id: stack.trip1_id, title: 'a' },
      { trip_id: stack.trip1_id, title: 'b', position: 4 },
    ];
    const path = '/tasks?columns=trip_id,title,position&select=title,position';
    const filled = await call('POST', path, { body, headers });
    assert.deepEqual(filled.json, [
      { title: 'a', position: 0 },
      { title: 'b', position: 4 },
    ]);
    const nulls = await call('POST', path, { body });
    assert.deepEqual([nulls.status, nulls.json.code], [400, '23502']);
  });

  test('ignore-duplicates answers 201 and an empty array', async () => {
    const body = row();
    const headers = prefer('resolution=ignore-duplicates', 'return=representation', 'count=exact');
    const first = await call('POST', '/tasks?on_conflict=id', { body, headers });
    assert.deepEqual([first.status, first.json.length], [201, 1]);
    const second = await call('POST', '/tasks?on_conflict=id', { body, headers });
    assert.deepEqual([second.status, second.json], [201, []]);
    assert.equal(second.headers.get('content-range'), '*/0');
    const applied = 'resolution=ignore-duplicates, return=representation, count=exact';
    assert.equal(second.headers.get('preference-applied'), applied);
    const single = await call('POST', '/tasks?on_conflict=id', {
      body,
      headers: { ...headers, ...SINGLE },
    });
    assert.deepEqual([single.status, single.json.code], [406, 'PGRST116']);
  });

  test('a duplicate of a row that one may not see looks ignored too', async () => {
    const body = row({ trip_id: stack.trip2_id });
    await db.query('insert into tasks (id, trip_id, title) values ($1, $2, $3)', [
      body.id,
      body.trip_id,
      'x',
    ]);
    const mine = { ...body, trip_id: stack.trip1_id };
    const headers = prefer('resolution=ignore-duplicates', 'return=representation');
    const ignored = await call('POST', '/tasks?on_conflict=id', { body: mine, headers });
    assert.deepEqual([ignored.status, ignored.json], [201, []]);
    assert.deepEqual((await call('GET', `/tasks?id=eq.${body.id}`)).json, []);
    const merged = await call('POST', '/tasks', {
      body: mine,
      headers: prefer('resolution=merge-duplicates'),
    });
    assert.deepEqual([merged.status, merged.json.code], [403, '42501']);
  });

  test('merge-duplicates answers 201 when it inserted and 200 when all existed', async () => {
    const body = row();
    const headers = prefer('resolution=merge-duplicates');
    assert.equal((await call('POST', '/tasks', { body, headers })).status, 201);
    assert.equal((await call('POST', '/tasks', { body: [body], headers })).status, 200);
    assert.equal((await call('POST', '/tasks', { body: [body, row()], headers })).status, 201);
    const twice = await call('POST', '/tasks', { body: [body, body], headers });
    assert.deepEqual([twice.status, twice.json.code], [500, '21000']);
    const wrong = await call('POST', '/tasks?on_conflict=title', { body, headers });
    assert.deepEqual([wrong.status, wrong.json.code], [400, '42P10']);
  });

  test('PATCH and DELETE answer the rows, and no match is no error', async () => {
    const body = row();
    await call('POST', '/tasks', { body });
    const patch = await call('PATCH', `/tasks?id=eq.${body.id}`, { body: { done: true } });
    assert.deepEqual(
      [patch.status, patch.text, patch.headers.get('content-range')],
      [204, '', '0-0/*'],
    );
    const none = await call('PATCH', `/tasks?id=eq.${randomUUID()}`, {
      body: { done: true },
      headers: REPRESENTATION,
    });
    assert.deepEqual([none.status, none.json, none.headers.get('content-range')], [200, [], '*/*']);
    const empty = await call('PATCH', `/tasks?id=eq.${body.id}`, {
      body: {},
      headers: REPRESENTATION,
    });
    assert.deepEqual([empty.status, empty.json], [200, []]);
    const gone = await call('DELETE', `/tasks?id=eq.${body.id}`, { headers: REPRESENTATION });
    assert.deepEqual([gone.status, gone.json[0].done], [200, true]);
    assert.equal((await call('DELETE', `/tasks?id=eq.${body.id}`)).status, 204);
  });

  test('compare-and-set lets exactly one of many through', async () => {
    const body = row();
    const made = await call('POST', '/tasks', { body, headers: REPRESENTATION });
    const base = encodeURIComponent(made.json[0].updated_at);
    const path = `/tasks?id=eq.${body.id}&updated_at=eq.${base}`;
    const headers = prefer('return=representation', 'handling=strict', 'max-affected=1');
    const tries = Array.from({ length: 8 }, (_, i) =>
      call('PATCH', path, { body: { title: `try ${i}` }, headers }),
    );
    const answers = await Promise.all(tries);
    assert.ok(answers.every(({ status }) => status === 200));
    assert.equal(answers.filter(({ json }) => json.length === 1).length, 1);
  });

  test('too many rows for max-affected or a single object roll back', async () => {
    const rows = [row({ title: 'many' }), row({ title: 'many' })];
    const ids = `id=in.(${rows.map(({ id }) => id)})`;
    await call('POST', '/tasks', { body: rows });
    const capped = prefer('handling=strict', 'max-affected=1');
    const refused = await call('PATCH', `/tasks?${ids}`, { body: { done: true }, headers: capped });
    assert.deepEqual([refused.status, refused.json.code], [400, 'PGRST124']);
    const single = await call('PATCH', `/tasks?${ids}`, {
      body: { done: true },
      headers: { ...REPRESENTATION, ...SINGLE },
    });
    assert.deepEqual([single.status, single.json.code], [406, 'PGRST116']);
    const { json } = await call('GET', `/tasks?${ids}&done=is.true`);
    assert.deepEqual(json, []);
  });

  test('PUT writes one whole row', async () => {
    const id = randomUUID();
    const body = { id, user_id: stack.user1.id, note: 'first' };
    const path = `/private_notes?id=eq.${id}`;
    const made = await call('PUT', path, { body, headers: REPRESENTATION });
    assert.deepEqual([made.status, made.json], [201, [body]]);
    const again = await call('PUT', path, {
      body: { ...body, note: 'second' },
      headers: REPRESENTATION,
    });
    assert.deepEqual([again.status, again.json[0].note], [200, 'second']);
    assert.equal((await call('PUT', path, { body })).status, 204);
    const other = await call('PUT', path, { body: { ...body, id: randomUUID() } });
    assert.deepEqual([other.status, other.json.code], [400, 'PGRST115']);
    const vague = await call('PUT', '/private_notes?note=eq.x', { body });
    assert.deepEqual([vague.status, vague.json.code], [405, 'PGRST105']);
  });
});

describe('functions', () => {
  test('results are scalars, objects, arrays or nothing', async () => {
    const rpc = (name, body, options = {}) => call('POST', `/rpc/${name}`, { body, ...options });
    assert.equal(
      (await rpc('add_numbers', '{"a":12345678901234567890.5}')).text,
      '12345678901234567891.5',
    );
    const message = await rpc('post_message', { trip: stack.trip1_id, content: 'by rpc' });
    assert.deepEqual([message.status, message.json.content], [200, 'by rpc']);
    const list = await rpc('trip_messages?select=content&content=eq.by rpc', {
      trip: stack.trip1_id,
    });
    assert.deepEqual(list.json, [{ content: 'by rpc' }]);
    const single = await rpc(
      'trip_messages?content=eq.nothing',
      { trip: stack.trip1_id },
      { headers: SINGLE },
    );
    assert.deepEqual([single.status, single.json.code], [406, 'PGRST116']);
    const nothing = await rpc('do_nothing', {});
    assert.deepEqual([nothing.status, nothing.text], [204, '']);
  });

  test('GET passes arguments in the query and may not write', async () => {
    assert.equal((await call('GET', '/rpc/add_numbers?a=40&b=2')).text, '42');
    const write = await call('GET', `/rpc/post_message?trip=${stack.trip1_id}&content=x`);
    assert.deepEqual([write.status, write.json.code], [405, '25006']);
  });

  test('an unknown function or argument is named', async () => {
    const unknown = await call('POST', '/rpc/nope', { body: {} });
    assert.deepEqual([unknown.status, unknown.json.code], [404, 'PGRST202']);
    const extra = await call('POST', '/rpc/add_numbers', { body: { a: 1, c: 2 } });
    assert.match(extra.json.message, /public\.add_numbers\(a, c\)/);
    const verb = await call('PATCH', '/rpc/add_numbers', { body: { a: 1 } });
    assert.deepEqual([verb.status, verb.json.code], [405, 'PGRST101']);
  });

  test('SQL sees who asks and how', async () => {
    const headers = { 'x-trace': 'abc', cookie: 'a=1; b=2' };
    const { json } = await call('GET', '/rpc/whoami', { headers });
    assert.deepEqual(
      [json.uid, json.role, json.user, json.method, json.path],
      [stack.user1.id, 'authenticated', 'authenticated', 'GET', '/rpc/whoami'],
    );
    assert.equal(json.headers['x-trace'], 'abc');
    assert.equal(json.headers.cookie, undefined);
  });

  test('a function chooses status and headers', async () => {
    await db.query(`create function public.choose() returns text language plpgsql volatile as $$
      begin
        perform set_config('response.status', '299', true);
        perform set_config('response.headers', '[{"X-Chosen": "yes"}]', true);
        return 'ok';
      end $$`);
    const answer = await call('POST', '/rpc/choose', { body: {} });
    assert.deepEqual(
      [answer.status, answer.headers.get('x-chosen'), answer.json],
      [299, 'yes', 'ok'],
    );
  });
});

describe('errors', () => {
  test('a body that is too large is refused and the connection lives on', async () => {
    const body = `[${'{"title":"x"},'.repeat(2_500_000)}{"title":"x"}]`;
    const answer = await call('POST', '/tasks', { body });
    assert.equal(answer.status, 413);
  });

  const raise = (state, options) =>
    call('POST', '/rpc/raise_error', { body: { state, message: 'raised' }, ...options });

  test('each SQLSTATE has its status', async () => {
    const table = {
      '08006': 503,
      '09000': 500,
      '0L000': 403,
      '0P000': 403,
      23503: 409,
      23505: 409,
      23502: 400,
      23514: 400,
      25006: 405,
      21000: 500,
      22023: 400,
      22012: 400,
      28000: 403,
      '2D000': 500,
      40001: 500,
      '40P01': 500,
      42501: 403,
      42883: 404,
      '42P01': 404,
      '42P17': 500,
      42703: 400,
      53100: 503,
      53400: 500,
      54000: 500,
      '55P03': 500,
      57014: 500,
      '57P01': 503,
      58000: 500,
      P0001: 400,
      P0002: 500,
      XX000: 500,
      '0A000': 400,
      '23P01': 400,
      PT402: 402,
      PT503: 503,
    };
    for (const [state, status] of Object.entries(table)) {
      const answer = await raise(state);
      assert.equal(answer.status, status, state);
      const body = { code: state, details: 'the detail', hint: 'the hint', message: 'raised' };
      assert.deepEqual(answer.json, body);
      assert.equal(answer.headers.get('proxy-status'), `PostgREST; error=${state}`);
      assert.equal(answer.headers.has('retry-after'), status === 503);
    }
  });

  test('42501 is 401 for nobody and 403 for somebody', async () => {
    const nobody = await raise('42501', { token: stack.anon_key });
    assert.deepEqual([nobody.status, nobody.headers.get('www-authenticate')], [401, 'Bearer']);
    assert.equal((await raise('42501')).status, 403);
  });

  test('the PGRST state says everything itself', async () => {
    await db.query(`create function public.teapot() returns void language plpgsql volatile as $$
      begin
        raise sqlstate 'PGRST' using
          message = '{"code":"tea","message":"short","details":"and","hint":"stout"}',
          detail = '{"status":418,"headers":{"X-Pot":"1"}}';
      end $$`);
    const answer = await call('POST', '/rpc/teapot', { body: {} });
    assert.deepEqual([answer.status, answer.headers.get('x-pot')], [418, '1']);
    assert.deepEqual(answer.json, { code: 'tea', details: 'and', hint: 'stout', message: 'short' });
  });

  test('tokens are refused as PostgREST words it', async () => {
    const at = (seconds) => Math.floor(Date.now() / 1000) + seconds;
    const sign = (claims, alg) =>
      stack.control.signJwt({ role: 'authenticated', exp: at(60), ...claims }, alg);
    const parts = stack.user1.token.split('.');
    const none = [Buffer.from('{"alg":"none"}').toString('base64url'), parts[1], ''].join('.');
    const cases = [
      ['a.b', 'PGRST301', 'Expected 3 parts in JWT; got 2'],
      [
        `${parts[0]}.${parts[1]}.${'A'.repeat(43)}`,
        'PGRST301',
        'No suitable key or wrong key type',
      ],
      [none, 'PGRST301', 'Wrong or unsupported encoding algorithm'],
      [await sign({ exp: at(-60) }), 'PGRST303', 'JWT expired'],
      [await sign({ nbf: at(90) }), 'PGRST303', 'JWT not yet valid'],
      [await sign({ iat: at(90) }), 'PGRST303', 'JWT issued at future'],
    ];
    for (const [token, code, message] of cases) {
      const answer = await call('GET', '/trips', { token });
      assert.deepEqual(
        [answer.status, answer.json.code, answer.json.message],
        [401, code, message],
      );
      const challenge = `Bearer error="invalid_token", error_description="${message}"`;
      assert.equal(answer.headers.get('www-authenticate'), challenge);
    }
    const skewed = await sign({ exp: at(-10), sub: stack.user1.id });
    assert.equal((await call('GET', '/trips', { token: skewed })).status, 200);
    for (const alg of ['ES256', 'RS256']) {
      const token = await sign({ sub: stack.user1.id }, alg);
      assert.equal((await call('GET', '/trips', { token })).json.length > 0, true);
    }
  });

  test('a role must exist and be granted', async () => {
    const exp = Math.floor(Date.now() / 1000) + 60;
    const unknown = await stack.control.signJwt({ role: 'nobody_here', exp });
    const missing = await call('GET', '/trips', { token: unknown });
    assert.deepEqual([missing.status, missing.json.code], [401, '22023']);
    const forbidden = await stack.control.signJwt({ role: 'postgres', exp });
    const refused = await call('GET', '/trips', { token: forbidden });
    assert.deepEqual([refused.status, refused.json.code], [403, '42501']);
  });

  for (const [name, method, path, options, status, code] of [
    ['unknown table', 'GET', '/tasksx', {}, 404, 'PGRST205'],
    ['deeper path', 'GET', '/tasks/1', {}, 404, 'PGRST125'],
    ['unknown filter column', 'GET', '/tasks?nope=eq.1', {}, 400, '42703'],
    ['bad escape in the path', 'GET', '/%zz', {}, 404, 'PGRST125'],
    ['bad escape in the query', 'GET', '/tasks?title=eq.%zz', {}, 400, 'PGRST100'],
    ['NUL in a name', 'GET', '/tasks?ti%00tle=eq.x', {}, 400, 'PGRST100'],
    ['bad operator', 'GET', '/tasks?title=is_like.x', {}, 400, 'PGRST100'],
    ['bad logic', 'GET', '/tasks?or=(a.eq.1', {}, 400, 'PGRST100'],
    ['bad list', 'GET', '/tasks?title=in.a', {}, 400, 'PGRST100'],
    ['bad order', 'GET', '/tasks?order=title.up', {}, 400, 'PGRST100'],
    ['bad limit', 'GET', '/tasks?limit=x', {}, 400, 'PGRST100'],
    [
      'raw plus in a time',
      'GET',
      '/tasks?created_at=gt.2026-01-01T00:00:00+00:00',
      {},
      400,
      '22007',
    ],
    ['embedding', 'GET', '/tasks?select=*,trips(*)', {}, 400, 'PGRST200'],
    ['unknown key', 'POST', '/tasks', { body: { nope: 1 } }, 400, 'PGRST204'],
    [
      'keys that differ',
      'POST',
      '/tasks',
      { body: [{ title: 'a' }, { done: true }] },
      400,
      'PGRST102',
    ],
    ['no JSON', 'POST', '/tasks', { body: '{' }, 400, 'PGRST102'],
    [
      'other content',
      'POST',
      '/tasks',
      { body: 'x', headers: { 'content-type': 'text/plain' } },
      400,
      'PGRST102',
    ],
    ['update of everything', 'PATCH', '/tasks', { body: { done: true } }, 400, '21000'],
    ['delete of everything', 'DELETE', '/tasks', {}, 400, '21000'],
    ['other schema', 'GET', '/tasks', { headers: { 'accept-profile': 'auth' } }, 406, 'PGRST106'],
    ['other media', 'GET', '/tasks', { headers: { accept: 'text/html' } }, 406, 'PGRST107'],
    [
      'unknown preference',
      'GET',
      '/tasks',
      { headers: { prefer: 'handling=strict, foo' } },
      400,
      'PGRST122',
    ],
    [
      'missing parent',
      'POST',
      '/events',
      { body: { trip_id: randomUUID(), kind: 'x' } },
      403,
      '42501',
    ],
  ]) {
    test(`${name}: ${status} ${code}`, async () => {
      const answer = await call(method, path, options);
      assert.deepEqual([answer.status, answer.json.code], [status, code]);
      assert.deepEqual(Object.keys(answer.json), ['code', 'details', 'hint', 'message']);
    });
  }

  test('a new table is found at once', async () => {
    assert.equal((await call('GET', '/born_later')).status, 404);
    await db.query('create table public.born_later (id int primary key)');
    assert.deepEqual((await call('GET', '/born_later')).json, []);
  });

  test('a slow statement of nobody is cut after three seconds', async () => {
    await db.query(`create or replace function public.nap() returns void language sql volatile as
      $$ select pg_sleep(20) $$`);
    const answer = await call('POST', '/rpc/nap', { token: stack.anon_key, body: {} });
    assert.deepEqual([answer.status, answer.json.code], [500, '57014']);
  });

  test('OPTIONS names the methods', async () => {
    const answer = await call('OPTIONS', '/tasks');
    assert.deepEqual(
      [answer.status, answer.headers.get('allow')],
      [200, 'OPTIONS,GET,HEAD,POST,PUT,PATCH,DELETE'],
    );
  });
});
