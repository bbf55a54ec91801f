/**
 * Any bytes into the decoder of header blocks: a list within its limit or an HpackError. Random bytes,
 * random beginnings of fields, and blocks of our encoder with changes, one after the other on a connection
 * until one is malformed.
 *
 * How many blocks, and from which seed on, says tests/support/ladder.ts. A failure prints the seed.
 * @module
 */
import assert from "node:assert/strict";
import { firstSeed, reached, wanted } from "../support/ladder.ts";
import { listBytes } from "../support/hpack.ts";
import { HpackDecoder, HpackEncoder, HpackError } from "../../src/rpc/http2/mod.ts";
import { SimRandom } from "../../src/runtime/mod.ts";

const INPUTS = wanted("fuzz");
const FIRST_SEED = firstSeed();

/** What a client sends, and things that only a test does. */
const FIELDS: readonly (readonly [string, string])[] = [
  [":method", "POST"],
  [":scheme", "http"],
  [":path", "/pairdb.v1.KeyValueService/Get"],
  [":authority", "localhost:50052"],
  ["te", "trailers"],
  ["content-type", "application/grpc"],
  ["grpc-timeout", "9999m"],
  ["user-agent", "grpc-go/1.80.0"],
  ["authorization", "Bearer 0123456789abcdef0123456789abcdef"],
  ["x-long", "abc".repeat(100)],
  ["x-bytes", "\0\x80\xff"],
  ["", ""],
];

/** A connection whose blocks are made up as they come. */
class Connection {
  readonly random: SimRandom;
  readonly maxListBytes: number;
  readonly maxTableBytes: number;
  readonly decoder: HpackDecoder;
  readonly #encoder = new HpackEncoder();
  /** Of so many blocks six are made to be malformed. */
  readonly #calm: number;
  #headers: string[] = [];

  constructor(seed: number) {
    this.random = new SimRandom(seed);
    this.maxListBytes = this.random.below(2) === 0 ? 16384 : this.random.below(500);
    this.maxTableBytes = this.random.below(2) === 0 ? 4096 : this.random.below(10_000);
    this.#calm = [8, 40, 200][this.random.below(3)];
    this.decoder = new HpackDecoder(this);
  }

  /** The next block. */
  block(): Uint8Array {
    const random = this.random;
    const choice = random.below(this.#calm);
    if (choice === 0) return random.bytes(random.below(60));
    if (choice === 1) return this.#fields();
    if (random.below(20) === 0) {
      this.#encoder.setMaxTableBytes(random.below(this.maxTableBytes + 1));
    }
    // Clients repeat themselves.
    if (random.below(2) === 0) this.#headers = this.#someHeaders();
    const into = new Uint8Array(8000);
    const block = into.slice(0, this.#encoder.encode(this.#headers, into, 0));
    if (choice >= 6) return block;
    for (let i = 0; i <= random.below(3); i++) {
      const at = random.below(block.length + 1);
      if (random.below(2) === 0) block[at] ^= 1 << random.below(8);
      else block[at] = [0, 0x1f, 0x3f, 0x7f, 0x80, 0xff][random.below(6)];
    }
    return random.below(3) === 0 ? block.slice(0, random.below(block.length + 1)) : block;
  }

  #someHeaders(): string[] {
    const length = this.random.below(9);
    return Array.from({ length }, () => FIELDS[this.random.below(FIELDS.length)]).flat();
  }

  /** Beginnings of fields that are well-formed more often than chance would have it. */
  #fields(): Uint8Array {
    const random = this.random;
    const bytes: number[] = [];
    for (let i = random.below(20); i > 0; i--) {
      const kind = [0x80, 0x40, 0x40, 0x20, 0x10, 0x00][random.below(6)];
      const index = random.below(4) === 0 ? 0 : random.below(kind > 0x20 ? 70 : 15);
      bytes.push(kind | index);
      if (kind === 0x80 || kind === 0x20) continue;
      for (let strings = index === 0 ? 2 : 1; strings > 0; strings--) {
        const length = random.below(12);
        bytes.push(random.below(4) === 0 ? length | 0x80 : length, ...random.bytes(length));
      }
    }
    return Uint8Array.from(bytes);
  }
}

/** Gives a connection blocks until one is malformed. @returns how many */
function run(seed: number, most: number): number {
  const connection = new Connection(seed);
  const { random, decoder, maxListBytes, maxTableBytes } = connection;
  for (let given = 1; given <= most; given++) {
    const block = connection.block();
    const start = random.below(4);
    const around = new Uint8Array(start + block.length + random.below(4)).fill(0x82);
    around.set(block, start);
    try {
      const { headers, tooLarge } = decoder.decode(around, start, start + block.length);
      assert.equal(headers.length % 2, 0);
      assert.ok(listBytes(headers) <= maxListBytes, "the list is within its limit");
      assert.ok(tooLarge || block.length === 0 || headers.length <= 2 * block.length);
      for (const text of headers) assert.doesNotMatch(text, /[^\0-\xff]/);
    } catch (error) {
      if (error instanceof HpackError) return given;
      throw error;
    }
    const { table } = decoder;
    assert.ok(table.bytes <= table.maxBytes, "the table is within its size");
    assert.ok(table.maxBytes <= Math.max(4096, maxTableBytes), "and its size within the limit");
    assert.equal(table.bytes, listBytes(table.entries().flat()));
  }
  return most;
}

Deno.test("any bytes into the decoder of header blocks give a list or an HpackError", () => {
  let given = 0;
  let connections = 0;
  for (let seed = FIRST_SEED; given < INPUTS; seed++) {
    try {
      given += run(seed, Math.min(100, INPUTS - given));
      connections++;
    } catch (error) {
      throw new Error(`seed ${seed}: ${error}`, { cause: error });
    }
  }
  assert.ok(given / connections > 4 || INPUTS < 1000, "connections live for a while");
  reached("fuzz", given, INPUTS, { connections });
});
