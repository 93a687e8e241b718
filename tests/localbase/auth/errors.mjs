// errors.mjs - Auth's errors: one table of codes, two body shapes.
//
// A request that names an API version of 2024-01-01 or later gets
// {code, message}; older ones get {code: <status>, error_code, msg}.
import { sendJson } from '../http.mjs';

const NEW_SHAPE_SINCE = '2024-01-01';

const STATUS = {
  bad_json: 400,
  validation_failed: 400,
  bad_jwt: 403,
  no_authorization: 401,
  not_admin: 403,
  user_not_found: 403,
  session_not_found: 403,
  session_expired: 400,
  refresh_token_not_found: 400,
  refresh_token_already_used: 400,
  user_banned: 403,
  invalid_credentials: 400,
  email_not_confirmed: 400,
  user_already_exists: 422,
  email_exists: 422,
  signup_disabled: 422,
  anonymous_provider_disabled: 422,
  weak_password: 422,
  same_password: 422,
  conflict: 409,
  over_request_rate_limit: 429,
  request_entity_too_large: 413,
  unexpected_failure: 500,
};

export class AuthError extends Error {
  constructor(code, message, { status = STATUS[code], extra = {} } = {}) {
    super(message);
    this.code = code;
    this.status = status;
    this.extra = extra;
  }
}

function wantsNewShape(req) {
  const version = req.headers['x-supabase-api-version'] ?? '';
  return /^\d{4}-\d{2}-\d{2}$/.test(version) && version >= NEW_SHAPE_SINCE;
}

export function sendAuthError(req, res, error) {
  const { code, message, status, extra } = error;
  const headers = { 'x-sb-error-code': code };
  if (wantsNewShape(req)) {
    headers['X-Supabase-Api-Version'] = NEW_SHAPE_SINCE;
    sendJson(req, res, status, { code, message, ...extra }, headers);
  } else {
    sendJson(req, res, status, { code: status, error_code: code, msg: message, ...extra }, headers);
  }
}
