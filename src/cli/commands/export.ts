/**
 * `pairdb export TENANT`: writes all keys and values as JSON lines, in key order, as of one moment.
 *
 * Where the tenant has a default time to live, a value that stays for ever says so (`"expires_at":0`), or
 * an import into that tenant would give it the default. Elsewhere it says nothing: who imports the lines into
 * a tenant with a default may well want that.
 * @module
 */
import { type PairDB, PairError } from "../../client/mod.ts";
import { formatRecord } from "../records.ts";
import { Progress } from "../progress.ts";
import { connect, type Shell } from "../shell.ts";

/** Flags of `export`. */
export interface ExportFlags {
  readonly prefix?: string;
}

/** Characters that are written to standard output in one go. */
const BUFFER_LENGTH = 64 * 1024;

/** Writes every record to standard output, and what there is to say about it to standard error. */
export async function exportRecords(
  shell: Shell,
  tenant: string,
  flags: ExportFlags,
): Promise<number> {
  const { process } = shell;
  const db = await connect(shell);
  const progress = new Progress(process, "exporting", undefined);
  let records = 0;
  let conflicts = 0;
  let buffer = "";
  try {
    const never = await expiryOfNever(db, tenant);
    for await (const { key, value, siblings, expiresAtMs } of db.scan(tenant, flags)) {
      if (siblings.length > 0) conflicts++;
      if (value === undefined) continue;
      buffer += formatRecord({ key, value, expiresAtMs: expiresAtMs || never });
      records++;
      if (buffer.length >= BUFFER_LENGTH) {
        process.out(buffer);
        buffer = "";
        progress.update(records);
      }
    }
    process.out(buffer);
  } finally {
    progress.clear();
  }
  if (conflicts > 0) {
    process.err(`note: ${conflicts} keys have concurrent versions; only the latest was exported\n`);
  }
  process.err(`exported ${records} records\n`);
  return 0;
}

/**
 * The `expires_at` of what never dies: 0 where the tenant has a default time to live; undefined, which is left
 * out, where it has none. Who may not ask gets 0: it is never wrong, only longer.
 * @throws PairError Unavailable (2001) and the like, as the export itself would
 */
export async function expiryOfNever(
  db: { readonly tenants: Pick<PairDB["tenants"], "list"> },
  tenant: string,
): Promise<0 | undefined> {
  try {
    const found = (await db.tenants.list()).find((info) => info.tenant === tenant);
    return (found?.ttlMs ?? 0) === 0 ? undefined : 0;
  } catch (error) {
    // The list tells of all tenants, so it is for operators; a client of this one exports all the same.
    if (error instanceof PairError && error.error === "InvalidArgument") return 0;
    throw error;
  }
}
