/**
 * The core workloads of YCSB: what is asked for in which shares, and which keys are asked for how often.
 * @module
 */
/** What one step does. */
export type Step = "read" | "update" | "insert" | "modify";

/** A workload: shares of steps, and how keys are chosen. */
export interface Workload {
  readonly name: string;
  readonly shares: Readonly<Partial<Record<Step, number>>>;
  readonly keys: "zipfian" | "latest";
}

/** All but E, which scans. */
export const WORKLOADS: readonly Workload[] = [
  { name: "A (50 % update)", shares: { read: 0.5, update: 0.5 }, keys: "zipfian" },
  { name: "B (5 % update)", shares: { read: 0.95, update: 0.05 }, keys: "zipfian" },
  { name: "C (read only)", shares: { read: 1 }, keys: "zipfian" },
  { name: "D (5 % insert, latest)", shares: { read: 0.95, insert: 0.05 }, keys: "latest" },
  { name: "F (50 % read-modify-write)", shares: { read: 0.5, modify: 0.5 }, keys: "zipfian" },
];

const THETA = 0.99;

/** Chance that is the same in every run: mulberry32. */
export function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Numbers below `count`, the smaller the more often, by a power law (Gray et al., "Quickly generating
 * billion-record synthetic databases", SIGMOD 1994, as YCSB has it).
 */
function zipfian(count: number, random: () => number): () => number {
  let zeta = 0;
  for (let i = 1; i <= count; i++) zeta += 1 / i ** THETA;
  const zeta2 = 1 + 0.5 ** THETA;
  const alpha = 1 / (1 - THETA);
  const eta = (1 - (2 / count) ** (1 - THETA)) / (1 - zeta2 / zeta);
  return () => {
    const u = random();
    if (u * zeta < 1) return 0;
    if (u * zeta < zeta2) return 1;
    return Math.min(count - 1, Math.floor(count * (eta * u - eta + 1) ** alpha));
  };
}

/** The steps of one run. */
export class Steps {
  readonly #workload: Workload;
  readonly #random: () => number;
  readonly #rank: () => number;
  readonly #keys: number;
  #inserted: number;
  #answered: number;

  /** @param keys  keys that are stored; those that are inserted come behind them */
  constructor(workload: Workload, keys: number, seed: number) {
    this.#workload = workload;
    this.#random = chance(seed);
    this.#rank = zipfian(keys, this.#random);
    this.#keys = keys;
    this.#inserted = this.#answered = keys;
  }

  /** What is next, and about which key. */
  next(): { step: Step; key: number } {
    let left = this.#random();
    let step: Step = "read";
    for (const [name, share] of Object.entries(this.#workload.shares)) {
      step = name as Step;
      if ((left -= share) < 0) break;
    }
    if (step === "insert") return { step, key: this.#inserted++ };
    const rank = this.#rank();
    if (this.#workload.keys === "latest") {
      return { step, key: Math.max(0, this.#answered - 1 - rank) };
    }
    // Those that are asked for most are not neighbours.
    return { step, key: (Math.imul(rank, 0x9e3779b1) >>> 0) % this.#keys };
  }

  /** An insert was acknowledged. Inserts are acknowledged in about their order; one that is late may be read too early. */
  inserted(): void {
    this.#answered = Math.min(this.#inserted - MARGIN, this.#answered + 1);
  }
}

/** Inserts that may be on their way. */
const MARGIN = 256;
