// store.mjs - objects: their rows in PostgreSQL, their bytes on disk.
//
// Bytes are written to a file of their own first; the row then points at it, and
// the file that the row pointed at before goes away. Whether somebody may do a
// thing is asked of PostgreSQL under that somebody's role and claims.
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fromPostgres, noSuchKey, StorageError } from './errors.mjs';

const MAX_NAME_BYTES = 1024;
const NAME = /^[\w/!.*'() &$@=;:+,?-]+$/u;

export function checkName(name) {
  const isBad =
    name === '' ||
    Buffer.byteLength(name) > MAX_NAME_BYTES ||
    !NAME.test(name) ||
    name.split('/').some((part) => part === '' || part === '.' || part === '..');
  if (isBad) {
    throw new StorageError('InvalidKey', `Invalid key: ${name}`);
  }
}

export class Store {
  constructor(pool, dir) {
    this.pool = pool;
    this.dir = dir;
    fs.mkdirSync(dir, { recursive: true });
  }

  fileOf(version) {
    return path.join(this.dir, version);
  }

  /** Runs `step(client)` as `who` ({ role, claims }); nothing stays when `probe` is set. */
  async as(who, step, { probe = false } = {}) {
    const client = await this.pool.connect();
    try {
      await client.query('begin');
      await client.query(
        "select set_config('role', $1, true), set_config('request.jwt.claims', $2, true)",
        [who.role, JSON.stringify(who.claims)],
      );
      const result = await step(client);
      await client.query(probe ? 'rollback' : 'commit');
      return result;
    } catch (error) {
      await client.query('rollback').catch(() => {});
      throw fromPostgres(error);
    } finally {
      client.release();
    }
  }

  async bucket(id) {
    const { rows } = await this.pool.query('select * from storage.buckets where id = $1', [id]);
    if (rows.length === 0) {
      throw new StorageError('NoSuchBucket');
    }
    return rows[0];
  }

  /** The row, whoever asks. Throws NoSuchKey. */
  async object(bucket, name) {
    const { rows } = await this.pool.query(
      'select * from storage.objects where bucket_id = $1 and name = $2',
      [bucket, name],
    );
    if (rows.length === 0) {
      throw noSuchKey();
    }
    return rows[0];
  }

  /** The row as `who` sees it. Throws NoSuchKey. */
  async objectAs(who, bucket, name) {
    const rows = await this.as(who, async (client) => {
      const result = await client.query(
        'select * from storage.objects where bucket_id = $1 and name = $2',
        [bucket, name],
      );
      return result.rows;
    });
    if (rows.length === 0) {
      throw noSuchKey();
    }
    return rows[0];
  }

  /** Throws unless `who` may write the object, and, without `upsert`, make it. */
  async mayWrite(who, bucket, name, upsert) {
    const clause = upsert ? 'on conflict (bucket_id, name) do update set updated_at = now()' : '';
    await this.as(
      who,
      (client) =>
        client.query(
          `insert into storage.objects (bucket_id, name, owner_id) values ($1, $2, $3) ${clause}`,
          [bucket, name, who.claims.sub ?? null],
        ),
      { probe: true },
    );
  }

  /** Writes a stream to a new file. Returns { version, size, md5 }. */
  async write(body, maxBytes) {
    const version = crypto.randomUUID();
    const hash = crypto.createHash('md5');
    let size = 0;
    const count = async function* count(source) {
      for await (const chunk of source) {
        size += chunk.length;
        if (size > maxBytes) {
          throw new StorageError('EntityTooLarge');
        }
        hash.update(chunk);
        yield chunk;
      }
    };
    try {
      await pipeline(body, count, fs.createWriteStream(this.fileOf(version)));
    } catch (error) {
      this.discard(version);
      throw error;
    }
    return { version, size, md5: hash.digest('hex') };
  }

  discard(version) {
    fs.rmSync(this.fileOf(version), { force: true });
  }

  /** Makes the object point at a written file. `who` has been checked. Returns its row. */
  async publish(who, { bucket, name, written, type, cacheControl, userMetadata, upsert }) {
    const metadata = {
      eTag: `"${written.md5}"`,
      size: written.size,
      mimetype: type,
      cacheControl,
      lastModified: new Date().toISOString(),
      contentLength: written.size,
      httpStatusCode: 200,
    };
    const client = await this.pool.connect();
    try {
      await client.query('begin');
      const old = await client.query(
        'select version from storage.objects where bucket_id = $1 and name = $2 for update',
        [bucket, name],
      );
      const { rows } = await client.query(
        `insert into storage.objects
           (bucket_id, name, owner, owner_id, version, metadata, user_metadata)
         values ($1, $2, $3, $4, $5, $6, $7)
         ${
           upsert
             ? `on conflict (bucket_id, name) do update set version = excluded.version,
                  metadata = excluded.metadata, user_metadata = excluded.user_metadata,
                  owner = excluded.owner, owner_id = excluded.owner_id, updated_at = now()`
             : ''
         }
         returning *`,
        [
          bucket,
          name,
          who.claims.sub ?? null,
          who.claims.sub ?? null,
          written.version,
          metadata,
          userMetadata,
        ],
      );
      await client.query('commit');
      if (old.rows.length > 0 && old.rows[0].version !== null) {
        this.discard(old.rows[0].version);
      }
      return rows[0];
    } catch (error) {
      await client.query('rollback').catch(() => {});
      this.discard(written.version);
      throw fromPostgres(error);
    } finally {
      client.release();
    }
  }

  /** A second object with the same bytes. */
  async copy(who, row, bucket, name, upsert) {
    const version = crypto.randomUUID();
    await fs.promises.copyFile(this.fileOf(row.version), this.fileOf(version));
    const { size, eTag, mimetype, cacheControl } = row.metadata;
    return this.publish(who, {
      bucket,
      name,
      written: { version, size, md5: eTag.slice(1, -1) },
      type: mimetype,
      cacheControl,
      userMetadata: row.user_metadata,
      upsert,
    });
  }

  async move(who, row, bucket, name) {
    const changed = await this.as(who, (client) =>
      client.query(
        'update storage.objects set bucket_id = $2, name = $3, updated_at = now() where id = $1',
        [row.id, bucket, name],
      ),
    );
    if (changed.rowCount === 0) {
      throw noSuchKey();
    }
  }

  /** Deletes what `who` may delete of `names`. Returns the rows. */
  async remove(who, bucket, names) {
    const rows = await this.as(who, async (client) => {
      const result = await client.query(
        'delete from storage.objects where bucket_id = $1 and name = any($2::text[]) returning *',
        [bucket, names],
      );
      return result.rows;
    });
    rows.forEach((row) => row.version !== null && this.discard(row.version));
    return rows;
  }
}
