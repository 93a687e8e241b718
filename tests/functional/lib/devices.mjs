// devices.mjs - a gateway on one store or the other, and what a device says to it.
import { startRedis } from './redis.mjs';
import { openStream } from './sse.mjs';
import { named, placeGateway, TASKS, Writer } from './streams.mjs';

let counter = 0;

/** One request to a gateway's own endpoint: { status, headers, json }. */
export async function ask(url, method, path, { token, body, headers = {} } = {}) {
  const response = await fetch(`${url}/sync/v1${path}`, {
    method,
    headers: { ...headers, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, json: text === '' ? null : JSON.parse(text) };
}

/** The settings of a store for one test. */
export async function storeOf(t, kind) {
  return kind === 'redis' ? { url: (await startRedis(t)).url } : {};
}

/** A gateway before `stack` with a store of this kind, and what tests do with it. */
export async function deviceWorld(t, stack, kind, settings = {}) {
  const store = await storeOf(t, kind);
  const gateway = await placeGateway(t, stack, { ...settings, store: { ...store, ...settings.store } });
  const writer = await Writer.to(stack);
  const { token } = stack.user1;
  return {
    gateway,
    writer,
    store,
    open: (more = {}) => openAt(t, gateway.url, { token, ...more }),
    ask: (method, path, more = {}) => ask(gateway.url, method, path, { token, ...more }),
    write: (s, n = 1) => writeSeen(writer, s, n),
  };
}

/** A stream behind its hello, closed when the test ends. */
export async function openAt(t, url, options) {
  const s = await openStream(url, { topics: TASKS, ...options });
  t.after(() => s.kill());
  s.hello = await s.take('hello');
  return s;
}

/** Writes tasks and waits until `s` has seen them; their titles. */
export async function writeSeen(writer, s, n = 1) {
  const wanted = named(`d${++counter}`, n);
  await writer.tasks(wanted);
  for (const title of wanted) {
    await s.take('message', (e) => e.data.record.title === title, { timeoutMs: 20_000 });
  }
  return wanted;
}
