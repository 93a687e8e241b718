// rest.mjs - broadcasts over HTTP (reference/realtime-protocol.md §9.2, §9.3).

import { readBody, sendJson, sendText } from '../http.mjs';
import { mayWrite } from './authorize.mjs';
import { sliceArray, sliceObject } from './codec.mjs';
import { checkToken } from './tokens.mjs';

function answer(req, res, status, body) {
  if (body === undefined) {
    sendText(req, res, status, '');
  } else {
    sendJson(req, res, status, body);
  }
}

function isMap(value) {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

async function caller(rt, req, info) {
  const claims = await checkToken(rt.jwt, info.token ?? req.headers.apikey ?? '');
  return { claims, claimsText: JSON.stringify(claims), headers: {} };
}

async function allowed(rt, who, sub, isPrivate) {
  return !isPrivate || mayWrite(rt.pool, { ...who, sub }, 'broadcast');
}

function messageErrors(message) {
  const errors = {};
  for (const key of ['topic', 'event', 'payload']) {
    const given = message?.[key];
    if (given === undefined || given === null || given === '') {
      errors[key] = ["can't be blank"];
    } else if (
      (key === 'payload') !== isMap(given) ||
      (key !== 'payload' && typeof given !== 'string')
    ) {
      errors[key] = ['is invalid'];
    }
  }
  return errors;
}

async function batch(rt, req, res, who) {
  const body = await readBody(req);
  const text = body.toString('utf8');
  let parsed;
  try {
    parsed = JSON.parse(text);
  } catch {
    answer(req, res, 400, { message: 'Bad Request' });
    return;
  }
  if (!Array.isArray(parsed?.messages)) {
    answer(req, res, 422, { errors: { messages: ["can't be blank"] } });
    return;
  }
  const errors = parsed.messages.map(messageErrors);
  if (errors.some((e) => Object.keys(e).length > 0)) {
    answer(req, res, 422, { errors: { messages: errors } });
    return;
  }
  const texts = sliceArray(sliceObject(text).get('messages'));
  for (const [i, { topic, event, private: wanted }] of parsed.messages.entries()) {
    const isPrivate = wanted === true || wanted === 'true';
    if (await allowed(rt, who, topic, isPrivate)) {
      const payload = sliceObject(texts[i]).get('payload');
      rt.rooms.broadcastText(
        rt.roomKey(topic, isPrivate),
        `{"event":${JSON.stringify(event)},"payload":${payload},"type":"broadcast"}`,
      );
    }
  }
  answer(req, res, 202);
}

async function single(rt, req, res, who, { topic, event, isPrivate }) {
  const type = (req.headers['content-type'] ?? '').split(';')[0].trim().toLowerCase();
  if (!['', 'application/json', 'application/octet-stream'].includes(type)) {
    answer(req, res, 415, {
      error: 'Unsupported Media Type. Use application/json or application/octet-stream',
    });
    return;
  }
  const body = await readBody(req);
  let payload = body;
  const json = type !== 'application/octet-stream';
  if (json) {
    try {
      const text = body.length === 0 ? '{}' : body.toString('utf8');
      payload = Buffer.from(isMap(JSON.parse(text)) ? text : `{"_json":${text}}`);
    } catch {
      answer(req, res, 400, { message: 'Bad Request' });
      return;
    }
  }
  if (!(await allowed(rt, who, topic, isPrivate))) {
    answer(req, res, 403, { message: 'Unauthorized' });
    return;
  }
  rt.rooms.broadcastUser(rt.roomKey(topic, isPrivate), { event, metadata: '', json, payload });
  answer(req, res, 202);
}

/** Serves what lies under /realtime/v1/api. */
export async function handleRest(rt, req, res, info) {
  const path = info.path.replace(/^\/api/, '');
  if (path === '/ping' && req.method === 'GET') {
    answer(req, res, 200, { message: 'Success' });
    return;
  }
  const parts = /^\/broadcast\/([^/]+)\/events\/([^/]+)$/.exec(path);
  if (req.method !== 'POST' || (path !== '/broadcast' && parts === null)) {
    answer(req, res, 404, { message: 'Not Found' });
    return;
  }
  let who;
  try {
    who = await caller(rt, req, info);
  } catch {
    answer(req, res, 401, { message: 'Unauthorized' });
    return;
  }
  if (parts === null) {
    await batch(rt, req, res, who);
    return;
  }
  const query = new URLSearchParams(info.rawQuery ?? '');
  await single(rt, req, res, who, {
    topic: decodeURIComponent(parts[1]),
    event: decodeURIComponent(parts[2]),
    isPrivate: query.get('private') === 'true',
  });
}
