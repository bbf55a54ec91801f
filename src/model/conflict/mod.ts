/**
 * Conflict strategies: what a tenant wants done about concurrent versions of a key.
 * @module
 */
import { PairError } from "../errors.ts";
import { reconcileOperator } from "../reconcile.ts";
import { Counter } from "./counter.ts";
import { LAST_WRITE_WINS } from "./lww.ts";
import { FieldMap } from "./map.ts";
import { type DataType, TypedMerge } from "./merging.ts";
import { Extreme } from "./extreme.ts";
import { ElementSet } from "./set.ts";
import type { ConflictStrategy } from "./types.ts";

export { HLC_SKEW_MS, hybridStamp } from "./hlc.ts";
export { type DataType, type Inspected, TypedMerge, type WriteEvent } from "./merging.ts";
export type { ConflictStrategy, ForeignVersion } from "./types.ts";

/** The default: concurrent versions are siblings, and all are shown. It has no {@link ConflictStrategy}. */
export const VECTOR_CLOCK = "vector_clock";

/** The data types that are built in. */
export const DATA_TYPES: readonly DataType[] = Object.freeze([
  new Counter(),
  new ElementSet("gset"),
  new ElementSet("orset"),
  new FieldMap(),
  new Extreme("max"),
  new Extreme("min"),
]);

const STRATEGIES: ReadonlyMap<string, ConflictStrategy> = new Map(
  [LAST_WRITE_WINS, ...DATA_TYPES.map((type) => Object.freeze(new TypedMerge(type)))]
    .map((strategy) => [strategy.name, strategy]),
);

/** The names of all that is built in, the default first. */
export const CONFLICT_STRATEGIES: readonly string[] = Object.freeze([
  VECTOR_CLOCK,
  ...STRATEGIES.keys(),
]);

/** What strategies that merge begin with. */
const MERGE = "merge:";

/** Whether `merge:<name>` is built in. */
export function builtInMerge(name: string): boolean {
  return STRATEGIES.has(`${MERGE}${name}`);
}

/**
 * The name of the application's function that a strategy is; undefined: it is another one.
 * @param strategy  undefined: the default
 */
export function mergeFunctionOf(strategy: string | undefined): string | undefined {
  if (strategy === undefined || !strategy.startsWith(MERGE)) return undefined;
  return STRATEGIES.has(strategy) ? undefined : strategy.slice(MERGE.length);
}

/**
 * A tenant's strategy by its name.
 * @param name  undefined: the default
 * @returns undefined for the default, which shows versions as they are and writes by the write rule; and for
 *   a function of the application, which the node asks about what that shows
 * @throws PairError InvalidArgument (1000) when there is none of the name
 */
export function conflictStrategy(name: string | undefined): ConflictStrategy | undefined {
  if (name === undefined || name === VECTOR_CLOCK) return undefined;
  const found = STRATEGIES.get(name);
  if (found !== undefined || mergeFunctionOf(name) !== undefined) return found;
  throw new PairError(
    "InvalidArgument",
    `Cannot use the conflict strategy ${JSON.stringify(name.slice(0, 64))}: it is one of ${
      CONFLICT_STRATEGIES.join(", ")
    }`,
    { option: "conflictStrategy" },
  );
}

/** The merge operator of a strategy's trees. */
export function operatorOf(strategy: ConflictStrategy | undefined): string {
  return strategy === undefined ? reconcileOperator.name : strategy.operator;
}
