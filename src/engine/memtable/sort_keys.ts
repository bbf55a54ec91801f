/**
 * Sorting many keys at once, for memtables that are filled in any order and linked afterwards.
 *
 * Radix sort on eight bytes at a time, least significant digit first, behind the prefix that all keys of
 * a range share; ranges that are equal so far are sorted by the next eight bytes. No comparison of keys,
 * and no object per key; small ranges and odd ones are compared.
 * @module
 */

/** Ranges shorter than this are compared rather than distributed. */
const RADIX_MIN = 64;
const RADIX = 256;

/**
 * Sorts keys ascending; of equal keys the one that came last is first.
 * @param bytes    what the keys lie in
 * @param starts   where each begins
 * @param lengths  how many bytes it has
 * @param shared   how many bytes all are known to begin with in common
 * @returns the keys' indices in order; and by place in it, whether the key is the same as the one behind it,
 *   where there are such at all
 */
export function sortKeys(
  bytes: Uint8Array,
  starts: Uint32Array,
  lengths: Uint32Array,
  shared: number,
): { order: Uint32Array; same: Uint8Array | undefined } {
  return new KeySorter(bytes, starts, lengths).sort(shared);
}

class KeySorter {
  readonly #bytes: Uint8Array;
  readonly #starts: Uint32Array;
  readonly #lengths: Uint32Array;
  #order: Uint32Array<ArrayBuffer>;
  #words: Uint32Array<ArrayBuffer>;
  // What a pass distributes into.
  #orderTo: Uint32Array<ArrayBuffer>;
  #wordsTo: Uint32Array<ArrayBuffer>;
  // By key: both words of the range that is sorted, so that keys are read once, in the order of the range.
  readonly #high: Uint32Array;
  readonly #low: Uint32Array;
  #same: Uint8Array | undefined;
  readonly #counts = new Uint32Array(4 * RADIX);
  readonly #compare: (a: number, b: number) => number;

  constructor(bytes: Uint8Array, starts: Uint32Array, lengths: Uint32Array) {
    this.#bytes = bytes;
    this.#starts = starts;
    this.#lengths = lengths;
    const count = starts.length;
    this.#order = new Uint32Array(count);
    this.#orderTo = new Uint32Array(count);
    this.#words = new Uint32Array(count);
    this.#high = new Uint32Array(count);
    this.#low = new Uint32Array(count);
    this.#wordsTo = new Uint32Array(count);
    this.#compare = (a, b) => {
      const shared = Math.min(lengths[a], lengths[b]);
      for (let i = 0, x = starts[a], y = starts[b]; i < shared; i++, x++, y++) {
        const difference = bytes[x] - bytes[y];
        if (difference !== 0) return difference;
      }
      return lengths[a] - lengths[b] || b - a;
    };
  }

  sort(shared: number): { order: Uint32Array; same: Uint8Array | undefined } {
    const count = this.#order.length;
    // Last first: each pass keeps the order of equals.
    for (let i = 0; i < count; i++) this.#order[i] = count - 1 - i;
    this.#sortRange(0, count, shared);
    return { order: this.#order, same: this.#same };
  }

  /** Sorts `order[from, to)`, whose keys are equal up to `depth` and have at least that many bytes. */
  #sortRange(from: number, to: number, depth: number): void {
    if (to - from < RADIX_MIN) return this.#compareRange(from, to);
    const at = this.#sharedLength(from, to, depth);
    this.#loadWords(from, to, at);
    this.#distribute(from, to);
    for (let i = from; i < to; i++) this.#words[i] = this.#high[this.#order[i]];
    this.#distribute(from, to);
    this.#sortRuns(from, to, at);
  }

  /** Sorts what is equal in the eight bytes from `at` on. */
  #sortRuns(from: number, to: number, at: number): void {
    const order = this.#order;
    const words = this.#words;
    const lows = this.#low;
    const lengths = this.#lengths;
    for (let start = from; start < to;) {
      const first = order[start];
      const high = words[start];
      const low = lows[first];
      let shortest = lengths[first];
      let longest = shortest;
      let end = start + 1;
      for (; end < to; end++) {
        const other = order[end];
        if (words[end] !== high || lows[other] !== low) break;
        const length = lengths[other];
        if (length < shortest) shortest = length;
        if (length > longest) longest = length;
      }
      if (end - start > 1) {
        // A key that ends here reads as one that goes on with zeros.
        if (shortest !== longest && shortest < at + 8) this.#compareRange(start, end);
        else if (longest > at + 8) this.#sortRange(start, end, at + 8);
        else for (let i = start; i + 1 < end; i++) this.#areSame(i);
      }
      start = end;
    }
  }

  #compareRange(from: number, to: number): void {
    if (to - from < 2) return;
    const order = this.#order;
    order.subarray(from, to).sort(this.#compare);
    for (let i = from; i + 1 < to; i++) {
      const [a, b] = [order[i], order[i + 1]];
      if (this.#lengths[a] === this.#lengths[b] && this.#equal(a, b)) this.#areSame(i);
    }
  }

  #equal(a: number, b: number): boolean {
    const bytes = this.#bytes;
    let [x, y] = [this.#starts[a], this.#starts[b]];
    for (const end = x + this.#lengths[a]; x < end; x++, y++) {
      if (bytes[x] !== bytes[y]) return false;
    }
    return true;
  }

  /** The keys at a place and the one behind it are the same. */
  #areSame(place: number): void {
    this.#same ??= new Uint8Array(this.#order.length);
    this.#same[place] = 1;
  }

  /** How many bytes all keys of a range have in common. */
  #sharedLength(from: number, to: number, depth: number): number {
    const bytes = this.#bytes;
    const start = this.#starts[this.#order[from]];
    let shared = this.#lengths[this.#order[from]];
    for (let i = from + 1; i < to && shared > depth; i++) {
      const other = this.#order[i];
      if (this.#lengths[other] < shared) shared = this.#lengths[other];
      for (let j = depth, x = start + depth, y = this.#starts[other] + depth; j < shared; j++) {
        if (bytes[x++] !== bytes[y++]) shared = j;
      }
    }
    return shared;
  }

  /** Four bytes of a key as a number; zeros behind its end. */
  #word(index: number, at: number): number {
    const i = this.#starts[index] + at;
    const left = Math.min(4, this.#lengths[index] - at);
    let word = 0;
    for (let j = 0; j < left; j++) word |= this.#bytes[i + j] << (24 - 8 * j);
    return word >>> 0;
  }

  /** Loads both words of each key; the second is what is distributed by first. */
  #loadWords(from: number, to: number, at: number): void {
    const bytes = this.#bytes;
    const order = this.#order;
    const starts = this.#starts;
    const lengths = this.#lengths;
    const words = this.#words;
    const highs = this.#high;
    const lows = this.#low;
    for (let i = from; i < to; i++) {
      const index = order[i];
      if (lengths[index] < at + 8) {
        highs[index] = this.#word(index, at);
        lows[index] = words[i] = this.#word(index, at + 4);
        continue;
      }
      const b = starts[index] + at;
      highs[index] = (bytes[b] << 24) | (bytes[b + 1] << 16) | (bytes[b + 2] << 8) | bytes[b + 3];
      lows[index] = words[i] = (bytes[b + 4] << 24) | (bytes[b + 5] << 16) | (bytes[b + 6] << 8) |
        bytes[b + 7];
    }
  }

  /** Sorts a range by its words; equals stay as they are. */
  #distribute(from: number, to: number): void {
    const counts = this.#counts.fill(0);
    const read = this.#words;
    for (let i = from; i < to; i++) {
      const word = read[i];
      counts[word & 0xff]++;
      counts[RADIX + ((word >>> 8) & 0xff)]++;
      counts[2 * RADIX + ((word >>> 16) & 0xff)]++;
      counts[3 * RADIX + (word >>> 24)]++;
    }
    const swapped = this.#order;
    for (let digit = 0; digit < 4; digit++) {
      const base = digit * RADIX;
      const shift = digit * 8;
      const order = this.#order;
      const words = this.#words;
      // A digit that all have in common moves nothing.
      if (counts[base + ((words[from] >>> shift) & 0xff)] === to - from) continue;
      let sum = from;
      for (let i = base; i < base + RADIX; i++) {
        const count = counts[i];
        counts[i] = sum;
        sum += count;
      }
      const orderTo = this.#orderTo;
      const wordsTo = this.#wordsTo;
      for (let i = from; i < to; i++) {
        const word = words[i];
        const place = counts[base + ((word >>> shift) & 0xff)]++;
        orderTo[place] = order[i];
        wordsTo[place] = word;
      }
      this.#order = orderTo;
      this.#orderTo = order;
      this.#words = wordsTo;
      this.#wordsTo = words;
    }
    if (this.#order === swapped) return;
    // The rest of the array is in the other one.
    swapped.set(this.#order.subarray(from, to), from);
    this.#orderTo = this.#order;
    this.#order = swapped;
  }
}
