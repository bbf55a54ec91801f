import assert from "node:assert/strict";
import { AbuseError, ERROR, FLAG, Http2Error } from "../../../../src/rpc/http2/frames.ts";
import { HeaderBlocks } from "../../../../src/rpc/http2/header_blocks.ts";
import { type HeaderList, HpackDecoder } from "../../../../src/rpc/http2/hpack_decoder.ts";
import { SimClock } from "../../../../src/runtime/mod.ts";

/** Literals without an index: `a: b`, and `c: d`. */
const BLOCK = Uint8Array.of(0, 1, 97, 1, 98, 0, 1, 99, 1, 100);
const LIST = ["a", "b", "c", "d"];

function setUp() {
  const clock = new SimClock();
  const found: { streamId: number; headers: HeaderList; end: boolean; tooLarge: boolean }[] = [];
  let late = 0;
  const blocks = new HeaderBlocks({
    clock,
    decoder: new HpackDecoder({ maxTableBytes: 4096, maxListBytes: 1000, abortListBytes: 4000 }),
    maxBytes: 100,
    endMs: 50,
    onLate: () => void late++,
    onHeaders: (streamId, headers, end, tooLarge) =>
      void found.push({ streamId, headers, end, tooLarge }),
  });
  return { clock, blocks, found, late: () => late };
}

Deno.test("HeaderBlocks gives on a block of one frame, without padding and priority", () => {
  const { blocks, found } = setUp();
  const framed = Uint8Array.of(9, 2, 0, 0, 0, 1, 16, ...BLOCK, 0, 0, 9);
  const flags = FLAG.END_HEADERS | FLAG.PADDED | FLAG.PRIORITY | FLAG.END_STREAM;
  blocks.headers(flags, 5, framed, 1, framed.length - 1);
  assert.deepEqual(found, [{ streamId: 5, headers: LIST, end: true, tooLarge: false }]);
  assert.equal(blocks.streamId, 0);
});

Deno.test("HeaderBlocks joins frames wherever a block is cut, and keeps nothing of their chunks", async () => {
  for (let at = 0; at <= BLOCK.length; at++) {
    const { clock, blocks, found, late } = setUp();
    const first = BLOCK.slice(0, at);
    blocks.headers(0, 7, first, 0, at);
    first.fill(0xff);
    assert.equal(blocks.streamId, 7);
    blocks.continuation(0, BLOCK, at, at);
    assert.deepEqual(found, []);
    blocks.continuation(FLAG.END_HEADERS, BLOCK, at, BLOCK.length);
    assert.deepEqual(found, [{ streamId: 7, headers: LIST, end: false, tooLarge: false }]);
    assert.equal(blocks.streamId, 0);
    await clock.advance(100);
    assert.equal(late(), 0);
  }
});

Deno.test("HeaderBlocks bounds a block's bytes, frames and time", async () => {
  const large = setUp().blocks;
  large.headers(0, 1, new Uint8Array(60), 0, 60);
  assert.throws(() => large.continuation(0, new Uint8Array(41), 0, 41), AbuseError);
  const many = setUp().blocks;
  many.headers(0, 1, BLOCK, 0, 1);
  for (let i = 0; i < 32; i++) many.continuation(0, BLOCK, 0, 0);
  assert.throws(() => many.continuation(0, BLOCK, 0, 0), AbuseError);
  const slow = setUp();
  slow.blocks.headers(0, 1, BLOCK, 0, 1);
  await slow.clock.advance(49);
  assert.equal(slow.late(), 0);
  await slow.clock.advance(1);
  assert.equal(slow.late(), 1);
  const stopped = setUp();
  stopped.blocks.headers(0, 1, BLOCK, 0, 1);
  stopped.blocks.stop();
  assert.equal(stopped.clock.pendingCount, 0);
});

Deno.test("HeaderBlocks decodes a block whose stream depends on itself, then refuses the stream", () => {
  const { blocks, found } = setUp();
  // With an index: the table has it from then on.
  const framed = Uint8Array.of(0, 0, 0, 9, 16, 0x40, 1, 97, 1, 98);
  assert.throws(
    () => blocks.headers(FLAG.END_HEADERS | FLAG.PRIORITY, 9, framed, 0, framed.length),
    (error) => error instanceof Http2Error && error.streamId === 9,
  );
  blocks.headers(FLAG.END_HEADERS, 11, Uint8Array.of(0xbe), 0, 1);
  assert.deepEqual(found.map(({ headers }) => headers), [["a", "b"]]);
});

Deno.test("HeaderBlocks refuses CONTINUATION without HEADERS, and HEADERS without their priority", () => {
  const { blocks } = setUp();
  const fails = (run: () => void, code: number) =>
    assert.throws(run, (error) => error instanceof Http2Error && error.code === code);
  fails(() => blocks.continuation(FLAG.END_HEADERS, BLOCK, 0, 1), ERROR.PROTOCOL_ERROR);
  fails(() => blocks.headers(FLAG.PRIORITY, 1, BLOCK, 0, 4), ERROR.FRAME_SIZE_ERROR);
});
