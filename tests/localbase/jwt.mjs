// jwt.mjs - JSON Web Tokens with node:crypto: HS256, ES256, RS256.
//
// Verification follows the rules of Supabase: a token with a kid must name one
// of our keys, whose own algorithm must be the header's; without a kid only the
// shared secret counts. `none` never passes.
import crypto from 'node:crypto';

const MAX_TOKEN_CHARS = 16_384;
const MAX_PREVIOUS_KEYS = 8;

/** A refused token: `code` is bad_jwt, bad_signature, bad_alg, expired or not_yet. */
export class JwtError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

function encode(value) {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function signPart(input, { alg, secret, jwk }) {
  if (alg === 'HS256') {
    return crypto.createHmac('sha256', secret).update(input).digest('base64url');
  }
  const key = crypto.createPrivateKey({ key: jwk, format: 'jwk' });
  const options = alg === 'ES256' ? { key, dsaEncoding: 'ieee-p1363' } : key;
  return crypto.sign('sha256', Buffer.from(input), options).toString('base64url');
}

/** Signs `claims`; `key` is { alg: 'HS256', secret } or { alg, jwk, kid }. */
export function signJwt(claims, key) {
  const header = { alg: key.alg, typ: 'JWT' };
  if (key.kid) {
    header.kid = key.kid;
  }
  const input = `${encode(header)}.${encode(claims)}`;
  return `${input}.${signPart(input, key)}`;
}

/** The public half of a private JWK, as JWKS shows it. */
export function publicJwk(jwk) {
  const { kty, crv, x, y, n, e, alg, kid } = jwk;
  const shown = kty === 'EC' ? { kty, crv, x, y } : { kty, n, e };
  return { ...shown, alg, kid, use: 'sig', key_ops: ['verify'] };
}

function decodePart(part, what) {
  if (!/^[A-Za-z0-9_-]+$/.test(part)) {
    throw new JwtError('bad_jwt', `${what} is not base64url`);
  }
  try {
    const value = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
    if (value !== null && typeof value === 'object' && !Array.isArray(value)) {
      return value;
    }
  } catch {
    // falls through to the same refusal
  }
  throw new JwtError('bad_jwt', `${what} is not a JSON object`);
}

function checkHmac(input, signature, secret) {
  const given = Buffer.from(signature, 'base64url');
  const wanted = crypto.createHmac('sha256', secret).update(input).digest();
  return given.length === wanted.length && crypto.timingSafeEqual(given, wanted);
}

function checkPublic(input, signature, jwk) {
  const key = crypto.createPublicKey({ key: publicJwk(jwk), format: 'jwk' });
  const options = jwk.alg === 'ES256' ? { key, dsaEncoding: 'ieee-p1363' } : key;
  return crypto.verify('sha256', Buffer.from(input), options, Buffer.from(signature, 'base64url'));
}

/** The asymmetric keys that count: the current ones, then those rotated away. */
function published(keys) {
  return [keys.es256, keys.rs256, ...(keys.previous ?? [])];
}

function checkSignature(header, input, signature, keys) {
  if (!['HS256', 'ES256', 'RS256'].includes(header.alg)) {
    throw new JwtError('bad_alg', 'Wrong or unsupported encoding algorithm');
  }
  const named = published(keys).find((jwk) => jwk.kid === header.kid);
  let good = false;
  if (header.kid !== undefined) {
    good = named !== undefined && named.alg === header.alg && checkPublic(input, signature, named);
  } else if (header.alg === 'HS256') {
    good = checkHmac(input, signature, keys.jwtSecret);
  }
  if (!good) {
    throw new JwtError('bad_signature', 'signature is invalid');
  }
}

function checkTimes(claims, skew_s, now_s) {
  const isTime = (value) => value === undefined || Number.isFinite(value);
  if (![claims.exp, claims.nbf, claims.iat].every(isTime)) {
    throw new JwtError('bad_jwt', 'time claims must be numbers');
  }
  if (claims.exp !== undefined && now_s >= claims.exp + skew_s) {
    throw new JwtError('expired', 'token is expired');
  }
  if (claims.nbf !== undefined && now_s < claims.nbf - skew_s) {
    throw new JwtError('not_yet', 'token is not valid yet');
  }
  if (claims.iat !== undefined && now_s < claims.iat - skew_s) {
    throw new JwtError('future', 'token used before issued');
  }
}

/** Returns the claims or throws JwtError. `skew_s`: tolerated clock difference. */
export function verifyJwt(token, keys, { skew_s = 0, now_s = Date.now() / 1000 } = {}) {
  const parts = String(token)
    .slice(0, MAX_TOKEN_CHARS + 1)
    .split('.');
  if (token.length > MAX_TOKEN_CHARS || parts.length !== 3) {
    throw new JwtError('bad_parts', `token contains an invalid number of segments`);
  }
  const header = decodePart(parts[0], 'header');
  const claims = decodePart(parts[1], 'payload');
  checkSignature(header, `${parts[0]}.${parts[1]}`, parts[2], keys);
  checkTimes(claims, skew_s, now_s);
  return claims;
}

/**
 * What goes into `ctx.jwt`. Tokens are signed with `alg` unless sign() is told
 * another. rotate() puts a new key in the place of one that stays published;
 * forget() unpublishes what was rotated away.
 */
export function createJwt(keys, alg) {
  const slots = { ES256: 'es256', RS256: 'rs256' };

  function keyFor(name) {
    if (name === 'HS256') {
      return { alg: name, secret: keys.jwtSecret };
    }
    if (!Object.hasOwn(slots, name)) {
      throw new Error(`unknown signing algorithm ${name}`);
    }
    const jwk = keys[slots[name]];
    return { alg: name, jwk, kid: jwk.kid };
  }

  function rotate(name, makeKey) {
    const { jwk } = keyFor(name);
    if (jwk === undefined) {
      throw new Error('only ES256 and RS256 keys rotate');
    }
    keys.previous = [jwk, ...(keys.previous ?? [])].slice(0, MAX_PREVIOUS_KEYS);
    keys[slots[name]] = makeKey(name);
    return keys[slots[name]].kid;
  }

  keyFor(alg);
  return {
    sign: (claims, options = {}) => signJwt(claims, keyFor(options.alg ?? alg)),
    verify: (token, options) => verifyJwt(token, keys, options),
    jwks: () => ({ keys: published(keys).map(publicJwk) }),
    rotate,
    forget: () => {
      keys.previous = [];
    },
  };
}
