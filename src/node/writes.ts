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
  checkContextLength,
  checkPlausible,
  checkState,
  type ClientWrite,
  CLOCK_SKEW_MS,
  clockSize,
  compareBytes,
  compareClocks,
  ContextMismatch,
  coordinateWrite,
  decodeVersions,
  EMPTY_CLOCK,
  encodeVersions,
  isLive,
  isRest,
  joinVersions,
  MAX_CLOCK_EVENTS,
  MAX_COUNTER,
  meetsCondition,
  mergeVersions,
  murmur3,
  OwnStates,
  type OwnWrite,
  PairError,
  type VectorClock,
  type Version,
  WARN_SIBLINGS,
} from "../model/mod.ts";
import type { Runtime } from "../runtime/mod.ts";
import type { WriteResult, WriteWatch } from "./api.ts";
import { strategyOf } from "./reads.ts";
import type { Once } from "./idempotency/mod.ts";
import type { SealedAnswers } from "./sealed.ts";
import type { CheckedDelete, CheckedKey, CheckedPut, CheckedReplica } from "./validate.ts";

const NOTHING_ELSE = Object.freeze({ existed: false, unchanged: 0 });

/** What a write makes of a key. */
interface Made extends OwnWrite {
  /** The new version's stamp; undefined: the one that it was given. */
  readonly timestampMs?: number;
}

/** A key of a batch, as the batch has made it so far. */
interface BatchRow {
  readonly key: Uint8Array;
  /** Its state when the batch began; undefined when there was none. */
  readonly before: Uint8Array | undefined;
  state: Uint8Array | undefined;
  /** Another key with the same hash. */
  readonly next: BatchRow | undefined;
}

/**
 * Changes keys of one engine in the name of one node. Input is checked when it gets here. Each method tells
 * its `watch` in the step in which the log gets the write. A write with `once` goes there together with its
 * outcome.
 */
export class WritePath {
  #engine: Engine;
  #runtime: Runtime;
  #actor: string;
  #lastStampMs = 0;
  /** Memory for encoded states: the engine copies them before a write's first wait. */
  readonly #blocks = new Blocks();
  readonly #own: OwnStates;
  readonly #answers: SealedAnswers;

  /**
   * @param actor    whose events the writes of clients become
   * @param answers  seals the context that a refused conditional write is told
   */
  constructor(engine: Engine, runtime: Runtime, actor: string, answers: SealedAnswers) {
    this.#answers = answers;
    this.#engine = engine;
    this.#runtime = runtime;
    this.#actor = actor;
    this.#own = new OwnStates(actor, this.#blocks);
  }

  /** The time for a version's stamp: the wall clock's, but never before the last stamp. */
  stamp(): number {
    this.#lastStampMs = Math.max(this.#lastStampMs, this.#runtime.clock.wallMs());
    return this.#lastStampMs;
  }

  /** Stores a client's value. */
  put(
    tree: Tree,
    { key, context, ifContext, value, expiresAtMs }: CheckedPut,
    watch?: WriteWatch,
    once?: Once,
  ): Promise<WriteResult> {
    const timestampMs = this.stamp();
    const before = this.#engine.getPending(tree, key);
    checkContext(context, before);
    if (ifContext && !meetsCondition(shownOf(tree, before, timestampMs), context, timestampMs)) {
      return this.#refuse(tree, key, before);
    }
    const made = this.#coordinate(tree, before, {
      context,
      value,
      timestampMs,
      expiresAtMs: expiresAtMs ?? defaultExpiry(tree, timestampMs),
    });
    const result = { clock: made.clock, timestampMs: made.timestampMs ?? timestampMs };
    const mutations = [putState(tree, key, made.state)];
    const stored = once === undefined
      ? this.#engine.write(mutations, "write", watch)
      : once.write(mutations, "write", { ...NOTHING_ELSE, results: [result] }, watch);
    return stored.then(() => result);
  }

  /** Deletes a client's key; where there is no version at all, nothing is written. */
  async delete(
    tree: Tree,
    { key, context, ifContext }: CheckedDelete,
    watch?: WriteWatch,
    once?: Once,
  ): Promise<WriteResult & { existed: boolean }> {
    const timestampMs = this.stamp();
    const before = this.#engine.getPending(tree, key);
    checkContext(context, before);
    const local = shownOf(tree, before, timestampMs);
    if (ifContext && !meetsCondition(local, context, timestampMs)) {
      return await this.#refuse(tree, key, before);
    }
    if (local.length === 0) {
      const nothing = { clock: EMPTY_CLOCK, timestampMs };
      // That there was nothing is remembered: when it comes again there may be something.
      await once?.write([], "delete", { ...NOTHING_ELSE, results: [nothing] }, watch);
      return { ...nothing, existed: false };
    }
    const nowMs = this.#runtime.clock.wallMs();
    const existed = local.some((version) => isLive(version, nowMs));
    const tombstone = { context, value: undefined, timestampMs, expiresAtMs: 0 };
    const made = this.#coordinate(tree, before, tombstone);
    const mutations = [putState(tree, key, made.state)];
    const result = { clock: made.clock, timestampMs: made.timestampMs ?? timestampMs };
    if (once === undefined) await this.#engine.write(mutations, "delete", watch);
    else {
      await once.write(mutations, "delete", { ...NOTHING_ELSE, existed, results: [result] }, watch);
    }
    return { ...result, existed };
  }

  /**
   * Stores all of a client's values or none. Items of one key build on each other, but for a conditional one:
   * no client can know what the batch itself makes of its key.
   * @param skipUnchanged  leave a key alone when its one version has this value, and neither has a TTL
   */
  async batchPut(
    tree: Tree,
    items: readonly CheckedPut[],
    skipUnchanged: boolean,
    watch?: WriteWatch,
    once?: Once,
  ): Promise<{ results: readonly WriteResult[]; unchanged: number }> {
    const timestampMs = this.stamp();
    const rows = new Map<number, BatchRow>();
    const changed: BatchRow[] = [];
    const results: WriteResult[] = [];
    let unchanged = 0;
    for (let i = 0; i < items.length; i++) {
      const item = items[i];
      const row = this.#batchRow(rows, tree, item.key);
      checkContext(item.context, row.before);
      if (item.ifContext) {
        if (row.state !== row.before) throw secondOfKey(i);
        const local = shownOf(tree, row.before, timestampMs);
        if (!meetsCondition(local, item.context, timestampMs)) {
          return await this.#refuse(tree, row.key, row.before, i);
        }
      }
      const same = skipUnchanged ? this.#unchanged(tree, row, item) : undefined;
      if (same !== undefined) {
        results.push({ clock: same.clock, timestampMs: same.timestampMs });
        unchanged++;
        continue;
      }
      const { context, value } = item;
      const expiresAtMs = item.expiresAtMs ?? defaultExpiry(tree, timestampMs);
      const made = this.#coordinate(tree, row.state, { context, value, timestampMs, expiresAtMs });
      if (row.state === row.before) changed.push(row);
      row.state = made.state;
      results.push({ clock: made.clock, timestampMs: made.timestampMs ?? timestampMs });
    }
    const mutations = changed.map(({ key, state }) => putState(tree, key, state!));
    if (once !== undefined) {
      await once.write(mutations, "write", { ...NOTHING_ELSE, results, unchanged }, watch);
    } else if (mutations.length > 0) await this.#engine.write(mutations, "write", watch);
    return { results, unchanged };
  }

  /** Merges in a version that another node made. */
  async applyReplica(
    tree: Tree,
    replica: CheckedReplica,
    origin: "write" | "delete" | "repair",
    watch?: WriteWatch,
  ): Promise<WriteResult> {
    const { key } = replica;
    const before = this.#engine.getPending(tree, key);
    const local = versionsOf(before);
    const nowMs = this.stamp();
    checkPlausible(replica.clock, local, nowMs + CLOCK_SKEW_MS);
    const version = this.#replicaVersion(replica, local);
    strategyOf(tree)?.checkVersion(version, nowMs);
    const versions = mergeVersions(local, [version]);
    const result = { clock: joinVersions(versions), timestampMs: version.timestampMs };
    const addsNothing = versions === local;
    if (addsNothing && this.#isVisible(tree, key, before)) return result;
    checkState(versions);
    this.#warnOfSiblings(tree, local.length, versions.length);
    // What adds nothing is written as it is, and never as an operand: the state that it rests on may go
    // when it is dead, and an operand that it had made obsolete would be there again.
    const mutation: Mutation = origin === "repair" && !addsNothing
      ? { tree, kind: KIND_MERGE, key, value: encodeVersions([version]) }
      : putState(tree, key, encodeVersions(versions, this.#blocks));
    await this.#engine.write([mutation], origin, watch);
    return result;
  }

  /**
   * Merges in versions that another node has, all or none.
   * @returns how many of them were new here
   */
  async replicate(tree: Tree, keys: readonly CheckedKey[], watch?: WriteWatch): Promise<number> {
    let applied = 0;
    const nowMs = this.stamp();
    const latestMs = nowMs + CLOCK_SKEW_MS;
    const strategy = strategyOf(tree);
    const mutations: Mutation[] = [];
    for (const { key, versions } of keys) {
      const before = this.#engine.getPending(tree, key);
      const local = versionsOf(before);
      let merged = local;
      for (const version of versions) {
        checkPlausible(version.clock, local, latestMs);
        strategy?.checkVersion(version, nowMs);
        const next = mergeVersions(merged, [version]);
        if (next !== merged) applied++;
        merged = next;
      }
      if (merged === local) {
        // What is here already still waits for its sync: the answer waits with it, by a write of its own.
        if (!this.#isVisible(tree, key, before)) mutations.push(putState(tree, key, before!));
        continue;
      }
      checkState(merged);
      this.#warnOfSiblings(tree, local.length, merged.length);
      // Only what is new, and as an operand, as in applyReplica: a batch stays as large as it came, however
      // much its keys hold.
      const added = merged.filter((version) => !local.includes(version));
      const kind = local.length === 0 ? KIND_PUT : KIND_MERGE;
      mutations.push({ tree, kind, key, value: encodeVersions(added) });
    }
    if (mutations.length > 0) await this.#engine.write(mutations, "repair", watch);
    return applied;
  }

  /**
   * Refuses a conditional write, for the state that the key has. The state is told, so it has to be durable:
   * of one that a crash undid, the client would send the context on, and another write may get the same.
   * Where it still waits for its sync, it is written as it is, and the refusal waits with that. The refused
   * write itself the log never gets, so nobody's watch is told.
   */
  async #refuse(
    tree: Tree,
    key: Uint8Array,
    before: Uint8Array | undefined,
    item?: number,
  ): Promise<never> {
    if (!this.#isVisible(tree, key, before)) {
      await this.#engine.write([putState(tree, key, before!)]);
    }
    const present = this.#answers.context(tree.name, key, joinVersions(versionsOf(before)));
    throw new ContextMismatch(present, item === undefined ? {} : { item });
  }

  /** Whether reads see this state, so that an answer may rest on it. */
  #isVisible(tree: Tree, key: Uint8Array, state: Uint8Array | undefined): boolean {
    return isSame(this.#engine.get(tree, key), state);
  }

  /** What a client's write makes of a key's state. */
  #coordinate(
    tree: Tree,
    before: Uint8Array | undefined,
    write: Omit<ClientWrite, "purgeFloor">,
  ): Made {
    const whole = { ...write, purgeFloor: tree.purgeFloor };
    const strategy = strategyOf(tree);
    if (strategy === undefined) {
      const followed = this.#own.follow(before, whole);
      if (followed !== undefined) return followed;
    }
    const local = versionsOf(before);
    if (write.context !== undefined) checkPlausible(write.context, local, write.timestampMs);
    const { versions, written } = strategy === undefined
      ? coordinateWrite(local, this.#actor, whole)
      : strategy.coordinate(local, this.#actor, whole);
    this.#warnOfSiblings(tree, local.length, versions.length);
    return {
      state: encodeVersions(versions, this.#blocks),
      clock: written.clock,
      timestampMs: written.timestampMs,
    };
  }

  /** Once each time that a key gets there, not for every write of it. */
  #warnOfSiblings(tree: Tree, before: number, after: number): void {
    if (before >= WARN_SIBLINGS || after < WARN_SIBLINGS) return;
    this.#runtime.log.warn("node.many_siblings", { tenant: tree.name, siblings: after });
  }

  #batchRow(rows: Map<number, BatchRow>, tree: Tree, key: Uint8Array): BatchRow {
    // Strings of keys would cost more than the rest of the batch.
    const hash = murmur3(key, 0) | 0;
    const next = rows.get(hash);
    for (let row = next; row !== undefined; row = row.next) {
      if (isSame(row.key, key)) return row;
    }
    const before = this.#engine.getPending(tree, key);
    const row: BatchRow = { key, before, state: before, next };
    rows.set(hash, row);
    return row;
  }

  /** The version that is here already, where an item changes nothing. */
  #unchanged(tree: Tree, row: BatchRow, item: CheckedPut): Version | undefined {
    const expires = (item.expiresAtMs ?? tree.options.ttlMs ?? 0) !== 0;
    const versions = shownOf(tree, row.state, this.#lastStampMs);
    if (versions.length !== 1 || expires) return undefined;
    const [version] = versions;
    if (version.expiresAtMs !== 0 || !isSame(version.value, item.value)) return undefined;
    // What this batch writes is durable with it; what another write has under way is not yet.
    const rests = row.state !== row.before || this.#isVisible(tree, row.key, row.before);
    return rests ? version : undefined;
  }

  /**
   * A sender that leaves out the timestamp and repeats itself means the version that is here already; one that
   * knows of a delete only that it is one, the same with what the delete has left.
   */
  #replicaVersion(replica: CheckedReplica, local: readonly Version[]): Version {
    const { value, clock } = replica;
    const same = local.find((version) => isSameWrite(version, replica));
    if (same !== undefined && isRest(same)) return same;
    const timestampMs = replica.timestampMs ?? same?.timestampMs ?? this.stamp();
    return { clock, dot: undefined, value, timestampMs, expiresAtMs: 0 };
  }
}

function secondOfKey(item: number): PairError {
  return new PairError(
    "InvalidArgument",
    "Cannot write the batch: an item with if_context comes after another one of its key",
    { item },
  );
}

/** @throws PairError InvalidArgument (1000) as `checkContextLength` does, for which most states need not be read */
function checkContext(context: VectorClock | undefined, before: Uint8Array | undefined): void {
  if (context === undefined || clockSize(context) <= MAX_CLOCK_EVENTS) return;
  checkContextLength(context, versionsOf(before));
}

function putState(tree: Tree, key: Uint8Array, value: Uint8Array): Mutation {
  return { tree, kind: KIND_PUT, key, value };
}

/** The versions of a state; none when there is none. */
function versionsOf(state: Uint8Array | undefined): readonly Version[] {
  return state === undefined ? [] : decodeVersions(state);
}

/** The same, as clients see them. */
function shownOf(
  tree: Tree,
  state: Uint8Array | undefined,
  nowMs: number,
): readonly Version[] {
  const versions = versionsOf(state);
  return strategyOf(tree)?.resolve(versions, nowMs) ?? versions;
}

/** When a value without a time to live of its own expires: as the tenant says, 0 for never. */
function defaultExpiry(tree: Tree, nowMs: number): number {
  const ttlMs = tree.options.ttlMs ?? 0;
  return ttlMs === 0 ? 0 : Math.min(nowMs + ttlMs, MAX_COUNTER);
}

function isSameWrite(version: Version, { clock, value }: CheckedReplica): boolean {
  if (compareClocks(version.clock, clock) !== "equal") return false;
  return isSame(version.value, value) || (value === undefined && isRest(version));
}

function isSame(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.length === b.length && compareBytes(a, b) === 0;
}
