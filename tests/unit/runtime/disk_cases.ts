/**
 * What every Disk does: one suite, run against the machine's disk and the simulated one.
 * @module
 */
import assert from "node:assert/strict";
import { compareBytes } from "../../../src/model/mod.ts";
import { type Disk, DiskError, type Errno } from "../../../src/runtime/mod.ts";

/** Bytes whose value tells their position. */
export function pattern(count: number, from = 0): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: count }, (_, i) => ((from + i) * 2654435761) >>> 24);
}

/** Asserts that `run` throws a DiskError with this errno, and returns it. */
export function assertErrno(run: () => unknown, errno: Errno): DiskError {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof DiskError, `a DiskError, not ${error}`);
    assert.equal(error.errno, errno);
    return error;
  }
  assert.fail(`no error; expected ${errno}`);
}

function write(disk: Disk, path: string, bytes: Uint8Array): void {
  const file = disk.create(path);
  file.append(bytes);
  file.close();
}

/** One case: gets a disk and an empty directory of it. */
export type DiskCase = (disk: Disk, dir: string) => void | Promise<void>;

/** All cases, by what they show. */
export const DISK_CASES: Readonly<Record<string, DiskCase>> = {
  "appended bytes come back, whole and by position": (disk, dir) => {
    const file = disk.create(`${dir}/f`);
    assert.equal(file.path, `${dir}/f`);
    assert.equal(file.size, 0);
    file.append(pattern(5000));
    file.append(new Uint8Array(0));
    file.append(pattern(5000, 5000));
    assert.equal(file.size, 10_000);
    file.syncNow();
    file.close();
    assert.deepEqual(disk.readWhole(`${dir}/f`), pattern(10_000));
    const reader = disk.openRead(`${dir}/f`);
    assert.equal(reader.size, 10_000);
    const into = new Uint8Array(100);
    assert.equal(reader.readAt(into, 4950), 100);
    assert.deepEqual(into, pattern(100, 4950));
    reader.close();
  },

  "a read ends at the end of the file": async (disk, dir) => {
    write(disk, `${dir}/f`, pattern(10));
    const reader = disk.openRead(`${dir}/f`);
    const into = new Uint8Array(8).fill(0xee);
    assert.equal(reader.readAt(into, 7), 3);
    assert.deepEqual(into, Uint8Array.of(...pattern(3, 7), 0xee, 0xee, 0xee, 0xee, 0xee));
    assert.equal(await reader.readAtAsync(into, 6), 4);
    assert.deepEqual(into.subarray(0, 4), pattern(4, 6));
    assert.equal(reader.readAt(into, 10), 0);
    assert.equal(reader.readAt(into, 11), 0);
    assert.equal(await reader.readAtAsync(into, 1e12), 0);
    assert.equal(reader.readAt(new Uint8Array(0), 3), 0);
    assert.throws(() => reader.readAt(into, -1), RangeError);
    assert.throws(() => reader.readAt(into, NaN), RangeError);
    await assert.rejects(reader.readAtAsync(into, -1), RangeError);
    reader.close();
  },

  "a reader sees the size at opening, whatever is appended later": (disk, dir) => {
    const file = disk.create(`${dir}/f`);
    file.append(pattern(10));
    const reader = disk.openRead(`${dir}/f`);
    file.append(pattern(10, 10));
    assert.equal(reader.size, 10);
    assert.equal(reader.readAt(new Uint8Array(20), 0), 10);
    file.close();
    reader.close();
  },

  "reads and appends take views over shared memory": async (disk, dir) => {
    const shared = new Uint8Array(new SharedArrayBuffer(64), 8, 32);
    shared.set(pattern(32));
    write(disk, `${dir}/f`, shared);
    const reader = disk.openRead(`${dir}/f`);
    const into = new Uint8Array(new SharedArrayBuffer(64), 16, 32);
    assert.equal(reader.readAt(into, 0), 32);
    assert.deepEqual(Uint8Array.from(into), pattern(32));
    into.fill(0);
    assert.equal(await reader.readAtAsync(into, 1), 31);
    assert.deepEqual(Uint8Array.from(into.subarray(0, 31)), pattern(31, 1));
    assert.deepEqual(new Uint8Array(into.buffer, 0, 16), new Uint8Array(new SharedArrayBuffer(16)));
    reader.close();
  },

  "64 readers of one handle, blocking and not, all get their own bytes": async (disk, dir) => {
    const block = 512;
    const blocks = 1024;
    const bytes = new Uint8Array(block * blocks);
    const words = new DataView(bytes.buffer);
    for (let i = 0; i < blocks; i++) {
      words.setUint32(i * block, i);
      words.setUint32(i * block + block - 4, i);
    }
    write(disk, `${dir}/f`, bytes);
    const reader = disk.openRead(`${dir}/f`);
    let wrong = 0;
    const check = (into: Uint8Array, count: number, i: number) => {
      const view = new DataView(into.buffer);
      if (count !== block || view.getUint32(0) !== i || view.getUint32(block - 4) !== i) wrong++;
    };
    const readMany = async (start: number) => {
      const into = new Uint8Array(block);
      const between = new Uint8Array(block);
      for (let round = 0; round < 30; round++) {
        const i = (start * 211 + round * 97) % blocks;
        const pending = reader.readAtAsync(into, i * block);
        const other = (i * 7 + 1) % blocks;
        check(between, reader.readAt(between, other * block), other);
        check(into, await pending, i);
      }
    };
    await Promise.all(Array.from({ length: 64 }, (_, start) => readMany(start)));
    assert.equal(wrong, 0);
    reader.close();
  },

  "a closed file refuses, and closes again in peace": async (disk, dir) => {
    const file = disk.create(`${dir}/f`);
    file.append(pattern(3));
    file.close();
    file.close();
    assertErrno(() => file.append(pattern(1)), "EOTHER");
    assertErrno(() => file.syncNow(), "EOTHER");
    await assert.rejects(file.sync(), { name: "DiskError", errno: "EOTHER" });
    const reader = disk.openRead(`${dir}/f`);
    const pending = reader.readAtAsync(new Uint8Array(3), 0);
    reader.close();
    reader.close();
    assert.equal(await pending, 3);
    assertErrno(() => reader.readAt(new Uint8Array(1), 0), "EOTHER");
    await assert.rejects(reader.readAtAsync(new Uint8Array(1), 0), { errno: "EOTHER" });
  },

  "syncs of one file may overlap": async (disk, dir) => {
    const file = disk.create(`${dir}/f`);
    const syncs: Promise<void>[] = [];
    for (let i = 0; i < 10; i++) {
      file.append(pattern(100, i * 100));
      syncs.push(file.sync());
    }
    await Promise.all(syncs);
    file.close();
    assert.deepEqual(disk.readWhole(`${dir}/f`), pattern(1000));
  },

  "create takes no name that is taken": (disk, dir) => {
    write(disk, `${dir}/f`, pattern(3));
    const error = assertErrno(() => disk.create(`${dir}/f`), "EEXIST");
    assert.equal(error.call, "create");
    assert.equal(error.path, `${dir}/f`);
    assert.deepEqual(disk.readWhole(`${dir}/f`), pattern(3));
    assertErrno(() => disk.create(dir), "EEXIST");
    assertErrno(() => disk.create(`${dir}/none/f`), "ENOENT");
    assertErrno(() => disk.create(`${dir}/f/g`), "ENOTDIR");
  },

  "what is not there is ENOENT, what is a directory EISDIR": async (disk, dir) => {
    for (const call of ["openRead", "readWhole", "remove", "syncFile"] as const) {
      assertErrno(() => disk[call](`${dir}/none`), "ENOENT");
      assertErrno(() => disk[call](dir), "EISDIR");
    }
    await assert.rejects(disk.syncFileAsync(`${dir}/none`), { errno: "ENOENT" });
    assertErrno(() => disk.list(`${dir}/none`), "ENOENT");
    assertErrno(() => disk.syncDir(`${dir}/none`), "ENOENT");
    assertErrno(() => disk.space(`${dir}/none`), "ENOENT");
  },

  "what is a file is ENOTDIR for calls on directories": (disk, dir) => {
    write(disk, `${dir}/f`, pattern(3));
    assertErrno(() => disk.list(`${dir}/f`), "ENOTDIR");
    assertErrno(() => disk.syncDir(`${dir}/f`), "ENOTDIR");
    assertErrno(() => disk.removeDir(`${dir}/f`), "ENOTDIR");
    assertErrno(() => disk.openRead(`${dir}/f/g`), "ENOTDIR");
    assertErrno(() => disk.makeDir(`${dir}/f`), "EEXIST");
    assertErrno(() => disk.makeDir(`${dir}/f/g`), "ENOTDIR");
    assert.deepEqual(disk.readWhole(`${dir}/f`), pattern(3));
  },

  "syncFile leaves a file as it is": (disk, dir) => {
    write(disk, `${dir}/f`, pattern(7));
    disk.syncFile(`${dir}/f`);
    assert.deepEqual(disk.readWhole(`${dir}/f`), pattern(7));
  },

  "stat tells files, directories and nothing apart": (disk, dir) => {
    write(disk, `${dir}/f`, pattern(7));
    assert.deepEqual(disk.stat(`${dir}/f`), { kind: "file", size: 7 });
    assert.deepEqual(disk.stat(dir), { kind: "directory", size: 0 });
    assert.equal(disk.stat(`${dir}/none`), undefined);
    assert.equal(disk.stat(`${dir}/none/none`), undefined);
    assert.equal(disk.stat(`${dir}/f/none`), undefined);
  },

  "list sorts names": (disk, dir) => {
    for (const name of ["b", "a10", "a9", "Z"]) write(disk, `${dir}/${name}`, pattern(1));
    disk.makeDir(`${dir}/c/d`);
    assert.deepEqual(disk.list(dir), ["Z", "a10", "a9", "b", "c"]);
    assert.deepEqual(disk.list(`${dir}/c/d`), []);
  },

  "makeDir makes parents and may be repeated": (disk, dir) => {
    disk.makeDir(`${dir}/a/b/c`);
    write(disk, `${dir}/a/b/c/f`, pattern(1));
    disk.makeDir(`${dir}/a/b/c`);
    disk.makeDir(`${dir}/a`);
    assert.deepEqual(disk.list(`${dir}/a/b/c`), ["f"]);
    for (const path of ["/a/b/c", "/a/b", "/a", ""]) disk.syncDir(`${dir}${path}`);
  },

  "rename replaces a file, and open handles follow theirs": (disk, dir) => {
    write(disk, `${dir}/old`, pattern(3));
    write(disk, `${dir}/new`, pattern(4));
    const reader = disk.openRead(`${dir}/old`);
    disk.rename(`${dir}/new`, `${dir}/old`);
    assert.deepEqual(disk.list(dir), ["old"]);
    assert.deepEqual(disk.readWhole(`${dir}/old`), pattern(4));
    const into = new Uint8Array(9);
    assert.equal(reader.readAt(into, 0), 3);
    reader.close();
    disk.rename(`${dir}/old`, `${dir}/old`);
    assert.deepEqual(disk.readWhole(`${dir}/old`), pattern(4));
  },

  "rename moves directories and refuses what POSIX refuses": (disk, dir) => {
    disk.makeDir(`${dir}/a/b`);
    write(disk, `${dir}/a/b/f`, pattern(3));
    disk.makeDir(`${dir}/empty`);
    disk.rename(`${dir}/a/b`, `${dir}/empty`);
    assert.deepEqual(disk.readWhole(`${dir}/empty/f`), pattern(3));
    assert.deepEqual(disk.list(`${dir}/a`), []);
    write(disk, `${dir}/g`, pattern(1));
    assertErrno(() => disk.rename(`${dir}/a`, `${dir}/g`), "ENOTDIR");
    assertErrno(() => disk.rename(`${dir}/g`, `${dir}/a`), "EISDIR");
    assertErrno(() => disk.rename(`${dir}/a`, `${dir}/empty`), "ENOTEMPTY");
    assertErrno(() => disk.rename(`${dir}/empty`, `${dir}/empty/inside`), "EOTHER");
    assertErrno(() => disk.rename(`${dir}/none`, `${dir}/h`), "ENOENT");
    assertErrno(() => disk.rename(`${dir}/g`, `${dir}/none/g`), "ENOENT");
    assert.deepEqual(disk.list(dir), ["a", "empty", "g"]);
  },

  "link gives a second name that outlives the first": (disk, dir) => {
    write(disk, `${dir}/f`, pattern(3));
    disk.link(`${dir}/f`, `${dir}/g`);
    assertErrno(() => disk.link(`${dir}/f`, `${dir}/g`), "EEXIST");
    assertErrno(() => disk.link(`${dir}/none`, `${dir}/h`), "ENOENT");
    assertErrno(() => disk.link(dir, `${dir}/h`), "EACCES");
    // Two names of one file: POSIX has rename do nothing.
    disk.rename(`${dir}/f`, `${dir}/g`);
    assert.deepEqual(disk.list(dir), ["f", "g"]);
    disk.remove(`${dir}/f`);
    assert.deepEqual(disk.readWhole(`${dir}/g`), pattern(3));
  },

  "a removed file stays readable through its handle": (disk, dir) => {
    write(disk, `${dir}/f`, pattern(3));
    const reader = disk.openRead(`${dir}/f`);
    disk.remove(`${dir}/f`);
    assert.equal(disk.stat(`${dir}/f`), undefined);
    write(disk, `${dir}/f`, pattern(3, 100));
    const into = new Uint8Array(3);
    assert.equal(reader.readAt(into, 0), 3);
    assert.deepEqual(into, pattern(3));
    reader.close();
    assert.deepEqual(disk.readWhole(`${dir}/f`), pattern(3, 100));
  },

  "removeAsync removes a file, and nothing else": async (disk, dir) => {
    write(disk, `${dir}/f`, pattern(3));
    write(disk, `${dir}/g`, pattern(3));
    await disk.removeAsync(`${dir}/f`);
    assert.deepEqual(disk.list(dir), ["g"]);
    const rejects = (path: string, errno: string) =>
      assert.rejects(disk.removeAsync(path), { name: "DiskError", call: "removeAsync", errno });
    await rejects(`${dir}/f`, "ENOENT");
    await rejects(dir, "EISDIR");
    assert.deepEqual(disk.list(dir), ["g"]);
  },

  "removeAsync of a large file leaves its other names their bytes": async (disk, dir) => {
    const bytes = pattern(20 << 20);
    for (const name of ["f", "g"]) write(disk, `${dir}/${name}`, bytes);
    disk.link(`${dir}/f`, `${dir}/kept`);
    await Promise.all([disk.removeAsync(`${dir}/f`), disk.removeAsync(`${dir}/g`)]);
    assert.deepEqual(disk.list(dir), ["kept"]);
    assert.ok(compareBytes(disk.readWhole(`${dir}/kept`), bytes) === 0);
    await disk.removeAsync(`${dir}/kept`);
    assert.deepEqual(disk.list(dir), []);
  },

  "removeDir removes all below and may be repeated": (disk, dir) => {
    disk.makeDir(`${dir}/a/b/c`);
    write(disk, `${dir}/a/f`, pattern(1));
    write(disk, `${dir}/a/b/c/f`, pattern(1));
    disk.removeDir(`${dir}/a`);
    disk.removeDir(`${dir}/a`);
    disk.removeDir(`${dir}/x/y`);
    assert.deepEqual(disk.list(dir), []);
  },

  "a lock excludes until it is released": (disk, dir) => {
    const lock = disk.lock(`${dir}/LOCK`);
    const error = assertErrno(() => disk.lock(`${dir}/LOCK`), "EAGAIN");
    assert.equal(error.call, "lock");
    const other = disk.lock(`${dir}/OTHER`);
    lock.release();
    lock.release();
    const again = disk.lock(`${dir}/LOCK`);
    lock.release();
    assertErrno(() => disk.lock(`${dir}/LOCK`), "EAGAIN");
    again.release();
    other.release();
    assert.deepEqual(disk.list(dir), ["LOCK", "OTHER"]);
    assertErrno(() => disk.lock(dir), "EISDIR");
    assertErrno(() => disk.lock(`${dir}/none/LOCK`), "ENOENT");
  },

  "space is plausible": (disk, dir) => {
    const { totalBytes, freeBytes } = disk.space(dir);
    assert.ok(Number.isSafeInteger(totalBytes) && totalBytes > 0);
    assert.ok(Number.isSafeInteger(freeBytes) && freeBytes >= 0 && freeBytes <= totalBytes);
  },
};
