/**
 * Heavy hitters: which keys are named most often, and how often, in bounded memory for any number of keys.
 *
 * Space-Saving (Metwally, Agrawal, El Abbadi, "Efficient computation of frequent and top-k elements in data
 * streams", ICDT 2005): {@link SLOTS} counters. A key that has one is counted there; one that has none takes
 * over the smallest, with its count, which is from then on what the key may have been overcounted by:
 *
 *     slots  a 9, b 4 | c comes    a 9, c 5 (4 of them may be others')
 *
 *   - a key's true count is between `count - error` and `count`
 *   - no error is above the sum of all counts / SLOTS, so a key with a larger share always has a slot
 *
 * Two things are added to the paper's:
 *
 * **Decay.** Later calls weigh more, by e every {@link HOT_KEY_WINDOW_MS}, as seen from a landmark that moves now and
 * then (forward decay: Cormode, Shkapenyuk, Srivastava, Xu, ICDE 2009). Nothing is walked over to forget, the
 * bounds hold for decayed counts, and a decayed count over the window is a rate.
 *
 * **Sampling.** Where calls are many, only about {@link SAMPLES_PER_SECOND} are looked at, after gaps of a
 * random length whose mean is what such a call counts for. All others cost a decrement. The gaps follow the
 * load; below it every call is looked at and nothing is left to chance.
 *
 * Nothing is allocated for a call, but that a slot whose key was shorter so far gets a larger buffer. Keys are
 * kept for the slots alone.
 * @module
 */
import type { Tree } from "../../engine/mod.ts";
import { murmur3 } from "../../model/mod.ts";
import type { Clock, Random } from "../../runtime/mod.ts";

/** Counters: a key with a share of more than 1/256 of the calls has one. */
export const SLOTS = 256;
/** Calls this long ago weigh 1/e of those of now, ms. */
export const HOT_KEY_WINDOW_MS = 10_000;
/** Calls that are looked at in a second, about; twice as many when the load rises. */
const SAMPLES_PER_SECOND = 4000;
/** Gaps are chosen anew after this long, ms. */
const PACE_MS = 1000;
/** Rates of a sketch that is younger than this are as if it were this old, ms. */
const AGE_MS_MIN = 1000;
/** The landmark moves when weights since then have grown by e to this. */
const EXPONENT_MAX = 50;
/** Buckets of the hash table: a quarter is in use at most. A power of two. */
const BUCKETS = 4 * SLOTS;
/** Standard deviations of the sampling that an error covers. */
const SIGMAS = 3;
/** What a slot's buffer for its key grows by. */
const KEY_STEP = 64;

/** How often, per second. */
export interface Estimate {
  readonly perSecond: number;
  /** The true rate is not further away than this: surely where nothing was sampled, else with 99.7 %. */
  readonly error: number;
}

/** What is kept of a tree: one that is dropped takes its tables' filters with it, though its keys have slots yet. */
export type TreeName = Pick<Tree, "id" | "name">;

/** A key that has a slot. */
export interface HeavyHitter extends Estimate {
  readonly tree: TreeName;
  /** A copy. */
  readonly key: Uint8Array;
}

/** Counts keys. @typeParam T  what may be attached to a key while it has its slot */
export class HeavyHitters<T> {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #seed: number;
  readonly #bornMs: number;
  /** Calls until the next that is looked at. */
  #skip = 1;
  /** The mean of the gap that ends with that one. */
  #gap = 1;
  #chance: number;
  /** What was counted, and looked at, since the gaps were chosen. */
  #paceMs: number;
  #paceCalls = 0;
  #paceSamples = 0;

  #landmarkMs: number;
  /** What a call of that time weighs. */
  #growth = 1;
  #growthMs: number;

  #size = 0;
  #total = 0;
  // By slot.
  readonly #counts = new Float64Array(SLOTS);
  readonly #errors = new Float64Array(SLOTS);
  /** Of the counts, by sampling. */
  readonly #variances = new Float64Array(SLOTS);
  readonly #hashes = new Uint32Array(SLOTS);
  readonly #treeIds = new Float64Array(SLOTS);
  readonly #treeNames: string[] = [];
  readonly #keys: Uint8Array[] = [];
  readonly #lengths = new Uint16Array(SLOTS);
  readonly #attached: (T | undefined)[] = new Array(SLOTS);
  /** Slots as a heap, the smallest count first; and where in it each slot is. */
  readonly #heap = new Uint16Array(SLOTS);
  readonly #places = new Uint16Array(SLOTS);
  /** Open addressing: slot + 1 at its hash or behind; 0: free. */
  readonly #buckets = new Uint16Array(BUCKETS);

  constructor(clock: Pick<Clock, "monotonicMs">, random: Random) {
    this.#clock = clock;
    // Nobody outside can choose keys that meet in the table.
    this.#seed = random.u32();
    this.#chance = random.u32() || 1;
    this.#bornMs =
      this.#paceMs =
      this.#landmarkMs =
      this.#growthMs =
        clock.monotonicMs();
  }

  /** Counts a call for a key. */
  note(tree: TreeName, key: Uint8Array): void {
    if (--this.#skip > 0) return;
    this.#sample(tree, key);
  }

  /** The slot of a key, good until the next {@link note}; -1: it has none. */
  find(tree: TreeName, key: Uint8Array): number {
    return this.#find(tree, key, this.#hash(tree, key));
  }

  /** What is attached to the key in a slot. */
  attached(slot: number): T | undefined {
    return this.#attached[slot];
  }

  /** Attaches something to the key in a slot until that goes to another. */
  attach(slot: number, it: T): void {
    this.#attached[slot] = it;
  }

  /**
   * Calls for the key in a slot, at least, as of the last call that was looked at; older ones count for less.
   * It asks no clock.
   */
  callsMin(slot: number): number {
    return (this.#counts[slot] - this.#errors[slot]) / this.#growth;
  }

  /** All keys that have a slot. */
  list(): HeavyHitter[] {
    const scale = this.#perSecond();
    return Array.from({ length: this.#size }, (_, slot) => ({
      tree: { id: this.#treeIds[slot], name: this.#treeNames[slot] },
      key: this.#keys[slot].slice(0, this.#lengths[slot]),
      ...this.#estimate(slot, scale),
    }));
  }

  /** The rate of a key that has no slot: 0, or up to that of the smallest counter. */
  get absent(): Estimate {
    if (this.#size < SLOTS) return { perSecond: 0, error: 0 };
    const slot = this.#heap[0];
    const upper = this.#counts[slot] + SIGMAS * Math.sqrt(this.#variances[slot]);
    return { perSecond: 0, error: upper * this.#perSecond() };
  }

  /** The rates of all keys together, and of the largest. */
  rates(): { readonly total: number; readonly largest: number } {
    const scale = this.#perSecond();
    let largest = 0;
    for (let slot = 0; slot < this.#size; slot++) {
      largest = Math.max(largest, this.#counts[slot] - this.#errors[slot]);
    }
    return { total: this.#total * scale, largest: largest * scale };
  }

  #estimate(slot: number, scale: number): Estimate {
    const half = this.#errors[slot] / 2;
    const sigma = Math.sqrt(this.#variances[slot]);
    return {
      perSecond: (this.#counts[slot] - half) * scale,
      error: (half + SIGMAS * sigma) * scale,
    };
  }

  /** What a count is multiplied with to be a rate of now. */
  #perSecond(): number {
    const nowMs = this.#clock.monotonicMs();
    const ageMs = Math.max(AGE_MS_MIN, nowMs - this.#bornMs);
    const seconds = HOT_KEY_WINDOW_MS / 1000 * -Math.expm1(-ageMs / HOT_KEY_WINDOW_MS);
    return 1 / (this.#growthAt(nowMs) * seconds);
  }

  #sample(tree: TreeName, key: Uint8Array): void {
    const nowMs = this.#clock.monotonicMs();
    const calls = this.#gap;
    this.#pace(nowMs, calls);
    this.#skip = this.#draw();
    const weight = calls * this.#growthAt(nowMs);
    this.#total += weight;
    const hash = this.#hash(tree, key);
    let slot = this.#find(tree, key, hash);
    if (slot < 0) {
      slot = this.#size < SLOTS ? this.#add() : this.#takeOver();
      this.#name(slot, tree, key, hash);
    }
    this.#counts[slot] += weight;
    this.#variances[slot] += weight * weight * (1 - 1 / calls);
    this.#sink(this.#places[slot]);
  }

  /** Chooses how long gaps are from now on. */
  #pace(nowMs: number, calls: number): void {
    this.#paceCalls += calls;
    this.#paceSamples++;
    const elapsedMs = nowMs - this.#paceMs;
    if (elapsedMs >= PACE_MS) {
      const perSecond = this.#paceCalls * 1000 / elapsedMs;
      this.#gap = Math.max(1, Math.round(perSecond / SAMPLES_PER_SECOND));
      this.#paceMs = nowMs;
    } else if (this.#paceSamples >= SAMPLES_PER_SECOND) {
      // The load has risen: the second is not waited for.
      this.#gap *= 2;
    } else return;
    this.#paceCalls = this.#paceSamples = 0;
  }

  /** A gap: uniform from 1 to twice the mean less 1, by xorshift (Marsaglia 2003). */
  #draw(): number {
    if (this.#gap === 1) return 1;
    let chance = this.#chance;
    chance ^= chance << 13;
    chance ^= chance >>> 17;
    chance ^= chance << 5;
    this.#chance = chance;
    return 1 + (chance >>> 0) % (2 * this.#gap - 1);
  }

  /** What a call of now weighs, beside one at the landmark. */
  #growthAt(nowMs: number): number {
    if (nowMs === this.#growthMs) return this.#growth;
    if (nowMs - this.#landmarkMs > EXPONENT_MAX * HOT_KEY_WINDOW_MS) this.#moveLandmark(nowMs);
    this.#growthMs = nowMs;
    return this.#growth = Math.exp((nowMs - this.#landmarkMs) / HOT_KEY_WINDOW_MS);
  }

  /** All counts shrink alike, so the heap stays one. */
  #moveLandmark(nowMs: number): void {
    const factor = Math.exp((this.#landmarkMs - nowMs) / HOT_KEY_WINDOW_MS);
    for (let slot = 0; slot < this.#size; slot++) {
      this.#counts[slot] *= factor;
      this.#errors[slot] *= factor;
      this.#variances[slot] *= factor * factor;
    }
    this.#total *= factor;
    this.#landmarkMs = nowMs;
  }

  #hash(tree: TreeName, key: Uint8Array): number {
    return murmur3(key, this.#seed ^ tree.id);
  }

  #find(tree: TreeName, key: Uint8Array, hash: number): number {
    for (let at = hash & (BUCKETS - 1);; at = (at + 1) & (BUCKETS - 1)) {
      const slot = this.#buckets[at] - 1;
      if (slot < 0) return -1;
      if (
        this.#hashes[slot] === hash && this.#treeIds[slot] === tree.id && this.#isKey(slot, key)
      ) {
        return slot;
      }
    }
  }

  #isKey(slot: number, key: Uint8Array): boolean {
    const { length } = key;
    if (this.#lengths[slot] !== length) return false;
    const kept = this.#keys[slot];
    for (let i = 0; i < length; i++) if (kept[i] !== key[i]) return false;
    return true;
  }

  /** A slot that is free, as the smallest. */
  #add(): number {
    const slot = this.#size++;
    this.#heap[slot] = this.#places[slot] = slot;
    this.#rise(slot);
    return slot;
  }

  /** The slot with the smallest count, which may now be all error. */
  #takeOver(): number {
    const slot = this.#heap[0];
    this.#errors[slot] = this.#counts[slot];
    this.#forget(slot);
    return slot;
  }

  /** Gives a slot to a key. */
  #name(slot: number, tree: TreeName, key: Uint8Array, hash: number): void {
    const { length } = key;
    if (slot === this.#keys.length || this.#keys[slot].length < length) {
      this.#keys[slot] = new Uint8Array(Math.ceil(length / KEY_STEP) * KEY_STEP);
    }
    this.#keys[slot].set(key);
    this.#lengths[slot] = length;
    this.#treeIds[slot] = tree.id;
    this.#treeNames[slot] = tree.name;
    this.#hashes[slot] = hash;
    this.#attached[slot] = undefined;
    let at = hash & (BUCKETS - 1);
    while (this.#buckets[at] !== 0) at = (at + 1) & (BUCKETS - 1);
    this.#buckets[at] = slot + 1;
  }

  /** Takes a slot's key out of the table; what was pushed on by it moves back. */
  #forget(slot: number): void {
    const buckets = this.#buckets;
    let free = this.#hashes[slot] & (BUCKETS - 1);
    while (buckets[free] !== slot + 1) free = (free + 1) & (BUCKETS - 1);
    for (let at = free;;) {
      at = (at + 1) & (BUCKETS - 1);
      if (buckets[at] === 0) break;
      const home = this.#hashes[buckets[at] - 1] & (BUCKETS - 1);
      // It stays where its home lies behind the free bucket, going round.
      if (((at - home) & (BUCKETS - 1)) < ((at - free) & (BUCKETS - 1))) continue;
      buckets[free] = buckets[at];
      free = at;
    }
    buckets[free] = 0;
  }

  /** Moves a heap's entry down to its place. */
  #sink(place: number): void {
    const slot = this.#heap[place];
    const count = this.#counts[slot];
    for (;;) {
      let child = 2 * place + 1;
      if (child >= this.#size) break;
      const right = child + 1;
      if (right < this.#size && this.#countAt(right) < this.#countAt(child)) child = right;
      if (this.#countAt(child) >= count) break;
      this.#place(this.#heap[child], place);
      place = child;
    }
    this.#place(slot, place);
  }

  /** Moves a heap's entry up to its place. */
  #rise(place: number): void {
    const slot = this.#heap[place];
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (this.#countAt(parent) <= this.#counts[slot]) break;
      this.#place(this.#heap[parent], place);
      place = parent;
    }
    this.#place(slot, place);
  }

  #countAt(place: number): number {
    return this.#counts[this.#heap[place]];
  }

  #place(slot: number, place: number): void {
    this.#heap[place] = slot;
    this.#places[slot] = place;
  }
}
