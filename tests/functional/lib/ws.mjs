// ws.mjs - two WebSocket clients of /sync/v1/ws: the package `ws`, as an app would use it, and one
// of bare bytes that may say what no library does.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import WebSocket from 'ws';
import { Inbox } from './inbox.mjs';

export const OP = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };
export const FIN = 0x80;

/** The path of a WebSocket; topics may be one, many or none. */
export function wsPath(topics = [], params = {}) {
  const query = new URLSearchParams(params);
  for (const topic of [topics].flat()) {
    query.append('topic', topic);
  }
  return `/sync/v1/ws?${query}`;
}

/** What came, in order: `type` is the event's name, 'message' for a change. */
class Talk {
  constructor(onMessage = () => {}) {
    this.events = new Inbox('socket');
    this.lastRef = 0;
    this.onMessage = onMessage;
  }

  push(text) {
    const data = JSON.parse(text);
    const event = { type: data.event ?? 'message', id: data.id, hasId: 'id' in data, data, text };
    this.onMessage(event);
    this.events.push(event);
  }

  get rows() {
    return this.ofType('message');
  }

  ofType(type) {
    return this.events.items.filter((e) => e.type === type);
  }

  take(type, fits = () => true, options = {}) {
    return this.events.take((e) => e.type === type && fits(e), { what: type, ...options });
  }

  /** The id of the last event that has one. */
  get lastId() {
    return this.events.items.findLast((e) => e.hasId)?.id;
  }

  say(message) {
    this.send(JSON.stringify(message));
  }

  /** Sends a message with a ref of its own; its answer's data. */
  async ask(event, members = {}) {
    const ref = `r${++this.lastRef}`;
    this.say({ event, ref, ...members });
    const fits = (e) => e.data.ref === ref && (e.type === 'ok' || e.type === 'error');
    return (await this.events.take(fits, { what: `the answer to ${event}` })).data;
  }

  /** The same; must be `ok`. */
  async tell(event, members) {
    const answer = await this.ask(event, members);
    assert.equal(answer.event, 'ok', JSON.stringify(answer));
    return answer;
  }
}

/** A client of the package `ws`. */
export class WsClient extends Talk {
  constructor(socket, onMessage) {
    super(onMessage);
    this.socket = socket;
    this.pings = 0;
    socket.on('message', (data, isBinary) => {
      assert.ok(!isBinary);
      this.push(data.toString());
    });
    socket.on('ping', () => {
      this.pings++;
    });
    this.closed = new Promise((resolve) => {
      socket.on('close', (code, reason) => {
        this.end = { code, reason: reason.toString() };
        resolve(this.end);
      });
    });
  }

  send(text) {
    this.socket.send(text);
  }

  /** Cuts the connection, now. */
  kill() {
    this.socket.terminate();
  }

  /** Says good-bye; how it ended. */
  close(code = 1000, reason = '') {
    this.socket.close(code, reason);
    return this.closed;
  }
}

/**
 * Opens a socket, behind its hello (`hello`, `headers`). What is refused rejects with an error that
 * has status, headers, body and json.
 */
export function openSocket(baseUrl, options = {}) {
  const { topics, params, token, headers = {}, onMessage, ws = {} } = options;
  const all = token === undefined ? headers : { authorization: `Bearer ${token}`, ...headers };
  const url = baseUrl.replace(/^http/, 'ws') + wsPath(topics, params);
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, { headers: all, perMessageDeflate: true, ...ws });
    const client = new WsClient(socket, onMessage);
    socket.on('error', reject);
    socket.on('upgrade', (response) => {
      client.headers = response.headers;
    });
    socket.on('unexpected-response', (request, response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text) => {
        body += text;
      });
      response.on('end', () => {
        const error = new Error(`the socket was refused: ${response.statusCode} ${body}`);
        const json = body === '' ? null : JSON.parse(body);
        const { statusCode: status, headers: got } = response;
        reject(Object.assign(error, { status, headers: got, body, json }));
      });
    });
    client.take('hello').then((hello) => {
      client.hello = hello;
      resolve(client);
    }, reject);
  });
}

// ---- bare bytes ----

/** A client's frame; `mask: false` leaves the mask out, `length` announces another length. */
export function frame(first, payload = '', { mask = randomBytes(4), length } = {}) {
  const bytes = Buffer.from(payload);
  const n = BigInt(length ?? bytes.length);
  const bit = mask ? 0x80 : 0;
  let head = Buffer.from([first, bit | Number(n < 126n ? n : n < 65536n ? 126n : 127n)]);
  if (n >= 65536n) {
    const more = Buffer.alloc(8);
    more.writeBigUInt64BE(n);
    head = Buffer.concat([head, more]);
  } else if (n >= 126n) {
    head = Buffer.concat([head, Buffer.from([Number(n >> 8n), Number(n & 255n)])]);
  }
  if (!mask) {
    return Buffer.concat([head, bytes]);
  }
  return Buffer.concat([head, mask, bytes.map((b, i) => b ^ mask[i % 4])]);
}

export const closeFrame = (code, reason = '') =>
  frame(FIN | OP.close, Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)]));

/** The request of a handshake. `fields`: more lines, each ended by CRLF. */
export function handshake({ topics, params, token, key = randomBytes(16).toString('base64'), fields = '' }) {
  const bearer = token === undefined ? '' : `Authorization: Bearer ${token}\r\n`;
  return (
    `GET ${wsPath(topics, params)} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
    `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n${bearer}${fields}\r\n`
  );
}

export const acceptOf = (key) =>
  createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');

/** A socket of bare bytes. `frames`: what the server sent, { opcode, fin, payload }. */
export class RawSocket extends Talk {
  static async connect(port) {
    const socket = net.connect({ host: '127.0.0.1', port, noDelay: true });
    await once(socket, 'connect');
    return new RawSocket(socket);
  }

  constructor(socket) {
    super();
    this.socket = socket;
    this.bytes = Buffer.alloc(0);
    this.heads = new Inbox('heads');
    this.frames = new Inbox('frames');
    this.isUpgraded = false;
    socket.on('error', () => {});
    socket.on('data', (data) => {
      this.bytes = Buffer.concat([this.bytes, data]);
      this.scan();
    });
    this.closed = once(socket, 'close');
  }

  scan() {
    while (this.isUpgraded ? this.scanFrame() : this.scanHead());
  }

  /** Answers without a body, or with a Content-Length. */
  scanHead() {
    const end = this.bytes.indexOf('\r\n\r\n');
    if (end < 0) {
      return false;
    }
    const [first, ...lines] = this.bytes.subarray(0, end).toString().split('\r\n');
    const fields = Object.fromEntries(lines.map((line) => {
      const at = line.indexOf(':');
      return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()];
    }));
    const status = Number(first.split(' ')[1]);
    const n = Number(fields['content-length'] ?? 0);
    if (this.bytes.length < end + 4 + n) {
      return false;
    }
    const body = this.bytes.subarray(end + 4, end + 4 + n).toString();
    this.bytes = this.bytes.subarray(end + 4 + n);
    this.isUpgraded = status === 101;
    this.heads.push({ status, fields, body });
    return true;
  }

  scanFrame() {
    const { bytes } = this;
    let at = 2;
    let n = bytes.length < 2 ? 0 : bytes[1] & 0x7f;
    if (bytes.length < 2 || bytes.length < (n === 126 ? 4 : n === 127 ? 10 : 2)) {
      return false;
    }
    assert.equal(bytes[1] & 0x80, 0, 'a server does not mask');
    if (n === 126) {
      n = bytes.readUInt16BE(2);
      at = 4;
    } else if (n === 127) {
      n = Number(bytes.readBigUInt64BE(2));
      at = 10;
    }
    if (bytes.length < at + n) {
      return false;
    }
    const payload = bytes.subarray(at, at + n);
    this.bytes = bytes.subarray(at + n);
    assert.equal(bytes[0] & 0x70, 0, 'no extension was agreed on');
    const got = { opcode: bytes[0] & 0x0f, fin: (bytes[0] & FIN) !== 0, payload };
    this.frames.push(got);
    if (got.opcode === OP.text) {
      this.push(payload.toString());
    }
    return true;
  }

  write(...pieces) {
    this.socket.write(Buffer.concat(pieces.map((piece) => Buffer.from(piece))));
  }

  send(text) {
    this.write(frame(FIN | OP.text, text));
  }

  takeFrame(opcode, fits = () => true, options = {}) {
    return this.frames.take((f) => f.opcode === opcode && fits(f), { what: `frame ${opcode}`, ...options });
  }

  /** The close frame that comes: [code, reason], code 1005 without one. The end follows. */
  async takeClose() {
    const { payload } = await this.takeFrame(OP.close);
    await this.closed;
    assert.equal(this.frames.items.at(-1).opcode, OP.close, 'nothing follows a close frame');
    return payload.length === 0 ? [1005, ''] : [payload.readUInt16BE(0), payload.subarray(2).toString()];
  }

  kill() {
    this.socket.destroy();
  }
}

/** A raw socket behind its hello. */
export async function openRaw(port, options) {
  const raw = await RawSocket.connect(port);
  raw.write(handshake(options));
  raw.head = await raw.heads.take(() => true);
  assert.equal(raw.head.status, 101, JSON.stringify(raw.head));
  raw.hello = await raw.take('hello');
  return raw;
}
