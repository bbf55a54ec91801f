/**
 * Header text: one character per byte, so that whatever bytes came stay what they are.
 * @module
 */
import { Buffer } from "node:buffer";

const { fromCharCode } = String;
/** Works on any Uint8Array, so that no Buffer has to be made around it. */
const { latin1Slice } = Buffer.prototype;

/** From this length on the runtime's own function is faster, whose call costs as much as 24 characters. */
const LONG = 24;

/** The text of `bytes[start, end)`. */
export function latin1(bytes: Uint8Array, start: number, end: number): string {
  if (end - start >= LONG) return latin1Slice.call(bytes, start, end);
  let text = "";
  let i = start;
  // Eight at once: V8 makes one flat string of them, without an array of arguments.
  for (; i + 8 <= end; i += 8) {
    text += fromCharCode(
      bytes[i],
      bytes[i + 1],
      bytes[i + 2],
      bytes[i + 3],
      bytes[i + 4],
      bytes[i + 5],
      bytes[i + 6],
      bytes[i + 7],
    );
  }
  if (i + 4 <= end) {
    text += fromCharCode(bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]);
    i += 4;
  }
  switch (end - i) {
    case 1:
      return text + fromCharCode(bytes[i]);
    case 2:
      return text + fromCharCode(bytes[i], bytes[i + 1]);
    case 3:
      return text + fromCharCode(bytes[i], bytes[i + 1], bytes[i + 2]);
    default:
      return text;
  }
}
