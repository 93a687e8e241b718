// tus.mjs - resumable uploads (TUS 1.0.0) under /upload/resumable.
//
// An upload is a growing file and an entry here; its offset is what has reached
// the file. When the last byte is there the object is published; the entry stays for
// a day, so that a client that missed the last answer can ask.
import crypto from 'node:crypto';
import fs from 'node:fs';
import { sendText } from '../http.mjs';
import { checkName } from './store.mjs';
import { StorageError } from './errors.mjs';

const MAX_UPLOADS = 1000;
const LIFE_MS = 24 * 3600 * 1000;
const EXTENSIONS = 'creation,creation-with-upload,creation-defer-length,termination,expiration';

/** TUS itself answers in plain text. */
class TusError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

function readMetadata(header) {
  const out = {};
  for (const pair of (header ?? '')
    .split(',')
    .map((p) => p.trim())
    .filter(Boolean)) {
    const [key, value = ''] = pair.split(' ');
    out[key] = Buffer.from(value, 'base64').toString('utf8');
  }
  return out;
}

/** The server as the client sees it: proxies tell in X-Forwarded-*. */
function baseOf(req) {
  const first = (name) => req.headers[name]?.split(',')[0].trim();
  const proto = first('x-forwarded-proto') ?? 'http';
  let host = first('x-forwarded-host') ?? req.headers.host ?? 'localhost';
  const port = first('x-forwarded-port');
  const isDefault = port === (proto === 'https' ? '443' : '80');
  if (port !== undefined && !isDefault && !/:\d+$/.test(host)) {
    host = `${host}:${port}`;
  }
  return `${proto}://${host}/storage/v1`;
}

function readLength(req) {
  const text = req.headers['upload-length'];
  if (text === undefined && req.headers['upload-defer-length'] === '1') {
    return null;
  }
  if (text === undefined || !/^\d{1,15}$/.test(text)) {
    throw new TusError(400, 'Upload-Length or Upload-Defer-Length header required\n');
  }
  return Number(text);
}

export class Tus {
  /** `limits()`: { maxFileBytes }; `authorize(req, info, bucket, name)`: { who, upsert }. */
  constructor({ store, limits, authorize }) {
    this.store = store;
    this.limits = limits;
    this.authorize = authorize;
    this.uploads = new Map();
  }

  async handle(req, res, info, id) {
    res.setHeader('Tus-Resumable', '1.0.0');
    try {
      if (req.method !== 'OPTIONS' && req.headers['tus-resumable'] !== '1.0.0') {
        throw new TusError(412, 'Tus-Resumable Required\n');
      }
      await this.route(req, res, info, id);
    } catch (error) {
      if (!(error instanceof TusError)) {
        throw error;
      }
      req.resume();
      sendText(req, res, error.status, error.message, { 'Content-Type': 'text/plain' });
    }
  }

  async route(req, res, info, id) {
    const steps = { HEAD: this.head, PATCH: this.patch, DELETE: this.terminate };
    if (req.method === 'OPTIONS') {
      this.options(req, res);
    } else if (id === null && req.method === 'POST') {
      await this.create(req, res, info);
    } else if (id !== null && Object.hasOwn(steps, req.method)) {
      const upload = this.uploads.get(id);
      if (upload === undefined) {
        throw new TusError(404, 'The file for this url was not found\n');
      }
      await steps[req.method].call(this, req, res, upload, info);
    } else {
      throw new TusError(404, 'Not found\n');
    }
  }

  options(req, res) {
    res.writeHead(204, {
      'Tus-Version': '1.0.0',
      'Tus-Extension': EXTENSIONS,
      'Tus-Max-Size': this.limits().maxFileBytes,
    });
    res.end();
  }

  sweep() {
    const now = Date.now();
    for (const upload of this.uploads.values()) {
      if (upload.expires < now && !upload.busy) {
        this.forget(upload);
      }
    }
    if (this.uploads.size >= MAX_UPLOADS) {
      throw new TusError(503, 'Too many uploads\n');
    }
  }

  forget(upload) {
    this.uploads.delete(upload.id);
    if (!upload.done) {
      this.store.discard(upload.version);
    }
  }

  async create(req, res, info) {
    const meta = readMetadata(req.headers['upload-metadata']);
    const { bucketName: bucket = '', objectName: name = '' } = meta;
    const { who, upsert } = await this.authorize(req, info, bucket, name);
    checkName(name);
    this.sweep();
    const length = readLength(req);
    const { maxFileBytes } = this.limits();
    if (length !== null && length > maxFileBytes) {
      throw new TusError(413, 'Maximum size exceeded\n');
    }
    const version = crypto.randomUUID();
    const id = Buffer.from(`${bucket}/${name}/${version}`).toString('base64url');
    const upload = { id, bucket, name, version, meta, length, offset: 0, busy: false, done: false };
    Object.assign(upload, { who, upsert, expires: Date.now() + LIFE_MS });
    upload.metadataHeader = req.headers['upload-metadata'];
    fs.writeFileSync(this.store.fileOf(version), '');
    this.uploads.set(id, upload);
    res.setHeader('Location', `${baseOf(req)}/upload/resumable/${id}`);
    res.setHeader('Upload-Expires', new Date(upload.expires).toUTCString());
    if (req.headers['content-type'] === 'application/offset+octet-stream') {
      await this.append(req, upload);
      res.setHeader('Upload-Offset', upload.offset);
    } else {
      req.resume();
    }
    await this.finishIfWhole(res, upload);
    res.writeHead(201, { 'Content-Length': 0 });
    res.end();
  }

  head(req, res, upload) {
    res.writeHead(200, {
      'Cache-Control': 'no-store',
      'Upload-Offset': upload.offset,
      ...(upload.length === null
        ? { 'Upload-Defer-Length': '1' }
        : { 'Upload-Length': upload.length }),
      ...(upload.metadataHeader === undefined ? {} : { 'Upload-Metadata': upload.metadataHeader }),
      'Upload-Expires': new Date(upload.expires).toUTCString(),
    });
    res.end();
  }

  async patch(req, res, upload, info) {
    await this.authorize(req, info, upload.bucket, upload.name);
    if (req.headers['content-type'] !== 'application/offset+octet-stream') {
      throw new TusError(403, 'Content-Type header required\n');
    }
    if (upload.busy) {
      throw new TusError(409, 'Upload is being written by another request\n');
    }
    if (Number(req.headers['upload-offset']) !== upload.offset) {
      throw new TusError(409, 'Upload-Offset conflict\n');
    }
    if (upload.length === null && req.headers['upload-length'] !== undefined) {
      upload.length = readLength(req);
    }
    if (upload.done) {
      req.resume();
    } else {
      await this.append(req, upload);
      await this.finishIfWhole(res, upload);
    }
    res.writeHead(204, {
      'Upload-Offset': upload.offset,
      'Upload-Expires': new Date(upload.expires).toUTCString(),
    });
    res.end();
  }

  terminate(req, res, upload) {
    if (upload.busy) {
      throw new TusError(409, 'Upload is being written by another request\n');
    }
    this.forget(upload);
    res.writeHead(204);
    res.end();
  }

  /** Appends the body. What arrived before a broken connection stays and counts. */
  async append(req, upload) {
    const max = upload.length ?? this.limits().maxFileBytes;
    upload.busy = true;
    const file = await fs.promises.open(this.store.fileOf(upload.version), 'r+');
    try {
      for await (const chunk of req) {
        if (upload.offset + chunk.length > max) {
          throw new TusError(413, 'Maximum size exceeded\n');
        }
        await file.write(chunk, 0, chunk.length, upload.offset);
        upload.offset += chunk.length;
      }
    } finally {
      upload.busy = false;
      await file.close();
    }
  }

  async finishIfWhole(res, upload) {
    if (upload.length === null || upload.offset < upload.length) {
      return;
    }
    const hash = crypto.createHash('md5');
    for await (const chunk of fs.createReadStream(this.store.fileOf(upload.version))) {
      hash.update(chunk);
    }
    const { meta } = upload;
    let userMetadata = null;
    try {
      userMetadata = meta.metadata ? JSON.parse(meta.metadata) : null;
    } catch {
      throw new StorageError('InvalidRequest', 'metadata must be JSON');
    }
    await this.store.publish(upload.who, {
      bucket: upload.bucket,
      name: upload.name,
      written: { version: upload.version, size: upload.offset, md5: hash.digest('hex') },
      type: meta.contentType ?? 'application/octet-stream',
      cacheControl: meta.cacheControl ? `max-age=${meta.cacheControl}` : 'no-cache',
      userMetadata,
      upsert: upload.upsert,
    });
    upload.done = true;
    res.setHeader('tus-complete', '1');
  }

  state() {
    return [...this.uploads.values()].map(({ id, bucket, name, length, offset }) => ({
      id,
      bucket,
      name,
      length,
      offset,
    }));
  }
}
