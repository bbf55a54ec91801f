/**
 * SETTINGS (RFC 9113, section 6.5): pairs of a 16-bit id and a 32-bit value.
 *
 *     +-------------------------------+
 *     |        identifier (16)        |
 *     +-------------------------------+-------------------------------+
 *     |                          value (32)                           |
 *     +---------------------------------------------------------------+
 * @module
 */
import { ERROR, Http2Error, MAX_31, MAX_FRAME_BYTES, readUint32, writeUint32 } from "./frames.ts";

/** Ids of settings. */
export const SETTING = Object.freeze({
  HEADER_TABLE_SIZE: 1,
  ENABLE_PUSH: 2,
  MAX_CONCURRENT_STREAMS: 3,
  INITIAL_WINDOW_SIZE: 4,
  MAX_FRAME_SIZE: 5,
  MAX_HEADER_LIST_SIZE: 6,
});

/** Bytes of one setting. */
export const SETTING_BYTES = 6;
const MAX_FRAME_SIZE_LIMIT = 2 ** 24 - 1;

/** The window that a stream has before anybody has said otherwise. */
export const DEFAULT_WINDOW_BYTES = 65_535;

/** Writes the payload of a SETTINGS frame. */
export function encodeSettings(
  settings: readonly (readonly [id: number, value: number])[],
): Uint8Array {
  const bytes = new Uint8Array(settings.length * SETTING_BYTES);
  settings.forEach(([id, value], i) => {
    bytes[i * SETTING_BYTES + 1] = id;
    writeUint32(bytes, i * SETTING_BYTES + 2, value);
  });
  return bytes;
}

/**
 * Reads the payload of a SETTINGS frame and gives each setting, in order. Ids that nobody knows are
 * given too: to ignore them is the receiver's part.
 * @throws Http2Error for a length that is no multiple of 6, or a value outside its range
 */
export function decodeSettings(
  bytes: Uint8Array,
  start: number,
  end: number,
  take: (id: number, value: number) => void,
): void {
  if ((end - start) % SETTING_BYTES !== 0) {
    throw new Http2Error(ERROR.FRAME_SIZE_ERROR, "SETTINGS of a length that is no multiple of 6");
  }
  for (let at = start; at < end; at += SETTING_BYTES) {
    const id = bytes[at] << 8 | bytes[at + 1];
    const value = readUint32(bytes, at + 2);
    check(id, value);
    take(id, value);
  }
}

function check(id: number, value: number): void {
  if (id === SETTING.ENABLE_PUSH && value > 1) {
    throw new Http2Error(ERROR.PROTOCOL_ERROR, "SETTINGS_ENABLE_PUSH is neither 0 nor 1");
  }
  if (id === SETTING.INITIAL_WINDOW_SIZE && value > MAX_31) {
    throw new Http2Error(
      ERROR.FLOW_CONTROL_ERROR,
      "SETTINGS_INITIAL_WINDOW_SIZE is above 2^31 - 1",
    );
  }
  const isFrameSize = value >= MAX_FRAME_BYTES && value <= MAX_FRAME_SIZE_LIMIT;
  if (id === SETTING.MAX_FRAME_SIZE && !isFrameSize) {
    throw new Http2Error(
      ERROR.PROTOCOL_ERROR,
      "SETTINGS_MAX_FRAME_SIZE is outside 2^14 to 2^24 - 1",
    );
  }
}
