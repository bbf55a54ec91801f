/**
 * What the ways to deal with concurrent versions have in common.
 *
 * What a node stores does not depend on the way: a key's state is the set of its concurrent versions, joined
 * by causality alone (`../version.ts`), in memtables, tables, compactions and between nodes. A strategy comes
 * in at two places, both in the node that serves a client:
 *
 *     a read shows       resolve(versions)           of the state, once it is put together
 *     a write makes      coordinate(versions, ...)   one version that has seen all of them
 *
 * Both are pure functions of a set, so nodes that hold the same show the same, whatever order things came in.
 * @module
 */
import type { Version } from "../version.ts";
import type { ClientWrite, Coordinated } from "../write_rule.ts";

/** What is checked of a version that another node made. */
export type ForeignVersion = Pick<Version, "value" | "timestampMs" | "clock">;

/** How a tenant deals with concurrent versions of a key. */
export interface ConflictStrategy {
  /** As tenants name it: `vector_clock`, `lww`, `merge:<name>`. */
  readonly name: string;
  /** The merge operator of its trees, see `../reconcile.ts`. */
  readonly operator: string;
  /**
   * What a read shows of a key.
   * @param versions  its state, in canonical order; none when there is none
   * @param nowMs     wall time that decides what has expired
   * @returns one version, whose clock covers all of them and whose value is as clients see it; none for none
   * @throws PairError CorruptedData (2007) when a stored value cannot be read
   */
  resolve(versions: readonly Version[], nowMs: number): readonly Version[];
  /**
   * Applies a client's write to a key's state.
   * @param local  as for `coordinateWrite`
   * @throws PairError what `coordinateWrite` throws; InvalidArgument (1000) for a value that it cannot take,
   *   ValueTooLarge (1003) when the key would hold too much
   */
  coordinate(local: readonly Version[], node: string, write: ClientWrite): Coordinated;
  /**
   * Checks a version that another node made.
   * @param nowMs  wall time of this node
   * @throws PairError InvalidArgument (1000) when its value is not as it is stored, or its stamp too far ahead
   */
  checkVersion(version: ForeignVersion, nowMs: number): void;
}
