/**
 * What a table's properties say of time: when its entries were written, and how many of them are dead.
 * @module
 */
import type { TableMeta } from "../manifest/mod.ts";

/** The part of a table's entries that has to be dead for it to be worth rewriting. */
const DEAD_SHARE = 1 / 4;

/** The wall time of the newest write in a table, ms since 1970. */
export function maxTimeOf({ properties }: TableMeta): number {
  return properties.maxTimeMs || properties.createdAtMs;
}

/** Whether all that dies in a table was dead by then, and that is a good part of it. */
export function isWorthPurging({ properties }: TableMeta, purgeBeforeMs: number): boolean {
  const { mortal, lastDeathMs, entries } = properties;
  return lastDeathMs > 0 && lastDeathMs <= purgeBeforeMs && mortal >= DEAD_SHARE * entries;
}

/** Whether anything in a table dies some day. Of one of format 1, which counts no raw bytes, nobody knows. */
export function mayHoldDead({ properties }: TableMeta): boolean {
  return properties.mortal !== 0 || properties.rawBytes === 0;
}
