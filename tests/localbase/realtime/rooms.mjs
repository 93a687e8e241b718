// rooms.mjs - the members of each room, and what is said to all of them.
// A private and a public room of one name are two rooms.

import { encodeUserBroadcast, userBroadcastText } from './codec.mjs';
import { Presence } from './presence.mjs';

export class Rooms {
  constructor() {
    this.rooms = new Map();
  }

  static key(sub, isPrivate) {
    return `${isPrivate ? 'private' : 'public'}:${sub}`;
  }

  enter(channel) {
    const room = this.rooms.get(channel.roomKey) ?? {
      members: new Set(),
      presence: new Presence(),
    };
    this.rooms.set(channel.roomKey, room);
    room.members.add(channel);
  }

  leave(channel) {
    const room = this.rooms.get(channel.roomKey);
    if (room === undefined || !room.members.delete(channel)) {
      return;
    }
    this.sendDiff(room, room.presence.untrack(channel));
    if (room.members.size === 0) {
      this.rooms.delete(channel.roomKey);
    }
  }

  presenceOf(channel) {
    return this.rooms.get(channel.roomKey).presence;
  }

  sendDiff(room, diff) {
    if (diff === null) {
      return;
    }
    for (const member of room.members) {
      if (member.mayReadPresence()) {
        member.push('presence_diff', diff);
      }
    }
  }

  /** Tracks or untracks (payloadText null) and tells the room. */
  updatePresence(channel, payloadText) {
    const room = this.rooms.get(channel.roomKey);
    const { presence } = room;
    this.sendDiff(
      room,
      payloadText === null
        ? presence.untrack(channel)
        : presence.track(channel, channel.presenceKey, payloadText),
    );
  }

  /** A broadcast that entered as JSON text: relayed as it is, to both versions. */
  broadcastText(roomKey, payloadText, except = null) {
    for (const member of this.rooms.get(roomKey)?.members ?? []) {
      if (member !== except && member.mayReadBroadcast()) {
        member.push('broadcast', payloadText);
      }
    }
  }

  /** A user broadcast (kind 3, REST single event, database): kind 4 for vsn 2, text for vsn 1. */
  broadcastUser(roomKey, user, except = null) {
    const text = userBroadcastText(user);
    for (const member of this.rooms.get(roomKey)?.members ?? []) {
      if (member === except || !member.mayReadBroadcast()) {
        continue;
      }
      if (member.socket.vsn === 2) {
        const frame = encodeUserBroadcast(member.topic, user);
        if (frame !== null) {
          member.socket.sendRaw(frame);
        }
      } else if (text !== null) {
        member.push('broadcast', text);
      }
    }
  }
}
