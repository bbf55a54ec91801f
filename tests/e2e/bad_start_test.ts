/**
 * `serve` that must not start: one line on standard error that names the cause, exit code 1 (2 for a
 * bad command line), and the data directory as it was.
 * @module
 */
import assert from "node:assert/strict";
import { crc32c } from "../../src/model/mod.ts";
import { callJson, runProgram, Server, withDirectory } from "../support/server.ts";

/** All files below a directory with their bytes, and all directories; LOCK holds whoever came last. */
async function contentOf(path: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for await (const entry of Deno.readDir(path)) {
    const inner = `${path}/${entry.name}`;
    if (entry.name === "LOCK") continue;
    if (entry.isDirectory) {
      found.set(inner, "a directory");
      for (const [name, bytes] of await contentOf(inner)) found.set(name, bytes);
    } else found.set(inner, (await Deno.readFile(inner)).toHex());
  }
  return new Map([...found].sort());
}

/** Runs `serve` in vain; nothing below `directory` may change. */
async function refuses(
  directory: string,
  args: string[],
  line: RegExp,
  exitCode = 1,
): Promise<void> {
  const before = await contentOf(directory);
  await serveFails(args, line, exitCode);
  assert.deepEqual(await contentOf(directory), before);
}

/** Runs `serve`, which has to end with this code and this line. */
async function serveFails(args: string[], line: RegExp, exitCode: number): Promise<void> {
  const { code, out, err } = await runProgram("serve", "--listen", "127.0.0.1:0", ...args);
  // What the node has to tell for machines is one JSON object a line; people get the last line.
  const lines = err.trimEnd().split("\n").filter((each) => !each.startsWith("{"));
  assert.deepEqual([code, out], [exitCode, ""], err);
  if (exitCode === 1) assert.equal(lines.length, 1, err);
  assert.match(lines[0], line);
}

/** A directory that a node has written to and closed. */
async function withData(body: (data: string, directory: string) => Promise<void>): Promise<void> {
  await withDirectory(async (directory) => {
    const data = `${directory}/data`;
    await using server = await Server.start({ data });
    await callJson(server, "KeyValueService/Put", { tenantId: "t", key: "k", value: "aGVsbG8=" });
    assert.equal(await server.stop(), 0);
    await body(data, directory);
  });
}

/** Whether the data can still be had, once what was wrong is put right. */
async function assertIntact(data: string): Promise<void> {
  await using server = await Server.start({ data });
  const got = await callJson(server, "KeyValueService/Get", { tenantId: "t", key: "k" });
  assert.equal(got.value, "aGVsbG8=");
  assert.equal(await server.stop(), 0);
}

Deno.test("serve: a data directory in use is left alone, and its node goes on", () =>
  withDirectory(async (directory) => {
    const data = `${directory}/data`;
    // The reserve is written in the background, and would be a change.
    await using server = await Server.start({ data, args: ["--set", "disk.reserve=0"] });
    await callJson(server, "KeyValueService/Put", { tenantId: "t", key: "k", value: "aGVsbG8=" });
    await refuses(
      directory,
      ["--data", data],
      /^error: Cannot open .*\/data: it is in use by another process \(code 2001 Unavailable\)$/,
    );
    await callJson(server, "KeyValueService/Put", { tenantId: "t", key: "k2", value: "" });
    // A node that was killed leaves no lock behind.
    await server.kill();
    await assertIntact(data);
  }));

/** Sets a number of 32 bits in a file's header and puts the header's checksum right. */
async function raiseFormat(path: string, at: number, checksumAt: number): Promise<void> {
  const bytes = await Deno.readFile(path);
  const view = new DataView(bytes.buffer);
  assert.equal(view.getUint32(at, true), 2, `${path} has no format 2 at ${at}`);
  assert.equal(view.getUint32(checksumAt, true), crc32c(bytes.subarray(0, checksumAt)));
  view.setUint32(at, 3, true);
  view.setUint32(checksumAt, crc32c(bytes.subarray(0, checksumAt)), true);
  await Deno.writeFile(path, bytes);
}

async function onlyFile(directory: string, name: RegExp): Promise<string> {
  const names: string[] = [];
  for await (const entry of Deno.readDir(directory)) {
    if (name.test(entry.name)) names.push(`${directory}/${entry.name}`);
  }
  assert.ok(names.length > 0, `${directory} has no ${name}`);
  return names.sort().at(-1)!;
}

Deno.test("serve: a directory of a newer format is refused as it is", async (t) => {
  const newer = /^error: Cannot .*newer than.*\(code 1000 InvalidArgument\)$/;
  await t.step("the manifest", () =>
    withData(async (data, directory) => {
      const path = await onlyFile(data, /^MANIFEST-/);
      const sound = await Deno.readFile(path);
      await raiseFormat(path, 8, 36);
      await refuses(directory, ["--data", data], newer);
      await Deno.writeFile(path, sound);
      await assertIntact(data);
    }));
  await t.step("the log", () =>
    withData(async (data, directory) => {
      const path = await onlyFile(`${data}/wal`, /\.wal$/);
      const sound = await Deno.readFile(path);
      await raiseFormat(path, 8, 60);
      await refuses(directory, ["--data", data], newer);
      await Deno.writeFile(path, sound);
      await assertIntact(data);
    }));
  await t.step("the identity", () =>
    withData(async (data, directory) => {
      const path = `${data}/IDENTITY`;
      const sound = await Deno.readTextFile(path);
      const body = sound.replace(/^pairdb 2\n/, "pairdb 3\n").replace(/crc32c .*\n$/, "");
      const checksum = crc32c(new TextEncoder().encode(body)).toString(16).padStart(8, "0");
      await Deno.writeTextFile(path, `${body}crc32c ${checksum}\n`);
      await refuses(directory, ["--data", data], newer);
      await Deno.writeTextFile(path, sound);
      await assertIntact(data);
    }));
});

Deno.test("serve: a directory of another node is refused as it is", () =>
  withData(async (data, directory) => {
    await refuses(
      directory,
      ["--data", data, "--node-id", "somebody-else"],
      /^error: Cannot open .* as node "somebody-else": it belongs to node ".*" \(code 1000 InvalidArgument\)$/,
    );
    await assertIntact(data);
  }));

Deno.test("serve: what stands where a file or directory of ours belongs is named, and left alone", () =>
  withDirectory(async (directory) => {
    const data = `${directory}/data`;
    await Deno.writeTextFile(data, "?");
    const line =
      /^error: Cannot open .*: a (file|directory) is in the way \(code 2007 CorruptedData\)$/;
    await refuses(directory, ["--data", data], line);
    await refuses(directory, ["--data", `${data}/below`], line);
    await Deno.remove(data);
    await Deno.mkdir(`${data}/IDENTITY`, { recursive: true });
    await refuses(directory, ["--data", data], line);
    const key = `${directory}/key`;
    await refuses(
      directory,
      ["--data", `${directory}/new`, "--set", `encryption.key_file=${key}`],
      /^error: Cannot read the key file: .*\/key.* \(code 1000 InvalidArgument\)$/,
    );
    await Deno.writeTextFile(key, "abc");
    await refuses(
      directory,
      ["--data", `${directory}/new`, "--set", `encryption.key_file=${key}`],
      /^error: Cannot use the key file .*\/key: .* \(code 1000 InvalidArgument\)$/,
    );
  }));

/** Configurations that are refused, and what the line has to say of them. */
const BAD_CONFIGS: Record<string, [string, RegExp]> = {
  "an unknown option, with the one that was meant": [
    "mem_table:\n  max_sise: 64MiB\n",
    /^error: .*pairdb\.yaml:2:\d+: unknown option mem_table\.max_sise, did you mean mem_table\.max_size\? \(code 1000 InvalidArgument\)$/,
  ],
  "an unknown section": [
    "memtable:\n  max_size: 64MiB\n",
    /^error: .*pairdb\.yaml:1:\d+: unknown section memtable, did you mean mem_table\? \(code 1000 InvalidArgument\)$/,
  ],
  "a number out of range, with the range": [
    "compaction:\n  workers: 65\n",
    /^error: .*pairdb\.yaml:2:\d+: compaction\.workers: 65 is not .*\b1\b.*\b64\b.* \(code 1000 InvalidArgument\)$/,
  ],
  "a size out of range, with the range": [
    "mem_table:\n  max_size: 1KiB\n",
    /^error: .*pairdb\.yaml:2:\d+: mem_table\.max_size: "1KiB" is not .*\b64KiB\b.*\b1GiB\b.* \(code 1000 InvalidArgument\)$/,
  ],
  "a word that is no choice, with the choices": [
    "commit_log:\n  sync_mode: sometimes\n",
    /^error: .*pairdb\.yaml:2:\d+: commit_log\.sync_mode: "sometimes" is not .*always.*batch.*none.* \(code 1000 InvalidArgument\)$/,
  ],
  "text that is no YAML": [
    "server: {port: 1\n",
    /^error: .*pairdb\.yaml.* \(code 1000 InvalidArgument\)$/,
  ],
};

Deno.test("serve: a configuration that is wrong is named, and nothing is made [N13]", async (t) => {
  for (const [what, [yaml, line]] of Object.entries(BAD_CONFIGS)) {
    await t.step(what, () =>
      withDirectory(async (directory) => {
        const file = `${directory}/pairdb.yaml`;
        await Deno.writeTextFile(file, yaml);
        await refuses(directory, ["--config", file, "--data", `${directory}/data`], line);
      }));
  }
  await t.step("an option of --set", () =>
    withDirectory(async (directory) => {
      const data = ["--data", `${directory}/data`];
      await refuses(
        directory,
        [...data, "--set", "server.prot=1"],
        /^error: --set.*: unknown option server\.prot, did you mean server\.port\? \(code 1000 InvalidArgument\)$/,
      );
      await refuses(
        directory,
        [...data, "--set", "compaction.workers=0"],
        /^error: --set.*: compaction\.workers: .*0.* is not .*\b1\b.*\b64\b.* \(code 1000 InvalidArgument\)$/,
      );
    }));
  await t.step("a file that is not there", () =>
    withDirectory((directory) =>
      refuses(
        directory,
        ["--config", `${directory}/none.yaml`, "--data", `${directory}/data`],
        /^error: .*none\.yaml.* \(code 1000 InvalidArgument\)$/,
      )
    ));
});

Deno.test("serve: a command line that is wrong is bad usage, and nothing is made", () =>
  withDirectory(async (directory) => {
    const data = ["--data", `${directory}/data`];
    await refuses(directory, [...data, "--lisen", "x"], /^error: unknown option '--lisen'/, 2);
    await refuses(directory, [...data, "--listen", "nowhere"], /^error: .*HOST:PORT/, 2);
    await refuses(directory, [...data, "extra"], /^error: too many arguments/, 2);
    await refuses(directory, [...data, "--set", "server.port"], /^error: .*--set/, 2);
  }));
