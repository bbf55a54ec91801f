/**
 * The sstable room.
 * @module
 */
export { BlockCursor } from "./block.ts";
export { BlockCache } from "./cache.ts";
export { filterHash1, filterHash2 } from "./filter.ts";
export { TABLE_FORMAT } from "./format.ts";
export { decodeProperties, encodeProperties, type TableProperties } from "./properties.ts";
export { checkTableFormat, TableReader } from "./reader.ts";
export { type TableCursor } from "./table_cursor.ts";
export { type FinishedTable, type TableOptions, TableWriter } from "./writer.ts";
