/**
 * A program for process_test.ts: does one thing with its Process and ends.
 * @module
 */
import { denoProcess } from "../../../src/runtime/mod.ts";

const process = denoProcess();

switch (process.args[0]) {
  case "copy":
    for await (const chunk of process.readChunks(process.args[1])) process.out(chunk);
    break;
  case "exit":
    process.err("leaving\n");
    process.exit(7);
    break;
  case "env":
    process.out(JSON.stringify([process.env("PAIRDB_A"), process.envWithPrefix("PAIRDB_")]));
    break;
  case "terminal":
    process.out(`${process.isTerminal("stdout")} ${process.columns()} ${process.standalone}`);
    break;
  case "uncaught": {
    const told: string[] = [];
    process.onUncaught((error) => {
      told.push(error instanceof Error ? error.message : String(error));
      if (told.length < 2) return;
      process.out(told.sort().join(", "));
      process.exit(5);
    });
    setTimeout(() => {
      throw new Error("thrown");
    });
    void Promise.reject(new Error("rejected"));
    break;
  }
  case "terminate": {
    // Listening for signals alone does not keep a program alive.
    const alive = setInterval(() => {}, 1000);
    const stop = process.onTerminate((signal) => {
      process.out(signal);
      clearInterval(alive);
      stop();
      stop();
    });
    process.out("ready ");
    break;
  }
}
