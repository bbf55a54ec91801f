/**
 * `pairdb get TENANT KEY`: prints a value.
 * @module
 */
import {
  type ConsistencyLevel,
  encodeContext,
  type Found,
  PairError,
  type Version,
} from "../../client/mod.ts";
import { connect, print, type Shell } from "../shell.ts";
import { valueFields } from "../text.ts";

/** Flags of `get`. */
export interface GetFlags {
  /** Print exactly the value's bytes. */
  readonly raw?: boolean;
  readonly consistency?: ConsistencyLevel;
}

/** Prints a value: with a newline after it, or raw, or as JSON with all there is to know. */
export async function get(
  shell: Shell,
  tenant: string,
  key: string,
  flags: GetFlags,
): Promise<number> {
  const db = await connect(shell);
  const found = await db.get(tenant, key, { consistency: flags.consistency });
  if (found === undefined) throw new PairError("KeyNotFound", "the key has no value");
  if (shell.output === "json" && !flags.raw) print(shell, [], { key, ...foundFields(found) });
  else printValue(shell, found, flags.raw ?? false);
  if (found.siblings.length > 0) {
    shell.process.err(
      `note: the key has ${found.siblings.length} concurrent versions, and this is the latest; ` +
        "--output json shows them all, and a put with its context settles them\n",
    );
  }
  return 0;
}

function printValue(shell: Shell, found: Found, raw: boolean): void {
  if (found.value === undefined) {
    throw new PairError(
      "KeyNotFound",
      `the latest of the key's ${found.siblings.length} concurrent versions is a delete; ` +
        "--output json shows the others",
    );
  }
  shell.process.out(found.value);
  if (!raw) shell.process.out("\n");
}

/** What was found, as fields of JSON. Empty lists are left out. */
export function foundFields(found: Found): Record<string, unknown> {
  const siblings = found.siblings.map(versionFields);
  return { ...versionFields(found), ...(siblings.length > 0 && { siblings }) };
}

function versionFields({ value, context, timestampMs }: Version): Record<string, unknown> {
  return {
    ...(value === undefined ? { deleted: true } : valueFields(value)),
    context: encodeContext(context),
    timestamp: timestampMs,
  };
}
