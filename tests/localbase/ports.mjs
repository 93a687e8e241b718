// ports.mjs - a port for a server that cannot be given port 0 and asked afterwards.
//
// Between our look and the server's bind nobody else may get it, nor between its end and a
// second start on the same port. Two would: the kernel, which hands out its ephemeral range to
// every outgoing connection, and another test that looks at the same moment. So the port comes
// from below that range, and a listener of ours on another address of the loopback network
// marks it as taken for everybody who asks here, for as long as this process lives.
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';

const FIRST = 10_240;
const USUAL_END = 32_768; // where Linux begins to hand out ports unless told otherwise
const MIN_CHOICE = 1_000;
const TRIES = 200;
const HOST = '127.0.0.1';
const MARK_HOST = '127.77.0.1';

function endOfRange() {
  const text = fs.readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8');
  const end = Number(text.trim().split(/\s+/)[0]);
  return end >= FIRST + MIN_CHOICE ? Math.min(end, USUAL_END) : USUAL_END;
}

/** A listening server, or null when the place is taken. */
async function tryListen(host, port) {
  const server = net.createServer((socket) => socket.destroy());
  server.listen({ host, port, exclusive: true });
  try {
    await once(server, 'listening');
    return server;
  } catch (error) {
    if (error.code !== 'EADDRINUSE') {
      throw error;
    }
    return null;
  }
}

/** A port of 127.0.0.1 that is free, and given to nobody else while this process lives. */
export async function freePort() {
  const end = endOfRange();
  for (let i = 0; i < TRIES; i++) {
    const port = randomInt(FIRST, end);
    const mark = await tryListen(MARK_HOST, port);
    if (mark === null) {
      continue;
    }
    const probe = await tryListen(HOST, port);
    if (probe !== null) {
      probe.close();
      await once(probe, 'close');
      mark.unref();
      return port;
    }
    mark.close();
  }
  throw new Error(`no free port between ${FIRST} and ${end}`);
}
