import assert from "node:assert/strict";
import { History } from "../../support/history.ts";

/** What is there, by key of tenant t. */
function seen(keys: Record<string, { id: number }>): Map<string, number> {
  return new Map(Object.entries(keys).map(([key, { id }]) => [`t:${key}`, id]));
}

Deno.test("History: an acknowledged put must be there", () => {
  const history = new History();
  const put = history.begin("put", "t", ["a"]);
  history.acknowledge(put);
  assert.deepEqual(history.judge(seen({})), [
    "t:a holds nothing, and should hold put 1 (answered)",
  ]);
  assert.deepEqual(new History().judge(seen({})), []);
});

Deno.test("History: an unanswered put may be there or not, but what was there before must be else", () => {
  for (const which of [0, 1, 2]) {
    const history = new History();
    const before = history.begin("put", "t", ["a"]);
    history.acknowledge(before);
    const unanswered = history.begin("put", "t", ["a"]);
    const state = [seen({ a: before }), seen({ a: unanswered }), seen({})][which];
    assert.equal(history.judge(state).length, which === 2 ? 1 : 0);
    assert.equal(history.unansweredHappened, which === 1 ? 1 : 0);
  }
});

Deno.test("History: what was replaced does not come back, neither at once nor later", () => {
  const history = new History();
  const old = history.begin("put", "t", ["a"]);
  history.acknowledge(old);
  const next = history.begin("put", "t", ["a"]);
  history.acknowledge(next);
  assert.deepEqual(history.judge(seen({ a: next })), []);
  assert.equal(history.operation(old.id), undefined);
  assert.deepEqual(history.judge(seen({ a: next })), []);
  assert.match(history.judge(seen({ a: old }))[0], /replaced long ago/);
});

Deno.test("History: an acknowledged delete stays deleted", () => {
  const history = new History();
  const put = history.begin("put", "t", ["a"]);
  history.acknowledge(put);
  history.acknowledge(history.begin("delete", "t", ["a"]));
  assert.deepEqual(history.judge(seen({ a: put })), [
    "t:a holds operation 1, and should hold delete 2 (answered)",
  ]);
});

Deno.test("History: of two writes at once either may win, in any order of their answers", () => {
  for (const winner of [0, 1]) {
    const history = new History();
    const both = [history.begin("put", "t", ["a"]), history.begin("put", "t", ["a"])];
    history.acknowledge(both[1]);
    history.acknowledge(both[0]);
    assert.deepEqual(history.judge(seen({ a: both[winner] })), []);
  }
});

Deno.test("History: half a batch is wrong, unless the other half was replaced", () => {
  const history = new History();
  const before = history.begin("batch", "t", ["a", "b"]);
  history.acknowledge(before);
  assert.deepEqual(history.judge(seen({ a: before, b: before })), []);
  const torn = history.begin("batch", "t", ["a", "b"]);
  assert.deepEqual(history.judge(seen({ a: torn, b: before })), [
    "t:b holds operation 1, and should hold batch 2 (seen elsewhere)",
  ]);
  const batch = history.begin("batch", "t", ["a", "b"]);
  const after = history.begin("put", "t", ["b"]);
  assert.deepEqual(history.judge(seen({ a: batch, b: after })), []);
});

Deno.test("History: an unanswered batch may be absent whole", () => {
  const history = new History();
  history.begin("batch", "t", ["a", "b"]);
  assert.deepEqual(history.judge(seen({})), []);
});

Deno.test("History: a value that nobody wrote there is wrong", () => {
  const history = new History();
  const put = history.begin("put", "t", ["a"]);
  assert.equal(history.judge(seen({ a: put, b: put })).length, 1);
});
