/**
 * `pairdb hot-keys`: the keys that are read or written most, hottest first.
 * @module
 */
import type { HotKey, KeyRate } from "../../client/mod.ts";
import { connect, print, type Shell } from "../shell.ts";
import { table } from "../table.ts";

/** Flags of `hot-keys`. */
export interface HotKeysFlags {
  readonly limit: number;
}

const HEADINGS = ["tenant", "key", "reads/s", "writes/s"];

/** Prints them. @param tenant  of one alone; undefined: of all */
export async function hotKeys(
  shell: Shell,
  tenant: string | undefined,
  { limit }: HotKeysFlags,
): Promise<number> {
  const db = await connect(shell);
  const keys = await db.admin.hotKeys({ tenant, limit });
  const lines = shell.output === "json" ? [] : table(shell.process, HEADINGS, keys.map(toRow));
  print(shell, lines, keys.map(toFields));
  return 0;
}

function toRow({ tenant, key, reads, writes }: HotKey): string[] {
  return [tenant, key, rate(reads), rate(writes)];
}

/** `120 ± 8`; where nothing can be said but how much it is at most, `< 8`. */
function rate({ perSecond, error }: KeyRate): string {
  if (perSecond === 0) return error === 0 ? "0" : `< ${round(error)}`;
  return error === 0 ? round(perSecond) : `${round(perSecond)} ± ${round(error)}`;
}

function round(perSecond: number): string {
  return perSecond.toFixed(perSecond < 10 ? 2 : 0);
}

function toFields({ tenant, key, reads, writes }: HotKey): Record<string, unknown> {
  return {
    tenant,
    key,
    reads_per_second: reads.perSecond,
    reads_error: reads.error,
    writes_per_second: writes.perSecond,
    writes_error: writes.error,
  };
}
