// control.mjs - the faults a test can order, and what it can look at.
//
// On the control port: POST /realtime/<name>. Wherever sockets or channels are chosen:
// { socket: id, topic: "realtime:..." }, each optional; neither means all.

function chosenSockets(rt, { socket }) {
  return [...rt.sockets].filter((s) => socket === undefined || s.id === socket);
}

function chosenChannels(rt, { socket, topic }) {
  return chosenSockets(rt, { socket })
    .flatMap((s) => [...s.channels.values()])
    .filter((c) => topic === undefined || c.topic === topic);
}

const SETTABLE = [
  'upgradeErrorDelayMs',
  'joinErrorDelayMs',
  'subscribedDelayMs',
  'resubscribeDelayMs',
  'tokenDelayMs',
  'idleCloseMs',
  'idleSlotMs',
  'noChannelMs',
  'maxChannels',
  'maxPresenceCalls',
  'maxPayloadBytes',
];

function configure(rt, json) {
  for (const [name, value] of Object.entries(json)) {
    if (!SETTABLE.includes(name) || !Number.isFinite(value) || value < 0) {
      throw new Error(`cannot set ${name}; known: ${SETTABLE.join(', ')}`);
    }
    rt.cfg[name] = value;
  }
  return Object.fromEntries(SETTABLE.map((name) => [name, rt.cfg[name]]));
}

export function createControl(rt) {
  return {
    /* {} -> sockets, channels, rooms, decoder */
    state: async () => ({
      sockets: [...rt.sockets].map((s) => s.describe()),
      rooms: [...rt.rooms.rooms].map(([name, room]) => ({
        name,
        members: room.members.size,
        present: room.presence.size,
      })),
      changes: rt.changes.state(),
      faults: rt.faults,
    }),

    /* { code?, reason?, socket? }: with a code a close frame (1012: announced); without, a cut. */
    drop: async (json) => {
      const sockets = chosenSockets(rt, json);
      for (const s of sockets) {
        if (json.code === undefined) {
          s.ws.terminate();
        } else if (json.code === 1012 && json.reason === undefined) {
          s.drainAndClose();
        } else {
          s.ws.close(json.code, json.reason ?? '');
        }
      }
      return { dropped: sockets.length };
    },

    /* { reason, count = 1, topic? }; count 0 forgets all refusals */
    'refuse-joins': async ({ reason, count = 1, topic = null }) => {
      if (count === 0) {
        rt.faults.refusals = [];
      } else {
        rt.faults.refusals.push({
          topic,
          count,
          reason:
            reason ??
            'InitializingProjectConnection: Realtime is initializing the project connection',
        });
      }
      return { refusals: rt.faults.refusals };
    },

    /* { status, error, count = 1 }: the next upgrades are answered so; count 0 ends it */
    'refuse-upgrades': async ({
      status = 500,
      error = 'Error connecting to Realtime',
      count = 1,
    }) => {
      rt.faults.upgrade = count === 0 ? null : { status, error, count };
      return { upgrade: rt.faults.upgrade };
    },

    /* { joinMs?, subscribedMs?, muteHeartbeats? }: stays until set again */
    delay: async ({ joinMs, subscribedMs, muteHeartbeats }) => {
      rt.faults.joinDelayMs = joinMs ?? rt.faults.joinDelayMs;
      rt.faults.subscribedDelayMs = subscribedMs ?? rt.faults.subscribedDelayMs;
      rt.faults.muteHeartbeats = muteHeartbeats ?? rt.faults.muteHeartbeats;
      return { ...rt.faults };
    },

    /* { hold }: true keeps every subscription from becoming active until false. */
    'hold-subscribed': async ({ hold = true }) => {
      if (hold) {
        rt.subscribedGate.close();
      } else {
        rt.subscribedGate.open();
      }
      return { hold };
    },

    pause: async () => {
      await rt.changes.decoder.pause();
      return { paused: true };
    },

    resume: async () => {
      rt.changes.decoder.resume();
      return { paused: false };
    },

    /* Waits until what was committed so far has been told to those who are subscribed now. */
    settle: async () => {
      await rt.changes.decoder.settle();
      return {};
    },

    /* { count }: so many decoded changes of subscribed tables vanish */
    'drop-changes': async ({ count = 1 }) => {
      rt.faults.dropChanges = count;
      return { count };
    },

    /* Loses the slot as a restart does; the subscriptions stay. */
    'lose-slot': async () => {
      await rt.changes.loseSlot();
      return { running: true };
    },

    /* { socket?, topic? }: the tokens of these channels run out this moment */
    expire: async (json) => {
      const channels = chosenChannels(rt, json);
      channels.forEach((c) => c.expireNow());
      return { expired: channels.length };
    },

    /* { event = "phx_close" | "phx_error", message?, socket?, topic? } */
    'close-channels': async ({ event = 'phx_close', message, ...which }) => {
      const channels = chosenChannels(rt, which);
      for (const channel of channels) {
        if (message !== undefined) {
          channel.system('system', 'error', message);
        }
        channel.close(event, event === 'phx_error' ? { reason: 'channel_crash' } : {});
      }
      return { closed: channels.length };
    },

    /* Every channel subscribes again, as when the publication has changed. */
    resubscribe: async () => ({ channels: rt.changes.resubscribeAll() }),

    config: async (json) => configure(rt, json),

    /* Ends all faults. */
    reset: async () => {
      rt.resetFaults();
      rt.subscribedGate.open();
      rt.changes.decoder.resume();
      return {};
    },
  };
}
