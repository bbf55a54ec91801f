/**
 * A log that remembers, for tests.
 * @module
 */
import type { Log, LogFields, LogLevel } from "../log.ts";

/** One call of a {@link Log}. */
export interface LoggedEvent {
  /** The method. */
  readonly level: LogLevel;
  /** Its first argument. */
  readonly event: string;
  /** Its second; empty when there was none. */
  readonly fields: LogFields;
}

/** A log and what it was told. */
export interface MemoryLog extends Log {
  /** In the order of the calls; may be emptied. */
  readonly events: LoggedEvent[];
  /** The events of one name. */
  named(event: string): LoggedEvent[];
}

/** A log that keeps every event, of every level. Grows without bound. */
export function memoryLog(): MemoryLog {
  const events: LoggedEvent[] = [];
  const at = (level: LogLevel) => (event: string, fields: LogFields = {}) => {
    events.push({ level, event, fields });
  };
  return {
    events,
    named: (event) => events.filter((one) => one.event === event),
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
  };
}
