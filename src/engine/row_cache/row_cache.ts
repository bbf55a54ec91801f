/**
 * Row cache: whole rows that were read from tables, kept by how often and how lately they are asked for.
 *
 * It stands between the memtables and the tables. A row is a key's value as of its newest entry, and
 * serves reads at that entry's sequence or above it. A write to a key that is here replaces its row, or
 * drops it, in the same step that puts the write into the memtable; and what a reader may put in is only
 * what no later write can have changed (see TreeState.read). So no reader can tell where a value came from.
 *
 * Which row goes (docs/rows.md: K3): a hand goes round all rows; of the few that lie next under it the one
 * with the lowest score goes,
 *
 *     score = frequency weight × accesses − recency weight × age
 *
 * where accesses are halved once in a period of twenty accesses for each row, and age is the number of
 * accesses to the cache since the last to this row, in units of the mean. A row that comes in must be
 * worth more than the one that would go, or it stays out: its accesses while it was away are estimated by
 * a sketch, so that a scan of rows that nobody asks for twice changes nothing (TinyLFU: Einziger, Friedman
 * and Manes 2017; sampling under a frequency filter: Ristretto).
 *
 * Rows lie in an arena, found through open addressing by hash: no object for a row, nothing for the garbage
 * collector, no string.
 *
 *     row:   0         4        8       12         14       15       16          20       24        28
 *            +---------+--------+-------+----------+--------+--------+-----------+--------+---------+--------
 *            | cell u32| hash   | tree  | key u16  | count u8| epoch u8| value u32| seq u53 in 8     | last access u32 | key | value
 *            +---------+--------+-------+----------+--------+--------+-----------+--------+---------+--------
 *
 * The highest bit of the sequence's eight bytes marks a row that dies some day.
 *
 * A tree may have a share, which its rows never exceed: where one more would, it has to be worth more than one
 * of the tree's own, which a hand of the tree's finds in a list of them (`account.ts`).
 * @module
 */
import { type EntryKind, KIND_PUT } from "../api.ts";
import { shareOf } from "../cache_share.ts";
import { Copies } from "../copies.ts";
import { Account, Hand } from "./account.ts";
import { Arena, UNIT_SHIFT } from "./arena.ts";
import { AHEAD, PERIOD, SAMPLE } from "./rules.ts";
import { Sketch } from "./sketch.ts";
import { Trial } from "./trial.ts";
import { type RowCacheWeights, Weights } from "./weights.ts";

/** Bytes that a row counts for beside its key and value (docs/rows.md: E18): its header, its place in the table. */
export const ROW_OVERHEAD = 64;
const HEADER = 32;
/** In the upper word of a row's sequence: the value dies some day. */
const MORTAL = 0x8000_0000;
const KEY_MAX = 0xffff;
const TREE_MAX = 0xffff_ffff;
const COUNT_MAX = 255;
/** Parts of the table: each grows by itself, so that no growth takes long. */
const SHARDS = 256;
/** Longest run in the table. More means that somebody picks keys by their hash: such a row stays out. */
const PROBES_MAX = 128;

/** Figures of a row cache. */
export interface RowCacheStats {
  readonly entries: number;
  readonly bytes: number;
  readonly capacity: number;
  readonly hits: number;
  readonly misses: number;
}

/** Rows in memory. */
export class RowCache {
  readonly #capacity: number;
  #arena: Arena;
  readonly #weights: Weights;
  readonly #copies = new Copies();
  // Buckets of two words each: position (0: none), hash.
  readonly #shards: Uint32Array[] = [];
  readonly #counts = new Uint32Array(SHARDS);
  // From the first time that the cache is full.
  #sketch: Sketch | undefined;
  #trial: Trial | undefined;
  #entries = 0;
  #bytes = 0;
  #hits = 0;
  #misses = 0;

  /** Accesses so far, as a u32 that wraps: ages are differences. */
  #tick = 0;
  /** The tick at which the present period began, and its length. */
  #periodStart = 0;
  #epoch = 0;
  #hand = new Hand();
  readonly #accounts = new Map<number, Account>();
  #suspended = false;

  /** Whether the value that the last successful `get` gave dies some day. */
  foundMortal = false;

  /**
   * @param capacity  bytes, by keys, values and {@link ROW_OVERHEAD}; 0 keeps nothing
   * @param nowMs     a clock that never goes back
   */
  constructor(capacity: number, weights: RowCacheWeights, nowMs: () => number) {
    this.#capacity = capacity;
    this.#arena = new Arena(capacity);
    this.#weights = new Weights(weights, nowMs);
    for (let i = 0; i < SHARDS; i++) this.#shards.push(NO_BUCKETS);
  }

  /** Figures, for people and metrics. */
  get stats(): RowCacheStats {
    return {
      entries: this.#entries,
      bytes: this.#bytes,
      capacity: this.#capacity,
      hits: this.#hits,
      misses: this.#misses,
    };
  }

  /** Whether it can keep anything. */
  get enabled(): boolean {
    return this.#capacity > 0 && !this.#suspended;
  }

  /** While true there is no row here, nor the memory of any: it is needed for something else. */
  get suspended(): boolean {
    return this.#suspended;
  }

  set suspended(suspended: boolean) {
    if (suspended && this.#entries > 0) this.#clear();
    this.#suspended = suspended;
  }

  /** Starts anew, but for the counts of hits and misses and for what the hotness has been so far. */
  #clear(): void {
    this.#arena = new Arena(this.#capacity);
    this.#shards.fill(NO_BUCKETS);
    this.#counts.fill(0);
    this.#sketch = undefined;
    this.#trial = undefined;
    this.#entries = 0;
    this.#bytes = 0;
    this.#hand = new Hand();
    for (const account of this.#accounts.values()) account.clear();
    this.#weights.cleared();
  }

  /** Weights now, as the observed hotness has moved them. */
  get weights(): { readonly frequency: number; readonly recency: number } {
    return this.#weights;
  }

  /**
   * A row's value, copied; undefined when it is not here for a read at `seq`.
   * @param keyHash  the key's hash, any of good quality; the same in all calls
   */
  get(tree: number, key: Uint8Array, keyHash: number, seq: number): Uint8Array | undefined {
    const position = this.#entries === 0 ? 0 : this.#find(tree, key, rowHash(tree, keyHash));
    if (position === 0) {
      this.#misses++;
      return undefined;
    }
    const segment = position >>> this.#arena.shift;
    const words = this.#arena.words[segment];
    const w = (position & this.#arena.mask) << 2;
    if (seqOf(words, w) > seq) {
      this.#misses++;
      return undefined;
    }
    this.#hits++;
    this.foundMortal = (words[w + 6] & MORTAL) !== 0;
    this.#touch(words, w);
    this.#trial?.access(words[w + 1]);
    const start = (w << 2) + HEADER + key.length;
    return this.#copies.copy(this.#arena.bytes[segment], start, start + words[w + 4]);
  }

  /**
   * Takes in what a read found in tables.
   * @param seq     the sequence of the newest entry that made the value, or any up to which nothing is newer
   * @param mortal  whether the value dies some day; the reader is told, by `foundMortal`
   */
  fill(
    tree: number,
    key: Uint8Array,
    keyHash: number,
    seq: number,
    value: Uint8Array,
    mortal = false,
  ): void {
    const size = HEADER + key.length + value.length;
    const units = (size + 15) >>> UNIT_SHIFT;
    const bytes = key.length + value.length + ROW_OVERHEAD;
    const account = this.#account(tree);
    if (
      this.#suspended || bytes > this.#capacity || bytes > account.limit ||
      units > this.#arena.unitsMax || key.length > KEY_MAX || tree > TREE_MAX
    ) return;
    const hash = rowHash(tree, keyHash);
    const old = this.#find(tree, key, hash);
    // It is here for reads above this one, or a reader of an older moment found the same.
    if (old !== 0) return;
    this.#advance();
    let count = 1;
    const over = account.isOver(bytes);
    if (this.#sketch !== undefined) {
      count = this.#sketch.add(hash);
      this.#trial!.access(hash);
    } else if (over || this.#isFull(bytes)) {
      // As many as there will be when it is full.
      const rows = Math.floor(this.#entries * this.#capacity / this.#bytes);
      this.#sketch = new Sketch(rows * 2);
      this.#trial = new Trial(rows);
    }
    while (account.isOver(bytes) || (over && account.rows > 0 && this.#isFull(bytes))) {
      if (!this.#makeWay(count, account)) return;
    }
    while (this.#isFull(bytes)) if (!this.#makeWay(count)) return;
    // Where there is no hole for it, others' rows may have to go: not for one that has its share.
    const position = over && account.rows > 0 ? this.#arena.take(units) : this.#take(units);
    if (position === 0) return;
    this.#insert(position, account, key, hash, seq, value, mortal, count);
  }

  /**
   * Keeps a row true when its key is written; does nothing when it is not here. Comes with the memtable's
   * insert.
   * @param isMortal  tells whether a value dies some day
   */
  write(
    tree: number,
    key: Uint8Array,
    keyHash: number,
    seq: number,
    kind: EntryKind,
    value: Uint8Array,
    isMortal?: (value: Uint8Array) => boolean,
  ): void {
    const hash = rowHash(tree, keyHash);
    const position = this.#find(tree, key, hash);
    if (position === 0) return;
    const segment = position >>> this.#arena.shift;
    const words = this.#arena.words[segment];
    const w = (position & this.#arena.mask) << 2;
    const fits = HEADER + key.length + value.length <= this.#arena.units(position) << UNIT_SHIFT;
    const grown = value.length - words[w + 4];
    const account = this.#account(tree);
    // A row that outgrows its cell, the cache, or its tree's share, comes back with the next read.
    if (
      kind !== KIND_PUT || !fits || this.#isFull(grown) || account.isOver(grown)
    ) {
      this.#remove(position, true);
      return;
    }
    this.#bytes += grown;
    account.bytes += grown;
    words[w + 4] = value.length;
    putSeq(words, w, seq);
    if (isMortal?.(value)) words[w + 6] |= MORTAL;
    this.#arena.bytes[segment].set(value, (w << 2) + HEADER + key.length);
  }

  /** Drops a key's row. */
  drop(tree: number, key: Uint8Array, keyHash: number): void {
    const position = this.#find(tree, key, rowHash(tree, keyHash));
    if (position !== 0) this.#remove(position, true);
  }

  /** Whether anything is here; when not, writes need not say what they write. */
  get empty(): boolean {
    return this.#entries === 0;
  }

  /** Drops all rows of a tree. Looks at every bucket: for trees that are dropped, not for reads or writes. */
  dropTree(tree: number): void {
    const arena = this.#arena;
    for (let segment = 0; segment < arena.words.length; segment++) {
      for (let at = arena.firstCell(segment); at !== 0;) {
        if (arena.isRow(at) && arena.words[segment][((at & arena.mask) << 2) + 2] === tree) {
          this.#remove(at, true);
        }
        at = arena.cellAfter(at);
      }
    }
    this.#accounts.delete(tree);
  }

  /** Bytes that rows of a tree take, as {@link RowCacheStats} counts them. */
  bytesOf(tree: number): number {
    return this.#accounts.get(tree)?.bytes ?? 0;
  }

  /**
   * Bounds what a tree has, from now on; what is over goes at once. Looks at every row where the tree had no share.
   * @param percent  of the capacity; undefined: as much as there is
   */
  setShare(tree: number, percent: number | undefined): void {
    if (percent === undefined && !this.#accounts.has(tree)) return;
    const account = this.#account(tree);
    account.limit = shareOf(this.#capacity, percent);
    if (percent === undefined) return account.unlist();
    if (!account.isListed) this.#list(account);
    while (account.isOver(0)) this.#makeWay(Infinity, account);
  }

  // ---- accounts

  #account(tree: number): Account {
    let account = this.#accounts.get(tree);
    if (account === undefined) this.#accounts.set(tree, account = new Account(tree));
    return account;
  }

  /** Lists the rows of a tree. */
  #list(account: Account): void {
    const arena = this.#arena;
    account.list();
    for (let segment = 0; segment < arena.words.length; segment++) {
      for (let at = arena.firstCell(segment); at !== 0; at = arena.cellAfter(at)) {
        if (arena.isRow(at)) this.#note(account, at, segment);
      }
    }
  }

  /** Lists a row if it is the tree's. */
  #note(account: Account, position: number, segment: number): void {
    const words = this.#arena.words[segment];
    const w = (position & this.#arena.mask) << 2;
    if (words[w + 2] === account.tree) account.add(position, words[w + 1], this.#isRowOf);
  }

  /** Whether what was listed is a row of the tree yet. */
  readonly #isRowOf = (tree: number, position: number, hash: number): boolean => {
    const buckets = this.#shards[hash >>> 24];
    const mask = buckets.length - 2;
    for (let at = (hash << 1) & mask; buckets[at] !== 0; at = (at + 2) & mask) {
      if (buckets[at] !== position || buckets[at + 1] !== hash) continue;
      const words = this.#arena.words[position >>> this.#arena.shift];
      return words[((position & this.#arena.mask) << 2) + 2] === tree;
    }
    return false;
  };

  // ---- which rows stay

  /** Counts an access to a row. */
  #touch(words: Uint32Array, w: number): void {
    const tick = this.#advance();
    const meta = words[w + 3];
    const epoch = this.#epochOf(words[w + 1]);
    const count = agedCount(meta, epoch);
    words[w + 3] = packMeta(meta & KEY_MAX, count < COUNT_MAX ? count + 1 : count, epoch);
    this.#weights.touched(tick, words[w + 7]);
    words[w + 7] = tick;
  }

  /** Counts an access to the cache; begins a new period when it is time. */
  #advance(): number {
    const tick = this.#tick = (this.#tick + 1) >>> 0;
    const since = (tick - this.#periodStart) >>> 0;
    const period = PERIOD * this.#entries;
    if (since > period && since > 1024) {
      this.#sketch?.age(1);
      this.#periodStart = tick;
      this.#epoch = (this.#epoch + 1) & 0xff;
    } else if ((tick & 63) === 0) this.#sketch?.age(since / period);
    return tick;
  }

  /**
   * The period that a row is in: the next one once the sketch has halved the row's counters. Or else a row
   * that is here would be compared by a count that is halved with one outside by a count that is not.
   */
  #epochOf(hash: number): number {
    return (this.#epoch + (this.#sketch?.swept(hash) ? 1 : 0)) & 0xff;
  }

  /** Whether there is no room for so many bytes more. */
  #isFull(bytes: number): boolean {
    return this.#bytes + bytes > this.#capacity;
  }

  /**
   * Evicts one row if it is worth less than one with `count` accesses that wants to come in.
   * @param of  only a row of this tree, which has some; absent: any
   */
  #makeWay(count: number, of?: Account): boolean {
    const weights = this.#weights.now(this.#tick, this.#entries);
    const recent = this.#trial?.recencyWins ?? false;
    const frequency = weights.frequency * (recent ? MINOR : 1);
    const recency = weights.recency * (recent ? 1 : MINOR);
    const score = frequency * (count - AHEAD);
    const hand = of?.hand ?? this.#hand;
    // Looking at rows costs more than all the rest: most that come in vain need not move the hand.
    if (!recent && score <= hand.bar && ++hand.refusals < REFUSALS_MAX) return false;
    hand.refusals = 0;
    const arena = this.#arena;
    let victim = 0;
    let lowest = Infinity;
    let ages = 0;
    let seen = 0;
    for (; seen < SAMPLE; seen++) {
      const position = of === undefined ? arena.nextRow() : of.next(this.#isRowOf);
      if (position === 0) break;
      const words = arena.words[position >>> arena.shift];
      const w = (position & arena.mask) << 2;
      const age = (this.#tick - words[w + 7]) >>> 0;
      ages += age;
      const worth = frequency * agedCount(words[w + 3], this.#epochOf(words[w + 1])) -
        recency * age / hand.meanAge;
      if (worth < lowest) {
        lowest = worth;
        victim = position;
      }
    }
    if (victim === 0) return false;
    hand.meanAge = Math.max(1, hand.meanAge + (ages / seen - hand.meanAge) / 64);
    hand.bar = lowest;
    if (!recent && score <= lowest) return false;
    hand.bar = -Infinity;
    this.#remove(victim, true);
    return true;
  }

  // ---- rows

  #insert(
    position: number,
    account: Account,
    key: Uint8Array,
    hash: number,
    seq: number,
    value: Uint8Array,
    mortal: boolean,
    count: number,
  ): void {
    if (!this.#addBucket(position, hash)) {
      this.#arena.give(position);
      return;
    }
    const segment = position >>> this.#arena.shift;
    const words = this.#arena.words[segment];
    const w = (position & this.#arena.mask) << 2;
    words[w + 1] = hash;
    words[w + 2] = account.tree;
    words[w + 3] = packMeta(key.length, count, this.#epochOf(hash));
    words[w + 4] = value.length;
    putSeq(words, w, seq);
    if (mortal) words[w + 6] |= MORTAL;
    words[w + 7] = this.#tick;
    const bytes = this.#arena.bytes[segment];
    const start = (w << 2) + HEADER;
    bytes.set(key, start);
    bytes.set(value, start + key.length);
    this.#entries++;
    this.#bytes += key.length + value.length + ROW_OVERHEAD;
    account.bytes += key.length + value.length + ROW_OVERHEAD;
    account.rows++;
    if (account.isListed) account.add(position, hash, this.#isRowOf);
    this.#weights.added();
  }

  /** @param give  give the cell back to the arena */
  #remove(position: number, give: boolean): void {
    const words = this.#arena.words[position >>> this.#arena.shift];
    const w = (position & this.#arena.mask) << 2;
    const hash = words[w + 1];
    this.#dropBucket(position, hash);
    this.#sketch?.raise(hash, agedCount(words[w + 3], this.#epochOf(words[w + 1])));
    this.#entries--;
    const bytes = (words[w + 3] & KEY_MAX) + words[w + 4] + ROW_OVERHEAD;
    this.#bytes -= bytes;
    const account = this.#account(words[w + 2]);
    account.bytes -= bytes;
    account.rows--;
    this.#weights.removed(this.#tick, words[w + 7]);
    if (give) this.#arena.give(position);
  }

  /** A cell; empties a segment when there is memory but no hole large enough. 0 when that did not help. */
  #take(units: number): number {
    const position = this.#arena.take(units);
    if (position !== 0) return position;
    this.#emptySegment(this.#arena.sparsest());
    return this.#arena.take(units);
  }

  /** Moves a segment's rows into holes of others, as far as they find one; the others go. */
  #emptySegment(segment: number): void {
    const arena = this.#arena;
    arena.withdraw(segment);
    for (let at = arena.firstCell(segment); at !== 0; at = arena.cellAfter(at)) {
      if (!arena.isRow(at)) continue;
      const units = arena.units(at);
      const to = arena.take(units);
      if (to === 0) {
        this.#remove(at, false);
        continue;
      }
      const from = (at & arena.mask) << 2;
      const words = arena.words[segment];
      // All but the first word, which says how large the cell is.
      arena.words[to >>> arena.shift].set(
        words.subarray(from + 1, from + (units << 2)),
        ((to & arena.mask) << 2) + 1,
      );
      this.#moveBucket(at, to, words[from + 1]);
      const account = this.#account(words[from + 2]);
      if (account.isListed) account.add(to, words[from + 1], this.#isRowOf);
    }
    arena.restore(segment);
  }

  // ---- the table

  #find(tree: number, key: Uint8Array, hash: number): number {
    const buckets = this.#shards[hash >>> 24];
    const mask = buckets.length - 2;
    const arena = this.#arena;
    for (let at = (hash << 1) & mask;; at = (at + 2) & mask) {
      const position = buckets[at];
      if (position === 0) return 0;
      if (buckets[at + 1] !== hash) continue;
      const segment = position >>> arena.shift;
      const words = arena.words[segment];
      const w = (position & arena.mask) << 2;
      if (words[w + 2] !== tree || (words[w + 3] & KEY_MAX) !== key.length) continue;
      const bytes = arena.bytes[segment];
      const start = (w << 2) + HEADER;
      let i = 0;
      while (i < key.length && bytes[start + i] === key[i]) i++;
      if (i === key.length) return position;
    }
  }

  /** False when the run is too long. */
  #addBucket(position: number, hash: number): boolean {
    const shard = hash >>> 24;
    let buckets = this.#shards[shard];
    // At most five in eight: a miss looks at four buckets then.
    if ((this.#counts[shard] + 1) * 16 > buckets.length * 5) buckets = this.#growShard(shard);
    const mask = buckets.length - 2;
    let at = (hash << 1) & mask;
    for (let probes = 0; buckets[at] !== 0; at = (at + 2) & mask) {
      if (++probes > PROBES_MAX) return false;
    }
    buckets[at] = position;
    buckets[at + 1] = hash;
    this.#counts[shard]++;
    return true;
  }

  #growShard(shard: number): Uint32Array {
    const old = this.#shards[shard];
    const buckets = new Uint32Array(Math.max(16, old.length * 2));
    const mask = buckets.length - 2;
    for (let i = 0; i < old.length; i += 2) {
      if (old[i] === 0) continue;
      let at = (old[i + 1] << 1) & mask;
      while (buckets[at] !== 0) at = (at + 2) & mask;
      buckets[at] = old[i];
      buckets[at + 1] = old[i + 1];
    }
    return this.#shards[shard] = buckets;
  }

  #bucketOf(position: number, hash: number): number {
    const buckets = this.#shards[hash >>> 24];
    const mask = buckets.length - 2;
    let at = (hash << 1) & mask;
    while (buckets[at] !== position) at = (at + 2) & mask;
    return at;
  }

  #moveBucket(from: number, to: number, hash: number): void {
    this.#shards[hash >>> 24][this.#bucketOf(from, hash)] = to;
  }

  /** Removes a bucket and closes the gap, so that runs stay whole (Knuth 6.4, algorithm R). */
  #dropBucket(position: number, hash: number): void {
    const shard = hash >>> 24;
    const buckets = this.#shards[shard];
    const mask = buckets.length - 2;
    let gap = this.#bucketOf(position, hash);
    for (let at = (gap + 2) & mask; buckets[at] !== 0; at = (at + 2) & mask) {
      const home = (buckets[at + 1] << 1) & mask;
      // Whether its home lies cyclically in (gap, at]: then it must stay behind the gap.
      if (((at - home) & mask) < ((at - gap) & mask)) continue;
      buckets[gap] = buckets[at];
      buckets[gap + 1] = buckets[at + 1];
      gap = at;
    }
    buckets[gap] = 0;
    this.#counts[shard]--;
  }
}

/** A table part with nothing in it: the first row makes a real one. */
const NO_BUCKETS = new Uint32Array(2);
/** Rows that are refused by the same bar before the hand moves on. */
const REFUSALS_MAX = 8;
/** What the lesser of frequency and recency is scaled by: it decides between rows that are else alike. */
const MINOR = 0.02;

function rowHash(tree: number, keyHash: number): number {
  return (keyHash ^ Math.imul(tree, 0x9e37_79b1)) >>> 0;
}

function seqOf(words: Uint32Array, w: number): number {
  return (words[w + 6] & ~MORTAL) * 2 ** 32 + words[w + 5];
}

function putSeq(words: Uint32Array, w: number, seq: number): void {
  words[w + 5] = seq % 2 ** 32;
  words[w + 6] = Math.floor(seq / 2 ** 32);
}

function packMeta(keyLength: number, count: number, epoch: number): number {
  return (keyLength | (count << 16) | (epoch << 24)) >>> 0;
}

/** A row's accesses, halved once for each period that went by since the last. */
function agedCount(meta: number, epoch: number): number {
  const periods = (epoch - (meta >>> 24)) & 0xff;
  return ((meta >>> 16) & 0xff) >>> (periods < 8 ? periods : 8);
}
