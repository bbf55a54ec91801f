/**
 * Last write wins: of concurrent versions the latest is shown, and the others are not. "Latest" is by hybrid
 * time (`hlc.ts`), then by node id; a version that has seen another is later than that in any case.
 *
 * Values of writes that were answered are lost here whenever two nodes write at once: a tenant asks for it.
 * @module
 */
import { joinClocks } from "../clock.ts";
import { lwwOperator } from "../reconcile.ts";
import { joinVersions, latestOf, type Version } from "../version.ts";
import { type ClientWrite, coordinateWrite } from "../write_rule.ts";
import { checkSkew, hybridStamp } from "./hlc.ts";
import type { ConflictStrategy, ForeignVersion } from "./types.ts";

/** `lww`. */
export const LAST_WRITE_WINS: ConflictStrategy = Object.freeze({
  name: "lww",
  operator: lwwOperator.name,
  resolve(versions: readonly Version[]): readonly Version[] {
    if (versions.length < 2) return versions;
    return [{ ...latestOf(versions), clock: joinVersions(versions), dot: undefined }];
  },
  coordinate: (local: readonly Version[], node: string, write: ClientWrite) =>
    coordinateWrite(local, node, seeingAll(local, write)),
  checkVersion: ({ timestampMs }: ForeignVersion, nowMs: number) => checkSkew(timestampMs, nowMs),
});

/** A write that replaces all that the node has, besides what its context names, and is not before that. */
function seeingAll(local: readonly Version[], write: ClientWrite): ClientWrite {
  const { context } = write;
  return {
    ...write,
    context: context && joinClocks(context, joinVersions(local)),
    timestampMs: hybridStamp(write.timestampMs, local),
  };
}
