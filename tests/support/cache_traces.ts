/**
 * Traces of row numbers that tell cache policies apart.
 * @module
 */
import { SimRandom } from "../../src/runtime/mod.ts";

/** A trace: which rows are asked for, one after the other. */
export type Trace = Uint32Array;

/** Draws ranks with the probability 1 / rank^skew (Gray et al. 1994, as YCSB does it), each rank some row. */
export class Zipf {
  readonly #random: SimRandom;
  readonly #theta: number;
  readonly #zeta: number;
  readonly #eta: number;
  readonly #alpha: number;

  constructor(readonly rows: number, skew: number, random: SimRandom) {
    this.#random = random;
    this.#theta = skew;
    let zeta = 0;
    for (let i = 1; i <= rows; i++) zeta += 1 / i ** skew;
    this.#zeta = zeta;
    this.#alpha = 1 / (1 - skew);
    this.#eta = (1 - (2 / rows) ** (1 - skew)) / (1 - (1 + 0.5 ** skew) / zeta);
  }

  /** A rank, from 0, the most frequent. */
  next(): number {
    const u = this.#random.u32() / 2 ** 32;
    const uz = u * this.#zeta;
    if (uz < 1) return 0;
    if (uz < 1 + 0.5 ** this.#theta) return 1;
    return Math.floor(this.rows * (this.#eta * u - this.#eta + 1) ** this.#alpha);
  }
}

/** A trace by name: `length` accesses to about `rows` rows. */
export interface NamedTrace {
  readonly name: string;
  readonly make: (rows: number, length: number) => Trace;
}

function from(length: number, next: (i: number) => number): Trace {
  const trace = new Uint32Array(length);
  for (let i = 0; i < length; i++) trace[i] = next(i);
  return trace;
}

/** The traces. */
export const TRACES: readonly NamedTrace[] = [
  {
    name: "zipf 0.99",
    make(rows, length) {
      const zipf = new Zipf(rows, 0.99, new SimRandom(1));
      return from(length, () => zipf.next());
    },
  },
  {
    name: "zipf 0.7",
    make(rows, length) {
      const zipf = new Zipf(rows, 0.7, new SimRandom(2));
      return from(length, () => zipf.next());
    },
  },
  {
    name: "zipf + scans",
    make(rows, length) {
      const zipf = new Zipf(rows, 0.99, new SimRandom(3));
      // Each tenth of the trace ends with a scan of as many rows as there are, each once.
      let scanned = rows;
      return from(length, (i) => i % (length / 10) < length / 15 ? zipf.next() : scanned++);
    },
  },
  {
    name: "loop",
    make: (rows, length) => from(length, (i) => i % (rows >> 2)),
  },
  {
    name: "zipf + loop",
    make(rows, length) {
      const zipf = new Zipf(rows, 0.99, new SimRandom(4));
      return from(length, (i) => i % 2 === 0 ? zipf.next() : rows + (i >> 1) % (rows >> 2));
    },
  },
  {
    name: "hotspot shifts",
    make(rows, length) {
      const random = new SimRandom(5);
      const shift = Math.floor(length / 20);
      const hot = Math.max(1, Math.floor(rows / 50));
      // Nine in ten accesses go to one fiftieth of the rows; which, changes twenty times.
      return from(
        length,
        (i) =>
          random.below(10) === 0
            ? random.below(rows)
            : (Math.floor(i / shift) * hot * 3 + random.below(hot)) % rows,
      );
    },
  },
  {
    name: "zipf drifts",
    make(rows, length) {
      const zipf = new Zipf(rows, 0.99, new SimRandom(6));
      // The ranks move on by one row every few accesses: what was hot cools down.
      return from(length, (i) => (zipf.next() + Math.floor(i / 50)) % (rows * 4));
    },
  },
  {
    name: "newest most",
    make(rows, length) {
      const zipf = new Zipf(rows, 0.99, new SimRandom(7));
      // A feed: new rows come all the time, and the newer a row the more it is read.
      return from(length, (i) => rows + (i >> 2) - zipf.next());
    },
  },
];

/** Hits in a trace, as a share, after a warm-up of a fifth of it. */
export function hitRatio(policy: { access(row: number): boolean }, trace: Trace): number {
  const warm = Math.floor(trace.length / 5);
  let hits = 0;
  for (let i = 0; i < trace.length; i++) {
    const hit = policy.access(trace[i]);
    if (hit && i >= warm) hits++;
  }
  return hits / (trace.length - warm);
}
