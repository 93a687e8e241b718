// presence.mjs - who is here: the presence of one room (reference/realtime-protocol.md §10).
//
// Metas are kept as JSON text, so tracked payloads come out as they went in.

import { randomBytes } from 'node:crypto';
import { sliceObject } from './codec.mjs';

function metaText(payloadText, extra) {
  const members = sliceObject(payloadText);
  for (const [name, value] of Object.entries(extra)) {
    members.set(name, JSON.stringify(value));
  }
  return `{${[...members].map(([k, v]) => `${JSON.stringify(k)}:${v}`).join(',')}}`;
}

function sideText(entries) {
  const keys = [...entries].map(
    ([key, metas]) => `${JSON.stringify(key)}:{"metas":[${metas.join(',')}]}`,
  );
  return `{${keys.join(',')}}`;
}

function diffText(joins, leaves) {
  return `{"joins":${sideText(joins)},"leaves":${sideText(leaves)}}`;
}

export class Presence {
  constructor() {
    this.tracked = new Map();
  }

  /** Returns the presence_diff to send, or null when nothing changed. `owner` is the channel. */
  track(owner, key, payloadText) {
    const before = this.tracked.get(owner);
    if (before !== undefined && before.payloadText === payloadText) {
      return null;
    }
    const ref = `F${randomBytes(9).toString('base64url')}`;
    const extra =
      before === undefined ? { phx_ref: ref } : { phx_ref: ref, phx_ref_prev: before.ref };
    const now = { key, ref, payloadText, meta: metaText(payloadText, extra) };
    this.tracked.set(owner, now);
    return diffText([[key, [now.meta]]], before === undefined ? [] : [[before.key, [before.meta]]]);
  }

  untrack(owner) {
    const before = this.tracked.get(owner);
    if (before === undefined) {
      return null;
    }
    this.tracked.delete(owner);
    return diffText([], [[before.key, [before.meta]]]);
  }

  stateText() {
    const keys = new Map();
    for (const { key, meta } of this.tracked.values()) {
      keys.set(key, [...(keys.get(key) ?? []), meta]);
    }
    return sideText(keys);
  }

  get size() {
    return this.tracked.size;
  }
}
