/**
 * Places: directories that hold checkpoints by name. A checkpoint is made under a name that nobody can
 * ask for, and renamed when all of it is durable; one that is deleted is renamed away first. So under
 * its own name it is always whole, and what a crash leaves over is known by its name and removed.
 *
 *     snapshots/  monday/  .making~tuesday/  .deleting~sunday/
 * @module
 */
import { PairError } from "../../model/mod.ts";
import { type Clock, type Disk, type DiskEntry, DiskError } from "../../runtime/mod.ts";
import { parseSegmentName, parseTableName, parseTreeDirName } from "../files.ts";
import { type Inventory, readInventory, SNAPSHOT_FILE } from "./inventory.ts";

const MAKING = ".making~";
const DELETING = ".deleting~";

/** Lets others run when it is time to: long work on an engine's thread awaits it between its steps. */
export type Pause = () => Promise<void> | undefined;

/** How long a thread is kept between two pauses, in ms. */
const SLICE_MS = 5;

/** A pause after every {@link SLICE_MS} of work. */
export function pauseEvery(clock: Clock): Pause {
  let since = clock.monotonicMs();
  return () => {
    if (clock.monotonicMs() - since < SLICE_MS) return undefined;
    return clock.sleep(0).then(() => {
      since = clock.monotonicMs();
    });
  };
}

/**
 * Checks the name of a checkpoint.
 * @throws PairError InvalidArgument when it is not 1 to 100 letters, digits, `.`, `_` and `-`, the first a
 *   letter or digit
 */
export function checkName(name: string): void {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(name)) return;
  throw new PairError(
    "InvalidArgument",
    "Cannot use the snapshot's name: it is not 1 to 100 letters, digits, dots, underscores and hyphens, beginning with a letter or digit",
  );
}

/** Whether {@link checkName} takes it. */
function isName(name: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(name);
}

/** Where a checkpoint is made. */
export function makingDir(place: string, name: string): string {
  return `${place}/${MAKING}${name}`;
}

/** Names of the checkpoints in a place, sorted; none when there is no such place. */
export function namesIn(disk: Disk, place: string): string[] {
  return ownNamesIn(disk, place).filter((name) => hasInventory(disk, `${place}/${name}`));
}

/**
 * Names of the checkpoints in a store's own place, damaged ones included: nothing else belongs there, so a
 * directory of such a name is one, though it may have lost its inventory.
 */
export function ownNamesIn(disk: Disk, place: string): string[] {
  if (disk.stat(place)?.kind !== "directory") return [];
  return disk.list(place).filter((name) =>
    isName(name) && disk.stat(`${place}/${name}`)?.kind === "directory"
  );
}

/** Whether a directory has what makes it a checkpoint. */
export function hasInventory(disk: Disk, dir: string): boolean {
  return disk.stat(`${dir}/${SNAPSHOT_FILE}`)?.kind === "file";
}

/** Reads the inventory of what must be a checkpoint. @throws PairError as `readInventory` does, DiskError */
export function readOwnInventory(disk: Disk, dir: string): Inventory {
  if (hasInventory(disk, dir)) return readInventory(disk, dir);
  const file = `${dir}/${SNAPSHOT_FILE}`;
  throw new PairError("CorruptedData", `Cannot read ${file}: it is missing`, { file });
}

/** Removes what unfinished makings and deletions have left. */
export async function removeLeftovers(disk: Disk, place: string): Promise<void> {
  if (disk.stat(place)?.kind !== "directory") return;
  for (const name of disk.list(place)) {
    if (name.startsWith(MAKING) || name.startsWith(DELETING)) {
      await removeAll(disk, `${place}/${name}`);
    }
  }
}

/** Gives a finished checkpoint its name. Durable on return; on failure it has the old name again. */
export function publish(disk: Disk, place: string, name: string): void {
  const making = makingDir(place, name);
  disk.rename(making, `${place}/${name}`);
  try {
    disk.syncDir(place);
  } catch (error) {
    disk.rename(`${place}/${name}`, making);
    throw error;
  }
}

/**
 * Deletes a checkpoint. From the first moment on it is gone, for good once this has resolved.
 * @throws PairError InvalidArgument when there is none; DiskError
 */
export async function deleteFrom(disk: Disk, place: string, name: string): Promise<void> {
  checkName(name);
  const dir = `${place}/${name}`;
  const mustBeThere = () => {
    if (disk.stat(dir)?.kind !== "directory") throw noSuch(disk, place, name);
  };
  mustBeThere();
  const gone = `${place}/${DELETING}${name}`;
  // A deletion of an earlier one of the name may have been cut short.
  await removeAll(disk, gone);
  // Another deletion may have come first.
  mustBeThere();
  disk.rename(dir, gone);
  disk.syncDir(place);
  await removeAll(disk, gone);
}

/** The error for a name that has no checkpoint. */
export function noSuch(disk: Disk, place: string, name: string): PairError {
  const why = disk.stat(`${place}/${name}`)?.kind === "file"
    ? `${place}/${name} is a file`
    : "there is none";
  return new PairError("InvalidArgument", `Cannot find the snapshot ${name}: ${why}`, {
    reason: "not_found",
  });
}

/**
 * The error for a name that is taken.
 * @param remove  the command that removes what has it
 */
export function alreadyThere(dir: string, kind: DiskEntry["kind"], remove: string): PairError {
  const why = kind === "file"
    ? "a file of that name is in the way"
    : `it exists; \`${remove}\` removes it`;
  return new PairError("InvalidArgument", `Cannot make the snapshot ${dir}: ${why}`, {
    reason: "already_exists",
  });
}

/**
 * Removes a checkpoint's directory and all in it; the many files in it one by one. Others may be at the same
 * directory: a deletion, and whoever makes the next one and clears leftovers away.
 */
export async function removeAll(disk: Disk, dir: string): Promise<void> {
  if (disk.stat(dir) === undefined) return;
  for (const path of ownFiles(disk, dir)) {
    try {
      await disk.removeAsync(path);
    } catch (error) {
      if (!isGone(error)) throw error;
    }
  }
  disk.removeDir(dir);
}

function isGone(error: unknown): boolean {
  return error instanceof DiskError && error.errno === "ENOENT";
}

/** Files in a checkpoint's directories that have names of ours. */
function* ownFiles(disk: Disk, dir: string): Generator<string> {
  const isDir = (path: string) => disk.stat(path)?.kind === "directory";
  const trees = `${dir}/tenants`;
  if (isDir(trees)) {
    for (const tree of disk.list(trees)) {
      if (parseTreeDirName(tree) === undefined || !isDir(`${trees}/${tree}`)) continue;
      for (const name of disk.list(`${trees}/${tree}`)) {
        if (parseTableName(name) !== undefined) yield `${trees}/${tree}/${name}`;
      }
    }
  }
  if (!isDir(`${dir}/wal`)) return;
  for (const name of disk.list(`${dir}/wal`)) {
    if (parseSegmentName(name) !== undefined) yield `${dir}/wal/${name}`;
  }
}

/** Whether a link failed because there can be none here: then the file is copied. */
export function cannotLink(error: unknown): boolean {
  // EACCES stands for EPERM too, which file systems without links answer; EOTHER for too many links.
  return error instanceof DiskError && ["EXDEV", "EACCES", "EOTHER"].includes(error.errno);
}
