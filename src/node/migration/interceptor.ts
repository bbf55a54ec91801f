/**
 * The interceptor: which keys of a range were written while it is on its way to another node. It remembers
 * names, not values: what is sent is what the key holds when its turn comes, and a key that was written a
 * hundred times is sent once.
 *
 *     wrote ──► changed keys ── take ──► sent, or tried again until it is
 *                    │
 *                    └── too many ──► lost: nothing is known of single keys any more, so all of the range
 *                                     has to be compared again
 *
 * A write is told when the log takes it, which is before reads see it: `take` says up to which number reads
 * must have got before what it gives is read, and {@link Interceptor.settled} waits for that.
 * @module
 */
import type { Engine, EntryKind, Follower, Tree } from "../../engine/mod.ts";
import {
  compareBytes,
  encodeBound,
  fromUtf8,
  inTokenRange,
  PairError,
  type Token,
  tokenOf,
} from "../../model/mod.ts";
import type { Clock } from "../../runtime/mod.ts";
import type { Followers } from "../followers.ts";
import type { MigrationRange } from "./records.ts";

/** What a remembered key takes beside its characters, about. */
const KEY_OVERHEAD = 100;
/** Whether reads have got on is looked at again after this long, ms: a poisoned engine tells nobody. */
const LOOK_MS = 1000;

/** Changed keys, by tenant. */
export type ChangedKeys = Map<string, Set<string>>;

/** See the head of the file. */
export class Interceptor implements Follower {
  readonly #engine: Engine;
  readonly #followers: Followers;
  readonly #clock: Clock;
  readonly #start: Uint8Array | undefined;
  readonly #end: Uint8Array | undefined;
  readonly #range: MigrationRange;
  readonly #maxBytes: number;
  readonly #token: Token = new Uint32Array(4);
  readonly #followed = new Set<string>();
  #changed: ChangedKeys = new Map();
  #bytes = 0;
  #keys = 0;
  #waiters = new Set<() => void>();
  /** Writes were forgotten: all of the range is to be compared again. */
  lost = false;
  /** Writes of the range so far, those that were forgotten too. */
  writes = 0;
  /** The number of the last one, or of the last write before a tenant was followed. */
  sequence = 0;

  /** @param maxBytes  that remembered keys may take, about */
  constructor(
    parts: { readonly engine: Engine; readonly followers: Followers; readonly clock: Clock },
    range: MigrationRange,
    maxBytes: number,
  ) {
    this.#engine = parts.engine;
    this.#followers = parts.followers;
    this.#clock = parts.clock;
    this.#range = range;
    this.#start = encodeBound(range.start, "the start");
    this.#end = encodeBound(range.end, "the end");
    this.#maxBytes = maxBytes;
  }

  /** Keys that wait to be sent. */
  get keys(): number {
    return this.#keys;
  }

  /** Whether it is better to send some of them now than to wait: half of the room is used up. */
  get isFilling(): boolean {
    return this.#bytes * 2 > this.#maxBytes;
  }

  /** Begins with a tenant, if it has not yet. What it wrote before is there once {@link settled}. */
  follow(tenant: string): void {
    if (this.#followed.has(tenant)) return;
    this.#followed.add(tenant);
    this.sequence = Math.max(this.sequence, this.#followers.add(this, tenant));
  }

  /** Ends it. */
  close(): void {
    for (const tenant of this.#followed) this.#followers.remove(this, tenant);
    this.#followed.clear();
    this.#forget();
  }

  wrote({ name }: Tree, sequence: number, _kind: EntryKind, key: Uint8Array): void {
    if (this.#start !== undefined && compareBytes(key, this.#start) < 0) return;
    if (this.#end !== undefined && compareBytes(key, this.#end) >= 0) return;
    const { tokens } = this.#range;
    if (tokens !== undefined && !inTokenRange(tokenOf(key, this.#token), tokens)) return;
    this.sequence = sequence;
    this.writes++;
    // All of it is to be compared anyway.
    if (this.lost) return;
    try {
      this.#add(name, fromUtf8(key));
    } catch {
      // No key that anybody stored; whoever reads the range is told.
      this.lost = true;
    }
  }

  shown(): void {
    for (const look of this.#waiters) look();
  }

  /** All that has changed, and is the caller's now. {@link sequence} of this moment must be settled first. */
  take(): ChangedKeys {
    const changed = this.#changed;
    this.#forget();
    return changed;
  }

  /** What was forgotten is about to be compared: from here on it counts again. */
  recover(): void {
    this.lost = false;
  }

  /**
   * Resolves when reads see everything up to a number.
   * @throws the signal's reason; PairError CommitLogFailed (2004) when that will never be
   */
  async settled(sequence: number, signal: AbortSignal): Promise<void> {
    while (this.#engine.visible < sequence) {
      signal.throwIfAborted();
      if (this.#engine.poisoned !== undefined) {
        throw new PairError("CommitLogFailed", "Cannot go on: the log has failed");
      }
      await this.#nextLook(signal);
    }
  }

  #nextLook(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        cancel();
        this.#waiters.delete(done);
        signal.removeEventListener("abort", done);
        resolve();
      };
      const cancel = this.#clock.after(LOOK_MS, done);
      this.#waiters.add(done);
      signal.addEventListener("abort", done);
    });
  }

  #add(tenant: string, key: string): void {
    if (this.lost) return;
    let keys = this.#changed.get(tenant);
    if (keys === undefined) this.#changed.set(tenant, keys = new Set());
    else if (keys.has(key)) return;
    keys.add(key);
    this.#keys++;
    this.#bytes += 2 * key.length + KEY_OVERHEAD;
    if (this.#bytes <= this.#maxBytes) return;
    this.#forget();
    this.lost = true;
  }

  #forget(): void {
    this.#changed = new Map();
    this.#bytes = 0;
    this.#keys = 0;
  }
}
