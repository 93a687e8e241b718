// scripted-origin.mjs - answers with exactly the bytes of a table, and keeps what it was asked.
//
// The query's `k` names the answer; see `answers`. What node:http would put right (fields, framing,
// an answer in the middle of a request) goes out as it stands here.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { Inbox } from './inbox.mjs';

const head = (...lines) => `HTTP/1.1 ${lines.join('\r\n')}\r\n\r\n`;
const sized = (status, body, ...lines) =>
  head(status, ...lines, `Content-Length: ${body.length}`) + body;

/** Answers that end by their framing. */
export const answers = {
  ok: sized('200 OK', '{"ok":true}', 'Content-Type: application/json'),
  empty: sized('200 OK', ''),
  created: sized('201 Created', '', 'Location: /t?id=eq.1', 'Preference-Applied: return=minimal'),
  ranged: sized('206 Partial Content', 'cd', 'Content-Range: 2-3/10', 'Accept-Ranges: bytes'),
  reason: sized('402 boom, boom', ''),
  no_reason: sized('207 ', 'ab'),
  unlisted: sized('546 Resource Limit', '{}'),
  error: sized('409 Conflict', '{"code":"23505"}', 'Proxy-Status: PostgREST; error=23505'),
  limited: sized('503 Service Unavailable', '{}', 'Retry-After: 0'),
  redirect: sized('302 Found', '', 'Location: http://127.0.0.1:1/elsewhere'),
  repeated: sized('200 OK', '', 'X-A: 1', 'Set-Cookie: a=1', 'x-a: 2', 'Set-Cookie: b=2; Path=/'),
  blank: sized('200 OK', '', 'X-Empty:', 'X-Spaced:   two  words  ', 'X-Colon: a:b'),
  latin1: sized('200 OK', '', 'X-Name: caf\xe9'),
  encoded: sized('200 OK', '\x1f\x8b\x08', 'Content-Encoding: gzip', 'Vary: Accept-Encoding'),
  cors: sized('200 OK', '', 'Access-Control-Allow-Origin: *', 'Vary: Origin'),
  no_content: head('204 No Content', 'X-A: 1'),
  not_modified: head('304 Not Modified', 'ETag: "x"', 'Content-Length: 1234'),
  chunked: head('200 OK', 'Transfer-Encoding: chunked') + '3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n',
  trailers:
    head('200 OK', 'Transfer-Encoding: chunked', 'Trailer: T') + '3\r\nabc\r\n0\r\nT: v\r\n\r\n',
  no_chunks: head('200 OK', 'Transfer-Encoding: chunked') + '0\r\n\r\n',
  hinted: head('103 Early Hints', 'Link: </a>; rel=preload') + sized('200 OK', 'late'),
  hop: sized('200 OK', '', 'Connection: X-Hop', 'X-Hop: 1', 'Keep-Alive: timeout=5', 'X-Kept: 1'),
  dated: sized('200 OK', '', 'Date: Tue, 01 Jan 2030 00:00:00 GMT', 'Server: postgrest/12'),
};

/** Answers that the end of the connection ends, or cuts. */
export const endings = {
  until_close: `${head('200 OK', 'Connection: close')}until the end`,
  cut_length: `${head('200 OK', 'Content-Length: 100')}abc`,
  cut_chunk: `${head('200 OK', 'Transfer-Encoding: chunked')}3\r\nabc\r\n`,
};

const BIG_BYTES = 3_000_000;
export const bigBody = Buffer.alloc(BIG_BYTES, 'tidegate ');

/** Takes one request off the front of `bytes`: { request, rest }, or null while it is not whole. */
function takeRequest(bytes) {
  const at = bytes.indexOf('\r\n\r\n');
  if (at === -1) {
    return null;
  }
  const [line, ...lines] = bytes.subarray(0, at).toString('latin1').split('\r\n');
  const fields = lines.map((text) => text.split(/:(.*)/s).slice(0, 2).map((part) => part.trim()));
  const value = (name) => fields.find(([n]) => n.toLowerCase() === name)?.[1];
  const request = { line, fields, answer: /[?&]k=(\w+)/.exec(line)?.[1] ?? 'ok', early: false };
  let end = at + 4;
  let body;
  if (value('transfer-encoding')) {
    const pieces = [];
    for (;;) {
      const eol = bytes.indexOf('\r\n', end);
      const size = eol === -1 ? NaN : parseInt(bytes.subarray(end, eol).toString('latin1'), 16);
      if (Number.isNaN(size) || bytes.length < eol + 2 + size + 2) {
        return request.answer === 'early' ? { request: { ...request, early: true } } : null;
      }
      pieces.push(bytes.subarray(eol + 2, eol + 2 + size));
      end = eol + 2 + size + 2;
      if (size === 0) {
        break;
      }
    }
    body = Buffer.concat(pieces);
  } else {
    const length = Number(value('content-length') ?? 0);
    if (request.answer === 'early') {
      return { request: { ...request, early: true } };
    }
    if (bytes.length < end + length) {
      if (value('expect')) {
        return { wantsMore: true };
      }
      return null;
    }
    body = bytes.subarray(end, end + length);
    end += length;
  }
  request.length = body.length;
  request.hash = createHash('sha256').update(body).digest('hex');
  return { request, rest: bytes.subarray(end) };
}

function reply(socket, request, served) {
  if (request.early) {
    socket.removeAllListeners('data');
    socket.on('data', () => {}); // the rest of the upload
    socket.write(sized('413 Payload Too Large', 'too big', 'Connection: close'));
  } else if (request.answer === 'silent') {
    served.silent.push(socket);
  } else if (request.answer === 'dies') {
    socket.destroy();
  } else if (request.answer === 'big') {
    socket.write(head('200 OK', `Content-Length: ${BIG_BYTES}`));
    if (!request.line.startsWith('HEAD ')) {
      socket.write(bigBody);
    }
  } else if (request.answer in endings) {
    socket.end(endings[request.answer], 'latin1');
  } else {
    const bytes = answers[request.answer];
    const isHead = request.line.startsWith('HEAD ');
    socket.write(isHead ? bytes.slice(0, bytes.lastIndexOf('\r\n\r\n') + 4) : bytes, 'latin1');
  }
}

/**
 * Starts it: { port, url, requests (an Inbox of { line, fields, answer, length, hash }),
 * connections (so far), silent (sockets that wait for an answer), keyFetches, stop() }. Fetches of
 * the signing keys are answered with none, and are not among the requests.
 */
export async function startScriptedOrigin() {
  const sockets = new Set();
  const served = { requests: new Inbox('upstream'), connections: 0, keyFetches: 0, silent: [] };
  const server = net.createServer((socket) => {
    let bytes = Buffer.alloc(0);
    let isAsked = false; // has said 100
    served.connections++;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {}); // a test that cuts a connection
    socket.on('data', (data) => {
      bytes = Buffer.concat([bytes, data]);
      for (;;) {
        const taken = bytes.length > 0 ? takeRequest(bytes) : null;
        if (taken?.wantsMore && !isAsked) {
          isAsked = true;
          socket.write('HTTP/1.1 100 Continue\r\n\r\n');
        }
        if (!taken?.request) {
          return;
        }
        bytes = taken.rest ?? Buffer.alloc(0);
        isAsked = false;
        if (taken.request.line.includes('/.well-known/jwks.json ')) {
          served.keyFetches++;
          socket.write(sized('200 OK', '{"keys":[]}', 'Content-Type: application/json'));
          continue;
        }
        served.requests.push(taken.request);
        reply(socket, taken.request, served);
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  return Object.assign(served, {
    port,
    url: `http://127.0.0.1:${port}`,
    stop: async () => {
      sockets.forEach((socket) => socket.destroy());
      server.close();
      await once(server, 'close');
    },
  });
}
