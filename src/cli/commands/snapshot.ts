/**
 * `pairdb snapshot NAME` and its kin: consistent copies of all of a node's data, made while it serves.
 *
 * The node makes them in its own data directory, in next to no time and space. With `--to` this command
 * then copies one to another place itself, and so has to run where the node runs; what an earlier copy in
 * that place has already is shared with it, so that each copy is whole and costs what is new. The node's
 * snapshot is there for the copying only, under a name that nobody gives to one of their own.
 * @module
 */
import type { PairDB, Snapshot } from "../../client/mod.ts";
import { checkpointsIn, copyCheckpoint, verifyCheckpoint } from "../../engine/mod.ts";
import { PairError, utf8 } from "../../model/mod.ts";
import { denoDisk, sha256 } from "../../runtime/mod.ts";
import { absolute, withoutSlash } from "../paths.ts";
import { connect, print, type Shell, UsageError } from "../shell.ts";
import { table } from "../table.ts";
import { oneLine } from "../text.ts";
import { roughSize } from "../units.ts";

/** Flags of `snapshot`. */
export interface SnapshotFlags {
  readonly to?: string;
  readonly previous?: string;
  readonly keep?: boolean;
}

/** Makes a snapshot, and with `--to` a copy of it elsewhere. */
export async function createSnapshot(
  shell: Shell,
  name: string,
  flags: SnapshotFlags,
): Promise<number> {
  if (flags.to === undefined && (flags.previous !== undefined || flags.keep)) {
    throw new UsageError("--previous and --keep belong to --to DIR");
  }
  refusePassing(name);
  const db = await connect(shell);
  if (flags.to !== undefined) return await copySnapshot(shell, db, name, flags.to, flags);
  const made = await db.admin.createSnapshot(name);
  const { snapshot } = made;
  print(shell, [
    `${snapshot.name}: ${contents(snapshot)}; it took ${Math.round(made.elapsedMs)} ms`,
    snapshot.dir,
  ], { ...fields(snapshot), ...figures(made) });
  return 0;
}

async function copySnapshot(
  shell: Shell,
  db: PairDB,
  name: string,
  to: string,
  { previous, keep }: SnapshotFlags,
): Promise<number> {
  const disk = denoDisk();
  const place = withoutSlash(to);
  const taking = keep ? name : passingName(absolute(shell.process, place));
  let made: Awaited<ReturnType<typeof db.admin.createSnapshot>> | undefined;
  const remove = async () => {
    if (!keep) await db.admin.deleteSnapshot(taking);
  };
  const copy = await copyCheckpoint(
    disk,
    async () => {
      // A run to this place that was killed left it: while we are at work there nobody else has one.
      const there = keep ? [] : await db.admin.listSnapshots();
      if (there.some((snapshot) => snapshot.name === taking)) await remove();
      made = await db.admin.createSnapshot(taking);
      const { dir } = made.snapshot;
      if (disk.stat(dir) !== undefined) return { dir, done: remove };
      await remove();
      throw new PairError(
        "InvalidArgument",
        `Cannot copy the snapshot ${dir}: it is not on this machine; run this where the node runs`,
        { dir },
      );
    },
    place,
    name,
    previous && withoutSlash(previous),
  );
  const { snapshot } = made!;
  const shared = copy.previous === undefined ? "" : `, ${copy.linked} shared with ${copy.previous}`;
  print(shell, [
    `${name}: ${contents(snapshot)}; ${copy.copied} files (${
      roughSize(copy.copiedBytes)
    }) copied${shared}`,
    copy.dir,
  ], {
    ...fields(snapshot),
    name,
    ...figures(made!),
    copy: {
      dir: copy.dir,
      previous: copy.previous ?? null,
      copied_files: copy.copied,
      copied_bytes: copy.copiedBytes,
      shared_files: copy.linked,
    },
  });
  return 0;
}

/**
 * The name of the snapshot that is there while one is copied: one for each place, since one copy is made
 * there at a time. By it the next run knows, and removes, what one that was killed has left.
 */
function passingName(place: string): string {
  const digest = sha256();
  digest.update(utf8(place));
  return `copying-${digest.hex().slice(0, 16)}`;
}

/** Names that a run with `--to` removes: nobody's own snapshot may have one. */
function refusePassing(name: string): void {
  if (!/^copying-[0-9a-f]{16}$/.test(name)) return;
  throw new PairError(
    "InvalidArgument",
    `Cannot make the snapshot ${name}: names like this are those of copies under way`,
  );
}

/** Prints the snapshots of a node, or of a place that holds copies. */
export async function listSnapshots(shell: Shell, place: string | undefined): Promise<number> {
  const snapshots = place === undefined
    ? await (await connect(shell)).admin.listSnapshots()
    : checkpointsIn(denoDisk(), withoutSlash(place)).map(({ node, problem, ...info }) => {
      return { ...info, nodeId: node, problem: problem ?? "" };
    });
  const forPeople = shell.process.isTerminal("stdout");
  const rows = snapshots.map((snapshot) => [
    snapshot.name,
    snapshot.problem === "" ? new Date(snapshot.createdAtMs).toISOString() : "damaged",
    `${snapshot.sequence}`,
    `${snapshot.files}`,
    forPeople ? roughSize(snapshot.bytes) : `${snapshot.bytes}`,
    snapshot.dir,
  ]);
  const headings = ["snapshot", "taken", "sequence", "files", "size", "directory"];
  print(
    shell,
    shell.output === "json" ? [] : table(shell.process, headings, rows),
    snapshots.map(fields),
  );
  return 0;
}

/**
 * Reads every byte of a snapshot and compares digests.
 * @param which  the name of one of the node's, or the directory of one on this machine: that has a slash
 * @throws PairError CorruptedData (2007) when anything is wrong with it
 */
export async function verifySnapshot(shell: Shell, which: string): Promise<number> {
  const { snapshot, problems } = which.includes("/")
    ? await verifyHere(withoutSlash(which))
    : await (await connect(shell)).admin.verifySnapshot(which);
  const lines = problems.map(({ file, problem }) =>
    `DAMAGED  ${oneLine(file)}: ${oneLine(problem)}`
  );
  print(shell, [...lines, ...(problems.length === 0 ? [`OK       ${contents(snapshot)}`] : [])], {
    ...fields(snapshot),
    problems,
  });
  if (problems.length === 0) return 0;
  throw new PairError(
    "CorruptedData",
    `The snapshot ${snapshot.dir} is damaged: ${problems.length} files are not as they were`,
    { damaged: problems.length, files: snapshot.files },
  );
}

async function verifyHere(dir: string) {
  const { inventory, problems } = await verifyCheckpoint(denoDisk(), dir);
  const { node: nodeId, sequence, createdAtMs, files } = inventory;
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  const name = dir.slice(dir.lastIndexOf("/") + 1);
  const facts = { name, dir, nodeId, sequence, createdAtMs, files: files.length, bytes };
  return { snapshot: { ...facts, problem: "" }, problems };
}

/** Deletes a node's snapshot. */
export async function deleteSnapshot(shell: Shell, name: string): Promise<number> {
  const db = await connect(shell);
  await db.admin.deleteSnapshot(name);
  print(shell, "OK", { name, deleted: true });
  return 0;
}

function contents({ sequence, files, bytes }: Snapshot): string {
  return `all up to sequence ${sequence}, ${roughSize(bytes)} in ${files} files`;
}

function fields(snapshot: Snapshot): Record<string, unknown> {
  return {
    name: snapshot.name,
    dir: snapshot.dir,
    node_id: snapshot.nodeId,
    sequence: snapshot.sequence,
    created_at: snapshot.createdAtMs,
    files: snapshot.files,
    bytes: snapshot.bytes,
    ...(snapshot.problem === "" ? {} : { problem: snapshot.problem }),
  };
}

function figures(made: Awaited<ReturnType<PairDB["admin"]["createSnapshot"]>>) {
  return {
    linked_files: made.linkedFiles,
    copied_bytes: made.copiedBytes,
    digested_bytes: made.digestedBytes,
    pinned_ms: made.pinnedMs,
    elapsed_ms: made.elapsedMs,
  };
}
