/**
 * Header blocks in tests: as hexadecimal text, and lists of every kind.
 * @module
 */
import fc from "fast-check";

/** Bytes from digits; whatever else stands between them is for the eye. */
export function fromHex(text: string): Uint8Array<ArrayBuffer> {
  const digits = text.replaceAll(/[^0-9a-f]/g, "");
  return Uint8Array.from(
    { length: digits.length / 2 },
    (_, i) => parseInt(digits.slice(2 * i, 2 * i + 2), 16),
  );
}

/** Digits of bytes. */
export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** What a list takes, as RFC 9113, 6.5.2 reckons. */
export function listBytes(headers: readonly string[]): number {
  return headers.reduce((sum, text, i) => sum + text.length + (i % 2 === 0 ? 32 : 0), 0);
}

/** Text of any bytes. */
const bytesText = (maxLength: number) =>
  fc.uint8Array({ maxLength }).map((bytes) => String.fromCharCode(...bytes));

/** Text as headers have it. */
const headerText = fc.stringMatching(/^[a-z0-9/.:; -]{0,30}$/);

/** A field: often one that comes again, of a name in the static table or not, with any bytes or usual ones. */
const field: fc.Arbitrary<[string, string]> = fc.oneof(
  fc.constantFrom<[string, string][]>(
    [":method", "POST"],
    [":method", "PUT"],
    [":status", "200"],
    [":status", "503"],
    [":path", "/pairdb.v1.KeyValueService/Get"],
    [":path", "/pairdb.v1.KeyValueService/Put"],
    ["content-type", "application/grpc"],
    ["grpc-status", "0"],
    ["grpc-status", "14"],
    ["grpc-encoding", "identity"],
    ["te", "trailers"],
    ["user-agent", "grpc-node-js/1.14.7"],
    ["authorization", "Bearer 0123456789abcdef"],
    ["authorization", ""],
    ["cookie", "a=b"],
  ),
  fc.tuple(
    fc.constantFrom(":path", ":authority", "content-type", "grpc-status", "user-agent", "x-any"),
    fc.oneof(headerText, bytesText(40)),
  ),
  fc.tuple(fc.oneof(headerText, bytesText(20)), fc.oneof(headerText, bytesText(300))),
);

/** A header list. */
export const headerList: fc.Arbitrary<string[]> = fc.array(field, { maxLength: 12 })
  .map((fields) => fields.flat());
