/**
 * `pairdb check DIR`: verifies every checksum in a data directory that no node has open.
 * @module
 */
import { checkDirectory, type FileReport } from "../../engine/mod.ts";
import { PairError } from "../../model/mod.ts";
import { denoDisk } from "../../runtime/mod.ts";
import { print, type Shell } from "../shell.ts";
import { oneLine } from "../text.ts";

/**
 * Prints a line for each file.
 * @throws PairError CorruptedData (2007) when any is damaged
 */
export async function check(shell: Shell, dir: string): Promise<number> {
  const reports = await checkDirectory(denoDisk(), dir);
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

function describe({ file, kind, items, problem }: FileReport): string {
  return problem === undefined
    ? `OK       ${kind.padEnd(8)} ${oneLine(file)} (${items} items)`
    : `DAMAGED  ${kind.padEnd(8)} ${oneLine(file)}: ${oneLine(problem)}`;
}
