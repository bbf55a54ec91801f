import assert from "node:assert/strict";
import fc from "fast-check";
import { type Line, splitLines } from "../../../src/cli/lines.ts";
import { formatRecord, parseRecord } from "../../../src/cli/records.ts";
import { exactText, oneLine, valueOnOneLine } from "../../../src/cli/text.ts";
import { PairError } from "../../../src/client/mod.ts";
import { utf8 } from "../../../src/model/mod.ts";

/** The code of the error for a line. */
function codeOf(line: string | Uint8Array): number {
  try {
    parseRecord(typeof line === "string" ? utf8(line) : line);
  } catch (error) {
    assert(error instanceof PairError, String(error));
    return error.code;
  }
  assert.fail(`accepted: ${line}`);
}

async function linesOf(chunks: Uint8Array[], limit = 1000): Promise<Line[]> {
  return await Array.fromAsync(splitLines(ReadableStream.from(chunks), limit));
}

Deno.test("a record comes back from its line byte for byte", () => {
  const values = fc.oneof(
    fc.uint8Array({ maxLength: 64 }),
    fc.string({ unit: "binary", maxLength: 64 }).map((text) => utf8(text)),
    fc.constantFrom(utf8("\ufefftext"), utf8("\0\n\u2028"), new Uint8Array([0xef, 0xbb])),
  );
  const keys = fc.string({ unit: "binary", minLength: 1, maxLength: 100 })
    .filter((key) => !/\p{Cc}/u.test(key));
  fc.assert(fc.property(keys, values, (key, value) => {
    const line = formatRecord({ key, value });
    assert.equal(line.indexOf("\n"), line.length - 1);
    assert.deepEqual(parseRecord(utf8(line.trimEnd())), { key, value: new Uint8Array(value) });
  }));
});

Deno.test("formatRecord() writes text as text and other bytes as base64", () => {
  assert.equal(formatRecord({ key: "k", value: utf8("ä") }), '{"key":"k","value":"ä"}\n');
  assert.equal(formatRecord({ key: "k", value: new Uint8Array() }), '{"key":"k","value":""}\n');
  assert.equal(
    formatRecord({ key: "k", value: new Uint8Array([0xff, 0xd8, 0xff]) }),
    '{"key":"k","value_base64":"/9j/"}\n',
  );
});

Deno.test("a record says when it is gone, in ms since 1970", () => {
  const record = { key: "k", value: utf8("v"), expiresAtMs: 1_790_000_000_000 };
  const line = formatRecord(record);
  assert.equal(line, '{"key":"k","value":"v","expires_at":1790000000000}\n');
  assert.deepEqual(parseRecord(utf8(line)), record);
  assert.equal(parseRecord(utf8('{"key":"k","value":"v","expires_at":0}')).expiresAtMs, 0);
  for (const bad of ["-1", "1.5", '"soon"', "null", "1e300"]) {
    assert.equal(codeOf(`{"key":"k","value":"v","expires_at":${bad}}`), 1000, bad);
  }
});

Deno.test("parseRecord() refuses what is malformed or no server would take", () => {
  const malformed = [
    "",
    "nonsense",
    "[]",
    "null",
    '"text"',
    "{}",
    '{"key":"k"}',
    '{"value":"v"}',
    '{"key":1,"value":"v"}',
    '{"key":"k","value":1}',
    '{"key":"k","value":null}',
    '{"key":"k","value":"v","value_base64":"dg=="}',
    '{"key":"k","value_base64":"?"}',
    '{"key":"k","value_base64":"dg"}',
    '{"key":"k","value_base64":7}',
    '{"key":"k","value":"v","ttl":1}',
    '{"key":"k","value":"\\ud800"}',
    '{"key":"","value":"v"}',
    '{"key":"k","value":"v"} x',
  ];
  for (const line of malformed) assert.equal(codeOf(line), 1000, line);
  assert.equal(codeOf(new Uint8Array([0x22, 0xff, 0x22])), 1000);
  assert.equal(codeOf(`{"key":"${"k".repeat(1025)}","value":"v"}`), 1002);
  assert.equal(codeOf(`{"key":"k","value":"${"v".repeat(10 * 1024 * 1024 + 1)}"}`), 1003);
  assert.equal(codeOf('{"key":"\\u0000","value":"v"}'), 1005);
  assert.equal(codeOf('{"key":"\\udc00","value":"v"}'), 1005);
});

Deno.test("splitLines() gives the same lines however the stream is cut", async () => {
  const bytes = utf8("first\n\nthird ä\nlast");
  for (let size = 1; size <= bytes.length; size++) {
    const chunks: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.slice(at, at + size));
    const lines = await linesOf(chunks);
    assert.deepEqual(lines.map((line) => exactText(line.bytes)), ["first", "", "third ä", "last"]);
    assert.deepEqual(lines.map((line) => line.number), [1, 2, 3, 4]);
    assert.deepEqual(lines.map((line) => line.end), [6, 7, 16, 20]);
  }
});

Deno.test("splitLines() takes no empty last line and refuses one that is too long", async () => {
  assert.deepEqual((await linesOf([utf8("a\n")])).length, 1);
  assert.deepEqual(await linesOf([]), []);
  assert.equal((await linesOf([utf8("12345\n12345")], 5)).length, 2);
  await assert.rejects(linesOf([utf8("a\n123"), utf8("456")], 5), /^PairError: line 2: /);
  await assert.rejects(linesOf([utf8("123456\n")], 5), /^PairError: line 1: /);
});

Deno.test("what goes to a terminal drives nothing", () => {
  assert.equal(oneLine("a\tb\nc\\d\x1b[2J\u202e\u009b"), "a\\tb\\nc\\\\d\\u001b[2J\\u202e\\u009b");
  assert.equal(valueOnOneLine(new Uint8Array([0xff])), "base64:/w==");
});
