/**
 * Migrations: what is moved to another node, and how far that is.
 * @module
 */
import type { TokenRange } from "../../model/mod.ts";
import type { RangeInput } from "./transfer.ts";

/** What is moved to another node, and where to. */
export interface MigrationInput extends RangeInput {
  /**
   * Names the migration, so that it can be asked for again: 1 to 64 letters, digits, dots, underscores and
   * hyphens. Absent or empty: a random one.
   */
  readonly id?: string;
  /** The address of the other node, `http://HOST:PORT` or `https://HOST:PORT`. */
  readonly target: string;
  /** Absent or empty: all tenants. */
  readonly tenant?: string;
}

/**
 * Where a migration is: what was there is being `copied`; what was written meanwhile is being `streamed`; both
 * sides are being compared, and what differs is sent again (`syncing`); or it is over.
 */
export type MigrationState = "copying" | "streaming" | "syncing" | "completed" | "failed";

/** What a migration has done, restarts of the node included. */
export interface MigrationCounts {
  /** Keys and bytes that were copied. */
  readonly keysCopied: number;
  readonly bytesCopied: number;
  /** The same of those that were written meanwhile: a key counts each time that it is sent. */
  readonly keysStreamed: number;
  readonly bytesStreamed: number;
  /** Parts of the range that were compared, and those that were sent again, and the keys of those. */
  readonly piecesCompared: number;
  readonly piecesResent: number;
  readonly keysResent: number;
  /** Times that all was compared again: too many keys to remember were written, or the target had other data. */
  readonly rescans: number;
  /** Times that something failed and was tried again. */
  readonly retries: number;
}

/** A migration, as it is now. */
export interface MigrationInfo extends MigrationCounts {
  readonly id: string;
  readonly target: string;
  /** Undefined: all tenants. */
  readonly tenant: string | undefined;
  /** The first key, inclusive; empty: no bound. */
  readonly start: string;
  /** The end, exclusive; empty: no bound. */
  readonly end: string;
  readonly tokens: TokenRange | undefined;
  readonly state: MigrationState;
  /** Whether the node takes no writes on its account. */
  readonly draining: boolean;
  /** Wall times, ms since 1970; 0 while it is not over. */
  readonly createdAtMs: number;
  readonly endedAtMs: number;
  /** Keys that were written and wait to be sent, as far as they are remembered. */
  readonly pendingKeys: number;
  /** While the last of them were sent, as many or more were written: it does not get nearer to its end. */
  readonly fallsBehind: boolean;
  /** Why it failed; while it runs, the failure that it tries to get over. Empty: none. */
  readonly error: string;
}

/** A drain, as it is now. */
export interface DrainInfo {
  /** Everything is at the target, compared by checksums: the node can go. */
  readonly drained: boolean;
  readonly migration: MigrationInfo;
}
