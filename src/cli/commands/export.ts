/**
 * `pairdb export TENANT`: writes all keys and values as JSON lines, in key order, as of one moment.
 * @module
 */
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
    for await (const { key, value, siblings, expiresAtMs } of db.scan(tenant, flags)) {
      if (siblings.length > 0) conflicts++;
      if (value === undefined) continue;
      buffer += formatRecord({ key, value, expiresAtMs });
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
