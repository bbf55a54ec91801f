/**
 * Log lines: one per event, as JSON for machines or as text for a terminal.
 *
 *     {"time":"2026-01-02T03:04:05.678Z","level":"info","event":"wal.rotated","segment":7}
 *     2026-01-02T03:04:05.678Z INFO  wal.rotated segment=7
 * @module
 */
import type { Clock } from "../clock.ts";
import type { Log, LogFields, LogLevel } from "../log.ts";

/** How to make a log. */
export interface LogOptions {
  /** The least grave level that is written. */
  readonly level: LogLevel;
  /** One JSON object a line, or words for a person. */
  readonly format: "json" | "console";
  /** Takes one whole line with its newline. What it throws reaches the caller that logged. */
  readonly write: (line: string) => void;
  /** Dates the lines. */
  readonly clock: Pick<Clock, "wallMs">;
}

const LEVELS: readonly LogLevel[] = ["debug", "info", "warn", "error"];

/**
 * A log that writes lines. A field named `stack` is written only when the level is `debug`: stacks
 * are for those who look for a bug. Fields that are undefined are left out.
 */
export function createLog(options: LogOptions): Log {
  const least = LEVELS.indexOf(options.level);
  const line = options.format === "json" ? jsonLine : consoleLine;
  const at = (level: LogLevel) => LEVELS.indexOf(level) < least ? () => {} : writer(level);
  const writer = (level: LogLevel) => (event: string, fields: LogFields = {}) => {
    const written = Object.entries(fields).filter(([name, value]) =>
      value !== undefined && (name !== "stack" || options.level === "debug")
    );
    const time = new Date(options.clock.wallMs()).toISOString();
    options.write(`${line(time, level, event, written)}\n`);
  };
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    debugs: least === 0,
  };
}

type Field = [name: string, value: LogFields[string]];

function jsonLine(time: string, level: LogLevel, event: string, fields: Field[]): string {
  const head = { time, level, event };
  // Twice: at first for its place in the line, at last so that no field can pass for it.
  return printable(JSON.stringify(Object.assign({}, head, Object.fromEntries(fields), head)));
}

function consoleLine(time: string, level: LogLevel, event: string, fields: Field[]): string {
  const words = [time, level.toUpperCase().padEnd(5), printable(event)];
  for (const [name, value] of fields) words.push(`${printable(name)}=${consoleValue(value)}`);
  return words.join(" ");
}

function consoleValue(value: LogFields[string]): string {
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  const text = typeof value === "string" ? value : (value ?? []).join(",");
  // Quoted when a reader could not tell where it ends.
  return printable(text === "" || /[\s"=]/.test(text) ? JSON.stringify(text) : text);
}

/** Control characters, line and direction marks would let a value forge lines or drive the terminal. */
function printable(text: string): string {
  return text.replace(
    // deno-lint-ignore no-control-regex -- finding control characters is the purpose
    /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
