// socket.mjs - one WebSocket: its frames in order, its channels, its limits.
//
// Frames are handled strictly one after the other, and while a join is being
// decided nothing else moves on the socket, neither in nor out: upstream's
// transport process waits for the join (reference/realtime-protocol.md §4.4).

import { decode, encode } from './codec.mjs';
import { JoinError, openChannel } from './join.mjs';

const PAUSE_AT = 1000;

let nextSerial = 1;

function sleep(ms) {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

export class Socket {
  constructor(rt, ws, { vsn, token, headers, params }) {
    this.rt = rt;
    this.ws = ws;
    this.id = nextSerial++;
    this.vsn = vsn;
    this.token = token;
    this.headers = headers;
    this.params = params;
    this.channels = new Map();
    this.inbox = [];
    this.busy = false;
    this.held = null;
    this.closed = false;
    this.emptyTimer = null;
    ws.on('message', (data, isBinary) => this.onMessage(data, isBinary));
    ws.on('ping', () => this.touch());
    ws.on('pong', () => this.touch());
    ws.on('close', () => this.onClose());
    ws.on('error', (err) => rt.log(`socket ${this.id}: ${err.message}`));
    this.touch();
  }

  touch() {
    clearTimeout(this.idleTimer);
    this.idleTimer = setTimeout(() => this.ws.close(1000), this.rt.cfg.idleCloseMs);
  }

  onMessage(data, isBinary) {
    this.touch();
    this.inbox.push({ data, isBinary });
    if (this.inbox.length > PAUSE_AT) {
      this.ws.pause();
    }
    if (!this.busy) {
      this.drain();
    }
  }

  async drain() {
    this.busy = true;
    while (this.inbox.length > 0 && !this.closed) {
      const { data, isBinary } = this.inbox.shift();
      const msg = decode(this.vsn, data, isBinary);
      try {
        if (msg !== null) {
          await this.handle(msg);
        }
      } catch (err) {
        this.crash(msg, err);
      }
      if (this.ws.isPaused && this.inbox.length === 0) {
        this.ws.resume();
      }
    }
    this.busy = false;
  }

  crash(msg, err) {
    this.rt.log(`${msg.topic} ${msg.event}: ${err.stack}`);
    this.channels.get(msg.topic)?.close('phx_error', { reason: 'channel_crash' });
  }

  async handle(msg) {
    if (msg.topic === 'phoenix' && msg.event === 'heartbeat') {
      if (!this.rt.faults.muteHeartbeats) {
        this.reply({ ...msg, joinRef: null }, 'ok', '{}');
      }
      return;
    }
    if (msg.event === 'phx_join' && msg.topic.startsWith('realtime:')) {
      await this.join(msg);
      return;
    }
    const channel = this.channels.get(msg.topic);
    if (channel === undefined) {
      if (msg.event === 'phx_leave' && msg.topic.startsWith('realtime:')) {
        this.reply(msg, 'ok', '{}');
      } else {
        this.reply({ ...msg, joinRef: null }, 'error', '{"reason":"unmatched topic"}');
      }
      return;
    }
    const stale =
      msg.event === 'phx_leave' && msg.joinRef !== null && msg.joinRef !== channel.joinRef;
    if (!stale) {
      await channel.handle(msg);
    }
  }

  async join(msg) {
    const old = this.channels.get(msg.topic);
    let opened = null;
    this.held = [];
    try {
      /* The old channel is gone at once, but its phx_close follows the new reply. */
      old?.end();
      await sleep(this.rt.faults.joinDelayMs);
      opened = await openChannel(this.rt, this, msg);
      if (this.closed) {
        opened.channel.end();
        return;
      }
      this.channels.set(msg.topic, opened.channel);
      this.rt.rooms.enter(opened.channel);
      this.transmit(encode(this.vsn, this.replyFrame(msg, 'ok', opened.response)));
    } catch (err) {
      await sleep(this.rt.cfg.joinErrorDelayMs);
      const reason = err instanceof JoinError ? err.message : 'Unknown Error on Channel';
      if (!(err instanceof JoinError)) {
        this.rt.log(`join ${msg.topic}: ${err.stack}`);
      }
      this.transmit(encode(this.vsn, this.replyFrame(msg, 'error', JSON.stringify({ reason }))));
    } finally {
      const held = this.held;
      this.held = null;
      if (old !== undefined) {
        old.close();
      }
      held.forEach((frame) => this.transmit(frame));
      this.watchEmpty();
    }
    if (opened !== null) {
      opened.channel
        .afterJoin()
        .catch((err) => this.rt.log(`after join ${msg.topic}: ${err.stack}`));
    }
  }

  forget(channel) {
    if (this.channels.get(channel.topic) === channel) {
      this.channels.delete(channel.topic);
      this.watchEmpty();
    }
  }

  /* A socket that had a channel and has none for long is dropped without a close frame. */
  watchEmpty() {
    clearTimeout(this.emptyTimer);
    if (this.channels.size === 0 && !this.closed) {
      this.emptyTimer = setTimeout(() => this.ws.terminate(), this.rt.cfg.noChannelMs);
    }
  }

  replyFrame(msg, status, responseText) {
    return {
      joinRef: msg.joinRef,
      ref: msg.ref,
      topic: msg.topic,
      event: 'phx_reply',
      payloadText: `{"status":"${status}","response":${responseText}}`,
    };
  }

  reply(msg, status, responseText) {
    this.send(this.replyFrame(msg, status, responseText));
  }

  send(frame) {
    this.sendRaw(encode(this.vsn, frame));
  }

  sendRaw(frame) {
    if (this.held !== null) {
      this.held.push(frame);
    } else {
      this.transmit(frame);
    }
  }

  transmit(frame) {
    if (this.closed || this.ws.readyState !== this.ws.OPEN) {
      return;
    }
    this.ws.send(frame);
    if (this.ws.bufferedAmount > this.rt.cfg.maxBufferedBytes) {
      this.rt.log(`socket ${this.id}: the reader is too slow`);
      this.ws.terminate();
    }
  }

  /** Announces a drain on every channel and closes with 1012. */
  drainAndClose() {
    for (const channel of this.channels.values()) {
      channel.pushOwn(
        'system',
        JSON.stringify({
          extension: 'system',
          status: 'ok',
          message: 'Server requested disconnect',
        }),
      );
    }
    this.ws.close(1012);
  }

  onClose() {
    this.closed = true;
    clearTimeout(this.idleTimer);
    clearTimeout(this.emptyTimer);
    this.inbox = [];
    [...this.channels.values()].forEach((c) => c.end());
    this.rt.sockets.delete(this);
  }

  describe() {
    return {
      id: this.id,
      vsn: this.vsn,
      params: this.params,
      buffered: this.ws.bufferedAmount,
      channels: [...this.channels.values()].map((c) => ({
        topic: c.topic,
        join_ref: c.joinRef,
        private: c.isPrivate,
        role: c.claims.role,
        sub: c.claims.sub ?? null,
        exp: c.claims.exp,
        subscribed: c.subscription !== null && c.subscription.active,
      })),
    };
  }
}
