/**
 * The machine's Process, seen from outside.
 * @module
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { fileURLToPath } from "node:url";
import { writeWhole } from "../../../src/runtime/deno/process.ts";
import { denoProcess } from "../../../src/runtime/mod.ts";

const PROGRAM = fileURLToPath(new URL("./other_program.ts", import.meta.url));
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

function command(flags: string[], args: string[], env?: Record<string, string>): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--no-prompt", ...flags, PROGRAM, ...args],
    env,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  });
}

async function run(flags: string[], args: string[], env?: Record<string, string>) {
  const child = command(flags, args, env).spawn();
  await child.stdin.close();
  return await child.output();
}

Deno.test("denoProcess: copies standard input, and a file, byte for byte", async () => {
  const bytes = Uint8Array.from({ length: 300_001 }, (_, i) => (i * 2654435761) >>> 24);
  const child = command([], ["copy", "-"]).spawn();
  const writer = child.stdin.getWriter();
  const written = writer.write(bytes).then(() => writer.close());
  const output = await child.output();
  await written;
  assert.equal(Buffer.compare(output.stdout, bytes), 0);

  const path = Deno.makeTempFileSync();
  try {
    Deno.writeFileSync(path, bytes);
    const copied = await run(["--allow-read"], ["copy", path]);
    assert.equal(Buffer.compare(copied.stdout, bytes), 0);
  } finally {
    Deno.removeSync(path);
  }
});

Deno.test("denoProcess: exits with its code and writes to standard error", async () => {
  const output = await run([], ["exit"]);
  assert.equal(output.code, 7);
  assert.equal(text(output.stderr), "leaving\n");
});

Deno.test("denoProcess: reads the environment, as far as it may", async () => {
  const env = { PAIRDB_A: "1", PAIRDB_B: "2", OTHER: "3" };
  const allowed = await run(["--allow-env"], ["env"], env);
  assert.deepEqual(JSON.parse(text(allowed.stdout)), ["1", { PAIRDB_A: "1", PAIRDB_B: "2" }]);
  const denied = await run([], ["env"], env);
  assert.deepEqual(JSON.parse(text(denied.stdout)), [null, {}]);
});

Deno.test("denoProcess: knows that a pipe is no terminal", async () => {
  const output = await run([], ["terminal"]);
  assert.equal(text(output.stdout), "false 80 false");
});

Deno.test({
  name: "denoProcess: tells of a signal once, and ends when nobody listens any more",
  ignore: Deno.build.os === "windows", // no SIGTERM
  fn: async () => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      const child = command([], ["terminate"]).spawn();
      await child.stdin.close();
      const reader = child.stdout.getReader();
      assert.equal(text((await reader.read()).value ?? new Uint8Array()), "ready ");
      child.kill(signal);
      assert.equal(text((await reader.read()).value ?? new Uint8Array()), signal);
      assert.ok((await reader.read()).done);
      await child.stderr.cancel();
      assert.equal((await child.status).code, 0);
    }
  },
});

Deno.test("denoProcess: tells of what nobody caught, in place of the end", async () => {
  const output = await run([], ["uncaught"]);
  assert.equal(text(output.stdout), "rejected, thrown");
  assert.equal(output.code, 5);
});

Deno.test("denoProcess: fileSize() tells the size of files only", () => {
  const process = denoProcess();
  const path = Deno.makeTempFileSync();
  try {
    Deno.writeFileSync(path, new Uint8Array(17));
    assert.equal(process.fileSize(path), 17);
  } finally {
    Deno.removeSync(path);
  }
  assert.equal(process.fileSize(path), undefined);
  assert.equal(process.fileSize("/"), undefined);
});

Deno.test("denoProcess: readText() and readChunks() name a path that cannot be read", async () => {
  const process = denoProcess();
  assert.throws(() => process.readText("/no/such/file"), /^Error: Cannot read \/no\/such\/file: /);
  const chunks = process.readChunks("/no/such/file")[Symbol.asyncIterator]();
  await assert.rejects(chunks.next(), /Cannot read \/no\/such\/file/);
});

Deno.test("writeWhole() goes on after short writes and full pipes", () => {
  const written: number[] = [];
  let calls = 0;
  const writeSync = (bytes: Uint8Array) => {
    if (calls++ % 2 === 0) throw new Deno.errors.WouldBlock("full");
    written.push(...bytes.subarray(0, 2));
    return Math.min(2, bytes.length);
  };
  writeWhole({ writeSync }, "h\u00e9llo");
  assert.equal(text(Uint8Array.from(written)), "h\u00e9llo");
  const gone = () => {
    throw new Deno.errors.BrokenPipe("gone");
  };
  assert.throws(() => writeWhole({ writeSync: gone }, "x"), Deno.errors.BrokenPipe);
});

Deno.test("denoProcess: changePrivate() makes a file that only its owner reads, and changes it whole", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const process = denoProcess();
    const path = `${dir}/auth/file`;
    process.changePrivate(path, (text) => {
      assert.equal(text, undefined);
      return "one";
    });
    assert.equal(process.fileMode(path)! & 0o777, 0o600);
    assert.equal(process.fileMode(`${dir}/auth`)! & 0o777, 0o700);
    // What a crash left behind is in nobody's way.
    Deno.writeTextFileSync(`${path}.new`, "half");
    Deno.chmodSync(path, 0o644);
    process.changePrivate(path, (text) => `${text} two`);
    assert.equal(process.readText(path), "one two");
    assert.equal(process.fileMode(path)! & 0o777, 0o600);
    assert.throws(() =>
      process.changePrivate(path, () => {
        throw new Error("no");
      }), /^Error: no$/);
    assert.equal(process.readText(path), "one two");
    assert.throws(
      () => process.changePrivate(`${path}/below`, () => ""),
      (error) =>
        error instanceof Error && error.message.startsWith(`Cannot change ${path}/below: `),
    );
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});
