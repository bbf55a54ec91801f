/**
 * Keys that are taken out of the row cache and the second level, or put into the second, because somebody asks
 * for it: those of a range that have a value, some at a time.
 * @module
 */
import type { Engine, Recached, ScanRange } from "./api.ts";
import type { SecondLevel } from "./second_level/mod.ts";
import type { TreeState } from "./tree.ts";

/** Rows that are dealt with at once, and about how many bytes of them. */
const ROWS_AT_ONCE = 256;
const BYTES_AT_ONCE = 1 << 20;

/** What changes to the caches stand on. */
export interface RecacheParts {
  readonly engine: Pick<Engine, "snapshot" | "scan">;
  readonly second: SecondLevel | undefined;
  /** @throws PairError Unavailable (2001) once the engine is closed */
  readonly checkOpen: () => void;
}

interface Row {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** See `Engine.uncache`. */
export async function uncacheRows(
  parts: RecacheParts,
  tree: TreeState,
  range: ScanRange,
): Promise<Recached> {
  const { second } = parts;
  let reached = true;
  const keys = await eachRows(parts, tree, range, async (rows) => {
    for (const { key } of rows) tree.dropRow(key);
    const forgotten = await second?.forget(tree, rows.map(({ key }) => key));
    if (forgotten === false) reached = false;
  });
  return { keys, shared: second && reached };
}

/** See `Engine.cache`. */
export async function cacheRows(
  parts: RecacheParts,
  tree: TreeState,
  range: ScanRange,
): Promise<Recached> {
  const { second } = parts;
  if (second === undefined) return { keys: 0, shared: undefined };
  const droppedBefore = second.stats().dropped;
  const keys = await eachRows(parts, tree, range, async (rows, seq) => {
    await Promise.all(rows.map(({ key, value }) => second.keep(tree, key, seq, value)));
  });
  return { keys, shared: second.stats().dropped === droppedBefore };
}

/** Goes through the live keys of a range. @returns how many there are */
async function eachRows(
  { engine, checkOpen }: RecacheParts,
  tree: TreeState,
  range: ScanRange,
  take: (rows: readonly Row[], seq: number) => Promise<void>,
): Promise<number> {
  const snapshot = engine.snapshot();
  const cursor = engine.scan(tree, range, snapshot);
  let count = 0;
  try {
    let rows: Row[] = [];
    let bytes = 0;
    for (;;) {
      await cursor.ready();
      const more = cursor.next();
      if (rows.length > 0 && (!more || rows.length === ROWS_AT_ONCE || bytes > BYTES_AT_ONCE)) {
        await take(rows, snapshot.sequence);
        checkOpen();
        rows = [];
        bytes = 0;
      }
      if (!more) return count;
      count++;
      bytes += cursor.value.length;
      rows.push({ key: cursor.key.slice(), value: cursor.value.slice() });
    }
  } finally {
    cursor.close();
    snapshot.release();
  }
}
