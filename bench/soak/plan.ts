/**
 * What a soak does: its tenants, and when the node is killed and its disk filled, by the seed.
 * @module
 */
import type { TenantOptions } from "../../src/gen/pairdb/v1/tenant_pb.ts";
import { chance } from "../server/ycsb.ts";

/** What to run. */
export interface SoakOptions {
  readonly minutes: number;
  /** How often the node is killed. */
  readonly kills: number;
  readonly seed: number;
  /** Operations a second of all tenants together, at most. */
  readonly rate: number;
  /** Bytes of the node's file system. */
  readonly diskBytes: number;
}

/** One of the eight. */
export interface TenantPlan {
  readonly name: string;
  readonly options: Partial<Pick<TenantOptions, OptionName>>;
  /** Keys that are written singly. */
  readonly keys: number;
  /** Groups of {@link GROUP_KEYS} keys that are written together. */
  readonly groups: number;
  readonly valueBytes: readonly [least: number, most: number];
}

type OptionName =
  | "compactionStrategy"
  | "defaultTtlMs"
  | "timeWindowMs"
  | "compression"
  | "maxBytes"
  | "maxKeys"
  | "maxRequestsPerSecond"
  | "maxBytesPerSecond";

/** Keys of a group. */
export const GROUP_KEYS = 8;

/** Eight tenants, no two alike. @param rate  operations a second of all of them */
export function tenantPlans(rate: number): readonly TenantPlan[] {
  const usual = { keys: 3000, groups: 150, valueBytes: [100, 1000] } as const;
  return [
    { ...usual, name: "plain", options: {} },
    {
      ...usual,
      name: "tiered",
      options: { compactionStrategy: "size_tiered", compression: "lz4" },
    },
    {
      ...usual,
      name: "window",
      options: { compactionStrategy: "time_window", timeWindowMs: 30_000n, defaultTtlMs: 45_000n },
    },
    { ...usual, name: "hybrid", options: { compactionStrategy: "hybrid", compression: "zstd" } },
    // 3000 keys and 150 groups of eight, of which a tenth is deleted or has expired: quotas that are met.
    { ...usual, name: "few-keys", options: { maxKeys: 3500n, compression: "snappy" } },
    { ...usual, name: "few-bytes", options: { maxBytes: 1_400_000n, compression: "none" } },
    {
      ...usual,
      name: "few-requests",
      options: { maxRequestsPerSecond: BigInt(Math.ceil(rate / 8 * 1.5)) },
    },
    {
      name: "large-values",
      options: { compactionStrategy: "size_tiered", compression: "zstd" },
      keys: 300,
      groups: 20,
      valueBytes: [1000, 20_000],
    },
  ];
}

/** The ninth, which fills the disk. */
export const BALLAST = "ballast";

/** When the disk is filled, in seconds from the begin, and whether the node is killed when it is full. */
export interface DiskPhase {
  readonly at: number;
  readonly killed: boolean;
}

/** When what is done to the node, in seconds from the begin of the load. */
export interface Schedule {
  readonly seconds: number;
  readonly kills: readonly number[];
  readonly phases: readonly DiskPhase[];
  /** From here on nothing is done to it: a long life for leaks to show. */
  readonly quietFrom: number;
  /** How old a life is when its memory is compared with that of others. */
  readonly comparedAt: number;
}

/** A phase every so many seconds. */
const PHASE_EVERY = 750;

/** Spreads kills over four fifths of the time, each somewhere in the later half of its share. */
export function schedule({ minutes, kills, seed }: SoakOptions): Schedule {
  const random = chance(seed);
  const seconds = minutes * 60;
  const quietFrom = seconds * 0.8;
  const count = Math.max(1, Math.round(quietFrom / PHASE_EVERY));
  const phases = Array.from({ length: count }, (_, i) => ({
    at: quietFrom * (i + 0.3) / count,
    // Every other, but for the last: filling and emptying without a restart is asked for too.
    killed: i < count - 1 && i % 2 === 0 && kills > count,
  }));
  const single = kills - phases.filter(({ killed }) => killed).length;
  const share = quietFrom / Math.max(1, single);
  return {
    seconds,
    kills: Array.from({ length: single }, (_, i) => share * (i + 0.55 + 0.45 * random())),
    phases,
    quietFrom,
    comparedAt: Math.min(60, share / 2),
  };
}
