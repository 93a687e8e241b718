// tokens.mjs - checks access tokens and words the refusals as Realtime does
// (reference/realtime-protocol.md §2.2, §4.3, §6, §12).

export class TokenError extends Error {
  /** `code` prefixes a join refusal; `message` is what a `system` frame says. */
  constructor(code, message, upgradeText = message) {
    super(message);
    this.code = code;
    this.upgradeText = upgradeText;
  }
}

const MISSING = 'Fields `role` and `exp` are required in JWT';

function malformed() {
  return new TokenError('MalformedJWT', 'The token provided is not a valid JWT');
}

function expired(exp) {
  const ago = Math.max(0, Math.floor(Date.now() / 1000) - Math.round(exp));
  return new TokenError(
    'InvalidJWTToken',
    `Token has expired ${ago} seconds ago`,
    'Token has expired',
  );
}

function part(text) {
  const value = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw malformed();
  }
  return value;
}

function peek(token) {
  const parts = token.split('.');
  if (parts.length !== 3) {
    throw malformed();
  }
  try {
    return { header: part(parts[0]), claims: part(parts[1]) };
  } catch {
    throw malformed();
  }
}

function signerError(header) {
  const subject =
    header.kid === undefined
      ? 'check your JWT secret or JWKS configuration'
      : `for key ID (kid) "${header.kid}", check your JWT secret or JWKS configuration`;
  const text =
    header.kid === undefined
      ? `Failed to generate JWT signer, ${subject}`
      : `Failed to generate JWT signer ${subject}`;
  return new TokenError('JwtSignerError', text);
}

/** Throws what an expired token is told, as if it had run out this moment. */
export function expiredNow() {
  return expired(Date.now() / 1000);
}

/** The claims of a token that is good now. Throws TokenError. */
export async function checkToken(jwt, raw) {
  const token = String(raw).replace(/\s+/g, '');
  const { header, claims } = peek(token);
  try {
    await jwt.verify(token);
  } catch (err) {
    if (err.code === 'bad_alg') {
      throw signerError(header);
    }
    if (err.code === 'bad_signature') {
      throw new TokenError('JwtSignatureError', 'Failed to validate JWT signature');
    }
    /* Any other complaint is about times: of these only exp counts here, below. */
  }
  if (claims.role === undefined || claims.exp === undefined) {
    throw new TokenError('InvalidJWTToken', MISSING);
  }
  if (typeof claims.exp !== 'number') {
    throw new TokenError('InvalidJWTToken', 'Token expiration time is invalid');
  }
  if (claims.exp <= Date.now() / 1000) {
    throw expired(claims.exp);
  }
  return claims;
}
