// download.mjs - answers reads: whole, in part, or not at all because nothing changed.
import fs from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { syntheticStream } from '../bytes.mjs';
import { StorageError } from './errors.mjs';

/** { start, end } (exclusive) of a single byte range, null for the whole. Throws InvalidRange. */
function readRange(header, size) {
  const match = /^bytes=(\d*)-(\d*)$/.exec((header ?? '').trim());
  if (match === null || (match[1] === '' && match[2] === '')) {
    return null;
  }
  if (match[1] === '') {
    const n = Number(match[2]);
    if (n === 0) {
      throw new StorageError('InvalidRange');
    }
    return { start: Math.max(0, size - n), end: size };
  }
  const start = Number(match[1]);
  const last = match[2] === '' ? size - 1 : Number(match[2]);
  if (match[2] !== '' && last < start) {
    return null;
  }
  if (start >= size) {
    throw new StorageError('InvalidRange');
  }
  return { start, end: Math.min(size, last + 1) };
}

function isUnchanged(req, etag, modified) {
  const known = req.headers['if-none-match'];
  if (known !== undefined) {
    const tags = known.split(',').map((tag) => tag.trim().replace(/^W\//, ''));
    return tags.includes(etag) || tags.includes('*');
  }
  const since = Date.parse(req.headers['if-modified-since'] ?? '');
  return Number.isFinite(since) && Math.floor(modified.getTime() / 1000) * 1000 <= since;
}

function rangeStillGood(req, etag, modified) {
  const condition = req.headers['if-range'];
  return condition === undefined || condition === etag || condition === modified.toUTCString();
}

function disposition(params) {
  const name = params.get('download');
  if (name === null) {
    return {};
  }
  if (name === '') {
    return { 'Content-Disposition': 'attachment;' };
  }
  const plain = name.replace(/[^\x20-\x7e]|["\\]/g, '_');
  const encoded = `filename*=UTF-8''${encodeURIComponent(name)}`;
  return { 'Content-Disposition': `attachment; filename="${plain}"; ${encoded};` };
}

/**
 * Sends { size, etag, modified, type, open(start, end) }. `caching` is the header
 * that tells how long it may be kept.
 */
async function sendBody(req, res, source, caching, params) {
  const { size, etag, modified } = source;
  const validators = { ETag: etag, 'Last-Modified': modified.toUTCString(), ...caching };
  if (isUnchanged(req, etag, modified)) {
    res.writeHead(304, validators);
    res.end();
    return;
  }
  const asked = rangeStillGood(req, etag, modified) ? req.headers.range : undefined;
  const range = readRange(asked, size);
  const { start, end } = range ?? { start: 0, end: size };
  res.writeHead(range === null ? 200 : 206, {
    'Accept-Ranges': 'bytes',
    'Content-Type': source.type,
    'Content-Length': end - start,
    ...validators,
    ...(range === null ? {} : { 'Content-Range': `bytes ${start}-${end - 1}/${size}` }),
    ...disposition(params),
  });
  if (req.method === 'HEAD' || end === start) {
    res.end();
    return;
  }
  // An error here is the reader going away: nothing is left to tell it.
  await pipeline(source.open(start, end), res).catch(() => res.destroy());
}

/** Sends the object of a row. `expires`: of a signed URL, in seconds since 1970. */
export async function sendObject(req, res, store, row, params, expires = null) {
  const { metadata } = row;
  const caching =
    expires === null
      ? { 'Cache-Control': metadata.cacheControl }
      : { Expires: new Date(expires * 1000).toUTCString() };
  const source = {
    size: metadata.size,
    etag: metadata.eTag,
    modified: new Date(metadata.lastModified),
    type: metadata.mimetype,
    open: (start, end) => fs.createReadStream(store.fileOf(row.version), { start, end: end - 1 }),
  };
  await sendBody(req, res, source, caching, params);
}

/** Sends `size` made-up bytes that exist nowhere. */
export async function sendSynthetic(req, res, size, params) {
  const source = {
    size,
    etag: `"synthetic-${size}"`,
    modified: new Date('2026-01-01T00:00:00Z'),
    type: 'application/octet-stream',
    open: syntheticStream,
  };
  await sendBody(req, res, source, { 'Cache-Control': 'no-cache' }, params);
}
