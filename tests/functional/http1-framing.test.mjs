// Every sentence of "strict by RFC 9112": one refusal each, on fresh and on reused connections,
// readable by the client, and the connection is over.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GET, POST, startServer } from './lib/http1.mjs';

const H = 'Host: a\r\n';
const get = (rest) => `GET / HTTP/1.1\r\n${H}${rest}`;
const chunked = (rest) => `POST /count HTTP/1.1\r\n${H}Transfer-Encoding: chunked\r\n\r\n${rest}`;

const REFUSED = {
  'a bare LF behind the request line': `GET / HTTP/1.1\n${H}\r\n`,
  'a bare LF behind a field': 'GET / HTTP/1.1\r\nHost: a\n\r\n',
  'a bare LF as the last line': 'GET / HTTP/1.1\r\nHost: a\r\n\n',
  'a folded line': get('X: 1\r\n 2\r\n\r\n'),
  'a folded line with a tab': get('X: 1\r\n\t2\r\n\r\n'),
  'a blank in front of the first field': `GET / HTTP/1.1\r\n ${H}\r\n`,
  'a blank before the colon': get('X : 1\r\n\r\n'),
  'a blank before the colon of Content-Length': get('Content-Length : 1\r\n\r\nx'),
  'a name that is no token': get('X(y): 1\r\n\r\n'),
  'an empty name': get(': 1\r\n\r\n'),
  'a line without a colon': get('nothing\r\n\r\n'),
  'NUL in a value': get('X: a\0b\r\n\r\n'),
  'a bare CR in a value': get('X: a\rb\r\n\r\n'),
  'a control in a value': get('X: a\x01b\r\n\r\n'),
  'DEL in a value': get('X: a\x7fb\r\n\r\n'),
  'NUL in a name': get('X\0: a\r\n\r\n'),
  'no Host': 'GET / HTTP/1.1\r\n\r\n',
  'two Hosts': get('Host: a\r\n\r\n'),
  'an empty Host': 'GET / HTTP/1.1\r\nHost:\r\n\r\n',
  'a Host with a user': 'GET / HTTP/1.1\r\nHost: a@b\r\n\r\n',
  'a Host with a path': 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n',
  'a Host that is a list': 'GET / HTTP/1.1\r\nHost: a b\r\n\r\n',
  'Content-Length twice, the same': get('Content-Length: 1\r\nContent-Length: 1\r\n\r\nx'),
  'Content-Length twice, different': get('Content-Length: 1\r\ncontent-length: 2\r\n\r\nxy'),
  'Content-Length as a list': get('Content-Length: 1, 1\r\n\r\nx'),
  'Content-Length with a sign': get('Content-Length: +1\r\n\r\nx'),
  'Content-Length below zero': get('Content-Length: -1\r\n\r\nx'),
  'Content-Length in hexadecimal': get('Content-Length: 0x1\r\n\r\nx'),
  'Content-Length that is empty': get('Content-Length:\r\n\r\n'),
  'Transfer-Encoding beside Content-Length': get(
    'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ),
  'Content-Length beside Transfer-Encoding': get(
    'Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n',
  ),
  'Transfer-Encoding: identity': get('Transfer-Encoding: identity\r\n\r\n'),
  'Transfer-Encoding: gzip, chunked': get('Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n'),
  'Transfer-Encoding: chunked, chunked': get('Transfer-Encoding: chunked, chunked\r\n\r\n'),
  'Transfer-Encoding: xchunked': get('Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n'),
  'Transfer-Encoding twice': get(
    'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ),
  'Transfer-Encoding on HTTP/1.0': `POST / HTTP/1.0\r\n${H}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  'a target with a control': `GET /\x01 HTTP/1.1\r\n${H}\r\n`,
  'a target with a byte over 0x7E': `GET /\xe9 HTTP/1.1\r\n${H}\r\n`,
  'a target with a fragment': `GET /a#b HTTP/1.1\r\n${H}\r\n`,
  'two blanks before the target': `GET  / HTTP/1.1\r\n${H}\r\n`,
  'two blanks before the version': `GET /  HTTP/1.1\r\n${H}\r\n`,
  'a tab for a blank': `GET\t/ HTTP/1.1\r\n${H}\r\n`,
  'a blank behind the version': `GET / HTTP/1.1 \r\n${H}\r\n`,
  'a blank in front of the method': ` GET / HTTP/1.1\r\n${H}\r\n`,
  'no version': `GET /\r\n${H}\r\n`,
  'a version that is none': `GET / HTTP/1.x\r\n${H}\r\n`,
  'an unknown method': `FETCH / HTTP/1.1\r\n${H}\r\n`,
  'a method in small letters': `get / HTTP/1.1\r\n${H}\r\n`,
  'CONNECT': `CONNECT a:443 HTTP/1.1\r\n${H}\r\n`,
  'TRACE': `TRACE / HTTP/1.1\r\n${H}\r\n`,
  'an asterisk for another method than OPTIONS': `GET * HTTP/1.1\r\n${H}\r\n`,
  'a TLS hello': '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
  'a chunk size that is none': chunked('x\r\n'),
  'an empty chunk size': chunked('\r\n'),
  'a chunk size with a sign': chunked('+1\r\nx\r\n0\r\n\r\n'),
  'a chunk size with 0x': chunked('0x1\r\nx\r\n0\r\n\r\n'),
  'a blank behind a chunk size': chunked('1 \r\nx\r\n0\r\n\r\n'),
  'a chunk size ended by a bare LF': chunked('1\nx\r\n0\r\n\r\n'),
  'a chunk longer than its size': chunked('1\r\nxx\r\n0\r\n\r\n'),
  'a chunk ended by a bare LF': chunked('1\r\nx\n0\r\n\r\n'),
  'a control in a chunk extension': chunked('1;a\x01\r\nx\r\n0\r\n\r\n'),
  'a bare LF in a chunk extension': chunked('1;a\nb\r\nx\r\n0\r\n\r\n'),
  'an endless chunk extension': chunked(`1;${'a'.repeat(300)}\r\nx\r\n0\r\n\r\n`),
  'a trailer that is no field': chunked('0\r\nnothing\r\n\r\n'),
  'a folded trailer': chunked('0\r\nA: b\r\n c\r\n\r\n'),
  'trailers ended by a bare LF': chunked('0\r\n\n'),
};

const OTHERS = [
  ['a version to come', 505, `GET / HTTP/2.0\r\n${H}\r\n`],
  ['HTTP/1.2', 505, `GET / HTTP/1.2\r\n${H}\r\n`],
  ['a target too long', 414, GET(`/${'a'.repeat(200)}`)],
  ['a target too long, not whole', 414, `GET /${'a'.repeat(1500)}`],
  ['a head too long', 431, get(`X: ${'a'.repeat(2000)}\r\n\r\n`)],
  ['a head too long, not whole', 431, get(`X: ${'a'.repeat(2000)}`)],
  ['too many fields', 431, get(`${'A: b\r\n'.repeat(20)}\r\n`)],
  ['a body declared too long', 413, get('Content-Length: 1001\r\n\r\n')],
  ['a body declared beyond every number', 413, get(`Content-Length: 1${'0'.repeat(30)}\r\n\r\n`)],
  ['chunks too long together', 413, chunked(`1f4\r\n${'x'.repeat(500)}\r\n1f5\r\n`)],
  ['a chunk too long', 413, chunked('ffffffffffffffff\r\n')],
  ['a chunk size of too many digits', 413, chunked(`${'0'.repeat(17)}\r\n`)],
  ['trailers too long', 431, chunked(`0\r\n${'A: b\r\n'.repeat(1000)}\r\n`)],
];

const LIMITS = { target: 100, head: 1200, fields: 16, body: 1000 };

async function refuses(client, text, status) {
  // More bytes behind it: closing must not destroy the answer (a RST would).
  client.send(Buffer.from(text, 'latin1'), Buffer.from(GET('/hidden'), 'latin1'));
  const answer = await client.answer();
  assert.equal(answer.status, status);
  assert.equal(answer.get('connection'), 'close');
  assert.match(answer.body.toString(), /^\{"code":"TG\d{3}"\}\n$/);
  await client.end();
}

test('what can be read in two ways is refused, and the connection is over', async (t) => {
  const server = await startServer(t, LIMITS);
  const all = [...Object.entries(REFUSED).map(([name, text]) => [name, 400, text]), ...OTHERS];
  for (const [name, status, text] of all) {
    await t.test(`${name}: ${status}, fresh`, async () => {
      await refuses(await server.connect(), text, status);
    });
    await t.test(`${name}: ${status}, reused`, async () => {
      const client = await server.connect();
      assert.equal((await client.ask(GET('/'))).status, 200);
      assert.equal((await client.ask(POST('/echo', 'abc'))).body.toString(), 'abc');
      await refuses(client, text, status);
    });
  }
  const { gone } = await server.stats();
  assert.ok(!gone.some((line) => line.includes('/hidden')), 'nothing behind an error is served');
});

test('what looks odd and has one meaning is served', async (t) => {
  const server = await startServer(t, LIMITS);
  const cases = [
    ['an empty line in front', `\r\n${GET('/x')}`, 'GET|/x|a|0'],
    ['no blank behind the colon', 'GET /x HTTP/1.1\r\nHost:a\r\n\r\n', 'GET|/x|a|0'],
    ['blanks around a value', 'GET /x HTTP/1.1\r\nHost: \t a \t\r\n\r\n', 'GET|/x|a|0'],
    ['bytes over 0x7F in a value', get('X: \xe9\xff\r\n\r\n').replace('/', '/x'), 'GET|/x|a|0'],
    ['an empty value', get('X:\r\n\r\n').replace('/', '/x'), 'GET|/x|a|0'],
    ['a port', 'GET /x HTTP/1.1\r\nHost: [::1]:80\r\n\r\n', 'GET|/x|[::1]:80|0'],
    ['OPTIONS *', `OPTIONS * HTTP/1.1\r\n${H}\r\n`, 'OPTIONS|*|a|0'],
    ['a GET with a body', get('Content-Length: 3\r\n\r\nabc').replace('/', '/x'), 'GET|/x|a|3'],
    ['zeros in front of a length', POST('/x', 'abc').replace(': 3', ': 003'), 'POST|/x|a|3'],
    ['Chunked in capitals', chunked('3\r\nabc\r\n0\r\n\r\n').replace(': chunked', ': CHUNKED').replace('/count', '/x'), 'POST|/x|a|3'],
    ['chunk extensions and trailers', chunked('3;a=b;c="d e"\r\nabc\r\n00;x\r\nA: b\r\nC:\r\n\r\n').replace('/count', '/x'), 'POST|/x|a|3'],
    ['the longest target', GET(`/${'a'.repeat(99)}`), `GET|/${'a'.repeat(99)}|a|0`],
  ];
  for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
    cases.push([method, `${method} /x HTTP/1.1\r\n${H}\r\n`, `${method}|/x|a|0`]);
  }
  const reused = await server.connect();
  for (const [name, text, described] of cases) {
    await t.test(name, async () => {
      for (const client of [await server.connect(), reused]) {
        const { status, body } = await client.ask(Buffer.from(text, 'latin1'));
        assert.equal(status, 200);
        assert.equal(body.toString(), `${described}\n`);
        if (client !== reused) {
          client.destroy();
        }
      }
    });
  }
  reused.destroy();
});
