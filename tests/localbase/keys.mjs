// keys.mjs - secrets and API keys of one run directory, made once and kept.
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { signJwt } from './jwt.mjs';

const KEY_LIFE_S = 10 * 365 * 24 * 3600;

/**
 * A new pair of key objects, by way of texts: while Node 20 exports a key that it has generated as
 * a JWK it holds the key's lock, and a garbage collection meanwhile waits for that lock for ever.
 */
export function keyPair(type, options) {
  const texts = crypto.generateKeyPairSync(type, {
    ...options,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  return {
    publicKey: crypto.createPublicKey(texts.publicKey),
    privateKey: crypto.createPrivateKey(texts.privateKey),
  };
}

/** A new private JWK with a kid of its own. */
export function signingKey(alg) {
  const { privateKey } =
    alg === 'ES256'
      ? keyPair('ec', { namedCurve: 'P-256' })
      : keyPair('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), alg, kid: crypto.randomUUID(), use: 'sig' };
}

function apiKey(role, secret) {
  const iat = Math.floor(Date.now() / 1000);
  const claims = { iss: 'supabase', ref: 'localbase', role, iat, exp: iat + KEY_LIFE_S };
  return signJwt(claims, { alg: 'HS256', secret });
}

function makeKeys() {
  const jwtSecret = crypto.randomBytes(32).toString('hex');
  const opaque = () => crypto.randomBytes(24).toString('base64url');
  return {
    dbPassword: crypto.randomBytes(16).toString('hex'),
    jwtSecret,
    anonKey: apiKey('anon', jwtSecret),
    serviceKey: apiKey('service_role', jwtSecret),
    publishableKey: `sb_publishable_${opaque()}`,
    secretKey: `sb_secret_${opaque()}`,
    es256: signingKey('ES256'),
    rs256: signingKey('RS256'),
  };
}

/** Reads `dir`/keys.json, or makes it. */
export function loadKeys(dir) {
  const file = path.join(dir, 'keys.json');
  if (fs.existsSync(file)) {
    return JSON.parse(fs.readFileSync(file, 'utf8'));
  }
  const keys = makeKeys();
  fs.writeFileSync(file, JSON.stringify(keys, null, 2), { mode: 0o600 });
  return keys;
}
