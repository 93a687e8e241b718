// Programs of the build that only tests use.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** Where it is: beside the server of lib/http1, of the build under test, else of the preset dev. */
export function testProgram(name) {
  const { TG_HTTP1_SERVER: server, TIDEGATE_BIN: gateway } = process.env;
  const places = [
    server && path.dirname(server),
    gateway && path.join(path.dirname(gateway), 'tests'),
    path.join(ROOT, 'build/dev/tests'),
  ];
  const found = places
    .filter((place) => place)
    .map((place) => path.join(place, name))
    .find((place) => existsSync(place));
  assert.ok(found, `${name} is not built`);
  return found;
}
