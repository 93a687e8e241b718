// What becomes of tokens on proxied routes (DESIGN 5.1): each kind has one answer.
//
// also under tsan: fetched keys go from worker to worker.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { describe, test } from 'node:test';
import { keyPair } from '../localbase/keys.mjs';
import { useGateway } from './lib/gateway.mjs';
import { Client } from './lib/http1.mjs';
import { useUpstream } from './lib/raw-upstream.mjs';

const PROJECT_SECRET = 'a secret of at least thirty-two bytes';
const SUB = '11111111-1111-4111-8111-111111111111';
const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const now = () => Math.floor(Date.now() / 1000);
const user = (more = {}) => ({ sub: SUB, role: 'authenticated', aud: 'authenticated', exp: now() + 600, ...more });

function sign(header, claims, signer) {
  const text = `${encode({ typ: 'JWT', ...header })}.${encode(claims)}`;
  return `${text}.${Buffer.from(signer(text)).toString('base64url')}`;
}
const hmac = (key, hash = 'sha256') => (text) => crypto.createHmac(hash, key).update(text).digest();
const hs256 = (claims, key = PROJECT_SECRET) => sign({ alg: 'HS256' }, claims, hmac(key));

const ANON = hs256({ iss: 'supabase', role: 'anon', exp: now() + 1e6 });
const SERVICE = hs256({ iss: 'supabase', role: 'service_role', exp: now() + 1e6 });

function makeKey(kid, type, options, alg) {
  const { publicKey, privateKey } = keyPair(type, options);
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid, alg, use: 'sig' };
  const signer = (text) => crypto.sign('sha256', Buffer.from(text), { key: privateKey, dsaEncoding: 'ieee-p1363' });
  return { jwk, pem: publicKey.export({ type: 'spki', format: 'pem' }), token: (claims, as = kid) => sign({ alg, kid: as }, claims, signer) };
}
const es = makeKey('es-1', 'ec', { namedCurve: 'P-256' }, 'ES256');
const rs = makeKey('rs-1', 'rsa', { modulusLength: 2048 }, 'RS256');
const late = makeKey('es-2', 'ec', { namedCurve: 'P-256' }, 'ES256');

const upstream = useUpstream();
let keys = [es.jwk, rs.jwk];
let fetches = 0;
let isDown = false;
upstream.jwks = (req) => {
  fetches++;
  const body = JSON.stringify({ keys });
  if (isDown) {
    req.socket.destroy();
    return null;
  }
  return `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
};

const settings = async (more = {}) => {
  await upstream.ready;
  return {
    ...more,
    server: { workers: 2, ...more.server },
    upstream: { breaker_failures: 0 },
    supabase: { url: upstream.url, anon_key: ANON, service_key: SERVICE, jwt_secret: PROJECT_SECRET, ...more.supabase },
    auth: { checks_per_second: 100000, checks_burst: 100000, ...more.auth },
  };
};

async function status(gateway, token, target = '/rest/v1/t', fields = '') {
  const client = await Client.to(gateway.port);
  const bearer = token === null ? '' : `Authorization: Bearer ${token}\r\n`;
  const answer = await client.ask(`GET ${target} HTTP/1.1\r\nHost: a\r\n${bearer}${fields}\r\n`);
  client.destroy();
  const json = answer.body.toString().startsWith('{') ? JSON.parse(answer.body) : {};
  return { status: answer.status, code: json.code, answer };
}
const passes = async (gateway, token, target) =>
  assert.deepEqual({ ...(await status(gateway, token, target)), answer: 0 }, { status: 200, code: undefined, answer: 0 });
const fails = async (gateway, token, code, expected = 401) => {
  const got = await status(gateway, token);
  assert.deepEqual([got.status, got.code], [expected, code]);
  assert.match(got.answer.get('www-authenticate') ?? 'Bearer', /^Bearer/);
};

describe('verify', () => {
  const gateway = useGateway(() => settings());
  test('good tokens of every kind pass', async () => {
    await passes(gateway, hs256(user()));
    await passes(gateway, sign({ alg: 'HS512' }, user(), hmac(PROJECT_SECRET, 'sha512')));
    await passes(gateway, es.token(user()));
    await passes(gateway, rs.token(user()));
  });
  test('without a token, and with keys in its place, nothing is asked', async () => {
    for (const token of [null, ANON, SERVICE, 'sb_publishable_x', 'sb_secret_x', hs256({ role: 'anon', exp: now() + 60 })]) {
      await passes(gateway, token);
    }
    assert.equal((await status(gateway, null, '/storage/v1/s3', 'Authorization: AWS4-HMAC-SHA256 x\r\n')).status, 200);
  });
  test('expired, early and skew', async () => {
    await fails(gateway, hs256(user({ exp: now() - 60 })), 'TG412');
    await fails(gateway, hs256(user({ nbf: now() + 120 })), 'TG413');
    await passes(gateway, hs256(user({ exp: now() - 10 })));
    await passes(gateway, hs256(user({ nbf: now() + 10 })));
  });
  test('wrong signatures, none, and a public key as a secret', async () => {
    await fails(gateway, hs256(user(), 'another secret'), 'TG411');
    await fails(gateway, `${encode({ alg: 'none' })}.${encode(user())}.`, 'TG411');
    await fails(gateway, `${encode({ alg: 'NONE' })}.${encode(user())}.AAAA`, 'TG411');
    await fails(gateway, sign({ alg: 'HS256', kid: 'rs-1' }, user(), hmac(rs.pem)), 'TG411');
    await fails(gateway, sign({ alg: 'HS256' }, user(), hmac(es.pem)), 'TG411');
    await fails(gateway, es.token(user()).slice(0, -6) + 'AAAAAA', 'TG411');
    await fails(gateway, es.token(user(), 'rs-1'), 'TG411');
  });
  test('garbage of every length', async () => {
    for (const n of [1, 2, 3, 10, 100, 1000, 8000, 9000, 12000]) {
      await fails(gateway, 'x'.repeat(n), 'TG411');
      await fails(gateway, `${'e'.repeat(n)}.${'y'.repeat(2)}.zz`, 'TG411');
    }
    for (const odd of ['.', '..', '...', 'a.b', 'a.b.c.d', `${hs256(user())}.`, hs256(user()).replace('.', '')]) {
      await fails(gateway, odd, 'TG411');
    }
  });
  test('functions and auth are not asked', async () => {
    await passes(gateway, 'garbage', '/functions/v1/f');
    await passes(gateway, 'garbage', '/auth/v1/user');
  });
  test('an unknown kid costs one fetch, whoever asks, on every worker', async () => {
    const before = fetches;
    const all = Array.from({ length: 200 }, () => fails(gateway, es.token(user(), crypto.randomUUID()), undefined).catch((e) => e));
    await Promise.all(all);
    assert.equal(fetches - before, 1);
  });
  test('what is refused then is said to be', async () => {
    const got = await status(gateway, late.token(user()));
    assert.equal(got.status, 401);
    assert.ok(['TG411', 'TG416'].includes(got.code), got.code);
  });
});

describe('a key that was added', () => {
  const gateway = useGateway(() => settings());
  test('is fetched on its first token', async () => {
    await passes(gateway, es.token(user()));
    keys = [es.jwk, late.jwk];
    const before = fetches;
    await passes(gateway, late.token(user()));
    await passes(gateway, late.token(user({ aal: 'aal2' })));
    assert.equal(fetches - before, 1);
  });
});

describe('while the JWKS endpoint is down', () => {
  const gateway = useGateway(() => settings());
  test('known keys keep working, others are told to come back', async (t) => {
    await passes(gateway, es.token(user()));
    isDown = true;
    t.after(() => {
      isDown = false;
    });
    await fails(gateway, es.token(user(), 'es-9'), 'TG608', 503);
    await passes(gateway, es.token(user({ aal: 'aal2' })));
    await fails(gateway, es.token(user(), 'es-10'), 'TG608', 503);
  });
});

describe('require', () => {
  const gateway = useGateway(() => settings({ auth: { verify_rest: 'require' } }));
  test('wants a user', async () => {
    await passes(gateway, hs256(user()));
    for (const token of [null, ANON, SERVICE, 'sb_secret_x']) {
      await fails(gateway, token, 'TG410');
    }
  });
});

describe('without the secret', () => {
  const gateway = useGateway(() => settings({ supabase: { jwt_secret: '' } }));
  test('HS256 tokens are left to the upstream, others are checked', async () => {
    await passes(gateway, hs256(user(), 'whatever'));
    await passes(gateway, es.token(user()));
    await fails(gateway, es.token(user()).slice(0, -6) + 'AAAAAA', 'TG411');
    await fails(gateway, `${encode({ alg: 'none' })}.${encode(user())}.`, 'TG411');
  });
});

