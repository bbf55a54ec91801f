/**
 * The read path: what clients see of keys. Versions that another has seen are never stored, so a read
 * shows all that is there, except that deletes and expired values do not count as values.
 * @module
 */
import type { Engine, ReadTrace, ScanRange, Tree } from "../engine/mod.ts";
import { decodeKey, decodeVersions, isLive, joinVersions, type Version } from "../model/mod.ts";
import type { KeyState, ReadResult, ScanItem, VersionView } from "./api.ts";

/**
 * One key's state; undefined when it has no live value.
 * @param nowMs  wall time that decides what has expired
 * @throws PairError CorruptedData (2007) or ChecksumFailed (1006) when it cannot be read
 */
export function readKey(
  engine: Engine,
  tree: Tree,
  key: Uint8Array,
  nowMs: number,
): ReadResult | undefined {
  const trace: ReadTrace = { source: "none" };
  const bytes = engine.get(tree, key, { trace });
  if (bytes === undefined) return undefined;
  const state = viewState(decodeVersions(bytes), nowMs);
  return state && { ...state, source: trace.source === "sstable" ? "sstable" : "memtable" };
}

/** Live keys of a range, in its order, as of the first step. The cursor is closed however the iteration ends. */
export function* scanKeys(
  engine: Engine,
  tree: Tree,
  range: ScanRange,
  limit: number,
  nowMs: number,
): IterableIterator<ScanItem> {
  const cursor = engine.scan(tree, range);
  try {
    for (let found = 0; found < limit && cursor.next();) {
      // Copied: the cursor's bytes are good until its next step, an item for as long as it is kept.
      const result = viewState(decodeVersions(cursor.value.slice()), nowMs);
      if (result === undefined) continue;
      found++;
      yield { key: decodeKey(cursor.key), result };
    }
  } finally {
    cursor.close();
  }
}

/** What of a key's versions, in canonical order, is shown; undefined when none has a value. */
function viewState(versions: readonly Version[], nowMs: number): KeyState | undefined {
  const at = versions.findIndex((version) => isLive(version, nowMs));
  if (at < 0) return undefined;
  const views = versions.map((version) => viewVersion(version, nowMs));
  // Deletes may stand before the winner in canonical order; beside a value they are shown after it.
  const [winner] = views.splice(at, 1);
  views.unshift(winner);
  return { winner, versions: views, clock: joinVersions(versions) };
}

function viewVersion(version: Version, nowMs: number): VersionView {
  return {
    value: isLive(version, nowMs) ? version.value : undefined,
    clock: version.clock,
    timestampMs: version.timestampMs,
  };
}
