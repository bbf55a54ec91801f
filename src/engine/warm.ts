/**
 * Warming: which blocks were in the cache when the store was closed, and getting them there again.
 *
 * A clean close writes down which blocks the cache holds; the next open reads them in the background, so
 * that a restart does not begin with a cold cache. The file is a hint and nothing else: a table's number
 * names one file for ever, so the worst that it can say is that a block is wanted which is not.
 *
 *     WARM:  0          8            12           16             20
 *            +----------+------------+------------+--------------+---------- - - -
 *            | PairWarm | format u32 | length u32 | checksum u32 | tables, length bytes
 *            +----------+------------+------------+--------------+---------- - - -
 *
 *     table: number varint | blocks varint | for each, ascending: distance from the one before, varint
 *
 * The checksum is the crc32c of the tables. A block's distance counts from the place after the one before
 * it, so that a run of neighbours is zeros.
 * @module
 */
import { ByteReader, ByteWriter, crc32c, getU32, PairError, putU32, utf8 } from "../model/mod.ts";
import type { Disk } from "../runtime/mod.ts";
import { ColdRead, type ColdReads, Stash } from "./cold_reads.ts";
import type { Files } from "./files.ts";
import { BlockCursor } from "./sstable/mod.ts";
import type { LiveTable } from "./version.ts";

/** The format that is written. */
const WARM_FORMAT = 1;
const MAGIC = utf8("PairWarm");
const HEADER = 20;
/** Blocks that are written down at most: some 2 MB, which name 4 GiB. */
const BLOCKS_MAX = 1 << 20;
/** A longer file is none of ours. */
const FILE_MAX = 16 << 20;
/** Bytes read at once: neighbours are often warm together. */
const READ_AHEAD = 128 << 10;

/** Blocks of a table. */
export interface WarmTable {
  readonly number: number;
  /** Ascending. */
  readonly blocks: readonly number[];
}

/** A file's bytes for these tables. */
export function encodeWarm(tables: readonly WarmTable[]): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter();
  writer.raw(new Uint8Array(HEADER));
  for (const { number, blocks } of tables) {
    writer.varint(number).varint(blocks.length);
    let next = 0;
    for (const block of blocks) {
      writer.varint(block - next);
      next = block + 1;
    }
  }
  const bytes = writer.finish();
  bytes.set(MAGIC);
  putU32(bytes, 8, WARM_FORMAT);
  putU32(bytes, 12, bytes.length - HEADER);
  putU32(bytes, 16, crc32c(bytes, HEADER, bytes.length));
  return bytes;
}

/** @throws PairError CorruptedData when it is damaged, foreign or of another format */
export function decodeWarm(path: string, bytes: Uint8Array): WarmTable[] {
  const refuse = (why: string) =>
    new PairError("CorruptedData", `Cannot read ${path}: ${why}`, { file: path, offset: 0 });
  if (bytes.length < HEADER || MAGIC.some((byte, i) => bytes[i] !== byte)) {
    throw refuse("it is no list of warm blocks");
  }
  const format = getU32(bytes, 8);
  if (format !== WARM_FORMAT) throw refuse(`it has format ${format}`);
  if (getU32(bytes, 12) !== bytes.length - HEADER) throw refuse("it has another length");
  if (getU32(bytes, 16) !== crc32c(bytes, HEADER, bytes.length)) {
    throw refuse("its checksum does not fit");
  }
  const reader = new ByteReader(bytes, path, HEADER, bytes.length);
  const tables: WarmTable[] = [];
  while (reader.remaining > 0) {
    const number = reader.varint();
    const count = reader.varint();
    // Each takes a byte at least: a length from the file must not become an allocation.
    if (count > reader.remaining) throw reader.damaged("it has fewer blocks than it says");
    const blocks: number[] = [];
    let next = 0;
    for (let i = 0; i < count; i++) {
      blocks.push(next += reader.varint());
      if (next++ > 2 ** 32) throw reader.damaged("a block's number is too large");
    }
    tables.push({ number, blocks });
  }
  return tables;
}

/** Writes down which blocks of these tables are in the cache. Not synced: a hint may be lost. @throws DiskError */
export function saveWarm(disk: Disk, files: Files, tables: Iterable<LiveTable>): void {
  const warm: WarmTable[] = [];
  let count = 0;
  for (const table of tables) {
    if (!table.isOpen || count >= BLOCKS_MAX) continue;
    const blocks = table.reader.cachedBlocks().slice(0, BLOCKS_MAX - count);
    count += blocks.length;
    if (blocks.length > 0) warm.push({ number: table.meta.number, blocks });
  }
  if (disk.stat(files.warmTemp) !== undefined) disk.remove(files.warmTemp);
  if (count === 0) return;
  const file = disk.create(files.warmTemp);
  try {
    file.append(encodeWarm(warm));
  } finally {
    file.close();
  }
  disk.rename(files.warmTemp, files.warm);
}

/** The blocks that were warm; none when there is no file. @throws PairError CorruptedData, DiskError */
export function loadWarm(disk: Disk, files: Files): WarmTable[] {
  const found = disk.stat(files.warm);
  if (found === undefined) return [];
  if (found.kind !== "file" || found.size > FILE_MAX) {
    throw new PairError("CorruptedData", `Cannot read ${files.warm}: it is too large`, {
      file: files.warm,
      offset: 0,
    });
  }
  return decodeWarm(files.warm, disk.readWhole(files.warm));
}

/**
 * Reads blocks into the cache, one after the other and without blocking, until all are there or `goesOn`
 * says no.
 * @param tables  the tables of now, by number; those that are gone are passed over
 * @returns blocks read
 * @throws PairError when a table is damaged or the disk fails
 */
export async function warmUp(
  warm: readonly WarmTable[],
  tables: ReadonlyMap<number, LiveTable>,
  cold: ColdReads,
  goesOn: () => boolean,
): Promise<number> {
  const cursor = new BlockCursor();
  let count = 0;
  for (const { number, blocks } of warm) {
    const table = tables.get(number);
    // A compaction may have retired it while those before it were read.
    if (table === undefined || table.isClosed) continue;
    // Or else a compaction that retires the table takes its file away in the middle.
    table.acquire();
    try {
      const stash = new Stash();
      for (const block of blocks) {
        for (;;) {
          if (!goesOn()) return count;
          const lacks = cold.attempt(stash, () => {
            const { reader } = table;
            if (block < reader.blocks) reader.loadBlock(block, cursor, false);
          });
          if (!(lacks instanceof ColdRead)) break;
          await cold.fetch(lacks, stash, READ_AHEAD);
        }
        // What was read ahead serves the next blocks; what lies behind is done with.
        stash.trim(1);
        count++;
      }
    } finally {
      table.release();
    }
  }
  return count;
}
