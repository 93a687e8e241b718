// What an idle keep-alive connection costs.
// not under sanitizers: it measures the heap
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GET, POST, startServer } from './lib/http1.mjs';

test('an idle keep-alive connection costs at most 512 bytes', async (t) => {
  const n = 2000;
  const server = await startServer(t);
  const warm = await server.connect();
  for (const text of [GET('/x'), POST('/echo', 'x'.repeat(100000)), GET('/chunked')]) {
    assert.equal((await warm.ask(text)).status, 200);
  }
  const before = await server.stats();
  const clients = [];
  for (let i = 0; i < n; i += 100) {
    const some = await Promise.all(Array.from({ length: 100 }, () => server.connect()));
    await Promise.all(
      some.map(async (client) => {
        assert.equal((await client.ask(GET('/x'))).status, 200);
        assert.equal((await client.ask(POST('/echo', 'x'.repeat(1000)))).status, 200);
      }),
    );
    clients.push(...some);
  }
  const after = await server.stats();
  assert.equal(after.open, before.open + n);
  const each = (after.heap - before.heap) / n;
  t.diagnostic(`${each.toFixed(1)} bytes per idle connection`);
  assert.ok(each <= 512, `${each} bytes`);
  clients.concat(warm).forEach((client) => client.destroy());
  await server.until(({ open }) => open === 1);
});
