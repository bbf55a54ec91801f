/**
 * Keys and values: what reads and writes of them take and give.
 * @module
 */
import type { CausalContext, Key } from "../../model/mod.ts";

/** One version of a key, as reads return it. */
export interface VersionView {
  /** Undefined when this version is a delete. */
  readonly value: Uint8Array | undefined;
  /** All that the version has seen, itself included. */
  readonly clock: CausalContext;
  /** Wall time at the node that took the write, ms since 1970. */
  readonly timestampMs: number;
  /** Wall time from which on it reads as a delete, ms since 1970; absent: never. */
  readonly expiresAtMs?: number;
}

/** A key's state at one moment, with at least one live value. */
export interface KeyState {
  /** The one to show when only one can be: the latest value by timestamp, then by clock; never a delete. */
  readonly winner: VersionView;
  /** Every concurrent version, the winner first. Of length 1 when there is no conflict. */
  readonly versions: readonly VersionView[];
  /** Covers every version. */
  readonly clock: CausalContext;
}

/** What a point read found, and where. */
export interface ReadResult extends KeyState {
  /** The layer that held the key. */
  readonly source: "cache" | "memtable" | "sstable";
}

/** A write that a client asks for. */
export interface PutInput {
  /** 1 to 1024 bytes of UTF-8 without control characters. */
  readonly key: Key;
  /** At most 10 MiB; may be empty. Undefined is refused (1000): callers pass on what they got. */
  readonly value: Uint8Array | undefined;
  /**
   * The causal context, as an answer gave it; absent: overwrite what this node sees.
   * @throws PairError InvalidArgument (1000) with the detail `reason: context_seal` when its seal is of
   *   another tenant, key or clock
   */
  readonly context?: CausalContext | undefined;
  /**
   * Store only if the key's context is exactly `context`, or without one, if the key has no value.
   * @throws ContextMismatch otherwise
   */
  readonly ifContext?: boolean | undefined;
  /** Milliseconds to live; 0: for ever; absent: as long as the tenant's default says, or for ever. */
  readonly ttlMs?: number | undefined;
}

/** What a client asks of a write as a whole. */
export interface WriteOptions {
  /**
   * Applies the write once: the same write with the same key gets the same answer, for as long as it is
   * remembered. 16 to 64 bytes of UTF-8 without control characters.
   * @throws PairError InvalidArgument (1000) with the detail `reason: idempotency_key_reused` when it came
   *   with another write
   */
  readonly idempotencyKey?: string | undefined;
}

/** A delete that a client asks for. */
export type DeleteInput = Pick<PutInput, "key" | "context" | "ifContext">;

/** For a batch. */
export interface BatchPutOptions extends WriteOptions {
  /** Leave a key alone when its one version has this value already, and neither has a TTL. */
  readonly skipUnchanged?: boolean | undefined;
}

/** Who waits for a write, and may stop waiting before it is done. */
export interface WriteWatch {
  /** Nobody waits any more: a write that the log does not have yet is refused (2001). */
  readonly gone: boolean;
  /**
   * Called when the log gets the write: from here on it finishes, whoever waits, unless the log fails, and
   * then nobody knows. A write that fails without this call has changed nothing.
   */
  handedOver(): void;
}

/** What a write did. */
export interface WriteResult {
  /** The context for the next write of the key. */
  readonly clock: CausalContext;
  /** The version's stamp, ms since 1970. */
  readonly timestampMs: number;
}

/** Bounds of a scan, which need not be keys: any well-formed text of at most 1024 bytes. Empty: no bound. */
export interface ScanInput {
  /** Keys that begin with this; may be combined with the others. */
  readonly prefix?: string;
  /** The first key, inclusive. */
  readonly start?: string;
  /** The end, exclusive. */
  readonly end?: string;
  /** Entries at most; absent or 0: all. */
  readonly limit?: number;
  /** From the last key of the range to the first. */
  readonly reverse?: boolean;
}

/** One live key of a scan. A scan merges all layers, so its items have no one source. */
export interface ScanItem {
  /** The key as text. */
  readonly key: string;
  /** What it holds. */
  readonly result: KeyState;
}

/**
 * An iteration over a scan's items. A `for` loop takes each as soon as it can, and blocks where the disk is
 * slow; those who can wait await `ready` before each step.
 */
export interface Scan extends Iterable<ScanItem> {
  next(): IteratorResult<ScanItem>;
  /** A promise to await first when the next item has to come from a slow disk. Never rejects. */
  ready(): Promise<void> | undefined;
  /** Ends the iteration; later steps give nothing. */
  return(): IteratorResult<ScanItem>;
}
