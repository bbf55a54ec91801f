/**
 * Throttle: how many bytes a second flushes and compactions may write, all together.
 *
 * A token bucket in shared memory. The engine's thread pays in by its clock while jobs run; jobs draw
 * what they append, in their own threads, and wait when the account is overdrawn:
 *
 *     int32 × 5:  balance in KiB, below 0 when overdrawn | rate in KiB/s, 0: no limit | payments so far
 *                 | calls so far, modulo 2^32 | 1: compactions are behind
 *
 * Flushes go first, since writers wait for them: they may overdraw by a second's worth before they wait,
 * and compactions then wait until that is paid back.
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
/** Payments while jobs run, in ms. */
const TICK_MS = 50;
/** What may be saved up, in ms of the rate. */
const BURST_MS = 100;
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
  readonly shared = new SharedArrayBuffer(20);
  readonly #words = new Int32Array(this.shared);
  readonly #clock: Clock;
  #jobs = 0;
  #paidMs: number;
  #cancel: Cancel | undefined;

  /** @param bytesPerSecond  0: no limit */
  constructor(clock: Clock, bytesPerSecond: number) {
    this.#clock = clock;
    this.#paidMs = clock.monotonicMs();
    this.rate = bytesPerSecond;
  }

  /** Bytes a second; 0: no limit. A change holds for jobs under way too. */
  get rate(): number {
    return this.#words[RATE] * 1024;
  }

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

  /** Somebody reads or writes: jobs make way. */
  called(): void {
    this.#words[CALLS]++;
  }

  /** Whether compactions are so far behind that writers may come to wait for them: they make way for nobody then. */
  set behind(are: boolean) {
    Atomics.store(this.#words, BEHIND, are ? 1 : 0);
  }

  /** A job begins: from here on payments come, until as many have ended. */
  jobStarted(): void {
    this.#jobs++;
    this.#schedule();
  }

  jobEnded(): void {
    if (--this.#jobs > 0) return;
    this.#cancel?.();
    this.#cancel = undefined;
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
  }
}

/**
 * The job's side: draws for an append.
 * @param urgent  of a flush
 * @param alive   called before each nap; may throw, to end the wait
 */
export function draw(
  words: Int32Array<SharedArrayBuffer>,
  bytes: number,
  urgent: boolean,
  alive: () => void,
): void {
  if (!charge(words, bytes)) return;
  for (;;) {
    const payments = Atomics.load(words, PAYMENTS);
    const rate = Atomics.load(words, RATE);
    if (rate === 0 || Atomics.load(words, BALANCE) >= (urgent ? -rate : 0)) return;
    alive();
    Atomics.wait(words, PAYMENTS, payments, NAP_MS);
  }
}

/** Draws without waiting, for jobs on the engine's own thread. Returns whether there is a limit. */
export function charge(words: Int32Array<SharedArrayBuffer>, bytes: number): boolean {
  if (Atomics.load(words, RATE) === 0) return false;
  // A balance that is overdrawn without end would wrap.
  if (Atomics.load(words, BALANCE) > -(2 ** 30)) {
    Atomics.sub(words, BALANCE, Math.ceil(bytes / 1024));
  }
  return true;
}

/** The rests of a job. */
export class Rests {
  readonly #words: Int32Array<SharedArrayBuffer>;
  readonly #nothing = new Int32Array(new SharedArrayBuffer(4));
  #calls = 0;
  #left = 0;
  #bytes = 0;

  /** @param shared  of a {@link Throttle} */
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
