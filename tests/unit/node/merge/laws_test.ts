/**
 * Which functions may merge, and what is said to the others.
 */
import assert from "node:assert/strict";
import { PairError } from "../../../../src/model/mod.ts";
import { checkLaws, generatedValues } from "../../../../src/node/merge/laws.ts";
import { SandboxError, SimSandbox, type SimSandboxFunction } from "../../../../src/runtime/mod.ts";
import { bytes, text } from "../../../support/node.ts";

const SOURCE = "the function";

/** What is said of a function; empty: nothing. */
async function said(make: () => SimSandboxFunction, samples: string[] = []): Promise<string> {
  const sandbox = new SimSandbox().know(SOURCE, make);
  try {
    await checkLaws(() => sandbox.start(SOURCE, { resultBytes: 1000 }), samples.map(bytes));
    return "";
  } catch (error) {
    assert.ok(error instanceof PairError, String(error));
    assert.equal(error.code, error.error === "Unavailable" ? 2001 : 1000);
    return `${error.details.law}: ${error.message}`;
  } finally {
    assert.equal(sandbox.running, 0, "every worker is ended");
  }
}

const json = (value: Uint8Array) => JSON.parse(text(value)!);

/** The union of two JSON arrays. */
const union: SimSandboxFunction = (a, b) =>
  bytes(JSON.stringify([...new Set([...json(a), ...json(b)])].sort()));
const larger: SimSandboxFunction = (a, b) => text(a)! > text(b)! ? a : b;

Deno.test("a function that holds the laws may merge, also one that puts values into its own form", async () => {
  assert.equal(await said(() => (a, b) => Buffer.compare(a, b) > 0 ? a : b), "");
  assert.equal(await said(() => union), "");
  assert.equal(await said(() => union, ['["b","a"]', '["c"]', "[]"]), "");
});

Deno.test("a function that breaks a law is refused, with the law and the values", async () => {
  assert.match(await said(() => (a) => a), /^commutative: .* a = "", b = "a": "" and "a"$/);
  const sum: SimSandboxFunction = (a, b) => bytes(`${Number(text(a)) + Number(text(b))}`);
  assert.match(await said(() => sum, ["1", "2"]), /^idempotent: .* a = "1", b = "1": "3" and "2"$/);
  const odd: SimSandboxFunction = (a, b) => {
    const [one, other] = [text(a)!, text(b)!].sort();
    if (one === "p" && other === "q") return bytes("x");
    if (one === "q" && other === "r") return bytes("y");
    return larger(a, b);
  };
  assert.match(await said(() => odd, ["p", "q", "r"]), /^(associative|idempotent): /);
  const rock: SimSandboxFunction = (a, b) => {
    const wins: Record<string, string> = { rs: "r", sr: "r", ps: "s", sp: "s", pr: "p", rp: "p" };
    return bytes(wins[text(a)! + text(b)!] ?? text(a)!);
  };
  assert.match(
    await said(() => rock, ["r", "p", "s"]),
    /^associative: .*a = ".", b = ".", c = "."/,
  );
});

Deno.test("a function that does not give the same each time is refused", async () => {
  let workers = 0;
  const other = () => {
    const own = bytes(`${workers++}`);
    return () => own;
  };
  assert.match(await said(other), /^determinism: /);
  const counting = () => {
    let calls = 0;
    return () => bytes(`${calls++}`);
  };
  assert.match(await said(counting), /^determinism: /);
});

Deno.test("a function may throw on values that are not its own, and never on samples", async () => {
  const picky: SimSandboxFunction = (a, b) => {
    if (!text(a)!.startsWith("v") || !text(b)!.startsWith("v")) throw new Error("no such value");
    return larger(a, b);
  };
  assert.match(await said(() => picky), /^samples: .* register it with samples/);
  assert.equal(await said(() => picky, ["v1", "v2"]), "");
  assert.match(await said(() => picky, ["v1", "w"]), /^threw: .* b = "w": Error: no such value/);
  // In one order only.
  const half: SimSandboxFunction = (a, b) => {
    if (a.length > b.length) throw new Error("no");
    return b;
  };
  assert.match(await said(() => half), /^commutative: .* (an error|and an error)/);
});

Deno.test("a function that gives no bytes, or too many, is refused; one that nobody could try is not judged", async () => {
  assert.match(await said(() => () => "text"), /^result: .* no Uint8Array/);
  assert.match(await said(() => () => new Uint8Array(1001)), /^result: .* more than 1000/);
  const sandbox = new SimSandbox().know(SOURCE, () => larger);
  for (const reason of ["time", "memory", "load"] as const) {
    sandbox.failing = new SandboxError(reason, "too much");
    await assert.rejects(checkLaws(() => sandbox.start(SOURCE), []), { code: 1000 });
  }
  sandbox.failing = new SandboxError("broken", "its worker died");
  await assert.rejects(checkLaws(() => sandbox.start(SOURCE), []), { code: 2001 });
});

Deno.test("the generated values are the same each time, and all different", () => {
  const hex = () => generatedValues().map((value) => value.toHex());
  assert.deepEqual(hex(), hex());
  assert.equal(new Set(hex()).size, hex().length);
});
