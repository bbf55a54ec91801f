/**
 * `pairdb flush [TENANT]` and `pairdb compact [TENANT]`: upkeep on demand.
 * @module
 */
import { connect, print, type Shell } from "../shell.ts";

/** Writes memtables to tables; returns when they are durable. */
export async function flush(shell: Shell, tenant: string | undefined): Promise<number> {
  const db = await connect(shell);
  await db.admin.flush(tenant);
  print(shell, "OK", { flushed: tenant ?? "all" });
  return 0;
}

/** Merges tables down to one level; returns when that is done. */
export async function compact(shell: Shell, tenant: string | undefined): Promise<number> {
  const db = await connect(shell);
  await db.admin.compact(tenant);
  print(shell, "OK", { compacted: tenant ?? "all" });
  return 0;
}
