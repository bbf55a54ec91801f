/**
 * Memtable: the newest entries of a tree, sorted, in memory that a worker thread can read too.
 *
 * The keys are a skip list (Pugh, "Skip Lists: A Probabilistic Alternative to Balanced Trees", 1990;
 * probability 0.5, at most 16 levels) in one SharedArrayBuffer, and the entries of a key a list of their own,
 * which begins and ends at the key's first entry:
 *
 *     level 1   HEAD ───────────────► b ──────────────► 0        b was written as 2, and again as 5 and 9:
 *     level 0   HEAD ──► a ─────────► b ──────► c ────► 0
 *                                     │ latest           in order: a@1  b@9  b@5  b@2  c@3
 *                                     └► b@9 ─► b@5 ─► b@2, which is b
 *
 * So a key that is written again costs no search among all others. Whoever knows the key finds its first
 * entry by hash: buckets that the writer alone has, each a list through the nodes. A table that recovery has
 * filled has none, and nor has a reader in another thread: they search.
 *
 * References are byte offsets, 4-aligned, 0 for none. The arena starts small and doubles, so that ten
 * thousand small trees cost little; a large one is had whole, and may be that of an earlier memtable, with all
 * that was in it: nothing here relies on memory that nobody has written to. Words are copied as this
 * machine keeps them, which is little-endian wherever Deno runs.
 *
 *     entry: 0         4                              8          12           16          20         24
 *            +---------+------------------------------+----------+------------+-----------+----------+----------+
 *            | seq u32 | seq high u16|kind u8|height u8| key u32 | value u32  | older u32 | newer u32| chain u32|
 *            +---------+------------------------------+----------+------------+-----------+----------+----------+
 *            28                  28 + 4 × height
 *            +-------------------+-----+-------+
 *            | next u32 × height | key | value |
 *            +-------------------+-----+-------+
 *     older      the key's next older entry; at its first, which has none, the latest
 *     newer      its next newer entry
 *     chain      the next first entry of the same bucket
 *     height     of the tower, in 5 bits; bit 7: not the first entry of its key
 *
 * Invariants
 *   - Entries are never changed or removed; a newer one of the same key stands before the older.
 *   - `reserve` comes before the log append and can fail; `insert` after it cannot.
 *   - Nothing is read, inserted or shared between `place` and `link`.
 * @module
 */
import type { EntryKind } from "../api.ts";
import { murmur3 } from "../../model/mod.ts";
import { compareRanges, type EntryCursor } from "../cursor.ts";
import { Arenas } from "./arenas.ts";
import { sortKeys } from "./sort_keys.ts";

const MAX_HEIGHT = 16;
const NODE_HEADER = 28;
const HEAD = 8;
// Words of an entry.
const OLDER = 4;
/** Of a key's first entry, in the place of `older`. */
const LATEST = 4;
const NEWER = 5;
const CHAIN = 6;
const UNKNOWN = -1;
// Of the height.
const HEIGHT = 0x1f;
const NOT_FIRST = 0x80;
const PAGE = 4096;
const FIRST_CAPACITY = PAGE;
/** An arena that outgrows this is given room for a whole memtable, see `reserve`. */
const SMALL_CAPACITY = 1 << 20;
const FULL_BYTES = 64 << 20;
const FIRST_BUCKETS = 64;
/** As many keys as a small arena holds; above it the buckets, too, are had for a whole memtable. */
const SMALL_BUCKETS = 4096;
/** Bytes of a full memtable for each of its buckets: about what an entry takes. */
const BUCKET_BYTES = 128;
/** Keys of one bucket that are looked at. Who chooses keys can choose such as share a bucket: the rest are searched for. */
const LONGEST_CHAIN = 32;
/** What an entry can take beside its key and value: header, tower, alignment. */
const NODE_OVERHEAD = NODE_HEADER + 4 * MAX_HEIGHT + 3;

/** A frozen memtable as a message to another thread. */
export interface SharedMemtable {
  readonly arena: SharedArrayBuffer;
  readonly used: number;
  readonly height: number;
  readonly count: number;
}

/** A sorted buffer of entries; one writer, any number of cursors. */
export class Memtable {
  /** Its entries were written from here on; wall time in ms, for the table that it becomes. */
  sinceMs = 0;
  /** They were written up to here, once it is frozen. */
  untilMs = 0;
  #arena: SharedArrayBuffer;
  #bytes: Uint8Array;
  #words: Uint32Array;
  #used: number;
  #height: number;
  #count: number;
  #minSeq = 0;
  #maxSeq = 0;
  // The path to the last new key: sequential keys start from here and need no search.
  readonly #path = new Uint32Array(MAX_HEIGHT).fill(HEAD);
  // The path of a search that was for nothing else.
  readonly #passed = new Uint32Array(MAX_HEIGHT);
  #lastKey = 0;
  /** By hash, the first of the entries that begin a key; as many as a power of two. */
  #buckets: Uint32Array = NO_BUCKETS;
  /** Whether there are buckets for what is put in. */
  #indexed = true;
  readonly #mostBuckets: number;
  #keys = 0;
  /** Entries that were put before others of their key. */
  #again = 0;
  // Entries that `place` put in and `link` has not linked yet: they lie end to end from here.
  #placed = 0;
  #firstPlaced = 0;
  #placedInOrder = true;
  // What `place` was last given, and the whole words of the buffer that it lies in.
  #source: Uint8Array = NOTHING;
  #sourceWords: Uint32Array = new Uint32Array(0);
  readonly #seed: number;
  #chance: number;
  /** The size at which it will be frozen, about. */
  readonly fullBytes: number;
  readonly #arenas: Arenas;
  /** Those who look into it for longer than a call. */
  #holders = 0;
  #retired = false;

  /**
   * @param seed       for the tower heights and the hash of keys; any 32-bit integer but 0
   * @param fullBytes  see the field
   * @param arenas     where a large arena comes from, and goes in the end
   */
  constructor(seed = 0x9e3779b9, fullBytes = FULL_BYTES, arenas = new Arenas()) {
    this.#seed = seed | 0;
    this.#chance = seed | 0 || 1;
    this.fullBytes = fullBytes;
    this.#arenas = arenas;
    this.#mostBuckets = Math.max(SMALL_BUCKETS, powerOfTwo(fullBytes / BUCKET_BYTES));
    this.#arena = new SharedArrayBuffer(FIRST_CAPACITY);
    this.#bytes = new Uint8Array(this.#arena);
    this.#words = new Uint32Array(this.#arena);
    this.#used = HEAD + NODE_HEADER + 4 * MAX_HEIGHT;
    this.#height = 1;
    this.#count = 0;
  }

  /** A new, empty one to follow it. */
  fresh(): Memtable {
    return new Memtable(this.#seed, this.fullBytes, this.#arenas);
  }

  /** A frozen memtable that another thread has sent. */
  static fromShared(shared: SharedMemtable): Memtable {
    const table = new Memtable();
    table.#indexed = false;
    table.#arena = shared.arena;
    table.#bytes = new Uint8Array(shared.arena);
    table.#words = new Uint32Array(shared.arena);
    table.#used = shared.used;
    table.#height = shared.height;
    table.#count = shared.count;
    return table;
  }

  /** The message that {@link Memtable.fromShared} takes; insert nothing afterwards. */
  share(): SharedMemtable {
    return { arena: this.#arena, used: this.#used, height: this.#height, count: this.#count };
  }

  /** Entries. */
  get count(): number {
    return this.#count;
  }
  /** Keys at most: those that {@link Memtable.place} has put in count once each, until they are linked. */
  get keys(): number {
    return this.#count - this.#again;
  }
  /** Bytes taken in the arena. */
  get bytes(): number {
    return this.#used;
  }
  /** Sequence of the first entry put in; 0 when empty. */
  get minSeq(): number {
    return this.#minSeq;
  }
  /** Sequence of the last entry put in; 0 when empty. */
  get maxSeq(): number {
    return this.#maxSeq;
  }

  /**
   * Makes room for `entries` more whose keys and values take `payload` bytes in sum.
   * @throws RangeError when memory cannot be had; nothing has changed then
   */
  reserve(entries: number, payload: number): void {
    if (
      this.#indexed && this.#keys + entries > this.#buckets.length &&
      this.#buckets.length < this.#mostBuckets
    ) this.#moreBuckets(this.#keys + entries);
    const needed = this.#used + payload + entries * NODE_OVERHEAD;
    if (needed <= this.#arena.byteLength) return;
    let capacity = this.#arena.byteLength;
    // Memory that nobody has written to costs addresses only. Doubling all the way would copy tens of
    // megabytes in one step, for which everything else would have to wait. An eighth more is for the last entry.
    const whole = Math.ceil(this.fullBytes * 9 / 8 / PAGE) * PAGE;
    if (needed > SMALL_CAPACITY && needed <= whole) capacity = whole;
    while (capacity < needed) capacity *= 2;
    const arena = this.#arenas.take(capacity);
    const bytes = new Uint8Array(arena);
    bytes.set(this.#bytes.subarray(0, this.#used));
    this.#arena = arena;
    this.#bytes = bytes;
    this.#words = new Uint32Array(arena);
  }

  /** Somebody looks into it for longer than a call, and says so with {@link Memtable.release} in the end. */
  hold(): this {
    this.#holders++;
    return this;
  }

  /** One who held it does not look any more. */
  release(): void {
    if (--this.#holders === 0 && this.#retired) this.#arenas.give(this.#arena);
  }

  /** It is in a table now, and nobody will come to look into it. */
  retire(): void {
    this.#retired = true;
    if (this.#holders === 0) this.#arenas.give(this.#arena);
  }

  /** Adds an entry. Room was reserved; sequences rise from call to call. */
  insert(seq: number, kind: EntryKind, key: Uint8Array, value: Uint8Array): void {
    // What is greater than the greatest is new, and its path is known.
    const behindAll = this.#isBehindAll(key);
    const hash = this.#indexed ? murmur3(key, this.#seed) : 0;
    let first = behindAll ? 0 : this.#lookUp(hash, key);
    if (first === UNKNOWN) first = this.#findPath(key);
    else if (first === 0 && !behindAll) this.#findPath(key);
    const height = first === 0 ? this.#randomHeight() : 0;
    const node = this.#used;
    const keyStart = node + NODE_HEADER + 4 * height;
    this.#head(node, seq, kind, first === 0 ? height : NOT_FIRST, key.length, value.length);
    this.#bytes.set(key, keyStart);
    this.#bytes.set(value, keyStart + key.length);
    this.#used = (keyStart + key.length + value.length + 3) & ~3;
    if (first !== 0) return this.#addNewer(first, node);
    this.#addKey(hash, node);
    const words = this.#words;
    while (this.#height < height) this.#path[this.#height++] = HEAD;
    for (let level = 0; level < height; level++) {
      const link = (this.#path[level] + NODE_HEADER >> 2) + level;
      words[(node + NODE_HEADER >> 2) + level] = words[link];
      words[link] = node;
      this.#path[level] = node;
    }
    this.#lastKey = node;
  }

  /**
   * Adds an entry that no reader sees before {@link Memtable.link}: filling a table with keys in any order
   * and linking them all at once costs a fraction of as many inserts. Room was reserved; sequences rise.
   * @param bytes  what key and value lie in
   */
  place(
    seq: number,
    kind: EntryKind,
    bytes: Uint8Array,
    keyStart: number,
    keyEnd: number,
    valueStart: number,
    valueEnd: number,
  ): void {
    if (this.#count > this.#placed) {
      // Others are linked already: this one has to find its place among them.
      const value = bytes.subarray(valueStart, valueEnd);
      return this.insert(seq, kind, bytes.subarray(keyStart, keyEnd), value);
    }
    this.#indexed = false;
    this.#buckets = NO_BUCKETS;
    const height = this.#randomHeight();
    const node = this.#used;
    this.#head(node, seq, kind, height, keyEnd - keyStart, valueEnd - valueStart);
    this.#words[(node >> 2) + LATEST] = node;
    const tower = node + NODE_HEADER;
    let at = tower + 4 * height;
    for (let w = tower >> 2; w < at >> 2; w++) this.#words[w] = 0;
    if (bytes !== this.#source) this.#setSource(bytes);
    at = this.#copy(keyStart, keyEnd, at);
    at = this.#copy(valueStart, valueEnd, at);
    this.#used = (at + 3) & ~3;
    if (this.#placed++ === 0) this.#firstPlaced = node;
    else if (this.#placedInOrder) this.#placedInOrder = this.#follows(this.#lastKey, node);
    this.#lastKey = node;
  }

  /** Makes what `place` has put in part of the table. */
  link(): void {
    if (this.#placed === 0) return;
    if (this.#placedInOrder) {
      for (let node = this.#firstPlaced; node < this.#used; node = this.#nodeEnd(node)) {
        this.#linkLast(node);
      }
    } else this.#linkSorted();
    this.#placed = 0;
    this.#placedInOrder = true;
  }

  /**
   * The newest entry of `key` with a sequence of at most `seq`; 0 when there is none.
   * Read it with the accessors below; {@link Memtable.older} goes on to the next older one.
   */
  find(key: Uint8Array, seq: number): number {
    const first = this.#firstOf(key);
    return first === 0 ? 0 : this.#asOf(first, seq);
  }

  /** The next older entry of the same key; 0 when there is none. */
  older(node: number): number {
    return this.#isFirst(node) ? 0 : this.#words[(node >> 2) + OLDER];
  }

  /** The first entry; 0 when empty. */
  first(): number {
    return this.#nextKey(HEAD);
  }

  /** The entry after this one; 0 at the end. */
  next(node: number): number {
    return this.#isFirst(node) ? this.#nextKey(node) : this.#words[(node >> 2) + OLDER];
  }

  /** The first entry at or after (key, seq) in order; 0 when there is none. */
  seek(key: Uint8Array, seq: number): number {
    const first = this.#search(key);
    if (first === 0) return 0;
    if (!this.#equals(first, key)) return this.#words[(first >> 2) + LATEST];
    return this.#asOf(first, seq) || this.#nextKey(first);
  }

  /** The last entry; 0 when empty. */
  last(): number {
    const words = this.#words;
    let node = HEAD;
    for (let level = this.#height - 1; level >= 0; level--) {
      for (;;) {
        const next = words[((node + NODE_HEADER) >> 2) + level];
        if (next === 0) break;
        node = next;
      }
    }
    return node === HEAD ? 0 : node;
  }

  /** The last entry whose key is less than `key`; 0 when there is none. */
  lastBefore(key: Uint8Array): number {
    const words = this.#words;
    let node = HEAD;
    for (let level = this.#height - 1; level >= 0; level--) {
      for (;;) {
        const next = words[((node + NODE_HEADER) >> 2) + level];
        if (next === 0 || this.#compareKey(next, key) >= 0) break;
        node = next;
      }
    }
    return node === HEAD ? 0 : node;
  }

  /** The entry before this one; 0 at the start. The list of keys is linked forwards only: a search, O(log n). */
  previous(entry: number): number {
    const words = this.#words;
    const newer = words[(entry >> 2) + NEWER];
    if (newer !== 0) return newer;
    let node = HEAD;
    for (let level = this.#height - 1; level >= 0; level--) {
      for (;;) {
        const next = words[((node + NODE_HEADER) >> 2) + level];
        if (next === 0 || this.#compareKeys(next, entry) >= 0) break;
        node = next;
      }
    }
    return node === HEAD ? 0 : node;
  }

  /** An entry's sequence. */
  seq(node: number): number {
    const w = node >> 2;
    return (this.#words[w + 1] >>> 16) * 2 ** 32 + this.#words[w];
  }
  /** An entry's kind. */
  kind(node: number): EntryKind {
    return ((this.#words[(node >> 2) + 1] >>> 8) & 0xff) as EntryKind;
  }
  /** Where an entry's key begins in {@link Memtable.buffer}. */
  keyStart(node: number): number {
    return node + NODE_HEADER + 4 * (this.#words[(node >> 2) + 1] & HEIGHT);
  }
  /** Where its key ends and its value begins. */
  keyEnd(node: number): number {
    return this.keyStart(node) + this.#words[(node >> 2) + 2];
  }
  /** Where its value ends. */
  valueEnd(node: number): number {
    return this.keyEnd(node) + this.#words[(node >> 2) + 3];
  }
  /** The arena; another one after `reserve`. */
  get buffer(): Uint8Array {
    return this.#bytes;
  }

  /** A cursor over all entries; it also sees those inserted behind its position later. */
  cursor(): EntryCursor {
    return new MemtableCursor(this);
  }

  #compareKey(node: number, key: Uint8Array): number {
    const words = this.#words;
    const w = node >> 2;
    const bytes = this.#bytes;
    const start = node + NODE_HEADER + 4 * (words[w + 1] & HEIGHT);
    const length = words[w + 2];
    const shared = length < key.length ? length : key.length;
    for (let i = 0; i < shared; i++) {
      const difference = bytes[start + i] - key[i];
      if (difference !== 0) return difference;
    }
    return length - key.length;
  }

  #compareKeys(a: number, b: number): number {
    const bytes = this.#bytes;
    return compareRanges(
      bytes,
      this.keyStart(a),
      this.keyEnd(a),
      bytes,
      this.keyStart(b),
      this.keyEnd(b),
    );
  }

  #equals(node: number, key: Uint8Array): boolean {
    const w = node >> 2;
    const words = this.#words;
    let left = key.length;
    if (words[w + 2] !== left) return false;
    const bytes = this.#bytes;
    // Keys differ at their ends more often than where they begin.
    let at = node + NODE_HEADER + 4 * (words[w + 1] & HEIGHT) + left;
    while (left > 0) if (bytes[--at] !== key[--left]) return false;
    return true;
  }

  /** Whether an entry is the first of its key, which has a place among the keys. */
  #isFirst(node: number): boolean {
    return (this.#words[(node >> 2) + 1] & NOT_FIRST) === 0;
  }

  /** The latest entry of the key after the one that `first` begins; 0 at the end. */
  #nextKey(first: number): number {
    const words = this.#words;
    const next = words[first + NODE_HEADER >> 2];
    return next === 0 ? 0 : words[(next >> 2) + LATEST];
  }

  /** The newest entry of a key up to a sequence; 0 when there is none. */
  #asOf(first: number, seq: number): number {
    const words = this.#words;
    let node = words[(first >> 2) + LATEST];
    while (this.seq(node) > seq) {
      if (node === first) return 0;
      node = words[(node >> 2) + OLDER];
    }
    return node;
  }

  /** The entry that begins a key; 0 when there is none. */
  #firstOf(key: Uint8Array): number {
    const known = this.#lookUp(this.#indexed ? murmur3(key, this.#seed) : 0, key);
    if (known !== UNKNOWN) return known;
    const first = this.#search(key);
    return first !== 0 && this.#equals(first, key) ? first : 0;
  }

  /** The entry that begins a key, by its hash; 0 when there is none, UNKNOWN when buckets do not tell. */
  #lookUp(hash: number, key: Uint8Array): number {
    if (!this.#indexed) return UNKNOWN;
    const words = this.#words;
    const buckets = this.#buckets;
    if (buckets.length === 0) return 0;
    let node = buckets[hash & (buckets.length - 1)];
    for (let looked = 0; node !== 0 && !this.#equals(node, key); looked++) {
      if (looked === LONGEST_CHAIN) return UNKNOWN;
      node = words[(node >> 2) + CHAIN];
    }
    return node;
  }

  /**
   * The entry that begins the first key at or after this one; 0 when there is none.
   * @param path  gets the last node before the key on each level
   */
  #search(key: Uint8Array, path = this.#passed): number {
    const words = this.#words;
    let node = HEAD;
    // What stopped the search on the level above often stops it here too, and was compared there.
    let stop = 0;
    for (let level = this.#height - 1; level >= 0; level--) {
      for (;;) {
        const next = words[((node + NODE_HEADER) >> 2) + level];
        if (next === stop) break;
        if (this.#compareKey(next, key) >= 0) {
          stop = next;
          break;
        }
        node = next;
      }
      path[level] = node;
    }
    return stop;
  }

  /** Writes what an entry begins with, all but its links. */
  #head(
    node: number,
    seq: number,
    kind: EntryKind,
    height: number,
    keyLength: number,
    valueLength: number,
  ): void {
    const words = this.#words;
    const w = node >> 2;
    words[w] = seq % 2 ** 32;
    words[w + 1] = (Math.floor(seq / 2 ** 32) << 16) | (kind << 8) | height;
    words[w + 2] = keyLength;
    words[w + 3] = valueLength;
    words[w + NEWER] = 0;
    if (this.#count++ === 0) this.#minSeq = seq;
    this.#maxSeq = seq;
  }

  /** Puts an entry before all others of its key. */
  #addNewer(first: number, node: number): void {
    this.#again++;
    const words = this.#words;
    const latest = words[(first >> 2) + LATEST];
    words[(node >> 2) + OLDER] = latest;
    words[(latest >> 2) + NEWER] = node;
    words[(first >> 2) + LATEST] = node;
  }

  /** Makes an entry the first of its key, and puts it into its bucket. */
  #addKey(hash: number, node: number): void {
    const words = this.#words;
    words[(node >> 2) + LATEST] = node;
    if (!this.#indexed) return;
    const bucket = hash & (this.#buckets.length - 1);
    words[(node >> 2) + CHAIN] = this.#buckets[bucket];
    this.#buckets[bucket] = node;
    this.#keys++;
  }

  /** Makes buckets for so many keys, or those of a whole memtable. @throws RangeError */
  #moreBuckets(keys: number): void {
    const old = this.#buckets;
    const count = keys > SMALL_BUCKETS
      ? this.#mostBuckets
      : powerOfTwo(Math.max(FIRST_BUCKETS, keys));
    const words = this.#words;
    const buckets = new Uint32Array(count);
    for (let node of old) {
      while (node !== 0) {
        const next = words[(node >> 2) + CHAIN];
        const bucket = murmur3(this.#bytes, this.#seed, this.keyStart(node), this.keyEnd(node)) &
          (count - 1);
        words[(node >> 2) + CHAIN] = buckets[bucket];
        buckets[bucket] = node;
        node = next;
      }
    }
    this.#buckets = buckets;
  }

  #setSource(bytes: Uint8Array): void {
    this.#source = bytes;
    const { buffer, byteOffset, length } = bytes;
    this.#sourceWords = new Uint32Array(buffer, 0, (byteOffset + length) >> 2);
  }

  /**
   * Copies a range of `#source` to `at` in the arena; returns where it ends. By words, each put together
   * from the two that its bytes lie in: a byte at a time takes longer, and so does a view of the range.
   */
  #copy(start: number, end: number, at: number): number {
    const source = this.#source;
    const arena = this.#bytes;
    while ((at & 3) !== 0 && start < end) arena[at++] = source[start++];
    const from = this.#sourceWords;
    const into = this.#words;
    const offset = source.byteOffset + start;
    const shift = (offset & 3) << 3;
    let f = offset >> 2;
    // The last word of an odd range lies half in a word that the source may not have whole.
    const count = Math.min((end - start) >> 2, from.length - f - 1);
    if (count > 0) {
      let low = from[f];
      for (let i = at >> 2, last = i + count; i < last; i++) {
        const high = from[++f];
        into[i] = shift === 0 ? low : (low >>> shift) | (high << (32 - shift));
        low = high;
      }
      start += count * 4;
      at += count * 4;
    }
    while (start < end) arena[at++] = source[start++];
    return at;
  }

  /** Links what was placed in any order. */
  #linkSorted(): void {
    const words = this.#words;
    const count = this.#placed;
    // The list goes through memory in no order: what is needed of the nodes is gathered in theirs.
    const nodes = new Uint32Array(count);
    const heights = new Uint8Array(count);
    const starts = new Uint32Array(count);
    const lengths = new Uint32Array(count);
    const bytes = this.#bytes;
    const firstKey = this.keyStart(this.#firstPlaced);
    let shared = words[(this.#firstPlaced >> 2) + 2];
    for (let i = 0, node = this.#firstPlaced; i < count; i++) {
      const w = node >> 2;
      const height = words[w + 1] & HEIGHT;
      const length = words[w + 2];
      const start = node + NODE_HEADER + 4 * height;
      if (this.#height < height) this.#height = height;
      nodes[i] = node;
      heights[i] = height;
      starts[i] = start;
      lengths[i] = length;
      if (shared > length) shared = length;
      for (let j = 0; j < shared; j++) if (bytes[start + j] !== bytes[firstKey + j]) shared = j;
      node = (start + length + words[w + 3] + 3) & ~3;
    }
    const { order, same } = sortKeys(bytes, starts, lengths, shared);
    const keys = same === undefined ? count : this.#joinVersions(order, same, nodes);
    for (let level = 0, left = keys; left > 0; level++) {
      left = this.#linkLevel(level, order, left, nodes, heights);
    }
    // The next new key has to search for its path.
    this.#lastKey = 0;
  }

  /**
   * Makes lists of the entries of each key, and brings those that begin one to the front of `order`, in which
   * of equal keys the newest is first.
   * @param same  by place in `order`: the key is that of the next entry
   * @returns how many keys there are
   */
  #joinVersions(order: Uint32Array, same: Uint8Array, nodes: Uint32Array): number {
    const words = this.#words;
    let keys = 0;
    let latest = 0;
    for (let i = 0; i < order.length; i++) {
      const node = nodes[order[i]];
      if (same[i] === 1) {
        const older = nodes[order[i + 1]];
        if (latest === 0) latest = node;
        words[(node >> 2) + 1] |= NOT_FIRST;
        words[(node >> 2) + OLDER] = older;
        words[(older >> 2) + NEWER] = node;
        continue;
      }
      if (latest !== 0) words[(node >> 2) + LATEST] = latest;
      latest = 0;
      order[keys++] = order[i];
    }
    return keys;
  }

  /**
   * Links one level of the first `left` nodes of `order`, all of which reach it, and brings those that go on
   * above it to the front. A level at a time, and with no branch that depends on a height: heights are
   * random, and each wrong guess would wait for memory.
   * @returns how many go on
   */
  #linkLevel(
    level: number,
    order: Uint32Array,
    left: number,
    nodes: Uint32Array,
    heights: Uint8Array,
  ): number {
    const words = this.#words;
    let link = (HEAD + NODE_HEADER >> 2) + level;
    let higher = 0;
    for (let i = 0; i < left; i++) {
      const index = order[i];
      const node = nodes[index];
      words[link] = node;
      link = (node + NODE_HEADER >> 2) + level;
      order[higher] = index;
      // The sign: by one if the tower is higher than this level.
      higher += (level + 1 - heights[index]) >>> 31;
    }
    return higher;
  }

  /** Links a node behind all others. */
  #linkLast(node: number): void {
    const words = this.#words;
    const height = words[(node >> 2) + 1] & HEIGHT;
    while (this.#height < height) this.#path[this.#height++] = HEAD;
    for (let level = 0; level < height; level++) {
      words[(this.#path[level] + NODE_HEADER >> 2) + level] = node;
      this.#path[level] = node;
    }
    this.#lastKey = node;
  }

  /** Where the node behind this one in the arena begins. */
  #nodeEnd(node: number): number {
    return (this.valueEnd(node) + 3) & ~3;
  }

  /** Whether a node's key is above another's. */
  #follows(before: number, node: number): boolean {
    const bytes = this.#bytes;
    let a = this.keyStart(before);
    let b = this.keyStart(node);
    const endA = this.keyEnd(before);
    const endB = this.keyEnd(node);
    for (; a < endA && b < endB; a++, b++) {
      if (bytes[a] !== bytes[b]) return bytes[a] < bytes[b];
    }
    return a === endA && b < endB;
  }

  /**
   * Whether a key is greater than all there are. The path leads to the last that was new; when nothing follows
   * that on any level, the path is right for every greater one.
   */
  #isBehindAll(key: Uint8Array): boolean {
    const last = this.#lastKey;
    return last !== 0 && this.#words[last + NODE_HEADER >> 2] === 0 &&
      this.#compareKey(last, key) < 0;
  }

  /** Leaves in `#path` the last node before `key` on each level. @returns the entry that begins it; 0 when there is none */
  #findPath(key: Uint8Array): number {
    // The path leads to another place now.
    this.#lastKey = 0;
    const first = this.#search(key, this.#path);
    return first !== 0 && this.#equals(first, key) ? first : 0;
  }

  #randomHeight(): number {
    // xorshift32 (Marsaglia 2003): heights need speed, not quality. Each further level has odds 1/2.
    let x = this.#chance;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#chance = x;
    const height = 1 + Math.clz32((x >>> 0) | 0x10000);
    return height > MAX_HEIGHT ? MAX_HEIGHT : height;
  }
}

const NOTHING = new Uint8Array(0);
const NO_BUCKETS = new Uint32Array(0);

/** The least power of two that is at least this. */
function powerOfTwo(least: number): number {
  return 2 ** Math.ceil(Math.log2(least));
}

class MemtableCursor implements EntryCursor {
  readonly #table: Memtable;
  #node = 0;

  constructor(table: Memtable) {
    this.#table = table;
  }

  get valid(): boolean {
    return this.#node !== 0;
  }
  get keyBuffer(): Uint8Array {
    return this.#table.buffer;
  }
  get keyStart(): number {
    return this.#table.keyStart(this.#node);
  }
  get keyEnd(): number {
    return this.#table.keyEnd(this.#node);
  }
  get seq(): number {
    return this.#table.seq(this.#node);
  }
  get kind(): EntryKind {
    return this.#table.kind(this.#node);
  }
  get valueBuffer(): Uint8Array {
    return this.#table.buffer;
  }
  get valueStart(): number {
    return this.#table.keyEnd(this.#node);
  }
  get valueEnd(): number {
    return this.#table.valueEnd(this.#node);
  }
  seekFirst(): void {
    this.#node = this.#table.first();
  }
  seek(key: Uint8Array, seq: number): void {
    this.#node = this.#table.seek(key, seq);
  }
  next(): void {
    this.#node = this.#table.next(this.#node);
  }
  seekLast(): void {
    this.#node = this.#table.last();
  }
  seekBefore(key: Uint8Array): void {
    this.#node = this.#table.lastBefore(key);
  }
  prev(): void {
    this.#node = this.#table.previous(this.#node);
  }
  close(): void {
    this.#node = 0;
  }
}
