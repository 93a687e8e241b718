// auth.mjs - the Auth part: accounts, sessions, tokens, as far as the product meets them.
import { randomUUID } from 'node:crypto';
import { adminRoute } from './auth/admin.mjs';
import { AuthError, sendAuthError } from './auth/errors.mjs';
import { createSessions } from './auth/sessions.mjs';
import {
  checkEmail,
  checkObject,
  checkPassword,
  createAnonymousUser,
  createEmailUser,
  findByPassword,
  loadUser,
} from './auth/users.mjs';
import { HttpError, queryParam, readBody, sendJson, sendText } from './http.mjs';

const VERSION = 'v2.196.0';
const MAX_AUTH_BODY_BYTES = 1024 * 1024;
const SIGNING_ALGS = ['HS256', 'ES256', 'RS256'];
const SCOPES = ['global', 'local', 'others'];

async function readAuthJson(req) {
  let text;
  try {
    text = (await readBody(req, MAX_AUTH_BODY_BYTES)).toString('utf8');
  } catch (error) {
    if (error instanceof HttpError) {
      throw new AuthError('request_entity_too_large', 'Request body exceeds 1MB');
    }
    throw error;
  }
  try {
    const value = JSON.parse(text === '' ? '{}' : text);
    if (value !== null && typeof value === 'object' && !Array.isArray(value)) {
      return value;
    }
  } catch {
    // falls through to the same refusal
  }
  throw new AuthError('bad_json', 'Could not parse request body as JSON');
}

async function inTransaction(pool, step) {
  const client = await pool.connect();
  try {
    await client.query('begin');
    const result = await step(client);
    await client.query('commit');
    return result;
  } finally {
    await client.query('rollback').catch(() => {});
    client.release();
  }
}

export function createAuth(ctx) {
  const { config, pg: pool } = ctx;
  const sessions = createSessions(ctx);
  // Switches of the project's settings, set through the control port.
  const settings = { autoconfirm: true, disable_signup: false, anonymous: true };

  /** Claims of the caller's token, which must be good at this second. */
  function requireToken(info) {
    if (!info.token) {
      const text = 'This endpoint requires a valid Bearer token';
      throw new AuthError('no_authorization', text);
    }
    try {
      return ctx.jwt.verify(info.token);
    } catch (error) {
      const text = `invalid JWT: unable to parse or verify signature, ${error.message}`;
      throw new AuthError('bad_jwt', text);
    }
  }

  /** {claims, user} of a signed-in caller whose session still exists. */
  async function requireUser(info) {
    const claims = requireToken(info);
    if (typeof claims.sub !== 'string' || !/^[0-9a-f-]{36}$/i.test(claims.sub)) {
      throw new AuthError('bad_jwt', 'invalid claim: missing sub claim');
    }
    const user = await loadUser(pool, claims.sub);
    if (user === null) {
      const text = 'User from sub claim in JWT does not exist';
      throw new AuthError('user_not_found', text);
    }
    if (user.banned_until !== undefined && user.banned_until > new Date()) {
      throw new AuthError('user_banned', 'User is banned');
    }
    if (claims.session_id !== undefined) {
      const sql = 'select 1 from auth.sessions where id::text = $1';
      const { rowCount } = await pool.query(sql, [claims.session_id]);
      if (rowCount === 0) {
        const text = 'Session from session_id claim in JWT does not exist';
        throw new AuthError('session_not_found', text);
      }
    }
    return { claims, user };
  }

  function fakeUser(email, data) {
    const now = new Date();
    return {
      id: randomUUID(),
      aud: 'authenticated',
      role: '',
      email,
      phone: '',
      confirmation_sent_at: now,
      app_metadata: { provider: 'email', providers: ['email'] },
      user_metadata: data,
      identities: [],
      created_at: now,
      updated_at: now,
      is_anonymous: false,
    };
  }

  async function signup(req, res) {
    const body = await readAuthJson(req);
    if (settings.disable_signup) {
      throw new AuthError('signup_disabled', 'Signups not allowed for this instance');
    }
    const data = checkObject(body.data, 'data');
    if (!body.email && !body.phone && !body.password) {
      if (!settings.anonymous) {
        throw new AuthError('anonymous_provider_disabled', 'Anonymous sign-ins are disabled');
      }
      const answer = await inTransaction(pool, async (db) =>
        sessions.open(db, await createAnonymousUser(db, data), 'anonymous', req),
      );
      return sendJson(req, res, 200, answer);
    }
    checkPassword(body.password);
    const email = checkEmail(body.email);
    const onTaken = new AuthError('user_already_exists', 'User already registered');
    const user = { email, password: body.password, data, confirm: settings.autoconfirm, onTaken };
    try {
      const answer = await inTransaction(pool, async (db) => {
        const id = await createEmailUser(db, user);
        return settings.autoconfirm ? sessions.open(db, id, 'password', req) : loadUser(db, id);
      });
      return sendJson(req, res, 200, answer);
    } catch (error) {
      if (error === onTaken && !settings.autoconfirm) {
        return sendJson(req, res, 200, fakeUser(email, data));
      }
      throw error;
    }
  }

  async function passwordGrant(req, body) {
    const { email, password } = body;
    if (typeof email !== 'string' || typeof password !== 'string') {
      throw new AuthError('validation_failed', 'missing email or phone');
    }
    const found = await findByPassword(pool, email, password);
    if (found === null) {
      throw new AuthError('invalid_credentials', 'Invalid login credentials');
    }
    if (found.banned) {
      throw new AuthError('user_banned', 'User is banned', { status: 400 });
    }
    if (!found.confirmed) {
      throw new AuthError('email_not_confirmed', 'Email not confirmed');
    }
    return inTransaction(pool, (db) => sessions.open(db, found.id, 'password', req));
  }

  async function token(req, res, info) {
    const grant = queryParam(info.rawQuery, 'grant_type');
    const body = await readAuthJson(req);
    if (grant === 'password') {
      return sendJson(req, res, 200, await passwordGrant(req, body));
    }
    if (grant === 'refresh_token') {
      const { response, headers } = await sessions.refresh(body.refresh_token);
      return sendJson(req, res, 200, response, headers);
    }
    throw new AuthError('invalid_credentials', 'unsupported_grant_type');
  }

  async function getUser(req, res, info) {
    const { user } = await requireUser(info);
    sendJson(req, res, 200, user);
  }

  async function changePassword(db, claims, password) {
    checkPassword(password);
    const same = await db.query(
      `select 1 from auth.users
       where id = $1 and encrypted_password = extensions.crypt($2, encrypted_password)`,
      [claims.sub, password],
    );
    if (same.rowCount > 0) {
      const text = 'New password should be different from the old password.';
      throw new AuthError('same_password', text);
    }
    await db.query(
      `update auth.users set encrypted_password = extensions.crypt($2, extensions.gen_salt('bf', 6))
       where id = $1`,
      [claims.sub, password],
    );
    await sessions.close(db, claims.sub, claims.session_id ?? null, 'others');
  }

  async function changeEmail(db, id, given) {
    const email = checkEmail(given);
    const sql = 'select 1 from auth.users where lower(email) = $1 and id <> $2';
    const taken = await db.query(sql, [email, id]);
    if (taken.rowCount > 0) {
      const text = 'A user with this email address has already been registered';
      throw new AuthError('email_exists', text);
    }
    await db.query('update auth.users set email = $2 where id = $1', [id, email]);
  }

  async function putUser(req, res, info) {
    const { claims } = await requireUser(info);
    const body = await readAuthJson(req);
    const data = checkObject(body.data, 'data');
    const changed = await inTransaction(pool, async (db) => {
      if (body.password !== undefined && body.password !== null) {
        await changePassword(db, claims, body.password);
      }
      if (body.email) {
        await changeEmail(db, claims.sub, body.email);
      }
      await db.query(
        `update auth.users set updated_at = now(),
           raw_user_meta_data = (
             select coalesce(jsonb_object_agg(key, value), '{}')
             from jsonb_each(raw_user_meta_data || $2::jsonb)
             where value <> 'null')
         where id = $1`,
        [claims.sub, JSON.stringify(data)],
      );
      return loadUser(db, claims.sub);
    });
    sendJson(req, res, 200, changed);
  }

  async function logout(req, res, info) {
    const scope = queryParam(info.rawQuery, 'scope') ?? 'global';
    if (!SCOPES.includes(scope)) {
      throw new AuthError('validation_failed', `Unsupported logout scope "${scope}"`);
    }
    const { claims } = await requireUser(info);
    req.resume();
    await sessions.close(pool, claims.sub, claims.session_id ?? null, scope);
    sendText(req, res, 204, '');
  }

  function showSettings(req, res) {
    sendJson(req, res, 200, {
      external: { anonymous_users: settings.anonymous, email: true, phone: false },
      disable_signup: settings.disable_signup,
      mailer_autoconfirm: settings.autoconfirm,
      phone_autoconfirm: false,
      sms_provider: '',
      saml_enabled: false,
      passkeys_enabled: false,
    });
  }

  function health(req, res) {
    const description = 'GoTrue is a user registration and authentication API';
    sendJson(req, res, 200, { version: VERSION, name: 'GoTrue', description });
  }

  function jwks(req, res) {
    sendJson(req, res, 200, ctx.jwt.jwks(), { 'Cache-Control': 'public, max-age=600' });
  }

  const routes = {
    'POST /signup': signup,
    'POST /token': token,
    'GET /user': getUser,
    'PUT /user': putUser,
    'POST /logout': logout,
    'GET /settings': showSettings,
    'GET /health': health,
    'GET /.well-known/jwks.json': jwks,
  };
  const admin = adminRoute({ ctx, sessions, requireToken, readAuthJson, inTransaction });

  async function handle(req, res, info) {
    try {
      const route = routes[`${req.method} ${info.path}`] ?? admin.find(req.method, info.path);
      if (route) {
        await route(req, res, info);
        return;
      }
      req.resume();
      const known = Object.keys(routes).some((name) => name.endsWith(` ${info.path}`));
      const text = known ? '' : '404 page not found\n';
      sendText(req, res, known ? 405 : 404, text, { 'Content-Type': 'text/plain; charset=utf-8' });
    } catch (error) {
      req.resume();
      if (!(error instanceof AuthError)) {
        ctx.log('error', 'auth_failed', { error: error.stack });
      }
      const shown =
        error instanceof AuthError
          ? error
          : new AuthError('unexpected_failure', 'Unexpected failure, please check server logs');
      sendAuthError(req, res, shown);
    }
  }

  /** Control: change project settings, signing algorithm lifetime and reuse rules at run time. */
  function configure(json) {
    for (const [name, value] of Object.entries(json)) {
      if (Object.hasOwn(settings, name)) {
        settings[name] = Boolean(value);
      } else if (name === 'jwt_exp' && Number.isInteger(value) && value >= 1) {
        config.jwtExp = value;
      } else if (name === 'reuse_interval' && Number.isFinite(value) && value >= 0) {
        config.reuseInterval = value;
      } else if (name === 'jwt_alg' && SIGNING_ALGS.includes(value)) {
        config.jwtAlg = value;
      } else if (name === 'refresh_token_version' && (value === 1 || value === 2)) {
        config.refreshTokenVersion = value;
      } else {
        throw new Error(`bad setting ${name}`);
      }
    }
    return { ...settings, jwt_exp: config.jwtExp, reuse_interval: config.reuseInterval };
  }

  return { handle, control: { configure: async (json) => configure(json) }, stop: async () => {} };
}
