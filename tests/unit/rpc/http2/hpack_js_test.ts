/**
 * Our HPACK against hpack.js, both ways: each reads what the other has written, over connections of many
 * blocks with a table that both change.
 * @module
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import hpackJs from "hpack.js";
import { HpackDecoder, HpackEncoder } from "../../../../src/rpc/http2/mod.ts";
import { headerList } from "../../../support/hpack.ts";

/** hpack.js looks names up in a plain object, and takes what every object has for entries of its table. */
const usable = headerList.map((headers) =>
  headers.map((text) => text in Object.prototype ? "x" : text)
);

Deno.test("hpack.js reads what we write", () => {
  const step = fc.oneof(
    { weight: 5, arbitrary: usable },
    { weight: 1, arbitrary: fc.oneof(fc.constantFrom(0, 40, 4096), fc.nat({ max: 400 })) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const encoder = new HpackEncoder();
      const decoder = hpackJs.decompressor.create({ table: { maxSize: 4096 } });
      const into = new Uint8Array(20_000);
      for (const step of steps) {
        if (typeof step === "number") {
          encoder.setMaxTableBytes(step);
          continue;
        }
        decoder.write(Buffer.from(into.slice(0, encoder.encode(step, into, 0))));
        decoder.execute();
        const found: string[] = [];
        for (let field = decoder.read(); field !== null; field = decoder.read()) {
          found.push(field.name, field.value);
          assert.equal(field.neverIndex, isSecret(field), `${field.name}`);
        }
        assert.deepEqual(found, step);
      }
    }),
    { numRuns: 200 },
  );
});

/** Whether a field is to be marked; the empty one is in the static table. */
function isSecret({ name, value }: { name: string; value: string }): boolean {
  return value !== "" && ["authorization", "cookie"].includes(name);
}

Deno.test("we read what hpack.js writes", () => {
  const how = fc.record({
    incremental: fc.boolean(),
    neverIndex: fc.boolean(),
    huffman: fc.boolean(),
  });
  const block = fc.record({
    headers: usable,
    hows: fc.array(how, { minLength: 1, maxLength: 5 }),
    reset: fc.integer({ min: 0, max: 9 }).map((dice) => dice === 0),
  });
  fc.assert(
    fc.property(fc.array(block, { maxLength: 30 }), fc.boolean(), (blocks, small) => {
      const maxSize = small ? 150 : 4096;
      const encoder = hpackJs.compressor.create({ table: { maxSize } });
      const decoder = new HpackDecoder({ maxTableBytes: 4096, maxListBytes: 1e6 });
      if (small) encoder.updateTableSize(maxSize);
      for (const { headers, hows, reset } of blocks) {
        if (reset) encoder.reset();
        const fields = [];
        for (let i = 0; i < headers.length; i += 2) {
          fields.push({ name: headers[i], value: headers[i + 1], ...hows[i / 2 % hows.length] });
        }
        encoder.write(fields);
        const bytes: Buffer = encoder.read() ?? Buffer.alloc(0);
        assert.deepEqual(decoder.decode(bytes, 0, bytes.length).headers, headers);
      }
    }),
    { numRuns: 200 },
  );
});
