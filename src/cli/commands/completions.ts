/**
 * `pairdb completions SHELL`, and the hidden `pairdb complete -- WORDS…` that the scripts call.
 *
 * The one file that knows @bomb.sh/tab. It reads the commands off a program of their own, since it
 * adds two to whatever it is given, and it prints through the console.
 * @module
 */
import tab from "@bomb.sh/tab/commander";
import type { Command } from "commander";
import type { Shell } from "../shell.ts";
import type { Process } from "../../runtime/mod.ts";
import { buildProgram } from "./mod.ts";

/** Prints the script of a shell. */
export function completions(shell: Shell, name: string): Promise<number> {
  candidates(shell.process).setup("pairdb", "pairdb", name);
  return Promise.resolve(0);
}

/** Prints what could stand where the last word is. */
export function printCandidates(process: Process, words: readonly string[]): void {
  candidates(process).parse([...words]);
}

function candidates(process: Process) {
  // Nothing runs: the program is only looked at. The package brings its own `completions`.
  const program = buildProgram(process, () => {});
  const commands = program.commands as Command[];
  commands.splice(commands.findIndex((command) => command.name() === "completions"), 1);
  return tab(program, { completionCommandName: "completions" });
}
