// bytes.mjs - big bodies that cost nothing: pseudo-random, the same on every run,
// readable from any offset. What is sent can be checked without being kept.
import crypto from 'node:crypto';
import { Readable } from 'node:stream';

const BLOCK_BYTES = 65_536;

/** The largest body that may be asked for. */
export const MAX_SYNTHETIC_BYTES = 16 * 1024 ** 3;

const pattern = makePattern();

function makePattern() {
  const block = Buffer.alloc(BLOCK_BYTES);
  let x = 0x9e3779b9;
  for (let i = 0; i < BLOCK_BYTES; i += 4) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    block.writeInt32LE(x, i);
  }
  return block;
}

/* Block `n`: the pattern with its number in front, so that no two blocks are equal. */
function block(n) {
  const bytes = Buffer.from(pattern);
  bytes.writeUInt32BE(n, 0);
  return bytes;
}

/** Streams bytes `start` to `end` (exclusive) of the endless sequence. */
export function syntheticStream(start, end) {
  let at = start;
  return new Readable({
    highWaterMark: BLOCK_BYTES,
    read() {
      if (at >= end) {
        this.push(null);
        return;
      }
      const n = Math.floor(at / BLOCK_BYTES);
      const from = at % BLOCK_BYTES;
      const to = Math.min(BLOCK_BYTES, from + end - at);
      at += to - from;
      this.push(block(n).subarray(from, to));
    },
  });
}

/** The SHA-256, in hex, of the first `size` bytes of the sequence. */
export async function syntheticSha256(size) {
  const hash = crypto.createHash('sha256');
  for await (const chunk of syntheticStream(0, size)) {
    hash.update(chunk);
  }
  return hash.digest('hex');
}
