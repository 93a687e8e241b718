// admin.mjs - the few admin endpoints: list, create, read and delete users.
import { AuthError } from './errors.mjs';
import { checkEmail, checkObject, checkPassword, createEmailUser, loadUser } from './users.mjs';
import { queryParam, sendJson } from '../http.mjs';

const MAX_PER_PAGE = 1000;
const ADMIN_ROLES = ['service_role', 'supabase_admin'];

function pageParam(info, name, fallback, max) {
  const value = Number(queryParam(info.rawQuery, name) ?? fallback);
  if (!Number.isInteger(value) || value < 1 || value > max) {
    throw new AuthError('validation_failed', `Bad Pagination Parameters: ${name}`);
  }
  return value;
}

export function adminRoute({ ctx, requireToken, readAuthJson, inTransaction }) {
  const { pg: pool } = ctx;

  function requireAdmin(info) {
    if (!ADMIN_ROLES.includes(requireToken(info).role)) {
      throw new AuthError('not_admin', 'User not allowed');
    }
  }

  const missing = () => new AuthError('user_not_found', 'User not found', { status: 404 });

  async function list(req, res, info) {
    requireAdmin(info);
    const page = pageParam(info, 'page', 1, Number.MAX_SAFE_INTEGER);
    const perPage = pageParam(info, 'per_page', 50, MAX_PER_PAGE);
    const total = await pool.query('select count(*)::int as n from auth.users');
    const { rows } = await pool.query(
      'select id from auth.users order by created_at desc, id limit $1 offset $2',
      [perPage, (page - 1) * perPage],
    );
    const users = await Promise.all(rows.map(({ id }) => loadUser(pool, id)));
    const last = Math.max(1, Math.ceil(total.rows[0].n / perPage));
    const link = (to, rel) => `</admin/users?page=${to}&per_page=${perPage}>; rel="${rel}"`;
    const links = [...(page < last ? [link(page + 1, 'next')] : []), link(last, 'last')];
    const headers = { 'X-Total-Count': String(total.rows[0].n), Link: links.join(', ') };
    sendJson(req, res, 200, { users, aud: 'authenticated' }, headers);
  }

  async function create(req, res, info) {
    requireAdmin(info);
    const body = await readAuthJson(req);
    const email = checkEmail(body.email);
    checkPassword(body.password);
    const text = 'A user with this email address has already been registered';
    const user = {
      email,
      password: body.password,
      data: checkObject(body.user_metadata, 'user_metadata'),
      appData: checkObject(body.app_metadata, 'app_metadata'),
      confirm: body.email_confirm === true,
      onTaken: new AuthError('email_exists', text),
    };
    const created = await inTransaction(pool, async (db) =>
      loadUser(db, await createEmailUser(db, user)),
    );
    sendJson(req, res, 200, created);
  }

  async function read(req, res, info, id) {
    requireAdmin(info);
    const user = await loadUser(pool, id);
    if (user === null) {
      throw missing();
    }
    sendJson(req, res, 200, user);
  }

  async function remove(req, res, info, id) {
    requireAdmin(info);
    await readAuthJson(req);
    const { rowCount } = await pool.query('delete from auth.users where id = $1', [id]);
    if (rowCount === 0) {
      throw missing();
    }
    sendJson(req, res, 200, {});
  }

  const byId = { GET: read, DELETE: remove };
  const plain = { GET: list, POST: create };

  /** The handler of this request, or undefined. */
  function find(method, path) {
    if (path === '/admin/users') {
      return plain[method];
    }
    const match = /^\/admin\/users\/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/i.exec(path);
    const route = match && byId[method];
    return route ? (req, res, info) => route(req, res, info, match[1]) : undefined;
  }

  return { find };
}
