// catalog.mjs - what a role may see of a table, asked freshly each time:
// grants and columns change under a running stand-in as they do upstream.

const COLUMNS = `
select n.nspname as schema, c.relname as "table", c.relrowsecurity as rls,
       a.attname as name, t.typname, t.typcategory as category, t.typtype = 'e' as is_enum,
       format_type(a.atttypid, null) as type,
       coalesce(a.attnum = any (i.indkey::int2[]), false) as pk,
       array(select r.role from unnest($3::text[]) r(role)
             where has_column_privilege(r.role, c.oid, a.attnum, 'SELECT')) as readers
from unnest($1::text[], $2::text[]) w(s, t2)
join pg_namespace n on n.nspname = w.s
join pg_class c on c.relnamespace = n.oid and c.relname = w.t2
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
join pg_type t on t.oid = a.atttypid
left join pg_index i on i.indrelid = c.oid and i.indisprimary
order by 1, 2, a.attnum`;

export function tableKey(schema, table) {
  return JSON.stringify([schema, table]);
}

/** Tables by key: { schema, table, rls, columns: [{ name, type, typname, pk, readers, ... }] }. */
export async function loadTables(db, tables, roles) {
  const { rows } = await db.query(COLUMNS, [
    tables.map((t) => t.schema),
    tables.map((t) => t.table),
    roles,
  ]);
  const out = new Map();
  for (const r of rows) {
    const key = tableKey(r.schema, r.table);
    if (!out.has(key)) {
      out.set(key, { schema: r.schema, table: r.table, rls: r.rls, columns: [] });
    }
    out.get(key).columns.push({
      name: r.name,
      type: r.type,
      typname: r.typname,
      category: r.category,
      isEnum: r.is_enum,
      pk: r.pk,
      readers: new Set(r.readers),
    });
  }
  return out;
}

/** Roles by name: true when row level security does not apply to them. Unknown roles are absent. */
export async function loadRoles(db, names) {
  const { rows } = await db.query(
    `select rolname, rolbypassrls or rolsuper as bypass from pg_roles
     where rolname = any($1::text[])`,
    [names],
  );
  return new Map(rows.map((r) => [r.rolname, r.bypass]));
}

export async function publicationTables(db, publication) {
  const { rows } = await db.query(
    `select schemaname as schema, tablename as "table" from pg_publication_tables
         where pubname = $1 order by 1, 2`,
    [publication],
  );
  return rows;
}
