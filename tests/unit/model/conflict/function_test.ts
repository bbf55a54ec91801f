/**
 * An application's function as a strategy: it merges the values of concurrent versions as they were put.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  compareBytes,
  fromUtf8,
  FunctionMerge,
  joinVersions,
  mergeVersions,
  operatorOf,
  utf8,
  type Version,
} from "../../../../src/model/mod.ts";

/** The set of all letters. */
const letters = new FunctionMerge("merge:letters", {
  merge: (a, b) => utf8([...new Set(fromUtf8(a) + fromUtf8(b))].sort().join("")),
});

function write(
  local: readonly Version[],
  node: string,
  value: string | undefined,
  expiresAtMs = 0,
  context?: Version["clock"],
) {
  return letters.coordinate(local, node, {
    context,
    value: value === undefined ? undefined : utf8(value),
    timestampMs: 1,
    expiresAtMs,
  });
}

Deno.test("a function merges concurrent values in whatever order they come together", () => {
  const written = ["ab", "bc", "d"].map((value, i) => write([], `n${i}`, value).versions);
  fc.assert(
    fc.property(fc.shuffledSubarray([0, 1, 2], { minLength: 1 }), (order) => {
      const state = order.reduce(
        (sum: readonly Version[], i) => mergeVersions(sum, written[i]),
        [],
      );
      const [shown, ...others] = letters.resolve(state, 1);
      const all = [...new Set(order.map((i) => ["ab", "bc", "d"][i]).join(""))].sort().join("");
      assert.deepEqual([fromUtf8(shown.value!), others], [all, []]);
      assert.deepEqual(shown.clock, joinVersions(state));
    }),
  );
});

Deno.test("writes with a function follow the write rule, and deletes and the expired are not merged", () => {
  const one = write([], "a", "a");
  const two = write(one.versions, "b", "b", 0, { entries: [], dots: [] });
  assert.equal(two.versions.length, 2, "a context that has seen nothing replaces nothing");
  assert.equal(fromUtf8(letters.resolve(two.versions, 1)[0].value!), "ab");
  const three = write(two.versions, "a", "c");
  assert.deepEqual(three.versions, [three.written]);

  const gone = mergeVersions(
    write(one.versions, "a", undefined).versions,
    write([], "b", "b").versions,
  );
  assert.equal(fromUtf8(letters.resolve(gone, 1)[0].value!), "b");
  const short = mergeVersions(write([], "a", "a", 10).versions, write([], "b", "b", 20).versions);
  assert.deepEqual(
    [9, 10, 20].map((nowMs) => {
      const [{ value, expiresAtMs }] = letters.resolve(short, nowMs);
      return [fromUtf8(value!), expiresAtMs];
    }),
    [["ab", 20], ["b", 20], [["a", "b"].sort((x, y) => compareBytes(utf8(y), utf8(x)))[0], 20]],
  );
  assert.deepEqual(letters.resolve([], 1), []);
  assert.equal(operatorOf(letters), "versions:merge");
});
