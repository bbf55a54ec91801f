import assert from "node:assert/strict";
import fc from "fast-check";
import { DeficitQueue } from "../../../src/rpc/deficit_queue.ts";

function drain<T>(queue: DeficitQueue<T>): T[] {
  const items: T[] = [];
  while (queue.length > 0) items.push(queue.next()!);
  return items;
}

Deno.test("DeficitQueue: those who wait take turns, each in its own order [B2]", () => {
  const queue = new DeficitQueue<string>(2);
  for (let i = 0; i < 6; i++) queue.push("a", `a${i}`, 1);
  queue.push("b", "b0", 1);
  queue.push("c", "c0", 2);
  queue.push("c", "c1", 2);
  assert.deepEqual([queue.length, queue.keys, queue.lengthOf("a"), queue.lengthOf("d")], [
    9,
    3,
    6,
    0,
  ]);
  assert.deepEqual(drain(queue), ["a0", "a1", "b0", "c0", "a2", "a3", "c1", "a4", "a5"]);
  assert.deepEqual([queue.length, queue.keys, queue.next()], [0, 0, undefined]);
});

Deno.test("DeficitQueue: what costs more than a quantum waits for several rounds [B2]", () => {
  const queue = new DeficitQueue<string>(2);
  queue.push("a", "large", 5);
  for (let i = 0; i < 8; i++) queue.push("b", `b${i}`, 1);
  assert.deepEqual(drain(queue).indexOf("large"), 4);
});

Deno.test("DeficitQueue: nobody saves up while it has nothing to do [B2]", () => {
  const queue = new DeficitQueue<string>(10);
  queue.push("a", "a", 1);
  assert.equal(queue.next(), "a");
  for (let i = 0; i < 30; i++) queue.push("a", `a${i}`, 1);
  queue.push("b", "b", 1);
  assert.equal(drain(queue).indexOf("b"), 10);
});

Deno.test("DeficitQueue: nothing is lost or overtaken, and those who always wait get the same [B2]", () => {
  const item = fc.record({
    key: fc.constantFrom("a", "b", "c"),
    cost: fc.integer({ min: 1, max: 9 }),
  });
  fc.assert(
    fc.property(
      fc.array(item, { maxLength: 300 }),
      fc.integer({ min: 1, max: 12 }),
      (items, quantum) => {
        const queue = new DeficitQueue<{ key: string; cost: number; at: number }>(quantum);
        items.forEach(({ key, cost }, at) => queue.push(key, { key, cost, at }, cost));
        const served = new Map<string, number>();
        const last = new Map<string, number>();
        let left = items.length;
        while (queue.length > 0) {
          const { key, cost, at } = queue.next()!;
          left--;
          assert.ok((last.get(key) ?? -1) < at);
          last.set(key, at);
          served.set(key, (served.get(key) ?? 0) + cost);
          const waiting = ["a", "b", "c"].filter((key) => queue.lengthOf(key) > 0);
          const amounts = waiting.map((key) => served.get(key) ?? 0);
          // The paper's bound: two quanta and the largest item apart, at most.
          for (const one of amounts) {
            for (const other of amounts) assert.ok(one - other <= 2 * quantum + 9);
          }
        }
        assert.equal(left, 0);
      },
    ),
  );
});
