/**
 * A shared cache in memory that can do all the wrong that a real one may do: answers that are old, or of
 * another key, or damaged; lost sets and deletes; delays, errors, a partition. What goes wrong is drawn from a
 * stream of random values, so that a seed replays it.
 * @module
 */
import type { Clock } from "../clock.ts";
import type { Random } from "../random.ts";
import type { SharedCache, SharedEntry } from "../shared_cache.ts";

/** How often something goes wrong, each from 0 to 1. */
export interface SharedCacheFaults {
  /** A get gives any value that the key ever had, deleted and expired ones too. */
  readonly stale?: number;
  /** A get gives the value of another key. */
  readonly foreign?: number;
  /** A get gives a value with a bit turned, or cut off. */
  readonly damaged?: number;
  readonly lostSet?: number;
  readonly lostDelete?: number;
  /** A call rejects. */
  readonly error?: number;
  /** A call never ends. */
  readonly hang?: number;
  /** The longest that a call takes, in ms; 0: at once. */
  readonly delayMs?: number;
}

interface Kept {
  readonly value: Uint8Array;
  readonly diesAtMs: number;
}

/** See above. */
export class SimSharedCache implements SharedCache {
  readonly name = "sim://";
  /** What goes wrong from now on. */
  faults: SharedCacheFaults = {};
  /** No call gets through: it rejects. */
  partitioned = false;
  /** Calls so far that got through, by kind. */
  readonly calls = { get: 0, set: 0, delete: 0, reset: 0 };
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #kept = new Map<string, Kept>();
  /** All values that a key ever had. */
  readonly #history = new Map<string, Uint8Array[]>();
  #closed = false;

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  /** Keys that it has. */
  get size(): number {
    return this.#kept.size;
  }

  /** Its keys. */
  keys(): string[] {
    return [...this.#kept.keys()];
  }

  /** The server starts again: all is gone, but for what a fault may still bring up. */
  restart(): void {
    this.#kept.clear();
  }

  async getMany(keys: readonly string[]): Promise<(Uint8Array | undefined)[]> {
    await this.#call();
    this.calls.get++;
    return keys.map((key) => this.#get(key));
  }

  async setMany(entries: readonly SharedEntry[], ttlMs: number): Promise<void> {
    await this.#call();
    this.calls.set++;
    for (const { key, value } of entries) {
      const copy = value.slice();
      const history = this.#history.get(key) ?? [];
      history.push(copy);
      this.#history.set(key, history);
      if (this.#happens("lostSet")) continue;
      this.#kept.set(key, { value: copy, diesAtMs: this.#clock.monotonicMs() + ttlMs });
    }
  }

  async deleteMany(keys: readonly string[]): Promise<void> {
    await this.#call();
    this.calls.delete++;
    for (const key of keys) if (!this.#happens("lostDelete")) this.#kept.delete(key);
  }

  reset(): void {
    this.calls.reset++;
  }

  close(): void {
    this.#closed = true;
  }

  #get(key: string): Uint8Array | undefined {
    const history = this.#history.get(key);
    if (history !== undefined && this.#happens("stale")) return this.#pick(history);
    if (this.#history.size > 0 && this.#happens("foreign")) {
      return this.#pick(this.#pick([...this.#history.values()]));
    }
    const kept = this.#kept.get(key);
    if (kept === undefined || this.#clock.monotonicMs() >= kept.diesAtMs) return undefined;
    return this.#happens("damaged") ? this.#damage(kept.value) : kept.value;
  }

  #damage(value: Uint8Array): Uint8Array {
    const at = this.#random.below(value.length);
    if (this.#random.below(2) === 0) return value.subarray(0, at);
    const damaged = value.slice();
    damaged[at] ^= 1 << this.#random.below(8);
    return damaged;
  }

  async #call(): Promise<void> {
    if (this.#closed) throw new Error("the shared cache is closed");
    if (this.partitioned || this.#happens("error")) throw new Error("the shared cache is away");
    if (this.#happens("hang")) await new Promise<never>(() => {});
    const { delayMs = 0 } = this.faults;
    if (delayMs > 0) await this.#clock.sleep(this.#random.below(Math.ceil(delayMs)) + 1);
  }

  #happens(fault: Exclude<keyof SharedCacheFaults, "delayMs">): boolean {
    const share = this.faults[fault] ?? 0;
    return share > 0 && this.#random.u32() < share * 2 ** 32;
  }

  #pick<T>(items: readonly T[]): T {
    return items[this.#random.below(items.length)];
  }
}
