import assert from "node:assert/strict";
import fc from "fast-check";
import {
  addDot,
  checkState,
  type ClientWrite,
  clockSize,
  coordinateWrite,
  EMPTY_CLOCK,
  includes,
  joinVersions,
  MAX_COUNTER,
  normalizeClock,
  PairError,
  type VectorClock,
  type Version,
} from "../../../src/model/mod.ts";
import { clock, isCanonical, state } from "../../support/arbitraries.ts";

function write(
  local: readonly Version[],
  context?: VectorClock,
  fields: Partial<ClientWrite> = {},
) {
  const value = Uint8Array.of(1);
  return coordinateWrite(local, "n", { context, value, timestampMs: 1, expiresAtMs: 0, ...fields });
}

function entries(...entries: [string, number][]): VectorClock {
  return normalizeClock({
    entries: entries.map(([node, counter]) => ({ node, counter })),
    dots: [],
  });
}

function throwsCode(run: () => unknown, code: number): void {
  assert.throws(run, (error) => error instanceof PairError && error.code === code);
}

/** `count` versions that have not seen each other. */
function siblings(count: number): readonly Version[] {
  let local: readonly Version[] = [];
  for (let i = 0; i < count; i++) local = write(local, EMPTY_CLOCK).versions;
  assert.equal(local.length, count);
  return local;
}

const reasonOf = (error: unknown) => error instanceof PairError && error.details.reason;

Deno.test("a write without context replaces all that the node has", () => {
  fc.assert(fc.property(state, (local) => {
    const { versions, written } = write(local);
    assert.deepEqual(versions, [written]);
    for (const { clock } of local) assert.ok(includes(written.clock, clock));
  }));
});

Deno.test("a write with a context replaces what the context covers and keeps the rest", () => {
  const first = write([], EMPTY_CLOCK);
  const second = write(first.versions, EMPTY_CLOCK);
  assert.equal(second.versions.length, 2);
  const third = write(second.versions, first.written.clock);
  assert.deepEqual(new Set(third.versions), new Set([second.written, third.written]));
  // The answer's clock is the new version's own: it has not seen the sibling.
  assert.deepEqual(third.written.clock, {
    entries: [{ node: "n", counter: 1 }],
    dots: [{ node: "n", counter: 3 }],
  });
  const fourth = write(third.versions, joinVersions(third.versions));
  assert.deepEqual(fourth.versions, [fourth.written]);
  assert.deepEqual(fourth.written.clock, entries(["n", 4]));
});

Deno.test("a context that names a version's own event alone stands for the version's history", () => {
  const foreign = write([], entries(["m", 7]));
  assert.deepEqual(foreign.written.clock, entries(["m", 7], ["n", 1]));
  const made = write(foreign.versions, entries(["n", 1]));
  assert.deepEqual(made.versions, [made.written]);
  assert.deepEqual(made.written.clock, entries(["m", 7], ["n", 2]));
});

Deno.test("each write is a new event of the node, above all that it knows of itself [E39]", () => {
  fc.assert(fc.property(state, fc.boolean(), (local, blind) => {
    const { written, versions } = coordinateWrite(local, "b", {
      context: blind ? undefined : EMPTY_CLOCK,
      value: undefined,
      timestampMs: 1,
      expiresAtMs: 0,
    });
    for (const { clock } of local) {
      for (const { node, counter } of [...clock.entries, ...clock.dots]) {
        if (node === "b") assert.ok(written.dot!.counter > counter);
      }
    }
    assert.ok(isCanonical(versions));
    assert.ok(versions.includes(written));
  }));
});

Deno.test("a context with events of this node that it does not know is refused (1000)", () => {
  throwsCode(() => write([], entries(["n", 1])), 1000);
  const { versions } = write([]);
  throwsCode(() => write(versions, entries(["n", 2])), 1000);
  throwsCode(() => write(versions, addDot(EMPTY_CLOCK, { node: "n", counter: 9 })), 1000);
  write(versions, entries(["n", 1], ["elsewhere", 1_000_000]));
});

Deno.test("a counter at 2^53 - 1 takes no more writes (1000)", () => {
  const clock = entries(["n", MAX_COUNTER - 1]);
  const near = [{ clock, dot: undefined, value: undefined, timestampMs: 1, expiresAtMs: 0 }];
  const last = write(near);
  assert.equal(last.written.dot!.counter, MAX_COUNTER);
  throwsCode(() => write(last.versions), 1000);
  throwsCode(() => write(last.versions, EMPTY_CLOCK), 1000);
});

Deno.test("100 siblings are kept, one more is refused (2008), and a write that saw them is taken", () => {
  const full = siblings(100);
  throwsCode(() => write(full, EMPTY_CLOCK), 2008);
  assert.equal(write(full, full[0].clock).versions.length, 100);
  assert.equal(write(full, joinVersions(full)).versions.length, 1);
  assert.equal(write(full).versions.length, 1);
});

Deno.test("interleaved clients that read and write make no more siblings than there are clients", () => {
  const clients = 4;
  let local: readonly Version[] = [];
  const contexts = new Array<VectorClock>(clients).fill(EMPTY_CLOCK);
  for (let round = 0; round < 100; round++) {
    const client = round % clients;
    // Reads just before the others write, so that its next write has missed theirs.
    const made = write(local, contexts[client]);
    local = made.versions;
    contexts[client] = joinVersions(local);
    assert.ok(local.length <= clients);
    assert.ok(clockSize(made.written.clock) <= 1 + clients);
  }
});

Deno.test("a clock is bounded: writers that never read are refused (2008) at 1000 entries, readers go on", () => {
  let local: readonly Version[] = [];
  const contexts = [EMPTY_CLOCK, EMPTY_CLOCK];
  let round = 0;
  const step = () => {
    const made = write(local, contexts[round % 2]);
    local = made.versions;
    contexts[round % 2] = made.written.clock;
    round++;
  };
  throwsCode(() => {
    for (;;) step();
  }, 2008);
  assert.ok(round > 1000);
  assert.equal(clockSize(write(local, joinVersions(local)).written.clock), 1);
  const many = Array.from({ length: 1000 }, (_, i): [string, number] => [`m${i}`, 1]);
  throwsCode(() => write([], entries(...many)), 2008);
  assert.throws(() => write([], entries(...many)), (error) => reasonOf(error) === "clock");
});

Deno.test("a clock beyond its limit grows no more but by the node itself, and whoever saw it may write", () => {
  const [one] = siblings(1);
  const many = (count: number) =>
    Array.from({ length: count }, (_, i): [string, number] => [`m${i}`, 1]);
  for (const others of [999, 1000, 1500, 2000]) {
    let local: readonly Version[] = [{ ...one, dot: undefined, clock: entries(...many(others)) }];
    for (let round = 1; round < 4; round++) {
      ({ versions: local } = write(local, round === 2 ? joinVersions(local) : undefined));
      assert.deepEqual(joinVersions(local), entries(...many(others), ["n", round]));
    }
    // Nobody has seen this one of the node before, and it would be one more beside the node's first.
    throwsCode(() => write(local, entries(["stranger", 1], ["second", 1])), 2008);
    // A sibling is no more than that: its writer has seen nothing.
    assert.equal(write(local, EMPTY_CLOCK).versions.length, 2);
  }
});

Deno.test("gaps in the node's own events do not lengthen a clock that is long already", () => {
  const [one] = siblings(1);
  const others = Array.from({ length: 1000 }, (_, i) => ({ node: `m${i}`, counter: 1 }));
  const gap = normalizeClock({ entries: others, dots: [{ node: "n", counter: 7 }] });
  let local: readonly Version[] = [{ ...one, dot: undefined, clock: gap }];
  for (let counter = 8; counter < 12; counter++) {
    ({ versions: local } = write(local));
    assert.equal(clockSize(local[0].clock), 1001);
    assert.deepEqual(local[0].dot, { node: "n", counter });
  }
});

Deno.test("checkState() bounds the bytes of siblings and the clock that covers them (2008)", () => {
  const [version] = siblings(1);
  const big = { ...version, value: new Uint8Array(33 * 1024 * 1024) };
  checkState([big]);
  throwsCode(() => checkState([big, big]), 2008);
  assert.throws(() => checkState([big, big]), (error) => reasonOf(error) === "siblings");
  const half = (prefix: string) => ({
    ...version,
    clock: entries(...Array.from({ length: 1001 }, (_, i): [string, number] => [prefix + i, 1])),
  });
  throwsCode(() => checkState([half("a"), half("b")]), 2008);
});

Deno.test("above a floor of dropped states: counters go on from there, and what was not seen stays", () => {
  const contexts = fc.option(clock, { nil: undefined });
  fc.assert(fc.property(state, contexts, fc.nat({ max: 20 }), (local, context, purgeFloor) => {
    const known = joinVersions(local);
    // A context that the node could have given out, before or after it dropped something.
    const honest = context?.entries.every(({ node }) => node !== "n") ? context : undefined;
    const before = write(local, honest);
    const { versions, written } = write(local, honest, { purgeFloor });
    assert.ok(written.dot!.counter > purgeFloor && written.dot!.counter > maxOf(known));
    assert.ok(isCanonical(versions));
    // The same versions give way as without a floor.
    const others = (made: typeof before) => made.versions.filter((one) => one !== made.written);
    assert.deepEqual(others({ versions, written }), others(before));
  }));
});

Deno.test("a key that begins anew claims what was dropped: its clock has no gap, then or later", () => {
  const old = write([], entries(["n", 6]), { purgeFloor: 9 });
  assert.deepEqual(old.written.clock, entries(["n", 10]));
  let { versions } = write([], undefined, { purgeFloor: 9 });
  for (let i = 11; i < 20; i++) {
    ({ versions } = write(versions, undefined, { purgeFloor: 9 }));
    assert.deepEqual(versions[0].clock, entries(["n", i]));
  }
  throwsCode(() => write([], entries(["n", 10]), { purgeFloor: 9 }), 1000);
});

function maxOf({ entries, dots }: VectorClock): number {
  return Math.max(
    0,
    ...[...entries, ...dots].filter(({ node }) => node === "n").map((e) => e.counter),
  );
}
