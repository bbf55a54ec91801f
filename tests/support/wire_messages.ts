/**
 * Protobuf messages as bytes that no library would write but every reader has to take, or refuse: fields in
 * any order and repeated, messages in pieces, varints longer than they need be, fields that nobody knows;
 * and wild ones: other wire types, groups, texts that are not UTF-8, wrong lengths.
 * @module
 */
import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";

/** Where choices come from: a seed's random, or fast-check. */
export interface Picker {
  /** An integer from 0 to below `limit`. */
  below(limit: number): number;
}

const NUMBERS = [
  ...[0n, 0n, 1n, 3n, 7n, 8n, 127n, 128n, 2n ** 28n, 2n ** 31n - 1n, 2n ** 31n, 2n ** 32n - 1n],
  ...[2n ** 32n, 2n ** 32n + 3n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 60n + 3n],
  ...[2n ** 63n - 1n, 2n ** 63n, 2n ** 63n + 2n, 2n ** 64n - 2n, 2n ** 64n - 1n],
];
const TEXTS = [
  "",
  "t",
  "key/1",
  "é",
  "鍵",
  "😀",
  "\ufeffk",
  "a\0b",
  "x".repeat(47),
  "ü".repeat(60),
];
const NO_UTF8 = [[0xff], [0x61, 0x80], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf0, 0x9f, 0x98]];

/** Bytes of a message of this kind. @param wild  also such as a reader may refuse */
export function messageBytes(pick: Picker, desc: DescMessage, wild: boolean): number[] {
  const bytes: number[] = [];
  for (let count = pick.below(7); count > 0; count--) {
    const chance = pick.below(wild ? 12 : 10);
    if (chance >= 10) bytes.push(...strangeField(pick, desc));
    else if (chance === 9) bytes.push(...unknownField(pick, desc));
    else bytes.push(...knownField(pick, desc.fields[pick.below(desc.fields.length)], wild));
  }
  if (!wild || bytes.length === 0 || pick.below(8) > 0) return bytes;
  if (pick.below(2) === 0) return bytes.slice(0, pick.below(bytes.length));
  bytes[pick.below(bytes.length)] ^= 1 << pick.below(8);
  return bytes;
}

function knownField(pick: Picker, field: DescField, wild: boolean): number[] {
  switch (typeOf(field)) {
    case "message":
      return lengthField(
        pick,
        field.number,
        messageBytes(pick, field.message as DescMessage, wild),
      );
    case "text":
      return lengthField(pick, field.number, textBytes(pick, wild));
    case "bytes":
      return lengthField(pick, field.number, someBytes(pick));
    case "fixed64":
      return [...tagBytes(pick, field.number, 1), ...eightBytes(pick)];
    default:
      return [...tagBytes(pick, field.number, 0), ...number(pick)];
  }
}

/** A field of a number that the schema does not have. */
function unknownField(pick: Picker, desc: DescMessage): number[] {
  const no = desc.fields.length + 1 + [0, 1, 9, 1000, 2 ** 28][pick.below(5)];
  return fieldOfType(pick, no, [0, 1, 2, 5][pick.below(4)]);
}

/** A field of the schema under any wire type, a group, or a tag that is none. */
function strangeField(pick: Picker, desc: DescMessage): number[] {
  const no = 1 + pick.below(desc.fields.length + 2);
  switch (pick.below(4)) {
    case 0: {
      const end = pick.below(4) === 0 ? no + 1 : no;
      return [
        no << 3 | 3,
        ...unknownField(pick, desc),
        ...knownField(pick, desc.fields[0], true),
        end << 3 | 4,
      ];
    }
    case 1:
      // A tag that is longer than any tag, or none.
      return [no << 3 | 0x80, 0x80, 0x80, 0x80, 0x80, ...[[0], [0x80, 0]][pick.below(2)], 0];
    case 2:
      return [pick.below(8), 1, 2];
    default:
      return fieldOfType(pick, no, pick.below(8));
  }
}

function fieldOfType(pick: Picker, no: number, type: number): number[] {
  const tag = tagBytes(pick, no, type);
  if (type === 0) return [...tag, ...number(pick)];
  if (type === 2) return [...tag, ...length(pick, 3), 1, 2, 3];
  return [...tag, ...[1, 2, 3, 4, 5, 6, 7, 8].slice(0, type === 1 ? 8 : 4)];
}

function typeOf(field: DescField): "message" | "text" | "bytes" | "fixed64" | "varint" {
  if (field.message !== undefined) return "message";
  if (field.fieldKind !== "scalar" && field.fieldKind !== "list") return "varint";
  if (field.scalar === ScalarType.STRING) return "text";
  if (field.scalar === ScalarType.FIXED64) return "fixed64";
  return field.scalar === ScalarType.BYTES ? "bytes" : "varint";
}

function lengthField(pick: Picker, no: number, bytes: readonly number[]): number[] {
  return [...tagBytes(pick, no, 2), ...length(pick, bytes.length), ...bytes];
}

function tagBytes(pick: Picker, no: number, type: number): number[] {
  const bytes = varint(BigInt(no) << 3n | BigInt(type));
  return stretched(bytes, pick.below(8) === 0 ? 5 - bytes.length : 0);
}

function length(pick: Picker, value: number): number[] {
  const bytes = varint(BigInt(value));
  return stretched(bytes, pick.below(8) === 0 ? pick.below(11 - bytes.length) : 0);
}

function number(pick: Picker): number[] {
  const bytes = varint(NUMBERS[pick.below(NUMBERS.length)]);
  return stretched(bytes, pick.below(4) === 0 ? pick.below(11 - bytes.length) : 0);
}

function eightBytes(pick: Picker): number[] {
  const value = NUMBERS[pick.below(NUMBERS.length)];
  return Array.from({ length: 8 }, (_, i) => Number(value >> BigInt(8 * i) & 0xffn));
}

function textBytes(pick: Picker, wild: boolean): number[] {
  if (wild && pick.below(10) === 0) return NO_UTF8[pick.below(NO_UTF8.length)];
  return [...new TextEncoder().encode(TEXTS[pick.below(TEXTS.length)])];
}

function someBytes(pick: Picker): number[] {
  return Array.from({ length: [0, 1, 3, 130][pick.below(4)] }, () => pick.below(256));
}

function varint(value: bigint): number[] {
  const bytes: number[] = [];
  for (; value >= 128n; value >>= 7n) bytes.push(Number(value & 127n) | 128);
  return [...bytes, Number(value)];
}

/** The same number in more bytes. */
function stretched(bytes: readonly number[], by: number): number[] {
  if (by === 0) return [...bytes];
  const last = bytes.length - 1;
  return [...bytes.slice(0, last), bytes[last] | 128, ...new Array(by - 1).fill(128), 0];
}
