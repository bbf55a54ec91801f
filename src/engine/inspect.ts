/**
 * Looking at a data directory from outside: `check` verifies every checksum in it, `dump` shows a file
 * to a human. Both only read, and both want the directory closed.
 * @module
 */
import { fromUtf8, PairError } from "../model/mod.ts";
import { type Disk, DiskError, type DiskLock } from "../runtime/mod.ts";
import { type EntryKind, KIND_DELETE, KIND_MERGE } from "./api.ts";
import { compareEntries } from "./cursor.ts";
import { diskFailure } from "./disk_failure.ts";
import {
  Files,
  parseArchivedName,
  parseManifestName,
  parseSegmentName,
  parseTableName,
  parseTreeDirName,
  treeDirName,
} from "./files.ts";
import { applyEdits, ManifestState, readCurrent, readManifest } from "./manifest/mod.ts";
import { type TableKey, TableReader } from "./sstable/mod.ts";
import { loadScrub } from "./scrub/mod.ts";
import { loadWarm } from "./warm.ts";
import { findSegments, readSegment, replaySegment, type ReplayVisitor } from "./wal/mod.ts";

/** What `check` says of one file. */
export interface FileReport {
  readonly file: string;
  readonly kind: "current" | "manifest" | "wal" | "archive" | "sstable" | "warm" | "scrub";
  /** Edits, log records or table entries that were read. */
  readonly items: number;
  /** What is wrong; undefined when nothing is. */
  readonly problem: string | undefined;
  /** What is worth knowing and nothing wrong: the torn tail of a crash, a hint that is lost. */
  readonly note?: string;
}

/** How files are read from outside. */
export interface InspectOptions {
  /** The key of an encrypted store. */
  readonly key?: Uint8Array | undefined;
}

/**
 * Reads every byte of a closed data directory and verifies all checksums, orders and counts.
 * On a file system that went read-only it does so without the lock, and notes that.
 * @throws PairError Unavailable when a process has the directory open, SSTableFailed when its lock cannot be
 *   taken, InvalidArgument when it is no data
 *   directory, or encrypted with another key; DiskError. Damage is reported, not thrown.
 */
export async function checkDirectory(
  disk: Disk,
  root: string,
  { key }: InspectOptions = {},
): Promise<FileReport[]> {
  const files = new Files(root);
  if (disk.stat(files.current) === undefined && disk.stat(files.walDir) === undefined) {
    throw new PairError("InvalidArgument", `Cannot check ${root}: it is not a data directory`, {
      dir: root,
    });
  }
  const lock = lockOrThrow(disk, files);
  const unlocked = lock === undefined
    ? "checked without the lock: the file system is read-only"
    : undefined;
  try {
    const reports: FileReport[] = [];
    const state = new ManifestState();
    const attempt = async (
      file: string,
      kind: FileReport["kind"],
      read: () => number | Promise<number>,
      note?: () => string | undefined,
    ): Promise<void> => {
      try {
        const items = await read();
        const said = note?.();
        reports.push({
          file,
          kind,
          items,
          problem: undefined,
          ...(said === undefined ? {} : { note: said }),
        });
      } catch (error) {
        if (!(error instanceof PairError || error instanceof DiskError)) throw error;
        if (error instanceof PairError && isRefusal(error)) throw error;
        reports.push({ file, kind, items: 0, problem: error.message });
      }
    };
    let torn = 0;
    const tornTail = () =>
      torn === 0 ? undefined : `a crash tore its last ${torn} bytes, which were never acknowledged`;
    let number: number | undefined;
    await attempt(files.current, "current", () => {
      number = readCurrent(disk, files);
      if (number === undefined) {
        throw new PairError("CorruptedData", `Cannot read ${files.current}: it is missing`);
      }
      return 1;
    }, () => unlocked);
    if (number === undefined) return reports;
    const manifest = files.manifest(number);
    await attempt(manifest, "manifest", () => {
      const { edits, tornBytes } = readManifest(disk, manifest, number!, key);
      torn = tornBytes;
      applyEdits(state, manifest, edits);
      return edits.length;
    }, tornTail);
    // Of a manifest that cannot be read enough is said.
    const nextTree = reports.at(-1)!.problem === undefined ? state.nextTree : Infinity;
    for (const tree of state.trees.values()) {
      for (const meta of tree.tables.values()) {
        const path = files.table(treeDirName(tree.name, tree.id), meta.number);
        await attempt(
          path,
          "sstable",
          () => checkTable(disk, path, meta.number, key && { key, tree: tree.id }),
        );
      }
    }
    let log: ReturnType<typeof findSegments>["log"] = [];
    await attempt(files.walDir, "wal", () => {
      const found = findSegments(disk, files, state.oldestLog, state.newestLog);
      log = found.log;
      for (const { file } of found.missing) {
        throw new PairError("CorruptedData", `Cannot read ${file}: it is missing or emptied`);
      }
      return log.length;
    });
    // A record of a tree that was never made is one whose making the manifest has lost.
    const knownTrees = (path: string): ReplayVisitor => ({
      record: (_seq, { treeId }) => {
        if (treeId < nextTree) return;
        throw new PairError(
          "CorruptedData",
          `Cannot read ${path}: it writes to tree ${treeId}, which the manifest does not know`,
        );
      },
      batch: () => undefined,
    });
    let lastSeq = 0;
    for (const segment of log) {
      await attempt(segment.path, "wal", async () => {
        const result = await replaySegment(disk, segment, lastSeq, knownTrees(segment.path), {
          key,
        });
        lastSeq = result.segment.lastSeq;
        torn = result.tornBytes;
        const [loss] = result.losses;
        if (loss !== undefined) {
          throw new PairError(
            "CorruptedData",
            `Cannot read ${loss.file} at ${loss.offset}: ${loss.bytes} bytes are damaged`,
          );
        }
        return result.records;
      }, tornTail);
    }
    for (const [path, segment] of archivedSegments(disk, files)) {
      await attempt(path, "archive", () => checkArchived(disk, path, segment, key));
    }
    let lost: string | undefined;
    if (disk.stat(files.warm) !== undefined) {
      await attempt(files.warm, "warm", () => {
        try {
          return loadWarm(disk, files).length;
        } catch (error) {
          // It is never synced: a crash may leave a part of it, and all that is lost is a warm cache.
          if (!(error instanceof PairError)) throw error;
          lost = `the block cache starts cold: ${error.message}`;
          return 0;
        }
      }, () => lost);
    }
    if (disk.stat(files.scrub) !== undefined) {
      let said: string | undefined;
      await attempt(files.scrub, "scrub", () => {
        try {
          const { damaged } = loadScrub(disk, files);
          if (damaged.size > 0) said = `it names ${damaged.size} tables that were found damaged`;
          return damaged.size;
        } catch (error) {
          // Whoever loses it loses nothing but work.
          if (!(error instanceof PairError)) throw error;
          said = `the scrub begins anew: ${error.message}`;
          return 0;
        }
      }, () => said);
    }
    const flushed = [...state.trees.values()].map((tree) => tree.flushedSeq);
    const explained = reports.some(({ kind, problem }) => kind === "wal" && problem !== undefined);
    if (!explained && state.closed !== undefined && Math.max(lastSeq, ...flushed) < state.closed) {
      const file = log.at(-1)?.path ?? files.walDir;
      const problem = `Cannot read ${file}: it ends before sequence ${state.closed}`;
      reports.push({ file, kind: "wal", items: 0, problem });
    }
    return reports;
  } finally {
    lock?.release();
  }
}

/** Paths and numbers of what was archived; nothing else of the store refers to it. */
function archivedSegments(disk: Disk, files: Files): [path: string, segment: number][] {
  if (disk.stat(files.archiveDir) === undefined) return [];
  return disk.list(files.archiveDir).flatMap((name): [string, number][] => {
    const archived = parseArchivedName(name);
    return archived === undefined ? [] : [[`${files.archiveDir}/${name}`, archived.number]];
  });
}

/** Reads an archived segment, which was whole when it came. Returns how many records it has. */
function checkArchived(disk: Disk, path: string, segment: number, key?: Uint8Array): number {
  let records = 0;
  for (const item of readSegment(disk, path, segment, key)) {
    if ("mutations" in item) records += item.mutations.length;
    else if ("unreadableBytes" in item) {
      throw new PairError(
        "CorruptedData",
        `Cannot read ${path} at ${item.offset}: ${item.unreadableBytes} bytes are damaged`,
      );
    }
  }
  return records;
}

/** A store that cannot be looked into for want of its key is no damaged one. */
function isRefusal(error: PairError): boolean {
  return error.details.reason === "encryption_key";
}

/** The directory's lock; undefined on a read-only file system, where there is none and nobody writes. */
function lockOrThrow(disk: Disk, files: Files): DiskLock | undefined {
  try {
    return disk.lock(files.lock);
  } catch (cause) {
    if (cause instanceof DiskError && cause.errno === "EROFS") return undefined;
    if (!(cause instanceof DiskError) || cause.errno !== "EAGAIN") {
      throw diskFailure(`check ${files.root}`, cause);
    }
    throw new PairError(
      "Unavailable",
      `Cannot check ${files.root}: a process has it open: stop the node, or verify a snapshot`,
      {
        dir: files.root,
      },
      { cause },
    );
  }
}

/** Reads a whole table, twice: all its bytes, then all its entries. Returns how many there are. */
function checkTable(disk: Disk, path: string, number: number, key: TableKey | undefined): number {
  const reader = new TableReader(disk, path, number, undefined, key);
  try {
    reader.verifyBody();
    // Two cursors, one entry apart, so that each entry can be held against the one before it.
    const cursor = reader.cursor();
    const behind = reader.cursor();
    let entries = 0;
    cursor.seekFirst();
    behind.seekFirst();
    for (; cursor.valid; cursor.next()) {
      if (entries > 0) {
        if (compareEntries(behind, cursor) >= 0) {
          throw new PairError(
            "CorruptedData",
            `Cannot read ${path}: entry ${entries} is out of order`,
          );
        }
        behind.next();
      }
      entries++;
    }
    const expected = reader.properties.entries;
    if (entries !== expected) {
      throw new PairError(
        "CorruptedData",
        `Cannot read ${path}: ${entries} entries, not ${expected}`,
      );
    }
    return entries;
  } finally {
    reader.close();
  }
}

/** One thing in a file, as plain values: text where bytes are UTF-8, `hex:` and digits otherwise. */
export type DumpItem = Readonly<Record<string, unknown>>;

/**
 * Shows a log segment, table or manifest, item by item. The kind follows from the file's name.
 * @throws PairError InvalidArgument for another name, or a missing or wrong key, CorruptedData or ChecksumFailed where the file is
 *   damaged: what comes before the damage has been yielded; DiskError
 */
export function* dumpFile(
  disk: Disk,
  path: string,
  { key }: InspectOptions = {},
): Generator<DumpItem> {
  const name = path.slice(path.lastIndexOf("/") + 1);
  const segment = parseSegmentName(name) ?? parseArchivedName(name)?.number;
  const table = parseTableName(name);
  const manifest = parseManifestName(name);
  if (segment !== undefined) yield* dumpSegment(disk, path, segment, key);
  else if (table !== undefined) yield* dumpTable(disk, path, table, key);
  else if (manifest !== undefined) {
    for (const edit of readManifest(disk, path, manifest, key).edits) yield plain(edit) as DumpItem;
  } else {
    throw new PairError(
      "InvalidArgument",
      `Cannot dump ${path}: its name is not that of a log segment (000123.wal), a table (000045.sst) or a manifest (MANIFEST-000007)`,
      { file: path },
    );
  }
}

function* dumpSegment(
  disk: Disk,
  path: string,
  number: number,
  key: Uint8Array | undefined,
): Generator<DumpItem> {
  for (const item of readSegment(disk, path, number, key)) {
    if ("mutations" in item) {
      for (let i = 0; i < item.mutations.length; i++) {
        const { kind, tree, key, value } = item.mutations[i];
        yield {
          offset: item.offset,
          seq: item.firstSeq + i,
          op: item.tag,
          kind: kindName(kind),
          tree: tree.id,
          key: text(key),
          ...(kind === KIND_DELETE ? {} : { value: text(value) }),
        };
      }
    } else yield plainObject(item);
  }
}

function* dumpTable(
  disk: Disk,
  path: string,
  number: number,
  key: Uint8Array | undefined,
): Generator<DumpItem> {
  // A key is for one tree, and which one the table's directory says.
  const tree = parseTreeDirName(path.split("/").at(-2) ?? "") ?? 0;
  const reader = new TableReader(disk, path, number, undefined, key && { key, tree });
  try {
    yield {
      table: number,
      bytes: reader.size,
      blocks: reader.blocks,
      ...plainObject(reader.properties),
    };
    const cursor = reader.cursor();
    for (cursor.seekFirst(); cursor.valid; cursor.next()) {
      yield {
        key: text(cursor.keyBuffer.subarray(cursor.keyStart, cursor.keyEnd)),
        seq: cursor.seq,
        kind: kindName(cursor.kind),
        value: text(cursor.valueBuffer.subarray(cursor.valueStart, cursor.valueEnd)),
      };
    }
  } finally {
    reader.close();
  }
}

function kindName(kind: EntryKind): string {
  return kind === KIND_DELETE ? "delete" : kind === KIND_MERGE ? "merge" : "put";
}

/** Bytes for a human. */
function text(bytes: Uint8Array): string {
  try {
    const decoded = fromUtf8(bytes);
    // deno-lint-ignore no-control-regex -- control characters are what is looked for
    if (!/[\x00-\x08\x0e-\x1f\x7f]/.test(decoded)) return decoded;
  } catch (error) {
    // Not UTF-8: shown as digits below.
    if (!(error instanceof TypeError)) throw error;
  }
  return `hex:${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return text(value);
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Map) return plainObject(Object.fromEntries(value));
  if (typeof value === "object" && value !== null) return plainObject(value);
  return value;
}

function plainObject(value: object): DumpItem {
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, plain(field)]));
}
