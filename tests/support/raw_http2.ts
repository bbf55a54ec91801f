/**
 * HTTP/2 frames by hand (RFC 9113 and 7541, without Huffman codes and without an index).
 *
 * Why by hand: tests want to send what no client sends; and node:http2's own client, under Deno
 * 2.9.6, sometimes brings the process down when a session is destroyed (denoland/deno #36788).
 * @module
 */
import type { RawClient } from "./raw_http.ts";

/** What a client sends first. */
export const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/** Types of frames. */
export const DATA = 0;
export const HEADERS = 1;
export const RST_STREAM = 3;
export const SETTINGS = 4;
export const GOAWAY = 7;
export const CONTINUATION = 9;

/** Flags of frames. */
export const END_STREAM = 1;
export const END_HEADERS = 4;

/** One frame. */
export function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const bytes = new Uint8Array(9 + payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, payload.length << 8 | type);
  bytes[4] = flags;
  view.setUint32(5, stream);
  bytes.set(payload, 9);
  return bytes;
}

/** A header block: a POST with these headers. */
export function postBlock(path: string, headers: Record<string, string>): Uint8Array {
  const all = { ":method": "POST", ":scheme": "http", ":path": path, ":authority": "localhost" };
  return headerBlock(Object.entries({ ...all, ...headers }));
}

/** A header block of any fields. White space around a name is left out: so an object's keys can name one twice. */
export function headerBlock(fields: readonly (readonly [string, string])[]): Uint8Array {
  const bytes: number[] = [];
  for (const [name, value] of fields) bytes.push(0, ...text(name.trim()), ...text(value));
  return new Uint8Array(bytes);
}

function text(value: string): number[] {
  const bytes = new TextEncoder().encode(value);
  if (bytes.length < 127) return [bytes.length, ...bytes];
  const length = [127];
  let rest = bytes.length - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) length.push(rest % 128 + 128);
  return [...length, rest, ...bytes];
}

/** Sends the preface and empty SETTINGS. */
export async function hello(client: RawClient): Promise<void> {
  await client.send(PREFACE);
  await client.send(frame(SETTINGS, 0, 0));
}

/** The next frame from the server. */
export async function nextFrame(
  client: RawClient,
): Promise<{ type: number; flags: number; stream: number; payload: Uint8Array }> {
  const head = await client.take(9);
  const view = new DataView(head.buffer, head.byteOffset);
  const payload = await client.take(view.getUint32(0) >>> 8);
  return { type: head[3], flags: head[4], stream: view.getUint32(5), payload };
}

/** The next frame of one type; others are dropped. */
export async function nextOf(client: RawClient, type: number): ReturnType<typeof nextFrame> {
  for (;;) {
    const found = await nextFrame(client);
    if (found.type === type) return found;
  }
}
