/**
 * `pairdb watch TENANT`: prints what comes of keys, a line for each event, until it is interrupted.
 *
 *     put       cart/42   2 apples
 *     delete    cart/42
 *     gap       overrun
 * @module
 */
import type { WatchEvent } from "../../client/mod.ts";
import { connect, type Shell, UsageError } from "../shell.ts";
import { oneLine, valueOnOneLine } from "../text.ts";
import { foundFields } from "./get.ts";

/** Flags of `watch`. */
export interface WatchFlags {
  readonly prefix?: string;
  readonly start?: string;
  readonly end?: string;
  readonly initial?: boolean;
  readonly keysOnly?: boolean;
  readonly resume?: string;
  readonly limit?: number;
}

/** The width of the longest type. */
const TYPE_WIDTH = "progress".length;

/** Prints events as lines of text without `progress`, or all of them as JSON; ends after `limit` lines. */
export async function watch(
  shell: Shell,
  tenant: string,
  key: string | undefined,
  flags: WatchFlags,
): Promise<number> {
  const { prefix, start, end, initial, keysOnly, resume, limit = Infinity } = flags;
  if (key !== undefined && (prefix ?? start ?? end) !== undefined) {
    throw new UsageError("a key cannot be watched together with --prefix, --start or --end");
  }
  const db = await connect(shell);
  const format = shell.output === "json" ? jsonLine : textLine;
  let printed = 0;
  const range = { key, prefix, start, end, initial, keysOnly, token: resume };
  for await (const event of db.watch(tenant, range)) {
    const line = format(event, keysOnly ?? false);
    if (line === "") continue;
    shell.process.out(line);
    if (++printed >= limit) break;
  }
  return 0;
}

function jsonLine(event: WatchEvent, keysOnly: boolean): string {
  const { type, token } = event;
  const resume = token === "" ? {} : { resume_token: token };
  if (!("key" in event)) {
    const reason = event.reason === "" ? {} : { reason: event.reason };
    return `${JSON.stringify({ type, ...reason, ...resume })}\n`;
  }
  const { key, expiresAtMs } = event;
  const found = keysOnly ? {} : foundFields(event);
  const expiry = expiresAtMs === 0 ? {} : { expires_at: expiresAtMs };
  return `${JSON.stringify({ type, key, ...found, ...expiry, ...resume })}\n`;
}

function textLine(event: WatchEvent, keysOnly: boolean): string {
  if (event.type === "progress") return "";
  const type = event.type.padEnd(TYPE_WIDTH);
  if (!("key" in event)) return `${type}\t${oneLine(event.reason)}\n`;
  const { key, value, siblings } = event;
  const shown = value === undefined || keysOnly ? "" : `\t${valueOnOneLine(value)}`;
  const note = siblings.length > 0 ? `\t(${siblings.length} concurrent versions)` : "";
  return `${type}\t${oneLine(key)}${shown}${note}\n`;
}
