/**
 * Frames of the log as objects: the engine reads them in place, tests compare them whole.
 * @module
 */
import {
  FRAME_HEADER,
  frameEnd,
  frameTag,
  type LoggedMutation,
  mutationsOf,
} from "../../src/engine/wal/format.ts";
import { RecordCursor } from "../../src/engine/wal/records.ts";
import type { ReplayVisitor } from "../../src/engine/wal/mod.ts";
import { getU32, getU48 } from "../../src/model/mod.ts";

/** A frame that passed its checksum. */
export interface Frame {
  readonly offset: number;
  readonly end: number;
  readonly synced: number;
  readonly firstSeq: number;
  readonly type: number;
  readonly tag: string;
}

/** The frame at `offset` of a file; undefined when there is no sound one with this salt. */
export function decodeFrame(bytes: Uint8Array, offset: number, salt: number): Frame | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const end = frameEnd(view, offset, bytes.length, salt, 0);
  if (end === 0) return undefined;
  return {
    offset,
    end,
    synced: getU32(bytes, offset + 12),
    firstSeq: getU48(bytes, offset + 16),
    type: bytes[offset + 22],
    tag: frameTag(bytes, offset)!,
  };
}

/** The records of a sound frame. @throws PairError CorruptedData when they make no sense */
export function decodeRecords(path: string, bytes: Uint8Array, frame: Frame): LoggedMutation[] {
  const records = new RecordCursor();
  records.load(bytes, frame.offset + FRAME_HEADER, frame.end, path, frame.offset);
  return mutationsOf(records);
}

/** Hands over copies of whole batches. */
export function batches(
  take: (firstSeq: number, mutations: LoggedMutation[]) => void,
): ReplayVisitor {
  let batch: LoggedMutation[] = [];
  let firstSeq = 0;
  return {
    record(seq, record) {
      if (batch.length === 0) firstSeq = seq;
      const { kind, tree, key, value } = record.mutation();
      batch.push({ kind, tree, key: key.slice(), value: value.slice() });
    },
    batch() {
      if (batch.length > 0) take(firstSeq, batch);
      batch = [];
      return undefined;
    },
  };
}
