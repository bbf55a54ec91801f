/**
 * Table properties: what a table holds, for the manifest, the picker and people.
 *
 *     | version u8 = 1 | entries | deletes | merges | min seq | max seq | key bytes | value bytes | created ms |
 *     | smallest key | largest key |                      numbers as varints, keys as varint length and bytes
 * @module
 */
import { ByteReader, ByteWriter } from "../../model/mod.ts";

/** Facts about one table. Keys are user keys; both bounds are inclusive. */
export interface TableProperties {
  readonly entries: number;
  readonly deletes: number;
  readonly merges: number;
  readonly minSeq: number;
  readonly maxSeq: number;
  readonly keyBytes: number;
  readonly valueBytes: number;
  /** Wall time, ms since 1970. */
  readonly createdAtMs: number;
  readonly smallest: Uint8Array;
  readonly largest: Uint8Array;
}

/** Appends the properties. */
export function encodeProperties(out: ByteWriter, p: TableProperties): void {
  out.u8(1).varint(p.entries).varint(p.deletes).varint(p.merges)
    .varint(p.minSeq).varint(p.maxSeq).varint(p.keyBytes).varint(p.valueBytes)
    .varint(p.createdAtMs).bytes(p.smallest).bytes(p.largest);
}

/** Reads them back. @throws PairError CorruptedData */
export function decodeProperties(reader: ByteReader): TableProperties {
  const version = reader.u8();
  if (version !== 1) throw reader.damaged(`properties of version ${version} are not known`);
  return {
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
}
