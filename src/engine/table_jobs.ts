/**
 * What a table job is told about the tables that it makes: their options by level, the times of their
 * entries, and, where the store is encrypted, what they are sealed with.
 * @module
 */
import type { Runtime } from "../runtime/mod.ts";
import type { Tree } from "./api.ts";
import type { JobBase } from "./compaction/mod.ts";
import type { TableMeta } from "./manifest/mod.ts";
import type { Memtable } from "./memtable/mod.ts";
import type { EngineOptions } from "./options.ts";
import { SALT_SIZE, tableOptionsFor } from "./sstable/mod.ts";
import { tablesOf } from "./tree_options.ts";

/** The fields of a job that are about its tables. */
export type TableJobFields = Pick<
  JobBase,
  "table" | "seal" | "nowMs" | "minTimeMs" | "maxTimeMs"
>;

/** The fields of a job for `outputs` tables of a tree on a level, whose entries were written within `times`. */
export function tableJobFields(
  runtime: Runtime,
  options: EngineOptions,
  { id: tree, options: own }: Pick<Tree, "id" | "options">,
  level: number,
  outputs: number,
  times: WriteTimes,
): TableJobFields {
  const key = options.encryption?.key;
  const salts = Array.from(
    { length: key === undefined ? 0 : outputs },
    () => runtime.random.bytes(SALT_SIZE),
  );
  return {
    table: tableOptionsFor(level, tablesOf(options.table, own)),
    seal: key === undefined ? undefined : { key, tree, salts },
    nowMs: runtime.clock.wallMs(),
    ...times,
  };
}

/** Bounds of when entries were written, wall time in ms. */
export interface WriteTimes {
  readonly minTimeMs: number;
  readonly maxTimeMs: number;
}

/** The times of a frozen memtable's entries. A clock that was set back turns the bounds round. */
export function memtableTimes({ sinceMs, untilMs }: Memtable): WriteTimes {
  return { minTimeMs: Math.min(sinceMs, untilMs), maxTimeMs: Math.max(sinceMs, untilMs) };
}

/** The times of the entries of at least one table. */
export function tableTimes(inputs: readonly TableMeta[]): WriteTimes {
  return {
    minTimeMs: Math.min(...inputs.map(({ properties }) => properties.minTimeMs)),
    maxTimeMs: Math.max(...inputs.map(({ properties }) => properties.maxTimeMs)),
  };
}
