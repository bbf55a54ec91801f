import assert from "node:assert/strict";
import fc from "fast-check";
import { ERROR, Http2Error, MAX_31 } from "../../../../src/rpc/http2/frames.ts";
import { decodeSettings, encodeSettings, SETTING } from "../../../../src/rpc/http2/settings.ts";

function decoded(bytes: Uint8Array): [number, number][] {
  const found: [number, number][] = [];
  decodeSettings(bytes, 0, bytes.length, (id, value) => found.push([id, value]));
  return found;
}

function codeOf(id: number, value: number): number | undefined {
  try {
    decoded(encodeSettings([[id, value]]));
    return undefined;
  } catch (error) {
    assert.ok(error instanceof Http2Error);
    assert.equal(error.streamId, 0);
    return error.code;
  }
}

Deno.test("settings come back as they were written, in their order, unknown ones too", () => {
  const known = fc.constantFrom(SETTING.HEADER_TABLE_SIZE, SETTING.MAX_CONCURRENT_STREAMS, 99, 255);
  fc.assert(
    fc.property(
      fc.array(fc.tuple(known, fc.nat({ max: 2 ** 32 - 1 })), { maxLength: 20 }),
      (settings) => assert.deepEqual(decoded(encodeSettings(settings)), settings),
    ),
  );
});

Deno.test("settings outside their range are errors of the connection", () => {
  assert.equal(codeOf(SETTING.ENABLE_PUSH, 2), ERROR.PROTOCOL_ERROR);
  assert.equal(codeOf(SETTING.ENABLE_PUSH, 1), undefined);
  assert.equal(codeOf(SETTING.INITIAL_WINDOW_SIZE, MAX_31 + 1), ERROR.FLOW_CONTROL_ERROR);
  assert.equal(codeOf(SETTING.INITIAL_WINDOW_SIZE, MAX_31), undefined);
  assert.equal(codeOf(SETTING.MAX_FRAME_SIZE, 16_383), ERROR.PROTOCOL_ERROR);
  assert.equal(codeOf(SETTING.MAX_FRAME_SIZE, 2 ** 24), ERROR.PROTOCOL_ERROR);
  assert.equal(codeOf(SETTING.MAX_FRAME_SIZE, 2 ** 24 - 1), undefined);
});

Deno.test("settings of a length that is no multiple of 6 are refused", () => {
  for (const length of [1, 5, 7]) {
    assert.throws(
      () => decoded(new Uint8Array(length)),
      (error: unknown) => error instanceof Http2Error && error.code === ERROR.FRAME_SIZE_ERROR,
    );
  }
});
