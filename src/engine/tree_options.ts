/**
 * A tree's own options: kept in the manifest as names and values in text, changed while the tree is in
 * use. What a tree does not say, the engine's options say.
 *
 *     strategy    leveled | size_tiered | time_window | hybrid
 *     window_ms   1 to 2^53 - 1
 *     ttl_ms      0 (for ever) to 2^53 - 1; the engine keeps it for the floors above and does not look at it
 *     compression none | lz4 | snappy | zstd
 *     cache_share 1 to 100, percent of each cache
 *     conflict_strategy   a name, 1 to 128 of a-z 0-9 _ - . : and at first a letter; as ttl_ms
 *     max_bytes, max_keys, max_requests, max_bandwidth    1 to 2^53 - 1; as ttl_ms, for the floors above
 *
 * A name that this program does not know is a newer one's: it is kept as it is, and ignored.
 * @module
 */
import { PairError } from "../model/mod.ts";
import type { TreeOptions } from "./api.ts";
import { COMPACTION_STRATEGIES, type CompactionOptions } from "./options.ts";
import { COMPRESSIONS, type LevelTableOptions } from "./sstable/mod.ts";

/** What the manifest keeps. */
export type StoredOptions = ReadonlyMap<string, string>;

/** No options. */
export const NO_OPTIONS: StoredOptions = Object.freeze(new Map<string, string>());

/** The names in the manifest: they never change. */
const NAMES = {
  strategy: "strategy",
  windowMs: "window_ms",
  ttlMs: "ttl_ms",
  compression: "compression",
  cacheShare: "cache_share",
  conflictStrategy: "conflict_strategy",
} as const;
/** The same of the limits. */
const LIMITS = {
  maxBytes: "max_bytes",
  maxKeys: "max_keys",
  maxRequests: "max_requests",
  maxBandwidth: "max_bandwidth",
} as const;
const CONFLICTS = /^[a-z][a-z0-9_.:-]{0,127}$/;
const LIMIT_FIELDS = Object.keys(LIMITS) as (keyof typeof LIMITS)[];

/**
 * Stored options with changes made.
 * @param changes  a field that is there and undefined goes back to the engine's own
 * @throws PairError InvalidArgument for a value that is none of its option
 */
export function changeOptions(stored: StoredOptions, changes: TreeOptions): StoredOptions {
  const changed = new Map(stored);
  const set = (name: string, value: string | number | undefined) => {
    if (value === undefined) changed.delete(name);
    else changed.set(name, String(value));
  };
  if ("strategy" in changes) set(NAMES.strategy, checkStrategy(changes.strategy));
  if ("windowMs" in changes) set(NAMES.windowMs, checkMs("windowMs", changes.windowMs, 1));
  if ("ttlMs" in changes) set(NAMES.ttlMs, checkMs("ttlMs", changes.ttlMs, 0));
  if ("compression" in changes) set(NAMES.compression, checkCompression(changes.compression));
  if ("cacheShare" in changes) set(NAMES.cacheShare, checkShare(changes.cacheShare));
  if ("conflictStrategy" in changes) {
    set(NAMES.conflictStrategy, checkConflicts(changes.conflictStrategy));
  }
  for (const field of LIMIT_FIELDS) {
    if (field in changes) set(LIMITS[field], checkLimit(field, changes[field]));
  }
  return changed;
}

/** What stored options say. @throws PairError CorruptedData for what {@link changeOptions} cannot have stored */
export function readOptions(stored: StoredOptions): TreeOptions {
  const options: { -readonly [K in keyof TreeOptions]: TreeOptions[K] } = {};
  const strategy = stored.get(NAMES.strategy);
  const windowMs = stored.get(NAMES.windowMs);
  const ttlMs = stored.get(NAMES.ttlMs);
  const compression = stored.get(NAMES.compression);
  const cacheShare = stored.get(NAMES.cacheShare);
  const conflictStrategy = stored.get(NAMES.conflictStrategy);
  try {
    if (strategy !== undefined) options.strategy = checkStrategy(strategy);
    if (windowMs !== undefined) options.windowMs = checkMs("windowMs", Number(windowMs), 1);
    if (ttlMs !== undefined) options.ttlMs = checkMs("ttlMs", Number(ttlMs), 0);
    if (compression !== undefined) options.compression = checkCompression(compression);
    if (cacheShare !== undefined) options.cacheShare = checkShare(Number(cacheShare));
    if (conflictStrategy !== undefined) options.conflictStrategy = checkConflicts(conflictStrategy);
    for (const field of LIMIT_FIELDS) {
      const limit = stored.get(LIMITS[field]);
      if (limit !== undefined) options[field] = checkLimit(field, Number(limit));
    }
  } catch (cause) {
    const reason = (cause as PairError).message;
    throw new PairError("CorruptedData", `Cannot read a tree's options: ${reason}`, {}, { cause });
  }
  return options;
}

/** How a tree's tables are made. */
export function tablesOf(
  engine: LevelTableOptions,
  { compression }: TreeOptions,
): LevelTableOptions {
  return compression === undefined ? engine : { ...engine, compression: [compression] };
}

/** How a tree is compacted. */
export function compactionOf(
  engine: CompactionOptions,
  { strategy, windowMs }: TreeOptions,
): CompactionOptions {
  if (strategy === undefined && windowMs === undefined) return engine;
  return {
    ...engine,
    strategy: strategy ?? engine.strategy,
    windowMs: windowMs ?? engine.windowMs,
  };
}

function checkStrategy(value: string | undefined): TreeOptions["strategy"] {
  return checkName("strategy", "the compaction strategy", COMPACTION_STRATEGIES, value);
}

function checkCompression(value: string | undefined): TreeOptions["compression"] {
  return checkName("compression", "the compression", COMPRESSIONS, value);
}

/** Which names there are is for the floors above to say. */
function checkConflicts(value: string | undefined): string | undefined {
  if (value === undefined || CONFLICTS.test(value)) return value;
  throw new PairError(
    "InvalidArgument",
    "Cannot set the conflict strategy: its name is 1 to 128 of a-z, 0-9, _, -, . and :",
    { option: "conflictStrategy" },
  );
}

function checkName<T extends string>(
  option: string,
  what: string,
  known: readonly T[],
  value: string | undefined,
): T | undefined {
  const found = known.find((name) => name === value);
  if (found === value) return found;
  throw new PairError(
    "InvalidArgument",
    `Cannot set ${what} to ${JSON.stringify(value)}: it is one of ${known.join(", ")}`,
    { option },
  );
}

function checkMs(option: string, value: number | undefined, min: number): number | undefined {
  if (value === undefined || (Number.isSafeInteger(value) && value >= min)) return value;
  throw new PairError(
    "InvalidArgument",
    `Cannot set ${option} to ${value}: it is an integer from ${min} to 2^53 - 1, in ms`,
    { option },
  );
}

function checkShare(value: number | undefined): number | undefined {
  if (value === undefined || (Number.isInteger(value) && value >= 1 && value <= 100)) return value;
  throw new PairError(
    "InvalidArgument",
    `Cannot set cacheShare to ${value}: it is an integer from 1 to 100, in percent`,
    { option: "cacheShare" },
  );
}

function checkLimit(option: string, value: number | undefined): number | undefined {
  if (value === undefined || (Number.isSafeInteger(value) && value >= 1)) return value;
  throw new PairError(
    "InvalidArgument",
    `Cannot set ${option} to ${value}: it is an integer from 1 to 2^53 - 1`,
    { option },
  );
}
