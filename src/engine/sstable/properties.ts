/**
 * Table properties: what a table holds, for the manifest, the picker and people.
 *
 *     | version u8 = 2 | entries | deletes | merges | min seq | max seq | key bytes | value bytes | created ms |
 *     | smallest key | largest key | min time ms | max time ms | mortal | last death ms | raw bytes |
 *
 * Numbers are varints, keys a varint length and bytes. Version 1 ends behind the largest key.
 * @module
 */
import type { ByteReader, ByteWriter } from "../../model/mod.ts";

/** Facts about one table. Keys are user keys; both bounds are inclusive. Times are wall time, ms since 1970. */
export interface TableProperties {
  readonly entries: number;
  /** Entries that are tombstones. */
  readonly deletes: number;
  readonly merges: number;
  readonly minSeq: number;
  readonly maxSeq: number;
  readonly keyBytes: number;
  readonly valueBytes: number;
  readonly createdAtMs: number;
  readonly smallest: Uint8Array;
  readonly largest: Uint8Array;
  /** No entry was written before; 0 when that is not known. */
  readonly minTimeMs: number;
  /** No entry was written after; the creation when that is not known. */
  readonly maxTimeMs: number;
  /** Puts that die some day, by what the tree's operator says of them. */
  readonly mortal: number;
  /** When the last of them dies; 0 when there is none. */
  readonly lastDeathMs: number;
  /** Bytes of the data blocks before compression; 0 when that is not known. */
  readonly rawBytes: number;
}

/** Appends the properties. */
export function encodeProperties(out: ByteWriter, p: TableProperties): void {
  out.u8(2).varint(p.entries).varint(p.deletes).varint(p.merges)
    .varint(p.minSeq).varint(p.maxSeq).varint(p.keyBytes).varint(p.valueBytes)
    .varint(p.createdAtMs).bytes(p.smallest).bytes(p.largest)
    .varint(p.minTimeMs).varint(p.maxTimeMs).varint(p.mortal).varint(p.lastDeathMs)
    .varint(p.rawBytes);
}

/** Reads them back. @throws PairError CorruptedData */
export function decodeProperties(reader: ByteReader): TableProperties {
  const version = reader.u8();
  if (version !== 1 && version !== 2) {
    throw reader.damaged(`properties of version ${version} are not known`);
  }
  const first = {
    entries: reader.varint(),
    deletes: reader.varint(),
    merges: reader.varint(),
    minSeq: reader.varint(),
    maxSeq: reader.varint(),
    keyBytes: reader.varint(),
    valueBytes: reader.varint(),
    createdAtMs: reader.varint(),
    smallest: reader.bytes().slice(),
    largest: reader.bytes().slice(),
  };
  if (version === 1) {
    const maxTimeMs = first.createdAtMs;
    return { ...first, minTimeMs: 0, maxTimeMs, mortal: 0, lastDeathMs: 0, rawBytes: 0 };
  }
  return {
    ...first,
    minTimeMs: reader.varint(),
    maxTimeMs: reader.varint(),
    mortal: reader.varint(),
    lastDeathMs: reader.varint(),
    rawBytes: reader.varint(),
  };
}
