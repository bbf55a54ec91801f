/**
 * Running a command line: parse, run, and make of every failure one line and an exit code.
 *
 *     0  done     1  the operation failed     2  the command line is wrong
 *     141  whoever read the output has gone, and nothing is said: as other programs end by SIGPIPE
 * @module
 */
import { CommanderError } from "commander";
import type { Process } from "../runtime/mod.ts";
import { buildProgram, complete } from "./commands/mod.ts";
import { errorLine, exitCodeOf, isBrokenPipe, stackOf } from "./failure.ts";
import { UsageError } from "./shell.ts";

/** Runs the command in the process's arguments. @returns the exit code */
export async function run(process: Process): Promise<number> {
  try {
    return await dispatch(process);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (isBrokenPipe(error)) return exitCodeOf(error);
    process.err(`${errorLine(error)}\n`);
    if (process.args.includes("--verbose")) process.err(`${stackOf(error)}\n`);
    return exitCodeOf(error);
  }
}

async function dispatch(process: Process): Promise<number> {
  const [first, second, ...words] = process.args;
  if (first === "complete" && second === "--") {
    await complete(process, words);
    return 0;
  }
  // The system replaces what is not UTF-8, and two different keys would become one.
  const mangled = process.args.find((argument) => argument.includes("\ufffd"));
  if (mangled !== undefined) {
    throw new UsageError(`the argument "${mangled}" is not UTF-8`);
  }
  let exitCode = 0;
  const program = buildProgram(process, (code) => exitCode = code);
  configure(program, process);
  await program.parseAsync([...process.args], { from: "user" });
  return exitCode;
}

/** Makes the program, and every command in it, throw rather than exit, and write through the process. */
function configure(command: ReturnType<typeof buildProgram>, process: Process): void {
  command.exitOverride().configureOutput({
    writeOut: (text) => process.out(text),
    writeErr: (text) => process.err(text),
    getOutHelpWidth: () => process.columns(),
    getErrHelpWidth: () => process.columns(),
    getOutHasColors: () => false,
    getErrHasColors: () => false,
  });
  for (const child of command.commands) configure(child as typeof command, process);
}
