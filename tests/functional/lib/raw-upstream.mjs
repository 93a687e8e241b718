// raw-upstream.mjs - an upstream of bare bytes: what the gateway sent, and any answer to it.
import { once } from 'node:events';
import net from 'node:net';
import { after, before } from 'node:test';
import { Inbox } from './inbox.mjs';

const JWKS = '/auth/v1/.well-known/jwks.json';

function readHead(text) {
  const [first, ...lines] = text.split('\r\n');
  const [method, target] = first.split(' ');
  const fields = lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]);
  const all = (name) => fields.filter(([n]) => n.toLowerCase() === name).map(([, v]) => v);
  return { first, method, target, fields, all, get: (name) => all(name)[0] };
}

/** Bytes of a whole chunked body in `bytes`, or -1. */
function chunkedEnd(bytes) {
  let at = 0;
  for (;;) {
    const line = bytes.indexOf('\r\n', at);
    if (line < 0) {
      return -1;
    }
    const size = parseInt(bytes.subarray(at, line).toString(), 16);
    at = line + 2 + size + 2;
    if (size === 0) {
      return at <= bytes.length ? at : -1;
    }
  }
}

class Connection {
  constructor(upstream, socket) {
    this.upstream = upstream;
    this.socket = socket;
    this.bytes = Buffer.alloc(0);
    this.closed = once(socket, 'close');
    socket.on('error', () => {});
    socket.on('end', () => this.keepsHalf || socket.end());
    socket.on('data', (data) => {
      this.bytes = Buffer.concat([this.bytes, data]);
      this.scan();
    });
  }

  scan() {
    if (this.isRaw) {
      return;
    }
    const end = this.bytes.indexOf('\r\n\r\n');
    if (end < 0) {
      return;
    }
    const req = this.req ?? readHead(this.bytes.subarray(0, end).toString('latin1'));
    if (!this.req) {
      this.req = Object.assign(req, { connection: this, socket: this.socket });
      if (req.target !== JWKS) {
        this.upstream.heads.push(req);
        this.upstream.onHead?.(req);
      }
    }
    const rest = this.bytes.subarray(end + 4);
    const length = req.get('transfer-encoding') ? chunkedEnd(rest) : Number(req.get('content-length') ?? 0);
    if (this.isRaw || length < 0 || rest.length < length) {
      return;
    }
    req.body = rest.subarray(0, length);
    this.bytes = rest.subarray(length);
    this.req = null;
    if (req.target === JWKS) {
      const answer = this.upstream.jwks(req);
      if (answer !== null) {
        this.socket.write(answer);
      }
      return;
    }
    this.upstream.requests.push(req);
    const answer = this.upstream.answer(req, this.socket);
    if (answer) {
      this.socket.write(answer);
    }
    this.scan();
  }
}

export const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: now\r\n\r\nok';
const NO_KEYS = 'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"keys":[]}';

/**
 * Registers an upstream with node:test. `answer(req, socket)` returns the bytes of the answer, or
 * nothing when it writes by itself; tests replace it. `heads` and `requests` are Inboxes.
 */
export function useUpstream() {
  const upstream = {
    answer: () => OK,
    onHead: null,
    jwks: () => NO_KEYS,
    heads: new Inbox('heads'),
    requests: new Inbox('requests'),
    sockets: new Set(),
    /** The next request that fits; those before are forgotten. */
    next: async (fits = () => true) => {
      const req = await upstream.requests.take(fits, { from: upstream.seen, what: 'a request' });
      upstream.seen = upstream.requests.items.indexOf(req) + 1;
      return req;
    },
    /** What came so far is nobody's next. */
    forget: () => {
      upstream.seen = upstream.requests.size;
    },
    seen: 0,
  };
  before(async () => {
    const server = net.createServer({ allowHalfOpen: true }, (socket) => {
      upstream.sockets.add(socket);
      socket.on('close', () => upstream.sockets.delete(socket));
      upstream.last = new Connection(upstream, socket);
    });
    upstream.server = server;
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    upstream.port = server.address().port;
    upstream.url = `http://127.0.0.1:${upstream.port}`;
    upstream.isUp();
  });
  upstream.ready = new Promise((resolve) => {
    upstream.isUp = resolve;
  });
  after(() => {
    upstream.server.close();
    upstream.sockets.forEach((socket) => socket.destroy());
  });
  return upstream;
}

/** Restores what a test replaced. */
export function answerWith(t, upstream, answer) {
  const old = upstream.answer;
  upstream.answer = typeof answer === 'function' ? answer : () => answer;
  t.after(() => {
    upstream.answer = old;
  });
}
