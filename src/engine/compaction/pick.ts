/**
 * What to compact next: a pure function of a tree's tables.
 *
 * Level 0 holds flushed tables, which may overlap; when there are too many, all of them and what they
 * overlap on level 1 become level 1. Each deeper level is one sorted run with a budget of bytes, ten
 * times that of the level above; when it is over, one of its tables moves down, in turn by key, merged
 * with what it overlaps (leveled compaction as in LevelDB).
 * @module
 */
import { compareBytes } from "../../model/mod.ts";
import type { TableMeta } from "../manifest/mod.ts";
import type { CompactionOptions } from "../options.ts";

/** The deepest level; it has no budget. */
export const MAX_LEVEL = 6;

/** A compaction to carry out. */
export interface CompactionPlan {
  /** Tables that it replaces. */
  readonly inputs: readonly TableMeta[];
  readonly outputLevel: number;
  /** No other table can hold an older entry of the inputs' keys. */
  readonly bottom: boolean;
  /** The one input only changes its level: nothing is rewritten. */
  readonly trivialMove: boolean;
}

/** Bytes that a level may hold. */
export function levelBudget(level: number, options: CompactionOptions): number {
  return level >= MAX_LEVEL ? Infinity : options.baseLevelSize * 10 ** (level - 1);
}

/** Target size of the tables that a compaction into `level` makes. */
export function targetSize(level: number, options: CompactionOptions): number {
  return options.targetTableSize * options.tableSizeMultiplier ** (level - 1);
}

/**
 * The most pressing compaction; undefined when every level is within its bounds.
 * @param levels    tables by level, level 0 newest first, the others by key
 * @param lastKeys  by level, the greatest key that was compacted last: the next table after it is taken
 */
export function pickCompaction(
  levels: readonly (readonly TableMeta[])[],
  lastKeys: ReadonlyMap<number, Uint8Array>,
  options: CompactionOptions,
): CompactionPlan | undefined {
  let worst = -1;
  let worstScore = 1;
  for (let level = 0; level < levels.length; level++) {
    const score = level === 0
      ? levels[0].length / options.l0Trigger
      : levelBytes(levels[level]) / levelBudget(level, options);
    if (score > worstScore || (score === 1 && worst < 0)) {
      worst = level;
      worstScore = score;
    }
  }
  if (worst < 0) return undefined;
  const chosen = worst === 0 ? levels[0] : [nextTable(levels[worst], lastKeys.get(worst))];
  return plan(levels, chosen, worst + 1);
}

/** The compaction that merges every table of a tree into one run; undefined when there is but one run. */
export function pickEverything(
  levels: readonly (readonly TableMeta[])[],
): CompactionPlan | undefined {
  const filled = levels.flatMap((tables, level) => (tables.length > 0 ? [level] : []));
  if (filled.length === 0 || (filled.length === 1 && filled[0] > 0)) return undefined;
  const outputLevel = Math.max(1, filled[filled.length - 1]);
  return { inputs: levels.flat(), outputLevel, bottom: true, trivialMove: false };
}

function plan(
  levels: readonly (readonly TableMeta[])[],
  chosen: readonly TableMeta[],
  outputLevel: number,
): CompactionPlan {
  const below = overlapping(levels[outputLevel] ?? [], chosen);
  const inputs = [...chosen, ...below];
  let bottom = true;
  for (let level = outputLevel + 1; level < levels.length; level++) {
    if (overlapping(levels[level], inputs).length > 0) bottom = false;
  }
  return {
    inputs,
    outputLevel,
    bottom,
    trivialMove: chosen.length === 1 && below.length === 0,
  };
}

/** Tables whose range meets the range that the others span. */
function overlapping(
  tables: readonly TableMeta[],
  others: readonly TableMeta[],
): readonly TableMeta[] {
  let smallest = others[0].properties.smallest;
  let largest = others[0].properties.largest;
  for (const { properties } of others) {
    if (compareBytes(properties.smallest, smallest) < 0) smallest = properties.smallest;
    if (compareBytes(properties.largest, largest) > 0) largest = properties.largest;
  }
  return tables.filter(({ properties }) =>
    compareBytes(properties.largest, smallest) >= 0 &&
    compareBytes(properties.smallest, largest) <= 0
  );
}

function nextTable(tables: readonly TableMeta[], lastKey: Uint8Array | undefined): TableMeta {
  return tables.find((table) =>
    lastKey !== undefined && compareBytes(table.properties.smallest, lastKey) > 0
  ) ?? tables[0];
}

function levelBytes(tables: readonly TableMeta[]): number {
  return tables.reduce((sum, table) => sum + table.size, 0);
}
