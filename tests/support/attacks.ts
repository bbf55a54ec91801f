/**
 * Attacks over HTTP/2 as bytes: for the suite that asserts what they meet, and for the bench that measures
 * what they cost others.
 * @module
 */
import { ERROR } from "../../src/rpc/http2/mod.ts";
import type { Attacker } from "./attacker.ts";
import { joined, uint32 } from "./http2_peer.ts";
import { frame } from "./raw_http2.ts";
import { envelope } from "./raw_rpc.ts";

export const DATA = 0;
const HEADERS = 1;
const PRIORITY = 2;
const RST_STREAM = 3;
const SETTINGS = 4;
const PING = 6;
const WINDOW_UPDATE = 8;
const CONTINUATION = 9;
export const END_STREAM = 1;
const END_HEADERS = 4;

export const GET = "KeyValueService/Get";
export const PUT = "KeyValueService/Put";

/** protobuf: fields 1, 2, … of bytes or text. */
export function message(...fields: (string | Uint8Array)[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(joined(fields.flatMap((field, i) => {
    const bytes = typeof field === "string" ? new TextEncoder().encode(field) : field;
    return [Uint8Array.of((i + 1) << 3 | 2, ...varint(bytes.length)), bytes];
  })));
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [value % 128 | 128, ...varint(Math.floor(value / 128))];
}

const CANCEL = Uint8Array.from(uint32(ERROR.CANCEL));
export const GET_SMALL = envelope(message("abuse", "small"));
export const GET_MEDIUM = envelope(message("abuse", "medium"));
export const GET_LARGE = envelope(message("abuse", "large"));

/** Requests, one a frame or two, each of which makes the server reset its stream. */
export const MADE_TO_RESET: Record<string, (attacker: Attacker, id: number) => Uint8Array[]> = {
  "WINDOW_UPDATE by nothing": (attacker, id) => [
    attacker.grpc(id, GET),
    frame(WINDOW_UPDATE, 0, id, new Uint8Array(4)),
  ],
  "a window that overflows": (attacker, id) => [
    attacker.grpc(id, GET),
    frame(WINDOW_UPDATE, 0, id, Uint8Array.from(uint32(2 ** 31 - 1))),
  ],
  "a body longer than its content-length": (attacker, id) => [
    attacker.grpc(id, GET, ["content-length", "3"]),
    frame(DATA, 0, id, GET_SMALL),
  ],
  "DATA after END_STREAM": (attacker, id) => [
    attacker.grpc(id, PUT),
    frame(DATA, END_STREAM, id, envelope(message("abuse", "k", new Uint8Array(1)))),
    frame(DATA, 0, id, new Uint8Array(1)),
  ],
  "a malformed head": (attacker, id) => [attacker.grpc(id, GET, ["Upper", "x"])],
};

/** Floods of frames that end their connection, with the reason that metrics name. */
export const FLOODS: Record<
  string,
  [reason: string, (attacker: Attacker) => (i: number) => Uint8Array]
> = {
  "rapid reset": ["resets", (attacker) => (i) =>
    joined([
      attacker.grpc(2 * i + 1, GET),
      frame(DATA, END_STREAM, 2 * i + 1, GET_SMALL),
      frame(RST_STREAM, 0, 2 * i + 1, CANCEL),
    ])],
  "CONTINUATION": ["continuation", (attacker) => (i) => {
    const block = attacker.block("/x");
    return i === 0 ? frame(HEADERS, 0, 1, block) : frame(CONTINUATION, 0, 1, new Uint8Array(1));
  }],
  "PING": ["ping", () => () => frame(PING, 0, 0, new Uint8Array(8))],
  "SETTINGS": ["settings", () => () => frame(SETTINGS, 0, 0)],
  "empty DATA": [
    "empty_data",
    (attacker) => (i) => i === 0 ? attacker.grpc(1, PUT) : frame(DATA, 0, 1),
  ],
  "PRIORITY": ["priority", () => (i) => frame(PRIORITY, 0, 2 * i + 1, new Uint8Array(5))],
  "frames that nobody knows": [
    "unknown_frame",
    () => () => frame(0xee, 0, 0, new Uint8Array(100)),
  ],
  "WINDOW_UPDATE by 1": [
    "window_update",
    () => () => frame(WINDOW_UPDATE, 0, 0, Uint8Array.from(uint32(1))),
  ],
  "RST_STREAM of a closed stream": [
    "closed_stream",
    (attacker) => (i) =>
      i === 0
        ? joined([attacker.grpc(1, GET), frame(RST_STREAM, 0, 1, CANCEL)])
        : frame(RST_STREAM, 0, 1, CANCEL),
  ],
  "streams above the limit": ["resets", (attacker) => (i) => attacker.grpc(2 * i + 1, PUT)],
  "windows that grow by a byte": [
    "window_update",
    (attacker) => (i) =>
      i === 0
        ? joined([attacker.grpc(1, GET), frame(DATA, END_STREAM, 1, GET_LARGE)])
        : frame(WINDOW_UPDATE, 0, 1, Uint8Array.from(uint32(1))),
  ],
};

/** A literal field that becomes no entry of the table. */
function literal(name: string, value: string): Uint8Array {
  const bytes = (text: string) => new TextEncoder().encode(text);
  return Uint8Array.from([0, name.length, ...bytes(name), value.length, ...bytes(value)]);
}

/** A literal field that becomes the newest entry of the table, whose index is 62. @param value  of 127 bytes or more */
export function tableEntry(name: string, value: string): Uint8Array {
  const bytes = (text: string) => new TextEncoder().encode(text);
  const length = [127, ...varint(value.length - 127)];
  return Uint8Array.from([0x40, name.length, ...bytes(name), ...length, ...bytes(value)]);
}

/** HEADERS and CONTINUATIONs of a block, and no body. */
export function headerFrames(id: number, block: Uint8Array): Uint8Array {
  const frames: Uint8Array[] = [];
  for (let at = 0; at < block.length; at += 16_384) {
    const part = block.subarray(at, at + 16_384);
    const last = at + 16_384 >= block.length ? END_HEADERS : 0;
    if (at === 0) frames.push(frame(HEADERS, last | END_STREAM, id, part));
    else frames.push(frame(CONTINUATION, last, id, part));
  }
  return joined(frames);
}

/** Header lists above the limit, by what makes them so. */
export const HEADER_BOMBS: Record<string, (attacker: Attacker) => Uint8Array> = {
  "an entry of the table, 16,000 times": (attacker) => {
    // 4 KiB in the table; each further mention is one byte.
    return joined([
      attacker.block("/x"),
      tableEntry("x-bomb", "a".repeat(3900)),
      new Uint8Array(16_000).fill(0xbe),
    ]);
  },
  "64 KiB in one field": (attacker) => attacker.block("/x", ["x-long", "a".repeat(64 * 1024)]),
  "10,000 small fields": (attacker) =>
    joined([attacker.block("/x"), ...Array.from({ length: 10_000 }, () => literal("x", "y"))]),
};
