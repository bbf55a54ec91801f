import assert from "node:assert/strict";
import fc from "fast-check";
import { FrameReader } from "../../../../src/rpc/http2/frame_reader.ts";
import { ERROR, Http2Error } from "../../../../src/rpc/http2/frames.ts";
import { frame } from "../../../support/raw_http2.ts";
import { joined } from "../../../support/http2_peer.ts";

interface Taken {
  type: number;
  flags: number;
  stream: number;
  payload: Uint8Array;
}

const someFrame = fc.record({
  type: fc.nat({ max: 255 }),
  flags: fc.nat({ max: 255 }),
  stream: fc.nat({ max: 2 ** 31 - 1 }),
  payload: fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.constant(new Uint8Array(16_384).fill(7))),
}, { noNullPrototype: true });

/** Bytes in pieces that end at the given places. */
function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const ends = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) =>
    a - b
  );
  const pieces: Uint8Array[] = [];
  let from = 0;
  for (const end of [...ends, bytes.length]) {
    pieces.push(bytes.slice(from, end));
    from = end;
  }
  return pieces;
}

function collect(pieces: readonly Uint8Array[]): Taken[] {
  const taken: Taken[] = [];
  const reader = new FrameReader((type, flags, stream, bytes, start, end) => {
    taken.push({ type, flags, stream, payload: bytes.subarray(start, end) });
  });
  for (const piece of pieces) {
    reader.read(piece, (error) => {
      throw error;
    });
  }
  return taken;
}

Deno.test("FrameReader gives the same frames however the bytes are cut, and payloads stay as they are", () => {
  fc.assert(
    fc.property(
      fc.array(someFrame, { maxLength: 6 }),
      fc.array(fc.nat({ max: 60_000 }), { maxLength: 20 }),
      (frames, places) => {
        const bytes = joined(
          frames.map(({ type, flags, stream, payload }) => frame(type, flags, stream, payload)),
        );
        const taken = collect(cut(bytes, places));
        assert.deepEqual(taken.map((each) => ({ ...each, payload: each.payload.slice() })), frames);
        // No two payloads share memory, as a buffer that is used again would make them.
        const again = taken.map(({ payload }) => payload.slice());
        for (const { payload } of taken) payload.fill(payload.length % 256);
        for (const [i, { payload }] of taken.entries()) {
          assert.ok(payload.every((byte) => byte === again[i].length % 256));
        }
      },
    ),
    { numRuns: 300 },
  );
});

Deno.test("FrameReader takes single bytes", () => {
  const bytes = joined([
    frame(6, 0, 0, new Uint8Array(8)),
    frame(4, 1, 0),
    frame(0, 1, 5, bytesTo(300)),
  ]);
  const taken = collect([...bytes].map((byte) => Uint8Array.of(byte)));
  assert.deepEqual(taken.map(({ type, payload }) => [type, payload.length]), [[6, 8], [4, 0], [
    0,
    300,
  ]]);
  assert.deepEqual(taken[2].payload, bytesTo(300));
});

Deno.test("FrameReader refuses a frame that is too large by its header alone", () => {
  const header = Uint8Array.of(0, 0x40, 0x01, 0, 0, 0, 0, 0, 1);
  for (const pieces of [[header], cut(header, [3]), cut(header, [8])]) {
    assert.throws(
      () => collect(pieces),
      (error: unknown) => error instanceof Http2Error && error.code === ERROR.FRAME_SIZE_ERROR,
    );
  }
});

Deno.test("FrameReader tells of errors and goes on, until it is stopped", () => {
  const seen: number[] = [];
  const errors: unknown[] = [];
  const reader: FrameReader = new FrameReader((type) => {
    seen.push(type);
    if (type === 2) throw new Error("two");
    if (type === 3) reader.stop();
  });
  const bytes = joined([1, 2, 1, 3, 1].map((type) => frame(type, 0, 0)));
  reader.read(bytes, (error) => errors.push(error));
  reader.read(bytes, (error) => errors.push(error));
  assert.deepEqual(seen, [1, 2, 1, 3]);
  assert.equal(errors.length, 1);
});

function bytesTo(count: number): Uint8Array {
  return Uint8Array.from({ length: count }, (_, i) => i);
}
