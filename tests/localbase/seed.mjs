// seed.mjs - brings the database to its first state: schema files, passwords, demo rows.
import fs from 'node:fs';
import pg from 'pg';

const SCHEMA_DIR = new URL('./schema/', import.meta.url);

export const DEMO = {
  user1: {
    id: '11111111-1111-4111-8111-111111111111',
    email: 'user1@example.com',
    password: 'password-of-user-1',
  },
  user2: {
    id: '22222222-2222-4222-8222-222222222222',
    email: 'user2@example.com',
    password: 'password-of-user-2',
  },
  trip1: 'aaaaaaaa-0000-4000-8000-000000000001',
  trip2: 'aaaaaaaa-0000-4000-8000-000000000002',
};

/** Runs every schema file that this database has not seen, in the order of their names. */
async function applySchema(client) {
  await client.query('create schema if not exists localbase');
  await client.query('create table if not exists localbase.applied (name text primary key)');
  const { rows } = await client.query('select name from localbase.applied');
  const seen = new Set(rows.map((row) => row.name));
  const names = fs.readdirSync(SCHEMA_DIR).filter((name) => name.endsWith('.sql'));
  for (const name of names.sort().filter((n) => !seen.has(n))) {
    const sql = fs.readFileSync(new URL(name, SCHEMA_DIR), 'utf8');
    await client.query('begin');
    await client.query(sql);
    await client.query('insert into localbase.applied values ($1)', [name]);
    await client.query('commit');
    await client.query('reset all');
  }
}

async function setPasswords(client, password) {
  for (const role of ['authenticator', 'supabase_admin', 'supabase_auth_admin']) {
    await client.query(`alter role ${role} password ${client.escapeLiteral(password)}`);
  }
}

async function seedUser(client, user) {
  await client.query(
    `insert into auth.users (id, email, encrypted_password, email_confirmed_at,
       raw_app_meta_data, raw_user_meta_data)
     values ($1, $2, extensions.crypt($3, extensions.gen_salt('bf', 6)), now(),
       '{"provider":"email","providers":["email"]}', '{"email_verified":true}')
     on conflict do nothing`,
    [user.id, user.email, user.password],
  );
  await client.query(
    `insert into auth.identities (provider_id, user_id, identity_data, provider)
     values ($1, $2, jsonb_build_object('sub', $1::text, 'email', $3::text,
       'email_verified', false, 'phone_verified', false), 'email')
     on conflict do nothing`,
    [user.id, user.id, user.email],
  );
}

async function seedTrip(client, id, name, owner) {
  await client.query(
    'insert into public.trips (id, name, owner_id) values ($1, $2, $3) on conflict do nothing',
    [id, name, owner],
  );
}

/** Schema and demo rows; harmless on a database that has them. */
export async function seedDatabase(db) {
  const client = new pg.Client(db);
  await client.connect();
  try {
    await applySchema(client);
    await setPasswords(client, db.password);
    await seedUser(client, DEMO.user1);
    await seedUser(client, DEMO.user2);
    await seedTrip(client, DEMO.trip1, 'Lisbon in spring', DEMO.user1.id);
    await seedTrip(client, DEMO.trip2, 'Across the Alps', DEMO.user2.id);
  } finally {
    await client.end();
  }
}
