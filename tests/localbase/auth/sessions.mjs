// sessions.mjs - sessions, access tokens, refresh tokens and their rotation.
//
// Two formats of refresh token, as in Auth. Version 1: a row per token, the
// chain is kept by `parent`. Version 2: no rows; the token carries session and
// counter under the session's own key, and only the counter is stored.
import crypto from 'node:crypto';
import { AuthError } from './errors.mjs';
import { loadUser } from './users.mjs';

const LOCK_TRIES_MS = 5000;
const V1_ALPHABET = 'abcdefghijklmnopqrstuvwxyz0123456789';
const V1_CHARS = 12;
const V2_MIN_BYTES = 38;
const USED = ['refresh_token_already_used', 'Invalid Refresh Token: Already Used'];
const UNKNOWN = ['refresh_token_not_found', 'Invalid Refresh Token: Refresh Token Not Found'];

function makeV1() {
  return Array.from({ length: V1_CHARS }, () => V1_ALPHABET[crypto.randomInt(36)]).join('');
}

function uvarint(value) {
  const bytes = [];
  let rest = value;
  do {
    const more = rest > 127n;
    bytes.push(Number(rest & 127n) | (more ? 128 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return Buffer.from(bytes);
}

/** 0x00, session uuid, uvarint counter, HMAC (16 bytes), SHA-256 (4 bytes). */
export function makeV2(sessionId, counter, keyBase64) {
  const id = Buffer.from(sessionId.replaceAll('-', ''), 'hex');
  const body = Buffer.concat([Buffer.from([0]), id, uvarint(counter)]);
  const hmac = crypto.createHmac('sha256', Buffer.from(keyBase64, 'base64'));
  const signed = Buffer.concat([body, hmac.update(body).digest().subarray(0, 16)]);
  const sum = crypto.createHash('sha256').update(signed).digest().subarray(0, 4);
  return Buffer.concat([signed, sum]).toString('base64url');
}

/** {sessionId, counter} of a version 2 token whose checksum holds; null otherwise. */
export function parseV2(token) {
  const raw = Buffer.from(token, 'base64url');
  const sum = crypto.createHash('sha256').update(raw.subarray(0, -4)).digest().subarray(0, 4);
  if (raw.length < V2_MIN_BYTES || raw[0] !== 0 || !sum.equals(raw.subarray(-4))) {
    return null;
  }
  let counter = 0n;
  let shift = 0n;
  const varint = raw.subarray(17, -20);
  for (const byte of varint) {
    counter |= BigInt(byte & 127) << shift;
    shift += 7n;
  }
  const hex = raw.subarray(1, 17).toString('hex');
  const sessionId = hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  return varint.length >= 1 && varint.length <= 9 ? { sessionId, counter } : null;
}

async function addV1(db, session, parent) {
  const token = makeV1();
  await db.query(
    'insert into auth.refresh_tokens (token, user_id, session_id, parent) values ($1, $2, $3, $4)',
    [token, session.user_id, session.id, parent],
  );
  return token;
}

export function createSessions(ctx) {
  const { config, pg: pool } = ctx;

  function accessToken(user, session) {
    const now = Math.floor(Date.now() / 1000);
    const at = Math.floor(session.created_at.getTime() / 1000);
    const claims = {
      iss: `${config.publicUrl}/auth/v1`,
      sub: user.id,
      aud: user.aud,
      exp: now + config.jwtExp,
      iat: now,
      email: user.email,
      phone: user.phone,
      app_metadata: user.app_metadata,
      user_metadata: user.user_metadata,
      role: user.role,
      aal: session.aal,
      amr: [{ method: session.method, timestamp: at }],
      session_id: session.id,
      is_anonymous: user.is_anonymous,
    };
    return ctx.jwt.sign(claims, { alg: config.jwtAlg });
  }

  async function tokenResponse(db, session, refreshToken) {
    const user = await loadUser(db, session.user_id);
    const access_token = accessToken(user, session);
    const expires_at = Math.floor(Date.now() / 1000) + config.jwtExp;
    return {
      access_token,
      token_type: 'bearer',
      expires_in: config.jwtExp,
      expires_at,
      refresh_token: refreshToken,
      user,
    };
  }

  /** Opens a session of `userId`. Returns the token response. */
  async function open(db, userId, method, req) {
    await db.query('update auth.users set last_sign_in_at = now() where id = $1', [userId]);
    const isV2 = config.refreshTokenVersion === 2;
    const key = isV2 ? crypto.randomBytes(32).toString('base64') : null;
    const { rows } = await db.query(
      `insert into auth.sessions (user_id, method, user_agent, ip,
         refresh_token_hmac_key, refresh_token_counter)
       values ($1, $2, $3, $4, $5, $6) returning *`,
      [userId, method, req.headers['user-agent'], req.socket.remoteAddress, key, isV2 ? 0 : null],
    );
    const token = isV2 ? makeV2(rows[0].id, 0n, key) : await addV1(db, rows[0], null);
    return tokenResponse(db, rows[0], token);
  }

  async function checkSession(db, sessionId) {
    const { rows } = await db.query(
      `select s.*, s.not_after < now() as expired, u.banned_until > now() as banned,
         coalesce(s.refreshed_at, s.created_at) > now() - make_interval(secs => $2) as recent
       from auth.sessions s join auth.users u on u.id = s.user_id where s.id = $1`,
      [sessionId, config.reuseInterval],
    );
    const session = rows[0];
    if (session === undefined) {
      const text = 'Invalid Refresh Token: No Valid Session Found';
      throw new AuthError('session_not_found', text, { status: 400 });
    }
    if (session.banned) {
      const text = 'Invalid Refresh Token: User Banned';
      throw new AuthError('user_banned', text, { status: 400 });
    }
    if (session.expired) {
      throw new AuthError('session_expired', 'Invalid Refresh Token: Session Expired');
    }
    return session;
  }

  /**
   * Runs `step(client, session)` in a transaction that holds the session's lock.
   * Whoever finds it taken comes back, for five seconds. A step that returns
   * { error } commits what it did before the error is thrown.
   */
  async function withLock(sessionId, step) {
    const deadline = Date.now() + LOCK_TRIES_MS;
    while (Date.now() < deadline) {
      const client = await pool.connect();
      try {
        await client.query('begin');
        const lock = 'select 1 from auth.sessions where id = $1 for update skip locked';
        const { rowCount } = await client.query(lock, [sessionId]);
        const session = await checkSession(client, sessionId);
        if (rowCount === 1) {
          const result = await step(client, session);
          await client.query('commit');
          return result;
        }
      } finally {
        await client.query('rollback').catch(() => {});
        client.release();
      }
      await new Promise((resolve) => setTimeout(resolve, 10 + crypto.randomInt(20)));
    }
    throw new AuthError(
      'conflict',
      'Too many concurrent token refresh requests on the same session or refresh token',
    );
  }

  async function answer(client, session, refreshToken, headers) {
    const update =
      'update auth.sessions set refreshed_at = now(), updated_at = now() where id = $1';
    await client.query(update, [session.id]);
    const response = await tokenResponse(client, session, refreshToken);
    const ids = { 'sb-auth-user-id': session.user_id, 'sb-auth-session-id': session.id };
    return { response, headers: { ...ids, ...headers } };
  }

  async function stepV1(client, session, token) {
    const { rows } = await client.query(
      `select revoked, updated_at > now() - make_interval(secs => $2) as recent
       from auth.refresh_tokens where token = $1 for update`,
      [token, config.reuseInterval],
    );
    const prefix = (value) => ({ 'sb-auth-refresh-token-prefix': value.slice(0, 5) });
    const revoke = 'update auth.refresh_tokens set revoked = true, updated_at = now()';
    if (!rows[0].revoked) {
      await client.query(`${revoke} where token = $1`, [token]);
      const child = await addV1(client, session, token);
      return answer(client, session, child, prefix(child));
    }
    const active = await client.query(
      `select token, parent from auth.refresh_tokens
       where session_id = $1 and not revoked order by id desc limit 1`,
      [session.id],
    );
    const reuse = { 'sb-auth-refresh-token-reuse': 'true' };
    if (active.rows[0]?.parent === token) {
      const cause = { ...reuse, 'sb-auth-refresh-token-reuse-cause': 'fail-to-save' };
      const same = active.rows[0].token;
      return answer(client, session, same, { ...prefix(same), ...cause });
    }
    if (rows[0].recent) {
      const child = await addV1(client, session, token);
      const cause = { ...reuse, 'sb-auth-refresh-token-reuse-cause': 'concurrent-refresh' };
      return answer(client, session, child, { ...prefix(child), ...cause });
    }
    await client.query(`${revoke} where session_id = $1`, [session.id]);
    return { error: new AuthError(...USED) };
  }

  async function stepV2(client, session, token, counter) {
    const stored = BigInt(session.refresh_token_counter);
    if (makeV2(session.id, counter, session.refresh_token_hmac_key) !== token) {
      return { error: new AuthError(...UNKNOWN) };
    }
    const behind = stored - counter;
    if (behind < 0n) {
      return { error: new AuthError('validation_failed', 'Refresh token is not valid') };
    }
    if (behind > 1n && !session.recent) {
      await client.query('delete from auth.sessions where id = $1', [session.id]);
      return { error: new AuthError(...USED) };
    }
    const next = behind === 0n ? stored + 1n : stored;
    if (behind === 0n) {
      const update = 'update auth.sessions set refresh_token_counter = $2 where id = $1';
      await client.query(update, [session.id, next.toString()]);
    }
    const headers = { 'sb-auth-refresh-token-counter': next.toString() };
    if (behind > 0n) {
      headers['sb-auth-refresh-token-reuse'] = 'true';
      headers['sb-auth-refresh-token-reuse-cause'] =
        behind === 1n ? 'fail-to-save' : 'concurrent-refresh';
    }
    const fresh = makeV2(session.id, next, session.refresh_token_hmac_key);
    return answer(client, session, fresh, headers);
  }

  async function findV1(token) {
    const sql = 'select session_id from auth.refresh_tokens where token = $1';
    const { rows } = await pool.query(sql, [token]);
    if (rows.length === 0) {
      throw new AuthError(...UNKNOWN);
    }
    return rows[0].session_id;
  }

  /** Exchanges a refresh token. Returns { response, headers } or throws AuthError. */
  async function refresh(token) {
    if (typeof token !== 'string' || token.length > 200 || !/^[A-Za-z0-9_-]{12,}$/.test(token)) {
      throw new AuthError('validation_failed', 'Refresh token is not valid');
    }
    let result;
    if (token.length === V1_CHARS) {
      const sessionId = await findV1(token);
      result = await withLock(sessionId, (client, session) => stepV1(client, session, token));
    } else {
      const parsed = parseV2(token);
      if (parsed === null) {
        throw new AuthError('validation_failed', 'Refresh token is not valid');
      }
      const { sessionId, counter } = parsed;
      const known = await pool.query('select 1 from auth.sessions where id = $1', [sessionId]);
      if (known.rowCount === 0) {
        throw new AuthError(...UNKNOWN);
      }
      const step = (client, session) => stepV2(client, session, token, counter);
      result = await withLock(sessionId, step);
    }
    if (result.error !== undefined) {
      throw result.error;
    }
    return result;
  }

  /** Ends sessions of a user: this one (local), the others, or all (global). */
  async function close(db, userId, sessionId, scope) {
    const where = {
      global: 'user_id = $1 and $2::uuid is not distinct from $2',
      local: 'user_id = $1 and id = $2',
      others: 'user_id = $1 and id is distinct from $2',
    };
    await db.query(`delete from auth.sessions where ${where[scope]}`, [userId, sessionId]);
  }

  return { open, refresh, close };
}
