/**
 * Throttle: the one budget of all work in the background, in bytes a second: what flushes and compactions
 * write, what snapshots copy and digest, what scrubs, transfers and migrations read.
 *
 * A token bucket in shared memory. The engine's thread pays in by its clock while jobs run; jobs draw
 * in their own threads, what runs on the engine's own thread draws there, and all wait when the account is
 * overdrawn:
 *
 *     int32 × 6:  balance in KiB, below 0 when overdrawn | rate in KiB/s, 0: no limit | payments so far
 *                 | calls so far, modulo 2^32 | 1: compactions are behind
 *                 | KiB drawn so far, modulo 2^32
 *
 *     urgent   flushes, since writers wait for them: they may overdraw by a second's worth before they wait,
 *              and all others then wait until that is paid back
 *     fair     compactions, snapshots, transfers, migrations, a scrub that is late: they stand in line. Each waits until
 *              all is paid that was drawn up to its own drawing, whatever others draw later; and whoever has
 *              much to draw does so in pieces, so that each gets as much as the others
 *     spare    a scrub that has time: it is fair in its pieces, and begins one only when half of what may be
 *              saved up is there, which it never is while others wait
 *
 * A thread that never waits keeps its processor for milliseconds at a time, and where there are few, those
 * that answer clients stand in line behind it. So jobs rest now and then, as long as there are calls and no
 * compaction is behind: they take about twice as long then, and the slowest calls half as long.
 * @module
 */
import type { Cancel, Clock } from "../runtime/mod.ts";

const BALANCE = 0;
const RATE = 1;
const PAYMENTS = 2;
const CALLS = 3;
const BEHIND = 4;
const DRAWN = 5;
/** Payments while jobs run, in ms. */
const TICK_MS = 50;
/** What may be saved up, in ms of the rate. */
const BURST_MS = 100;
/** What is paid for at a time: larger pieces would be larger shares. */
const PIECE_BYTES = 256 * 1024;
/** How long a job sleeps before it shows again that it lives, in ms. */
const NAP_MS = 100;
/** What a job goes through before it rests, in bytes, and how long it rests, in ms. */
const TURN_BYTES = 24 * 1024;
const REST_MS = 0.05;
/** Rests after a call, if no other comes: who answers calls may be the one that waits for the processor. */
const RESTS_A_CALL = 128;

/** The engine's side. */
export class Throttle {
  /** What jobs are given. */
  readonly shared = new SharedArrayBuffer(24);
  readonly #words = new Int32Array(this.shared);
  readonly #clock: Clock;
  #jobs = 0;
  #paidMs: number;
  #cancel: Cancel | undefined;
  /** Those who wait on this thread, in the order in which they came. */
  #waiting: { readonly place: number; readonly resolve: () => void }[] = [];

  /**
   * A budget with nothing saved up.
   * @param bytesPerSecond  0: no limit
   */
  constructor(clock: Clock, bytesPerSecond: number) {
    this.#clock = clock;
    this.#paidMs = clock.monotonicMs();
    this.rate = bytesPerSecond;
  }

  /** Bytes a second; 0: no limit. A change holds for jobs under way too. */
  get rate(): number {
    return this.#words[RATE] * 1024;
  }

  /** @param bytesPerSecond  0: no limit */
  set rate(bytesPerSecond: number) {
    Atomics.store(this.#words, RATE, Math.min(2 ** 30, Math.ceil(bytesPerSecond / 1024)));
    // Who waits for the old rate looks at the new one.
    this.#pay();
    this.#schedule();
  }

  /** Bytes that may be written now; below 0 when written in advance. */
  get balance(): number {
    return Atomics.load(this.#words, BALANCE) * 1024;
  }

  /**
   * Draws for work on this thread, with its fair share. Between {@link jobStarted} and {@link jobEnded}.
   * @returns a promise to await first; undefined when there is nothing to wait for
   */
  draw(bytes: number): Promise<void> | undefined {
    const place = charge(this.#words, bytes);
    if (place === undefined || isPaid(this.#words, place)) return undefined;
    return new Promise((resolve) => this.#waiting.push({ place, resolve }));
  }

  /** Whether there is more of the budget than anybody wants at present. */
  get hasSpare(): boolean {
    this.#pay();
    const rate = this.#words[RATE];
    return rate === 0 ||
      Atomics.load(this.#words, BALANCE) >= Math.ceil(rate * BURST_MS / 1000 / 2);
  }

  /** Somebody reads or writes: jobs make way. */
  called(): void {
    this.#words[CALLS]++;
  }

  /** Whether compactions are so far behind that writers may come to wait for them: they make way for nobody then. */
  get behind(): boolean {
    return this.#words[BEHIND] !== 0;
  }

  /** Tells jobs so, those under way too. */
  set behind(are: boolean) {
    Atomics.store(this.#words, BEHIND, are ? 1 : 0);
  }

  /** A job begins: from here on payments come, until as many have ended. */
  jobStarted(): void {
    this.#jobs++;
    this.#schedule();
  }

  /** A job is over: the last one wakes who waits for a payment that will not come. */
  jobEnded(): void {
    if (--this.#jobs > 0) return;
    this.#cancel?.();
    this.#cancel = undefined;
    // Who waits has not ended its job, unless it has given up: no payment comes to it any more.
    for (const { resolve } of this.#waiting.splice(0)) resolve();
  }

  #schedule(): void {
    if (this.#jobs === 0 || this.#words[RATE] === 0 || this.#cancel !== undefined) return;
    this.#cancel = this.#clock.after(TICK_MS, () => {
      this.#cancel = undefined;
      this.#pay();
      this.#schedule();
    });
  }

  #pay(): void {
    const nowMs = this.#clock.monotonicMs();
    const elapsedMs = nowMs - this.#paidMs;
    const rate = this.#words[RATE];
    const amount = Math.floor(rate * elapsedMs / 1000);
    // What is less than a unit is paid with the next.
    if (rate === 0 || amount > 0) this.#paidMs = nowMs;
    const saved = Math.ceil(rate * BURST_MS / 1000);
    for (;;) {
      const balance = Atomics.load(this.#words, BALANCE);
      const next = rate === 0 ? 0 : Math.min(balance + amount, saved);
      if (Atomics.compareExchange(this.#words, BALANCE, balance, next) === balance) break;
    }
    Atomics.add(this.#words, PAYMENTS, 1);
    Atomics.notify(this.#words, PAYMENTS);
    while (this.#waiting.length > 0 && isPaid(this.#words, this.#waiting[0].place)) {
      this.#waiting.shift()!.resolve();
    }
  }
}

/**
 * The job's side: draws for what it is about to read or write.
 * @param urgent  of a flush
 * @param alive   called before each nap; may throw, to end the wait
 */
export function draw(
  words: Int32Array<SharedArrayBuffer>,
  bytes: number,
  urgent: boolean,
  alive: () => void,
): void {
  for (let left = bytes; left > 0; left -= PIECE_BYTES) {
    const place = charge(words, Math.min(left, PIECE_BYTES));
    if (place === undefined) return;
    for (;;) {
      const payments = Atomics.load(words, PAYMENTS);
      const rate = Atomics.load(words, RATE);
      if (rate === 0 || isPaid(words, place)) break;
      if (urgent && Atomics.load(words, BALANCE) >= -rate) break;
      alive();
      Atomics.wait(words, PAYMENTS, payments, NAP_MS);
    }
  }
}

/**
 * Draws without waiting, for jobs on the engine's own thread.
 * @returns the place in the line, for {@link isPaid}; undefined when there is no limit
 */
export function charge(words: Int32Array<SharedArrayBuffer>, bytes: number): number | undefined {
  if (Atomics.load(words, RATE) === 0) return undefined;
  // A balance that is overdrawn without end would wrap.
  if (Atomics.load(words, BALANCE) <= -(2 ** 30)) return Atomics.load(words, DRAWN);
  const count = Math.ceil(bytes / 1024);
  // In this order: who looks between the two finds less paid than there is, never more.
  Atomics.sub(words, BALANCE, count);
  return (Atomics.add(words, DRAWN, count) + count) | 0;
}

/** Whether all is paid that was drawn up to a place in the line. */
export function isPaid(words: Int32Array<SharedArrayBuffer>, place: number): boolean {
  // Differences of numbers modulo 2^32 are right as long as they are below 2^31.
  const later = (Atomics.load(words, DRAWN) - place) | 0;
  return Atomics.load(words, BALANCE) + later >= 0;
}

/** The rests of a job. */
export class Rests {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #nothing = new Int32Array(new SharedArrayBuffer(4));
  #calls = 0;
  #left = 0;
  #bytes = 0;

  /**
   * Of one job.
   * @param shared  of a {@link Throttle}
   */
  constructor(shared: SharedArrayBuffer) {
    this.#words = new Int32Array(shared);
  }

  /** So many bytes were gone through. @returns whether it has rested */
  after(bytes: number): boolean {
    this.#bytes += bytes;
    if (this.#bytes < TURN_BYTES) return false;
    this.#bytes = 0;
    const calls = Atomics.load(this.#words, CALLS);
    if (calls !== this.#calls) this.#left = RESTS_A_CALL;
    this.#calls = calls;
    if (this.#left === 0 || Atomics.load(this.#words, BEHIND) !== 0) return false;
    this.#left--;
    Atomics.wait(this.#nothing, 0, 0, REST_MS);
    return true;
  }
}
