// When upstream fails: too late, gone before an answer, gone again and again (DESIGN 5.2).
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { useGateway } from './lib/gateway.mjs';
import { answerWith, OK, useUpstream } from './lib/raw-upstream.mjs';

const upstream = useUpstream();
const settings = (more) => async () => {
  await upstream.ready;
  return {
    server: { workers: 1 },
    upstream: { breaker_failures: 0, retry_budget: 0, ...more },
    supabase: { url: upstream.url, anon_key: 'sb_publishable_test', jwt_secret: 'not a secret at all' },
  };
};
const hangUp = (req, socket) => void socket.destroy();

/** The answer, and how many requests upstream saw. */
async function ask(gateway, path, options) {
  const before = upstream.requests.size;
  const answer = await fetch(gateway.url + path, options);
  const text = await answer.text();
  return { answer, text, asked: upstream.requests.size - before };
}

describe('an upstream that does not answer in time', () => {
  const gateway = useGateway(settings({ first_byte_timeout: '300ms' }));

  test('is a 504 in our own form, and the next request is served', async (t) => {
    answerWith(t, upstream, () => undefined);
    const late = await ask(gateway, '/rest/v1/tasks');
    assert.equal(late.answer.status, 504);
    assert.equal(JSON.parse(late.text).code, 'TG609');
    assert.ok(late.answer.headers.get('x-request-id'));
    answerWith(t, upstream, OK);
    assert.equal((await ask(gateway, '/rest/v1/tasks')).answer.status, 200);
  });
});

describe('an upstream that hangs up before its answer', () => {
  const gateway = useGateway(settings({ retry_budget: 100 }));

  /** Hangs up once, then answers. */
  const once = (t) => {
    let n = 0;
    answerWith(t, upstream, (req, socket) => (n++ === 0 ? hangUp(req, socket) : OK));
  };

  test('is asked again for what is idempotent, once', async (t) => {
    once(t);
    const { answer, asked } = await ask(gateway, '/rest/v1/tasks');
    assert.deepEqual([answer.status, asked], [200, 2]);
  });

  test('is not asked again when it hangs up again', async (t) => {
    answerWith(t, upstream, hangUp);
    const { answer, text, asked } = await ask(gateway, '/rest/v1/tasks');
    assert.deepEqual([answer.status, asked], [502, 2]);
    assert.equal(JSON.parse(text).code, 'TG602');
  });

  test('is not asked again for a POST', async (t) => {
    once(t);
    const { answer, asked } = await ask(gateway, '/rest/v1/tasks', { method: 'POST', body: '{}' });
    assert.deepEqual([answer.status, asked], [502, 1]);
  });

  test('is not asked again when the SDK retries itself', async (t) => {
    once(t);
    const { answer, asked } = await ask(gateway, '/rest/v1/tasks', { headers: { 'x-retry-count': '1' } });
    assert.deepEqual([answer.status, asked], [502, 1]);
  });
});

describe('an upstream service that fails again and again', () => {
  const gateway = useGateway(settings({ breaker_failures: 3, breaker_open: '1m' }));

  test('is left alone: 503 and Retry-After at once, while other services are asked', async (t) => {
    answerWith(t, upstream, (req, socket) => (req.target.startsWith('/rest/') ? hangUp(req, socket) : OK));
    for (let i = 0; i < 3; i++) {
      const { answer, asked } = await ask(gateway, '/rest/v1/tasks');
      assert.deepEqual([answer.status, asked], [502, 1]);
    }
    const { answer, text, asked } = await ask(gateway, '/rest/v1/tasks');
    assert.deepEqual([answer.status, asked], [503, 0]);
    assert.equal(JSON.parse(text).code, 'TG604');
    const wait = Number(answer.headers.get('retry-after'));
    assert.ok(wait > 50 && wait <= 60, `Retry-After: ${wait}`);
    assert.equal((await ask(gateway, '/auth/v1/health')).answer.status, 200);
  });
});
