/**
 * What a command line says of a write's context: what it replaces, and whether it depends on it.
 * @module
 */
import { type Context, decodeContext } from "../client/mod.ts";
import { UsageError } from "./shell.ts";

/** What `--if-context` says for a key without a value. */
const NO_VALUE = "none";

/**
 * Reads `--context` and `--if-context`.
 * @throws UsageError when there are both, or one is empty, as an unset variable of a script is: taken for no
 *   context, the write would replace versions that the script has not seen; PairError InvalidArgument (1000)
 *   when it is no context
 */
export function conditionOf(
  flags: { readonly context?: string; readonly ifContext?: string },
): { context: Context | undefined; ifContext: boolean } {
  const { context, ifContext } = flags;
  if (context === "") {
    throw new UsageError("--context is empty; leave it away to replace every version");
  }
  if (ifContext === "") {
    throw new UsageError(`--if-context is empty; say ${NO_VALUE} for a key that has no value`);
  }
  if (context !== undefined && ifContext !== undefined) {
    throw new UsageError("--context and --if-context exclude each other");
  }
  const text = ifContext === NO_VALUE ? undefined : ifContext ?? context;
  return {
    context: text === undefined ? undefined : decodeContext(text),
    ifContext: ifContext !== undefined,
  };
}
