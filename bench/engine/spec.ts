/**
 * What the parts of the engine bench say to each other.
 * @module
 */

/** A set of data, and how much memory the stores get for it. Bytes. */
export interface DataSet {
  readonly name: string;
  /** Keys. */
  readonly count: number;
  /** Operations of the reading rows, and of `overwrite`. */
  readonly reads: number;
  /** Operations of each `fillsync` row. */
  readonly syncs: number;
  readonly valueBytes: number;
  readonly memtable: number;
  readonly cache: number;
  /** Target size of a table; absent: the store's own. */
  readonly table?: number;
}

/** Rows that run on one store, one after the other. */
export type Group = "seq" | "random" | "sync" | "reopen";

/** The one argument of a store's process. */
export interface Spec {
  readonly group: Group;
  /** Group `reopen` takes two processes: `leave` fills a store, `return` opens it again. */
  readonly step?: "leave" | "return";
  /** Step `leave`: make tables of everything, or leave it in the log and die. */
  readonly settle?: boolean;
  /** An empty directory. */
  readonly dir: string;
  readonly set: DataSet;
}

/** What one row came to. Times in microseconds, but for the worst turn. */
export interface Figure {
  /** Operations a second. */
  readonly rate: number;
  readonly p50?: number;
  readonly p99?: number;
  readonly p999?: number;
  /** The longest turn of the event loop, ms; stores in JavaScript only. */
  readonly worstTurnMs?: number;
}

/** What one store's process came to. */
export interface Outcome {
  readonly figures: Readonly<Record<string, Figure>>;
  /** Peak resident memory of the process, bytes. */
  readonly peakBytes: number;
  /** Bytes of the store's files once it has settled. */
  readonly diskBytes: number;
  /** Bytes of tables written for each byte of keys and values. */
  readonly writeAmplification?: number;
  /** Step `return`: how long the store took to open, ms. */
  readonly reopenMs?: number;
  /** Data blocks read from files for each read, over the rows that read. */
  readonly blocksPerRead?: number;
}
