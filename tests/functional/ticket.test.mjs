// Tickets: how a client that cannot set a header opens a stream, once each, at any gateway.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { useLocalbase } from './lib/localbase.mjs';
import { startRedis } from './lib/redis.mjs';
import { openStream } from './lib/sse.mjs';
import { named, placeGateway, TASKS, titles, until, Writer } from './lib/streams.mjs';
import { openSocket } from './lib/ws.mjs';

const stack = useLocalbase();
const SECRET = 'group-secret-group-secret-group-secret';
const ORIGIN = 'https://app.example.com';

async function fetchTicket(gateway, token = stack.user1.token, headers = {}) {
  const response = await fetch(`${gateway.url}/sync/v1/ticket`, {
    method: 'POST',
    headers: { ...(token && { authorization: `Bearer ${token}` }), ...headers },
  });
  return { response, body: await response.json() };
}

async function ticketOf(gateway, token) {
  const { response, body } = await fetchTicket(gateway, token);
  assert.equal(response.status, 200, JSON.stringify(body));
  return body.ticket;
}

const withTicket = (gateway, ticket, more = {}) =>
  openStream(gateway.url, { topics: TASKS, params: { ticket }, ...more });

/** How a stream was refused. */
const refusal = (opening) =>
  opening.then(
    () => assert.fail('the stream was opened'),
    (error) => error,
  );

/** What docs/HTTP.md has a page do: EventSource's rules, a fresh ticket whenever it is CLOSED. */
class Page {
  constructor(gateway) {
    this.gateway = gateway;
    this.cursor = null;
    this.titles = [];
    this.tickets = 0;
  }

  async run(stopAt) {
    while (this.titles.at(-1) !== stopAt) {
      this.ticket = await ticketOf(this.gateway);
      this.tickets++;
      await this.#source(stopAt);
    }
  }

  /** One EventSource: reconnects with the same URL until the answer is no stream. */
  async #source(stopAt) {
    const params = { ticket: this.ticket, ...(this.cursor !== null && { cursor: this.cursor }) };
    for (;;) {
      const stream = await openStream(this.gateway.url, {
        topics: TASKS,
        params,
        lastEventId: this.cursor ?? undefined,
        onEvent: (event) => {
          this.cursor = event.hasId ? event.id : this.cursor;
          if (event.type === 'message') {
            this.titles.push(event.data.record.title);
            if (event.data.record.title === stopAt) {
              this.stream.kill();
            }
          }
        },
      }).catch((error) => error);
      if (stream.status !== 200) {
        this.closedBy = stream.status;
        return;
      }
      this.stream = stream;
      await stream.ended;
      if (this.titles.at(-1) === stopAt) {
        return;
      }
    }
  }
}

async function oneGateway(t, settings = {}) {
  return placeGateway(t, stack, settings);
}

async function twoGateways(t, settings = {}) {
  const redis = await startRedis(t);
  const group = {
    ...settings,
    store: { url: redis.url },
    gateway: { group_size: 2, secret: SECRET, lease: '2s' },
  };
  return {
    redis,
    here: await placeGateway(t, stack, group),
    there: await placeGateway(t, stack, group),
  };
}

describe('POST /sync/v1/ticket', () => {
  test('gives a user a ticket that is not kept by anybody on the way', async (t) => {
    const gateway = await oneGateway(t);
    const { response, body } = await fetchTicket(gateway);
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('cache-control'), 'no-store');
    assert.equal(response.headers.get('content-type'), 'application/json');
    assert.ok(response.headers.get('x-request-id'));
    assert.equal(body.expires_in, 30);
    assert.match(body.ticket, /^[A-Za-z0-9_-]+$/);
    const payload = stack.user1.token.split('.')[1];
    assert.ok(!Buffer.from(body.ticket, 'base64url').toString('latin1').includes(payload.slice(0, 12)));
  });

  test('is for users only', async (t) => {
    const gateway = await oneGateway(t);
    const cases = [
      [null, 'TG410'],
      [stack.anon_key, 'TG410'],
      [stack.service_key, 'TG410'],
      ['a.b.c', 'TG411'],
    ];
    for (const [token, code] of cases) {
      const { response, body } = await fetchTicket(gateway, token);
      assert.equal(response.status, 401);
      assert.equal(body.code, code);
    }
    const byKey = await fetch(`${gateway.url}/sync/v1/ticket?apikey=${stack.anon_key}`, { method: 'POST' });
    assert.equal(byKey.status, 401);
    const get = await fetch(`${gateway.url}/sync/v1/ticket`);
    assert.equal(get.status, 405);
    assert.equal(get.headers.get('allow'), 'POST, OPTIONS');
  });

  test('a page of a listed origin may ask for one', async (t) => {
    const gateway = await oneGateway(t, { cors: { origins: [ORIGIN] } });
    const preflight = await fetch(`${gateway.url}/sync/v1/ticket`, {
      method: 'OPTIONS',
      headers: {
        origin: ORIGIN,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization',
      },
    });
    assert.equal(preflight.status, 204);
    assert.equal(preflight.headers.get('access-control-allow-origin'), ORIGIN);
    const { response } = await fetchTicket(gateway, stack.user1.token, { origin: ORIGIN });
    assert.equal(response.headers.get('access-control-allow-origin'), ORIGIN);
    const { response: stranger } = await fetchTicket(gateway, stack.user1.token, {
      origin: 'https://elsewhere.example.com',
    });
    assert.equal(stranger.headers.get('access-control-allow-origin'), null);
  });
});

for (const [kind, make] of [
  ['in memory', async (t, s) => ({ here: await oneGateway(t, s) })],
  ['on Redis', twoGateways],
]) {
  describe(`a ticket, the store ${kind}`, () => {
    test('opens one stream, as its user', async (t) => {
      const { here } = await make(t);
      const writer = await Writer.to(stack);
      const ticket = await ticketOf(here);
      const stream = await withTicket(here, ticket);
      t.after(() => stream.kill());
      await stream.take('hello');
      await writer.tasks('by ticket');
      assert.equal((await stream.take('message')).data.record.title, 'by ticket');
      const again = await refusal(withTicket(here, ticket));
      assert.equal(again.status, 204);
      assert.equal(again.body, '');
    });

    test('is old after its time', async (t) => {
      const { here } = await make(t, { auth: { ticket_life: '1s' } });
      const made = Date.now();
      const ticket = await ticketOf(here);
      assert.ok(ticket);
      await until(() => Date.now() > made + 1500, 'another second');
      const late = await refusal(withTicket(here, ticket));
      assert.equal(late.status, 204);
    });

    test('that is forged or empty is no ticket', async (t) => {
      const { here } = await make(t);
      const ticket = await ticketOf(here);
      const forged = (ticket[0] === 'A' ? 'B' : 'A') + ticket.slice(1);
      const refused = await refusal(withTicket(here, forged));
      assert.equal(refused.status, 401);
      assert.equal(refused.json.code, 'TG411');
      const empty = await refusal(withTicket(here, ''));
      assert.equal(empty.json.code, 'TG410');
      // And the real one is still good.
      const stream = await withTicket(here, ticket);
      stream.kill();
    });

    test('used by many at once opens one stream', async (t) => {
      const { here, there = here } = await make(t);
      const ticket = await ticketOf(here);
      const all = await Promise.all(
        [here, there, here, there, here, there].map((g) => withTicket(g, ticket).catch((e) => e)),
      );
      t.after(() => all.forEach((s) => s.kill?.()));
      assert.deepEqual(all.map((s) => s.status).sort(), [200, 204, 204, 204, 204, 204]);
    });

    test('a page that fetches a ticket whenever its EventSource is closed misses nothing', async (t) => {
      const { here } = await make(t);
      const writer = await Writer.to(stack);
      const page = new Page(here);
      const running = page.run('page-9');
      await until(() => page.stream?.status === 200, 'the first stream');
      for (const title of named('page', 9)) {
        await writer.tasks(title);
        await until(() => page.titles.includes(title), title);
        page.stream.kill(); // the network
      }
      await writer.tasks('page-9');
      await running;
      assert.equal(page.closedBy, 204);
      assert.deepEqual(page.titles, named('page', 10));
      assert.ok(page.tickets > 5);
    });

    test('opens one WebSocket, which a page may have no header for', async (t) => {
      const { here } = await make(t);
      const writer = await Writer.to(stack);
      const ticket = await ticketOf(here);
      const socket = await openSocket(here.url, { topics: TASKS, params: { ticket } });
      t.after(() => socket.kill());
      await writer.tasks('by socket');
      assert.equal((await socket.take('message')).data.record.title, 'by socket');
      const again = await openSocket(here.url, { topics: TASKS, params: { ticket } }).catch((e) => e);
      assert.equal(again.status, 401);
      assert.equal(again.json.code, 'TG419');
      // What is spent on a socket is spent for a stream.
      assert.equal((await refusal(withTicket(here, ticket))).status, 204);
    });

    test('and a token are in no log line', async (t) => {
      const { here } = await make(t);
      const ticket = await ticketOf(here);
      const stream = await withTicket(here, ticket);
      await stream.take('hello');
      stream.kill();
      await refusal(withTicket(here, ticket));
      await fetch(`${here.url}/rest/v1/tasks?ticket=${ticket}`, { headers: { apikey: stack.anon_key } });
      await fetch(`${here.url}/nowhere?ticket=${ticket}`);
      await fetch(`${here.url}/realtime/v1/websocket?ticket=${ticket}&vsn=1.0.0`);
      const stopped = await here.stop();
      const log = stopped.lines();
      assert.ok(log.includes('event=refused'), 'debug lines were written');
      assert.ok(!log.includes(ticket.slice(0, 24)) && !log.includes(ticket.slice(-24)));
      assert.ok(!log.includes(stack.user1.token.split('.')[2]));
    });
  });
}

describe('a ticket of one gateway', () => {
  test('is good at the other one, once for both', async (t) => {
    const { here, there } = await twoGateways(t);
    const ticket = await ticketOf(here);
    const stream = await withTicket(there, ticket);
    t.after(() => stream.kill());
    await stream.take('hello');
    assert.equal((await refusal(withTicket(here, ticket))).status, 204);
    assert.equal((await refusal(withTicket(there, ticket))).status, 204);
  });

  test('is not good at a gateway with another secret', async (t) => {
    const { here } = await twoGateways(t);
    const stranger = await oneGateway(t);
    const refused = await refusal(withTicket(stranger, await ticketOf(here)));
    assert.equal(refused.json.code, 'TG411');
  });

  test('lets nobody in while the store is away: it may have been used', async (t) => {
    const { here, redis } = await twoGateways(t);
    const ticket = await ticketOf(here);
    await redis.kill();
    await here.log.take((l) => l.event === 'store_down', { timeoutMs: 40_000 });
    const refused = await refusal(withTicket(here, ticket));
    assert.equal(refused.status, 503);
    assert.ok(refused.headers['retry-after']);
    await redis.start();
  });

  test('resumes where the page says', async (t) => {
    const { here, there } = await twoGateways(t);
    const writer = await Writer.to(stack);
    const first = await withTicket(here, await ticketOf(here));
    await first.take('hello');
    await writer.tasks(named('resumed', 10));
    const events = await first.events.takeMany(10, (e) => e.type === 'message');
    first.kill();
    const second = await withTicket(there, await ticketOf(here), {
      params: { ticket: await ticketOf(there), cursor: events[3].id },
    });
    t.after(() => second.kill());
    const rest = await second.events.takeMany(6, (e) => e.type === 'message');
    assert.deepEqual(titles(rest), named('resumed', 10).slice(4));
  });
});
