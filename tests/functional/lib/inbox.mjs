// inbox.mjs - what arrived, and waiting for what should: no test sleeps.
const TIMEOUT_MS = 10_000;

export class Inbox {
  constructor(name = 'inbox') {
    this.name = name;
    this.items = [];
    this.waiters = new Set();
  }

  push(item) {
    this.items.push(item);
    for (const waiter of [...this.waiters]) {
      waiter();
    }
  }

  /** The first item from position `from` on that fits; waits for it. */
  take(fits, { from = 0, timeoutMs = TIMEOUT_MS, what = 'an item' } = {}) {
    return new Promise((resolve, reject) => {
      let at = from;
      const finish = (settle, value) => {
        clearTimeout(timer);
        this.waiters.delete(check);
        settle(value);
      };
      const check = () => {
        for (; at < this.items.length; at++) {
          if (fits(this.items[at])) {
            finish(resolve, this.items[at]);
            return;
          }
        }
      };
      const timer = setTimeout(() => {
        const seen = JSON.stringify(this.items.slice(from)).slice(0, 2000);
        finish(reject, new Error(`${this.name}: ${what} did not come; there is ${seen}`));
      }, timeoutMs);
      this.waiters.add(check);
      check();
    });
  }

  /** Waits until there are `n` items that fit, and returns them. */
  async takeMany(n, fits = () => true, options = {}) {
    const found = [];
    const count = (item) => fits(item) && found.push(item) === n;
    await this.take(count, { what: `item ${n}`, ...options });
    return found;
  }

  get size() {
    return this.items.length;
  }
}
