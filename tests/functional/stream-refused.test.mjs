// Streams that cannot be: each gets a clear answer in the gateway's own form.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { inFrontOf, useGateway } from './lib/gateway.mjs';
import { Client } from './lib/http1.mjs';
import { useLocalbase } from './lib/localbase.mjs';
import { openStream, streamPath } from './lib/sse.mjs';
import { named, placeGateway, TASKS, until, Writer } from './lib/streams.mjs';

const stack = useLocalbase();
const gateway = useGateway(async () => {
  await stack.ready;
  return inFrontOf(stack, { server: { workers: 1 }, streams: { token_grace: '0' } });
});

/** The error that opening a stream gives. */
async function refusal(options, at = gateway.url) {
  let error = null;
  try {
    const s = await openStream(at, { topics: TASKS, token: stack.user1.token, ...options });
    s.kill();
  } catch (caught) {
    error = caught;
  }
  assert.ok(error?.status, `not refused: ${error}`);
  assert.match(error.headers['content-type'], /^application\/json/);
  assert.ok(error.headers['x-request-id']);
  assert.match(error.json.code, /^TG/);
  assert.equal(typeof error.json.message, 'string');
  return error;
}

const now = () => Math.floor(Date.now() / 1000);

function claims(more = {}) {
  return {
    sub: stack.user1.id,
    aud: 'authenticated',
    role: 'authenticated',
    iat: now(),
    exp: now() + 3600,
    ...more,
  };
}

describe('a topic', () => {
  const bad = {
    'without a table': ['table:', 'table:public', 'table:public.', 'table:.tasks', 'public.tasks'],
    'of an unknown kind': ['tasks', 'trip-messages:42', 'inbox', ':', ''],
    'with wildcards': ['table:*', 'table:public.*', 'table:*.tasks'],
    'with an empty filter': ['table:public.tasks:', 'table:public.tasks: '],
    'with a bad filter': [
      'table:public.tasks:title',
      'table:public.tasks:title=eq',
      'table:public.tasks:title=eq.',
      'table:public.tasks:title=is_like.x',
      'table:public.tasks:=eq.x',
      'table:public.tasks:title=in.x',
      'table:public.tasks:title=in.(a',
      'table:public.tasks:title=eq."x',
      `table:public.tasks:id=in.(${named('v', 101).join()})`,
      `table:public.tasks:${named('c', 17).map((c) => `c${c.slice(2)}=eq.1`).join()}`,
    ],
    'with control characters': ['table:public.tasks:title=eq.a\nb', 'table:public.ta\0sks'],
    'that is too long': [`table:public.tasks:title=eq.${'x'.repeat(500)}`],
  };
  for (const [what, topics] of Object.entries(bad)) {
    test(`${what} is 400 at once`, async () => {
      for (const topic of topics) {
        const { status, json } = await refusal({ topics: topic });
        assert.equal(status, 400, topic);
        assert.ok(json.details.length > 10, json.details);
      }
    });
  }

  test('that is not UTF-8 is 400', async () => {
    for (const raw of ['%FF', 'table:public.tasks:title=eq.%C3%28', 'table:public.%ED%A0%80']) {
      const response = await fetch(`${gateway.url}/sync/v1/stream?topic=${raw}`, {
        headers: { authorization: `Bearer ${stack.user1.token}` },
      });
      assert.equal(response.status, 400);
      assert.match((await response.json()).code, /^TG/);
    }
  });

  test('is needed', async () => {
    assert.equal((await refusal({ topics: [] })).status, 400);
  });

  test('of a schema or table that is not served is 403', async (t) => {
    assert.equal((await refusal({ topics: 'table:auth.users' })).status, 403);
    const own = await placeGateway(t, stack, { strict: { tables: ['public.tasks'] } });
    assert.equal((await refusal({ topics: 'table:public.events' }, own.url)).status, 403);
    (await openStream(own.url, { topics: TASKS, token: stack.user1.token })).kill();
  });

  test('with an unknown column is 400 with the words of upstream', async () => {
    const { status, json } = await refusal({ topics: `${TASKS}:nonsense=eq.1` });
    assert.equal(status, 400);
    assert.match(json.message + json.details, /nonsense/);
  });

  test('of a table that is not published is 400 and says so', async () => {
    const { status, json } = await refusal({ topics: 'table:public.private_notes' });
    assert.equal(status, 400);
    assert.match(`${json.message} ${json.details}`, /private_notes|publication/i);
  });

  test('too many of them on one stream are 400', async (t) => {
    const own = await placeGateway(t, stack, { streams: { topics_max: 3 } });
    const topics = named('n', 4).map((n) => `${TASKS}:title=eq.${n}`);
    const { status, json } = await refusal({ topics }, own.url);
    assert.equal(status, 400);
    assert.match(json.details, /too many topics/);
    (await openStream(own.url, { topics: topics.slice(1), token: stack.user1.token })).kill();
  });

  test('beyond what one user may have is 429', async (t) => {
    const own = await placeGateway(t, stack, { strict: { per_user: 2 } });
    const open = (n) =>
      openStream(own.url, { topics: `${TASKS}:title=eq.${n}`, token: stack.user1.token });
    const streams = [await open(1), await open(2)];
    const { status, headers } = await refusal({ topics: `${TASKS}:title=eq.3` }, own.url);
    assert.equal(status, 429);
    assert.ok(headers['retry-after']);
    streams.forEach((s) => s.kill());
  });
});

describe('a cursor', () => {
  test('that is none is 400', async () => {
    for (const cursor of ['nonsense', 'abc.12', 'abc.12-', '.1-1', 'abc.-1-1', 'abc.1-1x']) {
      assert.equal((await refusal({ params: { cursor } })).status, 400, cursor);
      assert.equal((await refusal({ lastEventId: cursor })).status, 400, cursor);
    }
  });

  test('with a broken percent escape is 400', async () => {
    const response = await fetch(`${gateway.url}/sync/v1/stream?topic=${TASKS}&cursor=%zz`, {
      headers: { authorization: `Bearer ${stack.user1.token}` },
    });
    assert.equal(response.status, 400);
    assert.match((await response.json()).details, /escape/);
  });
});

describe('a token', () => {
  test('is needed: 401', async () => {
    const { status, headers } = await refusal({ token: undefined });
    assert.equal(status, 401);
    assert.ok(headers['www-authenticate']);
  });

  test('must be a user: the anon key and the service key are not', async () => {
    for (const token of [stack.anon_key, stack.service_key, stack.secret_key]) {
      const { status } = await refusal({ token });
      assert.ok(status === 401 || status === 403, String(status));
    }
  });

  test('that has expired is 401', async () => {
    const token = await stack.control.signJwt(claims({ exp: now() - 1 }));
    const { status, json } = await refusal({ token });
    assert.equal(status, 401);
    assert.match(json.message, /expired/);
  });

  test('with another signature or algorithm is 401', async () => {
    const [head, body, signature] = stack.user1.token.split('.');
    const none = Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url');
    const flipped = signature[0] === 'A' ? `B${signature.slice(1)}` : `A${signature.slice(1)}`;
    for (const token of [`${head}.${body}.${flipped}`, `${none}.${body}.`, `${head}.${body}`, 'x']) {
      assert.equal((await refusal({ token })).status, 401);
    }
  });

  test('ends the stream when it runs out, with bye', async (t) => {
    // The topic is covered by a longer token of the same class.
    const long = await stack.control.signJwt(claims());
    const keeper = await openStream(gateway.url, { topics: TASKS, token: long });
    t.after(() => keeper.kill());
    await keeper.take('hello');
    const exp = now() + 3;
    const s = await openStream(gateway.url, {
      topics: TASKS,
      token: await stack.control.signJwt(claims({ exp })),
    });
    await s.take('hello');
    const bye = await s.take('bye', () => true, { timeoutMs: 15_000 });
    assert.equal(bye.data.reason, 'expired');
    assert.ok(Date.now() >= exp * 1000 - 20, 'not before its time');
    await s.ended;
    assert.ok(!keeper.isEnded);
  });
});

describe('a request', () => {
  const head = (method, more = '') =>
    `${method} ${streamPath(TASKS)} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${stack.user1.token}\r\n${more}\r\n`;

  test('by another method is 405', async () => {
    for (const method of ['HEAD', 'POST', 'PUT', 'DELETE', 'PATCH']) {
      const response = await fetch(gateway.url + streamPath(TASKS), {
        method,
        headers: { authorization: `Bearer ${stack.user1.token}` },
      });
      assert.equal(response.status, 405, method);
      assert.match(response.headers.get('allow') ?? '', /GET/);
      await response.arrayBuffer();
    }
  });

  test('with a body is 400 and close', async () => {
    for (const more of ['Content-Length: 3\r\n', 'Transfer-Encoding: chunked\r\n']) {
      const client = await Client.to(gateway.port);
      const tail = more.startsWith('C') ? 'abc' : '3\r\nabc\r\n0\r\n\r\n';
      client.socket.write(head('GET', more) + tail);
      await until(() => client.ended, 'the end of the connection');
      const text = client.bytes.toString();
      assert.match(text, /^HTTP\/1\.1 400 /);
      assert.equal(text.match(/HTTP\/1\.1 /g).length, 1);
      client.destroy();
    }
  });

  test('pipelined behind a stream ends the stream unanswered', async () => {
    const client = await Client.to(gateway.port);
    client.socket.write(head('GET') + head('GET'));
    await until(() => client.ended, 'the end of the connection');
    assert.equal(client.bytes.toString().match(/HTTP\/1\.1 /g)?.length ?? 0, 1);
    client.destroy();
  });
});

describe('too many streams', () => {
  test('of the whole gateway are 503 with Retry-After, and room comes back', async (t) => {
    const own = await placeGateway(t, stack, { streams: { max: 3 } });
    const open = () => openStream(own.url, { topics: TASKS, token: stack.user1.token });
    const streams = [await open(), await open(), await open()];
    const { status, headers } = await refusal({}, own.url);
    assert.ok(status === 503 || status === 429, String(status));
    assert.ok(headers['retry-after']);
    streams[0].kill();
    streams.push(await until(() => open().catch(() => null), 'room'));
    streams.forEach((s) => s.kill());
  });

  test('of one user are refused, others are served', async (t) => {
    const own = await placeGateway(t, stack, { streams: { per_user: 2 } });
    const open = (user) => openStream(own.url, { topics: TASKS, token: user.token });
    const streams = [await open(stack.user1), await open(stack.user1)];
    const { status, headers } = await refusal({}, own.url);
    assert.equal(status, 429);
    assert.ok(headers['retry-after']);
    streams.push(await open(stack.user2));
    streams.forEach((s) => s.kill());
  });

  test('of one address are refused', async (t) => {
    const own = await placeGateway(t, stack, { streams: { per_address: 2 } });
    const open = (user) => openStream(own.url, { topics: TASKS, token: user.token });
    const streams = [await open(stack.user1), await open(stack.user2)];
    assert.equal((await refusal({}, own.url)).status, 429);
    streams.forEach((s) => s.kill());
  });
});

test('rows are never written to a stream that was refused', async () => {
  const writer = await Writer.to(stack);
  await writer.tasks('unseen');
  const { body } = await refusal({ topics: 'table:auth.users' });
  assert.ok(!body.includes('unseen'));
});
