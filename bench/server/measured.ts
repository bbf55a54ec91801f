/**
 * What a run has measured, by what was done and by whom; the rows of its report, and the floors that the
 * project has set itself.
 * @module
 */
import type { Row } from "../report.ts";
import type { Figure } from "./load.ts";

const UNITS = [
  ["rate", "ops/s"],
  ["p50", "us"],
  ["p99", "us"],
  ["p999", "us"],
  ["cpu", "us"],
] as const;

type What = typeof UNITS[number][0];

/** All figures of a run, round by round. */
export class Measured {
  readonly #figures = new Map<string, Map<string, Figure[]>>();

  /** Adds the figure of one round. */
  add(title: string, name: string, figure: Figure): void {
    let byName = this.#figures.get(title);
    if (byName === undefined) this.#figures.set(title, byName = new Map());
    byName.set(name, [...byName.get(name) ?? [], figure]);
  }

  /** The median over the rounds; undefined when it was not measured. */
  get(title: string, name: string, what: What): number | undefined {
    const values = (this.#figures.get(title)?.get(name) ?? [])
      .map((figure) => figure[what])
      .filter((value) => value !== undefined && !Number.isNaN(value))
      .sort((a, b) => a! - b!);
    return values[values.length >> 1];
  }

  /** All of it as rows. */
  rows(): Row[] {
    const rows: Row[] = [];
    for (const [title, byName] of this.#figures) {
      for (const [what, unit] of UNITS) {
        const peers: Record<string, number> = {};
        for (const name of byName.keys()) {
          const value = this.get(title, name, what);
          if (value !== undefined) peers[name] = value;
        }
        const { PairDB: pairdb, ...others } = peers;
        if (pairdb !== undefined) {
          rows.push({ name: `${title}: ${what}`, unit, pairdb, peers: others });
        }
      }
    }
    return rows;
  }
}

/** Who stands in for the lane that ours has replaced. */
export const REPLACED = "replaced";
/** Titles that floors are about. */
export const TITLES = {
  put: "Put, 100 B, 64 in flight",
  get: "Get, 100 B, 64 in flight",
  batch: "BatchPut of 100, 100 B, 64 in flight",
  pipeline: "BatchPut of 16, 100 B, 64 in flight",
  mixedWrites: "YCSB A (50 % update), writes",
  lane: "gRPC lane: Get, nothing synced",
} as const;

/** A ratio that has to be reached, or a time that must not be exceeded. */
interface Floor {
  readonly text: string;
  readonly least?: number;
  readonly most?: number;
  readonly of: (measured: Measured) => number | undefined;
}

function ratio(title: string, peer: string, what: What = "rate", peerTitle = title) {
  return (measured: Measured): number | undefined => {
    const ours = measured.get(title, "PairDB", what);
    const theirs = measured.get(peerTitle, peer, what);
    return ours === undefined || theirs === undefined ? undefined : ours / theirs;
  };
}

const FLOORS: readonly Floor[] = [
  { text: "durable Put to etcd's Put", least: 1.5, of: ratio(TITLES.put, "etcd") },
  { text: "durable Put to Redis SET (always)", least: 0.8, of: ratio(TITLES.put, "Redis") },
  { text: "Get to etcd's linearizable Range", least: 5, of: ratio(TITLES.get, "etcd") },
  { text: "Get to Redis GET", least: 0.8, of: ratio(TITLES.get, "Redis") },
  {
    text: "keys a second of durable batches of 100 to Redis SET pipelined by 16",
    least: 0.5,
    of: ratio(TITLES.batch, "Redis", "rate", TITLES.pipeline),
  },
  {
    text: "p99.9 of Put in YCSB A while compaction runs, in ms",
    most: 10,
    of: (measured) => {
      const us = measured.get(TITLES.mixedWrites, "PairDB", "p999");
      return us === undefined ? undefined : us / 1000;
    },
  },
  {
    text: "CPU of a Get by node:http2 and universal handlers to that by the gRPC lane",
    least: 8,
    of: (measured) => {
      const inverse = ratio(TITLES.lane, REPLACED, "cpu")(measured);
      return inverse === undefined ? undefined : 1 / inverse;
    },
  },
];

/** A line for each floor that could be measured. */
export function floors(measured: Measured): string[] {
  return FLOORS.flatMap(({ text, least, most, of }) => {
    const value = of(measured);
    if (value === undefined) return [];
    const isMet = value >= (least ?? -Infinity) && value <= (most ?? Infinity);
    const wanted = least === undefined ? `<= ${most}` : `>= ${least}`;
    return [`floor ${isMet ? "met" : "MISSED"}: ${text}: ${value.toFixed(2)} (${wanted})`];
  });
}
