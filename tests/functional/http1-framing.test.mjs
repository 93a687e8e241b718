// Every sentence of "strict by RFC 9112": one refusal each, on fresh and on reused connections,
// readable by the client, and the connection is over.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chunked, get, H, REFUSED } from './lib/framing.mjs';
import { GET, POST, startServer } from './lib/http1.mjs';

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
