/**
 * The write path: a key is read, changed and handed to the engine in one synchronous step.
 *
 *     writer 1                          writer 2
 *     reads {n:1}, makes {n:2}
 *     engine.write({n:2}) ...
 *                                       reads {n:2}, which still waits for its sync
 *                                       makes {n:3}, engine.write({n:3}) ...
 *     ... synced, answers {n:2}
 *                                       ... synced, answers {n:3}
 *
 * With an await between reading and writing both would make {n:2}, and one value would be lost. So in
 * every method here nothing is awaited before the engine's write.
 *
 * What still waits for its sync is for building on only. An answer that writes nothing, such as "this
 * value is here already", is given only when reads see that state too; or else a crash could undo what
 * a client was told.
 * @module
 */
import { type Engine, KIND_MERGE, KIND_PUT, type Mutation, type Tree } from "../engine/mod.ts";
import {
  Blocks,
  checkState,
  type ClientWrite,
  compareBytes,
  compareClocks,
  type Coordinated,
  coordinateWrite,
  decodeText,
  decodeVersions,
  EMPTY_CLOCK,
  encodeVersions,
  isLive,
  joinVersions,
  MAX_COUNTER,
  mergeVersions,
  type VectorClock,
  type Version,
  WARN_SIBLINGS,
} from "../model/mod.ts";
import type { Runtime } from "../runtime/mod.ts";
import type { WriteResult } from "./api.ts";
import type { CheckedPut, CheckedReplica } from "./validate.ts";

/** A key's state with writes under way. */
interface Pending {
  /** Undefined when there is none. */
  readonly bytes: Uint8Array | undefined;
  readonly versions: readonly Version[];
}

/** A key of a batch, as the batch has made it so far. */
interface BatchRow {
  readonly key: Uint8Array;
  readonly before: Pending;
  versions: readonly Version[];
  changed: boolean;
}

/** Changes keys of one engine in the name of one node. Input is checked when it gets here. */
export class WritePath {
  #engine: Engine;
  #runtime: Runtime;
  #nodeId: string;
  #lastStampMs = 0;
  /** Memory for encoded states: the engine copies them before a write's first wait. */
  readonly #blocks = new Blocks();

  /** @param nodeId  whose events the writes of clients become */
  constructor(engine: Engine, runtime: Runtime, nodeId: string) {
    this.#engine = engine;
    this.#runtime = runtime;
    this.#nodeId = nodeId;
  }

  /** The time for a version's stamp: the wall clock's, but never before the last stamp. */
  stamp(): number {
    this.#lastStampMs = Math.max(this.#lastStampMs, this.#runtime.clock.wallMs());
    return this.#lastStampMs;
  }

  /** Stores a client's value. */
  put(tree: Tree, { key, context, value, expiresAtMs }: CheckedPut): Promise<WriteResult> {
    const timestampMs = this.stamp();
    const local = this.#pending(tree, key).versions;
    const made = this.#coordinate(tree, local, {
      context,
      value,
      timestampMs,
      expiresAtMs: expiresAtMs || defaultExpiry(tree, timestampMs),
    });
    const result = { clock: made.written.clock, timestampMs };
    return this.#engine.write([this.#putState(tree, key, made.versions)], "write").then(() =>
      result
    );
  }

  /** Deletes a client's key; where there is no version at all, nothing is written. */
  async delete(
    tree: Tree,
    key: Uint8Array,
    context: VectorClock | undefined,
  ): Promise<WriteResult & { existed: boolean }> {
    const timestampMs = this.stamp();
    const local = this.#pending(tree, key).versions;
    if (local.length === 0) return { clock: EMPTY_CLOCK, timestampMs, existed: false };
    const nowMs = this.#runtime.clock.wallMs();
    const existed = local.some((version) => isLive(version, nowMs));
    const tombstone = { context, value: undefined, timestampMs, expiresAtMs: 0 };
    const made = this.#coordinate(tree, local, tombstone);
    await this.#engine.write([this.#putState(tree, key, made.versions)], "delete");
    return { clock: made.written.clock, timestampMs, existed };
  }

  /**
   * Stores all of a client's values or none. Items of one key build on each other.
   * @param skipUnchanged  leave a key alone when its one version has this value, and neither has a TTL
   */
  async batchPut(
    tree: Tree,
    items: readonly CheckedPut[],
    skipUnchanged: boolean,
  ): Promise<{ results: readonly WriteResult[]; unchanged: number }> {
    const timestampMs = this.stamp();
    const rows = new Map<string, BatchRow>();
    const results: WriteResult[] = [];
    let unchanged = 0;
    for (const item of items) {
      const row = this.#batchRow(rows, tree, item);
      if (skipUnchanged && this.#isUnchanged(tree, row, item)) {
        results.push({ clock: row.versions[0].clock, timestampMs: row.versions[0].timestampMs });
        unchanged++;
        continue;
      }
      const { context, value } = item;
      const expiresAtMs = item.expiresAtMs || defaultExpiry(tree, timestampMs);
      const write = { context, value, timestampMs, expiresAtMs };
      const made = this.#coordinate(tree, row.versions, write);
      row.versions = made.versions;
      row.changed = true;
      results.push({ clock: made.written.clock, timestampMs });
    }
    const changed = [...rows.values()].filter((row) => row.changed);
    const mutations = changed.map(({ key, versions }) => this.#putState(tree, key, versions));
    if (mutations.length > 0) await this.#engine.write(mutations, "write");
    return { results, unchanged };
  }

  /** Merges in a version that another node made. */
  async applyReplica(
    tree: Tree,
    replica: CheckedReplica,
    origin: "write" | "delete" | "repair",
  ): Promise<WriteResult> {
    const { key } = replica;
    const local = this.#pending(tree, key);
    const version = this.#replicaVersion(replica, local.versions);
    const versions = mergeVersions(local.versions, [version]);
    const result = { clock: joinVersions(versions), timestampMs: version.timestampMs };
    const addsNothing = versions === local.versions;
    if (addsNothing && this.#isVisible(tree, key, local)) return result;
    checkState(versions);
    this.#warnOfSiblings(tree, local.versions.length, versions.length);
    // What adds nothing is written as it is, and never as an operand: the state that it rests on may go
    // when it is dead, and an operand that it had made obsolete would be there again.
    const mutation: Mutation = origin === "repair" && !addsNothing
      ? { tree, kind: KIND_MERGE, key, value: encodeVersions([version]) }
      : this.#putState(tree, key, versions);
    await this.#engine.write([mutation], origin);
    return result;
  }

  #putState(tree: Tree, key: Uint8Array, versions: readonly Version[]): Mutation {
    return { tree, kind: KIND_PUT, key, value: encodeVersions(versions, this.#blocks) };
  }

  #pending(tree: Tree, key: Uint8Array): Pending {
    const bytes = this.#engine.getPending(tree, key);
    return { bytes, versions: bytes === undefined ? [] : decodeVersions(bytes) };
  }

  /** Whether reads see this state, so that an answer may rest on it. */
  #isVisible(tree: Tree, key: Uint8Array, { bytes }: Pending): boolean {
    return isSame(this.#engine.get(tree, key), bytes);
  }

  #coordinate(
    tree: Tree,
    local: readonly Version[],
    write: Omit<ClientWrite, "node">,
  ): Coordinated {
    const made = coordinateWrite(local, this.#nodeId, { ...write, purgeFloor: tree.purgeFloor });
    this.#warnOfSiblings(tree, local.length, made.versions.length);
    return made;
  }

  /** Once each time that a key gets there, not for every write of it. */
  #warnOfSiblings(tree: Tree, before: number, after: number): void {
    if (before >= WARN_SIBLINGS || after < WARN_SIBLINGS) return;
    this.#runtime.log.warn("node.many_siblings", { tenant: tree.name, siblings: after });
  }

  #batchRow(rows: Map<string, BatchRow>, tree: Tree, { key }: CheckedPut): BatchRow {
    const name = decodeText(key);
    let row = rows.get(name);
    if (row === undefined) {
      const before = this.#pending(tree, key);
      row = { key, before, versions: before.versions, changed: false };
      rows.set(name, row);
    }
    return row;
  }

  #isUnchanged(tree: Tree, row: BatchRow, item: CheckedPut): boolean {
    const expires = item.expiresAtMs !== 0 || (tree.options.ttlMs ?? 0) !== 0;
    if (row.versions.length !== 1 || expires) return false;
    const [{ value, expiresAtMs }] = row.versions;
    if (expiresAtMs !== 0 || !isSame(value, item.value)) return false;
    // What this batch writes is durable with it; what another write has under way is not yet.
    return row.changed || this.#isVisible(tree, row.key, row.before);
  }

  /** A sender that leaves out the timestamp and repeats itself means the version that is here already. */
  #replicaVersion(replica: CheckedReplica, local: readonly Version[]): Version {
    const { value, clock } = replica;
    const timestampMs = replica.timestampMs ??
      local.find((version) => isSameWrite(version, replica))?.timestampMs ?? this.stamp();
    return { clock, dot: undefined, value, timestampMs, expiresAtMs: 0 };
  }
}

/** When a value without a time to live of its own expires: as the tenant says, 0 for never. */
function defaultExpiry(tree: Tree, nowMs: number): number {
  const ttlMs = tree.options.ttlMs ?? 0;
  return ttlMs === 0 ? 0 : Math.min(nowMs + ttlMs, MAX_COUNTER);
}

function isSameWrite(version: Version, { clock, value }: CheckedReplica): boolean {
  return compareClocks(version.clock, clock) === "equal" && isSame(version.value, value);
}

function isSame(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.length === b.length && compareBytes(a, b) === 0;
}
