/**
 * Arena: memory for many small rows of all sizes, without an object for each.
 *
 * Memory comes in segments of one size. A segment is cells, end to end; a cell is a row or a hole, and a
 * whole number of 16-byte units. A position is a cell's first unit, counted over all segments; 0 is none.
 * Holes are kept in lists by size, as in TLSF (Masmano et al. 2004): exact sizes up to 256 units, above
 * eight classes for each doubling, and a bitmap that tells which lists have any. So taking and giving back
 * a cell costs the same however many there are.
 *
 *     hole:  0              4         8         12
 *            +--------------+---------+---------+-----
 *            | units u32    | next u32| prev u32|       units has its highest bit clear
 *            +--------------+---------+---------+-----
 *     row:   | units u32    | whatever the owner keeps  units has its highest bit set
 *
 * Invariants
 *   - A new hole swallows the hole behind it; the rest is put together when a segment is emptied.
 *   - No cell crosses a segment's end, and none is larger than a quarter of a segment, so that a segment is
 *     never lost to the rest at its end.
 * @module
 */

/** Bytes of a unit, as a shift. */
export const UNIT_SHIFT = 4;
/** The highest bit of a cell's first word: a row. */
const ROW = 0x8000_0000;
const EXACT = 256;
const PER_DOUBLING = 8;
/** Below this a rest is no use: it stays with the cell that it was cut from. */
const REST_MIN = 3;

/** Cells in segments. */
export class Arena {
  /** Each segment as words and as bytes: the same memory. */
  readonly words: Uint32Array[] = [];
  readonly bytes: Uint8Array[] = [];
  /** A position's segment is `position >>> shift`, its unit in there `position & mask`. */
  readonly shift: number;
  readonly mask: number;
  /** Units of rows, by segment. */
  readonly #live: number[] = [];
  readonly #segmentUnits: number;
  readonly #segmentsMax: number;
  readonly #heads: Uint32Array;
  readonly #some: Uint32Array;
  #hand = 0;

  /**
   * @param capacity  bytes of all segments at most; they are taken when they are needed
   */
  constructor(capacity: number) {
    // Between 2 KiB and 1 MiB, and small beside the whole, so that emptying one is a small matter.
    const log = Math.min(20, Math.max(11, Math.floor(Math.log2(Math.max(1, capacity) / 32))));
    this.shift = log - UNIT_SHIFT;
    this.#segmentUnits = 2 ** this.shift;
    this.mask = this.#segmentUnits - 1;
    const addressable = Math.floor(2 ** 32 / this.#segmentUnits);
    this.#segmentsMax = Math.min(addressable, Math.max(1, Math.floor(capacity / 2 ** log)));
    const classes = classOf(this.#segmentUnits) + 1;
    this.#heads = new Uint32Array(classes);
    this.#some = new Uint32Array((classes >> 5) + 1);
  }

  /** Units of the largest cell. */
  get unitsMax(): number {
    return this.#segmentUnits >> 2;
  }

  /** A cell of at least `units`, marked as a row; 0 when there is no room. */
  take(units: number): number {
    let hole = this.#findHole(units);
    if (hole === 0) {
      if (this.words.length >= this.#segmentsMax) return 0;
      this.#addSegment();
      hole = this.#findHole(units);
    }
    this.#unlink(hole);
    const segment = hole >>> this.shift;
    const words = this.words[segment];
    const w = (hole & this.mask) << 2;
    let size = words[w];
    if (size - units >= REST_MIN) {
      this.#link(hole + units, size - units);
      size = units;
    }
    words[w] = (size | ROW) >>> 0;
    this.#live[segment] += size;
    return hole;
  }

  /** Gives a row's cell back. */
  give(position: number): void {
    const segment = position >>> this.shift;
    const words = this.words[segment];
    const unit = position & this.mask;
    let size = words[unit << 2] & ~ROW;
    this.#live[segment] -= size;
    const after = unit + size;
    if (after < this.#segmentUnits && (words[after << 2] & ROW) === 0) {
      const next = position + size;
      this.#unlink(next);
      size += words[after << 2];
      if (this.#hand === next) this.#hand = position;
    }
    this.#link(position, size);
  }

  /** Units of a cell. */
  units(position: number): number {
    return this.words[position >>> this.shift][(position & this.mask) << 2] & ~ROW;
  }

  /** Whether there is a row at a cell. */
  isRow(position: number): boolean {
    return (this.words[position >>> this.shift][(position & this.mask) << 2] & ROW) !== 0;
  }

  /** The next row under the hand that goes round through all cells; 0 when there is none. */
  nextRow(): number {
    const segments = this.words.length;
    if (segments === 0) return 0;
    // Twice round at most: the first may begin in the middle.
    for (let wraps = 0; wraps < 2;) {
      const segment = this.#hand >>> this.shift;
      if (segment >= segments || this.#live[segment] === 0) {
        if (segment + 1 < segments) this.#hand = this.firstCell(segment + 1);
        else {
          this.#hand = this.firstCell(0);
          wraps++;
        }
        continue;
      }
      const at = this.#hand === 0 ? this.firstCell(0) : this.#hand;
      const head = this.words[segment][(at & this.mask) << 2];
      this.#hand = at + (head & ~ROW);
      if ((this.#hand & this.mask) === 0 && this.#hand >>> this.shift >= segments) {
        this.#hand = this.firstCell(0);
        wraps++;
      }
      if ((head & ROW) !== 0) return at;
    }
    return 0;
  }

  /** The segment with the fewest bytes of rows. */
  sparsest(): number {
    let found = 0;
    for (let i = 1; i < this.#live.length; i++) if (this.#live[i] < this.#live[found]) found = i;
    return found;
  }

  /** Takes a segment's holes out of use, so that its rows can be moved elsewhere. */
  withdraw(segment: number): void {
    for (let at = this.firstCell(segment); at !== 0; at = this.cellAfter(at)) {
      if (!this.isRow(at)) this.#unlink(at);
    }
  }

  /** Makes a withdrawn segment one hole. */
  restore(segment: number): void {
    this.#live[segment] = 0;
    const first = this.firstCell(segment);
    if (this.#hand >>> this.shift === segment) this.#hand = first;
    this.#link(first, this.#segmentUnits - (first & this.mask));
  }

  /** A segment's first cell. */
  firstCell(segment: number): number {
    // Unit 0 of all is left out: position 0 means none.
    return segment === 0 ? 1 : segment * this.#segmentUnits;
  }

  /** The cell after one in its segment; 0 at the end. */
  cellAfter(position: number): number {
    const next = position + this.units(position);
    return (next & this.mask) === 0 ? 0 : next;
  }

  #addSegment(): void {
    const buffer = new ArrayBuffer(this.#segmentUnits << UNIT_SHIFT);
    this.words.push(new Uint32Array(buffer));
    this.bytes.push(new Uint8Array(buffer));
    this.#live.push(0);
    this.restore(this.words.length - 1);
  }

  #findHole(units: number): number {
    // Every hole of this class is large enough: holes are filed by their class rounded down.
    let at = classFor(units);
    let word = at >> 5;
    if (word >= this.#some.length) return 0;
    let bits = this.#some[word] & (-1 << (at & 31));
    while (bits === 0) {
      if (++word === this.#some.length) return 0;
      bits = this.#some[word];
    }
    at = (word << 5) + 31 - Math.clz32(bits & -bits);
    return this.#heads[at];
  }

  #link(position: number, units: number): void {
    const at = classOf(units);
    const head = this.#heads[at];
    const words = this.words[position >>> this.shift];
    const w = (position & this.mask) << 2;
    words[w] = units;
    words[w + 1] = head;
    words[w + 2] = 0;
    if (head !== 0) this.words[head >>> this.shift][((head & this.mask) << 2) + 2] = position;
    this.#heads[at] = position;
    this.#some[at >> 5] |= 1 << (at & 31);
  }

  #unlink(position: number): void {
    const words = this.words[position >>> this.shift];
    const w = (position & this.mask) << 2;
    const next = words[w + 1];
    const previous = words[w + 2];
    if (next !== 0) this.words[next >>> this.shift][((next & this.mask) << 2) + 2] = previous;
    if (previous !== 0) {
      this.words[previous >>> this.shift][((previous & this.mask) << 2) + 1] = next;
      return;
    }
    const at = classOf(words[w]);
    this.#heads[at] = next;
    if (next === 0) this.#some[at >> 5] &= ~(1 << (at & 31));
  }
}

/** The class that a hole is filed under: all in it have at least the class's size. */
function classOf(units: number): number {
  if (units < EXACT) return units;
  const log = 31 - Math.clz32(units);
  return EXACT + (log - 8) * PER_DOUBLING + ((units >>> (log - 3)) & (PER_DOUBLING - 1));
}

/** The first class whose holes all have room for `units`. */
function classFor(units: number): number {
  if (units < EXACT) return units;
  const log = 31 - Math.clz32(units);
  return classOf(units + (1 << (log - 3)) - 1);
}
