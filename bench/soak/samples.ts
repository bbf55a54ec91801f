/**
 * What is looked at every few seconds, and whether memory and descriptors stay flat.
 * @module
 */
import type { Counts } from "./counts.ts";
import type { Link, SoakNode } from "./node.ts";

/** Times of one sample, in ms; 0: there were none. */
export interface SampleTimes {
  readonly rate: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
}

/** One look. */
export interface Sample {
  /** Seconds from the begin of the load. */
  readonly at: number;
  readonly life: number;
  /** Seconds since the life was ready. */
  readonly age: number;
  readonly reads: SampleTimes;
  readonly writes: SampleTimes;
  /** Of the node's process, from here on 0 while there is none. MiB: */
  readonly rss: number;
  readonly heap: number;
  readonly external: number;
  readonly descriptors: number;
  readonly threads: number;
  /** Share of the disk in use, in percent. */
  readonly disk: number;
  readonly tablesPerLevel: readonly number[];
  /** This process's own, MiB. */
  readonly ownRss: number;
}

const MIB = 2 ** 20;

/** Takes samples. */
export class Sampler {
  readonly samples: Sample[] = [];
  #lastMs = performance.now();

  constructor(
    private readonly node: SoakNode,
    private readonly counts: Counts,
    private readonly seconds: () => number,
  ) {}

  /** Takes one. Never rejects for what a kill cuts off. */
  async take(): Promise<Sample> {
    const now = performance.now();
    const spent = (now - this.#lastMs) / 1000;
    this.#lastMs = now;
    const { reads, writes } = this.counts.take();
    const times = (of: typeof reads): SampleTimes => ({
      rate: round(of.count / spent),
      p50: round(of.at(0.5) / 1000),
      p99: round(of.at(0.99) / 1000),
      p999: round(of.at(0.999) / 1000),
    });
    const { now: link } = this.node;
    const sample: Sample = {
      at: round(this.seconds()),
      life: this.node.life,
      age: link === undefined ? 0 : round((now - link.startedMs) / 1000),
      reads: times(reads),
      writes: times(writes),
      ...(link && await look(link).catch((error) => {
            if (link.isOver) return undefined;
            throw error;
          }) || NOTHING),
      ownRss: round(Deno.memoryUsage().rss / MIB),
    };
    this.samples.push(sample);
    return sample;
  }
}

const NOTHING = {
  rss: 0,
  heap: 0,
  external: 0,
  descriptors: 0,
  threads: 0,
  disk: 0,
  tablesPerLevel: [],
};

async function look({ pid, url, admin }: Link) {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  const field = (name: string) =>
    Number(new RegExp(`^${name}:\\s*(\\d+)`, "m").exec(status)?.[1] ?? 0);
  let descriptors = 0;
  for await (const _ of Deno.readDir(`/proc/${pid}/fd`)) descriptors++;
  const metrics = await (await fetch(`${url}/metrics`)).text();
  const metric = (name: string) =>
    Number(new RegExp(`^${name} (\\S+)$`, "m").exec(metrics)?.[1] ?? 0);
  const { diskTotalBytes, diskFreeBytes, tablesPerLevel } = await admin.status({});
  return {
    rss: round(field("VmRSS") / 1024),
    heap: round(metric("pairdb_heap_bytes") / MIB),
    external: round(metric("pairdb_external_bytes") / MIB),
    descriptors,
    threads: field("Threads"),
    disk: round(100 * (1 - Number(diskFreeBytes) / Number(diskTotalBytes))),
    tablesPerLevel,
  };
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

/** Whether one figure stays flat: medians of the first and of the last third of what is compared. */
export interface Flatness {
  readonly what: string;
  readonly unit: string;
  readonly first: number;
  readonly last: number;
  /** What the last may be. */
  readonly most: number;
  /** How many were compared. */
  readonly count: number;
  readonly isFlat: boolean;
}

/** How much more the last third may have: a share, and so much besides. */
const FIGURES = [
  { name: "rss", unit: "MiB", share: 0.15, more: 24 },
  { name: "heap", unit: "MiB", share: 0.25, more: 16 },
  { name: "external", unit: "MiB", share: 0.25, more: 16 },
  { name: "descriptors", unit: "", share: 0.1, more: 24 },
  // The runtime starts some for calls that block, and ends them when they are idle.
  { name: "threads", unit: "", share: 0, more: 16 },
] as const;
const LEAST = 6;

/**
 * Compares lives of the same age with one another, and the last life with itself.
 * @param comparedAt  the age, s
 * @param quietFrom   from when on the last life is left alone, s
 */
export function flatness(
  samples: readonly Sample[],
  comparedAt: number,
  quietFrom: number,
): Flatness[] {
  const looked = samples.filter(({ rss }) => rss > 0);
  const ofLives = new Map<number, Sample>();
  for (const sample of looked) {
    if (sample.age >= comparedAt && !ofLives.has(sample.life)) ofLives.set(sample.life, sample);
  }
  const lastLife = looked.at(-1)?.life;
  const quiet = looked.filter(({ at, life, age }) =>
    life === lastLife && at >= quietFrom && age >= comparedAt
  );
  return [
    ...compared(`${comparedAt.toFixed(0)} s after each start`, [...ofLives.values()]),
    ...compared("in the last life", quiet),
  ];
}

function compared(when: string, samples: readonly Sample[]): Flatness[] {
  const third = Math.floor(samples.length / 3);
  if (samples.length < LEAST) return [];
  return FIGURES.map(({ name, unit, share, more }) => {
    const [first, last] = [samples.slice(0, third), samples.slice(-third)]
      .map((some) => median(some.map((sample) => sample[name])));
    const most = round(first * (1 + share) + more);
    const what = `${name} ${when}`;
    return { what, unit, first, last, most, count: samples.length, isFlat: last <= most };
  });
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}
