/**
 * `pairdb put TENANT KEY [VALUE|-]`: stores a value.
 * @module
 */
import { type ConsistencyLevel, encodeContext } from "../../client/mod.ts";
import { conditionOf } from "../context.ts";
import { MAX_VALUE_BYTES } from "../../model/mod.ts";
import { readAll } from "../input.ts";
import { connect, print, type Shell, UsageError } from "../shell.ts";

/** Flags of `put`. */
export interface PutFlags {
  /** Milliseconds. */
  readonly ttl?: number;
  readonly context?: string;
  readonly ifContext?: string;
  readonly idempotencyKey?: string;
  readonly consistency?: ConsistencyLevel;
}

/** Stores a value; without one, or for `-`, standard input. */
export async function put(
  shell: Shell,
  tenant: string,
  key: string,
  value: string | undefined,
  flags: PutFlags,
): Promise<number> {
  const condition = conditionOf(flags);
  const bytes = await readValue(shell, value);
  const db = await connect(shell);
  const written = await db.put(tenant, key, bytes, {
    ttlMs: flags.ttl,
    ...condition,
    idempotencyKey: flags.idempotencyKey,
    consistency: flags.consistency,
  });
  print(shell, "OK", {
    key,
    context: encodeContext(written.context),
    timestamp: written.timestampMs,
  });
  return 0;
}

async function readValue(shell: Shell, value: string | undefined): Promise<string | Uint8Array> {
  if (value !== undefined && value !== "-") return value;
  if (value === undefined && shell.process.isTerminal("stdin")) {
    throw new UsageError("missing VALUE; use - to type it or pipe it in");
  }
  return await readAll(shell.process, "-", MAX_VALUE_BYTES);
}
