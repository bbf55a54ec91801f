/**
 * Bytes of every kind that a block may hold, for tests of codecs: random, repeated, rows, and mixtures.
 * @module
 */
import { utf8 } from "../../src/model/mod.ts";
import type { SimRandom } from "../../src/runtime/mod.ts";

/** Rows as JSON, as a table's block has them: about `size` bytes. */
export function jsonRows(random: SimRandom, size: number): Uint8Array<ArrayBuffer> {
  let rows = "";
  while (rows.length < size) {
    const id = random.below(1_000_000);
    rows += `{"id":${id},"name":"user-${id % 997}","mail":"user-${id % 997}@example.org",` +
      `"active":${id % 3 === 0},"score":${random.below(100)}}\n`;
  }
  return utf8(rows).slice(0, size);
}

/** Bytes with matches of all lengths at all distances, chosen by the seed. */
export function mixedBytes(random: SimRandom, size: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  let at = 0;
  while (at < size) {
    const choice = random.below(4);
    const length = Math.min(size - at, 1 + random.below(random.below(8) === 0 ? 3000 : 40));
    if (choice === 0) bytes.set(random.bytes(length), at);
    else if (choice === 1) bytes.fill(random.below(256), at, at + length);
    else if (choice === 2) {
      for (let i = 0; i < length; i++) bytes[at + i] = 97 + random.below(4);
    } else if (at > 0) {
      const from = random.below(at);
      for (let i = 0; i < length; i++) bytes[at + i] = bytes[from + i];
    }
    at += length;
  }
  return bytes;
}
