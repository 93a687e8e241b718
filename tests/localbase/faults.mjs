// faults.mjs - faults on request, and a memory of the last requests.
//
// A fault names a method ("*" for any) and a path prefix (raw, with the public
// prefix, e.g. /rest/v1/trips). It serves `count` requests, then it is gone.
// What it does, in this order:
//   hold            wait until it is released through the control port
//   delay_ms        wait
//   drop: "before"  close the connection, nothing runs
//   drop: "after"   run the request, swallow the answer, close the connection
//   cut_after_bytes let that many body bytes out, then close the connection
//   status, body, headers   answer so; with when: "after" only once it has run
import crypto from 'node:crypto';

const MAX_FAULTS = 1000;
const MAX_RECORDS = 2000;
const MAX_DELAY_MS = 600_000;
const MAX_WAIT_MS = 60_000;

const FIELDS = {
  method: (v) => typeof v === 'string',
  path: (v) => typeof v === 'string' && v.startsWith('/'),
  count: (v) => Number.isInteger(v) && v >= 1,
  hold: (v) => typeof v === 'boolean',
  delay_ms: (v) => Number.isInteger(v) && v >= 0 && v <= MAX_DELAY_MS,
  drop: (v) => v === 'before' || v === 'after',
  cut_after_bytes: (v) => Number.isInteger(v) && v >= 0,
  when: (v) => v === 'before' || v === 'after',
  status: (v) => Number.isInteger(v) && v >= 200 && v <= 599,
  body: () => true,
  headers: (v) => v !== null && typeof v === 'object' && !Array.isArray(v),
};

function checkFault(json) {
  for (const [name, value] of Object.entries(json)) {
    if (!Object.hasOwn(FIELDS, name) || !FIELDS[name](value)) {
      throw new Error(`bad fault field ${name}`);
    }
  }
  if (json.path === undefined) {
    throw new Error('a fault needs a path');
  }
}

/** Lets `max` body bytes of `res` out, then closes its connection. */
function cutBody(res, max) {
  let left = max;
  const pass =
    (write) =>
    (chunk, ...rest) => {
      if (typeof chunk === 'function' || chunk === undefined || chunk === null) {
        return write(chunk, ...rest);
      }
      const bytes = Buffer.from(chunk);
      if (bytes.length <= left) {
        left -= bytes.length;
        return write(chunk, ...rest);
      }
      res.write = () => false;
      res.end = () => res;
      originalWrite(bytes.subarray(0, left), () => res.destroy());
      return false;
    };
  const originalWrite = res.write.bind(res);
  res.write = pass(originalWrite);
  res.end = pass(res.end.bind(res));
}

/** Swallows what the part answers; `done` runs where the answer would end. */
function swallow(res, done) {
  const kept = { writeHead: res.writeHead, write: res.write, end: res.end };
  res.writeHead = () => res;
  res.write = () => true;
  res.end = () => {
    Object.assign(res, kept);
    res.getHeaderNames().forEach((name) => res.removeHeader(name));
    done();
    return res;
  };
}

function answer(res, fault) {
  const isText = typeof fault.body === 'string';
  const body = fault.body === undefined ? '' : isText ? fault.body : JSON.stringify(fault.body);
  const type = isText ? 'text/plain' : 'application/json; charset=utf-8';
  res.writeHead(fault.status, { 'Content-Type': type, ...fault.headers });
  res.end(body);
}

export function createFaults() {
  const faults = new Map();
  const records = [];
  const waiters = new Set();
  const sleepers = new Set();
  let recorded = 0;

  function add(json) {
    checkFault(json);
    if (faults.size >= MAX_FAULTS) {
      throw new Error('too many faults');
    }
    const fault = { id: crypto.randomUUID(), method: '*', count: 1, hits: 0, held: 0, ...json };
    fault.released = new Promise((resolve) => {
      fault.release = resolve;
    });
    faults.set(fault.id, fault);
    return { id: fault.id };
  }

  function remove(id) {
    const chosen = id === undefined ? [...faults.values()] : [faults.get(id)].filter(Boolean);
    for (const fault of chosen) {
      faults.delete(fault.id);
      fault.release();
    }
    return { removed: chosen.length };
  }

  function sleep(ms) {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        sleepers.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      sleepers.add(wake);
    });
  }

  /** Lets everything go that waits. */
  function stop() {
    remove();
    [...sleepers].forEach((wake) => wake());
  }

  /** The next fault for this request, counted down; or null. */
  function take(method, path) {
    for (const fault of faults.values()) {
      const fits = fault.method === '*' || fault.method === method;
      if (fits && fault.hits < fault.count && path.startsWith(fault.path)) {
        fault.hits++;
        return fault;
      }
    }
    return null;
  }

  async function wait(fault) {
    if (fault.hold) {
      fault.held++;
      notify();
      await fault.released;
      fault.held--;
    }
    if (fault.delay_ms) {
      await sleep(fault.delay_ms);
    }
  }

  /** Applies a fault before the part runs. Returns false when the part must not. */
  async function apply(req, res) {
    const fault = take(req.method, req.url);
    if (fault === null) {
      return true;
    }
    await wait(fault);
    if (fault.drop === 'before' || req.socket.destroyed) {
      req.socket.destroy();
      return false;
    }
    if (fault.drop === 'after') {
      swallow(res, () => req.socket.destroy());
    } else if (fault.status !== undefined && fault.when === 'after') {
      swallow(res, () => answer(res, fault));
    } else if (fault.status !== undefined) {
      req.resume();
      answer(res, fault);
      return false;
    }
    if (fault.cut_after_bytes !== undefined) {
      cutBody(res, fault.cut_after_bytes);
    }
    return true;
  }

  function notify() {
    for (const check of [...waiters]) {
      check();
    }
  }

  function record(req) {
    const { method, url, httpVersion, rawHeaders } = req;
    const port = req.socket.remotePort;
    records.push({ n: ++recorded, at: Date.now(), method, url, httpVersion, rawHeaders, port });
    if (records.length > MAX_RECORDS) {
      records.shift();
    }
    notify();
  }

  function requests({ path = '/', method = '*', after = 0 } = {}) {
    return records.filter(
      (r) => r.n > after && r.url.startsWith(path) && (method === '*' || r.method === method),
    );
  }

  /** Resolves with true when `condition` holds, with false after `timeout_ms`. */
  function until(condition, timeout_ms) {
    return new Promise((resolve) => {
      const finish = (value) => {
        clearTimeout(timer);
        waiters.delete(check);
        resolve(value);
      };
      const check = () => condition() && finish(true);
      const timer = setTimeout(() => finish(false), Math.min(timeout_ms, MAX_WAIT_MS));
      waiters.add(check);
      check();
    });
  }

  return {
    add,
    remove,
    stop,
    take,
    wait,
    apply,
    record,
    requests,
    until,
    notify,
    release: (id) => faults.get(id)?.release(),
    list: () => [...faults.values()].map(({ released, release, ...shown }) => shown),
    last: () => recorded,
    clearRequests: () => records.splice(0).length,
    held: (id) => faults.get(id)?.held ?? 0,
  };
}
