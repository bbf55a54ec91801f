/**
 * The sandbox on the machine: what foreign code can do in it, and what it cannot.
 */
import assert from "node:assert/strict";
import {
  denoSandbox,
  MAX_SANDBOX_SOURCE,
  type Sandbox,
  SandboxError,
  type SandboxLimits,
  SimSandbox,
} from "../../../src/runtime/mod.ts";

const utf8 = (text: string) => new TextEncoder().encode(text);
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** What becomes of a call: the result as text, or the reason and the message. */
async function run(
  sandbox: Sandbox,
  source: string,
  values: string[],
  limits?: Partial<SandboxLimits>,
) {
  const merge = sandbox.start(source, limits);
  try {
    return text(await merge.fold(values.map(utf8)));
  } catch (error) {
    assert.ok(error instanceof SandboxError, String(error));
    return `${error.reason}: ${error.message}`;
  } finally {
    merge.end();
  }
}

async function inSandbox(test: (sandbox: Sandbox) => Promise<void>): Promise<void> {
  const sandbox = denoSandbox();
  try {
    await test(sandbox);
  } finally {
    sandbox.close();
  }
}

Deno.test("a function in TypeScript folds values from the left, and has UTF-8 at hand", () =>
  inSandbox(async (sandbox) => {
    const code = await sandbox.prepare(`
      interface Cart { readonly items: string[] }
      const read = (bytes: Uint8Array): Cart => JSON.parse(new TextDecoder().decode(bytes));
      export default function merge(a: Uint8Array, b: Uint8Array): Uint8Array {
        const items = [...new Set([...read(a).items, ...read(b).items])].sort();
        return new TextEncoder().encode(JSON.stringify({ items } satisfies Cart));
      }`);
    const values = ["ä", "€", "😀", "a"].map((item) => JSON.stringify({ items: [item] }));
    assert.equal(await run(sandbox, code, values), `{"items":["a","ä","€","😀"]}`);
  }));

/** Each body is run as a function of a, b and the name of the case. */
const HOSTILE: Record<string, [body: string, expected: RegExp]> = {
  "reads a file": [`Deno.readFileSync("/etc/passwd")`, /^threw: TypeError: Deno is not there/],
  "fetches": [`fetch("http://127.0.0.1/")`, /^threw: TypeError: fetch is not there/],
  "loads a module": [`return import("node:fs")`, /^result: TypeError: it gave no Uint8Array/],
  "requires": [`require("fs")`, /^threw: TypeError: require is not there/],
  "asks for the time": [`return new Uint8Array([Date.now()])`, /^threw: TypeError: Date is not/],
  "measures": [`return performance.now()`, /^threw: TypeError: performance is not there/],
  "throws dice": [`return new Uint8Array([Math.random()])`, /^threw: TypeError: Math.random is/],
  "throws dice of the crypto": [`crypto.getRandomValues(a)`, /^threw: TypeError: crypto is not/],
  "sets a timer": [`setTimeout(() => {}, 1)`, /^threw: TypeError: setTimeout is not there/],
  "ends the process": [`process.exit()`, /^threw: TypeError: process is not there/],
  "forges an answer": [`postMessage({ value: a })`, /^threw: TypeError: postMessage is not there/],
  "makes code": [`return Function("return globalThis.Deno")()`, /^threw: TypeError: Deno is not/],
  "throws": [`throw new RangeError("no " + b.length)`, /^threw: RangeError: no 1$/],
  "throws nothing": [`throw null`, /^threw: null$/],
  "throws what cannot be shown": [
    `throw { get message() { throw 1 }, get name() { throw 1 }, toString() { throw 2 } }`,
    /^threw: /,
  ],
  "gives text": [`return "text"`, /^result: TypeError: it gave no Uint8Array/],
  "gives nothing": [``, /^result: TypeError: it gave no Uint8Array/],
  "gives a promise": [`return Promise.resolve(a)`, /^result: TypeError: it gave no Uint8Array/],
  "gives what looks like bytes": [
    `return Object.create(Uint8Array.prototype, { length: { value: 1 }, buffer: { value: a.buffer } })`,
    /^result: TypeError: it gave no Uint8Array/,
  ],
  "gives too much": [`return new Uint8Array(1001)`, /^result: TypeError: it gave 1001 bytes/],
  "gives a part": [`return new Uint8Array([1, 98, 99, 4]).subarray(1, 3)`, /^bc$/],
  "spoils what all have": [
    `Object.defineProperty(Object.getPrototypeOf(Uint8Array.prototype), "length", { get: () => 7 });
     Object.prototype.value = 1; Object.prototype.reason = "time"; Uint8Array.prototype.set = null;
     Reflect.apply = () => a; Array.prototype[Symbol.iterator] = null; return new Uint8Array([98])`,
    /^b$/,
  ],
  "spoiled what all have before": [`return new Uint8Array([98, [...[1]].length + 98])`, /^bc$/],
  "keeps something": [
    `globalThis.kept = (globalThis.kept ?? 96) + 1; return new Uint8Array([globalThis.kept])`,
    /^a$/,
  ],
  "kept something": [
    `globalThis.kept = (globalThis.kept ?? 96) + 1; return new Uint8Array([globalThis.kept])`,
    /^a$/,
  ],
  "never ends": [`for (;;);`, /^time: it took more than 400 ms/],
  "never ends, and does not let go": [`try { for (;;); } finally { for (;;); }`, /^time: /],
  "never ends in a pattern": [`return /(a+)+$/.test("a".repeat(40) + "b")`, /^time: /],
  "never ends later": [`Promise.resolve().then(() => { for (;;); }); return b`, /^b$/],
  "is too deep": [`const f = () => f() + 1; f()`, /^threw: InternalError: stack overflow/],
  "wants all memory at once": [`new Uint8Array(2 ** 31)`, /^(threw|memory): /],
  "takes all memory": [
    `const all = []; for (;;) all.push(new Uint8Array(2 ** 20).fill(1))`,
    /^(memory|time): /,
  ],
  "takes all memory for text": [`let s = "ab"; for (;;) s += s`, /^(memory|time|threw): /],
  "is well": [`return new Uint8Array([97])`, /^a$/],
};

Deno.test("foreign code reaches nothing, hurts nobody, and is told why [B13]", () =>
  inSandbox(async (sandbox) => {
    const cases = Object.entries(HOSTILE).map(([name, [body]]) =>
      `${JSON.stringify(name)}: (a, b) => { ${body} }`
    );
    const code = await sandbox.prepare(`
      const cases = { ${cases.join(",\n")} };
      export default (a: Uint8Array, b: Uint8Array) => cases[new TextDecoder().decode(a)](a, b);`);
    const merge = sandbox.start(code, { timeMs: 400, resultBytes: 1000, memoryBytes: 32 << 20 });
    for (const [name, [, expected]] of Object.entries(HOSTILE)) {
      const said = await merge.fold([utf8(name), utf8("b")]).then(text, (error) => {
        assert.ok(error instanceof SandboxError, String(error));
        return `${error.reason}: ${error.message}`;
      });
      assert.match(`${name}: ${said}`, new RegExp(`: ${expected.source.replace("^", "")}`));
    }
    merge.end();
  }));

/** Tells its permissions. */
const ASKS = `const names = ["read", "write", "net", "env", "run", "ffi", "sys", "import"];
  const granted = names.filter((name) => Deno.permissions.querySync({ name }).state === "granted");
  self.postMessage(granted);`;

Deno.test("were the engine to let foreign code out, it would be in a worker without permissions [B13]", async () => {
  const options: (WorkerOptions | undefined)[] = [];
  const Original = globalThis.Worker;
  globalThis.Worker = class extends Original {
    constructor(url: string | URL, given?: WorkerOptions) {
      super(url, given);
      options.push(given);
    }
  };
  try {
    await inSandbox(async (sandbox) => {
      const code = await sandbox.prepare("export default (a: Uint8Array) => a;");
      assert.equal(await run(sandbox, code, ["a", "b"]), "a");
    });
  } finally {
    globalThis.Worker = Original;
  }
  assert.equal(options.length, 2, "one takes the types out, one runs");
  for (const each of options) {
    const worker = new Worker(`data:text/javascript,${encodeURIComponent(ASKS)}`, each);
    const { promise, resolve } = Promise.withResolvers<string[]>();
    worker.onmessage = ({ data }) => resolve(data);
    assert.deepEqual(await promise, []);
    worker.terminate();
  }
});

Deno.test("what is no such module is refused, with the place", () =>
  inSandbox(async (sandbox) => {
    const refused = async (source: string) => {
      const code = await sandbox.prepare(source).catch((error) => error as SandboxError);
      if (code instanceof SandboxError) return `${code.reason}: ${code.message}`;
      return await run(sandbox, code, ["a", "b"], { timeMs: 400 });
    };
    assert.match(
      await refused("export default function (a, b) {\n  return a +;\n}"),
      /^source: line 2/,
    );
    assert.match(await refused("enum Kind { A }"), /^source: .*enum/);
    assert.match(await refused("(".repeat(60_000)), /^source: /);
    assert.match(await refused(" ".repeat(MAX_SANDBOX_SOURCE + 1)), /^source: it has 65537 bytes/);
    assert.match(await refused("export default 5;"), /^load: it has no function/);
    assert.match(await refused("export const merge = (a) => a;"), /^load: it has no function/);
    assert.match(await refused(`import "node:fs"; export default (a) => a;`), /^load: .*node:fs/);
    assert.match(await refused("throw new Error('at once')"), /^load: Error: at once/);
    assert.match(await refused("for (;;);"), /^time: /);
    assert.match(await refused("await new Promise(() => {}); export default (a) => a"), /^load: /);
    // A parser that a text has broken is not met again.
    assert.equal(await refused("export default (a: Uint8Array) => a;"), "a");
  }));

Deno.test("too many folds at once are refused, and an end is told to who waits", () =>
  inSandbox(async (sandbox) => {
    const merge = sandbox.start("export default (a, b) => b", { queue: 1 });
    const say = (values: string[]) =>
      merge.fold(values.map(utf8)).then(text, (error: SandboxError) => error.reason);
    const three = [say(["a", "1"]), say(["a", "2"]), say(["a", "3"])];
    assert.deepEqual(await Promise.all(three), ["1", "2", "busy"]);
    const two = [say(["a", "1"]), say(["a", "2"])];
    merge.end();
    merge.end();
    assert.deepEqual(await Promise.all(two), ["ended", "ended"]);
    assert.equal(await say(["a", "b"]), "ended");
  }));

Deno.test("who waits behind a fold that takes too long does not wait as long", () =>
  inSandbox(async (sandbox) => {
    const merge = sandbox.start("export default (a, b) => { while (b[0] === 120); return b; }", {
      timeMs: 400,
    });
    const say = (value: string) =>
      merge.fold([utf8("a"), utf8(value)]).then(text, (error: SandboxError) => error.reason);
    assert.deepEqual(await Promise.all([say("x"), say("b"), say("c")]), ["time", "busy", "busy"]);
    assert.equal(await say("b"), "b");
  }));

Deno.test("the sandbox of tests runs what it was told, with the same words", async () => {
  const sandbox = new SimSandbox().know("last", () => (_, b) => b).know("bad", () => () => 5);
  assert.equal(await run(sandbox, await sandbox.prepare("last"), ["a", "b"]), "b");
  assert.match(await run(sandbox, "bad", ["a", "b"]), /^result: /);
  assert.throws(() => sandbox.start("unknown"), SandboxError);
  assert.equal(sandbox.running, 0);
});
