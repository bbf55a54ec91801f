/**
 * `pairdb flush [TENANT]`, `pairdb compact [TENANT] [--start K --end K] [--purge]` and `pairdb scrub`: upkeep on
 * demand.
 * @module
 */
import { connect, print, type Shell, UsageError } from "../shell.ts";

/** Writes memtables to tables; returns when they are durable. */
export async function flush(shell: Shell, tenant: string | undefined): Promise<number> {
  const db = await connect(shell);
  await db.admin.flush(tenant);
  print(shell, "OK", { flushed: tenant ?? "all" });
  return 0;
}

/** Merges tables down to one level; returns when that is done. */
export async function compact(
  shell: Shell,
  tenant: string | undefined,
  flags: { readonly start?: string; readonly end?: string; readonly purge?: boolean },
): Promise<number> {
  const { start, end, purge = false } = flags;
  if (tenant === undefined && (start !== undefined || end !== undefined)) {
    throw new UsageError("compact --start and --end need a tenant");
  }
  const db = await connect(shell);
  await db.admin.compact(tenant, { start, end, purge });
  print(shell, "OK", { compacted: tenant ?? "all", start, end, purge });
  return 0;
}

/** Begins a round of the scrub; returns at once. */
export async function scrub(shell: Shell): Promise<number> {
  const db = await connect(shell);
  await db.admin.startScrub();
  print(shell, "begun: pairdb jobs tells how far it is", { scrub: "begun" });
  return 0;
}
