/**
 * Verifying a checkpoint: every file that its inventory lists is there with exactly those bytes, and
 * nothing else is.
 * @module
 */
import type { Disk } from "../../runtime/mod.ts";
import { type FileDigest, type FileTask, runFileJob } from "./file_jobs.ts";
import { type Inventory, readInventory, SNAPSHOT_FILE } from "./inventory.ts";

/** What is wrong with one file. */
export interface CheckpointProblem {
  /** Its path. */
  readonly file: string;
  readonly problem: string;
}

/** What verifying found. */
export interface Verified {
  readonly inventory: Inventory;
  /** Empty when the checkpoint is sound. */
  readonly problems: readonly CheckpointProblem[];
}

/** Digests files, in the order of the tasks. */
export type Digester = (tasks: readonly FileTask[]) => Promise<FileDigest[]>;

/** Files that others leave: locks of `check`, which opens a checkpoint as it does a data directory. */
const IGNORED: readonly string[] = [SNAPSHOT_FILE, "LOCK"];

/**
 * Verifies a checkpoint, changing nothing.
 * @param digest  does the reading; by default this thread
 * @throws PairError InvalidArgument when it is no checkpoint or a newer format, CorruptedData when its
 *   inventory is damaged; DiskError. Damage of the other files is reported, not thrown.
 */
export async function verifyCheckpoint(
  disk: Disk,
  dir: string,
  digest: Digester = (tasks) => Promise.resolve(runFileJob(disk, { type: "files", tasks })),
): Promise<Verified> {
  const inventory = readInventory(disk, dir);
  const problems: CheckpointProblem[] = [];
  const sound: { path: string; size: number; sha256: string }[] = [];
  for (const file of inventory.files) {
    const path = `${dir}/${file.path}`;
    const found = disk.stat(path);
    if (found?.kind === "file" && found.size === file.size) sound.push(file);
    else {
      const problem = found?.kind !== "file"
        ? "it is missing"
        : `it has ${found.size} bytes, not ${file.size}`;
      problems.push({ file: path, problem });
    }
  }
  const tasks = sound.map(({ path, size }) => ({ from: `${dir}/${path}`, size }));
  const digests = await digest(tasks);
  sound.forEach(({ path, sha256 }, i) => {
    if (digests[i].sha256 === sha256) return;
    problems.push({ file: `${dir}/${path}`, problem: "its digest is not that of the inventory" });
  });
  const listed = new Set(inventory.files.map(({ path }) => path));
  for (const path of filesIn(disk, dir)) {
    if (listed.has(path) || IGNORED.includes(path)) continue;
    problems.push({ file: `${dir}/${path}`, problem: "it does not belong to the snapshot" });
  }
  return { inventory, problems };
}

/** All files below a directory, relative to it. */
function* filesIn(disk: Disk, dir: string, below = ""): Generator<string> {
  for (const name of disk.list(dir)) {
    const path = `${below}${name}`;
    if (disk.stat(`${dir}/${name}`)?.kind === "directory") {
      yield* filesIn(disk, `${dir}/${name}`, `${path}/`);
    } else yield path;
  }
}
