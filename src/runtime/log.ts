/**
 * Log: structured events. Keys and values of tenants are never logged at level info or above.
 * @module
 */

/** From chatty to grave. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/** Plain values that a log line can carry. */
export type LogFields = Readonly<
  Record<string, string | number | boolean | undefined | readonly string[]>
>;

/** Takes events. */
export interface Log {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
  /** False: debug events are dropped, so that hot paths need not put them together. Absent: perhaps. */
  readonly debugs?: boolean;
}

/** Drops everything: for tests and for programs that want silence. */
export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {}, debugs: false };
