/**
 * The context that a command line names.
 * @module
 */
import { type Context, decodeContext } from "../client/mod.ts";
import { UsageError } from "./shell.ts";

/**
 * Reads `--context`; undefined when there is none.
 * @throws UsageError when it is empty, as an unset variable of a script is: taken for no context, the
 *   write would replace versions that the script has not seen; PairError InvalidArgument (1000) when it is
 *   no context
 */
export function contextOf(text: string | undefined): Context | undefined {
  if (text === "") {
    throw new UsageError("--context is empty; leave it away to replace every version");
  }
  return text === undefined ? undefined : decodeContext(text);
}
