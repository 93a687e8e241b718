// Faults on request, and the memory of what arrived.
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { createCaller, useLocalbase } from './lib/localbase.mjs';

const PATH = '/rest/v1/tasks';

const stack = useLocalbase();
const call = createCaller(
  () => stack.url,
  () => stack.anon_key,
);
const insert = (title) =>
  call('POST', PATH, { token: stack.user1.token, body: { trip_id: stack.trip1_id, title } });
const count = async (title) => {
  const { json } = await call('GET', `${PATH}?title=eq.${title}`, { token: stack.user1.token });
  return json.length;
};

afterEach(() => stack.control.clearFaults());

test('a route fails as often as asked', async () => {
  const body = { message: 'busy' };
  const headers = { 'retry-after': '3' };
  await stack.control.fault({ method: 'GET', path: PATH, count: 2, status: 503, body, headers });
  const answers = [];
  for (let i = 0; i < 3; i++) {
    answers.push(await call('GET', PATH));
  }
  assert.deepEqual(
    answers.map(({ status }) => status),
    [503, 503, 200],
  );
  assert.deepEqual(answers[0].json, body);
  assert.equal(answers[0].headers.get('retry-after'), '3');
});

test('a fault leaves other methods and paths alone', async () => {
  await stack.control.fault({ method: 'DELETE', path: PATH, status: 500 });
  assert.equal((await call('GET', PATH)).status, 200);
  await stack.control.fault({ path: '/rest/v1/events', status: 500 });
  assert.equal((await call('GET', PATH)).status, 200);
});

test('an answer can be lost before or after the work was done', async () => {
  await stack.control.fault({ method: 'POST', path: PATH, drop: 'before' });
  await assert.rejects(insert('lost-before'));
  assert.equal(await count('lost-before'), 0);
  await stack.control.fault({ method: 'POST', path: PATH, drop: 'after' });
  await assert.rejects(insert('lost-after'));
  assert.equal(await count('lost-after'), 1);
});

test('an error can be answered although the work was done', async () => {
  await stack.control.fault({
    method: 'POST',
    path: PATH,
    status: 502,
    when: 'after',
    body: 'bad',
  });
  const answer = await insert('done-but-502');
  assert.deepEqual([answer.status, answer.text], [502, 'bad']);
  assert.equal(answer.headers.get('content-range'), null);
  assert.equal(await count('done-but-502'), 1);
});

test('a body can break off', async () => {
  await insert('cut');
  await stack.control.fault({ method: 'GET', path: PATH, cut_after_bytes: 10 });
  await assert.rejects(call('GET', PATH, { token: stack.user1.token }));
});

test('a request can be held until it is let go', async () => {
  const id = await stack.control.fault({ method: 'GET', path: PATH, hold: true });
  const answer = call('GET', PATH);
  await stack.control.held(id);
  await stack.control.release(id);
  assert.equal((await answer).status, 200);
});

test('a delay takes its time', async () => {
  await stack.control.fault({ path: PATH, delay_ms: 120 });
  const began = performance.now();
  await call('GET', PATH);
  assert.ok(performance.now() - began >= 115);
});

test('a bad fault is refused', async () => {
  await assert.rejects(stack.control.fault({ path: 'rest' }), /path/);
  await assert.rejects(stack.control.fault({ path: '/', nonsense: 1 }), /nonsense/);
  await assert.rejects(stack.control.fault({ status: 500 }), /path/);
});

test('what arrived is remembered as it was written', async () => {
  await stack.control.clearRequests();
  const headers = { 'X-Odd-Case': 'Yes', 'x-empty': '' };
  const [requests] = await Promise.all([
    stack.control.requests({ path: '/rest/v1/trips', min: 1 }),
    call('GET', '/rest/v1/trips?name=eq.a%2Fb&limit=1', { headers }),
  ]);
  assert.equal(requests[0].method, 'GET');
  assert.equal(requests[0].url, '/rest/v1/trips?name=eq.a%2Fb&limit=1');
  const { rawHeaders } = requests[0];
  assert.equal(
    rawHeaders[rawHeaders.findIndex((name) => name.toLowerCase() === 'x-odd-case') + 1],
    'Yes',
  );
});

test('the control port names the switches and refuses unknown ones', async () => {
  const shown = await (await fetch(stack.control_url)).json();
  assert.ok(shown.auth.includes('configure'));
  await assert.rejects(stack.control.part('auth', 'nonsense'), /no such switch/);
  await assert.rejects(stack.control.part('auth', 'configure', { jwt_exp: -1 }), /jwt_exp/);
});
