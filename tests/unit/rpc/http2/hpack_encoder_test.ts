import assert from "node:assert/strict";
import fc from "fast-check";
import { HpackDecoder, HpackEncoder } from "../../../../src/rpc/http2/mod.ts";
import { headerList, toHex } from "../../../support/hpack.ts";

/** What the encoder makes of a list. */
function encode(encoder: HpackEncoder, headers: readonly string[]): string {
  const into = new Uint8Array(10_000);
  return toHex(into.subarray(0, encoder.encode(headers, into, 0)));
}

const STATUS = ["grpc-status", "0"];
const TYPE = ["content-type", "application/grpc"];
const PATH = [":path", "/a/b"];

Deno.test("what repeats becomes an entry, and then an index", () => {
  const encoder = new HpackEncoder();
  assert.equal(encode(encoder, STATUS), "40889acac8b21234da8f0130");
  assert.equal(encode(encoder, STATUS), "be");
  assert.equal(encode(encoder, [...TYPE, ...STATUS]).slice(-2), "bf");
  assert.equal(encode(encoder, [...TYPE, ...STATUS]), "bebf");
  // Its name is known now, its value is not.
  assert.equal(encode(encoder, ["grpc-status", "5"]), "7f000135");
  assert.deepEqual(encoder.table.entries(), [["grpc-status", "5"], TYPE, STATUS]);
});

Deno.test("of what only its name repeats the first one becomes an entry", () => {
  const encoder = new HpackEncoder();
  assert.equal(encode(encoder, ["grpc-timeout", "1S"]).slice(0, 2), "40");
  const generation = encoder.generation;
  assert.equal(encode(encoder, ["grpc-timeout", "2S"]), "0f2f023253");
  assert.equal(encode(encoder, ["grpc-timeout", "1S"]), "be");
  assert.deepEqual(encoder.table.entries(), [["grpc-timeout", "1S"]]);
  assert.equal(encoder.generation, generation);
});

Deno.test("within one block, too", () => {
  const encoder = new HpackEncoder();
  assert.equal(encode(encoder, [...STATUS, ...STATUS]).slice(-2), "be");
  assert.equal(encoder.table.count, 1);
});

Deno.test("what is secret is never an entry, and says so; other things are literals", () => {
  const encoder = new HpackEncoder();
  for (
    const [name, begin] of [
      ["authorization", "1f08"],
      ["cookie", "1f11"],
      ["proxy-authorization", "1f22"],
      ["set-cookie", "1f28"],
      ["date", "0f12"],
      ["x-any", "0084"],
    ]
  ) {
    const first = encode(encoder, [name, "secret"]);
    assert.equal(first.slice(0, 4), begin, name);
    assert.equal(encode(encoder, [name, "secret"]), first, name);
  }
  assert.equal(encoder.table.count, 0);
  assert.equal(encoder.generation, 0);
});

Deno.test("a string is Huffman-coded when that is shorter", () => {
  const encoder = new HpackEncoder();
  assert.equal(encode(encoder, ["date", "0000"]), "0f12 83 00000f".replaceAll(" ", ""));
  assert.equal(encode(encoder, ["date", "&"]), "0f12 01 26".replaceAll(" ", ""), "as long");
  assert.equal(encode(encoder, ["date", "\xff"]), "0f12 01 ff".replaceAll(" ", ""), "longer");
  assert.equal(encode(encoder, ["date", ""]), "a1", "it is in the table");
});

Deno.test("nothing is evicted to make room", () => {
  const encoder = new HpackEncoder();
  const many = (i: number) => [":path", `/${String(i).padStart(12, "0")}`];
  for (let i = 0; i < 200; i++) encode(encoder, many(i));
  // 32 + 5 + 13 bytes each.
  assert.equal(encoder.table.count, Math.floor(4096 / 50));
  assert.equal(encoder.table.entries().at(-1)![1], "/000000000000");
  const generation = encoder.generation;
  assert.equal(encode(encoder, many(199)).slice(0, 2), "04");
  assert.equal(encoder.generation, generation);
  // A small one may have room all the same.
  assert.equal(encode(encoder, ["te", ""]).slice(0, 2), "40");
});

Deno.test("a peer without a table gets static entries and literals", () => {
  const encoder = new HpackEncoder();
  encoder.setMaxTableBytes(0);
  const list = [":status", "200", ...STATUS, ...STATUS];
  const status = "00889acac8b21234da8f0130";
  assert.equal(encode(encoder, list), `2088${status}${status}`, "and is told so once");
  assert.equal(encode(encoder, list), `88${status}${status}`);
  assert.equal(encoder.table.count, 0);
});

Deno.test("a peer with a table of 40 bytes gets one small entry", () => {
  const encoder = new HpackEncoder();
  encoder.setMaxTableBytes(40);
  assert.equal(encode(encoder, ["te", "a"]).slice(0, 6), "3f0940");
  assert.equal(encode(encoder, ["te", "a"]), "be");
  assert.equal(encode(encoder, ["te", "b"]).slice(0, 2), "0f", "by the name of the entry");
  assert.equal(encode(encoder, STATUS).slice(0, 2), "00");
});

Deno.test("a size that is lowered evicts, and is told; one that was lowered and raised is told as two", () => {
  const encoder = new HpackEncoder();
  encode(encoder, [...STATUS, ...TYPE, ...PATH]);
  // 41 bytes are those of the path.
  encoder.setMaxTableBytes(50);
  assert.deepEqual(encoder.table.entries(), [PATH]);
  assert.equal(encode(encoder, PATH), "3f13be");
  assert.equal(encode(encoder, PATH), "be");

  encoder.setMaxTableBytes(10);
  encoder.setMaxTableBytes(20);
  encoder.setMaxTableBytes(4096);
  assert.equal(encode(encoder, []), "2a3fe11f");
  assert.equal(encoder.table.count, 0);

  encoder.setMaxTableBytes(0);
  encoder.setMaxTableBytes(4096);
  assert.equal(encode(encoder, []), "203fe11f", "the entries are gone, and it has to be said");
  encoder.setMaxTableBytes(1000);
  encoder.setMaxTableBytes(100);
  assert.equal(encode(encoder, []), "3f45");
  encoder.setMaxTableBytes(200);
  encoder.setMaxTableBytes(100);
  assert.equal(encode(encoder, []), "", "as it was, and never lower");
  encoder.setMaxTableBytes(200);
  assert.equal(encode(encoder, []), "3fa901");
});

Deno.test("we never use more than 4,096 bytes, and do not speak of it", () => {
  const encoder = new HpackEncoder();
  encoder.setMaxTableBytes(2 ** 32 - 1);
  assert.equal(encode(encoder, []), "");
  assert.equal(encoder.table.maxBytes, 4096);
  assert.equal(encoder.generation, 0);
});

Deno.test("what does not fit changes nothing, at any length", () => {
  const list = [":status", "415", ...STATUS, ...TYPE, "x-any", "value", "authorization", "secret"];
  const before = () => {
    const encoder = new HpackEncoder();
    encode(encoder, PATH);
    encoder.setMaxTableBytes(60);
    encoder.setMaxTableBytes(2000);
    return encoder;
  };
  const whole = encode(before(), list);
  const length = whole.length / 2;
  for (let room = 0; room < length; room++) {
    const encoder = before();
    const generation = encoder.generation;
    assert.equal(encoder.encode(list, new Uint8Array(7 + room), 7), -1);
    assert.equal(encoder.generation, generation);
    assert.deepEqual(encoder.table.entries(), before().table.entries());
    assert.equal(encode(encoder, list), whole);
  }
  assert.equal(before().encode(list, new Uint8Array(7 + length), 7), 7 + length);
});

Deno.test("what is no byte is refused and changes nothing", () => {
  const encoder = new HpackEncoder();
  const list = [...STATUS, "x-any", "\u010a"];
  assert.throws(() => encoder.encode(list, new Uint8Array(100), 0), RangeError);
  assert.equal(encoder.table.count, 0);
  assert.equal(encoder.generation, 0);
  assert.equal(encode(encoder, STATUS), "40889acac8b21234da8f0130");
});

Deno.test("generation goes up with each block that makes entries or tells a size, and when one is due", () => {
  const encoder = new HpackEncoder();
  const steps: [() => unknown, number][] = [
    [() => encode(encoder, [":status", "200"]), 0],
    [() => encode(encoder, STATUS), 1],
    [() => encode(encoder, STATUS), 0],
    [() => encode(encoder, ["x-any", "value"]), 0],
    [() => encoder.setMaxTableBytes(4096), 0],
    [() => encoder.setMaxTableBytes(2000), 1],
    [() => encoder.setMaxTableBytes(2000), 0],
    [() => encode(encoder, STATUS), 1],
    [() => encode(encoder, STATUS), 0],
  ];
  for (const [i, [step, more]] of steps.entries()) {
    const before = encoder.generation;
    step();
    assert.equal(encoder.generation - before, more, `step ${i}`);
  }
});

Deno.test("a block may be sent again while the generation is that of before and after it", () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: headerList },
    { weight: 1, arbitrary: fc.constantFrom(0, 50, 120, 4096) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const encoder = new HpackEncoder();
      const decoder = new HpackDecoder({ maxTableBytes: 4096, maxListBytes: 1e6 });
      const kept: { block: Uint8Array; headers: string[]; generation: number }[] = [];
      for (const step of steps) {
        if (typeof step === "number") {
          encoder.setMaxTableBytes(step);
        } else {
          const generation = encoder.generation;
          const into = new Uint8Array(20_000);
          const block = into.subarray(0, encoder.encode(step, into, 0));
          assert.deepEqual(decoder.decode(block, 0, block.length).headers, step);
          if (encoder.generation === generation) kept.push({ block, headers: step, generation });
        }
        for (const { block, headers, generation } of kept) {
          if (generation !== encoder.generation) continue;
          assert.deepEqual(decoder.decode(block, 0, block.length).headers, headers);
        }
        assert.ok(decoder.table.bytes <= decoder.table.maxBytes);
      }
    }),
    { numRuns: 200 },
  );
});
