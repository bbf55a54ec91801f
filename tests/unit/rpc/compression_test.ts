/**
 * Message compression: round trips, limits on what inflates, and input that is cut short or longer
 * than it should be, which two of the decoders do not notice by themselves.
 */
import assert from "node:assert/strict";
import { brotliCompressSync, gzipSync, zstdCompressSync } from "node:zlib";
import { Code, ConnectError } from "@connectrpc/connect";
import fc from "fast-check";
import { createCompressions } from "../../../src/rpc/compression.ts";
import { denoClock } from "../../../src/runtime/mod.ts";
import { isWholeZstdFrame } from "../../../src/rpc/zstd_frame.ts";

const LIMIT = 1024 * 1024;
const COMPRESSIONS = createCompressions(denoClock());

/** Bytes that compress well, badly, and not at all. */
function samples(): Uint8Array<ArrayBuffer>[] {
  const noise = new Uint8Array(700);
  let state = 1;
  for (let i = 0; i < noise.length; i++) {
    state = Math.imul(state, 1_103_515_245) + 12_345 | 0;
    noise[i] = state >>> 16;
  }
  const text = new TextEncoder().encode(
    Array.from({ length: 40 }, (_, i) => `{"key":"cart/${i}","value":${i * i}}`).join("\n"),
  );
  return [Uint8Array.of(7), text, noise, new Uint8Array(100_000)];
}

async function codeOf(work: Promise<unknown>): Promise<Code | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    assert.ok(error instanceof ConnectError, String(error));
    return error.code;
  }
}

Deno.test("compressions: gzip, zstd and brotli, by the names that HTTP has for them", () => {
  assert.deepEqual(COMPRESSIONS.map(({ name }) => name), ["gzip", "zstd", "br"]);
});

for (const { name, compress, decompress } of COMPRESSIONS) {
  Deno.test(`${name}: what was compressed comes back`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 3000 }), async (bytes) => {
        const packed = await compress(new Uint8Array(bytes));
        assert.deepEqual(await decompress(packed, LIMIT), new Uint8Array(bytes));
      }),
      { numRuns: 60 },
    );
    for (const bytes of samples()) {
      assert.deepEqual(await decompress(await compress(bytes), LIMIT), bytes);
    }
  });

  Deno.test(`${name}: a message cut short at any byte is refused`, async () => {
    for (const bytes of samples()) {
      const packed = await compress(bytes);
      // Nothing at all is an empty message, whatever its encoding.
      assert.deepEqual(await decompress(packed.subarray(0, 0), LIMIT), new Uint8Array(0));
      for (let end = 1; end < packed.length; end++) {
        const code = await codeOf(decompress(packed.subarray(0, end), LIMIT));
        assert.equal(code, Code.InvalidArgument, `${bytes.length} bytes, cut at ${end}`);
      }
    }
  });

  Deno.test(`${name}: other bytes are refused, and never anything but a refusal`, async () => {
    assert.equal(
      await codeOf(decompress(new TextEncoder().encode("no such thing"), LIMIT)),
      Code.InvalidArgument,
    );
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 64 }), async (bytes) => {
        const code = await codeOf(decompress(new Uint8Array(bytes), LIMIT));
        assert.ok(
          code === undefined || code === Code.InvalidArgument || code === Code.ResourceExhausted,
        );
      }),
      { numRuns: 300 },
    );
  });

  Deno.test(`${name}: the limit holds to the byte, and a bomb stops at it`, async () => {
    const packed = await compress(new Uint8Array(1000));
    assert.equal((await decompress(packed, 1000)).length, 1000);
    assert.equal(await codeOf(decompress(packed, 999)), Code.ResourceExhausted);
    const bomb = await compress(new Uint8Array(64 * LIMIT));
    assert.ok(bomb.length < LIMIT);
    assert.equal(await codeOf(decompress(bomb, LIMIT)), Code.ResourceExhausted);
  });
}

Deno.test("compressions: what other encoders make is taken, at their default levels", async () => {
  const [, text] = samples();
  const packed = [gzipSync(text), zstdCompressSync(text), brotliCompressSync(text)];
  for (const [i, { decompress }] of COMPRESSIONS.entries()) {
    assert.deepEqual(await decompress(new Uint8Array(packed[i]), LIMIT), text);
  }
});

Deno.test("isWholeZstdFrame() knows a frame with a checksum, a size and several blocks", () => {
  for (const bytes of [...samples(), new Uint8Array(400_000).map((_, i) => i * i >> 3)]) {
    const packed = new Uint8Array(zstdCompressSync(bytes));
    assert.ok(isWholeZstdFrame(packed));
    assert.ok(!isWholeZstdFrame(packed.subarray(0, -1)));
    assert.ok(!isWholeZstdFrame(Uint8Array.of(...packed, 0)));
  }
  // A block of the reserved type.
  assert.ok(!isWholeZstdFrame(Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x20, 1, 7, 0, 0)));
});

Deno.test("compressions: many bombs at once are refused, and messages that grow a lot pass", async () => {
  const bomb = new Uint8Array(gzipSync(new Uint8Array(8 * LIMIT)));
  const large = new Uint8Array(gzipSync(new Uint8Array(LIMIT)));
  const [gzip] = COMPRESSIONS;
  const bombs = Array.from({ length: 30 }, () => codeOf(gzip.decompress(bomb, LIMIT)));
  const passed = gzip.decompress(large, LIMIT);
  for (const code of await Promise.all(bombs)) assert.equal(code, Code.ResourceExhausted);
  assert.equal((await passed).length, LIMIT);
});
