/**
 * `pairdb dump FILE`: shows a log segment, a table or a manifest to a human.
 * @module
 */
import { dumpFile, type DumpItem } from "../../engine/mod.ts";
import { denoDisk } from "../../runtime/mod.ts";
import { keyOf } from "../key_file.ts";
import type { Shell } from "../shell.ts";
import { oneLine } from "../text.ts";
import type { KeyFlags } from "./check.ts";

/** Prints a line for each item; before an error, all items in front of the damage. */
export function dump(shell: Shell, file: string, flags: KeyFlags = {}): number {
  const key = keyOf(shell.process, flags.keyFile);
  const format = shell.output === "json" ? JSON.stringify : describe;
  for (const item of dumpFile(denoDisk(), file, { key })) shell.process.out(`${format(item)}\n`);
  return 0;
}

function describe(item: DumpItem): string {
  return Object.entries(item)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) =>
      `${name}=${typeof value === "string" ? oneLine(value) : JSON.stringify(value)}`
    )
    .join("  ");
}
