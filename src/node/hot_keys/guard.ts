/**
 * The guard against hot keys: tells which keys a node is asked for and which it writes most, and keeps each of
 * them to a limit where there is one.
 *
 * The sketch (`heavy_hitters.ts`) only says which keys are worth a count of their own. From the moment that a
 * key was surely named half a second's worth of its limit, within the sketch's window, it has a bucket
 * (`rate.ts`), and that alone refuses. Hence the bounds:
 *
 *   - a key that is named less often than its limit is never refused, whatever is sampled and whoever shares
 *     its counter
 *   - one that is named more often, and has more than 1/256 of the node's calls, gets through what the limit
 *     lets through, and a second and a half's worth at the beginning
 *
 * Without a limit a call costs what the sketch does.
 * @module
 */
import type { Tree } from "../../engine/mod.ts";
import { decodeKey, PairError } from "../../model/mod.ts";
import type { Clock, Random } from "../../runtime/mod.ts";
import type { HotKey } from "../api.ts";
import { Rate } from "../rate.ts";
import { HeavyHitters, type TreeName } from "./heavy_hitters.ts";

/** How often one key may be named. */
export interface HotKeyLimits {
  /** Reads a second; 0: any number. */
  readonly maxReads: number;
  /** Writes a second, deletes aside; 0: any number. */
  readonly maxWrites: number;
}

/** There is none. */
export const DEFAULT_HOT_KEY_LIMITS: HotKeyLimits = Object.freeze({ maxReads: 0, maxWrites: 0 });

/** Of a limit, named within the sketch's window: a key that was has its bucket, seconds. */
const HEAVY_SECONDS = 0.5;
/** Slower keys are not listed, per second. */
const LISTED_MIN = 0.01;

/** What the guard stands on. */
export interface HotKeyParts {
  readonly clock: Pick<Clock, "monotonicMs">;
  readonly random: Random;
  readonly limits: HotKeyLimits;
  /** Told of each call that a limit refused. */
  readonly refused: (tree: Tree) => void;
}

/** A key that is written. */
interface Written {
  readonly key: Uint8Array;
}

/** A node's hot keys. */
export class HotKeys {
  readonly #reads: Side;
  readonly #writes: Side;

  constructor({ limits, ...parts }: HotKeyParts) {
    this.#reads = new Side(parts, "read", limits.maxReads);
    this.#writes = new Side(parts, "write", limits.maxWrites);
  }

  /**
   * Takes note of a read.
   * @throws PairError ResourceExhausted (2008) with the details `reason: hot_key`, `limit` and `retry_after_ms`
   */
  read(tree: Tree, key: Uint8Array): void {
    this.#reads.one(tree, key);
  }

  /** The same of several keys: all of them, or none is charged. @throws PairError as {@link read} */
  readAll(tree: Tree, keys: readonly Uint8Array[]): void {
    for (const key of keys) this.#reads.note(tree, key);
    if (!this.#reads.limited) return;
    for (const key of keys) this.#reads.check(tree, key);
    for (const key of keys) this.#reads.charge(tree, key);
  }

  /** Takes note of a write: all of its keys, or none is charged. @throws PairError as {@link read} */
  write(tree: Tree, items: readonly Written[]): void {
    if (items.length === 1) return this.#writes.one(tree, items[0].key);
    for (const { key } of items) this.#writes.note(tree, key);
    if (!this.#writes.limited) return;
    for (const { key } of items) this.#writes.check(tree, key);
    for (const { key } of items) this.#writes.charge(tree, key);
  }

  /** Takes note of a delete, which no limit holds back: it is how one gets rid of a key. */
  delete(tree: Tree, items: readonly Written[]): void {
    for (const { key } of items) this.#writes.note(tree, key);
  }

  /**
   * The keys that are surely named at all, hottest first.
   * @param isShown  whether the keys of a tree are
   */
  list(isShown: (tree: TreeName) => boolean, limit: number): HotKey[] {
    const [reads, writes] = [this.#reads.hitters, this.#writes.hitters];
    const found = new Map<string, HotKey>();
    const nothing = { reads: reads.absent, writes: writes.absent };
    for (const [side, hitters] of [["reads", reads], ["writes", writes]] as const) {
      for (const { tree, key, perSecond, error } of hitters.list()) {
        if (!isShown(tree)) continue;
        const id = `${tree.id} ${key.toHex()}`;
        const known = found.get(id) ?? { tenant: tree.name, key: decodeKey(key), ...nothing };
        found.set(id, { ...known, [side]: { perSecond, error } });
      }
    }
    return [...found.values()]
      .filter(({ reads, writes }) => isNamed(reads) || isNamed(writes))
      .sort((a, b) => sumOf(b) - sumOf(a))
      .slice(0, limit);
  }

  /** For metrics. */
  get figures(): Record<string, number> {
    const [reads, writes] = [this.#reads.hitters.rates(), this.#writes.hitters.rates()];
    return {
      hotReadRate: reads.largest,
      hotReadShare: shareOf(reads),
      hotWriteRate: writes.largest,
      hotWriteShare: shareOf(writes),
      hotReadsRefused: this.#reads.refused,
      hotWritesRefused: this.#writes.refused,
    };
  }
}

/** Reads or writes. */
class Side {
  readonly hitters: HeavyHitters<Rate>;
  /** Calls that were refused. */
  refused = 0;
  readonly #parts: Omit<HotKeyParts, "limits">;
  readonly #verb: "read" | "write";
  /** Per second and key; 0: none. */
  readonly #limit: number;

  constructor(parts: Omit<HotKeyParts, "limits">, verb: "read" | "write", limit: number) {
    this.#parts = parts;
    this.#verb = verb;
    this.#limit = limit;
    this.hitters = new HeavyHitters(parts.clock, parts.random);
  }

  get limited(): boolean {
    return this.#limit > 0;
  }

  note(tree: Tree, key: Uint8Array): void {
    this.hitters.note(tree, key);
  }

  /** A call for one key. */
  one(tree: Tree, key: Uint8Array): void {
    this.hitters.note(tree, key);
    if (this.#limit === 0) return;
    const rate = this.#rateOf(tree, key);
    if (rate === undefined) return;
    this.#check(tree, rate);
    rate.take(1);
  }

  check(tree: Tree, key: Uint8Array): void {
    const rate = this.#rateOf(tree, key);
    if (rate !== undefined) this.#check(tree, rate);
  }

  charge(tree: Tree, key: Uint8Array): void {
    this.#rateOf(tree, key)?.take(1);
  }

  /** The bucket of a key that is heavy; undefined: it is not. */
  #rateOf(tree: Tree, key: Uint8Array): Rate | undefined {
    const { hitters } = this;
    const slot = hitters.find(tree, key);
    if (slot < 0) return undefined;
    const rate = hitters.attached(slot);
    if (rate !== undefined) return rate;
    if (hitters.callsMin(slot) < HEAVY_SECONDS * this.#limit) return undefined;
    const made = new Rate(this.#limit, this.#parts.clock.monotonicMs());
    hitters.attach(slot, made);
    return made;
  }

  #check(tree: Tree, rate: Rate): void {
    const waitMs = rate.waitMs(this.#parts.clock.monotonicMs());
    if (waitMs === 0) return;
    this.refused++;
    this.#parts.refused(tree);
    throw new PairError(
      "ResourceExhausted",
      `Cannot ${this.#verb}: the key has used up its ${this.#limit} ${this.#verb}s a second. ` +
        `Try again in ${waitMs} ms`,
      { reason: "hot_key", limit: this.#limit, retry_after_ms: waitMs },
    );
  }
}

function isNamed({ perSecond, error }: HotKey["reads"]): boolean {
  return perSecond - error > 0 && perSecond >= LISTED_MIN;
}

function sumOf({ reads, writes }: HotKey): number {
  return reads.perSecond + writes.perSecond;
}

function shareOf({ total, largest }: { total: number; largest: number }): number {
  return total === 0 ? 0 : largest / total;
}
