/**
 * Pieces: a range is compared in parts that are counted in little time, on either side.
 *
 *     range   [start ................................................. end)
 *     pieces  [start ... k1) [k1 ....... k2) [k2 ... k3) [k3 ......... end)
 *
 * Where a piece ends is the source's choice, by what it has. The last one goes to the range's end, so that
 * between the first and the last nothing of the target's is left out.
 * @module
 */
import type { Activity, Engine, Tree } from "../../engine/mod.ts";
import {
  addToChecksum,
  decodeKey,
  decodeVersions,
  encodeBound,
  encodeVersions,
  inTokenRange,
  tokenOf,
} from "../../model/mod.ts";
import type { Clock } from "../../runtime/mod.ts";
import type { TransferTotals } from "../api.ts";
import type { MigrationRange } from "./records.ts";

/** Other work goes first after this long, ms. */
const SLICE_MS = 5;
/** What is drawn from the budget at a time. */
const DRAW_BYTES = 64 * 1024;

/** What pieces are counted with. */
export interface PieceParts {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly job: Activity;
  readonly signal: AbortSignal;
}

/** A part of a range, and what it holds. */
export interface Piece {
  readonly range: MigrationRange;
  readonly totals: TransferTotals;
  /** Whether it goes to the end of the range that it is a part of. */
  readonly isLast: boolean;
}

/**
 * Counts a range from its start, as of now, up to the first key behind so many bytes.
 * @param maxBytes  of keys and values that are gone through, whatever their tokens; Infinity: all
 * @throws PairError CorruptedData (2007) or ChecksumFailed (1006) when a key cannot be read; the signal's reason
 */
export async function countPiece(
  { engine, clock, job, signal }: PieceParts,
  tree: Tree,
  range: MigrationRange,
  maxBytes: number,
): Promise<Piece> {
  const { tokens } = range;
  const totals = { keys: 0, versions: 0, tombstones: 0, bytes: 0, checksum: 0 };
  const token = new Uint32Array(4);
  const cursor = engine.scan(tree, {
    start: encodeBound(range.start, "the start"),
    end: encodeBound(range.end, "the end"),
  });
  let gone = 0;
  let drawn = 0;
  /** Pays for what was gone through. */
  const pay = async () => {
    const bytes = gone - drawn;
    drawn = gone;
    await job.advance(bytes);
    signal.throwIfAborted();
  };
  let sliceMs = clock.monotonicMs();
  try {
    for (;;) {
      if (gone - drawn >= DRAW_BYTES) await pay();
      const wait = cursor.ready();
      if (wait !== undefined || clock.monotonicMs() - sliceMs >= SLICE_MS) {
        await (wait ?? clock.sleep(0));
        signal.throwIfAborted();
        sliceMs = clock.monotonicMs();
      }
      if (!cursor.next()) {
        await pay();
        return { range, totals, isLast: true };
      }
      const { key, value } = cursor;
      if (gone >= maxBytes) {
        const end = decodeKey(key);
        await pay();
        return { range: { ...range, end }, totals, isLast: false };
      }
      gone += key.length + value.length;
      if (tokens !== undefined && !inTokenRange(tokenOf(key, token), tokens)) continue;
      totals.keys++;
      const versions = decodeVersions(value);
      for (const version of versions) {
        const state = versions.length === 1 ? value : encodeVersions([version]);
        totals.versions++;
        if (version.value === undefined) totals.tombstones++;
        totals.bytes += key.length + state.length;
        totals.checksum = addToChecksum(key, state, totals.checksum);
      }
    }
  } finally {
    cursor.close();
  }
}

/** Whether two nodes hold the same of a piece. */
export function isSame(a: TransferTotals, b: TransferTotals): boolean {
  return a.checksum === b.checksum && a.keys === b.keys && a.versions === b.versions &&
    a.tombstones === b.tombstones && a.bytes === b.bytes;
}
