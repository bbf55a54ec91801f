/**
 * Recovery: what the log holds beyond the tables goes back into memtables.
 *
 * It is idempotent: it changes the directory only through the manifest, so that a crash at any point
 * of it is followed by the same recovery again.
 * @module
 */
import { PairError } from "../model/mod.ts";
import type { Disk } from "../runtime/mod.ts";
import {
  type Files,
  parseManifestName,
  parseSegmentName,
  parseTableName,
  parseTreeDirName,
} from "./files.ts";
import type { ManifestState } from "./manifest/mod.ts";
import { checkTableFormat } from "./sstable/mod.ts";
import type { TreeState } from "./tree.ts";
import { findSegments, type Loss, replaySegment, type Segment } from "./wal/mod.ts";

/** What recovery needs from the engine. */
export interface RecoveryHooks {
  /** Refuse damage instead of skipping it. */
  readonly strict: boolean;
  /** Told the highest file number on disk, before anything is written. */
  beforeReplay(highestFile: number): void;
  /** Told the last sequence after each batch. */
  onApplied(lastSeq: number): void;
  /** Flushes full memtables. */
  relieve(): Promise<void>;
}

/** What recovery found. */
export interface Recovered {
  readonly segments: readonly Segment[];
  /** Segments that are not part of the log any more, or never were. */
  readonly stray: readonly number[];
  /** The last sequence that the log vouches for, also when the record itself is lost: none is used twice. */
  readonly lastSeq: number;
  readonly records: number;
  readonly tornBytes: number;
  readonly losses: readonly Loss[];
}

/**
 * Replays the log into the trees.
 * @throws PairError CorruptedData when the log's beginning is missing, for a batch of a tree that was never
 *   made, or any damage when `strict`; InvalidArgument, with nothing written, for a table or segment of a
 *   newer format
 */
export async function recover(
  disk: Disk,
  files: Files,
  state: ManifestState,
  trees: ReadonlyMap<number, TreeState>,
  hooks: RecoveryHooks,
): Promise<Recovered> {
  checkFormats(disk, files, trees);
  const { log, stray, missing } = findSegments(disk, files, state.oldestLog, state.newestLog);
  if (hooks.strict) refuse(missing, "is missing, or emptied,");
  hooks.beforeReplay(highestFile(disk, files));
  makeTreeDirs(disk, files, trees);
  const { closed } = state;
  const segments: Segment[] = [];
  const losses: Loss[] = [...missing];
  let records = 0;
  let tornBytes = 0;
  let lastSeq = 0;
  for (const found of log) {
    const result = await replaySegment(disk, found, lastSeq, (firstSeq, mutations) => {
      for (let i = 0; i < mutations.length; i++) {
        const { treeId, kind, key, value } = mutations[i];
        const tree = trees.get(treeId);
        if (tree === undefined) {
          // Below the next id it was dropped; above, the manifest has lost the edit that made it.
          if (treeId < state.nextTree) continue;
          throw new PairError(
            "CorruptedData",
            `Cannot recover: ${found.path} writes to tree ${treeId}, which the manifest does not know`,
            { file: found.path, tree: treeId },
          );
        }
        if (firstSeq + i <= tree.flushedSeq) continue;
        tree.active.reserve(1, key.length + value.length);
        tree.active.insert(firstSeq + i, kind, key, value);
      }
      hooks.onApplied(firstSeq + mutations.length - 1);
      return hooks.relieve();
    });
    if (hooks.strict) refuse(result.losses);
    segments.push(result.segment);
    losses.push(...result.losses);
    records += result.records;
    tornBytes += result.tornBytes;
    lastSeq = result.segment.lastSeq;
  }
  // After a clean close nothing is torn: a log that ends too early was cut, and its end is lost.
  const reached = Math.max(lastSeq, ...[...trees.values()].map((tree) => tree.flushedSeq));
  const end = segments.at(-1);
  // Damage that was found in the last segment explains it, and so does a segment that is gone.
  const explained = end?.damaged === true || missing.length > 0;
  if (closed !== undefined && reached < closed && !explained) {
    if (end !== undefined) segments[segments.length - 1] = { ...end, damaged: true };
    const file = log.at(-1)?.path ?? files.walDir;
    losses.push({ file, offset: end?.bytes ?? 0, bytes: 0 });
    if (hooks.strict) refuse(losses);
  }
  // A killed process leaves an end that was never synced. The next segment will vouch for it, and reads
  // will show it, so it has to be durable first.
  const last = log.at(-1);
  if (last !== undefined) disk.syncFile(last.path);
  return { segments, stray, lastSeq, records, tornBytes, losses };
}

/** A newer program's directory is refused before anything is written to it. */
function checkFormats(disk: Disk, files: Files, trees: ReadonlyMap<number, TreeState>): void {
  for (const tree of trees.values()) {
    for (const { meta } of tree.version.tables()) {
      checkTableFormat(disk, files.table(tree.dir, meta.number), meta.number);
    }
  }
}

/** Copies and archives often leave out empty directories; a tree without tables has one. */
function makeTreeDirs(disk: Disk, files: Files, trees: ReadonlyMap<number, TreeState>): void {
  const dirs = [...trees.values()].map((tree) => files.treeDir(tree.dir));
  const missing = dirs.filter((dir) => disk.stat(dir) === undefined);
  for (const dir of missing) disk.makeDir(dir);
  if (missing.length > 0) disk.syncDir(files.treesDir);
}

/** @throws PairError CorruptedData for the first loss, if there is one */
function refuse(losses: readonly Loss[], what = "is damaged"): void {
  for (const { file, offset, bytes } of losses) {
    throw new PairError(
      "CorruptedData",
      `Cannot recover: ${file} ${what} at ${offset} (commit_log.recovery is strict)`,
      { file, offset, bytes },
    );
  }
}

/** The highest number in any file name: numbers in use but not yet in the manifest count too. */
function highestFile(disk: Disk, files: Files): number {
  let highest = 0;
  const see = (number: number | undefined) => {
    if (number !== undefined && number > highest) highest = number;
  };
  for (const name of disk.list(files.root)) see(parseManifestName(name));
  for (const name of disk.list(files.walDir)) see(parseSegmentName(name));
  for (const dir of disk.list(files.treesDir)) {
    if (parseTreeDirName(dir) === undefined) continue;
    for (const name of disk.list(files.treeDir(dir))) see(parseTableName(name));
  }
  return highest;
}
