// codec.mjs - the two serialisations of a Realtime socket (vsn 1.0.0 and 2.0.0).
//
// Payloads travel as JSON *text*: what came in as bytes goes out as the same
// bytes, and digits that a JavaScript number cannot hold survive.

const KIND_PUSH = 3;
const KIND_BROADCAST = 4;
const MAX_FIELD_BYTES = 255;

/** Chooses the serialisation for a `vsn` parameter; null when it is not supported. */
export function chooseVsn(text) {
  const wanted = text ?? '1.0.0';
  const match = /^(\d+)\.(\d+)\.(\d+)(-[0-9A-Za-z.-]+)?$/.exec(wanted);
  if (match === null || match[2] !== '0') {
    return null;
  }
  return match[1] === '1' ? 1 : match[1] === '2' ? 2 : null;
}

/* Index just past the JSON value that starts at `at`. The text is known to be valid JSON. */
function endOfValue(text, at) {
  let depth = 0;
  let inString = false;
  for (let i = at; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (inString) {
      if (c === 0x5c) {
        i++;
      } else if (c === 0x22) {
        inString = false;
      }
    } else if (c === 0x22) {
      inString = true;
    } else if (c === 0x5b || c === 0x7b) {
      depth++;
    } else if (c === 0x5d || c === 0x7d) {
      if (depth === 0) {
        return i;
      }
      depth--;
    } else if (c === 0x2c && depth === 0) {
      return i;
    }
  }
  return text.length;
}

/** The raw texts of the elements of a JSON array (text must be valid JSON). */
export function sliceArray(text) {
  const out = [];
  let at = text.indexOf('[') + 1;
  while (at < text.length) {
    const end = endOfValue(text, at);
    const raw = text.slice(at, end).trim();
    if (raw !== '') {
      out.push(raw);
    }
    if (text[end] !== ',') {
      break;
    }
    at = end + 1;
  }
  return out;
}

/** The raw texts of the members of a JSON object, by name; the last of equal names wins. */
export function sliceObject(text) {
  const out = new Map();
  let at = text.indexOf('{') + 1;
  while (at < text.length) {
    while (/[\s,]/.test(text[at])) {
      at++;
    }
    if (text[at] !== '"') {
      break;
    }
    let close = at + 1;
    while (text[close] !== '"') {
      close += text[close] === '\\' ? 2 : 1;
    }
    const name = JSON.parse(text.slice(at, close + 1));
    const from = text.indexOf(':', close) + 1;
    const end = endOfValue(text, from);
    out.set(name, text.slice(from, end).trim());
    at = end + 1;
  }
  return out;
}

function decodeText1(text) {
  const value = JSON.parse(text);
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    return null;
  }
  const complete = ['topic', 'event', 'payload', 'ref'].every((k) => Object.hasOwn(value, k));
  if (!complete || typeof value.topic !== 'string' || typeof value.event !== 'string') {
    return null;
  }
  return {
    joinRef: value.join_ref ?? null,
    ref: value.ref,
    topic: value.topic,
    event: value.event,
    payload: value.payload,
    payloadText: sliceObject(text).get('payload'),
  };
}

function decodeText2(text) {
  const value = JSON.parse(text);
  if (!Array.isArray(value) || value.length < 5) {
    return null;
  }
  const [joinRef, ref, topic, event, payload] = value;
  if (typeof topic !== 'string' || typeof event !== 'string') {
    return null;
  }
  return { joinRef, ref, topic, event, payload, payloadText: sliceArray(text)[4] };
}

/* vsn 2 kind 3: a user broadcast pushed by a client. */
function decodeBinary2(frame) {
  if (frame.length < 7 || frame[0] !== KIND_PUSH) {
    return null;
  }
  const sizes = frame.subarray(1, 6);
  let at = 7;
  const fields = [];
  for (const size of sizes) {
    if (at + size > frame.length) {
      return null;
    }
    fields.push(frame.toString('utf8', at, at + size));
    at += size;
  }
  const [joinRef, ref, topic, userEvent, metadata] = fields;
  return {
    joinRef: joinRef === '' ? null : joinRef,
    ref: ref === '' ? null : ref,
    topic,
    event: 'broadcast',
    user: {
      event: userEvent,
      metadata,
      json: frame[6] !== 0,
      payload: Buffer.from(frame.subarray(at)),
    },
  };
}

/** One client frame, or null when it is malformed: upstream drops it and says nothing. */
export function decode(vsn, data, isBinary) {
  try {
    if (isBinary) {
      return vsn === 2 ? decodeBinary2(data) : null;
    }
    const text = data.toString('utf8');
    return vsn === 2 ? decodeText2(text) : decodeText1(text);
  } catch {
    return null;
  }
}

/** A text frame. `payloadText` is JSON. vsn 1 never shows a join_ref. */
export function encode(vsn, { joinRef = null, ref = null, topic, event, payloadText }) {
  const [t, e, r] = [topic, event, ref].map((v) => JSON.stringify(v ?? null));
  if (vsn === 1) {
    return `{"ref":${r},"topic":${t},"event":${e},"payload":${payloadText}}`;
  }
  return `[${JSON.stringify(joinRef ?? null)},${r},${t},${e},${payloadText}]`;
}

/** The frame that carries a user broadcast to a vsn 2 socket; null when a field does not fit. */
export function encodeUserBroadcast(topic, user) {
  const fields = [topic, user.event, user.metadata ?? ''].map((v) => Buffer.from(v, 'utf8'));
  if (fields.some((f) => f.length > MAX_FIELD_BYTES)) {
    return null;
  }
  const head = Buffer.from([KIND_BROADCAST, ...fields.map((f) => f.length), user.json ? 1 : 0]);
  return Buffer.concat([head, ...fields, user.payload]);
}

/** The payload text in which a user broadcast reaches a vsn 1 socket; null for binary ones. */
export function userBroadcastText(user) {
  if (!user.json) {
    return null;
  }
  const meta = user.metadata ? `,"meta":${user.metadata}` : '';
  const payload = user.payload.toString('utf8');
  return `{"event":${JSON.stringify(user.event)},"payload":${payload},"type":"broadcast"${meta}}`;
}
