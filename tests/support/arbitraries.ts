/**
 * Random clocks, versions and histories for property tests.
 * @module
 */
import fc from "fast-check";
import {
  type ClockEntry,
  coordinateWrite,
  EMPTY_CLOCK,
  isObsolete,
  joinClocks,
  joinVersions,
  mergeVersions,
  normalizeClock,
  orderVersions,
  type VectorClock,
  type Version,
} from "../../src/model/mod.ts";

const NODES = ["a", "b", "c"] as const;

/** deepEqual tells objects without a prototype from others. */
const PLAIN = { noNullPrototype: true } as const;

const event: fc.Arbitrary<ClockEntry> = fc.record({
  node: fc.constantFrom(...NODES),
  counter: fc.nat({ max: 5 }),
}, PLAIN);

/** A clock as a client may send it: any order, repeated nodes, dots within entries. */
export const rawClock: fc.Arbitrary<VectorClock> = fc.record({
  entries: fc.array(event, { maxLength: 4 }),
  dots: fc.array(event, { maxLength: 4 }),
}, PLAIN);

/** A clock in normal form. Few nodes and small counters, so that clocks meet. */
export const clock: fc.Arbitrary<VectorClock> = rawClock.map(normalizeClock);

/** Every event of a clock, spelled out: the set that a clock stands for. */
export function eventsOf(clock: VectorClock): Set<string> {
  const events = new Set<string>();
  for (const { node, counter } of clock.entries) {
    for (let i = 1; i <= counter; i++) events.add(`${node}${i}`);
  }
  for (const { node, counter } of clock.dots) if (counter > 0) events.add(`${node}${counter}`);
  return events;
}

/** Any version, with a clock that no honest history need have made. */
export const version: fc.Arbitrary<Version> = fc.record({
  clock: clock.filter(({ entries, dots }) => entries.length + dots.length > 0),
  value: fc.option(fc.uint8Array({ maxLength: 1 }), { nil: undefined }),
  timestampMs: fc.nat({ max: 2 }),
  expiresAtMs: fc.constantFrom(0, 0, 5, 6),
  own: fc.option(fc.nat(), { nil: undefined }),
}, PLAIN).map(({ own, ...version }) => {
  // The version's own event is the last of its node: an entry, or a dot with none after it.
  const { entries, dots } = version.clock;
  const last = [...entries, ...dots].filter(({ node, counter }) =>
    !dots.some((dot) => dot.node === node && dot.counter > counter)
  );
  return { ...version, dot: own === undefined ? undefined : last[own % last.length] };
});

/** A state that any versions make together. */
export const state: fc.Arbitrary<readonly Version[]> = fc.array(version, { maxLength: 4 })
  .map((versions) =>
    versions.reduce((all, one) => mergeVersions(all, [one]), [] as readonly Version[])
  );

/** One step of a history of a key on several nodes. */
export type Step =
  /** A client writes at a node, with what it last got from any node or without a context. */
  | { kind: "write"; node: number; client: number; blind: boolean; deletes: boolean }
  /** A client reads at a node. */
  | { kind: "read"; node: number; client: number }
  /** A node's state reaches another. */
  | { kind: "sync"; from: number; to: number };

const nodeIndex = fc.nat({ max: NODES.length - 1 });
const clientIndex = fc.nat({ max: 2 });

/** Steps of a random history. */
export const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant("write" as const),
      node: nodeIndex,
      client: clientIndex,
      blind: fc.boolean(),
      deletes: fc.boolean(),
    }),
    fc.record({ kind: fc.constant("read" as const), node: nodeIndex, client: clientIndex }),
    fc.record({ kind: fc.constant("sync" as const), from: nodeIndex, to: nodeIndex }),
  ),
  { maxLength: 25 },
);

/**
 * Plays a history of one key.
 * @returns the state of each node at its end, and every version that was ever written
 */
export function play(steps: readonly Step[]): {
  states: (readonly Version[])[];
  written: Version[];
} {
  const states: (readonly Version[])[] = NODES.map(() => []);
  const contexts: VectorClock[] = [EMPTY_CLOCK, EMPTY_CLOCK, EMPTY_CLOCK];
  const written: Version[] = [];
  for (const [i, step] of steps.entries()) {
    if (step.kind === "sync") {
      states[step.to] = mergeVersions(states[step.to], states[step.from]);
    } else if (step.kind === "read") {
      contexts[step.client] = joinVersions(states[step.node]);
    } else {
      // What the client knows of this node, this node knows too: it never loses data here.
      const made = coordinateWrite(states[step.node], NODES[step.node], {
        context: step.blind ? undefined : contexts[step.client],
        value: step.deletes ? undefined : Uint8Array.of(i),
        timestampMs: i >> 1,
        expiresAtMs: 0,
      });
      states[step.node] = made.versions;
      contexts[step.client] = step.blind
        ? made.written.clock
        : joinClocks(contexts[step.client], made.written.clock);
      written.push(made.written);
    }
  }
  return { states, written };
}

/** Whether a state is as it must be stored: in canonical order, no version seen by another. */
export function isCanonical(versions: readonly Version[]): boolean {
  return versions.every((version, i) =>
    (i === 0 || orderVersions(versions[i - 1], version) < 0) &&
    !versions.some((other) => isObsolete(version, other))
  );
}
