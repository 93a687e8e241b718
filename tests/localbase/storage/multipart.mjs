// multipart.mjs - reads multipart/form-data as it arrives: short fields first,
// then one file as a stream. Nothing but the fields is kept in memory.
import { StorageError } from './errors.mjs';

const MAX_HEAD_BYTES = 16_384;
const MAX_FIELD_BYTES = 1024 * 1024;
const CRLF2 = Buffer.from('\r\n\r\n');

export function boundaryOf(contentType) {
  const match = /^multipart\/form-data\s*;.*?boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(contentType);
  return match ? (match[1] ?? match[2]) : null;
}

/** The bytes still unread, with a way to get more. */
class Source {
  constructor(stream) {
    this.chunks = stream[Symbol.asyncIterator]();
    this.buffer = Buffer.from('\r\n');
  }

  async more() {
    const { value, done } = await this.chunks.next();
    if (done) {
      throw new StorageError('InvalidRequest', 'Unexpected end of form');
    }
    this.buffer = this.buffer.length === 0 ? value : Buffer.concat([this.buffer, value]);
  }

  async drain() {
    while (!(await this.chunks.next()).done);
  }

  /** Yields the bytes up to `mark`, which is consumed. */
  async *until(mark) {
    for (;;) {
      const at = this.buffer.indexOf(mark);
      const end = at >= 0 ? at : Math.max(0, this.buffer.length - mark.length + 1);
      const part = this.buffer.subarray(0, end);
      this.buffer = this.buffer.subarray(at >= 0 ? at + mark.length : end);
      if (part.length > 0) {
        yield part;
      }
      if (at >= 0) {
        return;
      }
      await this.more();
    }
  }

  async take(mark, max) {
    const parts = [];
    let size = 0;
    for await (const part of this.until(mark)) {
      size += part.length;
      if (size > max) {
        throw new StorageError('EntityTooLarge');
      }
      parts.push(part);
    }
    return Buffer.concat(parts).toString('utf8');
  }
}

function readHead(text) {
  const headers = {};
  for (const line of text.split('\r\n').filter(Boolean)) {
    const colon = line.indexOf(':');
    headers[line.slice(0, colon).trim().toLowerCase()] = line.slice(colon + 1).trim();
  }
  const disposition = headers['content-disposition'] ?? '';
  return {
    name: /[;\s]name="([^"]*)"/i.exec(disposition)?.[1] ?? '',
    isFile: /[;\s]filename\*?=/i.test(disposition),
    type: headers['content-type'],
  };
}

/** { fields, type, body }: `body` is an async iterable that must be read to its end. */
export async function readMultipart(req, boundary) {
  const source = new Source(req);
  const mark = Buffer.from(`\r\n--${boundary}`);
  await source.take(mark, MAX_HEAD_BYTES);
  const fields = {};
  for (;;) {
    const head = await source.take(CRLF2, MAX_HEAD_BYTES);
    if (head.startsWith('--')) {
      throw new StorageError('InvalidRequest', 'The form has no file');
    }
    const part = readHead(head);
    if (part.isFile) {
      const body = (async function* file() {
        yield* source.until(mark);
        await source.drain();
      })();
      return { fields, type: part.type, body };
    }
    fields[part.name] = await source.take(mark, MAX_FIELD_BYTES);
  }
}
