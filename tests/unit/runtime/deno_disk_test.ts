/**
 * What only the machine's disk does: the system's errors, other processes, short writes.
 * @module
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { diskError, writeAll } from "../../../src/runtime/deno/disk.ts";
import { denoDisk, DiskError } from "../../../src/runtime/mod.ts";
import { assertErrno, pattern } from "./disk_cases.ts";

const OTHER_PROCESS = fileURLToPath(new URL("./other_process.ts", import.meta.url));
const PROGRAM = ["run", "--no-check", "--allow-read", "--allow-write", OTHER_PROCESS];

async function inTempDir(run: (dir: string) => void | Promise<void>): Promise<void> {
  const dir = Deno.makeTempDirSync();
  try {
    await run(dir);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

/** Starts other_process.ts and waits for what it says. */
async function startOther(...args: string[]) {
  const child = new Deno.Command(Deno.execPath(), {
    args: [...PROGRAM, ...args],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.getReader();
  const said = new TextDecoder().decode((await reader.read()).value).trim();
  const stop = async (signal?: Deno.Signal) => {
    if (signal) child.kill(signal);
    await child.stdin.close().catch(() => {/* a killed process has closed it */});
    await reader.cancel();
    await child.status;
  };
  return { said, stop };
}

Deno.test("denoDisk: a lock excludes another process, and dies with its holder", async () => {
  await inTempDir(async (dir) => {
    const path = `${dir}/LOCK`;
    const disk = denoDisk();
    const lock = disk.lock(path);
    assert.equal(Deno.readTextFileSync(path), `${Deno.pid}\n`);
    const refused = await startOther("lock", path);
    await refused.stop();
    assert.equal(refused.said, "EAGAIN");
    lock.release();

    const holder = await startOther("lock", path);
    try {
      assert.equal(holder.said, "locked");
      assertErrno(() => disk.lock(path), "EAGAIN");
    } finally {
      await holder.stop("SIGKILL");
    }
    disk.lock(path).release();
  });
});

Deno.test({
  name: "denoDisk: want of descriptors is EMFILE",
  ignore: Deno.build.os === "windows", // no ulimit
  fn: () =>
    inTempDir(async (dir) => {
      Deno.writeFileSync(`${dir}/f`, pattern(1));
      const shell = `ulimit -n 200 && exec "$0" "$@"`;
      const { stdout } = await new Deno.Command("sh", {
        args: ["-c", shell, Deno.execPath(), ...PROGRAM, "descriptors", `${dir}/f`],
      }).output();
      assert.equal(new TextDecoder().decode(stdout).trim(), "EMFILE");
    }),
});

Deno.test({
  name: "denoDisk: a full device is ENOSPC, with the system's error as the cause",
  ignore: Deno.build.os !== "linux", // no /dev/full
  fn: () => {
    try {
      Deno.writeFileSync("/dev/full", pattern(1));
      assert.fail("wrote to /dev/full");
    } catch (error) {
      const mapped = diskError("append", "/dev/full", error);
      assert.equal(mapped.errno, "ENOSPC");
      assert.equal(mapped.message, "append /dev/full: ENOSPC");
      assert.equal(mapped.cause, error);
    }
  },
});

Deno.test("diskError() finds the errno by code, by number, by class", () => {
  const coded = (code: string) => Object.assign(new Error("failed"), { code });
  const errnoOf = (thrown: unknown) => diskError("append", "/f", thrown).errno;
  for (const code of ["EIO", "ENOSPC", "EMFILE", "EROFS", "EXDEV", "EAGAIN"]) {
    assert.equal(errnoOf(coded(code)), code);
  }
  assert.equal(errnoOf(coded("EDQUOT")), "ENOSPC");
  assert.equal(errnoOf(coded("ENFILE")), "EMFILE");
  assert.equal(errnoOf(coded("EPERM")), "EACCES");
  assert.equal(errnoOf(coded("ELOOP")), "EOTHER");
  assert.equal(errnoOf(new Error("Input/output error (os error 5)")), "EIO");
  assert.equal(errnoOf(new Error("Read-only file system (os error 30)")), "EROFS");
  assert.equal(errnoOf(new Deno.errors.NotCapable("Requires write access")), "EACCES");
  assert.equal(errnoOf(new Deno.errors.NotFound("gone")), "ENOENT");
  assert.equal(errnoOf("a string"), "EOTHER");
  const known = new DiskError("create", "/g", "EEXIST");
  assert.equal(diskError("append", "/f", known), known);
});

Deno.test("diskError() tells the system's words where the errno says little", () => {
  const message = diskError("append", "/f", new Error("File too large (os error 27)")).message;
  assert.equal(message, "append /f: EOTHER (File too large (os error 27))");
});

Deno.test("writeAll() goes on after short writes, at every size of them", () => {
  for (let most = 1; most <= 10; most++) {
    const written: number[] = [];
    let took = 0;
    const writeSync = (bytes: Uint8Array) => {
      const part = bytes.subarray(0, most);
      written.push(...part);
      return part.length;
    };
    writeAll({ writeSync }, pattern(10), (count) => took += count);
    assert.deepEqual(Uint8Array.from(written), pattern(10));
    assert.equal(took, 10);
  }
});

Deno.test("writeAll() tells what was taken before a failure, and does not spin without progress", () => {
  let took = 0;
  let calls = 0;
  const failing = () => {
    if (calls++ === 2) throw new Error("full");
    return 3;
  };
  const count = (taken: number) => void (took += taken);
  assert.throws(() => writeAll({ writeSync: failing }, pattern(10), count), /full/);
  assert.equal(took, 6);
  assert.throws(() => writeAll({ writeSync: () => 0 }, pattern(1), count), /no bytes/);
});
