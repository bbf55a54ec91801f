import assert from "node:assert/strict";
import fc from "fast-check";
import { ReceiveWindow, SendWindow } from "../../../../src/rpc/http2/flow_control.ts";
import { ERROR, Http2Error, MAX_31 } from "../../../../src/rpc/http2/frames.ts";

const isFlowError = (streamId: number) => (error: unknown) =>
  error instanceof Http2Error && error.code === ERROR.FLOW_CONTROL_ERROR &&
  error.streamId === streamId;

Deno.test("SendWindow goes below zero by a change of SETTINGS, and comes back", () => {
  const window = new SendWindow(65_535);
  window.take(65_535);
  window.widen(-65_000, 0);
  assert.equal(window.bytes, -65_000);
  window.widen(64_999, 1);
  assert.equal(window.bytes, -1);
  window.widen(2, 1);
  assert.equal(window.bytes, 1);
});

Deno.test("SendWindow is no wider than 2^31 - 1", () => {
  const window = new SendWindow(65_535);
  window.widen(MAX_31 - 65_535, 3);
  assert.equal(window.bytes, MAX_31);
  assert.throws(() => window.widen(1, 3), isFlowError(3));
  assert.throws(() => new SendWindow(MAX_31).widen(1, 0), isFlowError(0));
});

Deno.test("ReceiveWindow never grants nothing or less, nor more than its size", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 1000 }),
      fc.array(fc.tuple(fc.boolean(), fc.nat({ max: 400 })), { maxLength: 200 }),
      (size, steps) => {
        const window = new ReceiveWindow(size);
        let allowed = size;
        let held = 0;
        for (const [isData, bytes] of steps) {
          if (isData) {
            if (bytes > allowed) {
              assert.throws(() => window.receive(bytes, 7), isFlowError(7));
              return;
            }
            window.receive(bytes, 7);
            allowed -= bytes;
            held += bytes;
          } else {
            const used = Math.min(bytes, held);
            held -= used;
            const increment = window.consume(used);
            assert.ok(increment >= 0);
            allowed += increment;
            assert.ok(allowed + held <= size, "what is on its way and what is held fit the window");
          }
        }
        // With all of it consumed at least half of the window is open: nobody waits for ever.
        if (held > 0) allowed += window.consume(held);
        assert.ok(allowed > 0 && allowed * 2 >= size - 1, `${allowed} of ${size}`);
      },
    ),
  );
});
