/**
 * The write-ahead log's room.
 * @module
 */
export type { LoggedMutation } from "./format.ts";
export type { ArchiveOptions } from "./archive.ts";
export { Log, type LogHooks, type LogOptions, type Segment, type SyncMode } from "./log.ts";
export {
  findSegments,
  type FoundSegment,
  IGNORE,
  type Loss,
  readSegment,
  replaySegment,
  type ReplayVisitor,
} from "./replay.ts";
export type { RecordCursor } from "./records.ts";
export { predecessorOf, verifySegmentPart } from "./verify.ts";
