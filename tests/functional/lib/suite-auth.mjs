// suite-auth.mjs - accounts and sessions with supabase-js.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';

const PASSWORD = 'correct horse';
const newEmail = () => `${randomUUID()}@example.com`;

function claimsOf(token) {
  return JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString('utf8'));
}

export function defineAuthSuite(env) {
  async function signUp(email = newEmail()) {
    const client = env.createClient();
    const { data, error } = await client.auth.signUp({
      email,
      password: PASSWORD,
      options: { data: { nick: 'Ada' } },
    });
    assert.equal(error, null);
    return { client, email, ...data };
  }

  test('signing up gives a user and a session', async () => {
    const { email, user, session } = await signUp();
    assert.equal(user.email, email);
    assert.equal(user.aud, 'authenticated');
    assert.equal(user.user_metadata.nick, 'Ada');
    assert.deepEqual(user.app_metadata, { provider: 'email', providers: ['email'] });
    assert.equal(user.identities[0].provider, 'email');
    assert.equal(session.token_type, 'bearer');
    assert.ok(session.expires_at > Date.now() / 1000);
    const claims = claimsOf(session.access_token);
    assert.equal(claims.sub, user.id);
    assert.equal(claims.role, 'authenticated');
    assert.equal(claims.aal, 'aal1');
    assert.equal(claims.amr[0].method, 'password');
    assert.match(claims.session_id, /^[0-9a-f-]{36}$/);
  });

  test('an e-mail address signs up once', async () => {
    const { email } = await signUp();
    const again = await env.createClient().auth.signUp({ email, password: PASSWORD });
    assert.equal(again.error.code, 'user_already_exists');
    assert.equal(again.error.status, 422);
  });

  test('a short password is refused with its reasons', async () => {
    const answer = await env.createClient().auth.signUp({ email: newEmail(), password: 'abc' });
    assert.equal(answer.error.name, 'AuthWeakPasswordError');
    assert.deepEqual(answer.error.reasons, ['length']);
  });

  test('a wrong password is refused', async () => {
    const { email } = env.getStack().user1;
    const client = env.createClient();
    const { error } = await client.auth.signInWithPassword({ email, password: 'not this' });
    assert.equal(error.code, 'invalid_credentials');
    assert.equal(error.status, 400);
  });

  test('signing in, reading the user, and the claims', async () => {
    const client = await env.signedIn();
    const { data, error } = await client.auth.getUser();
    assert.equal(error, null);
    assert.equal(data.user.id, env.getStack().user1.id);
    const claims = await client.auth.getClaims();
    assert.equal(claims.error, null);
    assert.equal(claims.data.claims.sub, env.getStack().user1.id);
  });

  test('a refresh rotates the refresh token and keeps the session', async () => {
    const { client, session } = await signUp();
    const { data, error } = await client.auth.refreshSession();
    assert.equal(error, null);
    assert.notEqual(data.session.refresh_token, session.refresh_token);
    const [before, now] = [session, data.session].map((s) => claimsOf(s.access_token));
    assert.equal(now.session_id, before.session_id);
    assert.equal((await client.auth.getUser()).error, null);
  });

  test('an unknown refresh token is refused', async () => {
    const client = env.createClient();
    const { error } = await client.auth.refreshSession({ refresh_token: 'abcdefghijkl' });
    assert.equal(error.code, 'refresh_token_not_found');
    assert.equal(error.status, 400);
  });

  test('a session moves to another client', async () => {
    const { session, user } = await signUp();
    const other = env.createClient();
    const { data, error } = await other.auth.setSession(session);
    assert.equal(error, null);
    assert.equal(data.user.id, user.id);
  });

  test('metadata and password can be changed', async () => {
    const { client, email } = await signUp();
    const changed = await client.auth.updateUser({ data: { nick: 'Grace' } });
    assert.equal(changed.data.user.user_metadata.nick, 'Grace');
    const same = await client.auth.updateUser({ password: PASSWORD });
    assert.equal(same.error.code, 'same_password');
    const { error } = await client.auth.updateUser({ password: 'battery staple' });
    assert.equal(error, null);
    const old = await env.createClient().auth.signInWithPassword({ email, password: PASSWORD });
    assert.equal(old.error.code, 'invalid_credentials');
    await env.signedIn({ email, password: 'battery staple' });
  });

  test('signing out ends the session at once for Auth', async () => {
    const { client, session } = await signUp();
    const { error } = await client.auth.signOut();
    assert.equal(error, null);
    const after = await client.auth.getUser(session.access_token);
    // What the SDK makes of 403 session_not_found.
    assert.equal(after.error.name, 'AuthSessionMissingError');
  });

  test('an anonymous user has a session and no e-mail', async () => {
    const { data, error } = await env.createClient().auth.signInAnonymously();
    assert.equal(error, null);
    assert.equal(data.user.is_anonymous, true);
    assert.equal(claimsOf(data.session.access_token).is_anonymous, true);
  });

  test('the service key manages users, a user does not', async () => {
    for (const key of [env.getStack().service_key, env.getStack().secret_key]) {
      const admin = env.createClient({ key }).auth.admin;
      const email = newEmail();
      const made = await admin.createUser({ email, password: PASSWORD, email_confirm: true });
      assert.equal(made.error, null);
      const { id } = made.data.user;
      assert.equal((await admin.getUserById(id)).data.user.email, email);
      const listed = await admin.listUsers({ page: 1, perPage: 1000 });
      assert.ok(listed.data.users.some((user) => user.id === id));
      assert.equal((await admin.deleteUser(id)).error, null);
      assert.equal((await admin.getUserById(id)).error.code, 'user_not_found');
    }
    const { error } = await (await env.signedIn()).auth.admin.listUsers();
    assert.equal(error.code, 'not_admin');
  });

  test('the publishable key works like the anon key', async () => {
    const client = await env.signedIn(undefined, { key: env.getStack().publishable_key });
    const { data, error } = await client.from('trips').select('id');
    assert.equal(error, null);
    assert.deepEqual(data, [{ id: env.getStack().trip1_id }]);
  });
}
