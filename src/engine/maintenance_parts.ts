/**
 * The parts of an engine that flushes and compactions work on.
 * @module
 */
import type { PairError } from "../model/mod.ts";
import type { Runtime } from "../runtime/mod.ts";
import type { JobKind } from "./api.ts";
import { pendingBytes, type TableJob } from "./compaction/mod.ts";
import type { Files } from "./files.ts";
import type { MemoryOrders } from "./memory_budget.ts";
import type { Manifest } from "./manifest/mod.ts";
import type { EngineOptions } from "./options.ts";
import { type TableJobFields, tableJobFields, type WriteTimes } from "./table_jobs.ts";
import type { TableStore } from "./table_store.ts";
import type { TreeState } from "./tree.ts";
import type { Version } from "./version.ts";
import type { Log } from "./wal/mod.ts";

/** What maintenance is made with. */
export interface MaintenanceParts {
  readonly runtime: Runtime;
  readonly files: Files;
  readonly options: EngineOptions;
  readonly manifest: Manifest;
  readonly tables: TableStore;
  readonly trees: ReadonlyMap<number, TreeState>;
  /** The open log; undefined during recovery, which keeps its segments itself. */
  readonly log: () => Log | undefined;
  readonly lastSeq: () => number;
  /** Pinned sequences, ascending. */
  readonly snapshots: () => number[];
  /** Values that were dead by then may be dropped, ms since 1970. */
  readonly purgeBeforeMs: () => number;
  /** And nothing that was written after this sequence. */
  readonly purgeUpToSeq: () => number;
  /** The failure after which nothing is written any more. */
  readonly poisoned: () => Error | undefined;
  /** Looks at the use of memory, and makes the caches as large as they may be. */
  readonly lookAtMemory: () => MemoryOrders;
  /** Has readers give descriptors back: a job had none. */
  readonly relieveDescriptors: () => void;
  /** Removes a file that is not needed any more, in its own time. */
  readonly remove: (path: string) => void;
  /** Resolves when all that was to be removed so far is off the disk. */
  readonly removed: () => Promise<void>;
  /** Counts damage, and hands the error on. */
  readonly noted: (error: unknown) => unknown;
}

/** What the flusher tells, too. */
export interface FlushEvents extends MaintenanceEvents {
  /** A tree has new tables on level 0. */
  flushed(tree: TreeState): void;
}

/** What the flusher and the compactor tell whoever made them. */
export interface MaintenanceEvents {
  /** A flush or compaction has ended, well or not. */
  ended(): void;
  /** One has failed: it is to be tried again later. */
  failed(what: JobKind, tree: TreeState, error: unknown): void;
}

/** The fields that every job has, for `outputs` tables on a level whose entries were written within `times`. */
export function jobBase(
  parts: MaintenanceParts,
  tree: TreeState,
  outputs: number,
  level: number,
  times: WriteTimes,
): JobFields {
  const { files, options, runtime, manifest, snapshots } = parts;
  return {
    dir: files.treeDir(tree.dir),
    operator: tree.operator?.name ?? "",
    snapshots: snapshots(),
    ...tableJobFields(runtime, options, tree, level, outputs, times),
    firstOutput: manifest.nextFile(outputs),
    outputs,
  };
}

type JobFields =
  & Pick<TableJob, "dir" | "operator" | "snapshots" | "firstOutput" | "outputs">
  & TableJobFields;

/** Makes a version the tree's present one. */
export function install(tree: TreeState, next: Version, options: EngineOptions): void {
  const previous = tree.version;
  tree.version = next.acquire();
  tree.pendingBytes = pendingBytes(next.metas, tree.compaction(options.compaction));
  previous.release();
}

/** Whether an error says that bytes on disk are damaged. */
export function isDamage(error: PairError): boolean {
  return error.error === "ChecksumFailed" || error.error === "CorruptedData";
}
