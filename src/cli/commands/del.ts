/**
 * `pairdb del TENANT KEY`: deletes a key.
 * @module
 */
import { type ConsistencyLevel, encodeContext } from "../../client/mod.ts";
import { conditionOf } from "../context.ts";
import { connect, print, type Shell } from "../shell.ts";

/** Flags of `del`. */
export interface DelFlags {
  readonly context?: string;
  readonly ifContext?: string;
  readonly idempotencyKey?: string;
  readonly consistency?: ConsistencyLevel;
}

/** Deletes a key; that there was none is no failure. */
export async function del(
  shell: Shell,
  tenant: string,
  key: string,
  flags: DelFlags,
): Promise<number> {
  const condition = conditionOf(flags);
  const db = await connect(shell);
  const deleted = await db.delete(tenant, key, {
    ...condition,
    idempotencyKey: flags.idempotencyKey,
    consistency: flags.consistency,
  });
  print(shell, deleted.existed ? "OK" : "OK (there was no value)", {
    key,
    existed: deleted.existed,
    context: encodeContext(deleted.context),
    timestamp: deleted.timestampMs,
  });
  return 0;
}
