import assert from "node:assert/strict";
import fc from "fast-check";
import { LastWrites } from "../../../../src/engine/second_level/last_writes.ts";
import { murmur3 } from "../../../../src/model/mod.ts";

Deno.test("a key that was written is never said not to be, and one of few that was not is", () => {
  fc.assert(fc.property(
    fc.array(fc.tuple(fc.nat(3), fc.uint8Array({ maxLength: 4 })), { minLength: 1, maxLength: 50 }),
    (written) => {
      const writes = new LastWrites();
      written.forEach(([tree, key], i) => writes.note(tree, murmur3(key, 1), i + 1));
      written.forEach(([tree, key], i) => {
        assert.ok(writes.mayBeAfter(tree, murmur3(key, 1), i));
        assert.ok(!writes.mayBeAfter(tree, murmur3(key, 1), written.length));
      });
      assert.ok(!writes.mayBeAfter(9, murmur3(new Uint8Array(5), 1), 0));
    },
  ));
});

Deno.test("keys spread over the slots: of as many others as a hundredth of them, about a hundredth is in one's way", () => {
  const writes = new LastWrites();
  const hash = (i: number) => murmur3(new TextEncoder().encode(`key ${i}`), 1);
  for (let i = 0; i < 10_000; i++) writes.note(i % 7, hash(i), i + 1);
  let inTheWay = 0;
  for (let i = 10_000; i < 20_000; i++) if (writes.mayBeAfter(i % 7, hash(i), 0)) inTheWay++;
  assert.ok(inTheWay > 50 && inTheWay < 150, `${inTheWay} of 10000`);
});
