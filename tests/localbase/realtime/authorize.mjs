// authorize.mjs - private channels: what the policies on realtime.messages allow
// (reference/realtime-protocol.md §11). Probe rows never outlive the transaction.

const EXTENSIONS = ['broadcast', 'presence'];

async function actAs(client, { sub, claims, claimsText, headers }) {
  const settings = {
    role: String(claims.role),
    'realtime.topic': sub,
    'request.jwt.claims': claimsText,
    'request.jwt.claim.sub': String(claims.sub ?? ''),
    'request.jwt.claim.role': String(claims.role),
    'request.headers': JSON.stringify(headers),
  };
  const calls = Object.keys(settings).map(
    (_, i) => `set_config($${2 * i + 1}, $${2 * i + 2}, true)`,
  );
  await client.query(`select ${calls.join(', ')}`, Object.entries(settings).flat());
}

async function inRolledBack(pool, work) {
  const client = await pool.connect();
  try {
    await client.query('begin');
    return await work(client);
  } finally {
    await client.query('rollback').catch(() => {});
    client.release();
  }
}

/** Which extensions the user may read on the topic: { broadcast, presence }. */
export function readRights(pool, who) {
  return inRolledBack(pool, async (client) => {
    const { rows } = await client.query(
      `insert into realtime.messages (topic, extension, event, payload, private)
             select $1, e, 'probe', '{}', true from unnest($2::text[]) e returning id`,
      [who.sub, EXTENSIONS],
    );
    await actAs(client, who);
    const seen = await client.query(
      'select extension from realtime.messages where id = any($1::uuid[])',
      [rows.map((r) => r.id)],
    );
    return Object.fromEntries(EXTENSIONS.map((e) => [e, seen.rows.some((r) => r.extension === e)]));
  });
}

/** Whether the user may write the extension on the topic. */
export function mayWrite(pool, who, extension) {
  return inRolledBack(pool, async (client) => {
    await actAs(client, who);
    try {
      await client.query(
        `insert into realtime.messages (topic, extension, event, payload, private)
                 values ($1, $2, 'probe', '{}', true)`,
        [who.sub, extension],
      );
      return true;
    } catch (err) {
      if (err.code === '42501') {
        return false;
      }
      throw err;
    }
  });
}
