// listing.mjs - what a folder shows: objects and the folders that they imply.

const MAX_ROWS = 10_000;
const COLUMNS = ['name', 'updated_at', 'created_at', 'last_accessed_at'];

function shownObject(row, name) {
  return {
    name,
    id: row.id,
    updated_at: row.updated_at,
    created_at: row.created_at,
    last_accessed_at: row.last_accessed_at,
    metadata: row.metadata,
  };
}

function shownFolder(name) {
  return {
    name,
    id: null,
    updated_at: null,
    created_at: null,
    last_accessed_at: null,
    metadata: null,
  };
}

function number(value, fallback) {
  return Number.isInteger(value) && value >= 0 ? value : fallback;
}

function compare(column, descending) {
  const sign = descending ? -1 : 1;
  return (a, b) => {
    const [x, y] = [a[column] ?? '', b[column] ?? ''];
    return x < y ? -sign : x > y ? sign : 0;
  };
}

/** The entries directly below a prefix, as `client`'s role sees them. */
export async function listFolder(client, bucket, options) {
  const folder = String(options.prefix ?? '').replace(/\/*$/, '');
  const start = folder === '' ? '' : `${folder}/`;
  const search = String(options.search ?? '').toLowerCase();
  const { rows } = await client.query(
    `select * from storage.objects
     where bucket_id = $1 and starts_with(name, $2) order by name limit ${MAX_ROWS}`,
    [bucket, start],
  );
  const entries = new Map();
  for (const row of rows) {
    const [first, ...deeper] = row.name.slice(start.length).split('/');
    if (first.toLowerCase().includes(search)) {
      entries.set(first, deeper.length > 0 ? shownFolder(first) : shownObject(row, first));
    }
  }
  const { column, order } = options.sortBy ?? {};
  const chosen = COLUMNS.includes(column) ? column : 'name';
  const all = [...entries.values()].sort(compare(chosen, order === 'desc'));
  const offset = number(options.offset, 0);
  return all.slice(offset, offset + number(options.limit, 100));
}

/** One page of list-v2: objects and folders apart, with a cursor. */
export async function listPage(client, bucket, options) {
  const prefix = String(options.prefix ?? '');
  const limit = Math.min(number(options.limit, 1000), 1000);
  const after = options.cursor ? Buffer.from(String(options.cursor), 'base64').toString() : '';
  const { rows } = await client.query(
    `select * from storage.objects
     where bucket_id = $1 and starts_with(name, $2) and name > $3 order by name limit $4`,
    [bucket, prefix, after, limit + 1],
  );
  const page = rows.slice(0, limit);
  const folders = new Set();
  const objects = [];
  for (const row of page) {
    const slash = row.name.indexOf('/', prefix.length);
    if (options.with_delimiter && slash >= 0) {
      folders.add(row.name.slice(0, slash + 1));
    } else {
      objects.push(shownObject(row, row.name));
    }
  }
  const hasNext = rows.length > limit;
  const cursor = Buffer.from(page.at(-1)?.name ?? '').toString('base64');
  return {
    hasNext,
    folders: [...folders].map((name) => ({ name })),
    objects,
    ...(hasNext ? { nextCursor: cursor } : {}),
  };
}
