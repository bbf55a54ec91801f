/**
 * Watches: what is watched, and what a watcher is told.
 * @module
 */
import type { CausalContext } from "../../model/mod.ts";
import type { KeyState } from "./keys.ts";

/** What is watched: one key, or a range of them as {@link ScanInput} has it; nothing: all keys. */
export interface WatchInput {
  /** One key; not together with bounds. Empty: no key. */
  readonly key?: string;
  readonly prefix?: string;
  readonly start?: string;
  readonly end?: string;
  /** Where to go on: the token of an event of an earlier watch. Empty: begin now. */
  readonly token?: string;
  /** Begin with what the range holds now; again after each gap. */
  readonly initial?: boolean;
  /** `progress` comes after this long without events, ms: 100 to 3,600,000. Absent or 0: 10 s. */
  readonly progressMs?: number;
}

/** Something that a watcher is told. */
export interface WatchEvent {
  /**
   * `put`, `delete`: the key's state after a write. `initial`: what it held when the watch began.
   * `progress`: the watch has begun, or still stands; every change from here on comes. `gap`: changes were
   * missed, so what is known of the range is to be read again; the watch goes on behind the gap.
   */
  readonly type: "put" | "delete" | "initial" | "progress" | "gap";
  /** Empty for `progress` and `gap`. */
  readonly key: string;
  /** For `put` and `initial`. */
  readonly state: KeyState | undefined;
  /** Covers every version of the key. */
  readonly clock: CausalContext;
  /** Of the version that is shown, ms since 1970. */
  readonly timestampMs: number;
  /** When the value that is shown expires, ms since 1970, of which no event tells; 0: never. */
  readonly expiresAtMs: number;
  /** A later watch goes on behind this event. Empty where it cannot. */
  readonly token: string;
  /**
   * Of a gap: `unknown` (the token is of another life of the node, or of a history that was given up),
   * `expired` (older than what is kept), `overrun` (the watcher was too slow). Else empty.
   */
  readonly reason: string;
}
