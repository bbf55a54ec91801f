/**
 * Last write wins, and the hybrid time that it goes by.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  conflictStrategy,
  EMPTY_CLOCK,
  encodeVersions,
  HLC_SKEW_MS,
  hybridStamp,
  isLive,
  joinVersions,
  lwwOperator,
  maxCounter,
  mergeVersions,
  orderVersions,
  PairError,
  reconcileOperator,
  type Version,
} from "../../../../src/model/mod.ts";
import { state } from "../../../support/arbitraries.ts";
import { histories, playReplicas, settle, shown } from "../../../support/replicas.ts";

const lww = conflictStrategy("lww")!;

/** By stamp; then by the counters of the largest node, and so on down. */
function isLater(a: Version, b: Version): boolean {
  if (a.timestampMs !== b.timestampMs) return a.timestampMs > b.timestampMs;
  const counters = ({ clock }: Version) => (node: string) => maxCounter(clock, node);
  const nodes = [a, b].flatMap(({ clock }) => [...clock.entries, ...clock.dots]);
  const names = [...new Set(nodes.map(({ node }) => node))].sort((x, y) => x < y ? 1 : -1);
  const differs = names.find((node) => counters(a)(node) !== counters(b)(node));
  return differs !== undefined && counters(a)(differs) > counters(b)(differs);
}

Deno.test("lww shows one version: the latest by stamp, then by node, with a context that covers all [C9]", () => {
  fc.assert(
    fc.property(state, (versions) => {
      const resolved = lww.resolve(versions, 0);
      assert.equal(resolved.length, Math.min(versions.length, 1));
      for (const version of resolved) {
        const best = versions.filter((one) => !versions.some((other) => isLater(other, one)));
        assert.ok(
          best.some(({ value, timestampMs, expiresAtMs }) =>
            value === version.value && timestampMs === version.timestampMs &&
            expiresAtMs === version.expiresAtMs
          ),
        );
        // A copy that has lost whose event it is does not change who wins.
        const copies = versions.map((one) => ({ ...one, dot: undefined })).sort(orderVersions);
        const [copy] = lww.resolve(copies, 0);
        if (best.length === 1) assert.deepEqual(copy, { ...version, dot: undefined });
        assert.deepEqual(version.clock, joinVersions(versions));
      }
    }),
    { numRuns: 500 },
  );
});

Deno.test("lww shows the same on all replicas, whatever their clocks and the order they meet in", () => {
  fc.assert(
    fc.property(
      histories(fc.string({ maxLength: 2 })),
      fc.array(fc.nat(), { minLength: 9, maxLength: 9 }),
      (steps, order) => {
        let last: readonly Version[] = [];
        const { replicas, operations } = playReplicas(lww, steps, (replica, operations) => {
          const isWrite = replica.state !== last && replica.state.length === 1;
          last = replica.state;
          // Whoever has written sees what was written.
          const own = operations.at(-1);
          if (
            isWrite && own !== undefined && replica.known.has(own.id) &&
            replica.state[0].dot?.node === own.node
          ) {
            assert.equal(shown(lww, replica.state), own.value);
          }
        });
        settle(replicas, order);
        // The latest of those that nobody who wrote later had seen.
        const ends = operations.filter(({ id }) => !operations.some(({ saw }) => saw.has(id)));
        const stampMs = Math.max(...ends.map((operation) => operation.stampMs));
        const winners = ends.filter((operation) => operation.stampMs === stampMs);
        const all = replicas[0].state;
        for (const replica of replicas) {
          const value = shown(lww, replica.state);
          assert.equal(value, shown(lww, all));
          assert.ok(all.length === 0 || winners.some((winner) => winner.value === value));
          if (replica.state.length === 0) continue;
          assert.deepEqual(encodeVersions(replica.state), encodeVersions(replicas[0].state));
        }
      },
    ),
    { numRuns: 400 },
  );
});

Deno.test("of versions with one stamp that had seen the same, lww shows that of the larger node id", () => {
  const write = (value: number) => ({
    context: undefined,
    value: Uint8Array.of(value),
    timestampMs: 100,
    expiresAtMs: 0,
  });
  const first = lww.coordinate([], "m", write(0)).versions;
  for (const before of [[], first]) {
    const made = ["a", "z", "m"].map((node, i) => lww.coordinate(before, node, write(i)).versions);
    const both = made.reduce((a, b) => mergeVersions(a, b));
    assert.deepEqual(lww.resolve(both, 100)[0].value, Uint8Array.of(1));
    assert.deepEqual(
      lww.resolve(mergeVersions(made[0], made[2]), 100)[0].value,
      Uint8Array.of(2),
    );
  }
});

Deno.test("a write under lww replaces all that its node has, whatever its context says", () => {
  const write = (value: number, timestampMs: number, context?: Version["clock"]) => ({
    context,
    value: Uint8Array.of(value),
    timestampMs,
    expiresAtMs: 0,
  });
  const a = lww.coordinate([], "a", write(1, 100));
  const b = lww.coordinate([], "b", write(2, 200));
  const both = mergeVersions(a.versions, b.versions);
  // Its clock is behind, and its context older than what the node has.
  const c = lww.coordinate(both, "c", write(3, 50, a.written.clock));
  assert.deepEqual(c.versions, [c.written]);
  assert.equal(c.written.timestampMs, 200);
  // A context that names an event of this node that it does not know is refused as ever.
  const forged = { entries: [{ node: "c", counter: 9 }], dots: [] };
  assert.throws(() => lww.coordinate(both, "c", write(4, 300, forged)), PairError);
});

Deno.test("hybrid time never runs behind the wall clock, nor behind what it has seen", () => {
  fc.assert(
    fc.property(state, fc.nat({ max: 2 ** 31 }), (versions, wallMs) => {
      const stamp = hybridStamp(wallMs, versions);
      const largest = Math.max(wallMs, ...versions.map(({ timestampMs }) => timestampMs));
      assert.equal(stamp, largest);
    }),
  );
});

Deno.test("a stamp from another node is taken up to the bound ahead of this node's clock, and no further", () => {
  for (const name of ["lww", "merge:max"]) {
    const strategy = conflictStrategy(name)!;
    const now = 1_000_000;
    strategy.checkVersion(
      { clock: EMPTY_CLOCK, value: undefined, timestampMs: now + HLC_SKEW_MS },
      now,
    );
    strategy.checkVersion({ clock: EMPTY_CLOCK, value: undefined, timestampMs: 0 }, now);
    assert.throws(
      () =>
        strategy.checkVersion({
          clock: EMPTY_CLOCK,
          value: undefined,
          timestampMs: now + HLC_SKEW_MS + 1,
        }, now),
      (error) =>
        error instanceof PairError && error.code === 1000 && error.details.reason === "clock_skew",
    );
  }
});

Deno.test("a map's fields cannot be stamped further ahead than its versions", () => {
  const strategy = conflictStrategy("merge:map")!;
  const write = {
    context: undefined,
    value: new TextEncoder().encode('{"a":1}'),
    timestampMs: 1_000_000,
    expiresAtMs: 0,
  };
  const { written } = strategy.coordinate([], "a", write);
  strategy.checkVersion({ ...written, timestampMs: 5 }, 1_000_000 - HLC_SKEW_MS);
  assert.throws(
    () => strategy.checkVersion({ ...written, timestampMs: 5 }, 999_999 - HLC_SKEW_MS),
    (error) => error instanceof PairError && error.details.reason === "clock_skew",
  );
});

Deno.test("under lww a key is dead when its latest version is", () => {
  fc.assert(
    fc.property(state.filter(({ length }) => length > 0), (versions) => {
      const bytes = encodeVersions(versions);
      const since = lwwOperator.deadSince(bytes, 0, bytes.length);
      const [latest] = lww.resolve(versions, 0);
      if (since === 0) {
        const dies = latest.value === undefined || latest.expiresAtMs !== 0;
        // Kept for its counters, or alive for ever.
        const floor = lwwOperator.floor(bytes, 0, bytes.length);
        assert.ok(!dies || floor > Number.MAX_SAFE_INTEGER / 2 || latest.timestampMs === 0);
      } else assert.ok(!isLive(latest, since));
      if (versions.length === 1) {
        assert.equal(since, reconcileOperator.deadSince(bytes, 0, bytes.length));
      }
      assert.equal(lwwOperator.deadSince(bytes, 0, bytes.length - 1), 0);
    }),
    { numRuns: 500 },
  );
});
