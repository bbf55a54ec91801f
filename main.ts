/**
 * PairDB: the program. Runs the command line and sets the exit code.
 * @module
 */
import { run } from "./src/cli/mod.ts";
import { denoProcess } from "./src/runtime/mod.ts";

if (import.meta.main) {
  const process = denoProcess();
  process.exit(await run(process));
}
