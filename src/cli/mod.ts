/**
 * The command line: `pairdb <command>`, and the place where the parts of a node are put together.
 * @module
 */
export { run } from "./run.ts";
