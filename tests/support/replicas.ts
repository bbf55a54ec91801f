/**
 * Three replicas of one key of a data type, which write and hand each other what they have in any order; and
 * beside them a model that remembers every operation, and what its replica knew when it came.
 */
import {
  type ConflictStrategy,
  mergeVersions,
  PairError,
  utf8,
  type Version,
} from "../../src/model/mod.ts";
import fc from "fast-check";

/** Ids in an order that is not theirs by UTF-8 and by age. */
export const REPLICAS = ["n2", "n1", "n10"] as const;

/** What a test does to the replicas; numbers are places in {@link REPLICAS}. */
export type Step =
  | { readonly kind: "put"; readonly at: number; readonly value: string }
  | { readonly kind: "delete"; readonly at: number }
  | { readonly kind: "sync"; readonly at: number; readonly from: number };

/** An operation, as the model remembers it. */
export interface Operation {
  readonly id: number;
  /** Undefined for a delete. */
  readonly value: string | undefined;
  readonly node: string;
  readonly stampMs: number;
  /** Ids of all that its replica knew. */
  readonly saw: ReadonlySet<number>;
  /** What its replica showed before. */
  readonly before: string | undefined;
}

/** One replica. */
export interface Replica {
  state: readonly Version[];
  /** Ids of operations. */
  known: Set<number>;
}

/** Steps of a random history. @param values  what is put */
export function histories(values: fc.Arbitrary<string>): fc.Arbitrary<readonly Step[]> {
  const at = fc.nat({ max: REPLICAS.length - 1 });
  return fc.array(
    fc.oneof(
      { weight: 4, arbitrary: fc.record({ kind: fc.constant("put" as const), at, value: values }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant("delete" as const), at }) },
      { weight: 4, arbitrary: fc.record({ kind: fc.constant("sync" as const), at, from: at }) },
    ),
    { maxLength: 30 },
  );
}

/** What clients see at a replica, as text. */
export function shown(
  strategy: ConflictStrategy,
  state: readonly Version[],
  nowMs = 1,
): string | undefined {
  const [version] = strategy.resolve(state, nowMs);
  return version?.value === undefined ? undefined : new TextDecoder().decode(version.value);
}

/** Plays a history. @param eachStep  told the replicas after each step */
export function playReplicas(
  strategy: ConflictStrategy,
  steps: readonly Step[],
  eachStep: (replica: Replica, operations: readonly Operation[]) => void = () => {},
): {
  replicas: readonly Replica[];
  operations: readonly Operation[];
  states: readonly Uint8Array[];
} {
  const replicas = REPLICAS.map((): Replica => ({ state: [], known: new Set() }));
  const operations: Operation[] = [];
  const states: Uint8Array[] = [];
  for (const [i, step] of steps.entries()) {
    const replica = replicas[step.at];
    if (step.kind === "sync") {
      replica.state = mergeVersions(replica.state, replicas[step.from].state);
      replica.known = replica.known.union(replicas[step.from].known);
    } else {
      const node = REPLICAS[step.at];
      const made = strategy.coordinate(replica.state, node, {
        context: undefined,
        value: step.kind === "put" ? utf8(step.value) : undefined,
        // Their clocks differ.
        timestampMs: 1000 + i * (step.at + 1),
        expiresAtMs: 0,
      });
      operations.push({
        id: i,
        value: step.kind === "put" ? step.value : undefined,
        node,
        stampMs: made.written.timestampMs,
        saw: new Set(replica.known),
        before: shown(strategy, replica.state),
      });
      replica.state = made.versions;
      replica.known.add(i);
      if (made.written.value !== undefined) states.push(made.written.value);
    }
    eachStep(replica, operations);
  }
  return { replicas, operations, states };
}

/** Everybody hands everybody everything, in an order that a seed decides. */
export function settle(replicas: readonly Replica[], order: readonly number[]): void {
  const all = replicas.flatMap(({ state }) => state);
  const known = replicas.reduce((sum, replica) => sum.union(replica.known), new Set<number>());
  for (const [i, replica] of replicas.entries()) {
    const mixed = all.map((version, j) => ({
      version,
      rank: order[(i * 7 + j) % order.length] ?? 0,
    }))
      .sort((a, b) => a.rank - b.rank);
    for (const { version } of mixed) replica.state = mergeVersions(replica.state, [version]);
    replica.known = new Set(known);
  }
}

/** The operations that a replica knows and that no delete that it knows has seen; no deletes. */
export function surviving(
  replica: Replica,
  operations: readonly Operation[],
): readonly Operation[] {
  const known = operations.filter(({ id }) => replica.known.has(id));
  const deletes = known.filter(({ value }) => value === undefined);
  return known.filter(({ id, value }) =>
    value !== undefined && !deletes.some(({ saw }) => saw.has(id))
  );
}

/** Whether a failure is the one of a bad operation. */
export function isBadOperation(error: unknown): boolean {
  return error instanceof PairError && error.code === 1000 && error.details.reason === "operation";
}
