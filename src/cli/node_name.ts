/**
 * The rule for the names that people give to nodes. It is narrower than what clocks can hold: such a name
 * needs no quoting anywhere.
 * @module
 */
import { PairError } from "../model/mod.ts";

/** For the configuration, where an empty one stands for none. */
export const NODE_NAME = {
  pattern: /^[A-Za-z0-9._-]{0,128}$/,
  expects: "up to 128 letters, digits, dots, dashes and underscores",
};

/** @throws PairError InvalidArgument (1000) when a flag's value is empty or no node's name */
export function checkNodeName(flag: string, name: string): void {
  if (name !== "" && NODE_NAME.pattern.test(name)) return;
  throw new PairError(
    "InvalidArgument",
    `${flag}: ${JSON.stringify(name)} is not 1 ${NODE_NAME.expects.replace(/^up /, "")}`,
  );
}
