/**
 * `pairdb check DIR`: verifies every checksum in a data directory that no node has open.
 * @module
 */
import {
  checkDirectory,
  checkpointsIn,
  type FileReport,
  SNAPSHOT_FILE,
  verifyCheckpoint,
} from "../../engine/mod.ts";
import { PairError } from "../../model/mod.ts";
import { readIdentity, readSealKey, SEAL_KEY_FILE } from "../../node/mod.ts";
import { denoDisk, type Disk, DiskError } from "../../runtime/mod.ts";
import { keyOf } from "../key_file.ts";
import { print, type Shell } from "../shell.ts";
import { oneLine } from "../text.ts";

/** Flags of `check` and `dump`. */
export interface KeyFlags {
  readonly keyFile?: string;
}

/**
 * Prints a line for each file.
 * @throws PairError CorruptedData (2007) when any is damaged
 */
export async function check(shell: Shell, dir: string, flags: KeyFlags = {}): Promise<number> {
  const disk = denoDisk();
  const key = keyOf(shell.process, flags.keyFile);
  const reports: Report[] = [...await checkDirectory(disk, dir, { key })];
  if (disk.stat(`${dir}/${SNAPSHOT_FILE}`) === undefined) {
    reports.push(checkIdentity(disk, dir), ...checkSealKey(disk, dir));
  } else reports.push(await checkSnapshot(disk, dir));
  for (const snapshot of checkpointsIn(disk, `${dir}/snapshots`, true)) {
    reports.push(await checkSnapshot(disk, snapshot.dir, snapshot.problem));
  }
  print(shell, reports.map(describe), reports);
  const damaged = reports.filter((report) => report.problem !== undefined).length;
  if (damaged > 0) {
    throw new PairError(
      "CorruptedData",
      `${damaged} of ${reports.length} files in ${dir} are damaged`,
      { damaged, files: reports.length },
    );
  }
  return 0;
}

/** A report of the engine's, or of a file that says what the directory is. */
type Report = Omit<FileReport, "kind"> & {
  readonly kind: FileReport["kind"] | "identity" | "seal_key" | "snapshot";
};

/** @param known  what is wrong with its inventory, if one looked */
async function checkSnapshot(disk: Disk, dir: string, known?: string): Promise<Report> {
  const report = { file: `${dir}/${SNAPSHOT_FILE}`, kind: "snapshot" } as const;
  if (known !== undefined) return { ...report, items: 0, problem: known };
  try {
    const { inventory, problems: [first] } = await verifyCheckpoint(disk, dir);
    const problem = first && `${first.file}: ${first.problem}`;
    return { ...report, items: inventory.files.length, problem };
  } catch (error) {
    if (!(error instanceof PairError || error instanceof DiskError)) throw error;
    return { ...report, items: 0, problem: error.message };
  }
}

function checkIdentity(disk: Disk, dir: string): Report {
  const report = { file: `${dir}/IDENTITY`, kind: "identity" } as const;
  try {
    const items = readIdentity(disk, dir, undefined) === undefined ? 0 : 1;
    return { ...report, items, problem: items === 0 ? "it is missing" : undefined };
  } catch (error) {
    if (!(error instanceof PairError || error instanceof DiskError)) throw error;
    return { ...report, items: 0, problem: error.message };
  }
}

/** Of a directory that has none there is nothing to tell: it gets one at the next start. */
function checkSealKey(disk: Disk, dir: string): Report[] {
  const report = { file: `${dir}/${SEAL_KEY_FILE}`, kind: "seal_key" } as const;
  try {
    return readSealKey(disk, dir) === undefined
      ? []
      : [{ ...report, items: 1, problem: undefined }];
  } catch (error) {
    if (!(error instanceof PairError || error instanceof DiskError)) throw error;
    return [{ ...report, items: 0, problem: error.message }];
  }
}

function describe({ file, kind, items, problem, note }: Report): string {
  return problem === undefined
    ? `OK       ${kind.padEnd(8)} ${oneLine(file)} (${items} items${
      note === undefined ? "" : `; ${note}`
    })`
    : `DAMAGED  ${kind.padEnd(8)} ${oneLine(file)}: ${oneLine(problem)}`;
}
