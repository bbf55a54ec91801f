/**
 * Counts what a tree holds, key by key, beside other work.
 * @module
 */
import type { Engine, Tree } from "../engine/mod.ts";
import { decodeVersions, isLive, isRest, type Version } from "../model/mod.ts";
import type { Clock } from "../runtime/mod.ts";
import type { TenantSize } from "./api.ts";

/** What a tree holds, and for how long that can stand. */
export interface LiveCount extends TenantSize {
  /** Wall time at which the first of the values expires, ms since 1970; Infinity: none does. */
  readonly firstExpiryMs: number;
}

/** Other work goes first after this long. */
const SLICE_MS = 5;

/**
 * As of the first step, which is taken at once: keys with a live value, and the bytes of all keys and
 * versions that are there, deletes too, and writes that still wait for their sync. A value that has expired
 * counts as the delete that it is.
 * @param stop  asked from time to time: then the count is given up
 * @returns undefined when it was given up
 * @throws PairError CorruptedData (2007) or ChecksumFailed (1006) when a key cannot be read
 */
export async function countLive(
  engine: Engine,
  tree: Tree,
  clock: Clock,
  stop: () => boolean,
): Promise<LiveCount | undefined> {
  const nowMs = clock.wallMs();
  let [bytes, keys, firstExpiryMs] = [0, 0, Infinity];
  const cursor = engine.scanPending(tree, {});
  let sliceStart = clock.monotonicMs();
  try {
    for (;;) {
      const wait = cursor.ready();
      if (wait !== undefined || clock.monotonicMs() - sliceStart >= SLICE_MS) {
        await (wait ?? clock.sleep(0));
        if (stop()) return undefined;
        sliceStart = clock.monotonicMs();
      }
      if (!cursor.next()) return { bytes, keys, firstExpiryMs };
      const versions = decodeVersions(cursor.value);
      bytes += cursor.key.length + cursor.value.length - expiredBytes(versions, nowMs);
      const live = versions.filter((version) => isLive(version, nowMs));
      if (live.length > 0) keys++;
      for (const { expiresAtMs } of live) {
        if (expiresAtMs > 0 && expiresAtMs < firstExpiryMs) firstExpiryMs = expiresAtMs;
      }
    }
  } finally {
    cursor.close();
  }
}

/** Whether a key has a live value. */
export function isAlive(versions: readonly Version[], nowMs: number): boolean {
  return versions.some((version) => isLive(version, nowMs));
}

/** Bytes of the values that have expired. What a delete has left of a merged value is none of them. */
export function expiredBytes(versions: readonly Version[], nowMs: number): number {
  let bytes = 0;
  for (const version of versions) {
    if (isLive(version, nowMs) || isRest(version)) continue;
    bytes += version.value?.length ?? 0;
  }
  return bytes;
}
