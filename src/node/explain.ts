/**
 * The read path, told: how a read of one key went, and what of the key there is, values left out.
 * @module
 */
import { type Engine, ReadSteps, type ReadTrace, type Tree } from "../engine/mod.ts";
import {
  decodeVersions,
  EMPTY_CLOCK,
  isLive,
  isRest,
  joinVersions,
  type Version,
} from "../model/mod.ts";
import type { Clock } from "../runtime/mod.ts";
import type { ExplainedVersion, Explanation } from "./api.ts";
import { strategyOf } from "./reads.ts";

/** Of a key of a tenant that is not there. */
export const NO_TREE: Explanation = Object.freeze({
  state: "absent",
  source: "none",
  steps: Object.freeze([]),
  waits: 0,
  versions: Object.freeze([]),
  clock: EMPTY_CLOCK,
  stateBytes: 0,
  durationUs: 0,
});

/**
 * Reads a key, and says how.
 * @param nowMs  wall time that decides what has expired
 * @param clock  measures the read
 * @throws PairError CorruptedData (2007) or ChecksumFailed (1006) when it cannot be read
 */
export async function explainKey(
  engine: Engine,
  tree: Tree,
  key: Uint8Array,
  nowMs: number,
  clock: Clock,
): Promise<Explanation> {
  const steps = new ReadSteps();
  const trace: ReadTrace = { source: "none", steps };
  const startMs = clock.monotonicMs();
  const found = engine.read(tree, key, { trace });
  // Where there is nothing to wait for, nobody else's work is to count as this read's.
  const bytes = found instanceof Promise ? await found : found;
  const versions = bytes === undefined ? [] : decodeVersions(bytes);
  const durationUs = (clock.monotonicMs() - startMs) * 1000;
  const explained = versions.map((version) => explainVersion(version, nowMs));
  const shown = strategyOf(tree)?.resolve(versions, nowMs);
  return {
    state: stateOf(shown?.map((version) => explainVersion(version, nowMs)) ?? explained),
    source: trace.source,
    steps: steps.list,
    waits: steps.waits,
    versions: explained,
    clock: joinVersions(versions),
    stateBytes: bytes?.length ?? 0,
    durationUs,
  };
}

function explainVersion(version: Version, nowMs: number): ExplainedVersion {
  const { value, clock, dot, timestampMs, expiresAtMs } = version;
  const isDelete = value === undefined || isRest(version);
  const state = isDelete ? "deleted" : isLive(version, nowMs) ? "value" : "expired";
  return { state, valueBytes: value?.length ?? 0, clock, dot, timestampMs, expiresAtMs };
}

function stateOf(versions: readonly ExplainedVersion[]): Explanation["state"] {
  if (versions.length === 0) return "absent";
  if (versions.some(({ state }) => state === "value")) return "found";
  return versions.some(({ state }) => state === "expired") ? "expired" : "deleted";
}
