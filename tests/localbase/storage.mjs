// storage.mjs - the Storage part: buckets, objects, signed URLs, resumable uploads.
//
// Bodies stream both ways. Two buckets exist for big transfers only:
//   GET  /object/public/synthetic/<n>   n made-up bytes (see bytes.mjs), ranges included
//   POST /object/sink/<name>            swallows the body, answers its size and SHA-256
import crypto from 'node:crypto';
import path from 'node:path';
import { MAX_SYNTHETIC_BYTES } from './bytes.mjs';
import { readJson, sendJson } from './http.mjs';
import { handleBuckets } from './storage/buckets.mjs';
import { sendObject, sendSynthetic } from './storage/download.mjs';
import { noSuchKey, sendStorageError, StorageError } from './storage/errors.mjs';
import { listFolder, listPage } from './storage/listing.mjs';
import { boundaryOf, readMultipart } from './storage/multipart.mjs';
import { checkName, Store } from './storage/store.mjs';
import { Tus } from './storage/tus.mjs';

const UPLOAD_URL_LIFE_S = 7200;

function now() {
  return Math.floor(Date.now() / 1000);
}

function cacheControlOf(value) {
  return value === undefined || value === '' ? 'no-cache' : value;
}

/* A form's cacheControl is a number of seconds; the header is a whole value. */
function formCacheControl(value) {
  return /^\d+$/.test(value ?? '') ? `max-age=${value}` : cacheControlOf(value);
}

function parseMetadata(text) {
  try {
    return text === undefined || text === '' ? null : JSON.parse(text);
  } catch {
    throw new StorageError('InvalidRequest', 'metadata must be JSON');
  }
}

export function createStorage(ctx) {
  const store = new Store(ctx.pg, path.join(ctx.config.dir, 'storage'));
  const settings = { maxFileBytes: 2 * 1024 ** 3 };
  const tus = new Tus({ store, limits: () => settings, authorize: authorizeTus });

  /* Who asks. Without a token: nobody, when `optional`, else a refusal. */
  function whoIs(info, optional = false) {
    if (info.token === null) {
      if (!optional) {
        const text = "headers must have required property 'authorization'";
        throw new StorageError('InvalidRequest', text);
      }
      return { role: 'anon', claims: { role: 'anon' } };
    }
    try {
      const claims = ctx.jwt.verify(info.token);
      const role = ['authenticated', 'service_role'].includes(claims.role) ? claims.role : 'anon';
      return { role, claims };
    } catch (error) {
      if (optional) {
        return { role: 'anon', claims: { role: 'anon' } };
      }
      const text = error.code === 'expired' ? '"exp" claim timestamp check failed' : null;
      throw new StorageError('AccessDenied', text ?? 'Invalid Compact JWS');
    }
  }

  function signUrl(claims, lifeSeconds) {
    const times = { iat: now(), exp: now() + lifeSeconds };
    return ctx.jwt.sign({ ...claims, ...times }, { alg: 'HS256' });
  }

  /* The claims of a URL's token, if it is for this very object. */
  function checkUrlToken(params, scope, url) {
    const token = params.get('token');
    if (token === null) {
      throw new StorageError('InvalidRequest', "querystring must have required property 'token'");
    }
    let claims;
    try {
      claims = ctx.jwt.verify(token);
    } catch (error) {
      throw new StorageError(
        'InvalidJWT',
        error.code === 'expired' ? 'jwt expired' : error.message,
      );
    }
    if (claims.url !== url || claims.scope !== scope) {
      throw new StorageError('InvalidSignature');
    }
    return claims;
  }

  async function authorizeTus(req, info, bucket, name) {
    const signature = req.headers['x-signature'];
    if (info.path.startsWith('/upload/resumable/sign') && signature !== undefined) {
      const params = new URLSearchParams({ token: signature });
      const claims = checkUrlToken(params, 'upload', `${bucket}/${name}`);
      return { who: ownerOf(claims), upsert: claims.upsert };
    }
    const who = whoIs(info);
    const upsert = req.headers['x-upsert'] === 'true';
    await store.bucket(bucket);
    await store.mayWrite(who, bucket, name, upsert);
    return { who, upsert };
  }

  function ownerOf({ owner }) {
    return { role: 'service_role', claims: owner ? { sub: owner } : {} };
  }

  /* Takes the body in, raw or as a form. */
  async function receive(req, who, bucket, name, upsert) {
    const type = req.headers['content-type'] ?? 'application/octet-stream';
    const boundary = boundaryOf(type);
    const header = req.headers['x-metadata'];
    const form =
      boundary === null
        ? {
            body: req,
            type,
            cacheControl: cacheControlOf(req.headers['cache-control']),
            userMetadata: parseMetadata(header && Buffer.from(header, 'base64').toString()),
          }
        : await receiveForm(req, boundary);
    if (bucket.allowed_mime_types && !bucket.allowed_mime_types.includes(form.type)) {
      throw new StorageError('InvalidMimeType', `mime type ${form.type} is not supported`);
    }
    const limit = Math.min(settings.maxFileBytes, Number(bucket.file_size_limit ?? Infinity));
    if (boundary === null && Number(req.headers['content-length'] ?? 0) > limit) {
      throw new StorageError('EntityTooLarge');
    }
    const { body, ...described } = form;
    const written = await store.write(body, limit);
    return store.publish(who, { bucket: bucket.id, name, written, upsert, ...described });
  }

  async function receiveForm(req, boundary) {
    const { fields, type, body } = await readMultipart(req, boundary);
    return {
      body,
      type: type ?? 'application/octet-stream',
      cacheControl: formCacheControl(fields.cacheControl),
      userMetadata: parseMetadata(fields.metadata),
    };
  }

  async function upload({ req, res, info, bucket, name }) {
    const who = whoIs(info);
    checkName(name);
    if (bucket === 'sink') {
      await swallow(req, res, name);
      return;
    }
    const upsert = req.method === 'PUT' || req.headers['x-upsert'] === 'true';
    const target = await store.bucket(bucket);
    await store.mayWrite(who, bucket, name, upsert);
    const row = await receive(req, who, target, name, upsert);
    sendJson(req, res, 200, { Key: `${bucket}/${name}`, Id: row.id });
  }

  async function swallow(req, res, name) {
    const hash = crypto.createHash('sha256');
    let size = 0;
    for await (const chunk of req) {
      hash.update(chunk);
      size += chunk.length;
    }
    sendJson(req, res, 200, { Key: `sink/${name}`, size, sha256: hash.digest('hex') });
  }

  async function uploadSigned({ req, res, bucket, name, params }) {
    const claims = checkUrlToken(params, 'upload', `${bucket}/${name}`);
    const who = ownerOf(claims);
    const target = await store.bucket(bucket);
    await store.mayWrite(who, bucket, name, claims.upsert);
    const row = await receive(req, who, target, name, claims.upsert);
    sendJson(req, res, 200, { Key: `${bucket}/${name}`, Id: row.id });
  }

  async function readPrivate({ req, res, info, bucket, name, params }) {
    const who = whoIs(info, true);
    const target = await store.bucket(bucket);
    if (who.role === 'anon' && !target.public) {
      // Upstream hides that the bucket is there.
      throw new StorageError('NoSuchBucket');
    }
    await sendObject(req, res, store, await store.objectAs(who, bucket, name), params);
  }

  async function readPublic({ req, res, bucket, name, params }) {
    if (bucket === 'synthetic') {
      const size = Number(name);
      if (!/^\d+$/.test(name) || size > MAX_SYNTHETIC_BYTES) {
        throw noSuchKey();
      }
      await sendSynthetic(req, res, size, params);
      return;
    }
    if (!(await store.bucket(bucket)).public) {
      throw new StorageError('NoSuchBucket');
    }
    await sendObject(req, res, store, await store.object(bucket, name), params);
  }

  async function readSigned({ req, res, bucket, name, params }) {
    const { exp } = checkUrlToken(params, 'download', `${bucket}/${name}`);
    await sendObject(req, res, store, await store.object(bucket, name), params, exp);
  }

  function signedUrl(bucket, name, lifeSeconds) {
    const encoded = name.split('/').map(encodeURIComponent).join('/');
    const token = signUrl({ url: `${bucket}/${name}`, scope: 'download' }, lifeSeconds);
    return `/object/sign/${encodeURIComponent(bucket)}/${encoded}?token=${token}`;
  }

  async function sign({ req, res, info, bucket, name }) {
    const who = whoIs(info);
    const { expiresIn, paths } = await readJson(req);
    if (!Number.isInteger(expiresIn) || expiresIn < 1) {
      throw new StorageError('InvalidRequest', 'body/expiresIn must be >= 1');
    }
    if (name !== '') {
      await store.objectAs(who, bucket, name);
      sendJson(req, res, 200, { signedURL: signedUrl(bucket, name, expiresIn) });
      return;
    }
    const signed = [];
    for (const one of Array.isArray(paths) ? paths.map(String) : []) {
      const found = await store.objectAs(who, bucket, one).catch(() => null);
      signed.push({
        error:
          found === null
            ? 'Either the object does not exist or you do not have access to it'
            : null,
        path: one,
        signedURL: found === null ? null : signedUrl(bucket, one, expiresIn),
      });
    }
    sendJson(req, res, 200, signed);
  }

  async function signUpload({ req, res, info, bucket, name }) {
    const who = whoIs(info);
    checkName(name);
    const upsert = req.headers['x-upsert'] === 'true';
    await store.bucket(bucket);
    await store.mayWrite(who, bucket, name, upsert);
    const claims = { url: `${bucket}/${name}`, scope: 'upload', upsert, owner: who.claims.sub };
    const token = signUrl(claims, UPLOAD_URL_LIFE_S);
    const url = `/object/upload/sign/${bucket}/${name}?token=${token}`;
    sendJson(req, res, 200, { url, token });
  }

  async function info({ req, res, info: asked, bucket, name }) {
    const row = await store.objectAs(whoIs(asked, true), bucket, name);
    const { metadata } = row;
    sendJson(req, res, 200, {
      id: row.id,
      name: row.name,
      version: row.version,
      bucket_id: row.bucket_id,
      size: metadata.size,
      content_type: metadata.mimetype,
      cache_control: metadata.cacheControl,
      etag: metadata.eTag,
      metadata: row.user_metadata ?? {},
      last_modified: metadata.lastModified,
      created_at: row.created_at,
    });
  }

  async function list({ req, res, info: asked, bucket }, lister) {
    const options = await readJson(req);
    const found = await store.as(whoIs(asked), (client) => lister(client, bucket, options));
    sendJson(req, res, 200, found);
  }

  async function transfer({ req, res, info: asked }, copies) {
    const who = whoIs(asked);
    const json = await readJson(req);
    const [from, to] = [String(json.sourceKey ?? ''), String(json.destinationKey ?? '')];
    const target = String(json.destinationBucket ?? json.bucketId);
    checkName(to);
    const row = await store.objectAs(who, String(json.bucketId), from);
    await store.mayWrite(who, target, to, copies && req.headers['x-upsert'] === 'true');
    if (copies) {
      const made = await store.copy(who, row, target, to, req.headers['x-upsert'] === 'true');
      sendJson(req, res, 200, { Key: `${target}/${to}`, Id: made.id });
    } else {
      await store.move(who, row, target, to);
      sendJson(req, res, 200, { message: 'Successfully moved' });
    }
  }

  async function removeMany({ req, res, info: asked, bucket, name }) {
    const who = whoIs(asked);
    const { prefixes = [] } = name === '' ? await readJson(req) : {};
    const names = name === '' ? prefixes.map(String) : [name];
    const rows = await store.remove(who, bucket, names);
    if (name !== '' && rows.length === 0) {
      throw noSuchKey();
    }
    sendJson(req, res, 200, name === '' ? rows : { message: 'Successfully deleted' });
  }

  const READ = ['GET', 'HEAD'];
  /* Longest prefix first. */
  const OBJECT_ROUTES = [
    { prefix: '/object/upload/sign/', methods: ['POST'], run: signUpload },
    { prefix: '/object/upload/sign/', methods: ['PUT'], run: uploadSigned },
    { prefix: '/object/info/authenticated/', methods: READ, run: info },
    { prefix: '/object/info/public/', methods: READ, run: info },
    { prefix: '/object/info/', methods: READ, run: info },
    { prefix: '/object/authenticated/', methods: READ, run: readPrivate },
    { prefix: '/object/public/', methods: READ, run: readPublic },
    { prefix: '/object/sign/', methods: READ, run: readSigned },
    { prefix: '/object/sign/', methods: ['POST'], run: sign },
    { prefix: '/object/list-v2/', methods: ['POST'], run: (r) => list(r, listPage) },
    { prefix: '/object/list/', methods: ['POST'], run: (r) => list(r, listFolder) },
    { prefix: '/object/move', methods: ['POST'], run: (r) => transfer(r, false) },
    { prefix: '/object/copy', methods: ['POST'], run: (r) => transfer(r, true) },
    { prefix: '/object/', methods: READ, run: readPrivate },
    { prefix: '/object/', methods: ['POST', 'PUT'], run: upload },
    { prefix: '/object/', methods: ['DELETE'], run: removeMany },
  ];

  async function objectRoute(req, res, asked) {
    const route = OBJECT_ROUTES.find(
      ({ prefix, methods }) => asked.path.startsWith(prefix) && methods.includes(req.method),
    );
    if (route === undefined) {
      throw new StorageError('NotFound');
    }
    const [bucket = '', ...names] = asked.path.slice(route.prefix.length).split('/');
    await route.run({
      req,
      res,
      info: asked,
      bucket: decodeURIComponent(bucket),
      name: names.map(decodeURIComponent).join('/'),
      params: new URLSearchParams(asked.rawQuery),
    });
  }

  async function route(req, res, asked) {
    const parts = asked.path.split('/').slice(1).filter(Boolean).map(decodeURIComponent);
    if (parts[0] === 'bucket') {
      await handleBuckets(store, whoIs(asked), req, res, parts.slice(1));
    } else if (asked.path.startsWith('/upload/resumable')) {
      const id = parts[2] === 'sign' ? parts[3] : parts[2];
      await tus.handle(req, res, asked, id ?? null);
    } else if (parts[0] === 'object') {
      await objectRoute(req, res, asked);
    } else if (parts[0] === 'status' && req.method === 'GET') {
      sendJson(req, res, 200, {});
    } else {
      throw new StorageError('NotFound');
    }
  }

  return {
    async handle(req, res, asked) {
      try {
        await route(req, res, asked);
      } catch (error) {
        if (req.destroyed && !req.complete) {
          res.destroy(); // the client broke off: nobody is left to answer
          return;
        }
        const known = error instanceof URIError ? new StorageError('InvalidKey') : error;
        if (!(known instanceof StorageError) || res.headersSent) {
          throw error;
        }
        req.resume();
        sendStorageError(req, res, known);
      }
    },

    control: {
      /* { maxFileBytes } */
      config: async (json) => Object.assign(settings, json),
      state: async () => ({ settings, uploads: tus.state() }),
    },

    async stop() {},
  };
}
