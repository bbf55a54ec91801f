/**
 * `pairdb merge-function register|list|remove`: functions of the application that merge concurrent values.
 * @module
 */
import type { MergeFunctionInfo } from "../../client/mod.ts";
import { PairError } from "../../model/mod.ts";
import { readAll } from "../input.ts";
import { connect, print, type Shell } from "../shell.ts";
import { table } from "../table.ts";
import { exactText } from "../text.ts";

/** Bytes of a file at most; what is too much for a node it says itself. */
const FILE_BYTES = 1024 * 1024;

/** Flags of `merge-function register`. */
export interface RegisterFlags {
  readonly sample?: readonly string[];
}

/** Registers the function in a file. */
export async function registerMergeFunction(
  shell: Shell,
  name: string,
  file: string,
  { sample = [] }: RegisterFlags,
): Promise<number> {
  const source = exactText(await readAll(shell.process, file, FILE_BYTES));
  if (source === undefined) {
    throw new PairError("InvalidArgument", `Cannot register ${file}: it is not UTF-8`);
  }
  const samples: Uint8Array[] = [];
  for (const path of sample) samples.push(await readAll(shell.process, path, FILE_BYTES));
  const db = await connect(shell);
  const made = await db.admin.registerMergeFunction(name, source, { samples });
  print(shell, `${made.name}: ${made.digest}`, fields(made));
  return 0;
}

/** Prints all functions. */
export async function listMergeFunctions(shell: Shell): Promise<number> {
  const db = await connect(shell);
  const functions = await db.admin.listMergeFunctions();
  const headings = ["name", "sha256", "bytes", "registered", "tenants"];
  const rows = functions.map((each) => [
    each.name,
    each.digest,
    `${each.bytes}`,
    new Date(each.registeredAtMs).toISOString(),
    `${each.tenants}`,
  ]);
  print(shell, functions.length > 0 ? table(shell.process, headings, rows) : [], {
    functions: functions.map(fields),
  });
  return 0;
}

/** Forgets a function. */
export async function removeMergeFunction(shell: Shell, name: string): Promise<number> {
  const db = await connect(shell);
  await db.admin.removeMergeFunction(name);
  print(shell, "OK", { name });
  return 0;
}

function fields({ registeredAtMs, ...each }: MergeFunctionInfo): Record<string, unknown> {
  return { ...each, registered_at: registeredAtMs };
}
