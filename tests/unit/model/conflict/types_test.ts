/**
 * Data types against models that remember every operation, on replicas that meet in any order; and the laws of
 * a join for every state that comes of it.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  conflictStrategy,
  type DataType,
  decodeVersions,
  encodeVersions,
  fromUtf8,
  MAX_ELEMENTS,
  MAX_VALUE_BYTES,
  mergeVersions,
  PairError,
  utf8,
  type VectorClock,
} from "../../../../src/model/mod.ts";
import { Counter } from "../../../../src/model/conflict/counter.ts";
import { Extreme } from "../../../../src/model/conflict/extreme.ts";
import { FieldMap } from "../../../../src/model/conflict/map.ts";
import { ElementSet } from "../../../../src/model/conflict/set.ts";
import { MODELS } from "../../../support/data_types.ts";
import {
  histories,
  isBadOperation,
  playReplicas,
  settle,
  shown,
  surviving,
} from "../../../support/replicas.ts";

function same(a: Uint8Array, b: Uint8Array): void {
  assert.deepEqual([...a], [...b]);
}

/** A join: as bytes, whatever the order and the grouping. */
function checkLaws({ merge }: Pick<DataType, "merge">, states: readonly Uint8Array[]): void {
  for (const a of states) {
    same(merge(a, a), a);
    for (const b of states) {
      const both = merge(a, b);
      same(merge(b, a), both);
      same(merge(both, b), both);
      for (const c of states) same(merge(both, c), merge(a, merge(b, c)));
    }
  }
}

for (const { type, values, show } of MODELS) {
  const strategy = conflictStrategy(`merge:${type.name}`)!;

  Deno.test(`merge:${type.name} shows what its model does, on three replicas that meet in any order`, () => {
    fc.assert(
      fc.property(
        histories(values),
        fc.array(fc.nat(), { minLength: 9, maxLength: 9 }),
        (steps, order) => {
          const { replicas, operations } = playReplicas(strategy, steps, (replica, operations) => {
            const alive = surviving(replica, operations);
            const known = operations.filter(({ id }) => replica.known.has(id));
            const expected = alive.length === 0 ? undefined : show(alive, known);
            assert.equal(shown(strategy, replica.state), expected);
          });
          settle(replicas, order);
          for (const { state } of replicas) {
            if (state.length === 0) continue;
            same(encodeVersions(state), encodeVersions(replicas[0].state));
            const alive = surviving(replicas[0], operations);
            assert.equal(
              shown(strategy, state),
              alive.length === 0 ? undefined : show(alive, operations),
            );
          }
        },
      ),
      { numRuns: 400 },
    );
  });

  Deno.test(`merge:${type.name} is a join: commutative, associative, idempotent, as bytes`, () => {
    const join = { merge: type.merge.bind(type) };
    fc.assert(
      fc.property(histories(values), (steps) => {
        const { states, replicas } = playReplicas(strategy, steps);
        checkLaws(join, states.slice(-6));
        for (const state of states) {
          // What a delete leaves is a state as well, and never brings back what it has removed.
          const cleared = type.clear(state);
          if (cleared === undefined) continue;
          checkLaws(join, [state, cleared, ...states.slice(-2)]);
          same(type.merge(state, cleared), cleared);
        }
        for (const version of replicas.flatMap(({ state }) => state)) {
          strategy.checkVersion(version, 1_000_000);
        }
      }),
      { numRuns: 100 },
    );
  });

  Deno.test(`merge:${type.name} takes up what it has shown: an export can be imported`, () => {
    fc.assert(
      fc.property(histories(values), (steps) => {
        const { replicas } = playReplicas(strategy, steps);
        const text = shown(strategy, replicas[0].state);
        if (text === undefined) return;
        const write = { context: undefined, value: utf8(text), timestampMs: 1, expiresAtMs: 0 };
        assert.equal(shown(strategy, strategy.coordinate([], "new", write).versions), text);
      }),
      { numRuns: 200 },
    );
  });
}

const EVENT = { node: "n1", counter: 1, stampMs: 1 };
const DEEP = '{"a":' + "[".repeat(100_000) + "]".repeat(100_000) + "}";
const BAD: readonly [DataType, readonly string[]][] = [
  [new Counter(), [
    "",
    "x",
    "1.5",
    "--1",
    "+",
    " 1",
    "1 ",
    "9007199254740992",
    "1e3",
    "0x10",
    "+-1",
    "1".repeat(1000),
  ]],
  [new ElementSet("gset"), [
    "",
    "x",
    "1",
    "null",
    '"a"',
    "[1]",
    "[[]]",
    '{"add":"a"}',
    '{"remove":["a"]}',
    '{"ad":[]}',
    '["\\ud800"]',
    '{"none":true}',
  ]],
  [new ElementSet("orset"), [
    '{"add":["a"],"remove":["a"]}',
    '{"add":[],"x":1}',
    '{"remove":1}',
    "[1e999]",
    DEEP,
  ]],
  [new FieldMap(), ["", "[]", "1", "null", '"a"', '{"a":1e999}', '{"\\ud800":1}', "{", DEEP]],
  [new Extreme("max"), [
    "",
    "x",
    "NaN",
    "Infinity",
    "1e999",
    "01",
    "+1",
    ".5",
    "0x1",
    "9007199254740993",
    "1".repeat(65),
  ]],
  [new Extreme("min"), [" 1", "1,5", "-"]],
];

Deno.test("what is no operation of a data type is refused (1000)", () => {
  for (const [type, texts] of BAD) {
    for (const text of texts) {
      assert.throws(
        () => type.apply(undefined, utf8(text), EVENT),
        isBadOperation,
        `${type.name} ${text.slice(0, 40)}`,
      );
    }
    assert.throws(() => type.apply(undefined, Uint8Array.of(0x31, 0xff), EVENT), isBadOperation);
  }
});

Deno.test("a map refuses whole numbers that it would show with other digits, wherever they stand", () => {
  const type = new FieldMap();
  const put = (text: string) => fromUtf8(type.view(type.apply(undefined, utf8(text), EVENT)));
  const exact = ["9007199254740991", "-9007199254740991", "9007199254740992", "0", "0.1", "1e+21"];
  for (const number of [...exact, "123456789012345680000"]) {
    assert.equal(
      put(`{"a":${number},"t":"9007199254740993"}`),
      `{"a":${number},"t":"9007199254740993"}`,
    );
  }
  assert.equal(put('{"a":-0,"t":"9007199254740993"}'), '{"a":0,"t":"9007199254740993"}');
  for (
    const number of [
      "9007199254740993",
      "-9007199254740993",
      "123456789012345683968",
      "1" + "0".repeat(21),
    ]
  ) {
    for (const text of [`{"a":${number}}`, `{"a":[{"b":${number}}]}`]) {
      assert.throws(() => put(text), isBadOperation, text);
    }
  }
});

Deno.test("a counter holds 2^53 - 1 for each node and direction, and says so beyond", () => {
  const type = new Counter();
  const max = utf8(String(Number.MAX_SAFE_INTEGER));
  const one = type.apply(undefined, max, EVENT);
  assert.throws(() => type.apply(one, utf8("1"), EVENT), isBadOperation);
  const less = type.apply(one, utf8("-9007199254740991"), EVENT);
  assert.equal(fromUtf8(type.view(less)), "0");
  const two = type.merge(one, type.apply(undefined, max, { ...EVENT, node: "n2" }));
  assert.equal(fromUtf8(type.view(two)), "18014398509481982");
});

Deno.test("a node whose counter was dropped with a delete begins another row", () => {
  const strategy = conflictStrategy("merge:counter")!;
  const write = (value: string | undefined, purgeFloor = 0) => ({
    context: undefined,
    value: value === undefined ? undefined : utf8(value),
    timestampMs: 1,
    expiresAtMs: 0,
    purgeFloor,
  });
  const five = strategy.coordinate([], "a", write("5")).versions;
  // Another node has seen the delete, and keeps it; its own write makes the two concurrent later.
  const gone = strategy.coordinate(five, "a", write(undefined)).versions;
  const other = strategy.coordinate(gone, "b", write("1")).versions;
  const anew = strategy.coordinate([], "a", write("3", 2)).versions;
  const both = [...other, ...anew].sort((x, y) => x.dot!.node < y.dot!.node ? -1 : 1);
  assert.equal(shown(strategy, decodeVersions(encodeVersions(both))), "4");
  // And goes on with that: of the old one somebody may know more than it does now.
  const next = strategy.coordinate(both, "a", write("10")).written.value!;
  const type = new Counter();
  const event = { node: "a", counter: 1, stampMs: 0 };
  const more = type.clear(type.apply(undefined, utf8("20"), event));
  assert.equal(fromUtf8(type.view(type.merge(next, more))), "14");
});

Deno.test("a value whose time is over counts as deleted, and what was added meanwhile stays", () => {
  const strategy = conflictStrategy("merge:counter")!;
  const add = (value: string, timestampMs: number, expiresAtMs: number) => ({
    context: undefined,
    value: utf8(value),
    timestampMs,
    expiresAtMs,
  });
  const first = strategy.coordinate([], "a", add("5", 1, 10)).versions;
  assert.equal(shown(strategy, first, 9), "5");
  assert.equal(
    shown(strategy, strategy.resolve(first, 10).filter(({ expiresAtMs }) => expiresAtMs > 10), 10),
    undefined,
  );
  // Written in time: the whole key lives as long as its last write says.
  const inTime = strategy.coordinate(first, "b", add("3", 9, 100)).versions;
  assert.equal(shown(strategy, inTime, 50), "8");
  const late = strategy.coordinate(first, "b", add("3", 10, 0)).versions;
  assert.equal(shown(strategy, late, 50), "3");
  // An expiry in the moment of the write is put off: it is the mark of a delete.
  const [soon] = strategy.coordinate([], "a", add("5", 10, 10)).versions;
  assert.equal(soon.expiresAtMs, 11);
});

Deno.test("a state that names events which its version has not seen is refused (1000)", () => {
  for (const [name, value] of [["counter", "1"], ["orset", '["a"]'], ["map", '{"a":1}']]) {
    const strategy = conflictStrategy(`merge:${name}`)!;
    const write = { context: undefined, value: utf8(value), timestampMs: 1, expiresAtMs: 0 };
    const before = strategy.coordinate([], "a", write).versions;
    const { written } = strategy.coordinate(before, "b", write);
    strategy.checkVersion(written, 1);
    const clock = { ...written.clock, entries: written.clock.entries.slice(0, 1) };
    assert.throws(
      () => strategy.checkVersion({ ...written, clock }, 1),
      (error) => error instanceof PairError && error.code === 1000,
    );
  }
});

Deno.test("a context from another node does not make an operation pass for taken up that is not", () => {
  const strategy = conflictStrategy("merge:counter")!;
  const add = (value: string, context?: VectorClock) => ({
    context,
    value: utf8(value),
    timestampMs: 1,
    expiresAtMs: 0,
  });
  const here = strategy.coordinate([], "a", add("1"));
  const there = strategy.coordinate([], "b", add("10"));
  const next = strategy.coordinate(here.versions, "a", add("100", there.written.clock));
  assert.equal(shown(strategy, mergeVersions(next.versions, there.versions)), "111");
  const forged = { entries: [{ node: "a", counter: 2 }], dots: [] };
  assert.throws(() => strategy.coordinate(here.versions, "a", add("1", forged)), PairError);
});

Deno.test("a set takes 10,000 elements, and what nodes took at once beyond that only shrinks", () => {
  const strategy = conflictStrategy("merge:orset")!;
  const texts = (from: number, count: number) =>
    Array.from({ length: count }, (_, i) => `${from + i}`);
  const write = (operation: unknown) => ({
    context: undefined,
    value: utf8(JSON.stringify(operation)),
    timestampMs: 1,
    expiresAtMs: 0,
  });
  const isTooLarge = (error: unknown) =>
    error instanceof PairError && error.code === 1003 && error.details.limit === MAX_ELEMENTS;
  const full = strategy.coordinate([], "a", write(texts(0, MAX_ELEMENTS)));
  assert.throws(() => strategy.coordinate(full.versions, "a", write(["x"])), isTooLarge);
  strategy.coordinate(full.versions, "a", write(["7"]));
  const other = strategy.coordinate([], "b", write(["x", "y"]));
  const both = mergeVersions(full.versions, other.versions);
  assert.throws(() => strategy.coordinate(both, "a", write(["z"])), isTooLarge);
  strategy.coordinate(both, "a", write({ add: ["z"], remove: ["y"] }));
});

Deno.test("what a delete leaves is a delete on a clock that runs behind, too", () => {
  const strategy = conflictStrategy("merge:orset")!;
  const put = { context: undefined, value: utf8('["a"]'), timestampMs: 5, expiresAtMs: 0 };
  const { versions } = strategy.coordinate([], "a", put);
  const gone = strategy.coordinate(versions, "a", { ...put, value: undefined, timestampMs: 1000 });
  assert.equal(shown(strategy, gone.versions, 1), undefined);
  assert.equal(strategy.resolve(gone.versions, 1)[0].value, undefined);
});

Deno.test("a state that would be larger than a value, stored or shown, is refused (1003)", () => {
  const strategy = conflictStrategy("merge:gset")!;
  const write = (texts: readonly string[]) => ({
    context: undefined,
    value: utf8(JSON.stringify(texts)),
    timestampMs: 1,
    expiresAtMs: 0,
  });
  const isTooLarge = (error: unknown) => error instanceof PairError && error.code === 1003;
  const half = "x".repeat(MAX_VALUE_BYTES / 2);
  const { versions } = strategy.coordinate([], "a", write([half]));
  assert.throws(() => strategy.coordinate(versions, "a", write([`y${half}`])), isTooLarge);
  // Each of these takes one byte, and six to show.
  assert.throws(
    () => strategy.coordinate([], "a", write(["\u0001".repeat(MAX_VALUE_BYTES / 5)])),
    isTooLarge,
  );
});

Deno.test("states are the bytes that the heads of their files draw", () => {
  const event = { node: "n1", counter: 300, stampMs: 5 };
  const hex = (type: DataType, ...values: readonly string[]) => {
    let state: Uint8Array | undefined;
    for (const value of values) state = type.apply(state, utf8(value), event);
    return [state!.toHex(), type.clear(state!)?.toHex()];
  };
  // Tag, one row: "n1", event 300, 7 added, 2 taken; of which none, and all, are deleted.
  const row = "01" + "01" + "026e31" + "ac02" + "07" + "02";
  assert.deepEqual(hex(new Counter(), "7", "-2"), [row + "00" + "00", row + "07" + "02"]);
  // Tag, one node: "n1" up to 300; one element: "a", put there by place 0 with event 300.
  const seen = "01" + "026e31" + "ac02";
  const put = "01" + "0161" + "01" + "00" + "ac02";
  for (const name of ["gset", "orset"] as const) {
    assert.deepEqual(hex(new ElementSet(name), '["a"]'), [`02${seen}${put}`, `02${seen}00`]);
  }
  // The same, with the stamp 5 and the value 12.
  assert.deepEqual(hex(new FieldMap(), '{"a":12}'), [
    `03${seen}${put}05${"023132"}`,
    `03${seen}00`,
  ]);
  assert.deepEqual(hex(new Extreme("max"), "1", "-0.5"), ["0431", undefined]);
  assert.deepEqual(hex(new Extreme("min"), "1", "-0.5"), ["042d302e35", undefined]);
});
