/**
 * The inventory of a checkpoint: the file `SNAPSHOT`, which says what the checkpoint is and lists every
 * file in it with its size and digest. Text, one fact a line, in exactly this order:
 *
 *     pairdb snapshot 1                          the format
 *     node n1                                    the node it was taken from; may be empty
 *     store 5f0c...                              that node's incarnation, 32 hex digits; may be empty
 *     sequence 1200                              every change up to this one is in it, and none after
 *     time 1763724000000                         the wall clock at that moment, ms since 1970
 *     files 3                                    as many lines follow
 *     <SHA-256, 64 hex digits> <bytes> CURRENT
 *     <SHA-256> <bytes> MANIFEST-000031
 *     <SHA-256> <bytes> tenants/notes~2/000014.sst
 *     sha256 <SHA-256 of all lines above>
 *
 * It is written last: a directory without it is no checkpoint. Paths are sorted, and only names that the
 * engine gives are taken, so that no inventory can lead out of its directory.
 * @module
 */
import { PairError, utf8 } from "../../model/mod.ts";
import { type Disk, sha256 } from "../../runtime/mod.ts";
import { parseManifestName, parseSegmentName, parseTableName, parseTreeDirName } from "../files.ts";

/** The version that this program writes, and the newest that it reads. */
const SNAPSHOT_FORMAT = 1;
/** The inventory's name. */
export const SNAPSHOT_FILE = "SNAPSHOT";

/** A file of a checkpoint. */
export interface CheckpointFile {
  /** Relative to the checkpoint. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** SHA-256 in lower-case hex. */
  readonly sha256: string;
}

/** Where a checkpoint comes from. File numbers are never reused within one store, and mean nothing in another. */
export interface Origin {
  /** The node's id; empty when the engine belongs to none. */
  readonly node: string;
  /** The incarnation of its data directory, 32 hex digits; empty when the engine belongs to no node. */
  readonly store: string;
}

/** What a checkpoint says of itself. */
export interface Inventory extends Origin {
  /** The last change that is in it. */
  readonly sequence: number;
  /** Wall time of that moment, ms since 1970. */
  readonly createdAtMs: number;
  /** By path. */
  readonly files: readonly CheckpointFile[];
}

/** The bytes of all files together. */
export function totalBytes({ files }: Inventory): number {
  return files.reduce((sum, { size }) => sum + size, 0);
}

/** The inventory's bytes. */
export function encodeInventory(inventory: Inventory): Uint8Array<ArrayBuffer> {
  const { node, store, sequence, createdAtMs } = inventory;
  const files = [...inventory.files].sort((a, b) => (a.path < b.path ? -1 : 1));
  const body = [
    `pairdb snapshot ${SNAPSHOT_FORMAT}`,
    `node ${node}`,
    `store ${store}`,
    `sequence ${sequence}`,
    `time ${createdAtMs}`,
    `files ${files.length}`,
    ...files.map(({ path, size, sha256 }) => `${sha256} ${size} ${path}`),
    "",
  ].join("\n");
  return utf8(`${body}sha256 ${digestOf(utf8(body))}\n`);
}

/**
 * Reads the inventory of a checkpoint.
 * @throws PairError InvalidArgument when the directory is no checkpoint, or one of a newer format;
 *   CorruptedData when the inventory is damaged; DiskError
 */
export function readInventory(disk: Disk, dir: string): Inventory {
  const path = `${dir}/${SNAPSHOT_FILE}`;
  if (disk.stat(path)?.kind !== "file") {
    throw new PairError("InvalidArgument", `Cannot use ${dir}: it is not a snapshot`, { dir });
  }
  return decodeInventory(path, disk.readWhole(path));
}

/** Reads an inventory's bytes. @throws PairError as {@link readInventory} does */
export function decodeInventory(path: string, bytes: Uint8Array): Inventory {
  const text = new TextDecoder().decode(bytes);
  const version = /^pairdb snapshot (\d{1,9})\n/.exec(text)?.[1];
  if (version !== undefined && Number(version) > SNAPSHOT_FORMAT) {
    throw new PairError(
      "InvalidArgument",
      `Cannot open ${path}: its format is ${version}, newer than this program's ${SNAPSHOT_FORMAT}`,
      { file: path, format: Number(version) },
    );
  }
  const inventory = parse(text);
  // Whatever is not exactly what would be written is damaged, the checksum at the end included.
  if (inventory === undefined || !sameBytes(encodeInventory(inventory), bytes)) {
    throw new PairError("CorruptedData", `Cannot read ${path} at 0: it is damaged`, {
      file: path,
      offset: 0,
    });
  }
  return inventory;
}

function parse(text: string): Inventory | undefined {
  const head =
    /^pairdb snapshot \d+\nnode (.*)\nstore ([0-9a-f]{32}|)\nsequence (\d{1,16})\ntime (\d{1,16})\nfiles (\d{1,9})\n/
      .exec(text);
  if (head === null) return undefined;
  const lines = text.slice(head[0].length).split("\n");
  const count = Number(head[5]);
  if (lines.length !== count + 2) return undefined;
  const files: CheckpointFile[] = [];
  for (const line of lines.slice(0, count)) {
    const parts = /^([0-9a-f]{64}) (\d{1,16}) (.+)$/.exec(line);
    if (parts === null || !isCheckpointPath(parts[3])) return undefined;
    files.push({ path: parts[3], size: Number(parts[2]), sha256: parts[1] });
  }
  return {
    node: head[1],
    store: head[2],
    sequence: Number(head[3]),
    createdAtMs: Number(head[4]),
    files,
  };
}

/** Whether the engine gives files such a name. */
function isCheckpointPath(path: string): boolean {
  const parts = path.split("/");
  const [first, second, third] = parts;
  if (parts.length === 1) return first === "CURRENT" || parseManifestName(first) !== undefined;
  if (parts.length === 2) return first === "wal" && parseSegmentName(second) !== undefined;
  return parts.length === 3 && first === "tenants" && parseTreeDirName(second) !== undefined &&
    parseTableName(third) !== undefined;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function digestOf(bytes: Uint8Array): string {
  const digest = sha256();
  digest.update(bytes);
  return digest.hex();
}
