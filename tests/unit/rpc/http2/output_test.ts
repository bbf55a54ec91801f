import assert from "node:assert/strict";
import { Output, OUTPUT_BYTES, OutputBuffers } from "../../../../src/rpc/http2/output.ts";
import type { Connection } from "../../../../src/runtime/mod.ts";
import { FakeSocket } from "../../../support/http2_peer.ts";

function setUp() {
  const socket = new FakeSocket();
  const buffers = new OutputBuffers();
  let rooms = 0;
  const output = new Output(socket as unknown as Connection, buffers, () => rooms++);
  const put = (bytes: number) => {
    const at = output.reserve(bytes);
    output.buffer.fill(1, at, at + bytes);
  };
  return { socket, output, put, rooms: () => rooms };
}

Deno.test("Output writes what was put in one turn at once", async () => {
  const { socket, put } = setUp();
  put(10);
  put(20);
  assert.equal(socket.written.length, 0);
  await Promise.resolve();
  assert.deepEqual(socket.written.map(({ bytes }) => bytes.length), [30]);
});

Deno.test("Output holds few buffers for a peer that takes nothing, however many small things are said", async () => {
  const { socket, output, put } = setUp();
  for (let i = 0; i < 3000; i++) {
    put(17);
    await Promise.resolve();
  }
  assert.equal(output.pendingBytes, 3000 * 17);
  const held = new Set(socket.written.map(({ bytes }) => bytes.buffer));
  assert.ok(held.size <= 5, `${held.size} buffers of 64 KiB hold 51,000 bytes`);
  // The peer wakes up: all of it comes, and in order.
  let taken = 0;
  for (let next = socket.take(); next !== undefined; next = socket.take()) {
    assert.ok(next.every((byte) => byte === 1));
    taken += next.length;
  }
  assert.equal(taken, 3000 * 17);
  assert.equal(output.pendingBytes, 0);
});

Deno.test("Output is blocked, then full, and says when there is room again", () => {
  const { socket, output, put, rooms } = setUp();
  for (let i = 0; i < 5; i++) {
    put(OUTPUT_BYTES);
    output.flush();
  }
  assert.ok(output.blocked && !output.full);
  for (let i = 0; i < 12; i++) {
    put(OUTPUT_BYTES);
    output.flush();
  }
  assert.ok(output.full);
  while (output.blocked) socket.take();
  assert.equal(rooms(), 1);
  assert.equal(output.pendingBytes, 2 * OUTPUT_BYTES);
});

Deno.test("Output.end() sends what there is, and says nothing afterwards", () => {
  const { socket, output, put } = setUp();
  let ended = 0;
  put(5);
  output.end(() => ended++);
  put(5);
  output.flush();
  assert.equal(socket.take()?.length, 5);
  assert.equal(ended, 0);
  assert.equal(socket.take(), undefined);
  assert.equal(ended, 1);
});
