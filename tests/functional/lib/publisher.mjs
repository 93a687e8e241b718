// publisher.mjs - a server that publishes: by the service key, or signing what it sends.
import { createHmac } from 'node:crypto';

export const SECRET = '0123456789abcdef0123456789abcdef';
export const PATH = '/sync/v1/publish';

/** The value of Tidegate-Signature. */
export function sign(target, body, { secret = SECRET, sec = Math.floor(Date.now() / 1000) } = {}) {
  const digest = createHmac('sha256', secret).update(`${sec}.${target}.${body}`).digest('hex');
  return `t=${sec},v1=${digest}`;
}

/** Sends `body` (text, or something to be made JSON); { status, headers, json }. */
export async function post(url, body, headers = {}, target = PATH) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const response = await fetch(url + target, {
    method: 'POST',
    body: text,
    headers: { 'content-type': 'application/json', ...headers },
  });
  return {
    status: response.status,
    headers: Object.fromEntries(response.headers),
    json: await response.json(),
  };
}

/** Publishes with the stack's service key; the answer's events, or throws. */
export async function publish(url, stack, events) {
  const body = Array.isArray(events) ? { events } : events;
  const answer = await post(url, body, { apikey: stack.service_key });
  if (answer.status !== 200) {
    throw new Error(`publish: ${answer.status} ${JSON.stringify(answer.json)}`);
  }
  return answer.json.events;
}
