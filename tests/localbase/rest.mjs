// rest.mjs - the PostgREST part.
import { sendJson } from './http.mjs';

export function createRest() {
  async function handle(req, res) {
    req.resume();
    const message = 'Could not query the database for the schema cache. Retrying.';
    sendJson(req, res, 503, { code: 'PGRST002', details: null, hint: null, message });
  }
  return { handle, stop: async () => {} };
}
