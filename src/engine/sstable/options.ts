/**
 * Table options: what may be chosen about a table, and what is refused.
 * @module
 */
import { PairError } from "../../model/mod.ts";
import { type Compression, COMPRESSIONS } from "./codec/mod.ts";

/** How one table is made. */
export interface TableOptions {
  /** Data blocks are ended at this many bytes, uncompressed. */
  readonly blockSize: number;
  /** The share of absent keys that the filter lets through. */
  readonly falsePositives: number;
  /** How sections are compressed; one that saves less than an eighth is stored as it is. */
  readonly compression: Compression;
  /**
   * Index and filter stay whole, and in memory while the table is open, up to 64 times this many bytes together;
   * beyond that they are cut into partitions of about this many, which the block cache keeps like data blocks.
   */
  readonly partitionSize: number;
}

/** How the tables of a tree are made: as {@link TableOptions}, with what depends on the level by level. */
export interface LevelTableOptions extends Omit<TableOptions, "compression"> {
  /** By level from 0; the last one holds for all deeper levels. */
  readonly compression: readonly Compression[];
}

/** Whole index and filter may be this many times as large as a partition. */
export const PARTITIONS_MIN = 64;

/** The options of the tables on one level. */
export function tableOptionsFor(level: number, options: LevelTableOptions): TableOptions {
  const { compression } = options;
  return { ...options, compression: compression[Math.min(level, compression.length - 1)] };
}

/**
 * Demands that options lie in their ranges.
 * @throws PairError InvalidArgument that names the first option that does not
 */
export function checkTableOptions(options: LevelTableOptions): void {
  const { blockSize, falsePositives, compression, partitionSize } = options;
  integer("table.blockSize", blockSize, 64, 65536);
  integer("table.partitionSize", partitionSize, 1, 1 << 20);
  if (!(falsePositives >= 0.0001 && falsePositives <= 0.5)) {
    throw refused("table.falsePositives", falsePositives, "a number from 0.0001 to 0.5");
  }
  const known: readonly unknown[] = COMPRESSIONS;
  if (compression.length === 0 || !compression.every((name) => known.includes(name))) {
    const list = `a list of at least one of ${COMPRESSIONS.join(", ")}`;
    throw refused("table.compression", `[${compression.join(", ")}]`, list);
  }
}

function integer(option: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw refused(option, value, `an integer from ${least} to ${most}`);
}

function refused(option: string, value: number | string, range: string): PairError {
  return new PairError("InvalidArgument", `${option} is ${value}: it must be ${range}`, {
    option,
  });
}
