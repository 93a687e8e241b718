// buckets.mjs - /bucket: make, look at, change, empty and delete buckets.
import { readJson, sendJson } from '../http.mjs';
import { StorageError } from './errors.mjs';

const SHOWN = `id, name, coalesce(owner_id, '') as owner, public, file_size_limit::float8,
  allowed_mime_types, created_at, updated_at`;

async function one(store, who, id) {
  const rows = await store.as(who, async (client) => {
    const result = await client.query(`select ${SHOWN} from storage.buckets where id = $1`, [id]);
    return result.rows;
  });
  if (rows.length === 0) {
    throw new StorageError('NoSuchBucket');
  }
  return rows[0];
}

async function create(store, who, json) {
  const id = json.id ?? json.name;
  if (typeof id !== 'string' || !/^[\w.-]{1,100}$/.test(id)) {
    throw new StorageError('InvalidRequest', 'Bucket name invalid');
  }
  await store.as(who, (client) =>
    client.query(
      `insert into storage.buckets (id, name, owner_id, public, file_size_limit, allowed_mime_types)
       values ($1, $2, $3, $4, $5, $6)`,
      [
        id,
        json.name ?? id,
        who.claims.sub ?? null,
        json.public ?? false,
        json.file_size_limit ?? null,
        json.allowed_mime_types ?? null,
      ],
    ),
  );
  return { name: id };
}

async function change(store, who, id, json) {
  const changed = await store.as(who, (client) =>
    client.query(
      `update storage.buckets set public = coalesce($2, public), file_size_limit = $3,
         allowed_mime_types = $4, updated_at = now() where id = $1`,
      [id, json.public ?? null, json.file_size_limit ?? null, json.allowed_mime_types ?? null],
    ),
  );
  if (changed.rowCount === 0) {
    throw new StorageError('NoSuchBucket');
  }
  return { message: 'Successfully updated' };
}

async function empty(store, who, id) {
  await one(store, who, id);
  const { rows } = await store.pool.query('select name from storage.objects where bucket_id = $1', [
    id,
  ]);
  await store.remove(
    who,
    id,
    rows.map((row) => row.name),
  );
  return { message: 'Successfully emptied' };
}

async function drop(store, who, id) {
  await one(store, who, id);
  const { rowCount } = await store.pool.query(
    'select from storage.objects where bucket_id = $1 limit 1',
    [id],
  );
  if (rowCount > 0) {
    throw new StorageError('BucketNotEmpty');
  }
  await store.as(who, (client) => client.query('delete from storage.buckets where id = $1', [id]));
  return { message: 'Successfully deleted' };
}

async function list(store, who) {
  return store.as(who, async (client) => {
    const result = await client.query(`select ${SHOWN} from storage.buckets order by id`);
    return result.rows;
  });
}

/** Serves /bucket[/<id>[/empty]]. `rest`: the path's segments after it, decoded. */
export async function handleBuckets(store, who, req, res, rest) {
  const [id, verb] = rest;
  const route = `${req.method} ${rest.length}${verb === 'empty' ? ' empty' : ''}`;
  const json = ['POST', 'PUT'].includes(req.method) ? await readJson(req) : {};
  const steps = {
    'GET 0': () => list(store, who),
    'POST 0': () => create(store, who, json),
    'GET 1': () => one(store, who, id),
    'PUT 1': () => change(store, who, id, json),
    'DELETE 1': () => drop(store, who, id),
    'POST 2 empty': () => empty(store, who, id),
  };
  if (!Object.hasOwn(steps, route)) {
    throw new StorageError('NotFound');
  }
  sendJson(req, res, 200, await steps[route]());
}
