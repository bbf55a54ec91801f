/**
 * Upkeep: compactions, caches, snapshots and work in the background.
 * @module
 */
import type { JobInfo, ScrubStatus } from "../../engine/mod.ts";

/** What of a tenant is compacted. */
export interface CompactInput {
  /** The first key, inclusive; empty: no bound. */
  readonly start?: string;
  /** The end, exclusive; empty: no bound. */
  readonly end?: string;
  /** Drop what is dead by now, without its grace. */
  readonly purge?: boolean;
}

/** Which of a tenant's keys: one, those with a prefix, or without either all. */
export interface CacheRange {
  /** 1 to 1024 bytes; empty or absent: not one. */
  readonly key?: string | undefined;
  /** Empty or absent: no bound. */
  readonly prefix?: string | undefined;
}

/** What became of a change to the caches. */
export interface CacheChange {
  /** Keys in the range that have a value. */
  readonly keys: number;
  /** `none`: no shared cache is configured; `done`; `failed`: it was not reached, or did not take all. */
  readonly shared: "none" | "done" | "failed";
}

/** A consistent copy of all of a node's data, in its data directory. */
export interface SnapshotInfo {
  /** Names it among the node's. */
  readonly name: string;
  /** Its directory. */
  readonly dir: string;
  /** The id of the node it was taken of. */
  readonly node: string;
  /** The last write that is in it. */
  readonly sequence: number;
  /** Wall time of that moment, ms since 1970. */
  readonly createdAtMs: number;
  /** How many files. */
  readonly files: number;
  /** Bytes of all files, those included that the store still shares. */
  readonly bytes: number;
  /** Why it cannot be used; undefined when nothing is known to be wrong with it. */
  readonly problem: string | undefined;
}

/** A snapshot that was just made, and what it took. */
export interface SnapshotMade extends SnapshotInfo {
  /** Files that share their bytes with the store. */
  readonly linked: number;
  /** Bytes that had to be copied, where the file system has no hard links. */
  readonly copiedBytes: number;
  /** Bytes that had to be read for their digest. */
  readonly digestedBytes: number;
  /** From the moment until the store was free to remove its old files again. */
  readonly pinnedMs: number;
  /** From the call to the answer. */
  readonly elapsedMs: number;
}

/** What is wrong with one file of a snapshot. */
export interface SnapshotProblem {
  /** Its path. */
  readonly file: string;
  /** What is wrong, for people. */
  readonly problem: string;
}

/** Work in the background. */
export interface NodeJob extends Omit<JobInfo, "tree"> {
  /** Undefined: all tenants. */
  readonly tenant: string | undefined;
  /** Bytes a second since its submission. */
  readonly rate: number;
  /** What is left at this rate, in ms; undefined when nobody knows. */
  readonly etaMs: number | undefined;
}

/** A table that the scrub has found damaged. */
export interface DamagedTable {
  readonly file: string;
  /** Empty when it was dropped meanwhile. */
  readonly tenant: string;
  /** What is wrong, for people. */
  readonly problem: string;
}

/** What a node does in the background. */
export interface NodeJobs {
  /** Those that are not over, then those that are, the newest first. */
  readonly jobs: readonly NodeJob[];
  /** When the quiet hours that it is are over, wall ms since 1970; undefined: it is none. */
  readonly quietUntilMs: number | undefined;
  readonly scrub: Omit<ScrubStatus, "damaged"> & { readonly damaged: readonly DamagedTable[] };
}
