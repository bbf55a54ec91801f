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
import { checkTableFormat, provesKey } from "./sstable/mod.ts";
import type { TreeState } from "./tree.ts";
import {
  findSegments,
  type Loss,
  type RecordCursor,
  replaySegment,
  type ReplayVisitor,
  type Segment,
} from "./wal/mod.ts";

/** What recovery needs from the engine. */
export interface RecoveryHooks {
  /** Refuse damage instead of skipping it. */
  readonly strict: boolean;
  /** The store's key, where it is encrypted. */
  readonly key?: Uint8Array | undefined;
  /** Told the highest file number on disk, before anything is written. */
  beforeReplay(highestFile: number): void;
  /** Told the last sequence after each batch. */
  onApplied(lastSeq: number): void;
  /** A memtable of this size is full. */
  readonly memtableSize: number;
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
  checkFormats(disk, files, trees, hooks.key);
  const { log, stray, missing } = findSegments(disk, files, state.oldestLog, state.newestLog);
  if (hooks.strict) refuse(missing, "is missing, or emptied,");
  hooks.beforeReplay(highestFile(disk, files));
  makeTreeDirs(disk, files, trees);
  const { closed } = state;
  const newest = log.at(-1);
  const syncing = newest && failureOf(disk.syncFileAsync(newest.path));
  // A killed process leaves an end that was never synced. The next segment will vouch for it, tables will
  // hold it, and reads will show it, so it has to be durable first. So does its name: it may have come no
  // further than that. It is synced beside the replay, which needs none of this.
  let isDurable = false;
  const durable = async () => {
    const failure = await syncing;
    if (failure !== undefined) throw failure;
    if (isDurable) return;
    isDurable = true;
    if (newest !== undefined) disk.syncDir(files.walDir);
  };
  const relieve = async () => {
    await durable();
    await hooks.relieve();
  };
  const replay = new Replay(state, trees, { ...hooks, relieve });
  const segments: Segment[] = [];
  const losses: Loss[] = [...missing];
  let records = 0;
  let tornBytes = 0;
  let lastSeq = 0;
  for (const found of log) {
    replay.path = found.path;
    const result = await replaySegment(disk, found, lastSeq, replay, { key: hooks.key });
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
  for (const tree of trees.values()) tree.active.link();
  await durable();
  return { segments, stray, lastSeq, records, tornBytes, losses };
}

/** What a promise rejects with, for whoever comes to wait for it later. */
function failureOf(done: Promise<void>): Promise<unknown> {
  return done.then(() => undefined, (failure) => failure);
}

/** Puts what the log holds into memtables. */
class Replay implements ReplayVisitor {
  readonly #state: ManifestState;
  readonly #trees: ReadonlyMap<number, TreeState>;
  readonly #hooks: RecoveryHooks;
  // The tree of the last record: most often that of the next one too.
  #treeId = -1;
  #tree: TreeState | undefined;
  /** Bytes since the trees were last looked at together. */
  #placed = 0;
  #full = false;
  /** The segment that is read, for errors. */
  path = "";

  constructor(
    state: ManifestState,
    trees: ReadonlyMap<number, TreeState>,
    hooks: RecoveryHooks,
  ) {
    this.#state = state;
    this.#trees = trees;
    this.#hooks = hooks;
  }

  record(seq: number, record: RecordCursor): void {
    if (record.treeId !== this.#treeId) this.#findTree(record.treeId);
    const tree = this.#tree;
    if (tree === undefined || seq <= tree.flushedSeq) return;
    const { keyStart, keyEnd, valueStart, valueEnd } = record;
    const payload = keyEnd - keyStart + valueEnd - valueStart;
    const { active } = tree;
    active.reserve(1, payload);
    active.place(seq, record.kind, record.bytes, keyStart, keyEnd, valueStart, valueEnd);
    this.#placed += payload;
    if (active.bytes >= this.#hooks.memtableSize) this.#full = true;
  }

  batch(lastSeq: number): Promise<void> | undefined {
    this.#hooks.onApplied(lastSeq);
    // Small trees never fill a memtable: what all hold together is looked at now and then.
    if (!this.#full && this.#placed < this.#hooks.memtableSize) return undefined;
    this.#full = false;
    this.#placed = 0;
    return this.#hooks.relieve();
  }

  #findTree(id: number): void {
    this.#tree = this.#trees.get(id);
    this.#treeId = id;
    // Below the next id it was dropped; above, the manifest has lost the edit that made it.
    if (this.#tree !== undefined || id < this.#state.nextTree) return;
    throw new PairError(
      "CorruptedData",
      `Cannot recover: ${this.path} writes to tree ${id}, which the manifest does not know`,
      { file: this.path, tree: id },
    );
  }
}

/** A newer program's directory, or one with another key, is refused before anything is written to it. */
function checkFormats(
  disk: Disk,
  files: Files,
  trees: ReadonlyMap<number, TreeState>,
  key: Uint8Array | undefined,
): void {
  // All were sealed with one key: the first that is sound tells.
  let proven = false;
  for (const tree of trees.values()) {
    for (const { meta } of tree.version.tables()) {
      const path = files.table(tree.dir, meta.number);
      const sealed = checkTableFormat(disk, path, meta.number);
      if (!sealed || proven) continue;
      proven = provesKey(disk, path, meta.number, key && { key, tree: tree.id });
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
