// catalog.mjs - what the exposed schemas hold: tables, columns, keys, functions, role settings.
//
// Read once and kept. `NOTIFY pgrst` forgets it, and so does a name that is not
// found, so that a test's DDL is seen at once.
import pg from 'pg';

const TABLES = `
  select n.nspname as schema, c.relname as name,
    (select json_agg(json_build_object('name', a.attname,
        'type', format_type(a.atttypid, a.atttypmod),
        'base', format_type(a.atttypid, null),
        'fallback', case when a.attidentity = '' then pg_get_expr(d.adbin, d.adrelid) end,
        'generated', a.attgenerated <> '') order by a.attnum)
      from pg_attribute a
      left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns,
    coalesce((select json_agg(a.attname order by k.ord)
      from pg_index i
      cross join lateral unnest(i.indkey) with ordinality as k (attnum, ord)
      join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
      where i.indrelid = c.oid and i.indisprimary), '[]') as key
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'v', 'm', 'f', 'p') and n.nspname = any ($1)`;

const FUNCTIONS = `
  select n.nspname as schema, p.proname as name, p.proretset as many, t.typtype as kind,
    p.provolatile as volatility, t.typname as result, rel.relname as result_table,
    reln.nspname as result_schema,
    coalesce(p.proargnames, '{}') as names,
    coalesce(p.proargmodes::text[], '{}') as modes,
    array(select format_type(x, null)
      from unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) x) as types,
    p.pronargdefaults as n_defaults
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace
  join pg_type t on t.oid = p.prorettype
  left join pg_class rel on rel.oid = t.typrelid and t.typrelid <> 0
  left join pg_namespace reln on reln.oid = rel.relnamespace
  where p.prokind = 'f' and n.nspname = any ($1) and t.typname <> 'trigger'`;

const ROLE_SETTINGS = `
  select r.rolname as role, s.setting
  from pg_db_role_setting d join pg_roles r on r.oid = d.setrole
  cross join lateral unnest(d.setconfig) as s (setting)
  where d.setdatabase = 0 and split_part(s.setting, '=', 1) in ('statement_timeout')`;

/** Arguments with their types, and which of them may be left out. */
function describeFunction(row) {
  const { names, modes, types, n_defaults: nDefaults } = row;
  const all = types.map((type, i) => ({ name: names[i] ?? '', type, mode: modes[i] ?? 'i' }));
  const args = all.filter(({ mode }) => mode === 'i' || mode === 'b' || mode === 'v');
  args.forEach((arg, i) => {
    arg.optional = i >= args.length - nDefaults;
  });
  const outs = all.filter(({ mode }) => mode === 'o' || mode === 'b' || mode === 't');
  return {
    schema: row.schema,
    name: row.name,
    args,
    many: row.many,
    isVoid: row.result === 'void',
    isRow: row.kind === 'c' || row.result === 'record',
    table: row.result_table && { schema: row.result_schema, name: row.result_table },
    outs: outs.map(({ name, type }) => ({ name, type })),
  };
}

async function readCatalog(db, schemas) {
  const [tables, functions, settings] = await Promise.all([
    db.query(TABLES, [schemas]),
    db.query(FUNCTIONS, [schemas]),
    db.query(ROLE_SETTINGS),
  ]);
  const key = (row) => `${row.schema}.${row.name}`;
  const roleSettings = new Map();
  for (const { role, setting } of settings.rows) {
    roleSettings.set(role, setting.split('=')[1]);
  }
  const byName = new Map();
  for (const row of functions.rows) {
    byName.set(key(row), [...(byName.get(key(row)) ?? []), describeFunction(row)]);
  }
  return {
    tables: new Map(tables.rows.map((row) => [key(row), row])),
    functions: byName,
    statementTimeouts: roleSettings,
  };
}

export function createCatalog(ctx, schemas) {
  let current = null;
  let listener = null;

  function reload() {
    current = null;
  }

  /** Hears `NOTIFY pgrst` on a connection of its own; a lost one is opened again at next use. */
  async function listen() {
    const client = new pg.Client(ctx.db);
    client.on('notification', reload);
    const lost = () => {
      listener = null;
      reload();
    };
    client.on('error', lost);
    client.on('end', lost);
    await client.connect();
    await client.query('listen pgrst');
    return client;
  }

  function get() {
    listener ??= listen().catch(() => {
      listener = null;
      return null;
    });
    current ??= readCatalog(ctx.pg, schemas).catch((error) => {
      current = null;
      throw error;
    });
    return current;
  }

  /** Runs `pick(catalog)`; when it finds nothing, once more on a fresh one. */
  async function find(pick) {
    const found = pick(await get());
    if (found !== undefined) {
      return found;
    }
    reload();
    return pick(await get());
  }

  async function stop() {
    const client = await listener;
    await client?.end();
  }

  return { get, find, reload, stop };
}
