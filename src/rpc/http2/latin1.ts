/**
 * Header text: one character per byte, so that whatever bytes came stay what they are.
 * @module
 */

/**
 * The text of `bytes[start, end)`.
 *
 * Header strings are short, and a call into the runtime costs more than they are worth: up to 16 characters
 * a call, which V8 makes into one flat string without an array of arguments.
 */
export function latin1(bytes: Uint8Array, start: number, end: number): string {
  let text = "";
  let i = start;
  for (; i + 16 <= end; i += 16) {
    text += String.fromCharCode(
      bytes[i],
      bytes[i + 1],
      bytes[i + 2],
      bytes[i + 3],
      bytes[i + 4],
      bytes[i + 5],
      bytes[i + 6],
      bytes[i + 7],
      bytes[i + 8],
      bytes[i + 9],
      bytes[i + 10],
      bytes[i + 11],
      bytes[i + 12],
      bytes[i + 13],
      bytes[i + 14],
      bytes[i + 15],
    );
  }
  return i < end ? text + rest(bytes, i, end) : text;
}

/** The text of fewer than 16 bytes. */
function rest(bytes: Uint8Array, start: number, end: number): string {
  let text = "";
  for (let i = start; i < end; i++) text += String.fromCharCode(bytes[i]);
  return text;
}
