/**
 * The sstable room.
 * @module
 */
export { BlockCursor } from "./block.ts";
export { BlockCache } from "./cache.ts";
export { ChecksumMeter } from "./checksum_meter.ts";
export { type Compression, COMPRESSIONS } from "./codec/mod.ts";
export { filterHash1, filterHash2 } from "./filter.ts";
export { readFailed, SALT_SIZE, TABLE_FORMAT } from "./format.ts";
export {
  checkTableOptions,
  type LevelTableOptions,
  type TableOptions,
  tableOptionsFor,
} from "./options.ts";
export { decodeProperties, encodeProperties, type TableProperties } from "./properties.ts";
export {
  checkTableFormat,
  provesKey,
  type ReadMeter,
  TableReader,
  verifyTableFile,
  verifyTablePart,
} from "./reader.ts";
export type { BodyPart } from "./section_reader.ts";
export type { TableKey } from "./sealing.ts";
export { type TableCursor } from "./table_cursor.ts";
export { type FinishedTable, type TableTimes, TableWriter } from "./writer.ts";
