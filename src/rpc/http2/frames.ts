/**
 * HTTP/2 frames (RFC 9113, section 4 and 6), as bytes.
 *
 *     +-----------------------------------------------+
 *     |                 length (24)                   |
 *     +---------------+---------------+---------------+
 *     |   type (8)    |   flags (8)   |
 *     +-+-------------+---------------+-------------------------------+
 *     |R|                 stream id (31)                              |
 *     +=+=============================================================+
 *     |                   payload (length bytes)                    ...
 *     +---------------------------------------------------------------+
 *
 * Integers are big-endian. The reserved bit is ignored when read and 0 when written.
 * @module
 */

/** Bytes before each payload. */
export const FRAME_HEADER_BYTES = 9;
/** The largest payload that everybody takes; neither side of ours asks for or sends larger ones. */
export const MAX_FRAME_BYTES = 16_384;
/** The largest stream id, and the largest window. */
export const MAX_31 = 2 ** 31 - 1;

/** What a client sends first (RFC 9113, section 3.4). */
export const PREFACE: Uint8Array = new TextEncoder().encode("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** Frame types. */
export const FRAME = Object.freeze({
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PUSH_PROMISE: 5,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
});

/** Flags. Their meaning depends on the type; ACK and END_STREAM are the same bit. */
export const FLAG = Object.freeze({
  ACK: 0x1,
  END_STREAM: 0x1,
  END_HEADERS: 0x4,
  PADDED: 0x8,
  PRIORITY: 0x20,
});

/** Error codes of RST_STREAM and GOAWAY (RFC 9113, section 7). */
export const ERROR = Object.freeze({
  NO_ERROR: 0,
  PROTOCOL_ERROR: 1,
  INTERNAL_ERROR: 2,
  FLOW_CONTROL_ERROR: 3,
  SETTINGS_TIMEOUT: 4,
  STREAM_CLOSED: 5,
  FRAME_SIZE_ERROR: 6,
  REFUSED_STREAM: 7,
  CANCEL: 8,
  COMPRESSION_ERROR: 9,
  CONNECT_ERROR: 10,
  ENHANCE_YOUR_CALM: 11,
});

/** A peer broke the protocol: the stream is reset, or with stream id 0 the connection ends. */
export class Http2Error extends Error {
  override readonly name = "Http2Error";

  /**
   * @param code      for RST_STREAM or GOAWAY
   * @param message   for the log and GOAWAY's debug data
   * @param streamId  0: the whole connection
   */
  constructor(readonly code: number, message: string, readonly streamId = 0) {
    super(message);
  }
}

/** A peer does too much of what costs it nothing: the connection ends with ENHANCE_YOUR_CALM. */
export class AbuseError extends Http2Error {
  /** @param kind  what there was too much of, as metrics name it: `resets`, `ping`, ... */
  constructor(readonly kind: string) {
    super(ERROR.ENHANCE_YOUR_CALM, `too much of this: ${kind}`);
  }
}

/** Reads 24 bits. */
export function readUint24(bytes: Uint8Array, at: number): number {
  return bytes[at] << 16 | bytes[at + 1] << 8 | bytes[at + 2];
}

/** Reads 31 bits and leaves out the one before them. */
export function readUint31(bytes: Uint8Array, at: number): number {
  return (bytes[at] & 0x7f) << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3];
}

/** Reads 32 bits. */
export function readUint32(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3]) >>> 0;
}

/** Writes 32 bits. */
export function writeUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/** Writes a frame's header. @returns where the payload begins */
export function writeFrameHeader(
  bytes: Uint8Array,
  at: number,
  length: number,
  type: number,
  flags: number,
  streamId: number,
): number {
  bytes[at] = length >>> 16;
  bytes[at + 1] = length >>> 8;
  bytes[at + 2] = length;
  bytes[at + 3] = type;
  bytes[at + 4] = flags;
  writeUint32(bytes, at + 5, streamId);
  return at + FRAME_HEADER_BYTES;
}

/** Bytes of padding at a frame's end; the first byte tells. */
export function paddingOf(bytes: Uint8Array, start: number, end: number): number {
  if (end === start) throw new Http2Error(ERROR.FRAME_SIZE_ERROR, "a padded frame is empty");
  const padding = bytes[start];
  if (padding < end - start) return padding;
  throw new Http2Error(ERROR.PROTOCOL_ERROR, "more padding than payload");
}
