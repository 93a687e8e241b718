// users.mjs - rows of auth.users and auth.identities, and the JSON that shows them.
import { AuthError } from './errors.mjs';

const MIN_PASSWORD_CHARS = 6;
const MAX_PASSWORD_BYTES = 72;

/** What a row becomes in JSON: fixed fields always, times only when set. */
export function userJson(row, identities) {
  const optional = {
    email_confirmed_at: row.email_confirmed_at,
    phone_confirmed_at: row.phone_confirmed_at,
    confirmed_at: row.email_confirmed_at ?? row.phone_confirmed_at,
    last_sign_in_at: row.last_sign_in_at,
    banned_until: row.banned_until,
    deleted_at: row.deleted_at,
  };
  const present = Object.entries(optional).filter(([, value]) => value !== null);
  return {
    id: row.id,
    aud: row.aud,
    role: row.role,
    email: row.email ?? '',
    ...Object.fromEntries(present),
    phone: row.phone ?? '',
    app_metadata: row.raw_app_meta_data,
    user_metadata: row.raw_user_meta_data,
    identities,
    created_at: row.created_at,
    updated_at: row.updated_at,
    is_anonymous: row.is_anonymous,
  };
}

function identityJson(row) {
  return {
    identity_id: row.id,
    id: row.provider_id,
    user_id: row.user_id,
    identity_data: row.identity_data,
    provider: row.provider,
    last_sign_in_at: row.last_sign_in_at,
    created_at: row.created_at,
    updated_at: row.updated_at,
    email: row.email,
  };
}

/** The user as JSON, or null. `db`: pool or client. */
export async function loadUser(db, id) {
  const { rows } = await db.query('select * from auth.users where id = $1', [id]);
  if (rows.length === 0) {
    return null;
  }
  const identities = await db.query(
    'select * from auth.identities where user_id = $1 order by created_at, id',
    [id],
  );
  return userJson(rows[0], identities.rows.map(identityJson));
}

export function checkPassword(password) {
  if (typeof password !== 'string' || password === '') {
    throw new AuthError('validation_failed', 'Signup requires a valid password');
  }
  if (Buffer.byteLength(password) > MAX_PASSWORD_BYTES) {
    throw new AuthError('validation_failed', 'Password cannot be longer than 72 characters');
  }
  if (password.length < MIN_PASSWORD_CHARS) {
    const extra = { weak_password: { reasons: ['length'] } };
    const text = `Password should be at least ${MIN_PASSWORD_CHARS} characters.`;
    throw new AuthError('weak_password', text, { extra });
  }
}

export function checkEmail(email) {
  if (
    typeof email !== 'string' ||
    email.length > 255 ||
    !/^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(email)
  ) {
    throw new AuthError('validation_failed', 'Unable to validate email address: invalid format');
  }
  return email.toLowerCase();
}

export function checkObject(value, name) {
  const isObject = value !== null && typeof value === 'object' && !Array.isArray(value);
  if (value !== undefined && value !== null && !isObject) {
    throw new AuthError('validation_failed', `${name} must be an object`);
  }
  return value ?? {};
}

/** Inserts a confirmed e-mail user with its identity. Returns the id. */
export async function createEmailUser(db, user) {
  const { email, password, data, appData = {}, confirm = true, onTaken } = user;
  const { rows } = await db.query(
    `insert into auth.users (email, encrypted_password, email_confirmed_at, raw_app_meta_data)
     values ($1, extensions.crypt($2, extensions.gen_salt('bf', 6)),
       case when $3 then now() end,
       '{"provider":"email","providers":["email"]}'::jsonb || $4::jsonb)
     on conflict do nothing returning id`,
    [email, password, confirm, JSON.stringify(appData)],
  );
  if (rows.length === 0) {
    throw onTaken;
  }
  const { id } = rows[0];
  const facts = { sub: id, email, email_verified: false, phone_verified: false };
  await db.query('update auth.users set raw_user_meta_data = $2::jsonb where id = $1', [
    id,
    JSON.stringify({ ...data, ...facts, email_verified: confirm }),
  ]);
  await db.query(
    `insert into auth.identities (provider_id, user_id, identity_data, provider, last_sign_in_at)
     values ($1, $2, $3, 'email', now())`,
    [id, id, JSON.stringify({ ...data, ...facts })],
  );
  return id;
}

/** An anonymous user has neither e-mail nor identity. */
export async function createAnonymousUser(db, data) {
  const { rows } = await db.query(
    `insert into auth.users (is_anonymous, raw_user_meta_data) values (true, $1) returning id`,
    [JSON.stringify(data)],
  );
  return rows[0].id;
}

/** The id of the user with these credentials; null when they are wrong. */
export async function findByPassword(db, email, password) {
  const { rows } = await db.query(
    `select id, banned_until > now() as banned, email_confirmed_at is not null as confirmed
     from auth.users
     where lower(email) = lower($1) and deleted_at is null
       and encrypted_password = extensions.crypt($2, encrypted_password)`,
    [email, password],
  );
  return rows[0] ?? null;
}
