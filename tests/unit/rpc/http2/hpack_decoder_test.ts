import assert from "node:assert/strict";
import fc from "fast-check";
import { HpackDecoder, HpackEncoder, HpackError } from "../../../../src/rpc/http2/mod.ts";
import { fromHex, headerList, listBytes } from "../../../support/hpack.ts";

const USUAL = { maxTableBytes: 4096, maxListBytes: 16384 };

function decode(decoder: HpackDecoder, hex: string) {
  const bytes = fromHex(hex);
  return decoder.decode(bytes, 0, bytes.length);
}

/** A field that becomes an entry: `x: <value>`. */
function newEntry(length: number, fill = 0x61): Uint8Array {
  const bytes = [0x40, 1, 0x78, 0x7f];
  let rest = length - 127;
  for (; rest >= 128; rest >>>= 7) bytes.push(rest & 127 | 128);
  bytes.push(rest);
  return Uint8Array.from([...bytes, ...new Array(length).fill(fill)]);
}

/** Each malformed block, and what the error says; some need an entry `a: b` in the table. */
const MALFORMED: readonly (readonly [hex: string, message: RegExp, why: string])[] = [
  ["80", /index 0, where the last one is 61/, "an indexed field with index 0"],
  ["be", /index 62, where the last one is 61/, "an index behind the static table"],
  ["ff00", /index 127,/, "a long index"],
  ["ff81ffffff07", /index 2147483648,/, "the largest index"],
  ["400161 0162 bf", /index 63, where the last one is 62/, "an index behind the dynamic table"],
  ["7f00 0161", /index 63,/, "a name behind the tables, with a new entry"],
  ["0f2f 0161", /index 62,/, "a name behind the tables"],
  ["1f2f 0161", /index 62,/, "a name behind the tables, never to be indexed"],

  ["ff", /ends within an integer/, "an index that is cut off"],
  ["ff80", /ends within an integer/, "an index that is cut off later"],
  ["00", /ends before a string/, "a name that is cut off"],
  ["40", /ends before a string/, "a new entry's name that is cut off"],
  ["0001", /ends within a string/, "a name without its bytes"],
  ["000261", /ends within a string/, "a name with too few bytes"],
  ["000161", /ends before a string/, "a value that is missing"],
  ["000161 7f", /ends within an integer/, "a value's length that is cut off"],
  ["000161 0261", /ends within a string/, "a value with too few bytes"],
  ["000161 8261", /ends within a string/, "a coded value with too few bytes"],
  ["000161 7f80ffffff07", /ends within a string/, "a value of two gigabytes"],
  ["3f", /ends within an integer/, "a size that is cut off"],

  ["ff 82ffffff07", /integer above 2\^31/, "2^31 + 1"],
  ["ff ffffffff0f", /integer above 2\^31/, "more than 32 bits"],
  ["ff ffffffff7f", /integer above 2\^31/, "all bits of five bytes"],
  ["ff 808080808000", /more than 5 further bytes/, "zeros without end"],
  ["ff ffffffffff01", /more than 5 further bytes/, "ones without end"],
  ["3f ffffffffff01", /more than 5 further bytes/, "a size without end"],
  ["000161 7f 808080808001", /more than 5 further bytes/, "a length without end"],

  // "a" is 00011, and then come three bits of padding.
  ["000161 8118", /Huffman code is wrong/, "padding of zeros"],
  ["000161 811b", /Huffman code is wrong/, "padding that ends in ones"],
  ["000161 821fff", /Huffman code is wrong/, "padding of eleven bits"],
  ["000161 81ff", /Huffman code is wrong/, "padding of eight bits"],
  ["000161 84ffffffff", /Huffman code is wrong/, "EOS"],
  ["000161 85fffffffc1f", /Huffman code is wrong/, "EOS and an a"],
  ["000161 83fffffe", /Huffman code is wrong/, "a code that is cut off"],
  ["0081ff 0161", /Huffman code is wrong/, "a name with padding only"],

  ["3fe21f", /a table of 4097 bytes, where 4096 are the most/, "a size above the limit"],
  ["3fe0ffff0f", /a table of \d+ bytes/, "a size far above the limit"],
  ["82 20", /change of the table's size behind a field/, "a size behind an indexed field"],
  ["000161 0162 20", /change of the table's size behind a field/, "a size behind a literal"],
];

for (const [hex, message, why] of MALFORMED) {
  Deno.test(`decode() refuses ${why}`, () => {
    const decoder = new HpackDecoder(USUAL);
    assert.throws(() => decode(decoder, hex), (error) => {
      assert.ok(error instanceof HpackError);
      assert.match(error.message, message);
      return true;
    });
  });
}

Deno.test("decode() takes an integer with zeros that are not needed", () => {
  const decoder = new HpackDecoder(USUAL);
  decode(decoder, "3f 8080808000");
  assert.equal(decoder.table.maxBytes, 31);
});

Deno.test("decode() never reads behind the end that it is given", () => {
  const decoder = new HpackDecoder(USUAL);
  const bytes = fromHex("82 00 0161 0162 83");
  assert.deepEqual(decoder.decode(bytes, 0, 6).headers, [":method", "GET", "a", "b"]);
  for (let end = 2; end < 6; end++) {
    assert.throws(() => new HpackDecoder(USUAL).decode(bytes, 1, end), HpackError, `${end}`);
  }
  assert.deepEqual(decoder.decode(bytes, 3, 3), { headers: [], tooLarge: false });
});

Deno.test("a literal keeps a name whose entry its own insertion evicts", () => {
  const decoder = new HpackDecoder(USUAL);
  // A table of 40 bytes: room for one entry of two bytes.
  const { headers } = decode(decoder, "3f09 400161 0162 7e 0163");
  assert.deepEqual(headers, ["a", "b", "a", "c"]);
  assert.deepEqual(decoder.table.entries(), [["a", "c"]]);
});

Deno.test("an entry larger than the table empties it, and its field is there all the same", () => {
  const decoder = new HpackDecoder(USUAL);
  const { headers } = decode(decoder, "3f09 400161 0162 400161 096263646566676869 6a 82");
  assert.deepEqual(headers, ["a", "b", "a", "bcdefghij", ":method", "GET"]);
  assert.equal(decoder.table.count, 0);
  assert.equal(decoder.table.bytes, 0);
});

Deno.test("changes of the table's size: two of them, to nothing and back", () => {
  const decoder = new HpackDecoder(USUAL);
  decode(decoder, "400161 0162");
  assert.deepEqual(decode(decoder, "be").headers, ["a", "b"]);
  assert.deepEqual(decode(decoder, "20 3fe11f 82").headers, [":method", "GET"]);
  assert.equal(decoder.table.count, 0);
  assert.equal(decoder.table.maxBytes, 4096);
  assert.throws(() => decode(decoder, "be"), HpackError);
});

Deno.test("a smaller limit holds from the acknowledgement on, and then a change of size is due", () => {
  const small = { maxTableBytes: 100, maxListBytes: 1000 };
  const decoder = new HpackDecoder(small);
  // The client's first block is on its way before it has our SETTINGS.
  decode(decoder, "3fe11f 400161 0162");
  assert.equal(decoder.table.maxBytes, 4096);
  decoder.settingsAcknowledged();
  assert.throws(() => decode(decoder, "82"), /due/);
  assert.throws(() => decode(decoder, "3f46 82"), /a table of 101 bytes/);
  assert.deepEqual(decode(decoder, "3f45 be").headers, ["a", "b"]);
  assert.deepEqual(decode(decoder, "be").headers, ["a", "b"], "it is due once");
  decoder.settingsAcknowledged();
  assert.deepEqual(decode(decoder, "be").headers, ["a", "b"], "the table is small enough");

  const known = new HpackDecoder(small);
  decode(known, "82");
  known.settingsAcknowledged();
  assert.throws(() => decode(known, "82"), /due/, "not even a block that is remembered");
  assert.deepEqual(decode(known, "20 82").headers, [":method", "GET"], "smaller than it need be");

  const empty = new HpackDecoder({ maxTableBytes: 0, maxListBytes: 1000 });
  empty.settingsAcknowledged();
  assert.deepEqual(decode(empty, "20 400161 0162").headers, ["a", "b"]);
  assert.equal(empty.table.count, 0);
});

Deno.test("a larger limit may be used, and need not", () => {
  const decoder = new HpackDecoder({ maxTableBytes: 8192, maxListBytes: 1000 });
  decoder.settingsAcknowledged();
  assert.deepEqual(decode(decoder, "82").headers, [":method", "GET"]);
  assert.equal(decoder.table.maxBytes, 4096);
  decode(decoder, "3fe13f");
  assert.equal(decoder.table.maxBytes, 8192);
});

Deno.test("the same indexed fields give the very same list, as long as they mean the same", () => {
  const decoder = new HpackDecoder(USUAL);
  decode(decoder, "400161 0162");
  const first = decode(decoder, "82 be");
  assert.deepEqual(first.headers, [":method", "GET", "a", "b"]);
  const inFrame = fromHex("000000 82be 00");
  assert.equal(decoder.decode(inFrame, 3, 5), first);
  inFrame.fill(0);
  assert.equal(decode(decoder, "82 be"), first, "it has its own copy of the bytes");
  assert.notEqual(decode(decoder, "82"), first);
  assert.notEqual(decode(decoder, "82 be 82"), first);
  assert.notEqual(decode(decoder, "83 be"), first);
  assert.equal(decode(decoder, "82 be"), first, "a few are remembered");

  assert.deepEqual(decode(decoder, "82 400163 0164").headers, [":method", "GET", "c", "d"]);
  assert.deepEqual(decode(decoder, "82 be").headers, [":method", "GET", "c", "d"]);
  assert.deepEqual(decode(decoder, "20 82").headers, [":method", "GET"], "the table was emptied");
  assert.throws(() => decode(decoder, "82 be"), HpackError);
});

Deno.test("literals and changes of size are not remembered", () => {
  const decoder = new HpackDecoder(USUAL);
  for (const hex of ["82 000161 0162", "3fe11f 82", "82 100161 0162"]) {
    const first = decode(decoder, hex);
    assert.notEqual(decode(decoder, hex), first, hex);
    assert.deepEqual(decode(decoder, hex), first, hex);
  }
  decode(decoder, "400161 0162");
  decode(decoder, "400161 0162");
  assert.equal(decoder.table.count, 2, "an insertion is done each time");
});

Deno.test("a literal that came lately is the same bytes in the same code, or it is made anew", () => {
  const decoder = new HpackDecoder(USUAL);
  // "/sample/path" as in C.2.2; with another end, shorter, and as if it were a Huffman code.
  const path = "2f73616d706c652f70617468";
  for (let i = 0; i < 2; i++) {
    assert.deepEqual(decode(decoder, `040c ${path}`).headers, [":path", "/sample/path"]);
    assert.deepEqual(decode(decoder, `040c ${path.slice(0, -2)}69`).headers[1], "/sample/pati");
    assert.deepEqual(decode(decoder, `040b ${path.slice(0, -2)}`).headers[1], "/sample/pat");
    const [, coded] = decode(new HpackDecoder(USUAL), `048c ${path}`).headers;
    assert.notEqual(coded, "/sample/path");
    assert.deepEqual(decode(decoder, `048c ${path}`).headers, [":path", coded]);
    assert.deepEqual(decode(decoder, `00 0c ${path} 0c ${path}`).headers, [
      "/sample/path",
      "/sample/path",
    ]);
  }
  // A list that has no room for it counts it all the same.
  const small = new HpackDecoder({ maxTableBytes: 4096, maxListBytes: 60 });
  decode(small, `440c ${path}`);
  assert.deepEqual(decode(small, `440c ${path} 040c ${path}`), {
    headers: [":path", "/sample/path"],
    tooLarge: true,
  });
});

Deno.test("the copy of a Buffer's bytes is one", () => {
  const decoder = new HpackDecoder(USUAL);
  const chunk = Buffer.from([0x82, 0x86]);
  const first = decoder.decode(chunk, 0, 2);
  chunk[0] = 0x83;
  assert.deepEqual(decoder.decode(chunk, 0, 2).headers, [":method", "POST", ":scheme", "http"]);
  chunk[0] = 0x82;
  assert.equal(decoder.decode(chunk, 0, 2), first);
});

Deno.test("a list has room for just as much as it may have", () => {
  // Two fields of 34 bytes.
  const block = "000161 0162 000161 0162";
  const fits = new HpackDecoder({ maxTableBytes: 4096, maxListBytes: 68 });
  assert.deepEqual(decode(fits, block), { headers: ["a", "b", "a", "b"], tooLarge: false });
  const tooSmall = new HpackDecoder({ maxTableBytes: 4096, maxListBytes: 67 });
  assert.deepEqual(decode(tooSmall, block), { headers: ["a", "b"], tooLarge: true });
});

Deno.test("the table stays in step through a list that is too large", () => {
  const decoder = new HpackDecoder({ maxTableBytes: 4096, maxListBytes: 40 });
  const long = newEntry(300);
  const block = Uint8Array.of(
    ...fromHex("000161 0162 82 000161 0162"),
    ...long,
    ...fromHex("400163 0164 82"),
  );
  const { headers, tooLarge } = decoder.decode(block, 0, block.length);
  assert.deepEqual(headers, ["a", "b"]);
  assert.ok(tooLarge);
  assert.deepEqual(decoder.table.entries(), [["c", "d"], ["x", "a".repeat(300)]]);
  assert.deepEqual(decode(decoder, "be"), { headers: ["c", "d"], tooLarge: false });
  // What is dropped is checked as any other: the tables could differ from here on.
  assert.throws(() => decode(decoder, "82 82 000161 81ff"), HpackError);
});

Deno.test("a string longer than the table and a list is in neither", () => {
  const decoder = new HpackDecoder({ maxTableBytes: 4096, maxListBytes: 1000 });
  for (const coded of [false, true]) {
    decode(decoder, "400161 0162");
    assert.equal(decoder.table.count, 1);
    // Coded, five bits of zeros are "0".
    const block = newEntry(100_000, coded ? 0 : 0x61);
    if (coded) block[3] |= 0x80;
    assert.deepEqual(decoder.decode(block, 0, block.length), { headers: [], tooLarge: true });
    assert.equal(decoder.table.count, 0, "it emptied the table");
  }
  // As a name, too.
  const name = Uint8Array.of(0x40, ...newEntry(100_000).subarray(3), 0);
  assert.deepEqual(decoder.decode(name, 0, name.length), { headers: [], tooLarge: true });
});

Deno.test("a bomb: an entry of 4 KiB, named thousands of times, stays within the limit", () => {
  const decoder = new HpackDecoder(USUAL);
  const entry = newEntry(4096 - 32 - 1);
  decoder.decode(entry, 0, entry.length);
  assert.equal(decoder.table.bytes, 4096);
  const block = new Uint8Array(16384).fill(0xbe);
  const bomb = decoder.decode(block, 0, block.length);
  assert.ok(bomb.tooLarge);
  assert.equal(bomb.headers.length, 2 * 4);
  assert.ok(listBytes(bomb.headers) <= USUAL.maxListBytes);
  // The same with the smallest fields.
  decode(decoder, "3fe11f 400000");
  const small = decoder.decode(block, 0, block.length);
  assert.ok(small.tooLarge);
  assert.equal(small.headers.length, 2 * 16384 / 32);
});

Deno.test("a table of many small entries turns over, and each index is its field", () => {
  const decoder = new HpackDecoder({ maxTableBytes: 65536, maxListBytes: 65536 });
  decode(decoder, "3fe1ff03");
  const all: [string, string][] = [];
  for (let i = 0; i < 5000; i++) {
    const value = String(i % 1000).padStart(3, "0");
    const hex = Array.from(value, (digit) => digit.charCodeAt(0).toString(16)).join("");
    decode(decoder, `400161 03${hex}`);
    all.unshift(["a", value]);
    if (i % 500 === 7) {
      assert.deepEqual(decoder.table.entries(), all.slice(0, Math.floor(65536 / 36)));
    }
  }
});

Deno.test("any lists come back from the encoder as they were, whatever becomes of the table", () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ headers: headerList, room: fc.nat({ max: 500 }) }) },
    {
      weight: 1,
      arbitrary: fc.oneof(fc.constantFrom(0, 40, 100, 4096, 65536), fc.nat({ max: 400 })),
    },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const encoder = new HpackEncoder();
      const decoder = new HpackDecoder({ maxTableBytes: 65536, maxListBytes: 1e6 });
      const into = new Uint8Array(20_000);
      for (const step of steps) {
        if (typeof step === "number") {
          encoder.setMaxTableBytes(step);
          continue;
        }
        // First into what may be too small: then it is as if it had not been tried.
        let end = encoder.encode(step.headers, into.subarray(0, 3 + step.room), 3);
        if (end < 0) end = encoder.encode(step.headers, into, 3);
        const { headers, tooLarge } = decoder.decode(into, 3, end);
        assert.deepEqual(headers, step.headers);
        assert.equal(tooLarge, false);
        assert.deepEqual(decoder.table.entries(), encoder.table.entries());
        assert.equal(decoder.table.maxBytes, encoder.table.maxBytes);
      }
    }),
    { numRuns: 300 },
  );
});
