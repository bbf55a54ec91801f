/**
 * Text: strings that become bytes and come back the same.
 *
 * JavaScript strings may hold lone surrogates, which all encode to the same three bytes, so that two
 * strings would meet in one key; such strings are refused here. Short ASCII, the usual case of keys
 * and node ids, takes a loop, which beats a call into the encoder.
 * @module
 */
import { fromUtf8, utf8 } from "./bytes.ts";

/** Above this many bytes the platform's decoder is faster than the loop. */
const LOOP_DECODE_MAX = 48;

/** What {@link inspectText} found wrong. */
export type TextFault = "ill-formed" | "control";

/**
 * The UTF-8 bytes of a string without control characters (U+0000 to U+001F, U+007F to U+009F).
 * @returns the bytes, or what is wrong with the string
 */
export function encodeText(text: string): Uint8Array<ArrayBuffer> | TextFault {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit >= 0x80) return encodeWideText(text);
    if (unit < 0x20 || unit === 0x7f) return "control";
    bytes[i] = unit;
  }
  return bytes;
}

function encodeWideText(text: string): Uint8Array<ArrayBuffer> | TextFault {
  return inspectText(text) ?? utf8(text);
}

/** What is wrong with a string that must be well-formed and free of control characters. */
export function inspectText(text: string): TextFault | undefined {
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x20 || (unit >= 0x7f && unit <= 0x9f)) return "control";
  }
  return text.isWellFormed() ? undefined : "ill-formed";
}

/** Whether every character takes one byte. */
export function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) >= 0x80) return false;
  }
  return true;
}

/** For people: why a string was refused. */
export function describeFault(fault: TextFault): string {
  return fault === "control" ? "it has a control character" : "it is not well-formed Unicode";
}

/** The string of UTF-8 bytes. @throws TypeError when they are ill-formed */
export function decodeText(bytes: Uint8Array): string {
  if (bytes.length > LOOP_DECODE_MAX) return fromUtf8(bytes);
  let text = "";
  let i = 0;
  // Eight at a time: each concatenation is an object, and work for the collector.
  for (; i + 8 <= bytes.length; i += 8) {
    const [a, b, c, d] = [bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]];
    const [e, f, g, h] = [bytes[i + 4], bytes[i + 5], bytes[i + 6], bytes[i + 7]];
    if ((a | b | c | d | e | f | g | h) >= 0x80) return fromUtf8(bytes);
    text += String.fromCharCode(a, b, c, d, e, f, g, h);
  }
  for (; i < bytes.length; i++) {
    if (bytes[i] >= 0x80) return fromUtf8(bytes);
    text += String.fromCharCode(bytes[i]);
  }
  return text;
}
