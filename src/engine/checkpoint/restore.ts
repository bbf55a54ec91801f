/**
 * Offline work on checkpoints: a new data directory from one, and copies of one in other places. Both
 * read the checkpoint only, both verify every byte before it counts, and both end with one step that makes
 * the result usable: what a crash leaves before that is refused by everyone, and removed by the next try.
 *
 *     restore   the target gets a file RESTORING first and loses it last: with it no engine opens the directory
 *     copy      is made under a name that nobody asks for, and renamed
 *
 * Where source and target share a file system the target's files are links: the engine never writes to a
 * file again that it has finished, so neither changes the other.
 * @module
 */
import { PairError } from "../../model/mod.ts";
import { type Disk, DiskError, type DiskLock } from "../../runtime/mod.ts";
import { Files, makeDirDurably, parentOf } from "../files.ts";
import { describe, restate, writeInventory } from "./create.ts";
import type { CheckpointInfo } from "./create.ts";
import { digestFile } from "./file_jobs.ts";
import { type CheckpointFile, type Inventory, readInventory, SNAPSHOT_FILE } from "./inventory.ts";
import {
  alreadyThere,
  cannotLink,
  checkName,
  makingDir,
  namesIn,
  ownNamesIn,
  publish,
  readOwnInventory,
  removeLeftovers,
} from "./place.ts";
import { verifyCheckpoint } from "./verify.ts";

/** What restoring or copying has done. */
export interface Transferred {
  readonly inventory: Inventory;
  /** Files that are links, and share their bytes. */
  readonly linked: number;
  readonly copied: number;
  readonly copiedBytes: number;
}

/**
 * Makes a data directory of a checkpoint. Durable when the promise resolves.
 * @param from    the checkpoint
 * @param to      the data directory: absent, empty, or left by a restoring that did not come to its end
 * @param finish  puts in what the engine knows nothing of; its files and the directory must be durable on return
 * @param options `copy`: share no bytes with the checkpoint, also where that is possible
 * @throws PairError InvalidArgument when `from` is no checkpoint or `to` is neither, CorruptedData, naming
 *   the file, when the checkpoint is not whole; Unavailable when somebody else is at work in `to`; DiskFull
 */
export async function restoreCheckpoint(
  disk: Disk,
  from: string,
  to: string,
  finish: (inventory: Inventory) => void,
  options: { readonly copy?: boolean } = {},
): Promise<Transferred> {
  if (isWithin(to, from)) {
    throw new PairError("InvalidArgument", `Cannot restore to ${to}: it is in the snapshot`, {
      dir: to,
    });
  }
  refuseUsed(disk, to);
  const { inventory, problems } = await verifyCheckpoint(disk, from);
  if (problems.length > 0) throw damaged(from, problems);
  const files = new Files(to);
  let begun = false;
  let lock: DiskLock | undefined;
  try {
    makeDirDurably(disk, to);
    lock = lockTarget(disk, files);
    begin(disk, files);
    begun = true;
    const done = transfer(disk, inventory, to, (file) => {
      return { path: `${from}/${file.path}`, link: options.copy !== true };
    });
    finish(inventory);
    disk.remove(files.restoring);
    disk.syncDir(to);
    return { inventory, ...done };
  } catch (error) {
    // Before that nothing in there is ours.
    if (begun) {
      giveUp(() => {
        // The mark may be gone already; what was reported as failed must not pass for restored.
        if (disk.stat(files.restoring) === undefined) disk.create(files.restoring).close();
        clear(disk, files);
      });
    }
    throw restate(error, to, "restore to");
  } finally {
    lock?.release();
  }
}

/** A checkpoint that was taken to be copied. */
export interface Taken {
  readonly dir: string;
  /** Told when the copy is made or has failed. */
  done(): Promise<void>;
}

/**
 * Copies a checkpoint to another place, as `place/name`. What an earlier copy there has already is linked
 * to that. Durable when the promise resolves.
 * @param from      its directory, or what takes one; that is called, and told when the copy is done, while
 *   nobody else can copy to the place
 * @param previous  that copy's directory; by default the newest one of the same store in the place
 * @throws PairError InvalidArgument when `from` or `previous` is no checkpoint, they are of two stores, or
 *   the name is taken; CorruptedData, naming the file, when a file is not what the inventory says;
 *   Unavailable when another copy to the place is under way; DiskFull
 */
export async function copyCheckpoint(
  disk: Disk,
  from: string | (() => Promise<Taken>),
  place: string,
  name: string,
  previous?: string,
): Promise<Copied> {
  checkName(name);
  const dir = `${place}/${name}`;
  // What is refused is refused before anything is made.
  if (typeof from === "string") readInventory(disk, from);
  if (previous !== undefined) readInventory(disk, previous);
  refuseTaken(disk, dir);
  let lock: DiskLock | undefined;
  try {
    makeDirDurably(disk, place);
    lock = lockTarget(disk, new Files(place));
    await removeLeftovers(disk, place);
    refuseTaken(disk, dir);
    if (typeof from === "string") return copyTo(disk, from, place, name, previous);
    const taken = await from();
    try {
      return copyTo(disk, taken.dir, place, name, previous);
    } finally {
      await taken.done();
    }
  } catch (error) {
    if (lock !== undefined) giveUp(() => disk.removeDir(makingDir(place, name)));
    throw restate(error, dir, "copy the snapshot to");
  } finally {
    lock?.release();
  }
}

/** What copying has done. */
export interface Copied extends Transferred {
  /** The copy's directory. */
  readonly dir: string;
  /** The copy that it shares with. */
  readonly previous: string | undefined;
}

/** Copies, in a place that is locked. */
function copyTo(
  disk: Disk,
  from: string,
  place: string,
  name: string,
  previous: string | undefined,
): Copied {
  const dir = `${place}/${name}`;
  const inventory = readInventory(disk, from);
  const base = previous === undefined
    ? newestOf(disk, place, inventory.store)
    : { dir: previous, inventory: readInventory(disk, previous) };
  if (base !== undefined && base.inventory.store !== inventory.store) {
    throw new PairError(
      "InvalidArgument",
      `Cannot share files with ${base.dir}: it is a snapshot of another store`,
      { dir: base.dir },
    );
  }
  const had = new Map((base?.inventory.files ?? []).map((file) => [file.path, file]));
  const making = makingDir(place, name);
  makeDirDurably(disk, making);
  const done = transfer(disk, inventory, making, (file) => {
    const same = had.get(file.path);
    if (same !== undefined && same.size === file.size && same.sha256 === file.sha256) {
      const path = `${base!.dir}/${file.path}`;
      if (disk.stat(path)?.size === file.size) return { path, link: true };
    }
    return { path: `${from}/${file.path}`, link: false };
  });
  writeInventory(disk, making, inventory);
  disk.syncFile(`${making}/${SNAPSHOT_FILE}`);
  disk.syncDir(making);
  refuseTaken(disk, dir);
  publish(disk, place, name);
  return { inventory, ...done, dir, previous: base?.dir };
}

function refuseTaken(disk: Disk, dir: string): void {
  const there = disk.stat(dir);
  if (there !== undefined) throw alreadyThere(dir, there.kind, `rm -r ${dir}`);
}

/**
 * The checkpoints in a place, by name, sound or not; none when there is no such place.
 * @param own  it is a store's own place: nothing else belongs there, so what has lost its inventory is one too
 */
export function checkpointsIn(disk: Disk, place: string, own = false): CheckpointInfo[] {
  return (own ? ownNamesIn : namesIn)(disk, place).map((name) => {
    const dir = `${place}/${name}`;
    try {
      return describe(name, dir, readOwnInventory(disk, dir));
    } catch (error) {
      if (!(error instanceof PairError || error instanceof DiskError)) throw error;
      return describe(name, dir, error);
    }
  });
}

/** The newest sound checkpoint of a store in a place. */
function newestOf(disk: Disk, place: string, store: string) {
  const [newest] = checkpointsIn(disk, place)
    .filter((info) => info.problem === undefined && info.store === store)
    .sort((a, b) => b.sequence - a.sequence || b.createdAtMs - a.createdAtMs);
  if (newest === undefined) return undefined;
  return { dir: newest.dir, inventory: readInventory(disk, newest.dir) };
}

/**
 * Puts all files of an inventory into a directory, all durable on return, but for the directory's own name.
 * @param source  where a file is taken from, and whether a link will do
 */
function transfer(
  disk: Disk,
  inventory: Inventory,
  to: string,
  source: (file: CheckpointFile) => { path: string; link: boolean },
): { linked: number; copied: number; copiedBytes: number } {
  const dirs = new Set(["wal", "tenants", ...inventory.files.flatMap(({ path }) => dirOf(path))]);
  for (const dir of dirs) disk.makeDir(`${to}/${dir}`);
  let linked = 0;
  let copiedBytes = 0;
  for (const file of inventory.files) {
    const { path, link } = source(file);
    const target = `${to}/${file.path}`;
    if (link && tryLink(disk, path, target)) {
      linked++;
      continue;
    }
    const { size, sha256 } = digestFile(disk, path, target);
    // What was verified before may have changed since, and what was not has to be.
    if (size !== file.size || sha256 !== file.sha256) {
      throw damaged(path, [{ file: path, problem: "its digest is not that of the inventory" }]);
    }
    copiedBytes += size;
  }
  for (const dir of [...dirs].sort().reverse()) disk.syncDir(`${to}/${dir}`);
  disk.syncDir(to);
  return { linked, copied: inventory.files.length - linked, copiedBytes };
}

function tryLink(disk: Disk, from: string, to: string): boolean {
  try {
    disk.link(from, to);
    return true;
  } catch (error) {
    if (!cannotLink(error)) throw error;
    return false;
  }
}

/** Refuses a target that holds anything but what an unfinished restoring left. */
function refuseUsed(disk: Disk, to: string): void {
  const files = new Files(to);
  const there = disk.stat(to);
  if (there === undefined) return;
  const names = there.kind === "directory" ? disk.list(to) : [];
  const unfinished = disk.stat(files.restoring) !== undefined;
  if (there.kind === "directory" && (unfinished || names.every((name) => name === "LOCK"))) return;
  throw new PairError(
    "InvalidArgument",
    `Cannot restore to ${to}: it is ${there.kind === "directory" ? "not empty" : "a file"}`,
    { dir: to },
  );
}

/** Marks the target as unfinished, and clears it of what an earlier try has left. */
function begin(disk: Disk, files: Files): void {
  refuseUsed(disk, files.root);
  if (disk.stat(files.restoring) === undefined) {
    disk.create(files.restoring).close();
    disk.syncDir(files.root);
  }
  clear(disk, files);
}

/** Empties the target but for the mark and the lock. */
function clear(disk: Disk, files: Files): void {
  for (const name of disk.list(files.root)) {
    const path = `${files.root}/${name}`;
    if (path === files.restoring || path === files.lock) continue;
    if (disk.stat(path)?.kind === "directory") disk.removeDir(path);
    else disk.remove(path);
  }
}

/** Gives back the space of what failed, as well as it can be: the next try removes the rest. */
function giveUp(remove: () => void): void {
  try {
    remove();
  } catch (error) {
    // The caller needs the failure that led here, not this one.
    if (!(error instanceof DiskError)) throw error;
  }
}

function lockTarget(disk: Disk, files: Files): DiskLock {
  try {
    return disk.lock(files.lock);
  } catch (cause) {
    if (!(cause instanceof DiskError) || cause.errno !== "EAGAIN") throw cause;
    throw new PairError(
      "Unavailable",
      `Cannot write to ${files.root}: a process is at work in it`,
      {
        dir: files.root,
      },
      { cause },
    );
  }
}

function damaged(dir: string, problems: readonly { file: string; problem: string }[]): PairError {
  const [{ file, problem }] = problems;
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more files)` : "";
  return new PairError("CorruptedData", `Cannot use ${dir}: ${file}: ${problem}${more}`, { file });
}

/** `["tenants/notes~2"]` of `tenants/notes~2/000014.sst`; none of a file at the top. */
function dirOf(path: string): string[] {
  const dir = parentOf(path);
  return dir === "." ? [] : [dir];
}

/** Whether a path is a directory or in it. By name only: links are not followed. */
function isWithin(path: string, dir: string): boolean {
  const normal = (path: string) =>
    path.split("/").filter((part, i) => part !== "." && (part !== "" || i === 0)).join("/");
  return `${normal(path)}/`.startsWith(`${normal(dir)}/`);
}
