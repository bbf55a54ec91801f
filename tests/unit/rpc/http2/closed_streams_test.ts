import assert from "node:assert/strict";
import fc from "fast-check";
import { ClosedStreams } from "../../../../src/rpc/http2/closed_streams.ts";

Deno.test("ClosedStreams knows the last 256 and how they ended, and forgets the others", () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 700 }), (resets) => {
      const closed = new ClosedStreams();
      resets.forEach((byUs, i) => closed.add(2 * i + 1, byUs));
      resets.forEach((byUs, i) => {
        const remembered = i >= resets.length - 256;
        assert.equal(closed.has(2 * i + 1), remembered);
        assert.equal(closed.wasResetByUs(2 * i + 1), remembered && byUs);
      });
      assert.ok(!closed.has(2 * resets.length + 1));
    }),
    { numRuns: 50 },
  );
});

Deno.test("ClosedStreams knows how a stream ended last", () => {
  const closed = new ClosedStreams();
  closed.add(1, false);
  closed.add(1, true);
  assert.ok(closed.wasResetByUs(1));
});
