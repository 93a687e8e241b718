// errors.mjs - how Storage says no: HTTP 400 for nearly everything, with the
// real status as a string inside (reference/supabase-http.md §8).
import { sendJson } from '../http.mjs';

const KINDS = {
  NoSuchKey: ['404', 'not_found', 'Object not found'],
  NoSuchBucket: ['404', 'Bucket not found', 'Bucket not found'],
  KeyAlreadyExists: ['409', 'Duplicate', 'The resource already exists'],
  BucketAlreadyExists: ['409', 'Duplicate', 'The resource already exists'],
  AccessDenied: ['403', 'Unauthorized', 'Access denied'],
  InvalidJWT: ['400', 'InvalidJWT', 'jwt invalid'],
  InvalidSignature: ['400', 'InvalidSignature', 'Invalid signature'],
  InvalidRequest: ['400', 'Invalid request', 'Invalid request'],
  InvalidKey: ['400', 'InvalidKey', 'Invalid key'],
  InvalidMimeType: ['415', 'invalid_mime_type', 'mime type is not supported'],
  InvalidRange: ['416', 'InvalidRange', 'The requested range is not satisfiable'],
  EntityTooLarge: ['413', 'Payload too large', 'The object exceeded the maximum allowed size'],
  BucketNotEmpty: ['409', 'InvalidRequest', 'The bucket you tried to delete is not empty'],
  NotFound: ['404', 'Not Found', 'Route not found'],
  InternalError: ['500', 'internal', 'Internal Server Error'],
};

export class StorageError extends Error {
  constructor(code, message) {
    const [statusCode, error, text] = KINDS[code];
    super(message ?? text);
    this.code = code;
    this.body = { statusCode, error, message: this.message, code };
  }
}

export function noSuchKey() {
  return new StorageError('NoSuchKey');
}

/** Turns what PostgreSQL refused into what Storage says. */
export function fromPostgres(error) {
  if (error.code === '42501') {
    return new StorageError('AccessDenied', error.message);
  }
  if (error.code === '23505') {
    return new StorageError('KeyAlreadyExists');
  }
  if (error.code === '23503') {
    return new StorageError('NoSuchBucket');
  }
  return error;
}

/** Which HTTP status goes out with the body. */
function httpStatus({ statusCode }) {
  return statusCode === '500' || statusCode === '416' ? Number(statusCode) : 400;
}

export function sendStorageError(req, res, error) {
  sendJson(req, res, httpStatus(error.body), error.body);
}
