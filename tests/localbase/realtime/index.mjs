// index.mjs - Realtime: WebSocket server, REST broadcast, controls.
//
// No permessage-deflate, no subprotocols, no pings from this side, as upstream.

import { STATUS_CODES } from 'node:http';
import { WebSocketServer } from 'ws';
import { Changes } from './changes.mjs';
import { chooseVsn } from './codec.mjs';
import { createControl } from './control.mjs';
import { handleRest } from './rest.mjs';
import { Rooms } from './rooms.mjs';
import { Socket } from './socket.mjs';
import { checkToken, TokenError } from './tokens.mjs';

/* Delays are short for tests; upstream's are in the comments. */
const DEFAULTS = {
  publication: 'supabase_realtime',
  pollMs: 25, // 100 to 500
  upgradeErrorDelayMs: 50, // 2000
  joinErrorDelayMs: 50, // 5000
  subscribedDelayMs: 20, // 1000 to 4000 on a cold start
  resubscribeDelayMs: 20, // after a change of the publication
  tokenDelayMs: 1000, // 1000 to 3000, the least that clients may rely on
  subscribeRetryMs: 1000, // 5000 to 10000
  publicationCheckMs: 60_000,
  idleSlotMs: 600_000,
  idleCloseMs: 60_000,
  noChannelMs: 600_000,
  maxChannels: 100,
  maxFrameBytes: 5_000_000,
  maxPayloadBytes: 3_000_500,
  maxPresenceCalls: 5,
  maxBufferedBytes: 50_000_000,
};

/** Open at first; whoever passes while it is closed waits until it opens. */
class Gate {
  constructor() {
    this.passage = null;
  }

  close() {
    if (this.passage === null) {
      let open;
      const promise = new Promise((resolve) => {
        open = resolve;
      });
      this.passage = { promise, open };
    }
  }

  open() {
    this.passage?.open();
    this.passage = null;
  }

  async pass() {
    await this.passage?.promise;
  }
}

function noFaults() {
  return {
    refusals: [],
    upgrade: null,
    joinDelayMs: 0,
    subscribedDelayMs: 0,
    muteHeartbeats: false,
    dropChanges: 0,
  };
}

function refuse(socket, status, body) {
  const text = body === null ? '' : JSON.stringify(body);
  const type = text === '' ? '' : 'content-type: application/json; charset=utf-8\r\n';
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${type}` +
      `content-length: ${Buffer.byteLength(text)}\r\nconnection: close\r\n\r\n${text}`,
  );
}

/* The edge turns an opaque key into the token it stands for. */
function legacyKey(keys, role) {
  return role === 'service_role' ? keys.serviceKey : role === 'anon' ? keys.anonKey : '';
}

function extensionHeaders(req) {
  return Object.fromEntries(Object.entries(req.headers).filter(([name]) => name.startsWith('x-')));
}

export function createRealtime(ctx) {
  const cfg = { ...DEFAULTS, ...ctx.config?.realtime };
  const log = (text) => ctx.log('warn', 'realtime', { text });
  const faults = noFaults();
  const rt = {
    cfg,
    log,
    faults,
    pool: ctx.pg,
    jwt: ctx.jwt,
    sockets: new Set(),
    rooms: new Rooms(),
    roomKey: Rooms.key,
    subscribedGate: new Gate(),
    resetFaults: () => Object.assign(faults, noFaults()),
  };
  rt.changes = new Changes({ pool: ctx.pg, db: ctx.db, log, cfg, faults });
  const server = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    clientTracking: false,
    maxPayload: cfg.maxFrameBytes,
  });
  const refusalTimers = new Map();

  function refuseLater(socket, status, body) {
    const timer = setTimeout(() => {
      refusalTimers.delete(timer);
      refuse(socket, status, body);
    }, cfg.upgradeErrorDelayMs);
    refusalTimers.set(timer, socket);
  }

  /* The fault ordered for this upgrade, used up by it. */
  function takeUpgradeFault() {
    const fault = faults.upgrade;
    if (fault !== null && --fault.count <= 0) {
      faults.upgrade = null;
    }
    return fault;
  }

  async function upgrade(req, socket, head, info) {
    socket.on('error', (err) => log(`upgrade: ${err.message}`));
    const params = new URLSearchParams(info.rawQuery ?? '');
    if (!/^(\/socket)?\/websocket\/?$/.test(info.path)) {
      refuse(socket, 404, { message: 'Not Found' });
      return;
    }
    const fault = takeUpgradeFault();
    if (fault !== null) {
      refuseLater(socket, fault.status, { error: fault.error });
      return;
    }
    const vsn = chooseVsn(params.get('vsn'));
    if (vsn === null) {
      refuse(socket, 403, null);
      return;
    }
    const key = req.headers['x-api-key'] ?? params.get('apikey') ?? '';
    const token = key.startsWith('sb_') ? legacyKey(ctx.config.keys, info.apikeyRole) : key;
    try {
      if (token === '') {
        throw new TokenError('', 'API key is missing');
      }
      await checkToken(ctx.jwt, token);
    } catch (err) {
      if (!(err instanceof TokenError)) {
        log(`upgrade: ${err.stack}`);
      }
      const known = err instanceof TokenError;
      refuseLater(socket, known ? 401 : 500, {
        error: known ? err.upgradeText : 'Error connecting to Realtime',
      });
      return;
    }
    params.delete('apikey');
    server.handleUpgrade(req, socket, head, (ws) => {
      rt.sockets.add(
        new Socket(rt, ws, {
          vsn,
          token,
          headers: extensionHeaders(req),
          params: Object.fromEntries(params),
        }),
      );
    });
  }

  return {
    upgrade,

    async handle(req, res, info) {
      if (/^(\/socket)?\/websocket\/?$/.test(info.path)) {
        res.writeHead(400, { 'content-length': 0 });
        res.end();
        return;
      }
      await handleRest(rt, req, res, info);
    },

    control: createControl(rt),

    async stop() {
      for (const [timer, socket] of refusalTimers) {
        clearTimeout(timer);
        socket.destroy();
      }
      for (const s of [...rt.sockets]) {
        s.drainAndClose();
        s.ws.terminate();
      }
      await rt.changes.stop();
    },
  };
}
