/**
 * `pairdb scan TENANT`: prints keys and values in key order.
 * @module
 */
import type { ConsistencyLevel, ScanRow } from "../../client/mod.ts";
import { connect, type Shell } from "../shell.ts";
import { oneLine, valueOnOneLine } from "../text.ts";
import { foundFields } from "./get.ts";

/** Flags of `scan`. */
export interface ScanFlags {
  readonly prefix?: string;
  readonly start?: string;
  readonly end?: string;
  readonly limit?: number;
  readonly reverse?: boolean;
  readonly keysOnly?: boolean;
  readonly consistency?: ConsistencyLevel;
}

/** Prints a line for each key: key, tab, value, both escaped; or JSON. */
export async function scan(shell: Shell, tenant: string, flags: ScanFlags): Promise<number> {
  const db = await connect(shell);
  const format = shell.output === "json" ? jsonLine : textLine;
  for await (const row of db.scan(tenant, flags, { consistency: flags.consistency })) {
    shell.process.out(format(row, flags.keysOnly ?? false));
  }
  return 0;
}

function jsonLine({ key, expiresAtMs, ...found }: ScanRow, keysOnly: boolean): string {
  const fields = { key, ...foundFields(found), expires_at: expiresAtMs };
  return `${JSON.stringify(keysOnly ? { key } : fields)}\n`;
}

function textLine({ key, value, siblings }: ScanRow, keysOnly: boolean): string {
  if (keysOnly) return `${oneLine(key)}\n`;
  const shown = value === undefined ? "(deleted)" : valueOnOneLine(value);
  const note = siblings.length > 0 ? `\t(${siblings.length} concurrent versions)` : "";
  return `${oneLine(key)}\t${shown}${note}\n`;
}
