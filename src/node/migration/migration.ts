/**
 * One migration, from where its record says it is to its end.
 *
 *     copying     all that there was, in batches; a checkpoint is kept of how far that is
 *     streaming   the keys that were written meanwhile (interceptor.ts), until few are left
 *     syncing     both sides are compared piece by piece (pieces.ts); what differs is sent again and compared
 *                 again; between two pieces, what was written meanwhile is sent
 *     completed   everything that was acknowledged before the last look is at the target
 *
 * From the first to the last step no write of the range is missed: it is remembered by its key, and where that
 * is not possible (there were too many; the node was killed, and nobody knows what was remembered), all pieces
 * are compared again from the first. That is why a comparison that a restart cut off has no checkpoint.
 *
 * Merging is idempotent, so whatever is in doubt is sent again, and nothing is there twice.
 * @module
 */
import type { Activity, Engine, Tree } from "../../engine/mod.ts";
import {
  compareBytes,
  decodeVersions,
  encodeBound,
  encodeKey,
  encodeVersions,
  PairError,
} from "../../model/mod.ts";
import type { Clock, Log, Random } from "../../runtime/mod.ts";
import type {
  MigrationCounts,
  MigrationState,
  Replicated,
  TenantOrigin,
  TransferEntry,
} from "../api.ts";
import type { Followers } from "../followers.ts";
import { BatchMaker, streamRange } from "../transfer.ts";
import { type ChangedKeys, Interceptor } from "./interceptor.ts";
import type { MigrationLimits } from "./limits.ts";
import type { Peer, PeerIdentity } from "./peer.ts";
import { countPiece, isSame, type Piece } from "./pieces.ts";
import { type MigrationRange, type MigrationRecord, sinceOf } from "./records.ts";

/** With no more changed keys than this, comparing begins. */
const FEW_KEYS = 1000;
/** Rounds of streaming before comparing begins, however many keys are written meanwhile. */
const STREAM_ROUNDS = 5;
/** A piece that differs is compared again in about so many smaller ones. */
const PARTS = 16;
/** And in no more than so many. */
const PARTS_MAX = 4 * PARTS;
/** One of those that differs still is sent so often; where it is written to all the while, so often. */
const SENDS = 6;
const SENDS_WHILE_WRITTEN = 2;

/** What a migration stands on. */
export interface MigrationParts {
  readonly engine: Engine;
  readonly followers: Followers;
  readonly clock: Clock;
  /** Wall time, ms since 1970, and later than when any other migration began or ended. */
  readonly nowMs: () => number;
  readonly random: Random;
  readonly log: Log;
  readonly limits: MigrationLimits;
  readonly peer: Peer;
  /** Counts what all migrations of this life of the node do. */
  readonly totals: { -readonly [Name in keyof MigrationCounts]: number };
  /** This node's name. */
  readonly nodeId: string;
  /** All tenants, those too that are just made or dropped. */
  readonly tenants: () => readonly string[];
  /** A tenant's tree; undefined also while it is made or dropped. */
  readonly find: (tenant: string) => Tree | undefined;
  /** The same once it is neither: undefined when there is none any more. */
  readonly findSettled: (tenant: string) => Promise<Tree | undefined>;
  /** What the target has to know of a tenant to make the same. */
  readonly originOf: (tree: Tree) => TenantOrigin;
  /** Makes the record durable, as it is by then. @throws PairError as the engine's `write` */
  readonly save: (record: MigrationRecord) => Promise<void>;
}

/** Why a migration was ended from outside. */
export type Ending = "cancelled" | "closed";

/** A migration under way. */
export class Migration {
  readonly record: MigrationRecord;
  /** Resolves when it is over, or was ended; never rejects. */
  readonly done: Promise<void>;
  readonly #parts: MigrationParts;
  readonly #interceptor: Interceptor;
  readonly #abort = new AbortController();
  #ending: Ending | undefined;
  #job: Activity | undefined;
  /** Counts every step that got on, so that the patience begins anew. */
  #steps = 0;
  /** Tenants that are at the target as they are here. */
  readonly #introduced = new Set<string>();
  #savedMs = -Infinity;
  /** Who the target was when it was asked last. */
  #target: PeerIdentity | undefined;
  /** Taken from the interceptor, and not at the target yet. */
  #sending: ChangedKeys = new Map();
  #fallsBehind = false;

  /** Begins it. @param record  is kept up to date */
  constructor(parts: MigrationParts, record: MigrationRecord) {
    this.#parts = parts;
    this.record = record;
    this.#interceptor = new Interceptor(parts, record.order.range, parts.limits.changedBytes);
    this.done = this.#run();
  }

  /** Keys that were written and wait to be sent. */
  get pendingKeys(): number {
    let keys = this.#interceptor.keys;
    for (const names of this.#sending.values()) keys += names.size;
    return keys;
  }

  /** While the last of them were sent, as many or more were written. */
  get fallsBehind(): boolean {
    return this.#fallsBehind;
  }

  /** Whether it was ended since nobody wants it any more. */
  get cancelled(): boolean {
    return this.#ending === "cancelled";
  }

  /** Ends it. As "closed" it stays as it is, to go on at the next start. */
  async end(ending: Ending): Promise<void> {
    this.#ending ??= ending;
    this.#abort.abort(new PairError("Unavailable", `The migration was ${ending}`));
    await this.done;
  }

  async #run(): Promise<void> {
    const { engine, peer, log } = this.#parts;
    const { record } = this;
    const { id, target, tenant } = record.order;
    let failure: unknown;
    // A key that the target has got, and that dies here, has to be there to say so when its turn comes.
    const release = engine.keepDead(record.sinceSequence);
    try {
      const tree = tenant === undefined ? undefined : this.#parts.find(tenant);
      this.#job = engine.activity("migration", tree, this.#estimate());
      log.info("migration.started", { id, target, state: record.state });
      await this.#move();
      await this.#enter("completed");
      log.info("migration.completed", { id, target, keys: record.counts.keysCopied });
    } catch (error) {
      failure = error;
      await this.#failed(error);
    } finally {
      this.#interceptor.close();
      peer.close();
      release();
      this.#job?.end(failure);
    }
  }

  async #failed(error: unknown): Promise<void> {
    const { log } = this.#parts;
    const { record } = this;
    const { id, target } = record.order;
    // What the next start goes on with is as it was; a record that is saved now may be that of a closed engine.
    if (this.#ending === "closed") return;
    record.error = this.#ending ?? (error instanceof Error ? error.message : String(error));
    record.endedAtMs = this.#parts.nowMs();
    record.state = "failed";
    log[this.#ending === undefined ? "error" : "info"]("migration.failed", {
      id,
      target,
      error: record.error,
    });
    try {
      await this.#parts.save(record);
    } catch (cause) {
      // The next start takes it up once more: it ends there as here, or gets on.
      log.warn("migration.not_saved", { id, error: String(cause) });
    }
  }

  async #move(): Promise<void> {
    const { peer, nodeId } = this.#parts;
    const { record } = this;
    this.#target = await this.#persist((signal) => peer.identity(signal));
    if (this.#target.nodeId === nodeId) {
      throw new PairError("InvalidArgument", "Cannot move data: the target is this node itself");
    }
    // Followed first, read then: a write is either remembered, or there to be read.
    for (const tenant of this.#tenants()) this.#interceptor.follow(tenant);
    await this.#persist((signal) => this.#interceptor.settled(this.#interceptor.sequence, signal));
    // All of them before anything is sent: what the target will not take of one is known at once.
    for (const tenant of this.#tenants()) await this.#introduce(tenant);
    const forgotten = this.#forgotten();
    if (forgotten.length > 0) await this.#beginAnew(forgotten);
    if (record.state === "copying") {
      for (const tenant of this.#tenants()) {
        if (tenant < record.checkpoint.tenant) continue;
        while (!await this.#persist((signal) => this.#copy(tenant, signal))) {
          await this.#sendChanged();
        }
      }
      await this.#enter("streaming");
    }
    if (record.state === "streaming") {
      for (let round = 0; round < STREAM_ROUNDS; round++) {
        await this.#sendChanged();
        if (this.#interceptor.keys <= FEW_KEYS) break;
      }
      await this.#enter("syncing");
    }
    await this.#sync();
    // A compaction that ran already when this began may have ended meanwhile.
    const [tenant] = this.#forgotten();
    if (tenant !== undefined) throw cannotGoOn(tenant);
  }

  /**
   * Tenants of which something was dropped that died after this began, while it stood still and kept nothing:
   * nobody can tell the target of that any more.
   */
  #forgotten(): readonly string[] {
    return this.#tenants().filter((tenant) =>
      (this.#parts.find(tenant)?.purgedSequence ?? 0) > sinceOf(this.record, tenant)
    );
  }

  /**
   * Begins again with tenants from nothing, which is right where nothing of them is left at the target.
   * @throws PairError InvalidArgument (1000) where there is
   */
  async #beginAnew(tenants: readonly string[]): Promise<void> {
    const { record } = this;
    const { peer, engine, log } = this.#parts;
    // What dies after the look at the target is kept: it is after this.
    const now = engine.visible;
    for (const tenant of tenants) {
      const there = await this.#persist((signal) => peer.count(tenant, record.order.range, signal));
      if (there === undefined || there.keys > 0) throw cannotGoOn(tenant);
    }
    for (const tenant of tenants) record.begunAnew.set(tenant, now);
    // The others' keys go over once more: which are behind it nobody has to know then.
    record.checkpoint = { tenant: "", key: "" };
    log.info("migration.begins_anew", { id: record.order.id });
    await this.#enter("copying");
  }

  /** Has the target make a tenant as it is here, or compare it with its own, whether it holds any keys or not. */
  async #introduce(tenant: string): Promise<void> {
    if (this.#introduced.has(tenant)) return;
    await this.#persist(async (signal) => {
      if (await this.#find(tenant) !== undefined) await this.#replicate(tenant, [], 0, signal);
    });
    this.#introduced.add(tenant);
  }

  /** Has the target take a batch. Each says what the tenant is: one that is dropped there meanwhile is made again. */
  async #replicate(
    tenant: string,
    entries: readonly TransferEntry[],
    checksum: number,
    signal: AbortSignal,
  ): Promise<Replicated> {
    const { peer, originOf } = this.#parts;
    const tree = await this.#find(tenant);
    return await peer.replicate(tenant, tree && originOf(tree), entries, checksum, signal);
  }

  /**
   * Copies a tenant's part of the range, from the checkpoint on.
   * @returns false when it ended early, since it is better to send what was written meanwhile first
   */
  async #copy(tenant: string, signal: AbortSignal): Promise<boolean> {
    const { record } = this;
    const { limits } = this.#parts;
    const isBegun = record.checkpoint.tenant === tenant;
    const checkpoint = isBegun ? record.checkpoint.key : "";
    const tree = await this.#find(tenant);
    if (tree === undefined) return true;
    const batches = this.#stream(tree, record.order.range, checkpoint, limits.batchBytes, signal);
    let keysBefore = 0;
    for await (const { entries, checksum, checkpoint: key, totals } of batches) {
      if (entries.length > 0) {
        const { keys } = await this.#replicate(tenant, entries, checksum, signal);
        this.#add("keysCopied", keys - keysBefore);
        // The versions of a key may go on in the next batch: it is one key still.
        keysBefore = entries.at(-1)!.key === key ? 0 : 1;
        this.#add("bytesCopied", bytesOf(entries));
      }
      record.checkpoint = { tenant, key };
      this.#gotOn();
      await this.#checkpoint();
      if (totals === undefined && this.#interceptor.isFilling) return false;
    }
    return true;
  }

  /** Sends the keys that were written up to now, as they are by then. */
  async #sendChanged(): Promise<void> {
    const interceptor = this.#interceptor;
    if (interceptor.keys === 0) return this.#noteProgress(0);
    const { sequence } = interceptor;
    const sent = interceptor.keys;
    const changed = this.#sending = interceptor.take();
    try {
      await this.#persist((signal) => interceptor.settled(sequence, signal));
      for (const [tenant, keys] of changed) {
        await this.#persist((signal) => this.#sendKeys(tenant, keys, signal));
        changed.delete(tenant);
      }
    } catch (error) {
      // Nobody remembers them any more.
      interceptor.lost = true;
      throw error;
    }
    this.#noteProgress(sent);
  }

  /** Whether writes are faster than the way to the target. @param sent  keys, as long as others were written */
  #noteProgress(sent: number): void {
    const { keys, lost } = this.#interceptor;
    const fallsBehind = lost || (keys >= sent && keys > FEW_KEYS);
    if (fallsBehind === this.#fallsBehind) return;
    this.#fallsBehind = fallsBehind;
    const { order: { id }, state, counts: { rescans } } = this.record;
    const what = { id, state, sent, waiting: lost ? "too many to remember" : keys, rescans };
    const { log } = this.#parts;
    if (fallsBehind) log.warn("migration.falls_behind", what);
    else log.info("migration.catches_up", what);
  }

  /** Sends keys of a tenant. @param names  those that are at the target are taken out */
  async #sendKeys(tenant: string, names: Set<string>, signal: AbortSignal): Promise<void> {
    const { engine, limits } = this.#parts;
    const batch = new BatchMaker("", undefined);
    const sent: string[] = [];
    const flush = async () => {
      const { bytes } = batch;
      const { entries, checksum } = batch.take();
      if (entries.length === 0) return;
      await this.#pay(bytes);
      await this.#replicate(tenant, entries, checksum, signal);
      this.#add("bytesStreamed", bytesOf(entries));
      this.#add("keysStreamed", sent.length);
      for (const name of sent.splice(0)) names.delete(name);
      this.#gotOn();
    };
    const keys = [...names].map((name) => ({ name, key: encodeKey(name) }))
      .sort((a, b) => compareBytes(a.key, b.key));
    for (const { name, key } of keys) {
      // Looked up each time: it may be dropped meanwhile.
      const tree = await this.#find(tenant);
      if (tree === undefined) return;
      const state = await engine.read(tree, key);
      signal.throwIfAborted();
      // What the log took has not come about, or was dead before this began: there is nothing to be told of it.
      if (state === undefined) continue;
      const versions = decodeVersions(state);
      for (const version of versions) {
        const alone = versions.length === 1 ? state : encodeVersions([version]);
        if (batch.isFull(key.length + alone.length, limits.batchBytes)) await flush();
        batch.add({ key: name, version }, key, alone);
      }
      sent.push(name);
    }
    await flush();
  }

  /** Compares everything, and sends what differs, until nothing does. */
  async #sync(): Promise<void> {
    const interceptor = this.#interceptor;
    for (;;) {
      // What was forgotten up to here is compared from here on, once reads see it.
      interceptor.recover();
      const synced = new Set<string>();
      for (;;) {
        // Others may have been made while the last ones were compared.
        const left = this.#tenants().filter((name) => !synced.has(name));
        for (const tenant of left) {
          interceptor.follow(tenant);
          await this.#persist((signal) => interceptor.settled(interceptor.sequence, signal));
          await this.#introduce(tenant);
          await this.#syncTenant(tenant);
          synced.add(tenant);
          if (interceptor.lost) break;
        }
        await this.#sendChanged();
        if (interceptor.lost || left.length === 0) break;
      }
      if (!interceptor.lost && await this.#isAnother()) interceptor.lost = true;
      if (!interceptor.lost) return;
      this.#add("rescans", 1);
      const { id } = this.record.order;
      this.#parts.log.warn("migration.compares_again", { id, ...this.record.counts });
    }
  }

  /** Whether the target has begun with other data since it was asked last: what it had may be gone. */
  async #isAnother(): Promise<boolean> {
    const { nodeId, incarnation } = this.#target!;
    this.#target = await this.#persist((signal) => this.#parts.peer.identity(signal));
    if (this.#target.nodeId === nodeId && this.#target.incarnation === incarnation) return false;
    this.#parts.log.warn("migration.other_target", { id: this.record.order.id });
    this.#introduced.clear();
    return true;
  }

  async #syncTenant(tenant: string): Promise<void> {
    const { range } = this.record.order;
    for (let start = range.start;;) {
      await this.#sendChanged();
      if (this.#interceptor.lost) return;
      const { pieceBytes } = this.#parts.limits;
      const piece = await this.#syncPiece(tenant, { ...range, start }, pieceBytes);
      if (piece === undefined || piece.isLast) return;
      start = piece.range.end;
      await this.#checkpoint();
    }
  }

  /**
   * Compares the first piece of a range. One that differs is compared again in smaller pieces, and those of
   * them that differ are sent until the target has them.
   * @returns undefined when there is no such tenant any more
   */
  async #syncPiece(
    tenant: string,
    range: MigrationRange,
    maxBytes: number,
  ): Promise<Piece | undefined> {
    const piece = await this.#count(tenant, range, maxBytes);
    if (piece === undefined) return undefined;
    const isEqual = await this.#isEqual(tenant, piece);
    this.#add("piecesCompared", 1);
    if (isEqual) return piece;
    await this.#sendChanged();
    if (maxBytes <= this.#parts.limits.batchBytes) {
      return await this.#equalise(tenant, piece.range) ? piece : undefined;
    }
    for (let { start } = range, parts = 1;; parts++) {
      const rest = { ...piece.range, start };
      const part = await this.#syncPiece(tenant, rest, maxBytes / PARTS);
      if (part === undefined) return undefined;
      if (part.isLast) return piece;
      start = part.range.end;
      // It grows while it is compared: what is left of it is another piece, so that there is an end of this one.
      if (parts >= PARTS_MAX) {
        return { ...piece, range: { ...piece.range, end: start }, isLast: false };
      }
    }
  }

  /** Sends a piece until the target has it. @returns false when there is no such tenant any more */
  async #equalise(tenant: string, range: MigrationRange): Promise<boolean> {
    this.#add("piecesResent", 1);
    for (let sent = 1;; sent++) {
      const { writes } = this.#interceptor;
      const { applied, keys } = await this.#persist((signal) =>
        this.#resend(tenant, range, signal)
      );
      this.#add("keysResent", keys);
      // It had all of it, and writes of its own besides.
      if (applied === 0) return true;
      const piece = await this.#count(tenant, range, Infinity);
      if (piece === undefined) return false;
      if (await this.#isEqual(tenant, piece)) return true;
      // The target has taken it by its checksums; what is written all the while is remembered, and comes.
      if (sent >= SENDS_WHILE_WRITTEN && this.#interceptor.writes !== writes) return true;
      if (sent >= SENDS) {
        throw new PairError("ChecksumFailed", "Cannot make both sides equal: a part differs still");
      }
      await this.#sendChanged();
    }
  }

  async #isEqual(tenant: string, { range, totals }: Piece): Promise<boolean> {
    const theirs = await this.#persist((signal) => this.#parts.peer.count(tenant, range, signal));
    this.#gotOn();
    return theirs !== undefined && isSame(totals, theirs);
  }

  /** Counts here. @returns undefined when there is no such tenant any more */
  #count(tenant: string, range: MigrationRange, maxBytes: number): Promise<Piece | undefined> {
    const { engine, clock } = this.#parts;
    return this.#persist(async (signal) => {
      const tree = await this.#find(tenant);
      if (tree === undefined) return undefined;
      return await countPiece({ engine, clock, job: this.#job!, signal }, tree, range, maxBytes);
    });
  }

  async #resend(
    tenant: string,
    range: MigrationRange,
    signal: AbortSignal,
  ): Promise<{ applied: number; keys: number }> {
    const sum = { applied: 0, keys: 0 };
    const tree = await this.#find(tenant);
    if (tree === undefined) return sum;
    const batches = this.#stream(tree, range, "", this.#parts.limits.batchBytes, signal);
    for await (const { entries, checksum } of batches) {
      if (entries.length === 0) continue;
      const done = await this.#replicate(tenant, entries, checksum, signal);
      sum.applied += done.applied;
      sum.keys += done.keys;
      this.#gotOn();
    }
    return sum;
  }

  #stream(
    tree: Tree,
    { start, end, tokens }: MigrationRange,
    checkpoint: string,
    batchBytes: number,
    signal: AbortSignal,
  ) {
    const { engine, clock } = this.#parts;
    const first = encodeBound(start, "the start");
    const behind = checkpoint === "" ? undefined : Uint8Array.of(...encodeKey(checkpoint), 0);
    const from = behind === undefined || (first && compareBytes(first, behind) > 0)
      ? first
      : behind;
    return streamRange({ engine, tree, clock, signal, job: this.#job }, {
      start: from,
      end: encodeBound(end, "the end"),
      tokens,
      checkpoint,
      batchBytes,
    });
  }

  /** Does a step until it succeeds; what will never do so, or has not for too long, fails. */
  async #persist<T>(step: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { clock, random, limits, log } = this.#parts;
    const { record } = this;
    const { signal } = this.#abort;
    let pauseMs = limits.pauseMs;
    let sinceMs = clock.monotonicMs();
    for (;;) {
      const before = this.#steps;
      try {
        signal.throwIfAborted();
        return await step(signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!mayPass(error)) throw error;
        if (this.#steps !== before) {
          pauseMs = limits.pauseMs;
          sinceMs = clock.monotonicMs();
        }
        if (clock.monotonicMs() - sinceMs >= limits.giveUpMs) throw error;
        this.#add("retries", 1);
        record.error = error.message;
        log.warn("migration.retry", { id: record.order.id, error: error.message });
        // Not all that wait for one node come back to it at once.
        await clock.sleep(pauseMs / 2 + random.below(Math.ceil(pauseMs / 2) + 1), signal);
        pauseMs = Math.min(2 * pauseMs, limits.pauseMaxMs);
      }
    }
  }

  #add(name: keyof MigrationCounts, count: number): void {
    this.record.counts[name] += count;
    this.#parts.totals[name] += count;
  }

  #gotOn(): void {
    this.#steps++;
    this.record.error = "";
  }

  /** What the range holds, twice: it is copied, then compared. */
  #estimate(): number {
    const { engine } = this.#parts;
    const { start, end } = this.record.order.range;
    const bounds = { start: encodeBound(start, "start"), end: encodeBound(end, "end") };
    let bytes = 0;
    for (const tenant of this.#tenants()) {
      const tree = this.#parts.find(tenant);
      if (tree !== undefined) bytes += engine.estimate(tree, bounds).bytes;
    }
    return 2 * bytes;
  }

  /** Its tenants, in the order in which they are copied. */
  #tenants(): readonly string[] {
    const { tenant } = this.record.order;
    return tenant === undefined ? this.#parts.tenants() : [tenant];
  }

  /** A tenant's tree, once it is neither being made nor dropped. @returns undefined when there is none any more */
  async #find(tenant: string): Promise<Tree | undefined> {
    const tree = await this.#parts.findSettled(tenant);
    this.#abort.signal.throwIfAborted();
    return tree;
  }

  async #pay(bytes: number): Promise<void> {
    await this.#job!.advance(bytes);
    this.#abort.signal.throwIfAborted();
  }

  /** Goes over to a state; durable, or it is tried again. */
  async #enter(state: MigrationState): Promise<void> {
    const { record } = this;
    record.state = state;
    if (state === "completed") {
      record.endedAtMs = this.#parts.nowMs();
      record.error = "";
    }
    try {
      await this.#save();
    } catch (error) {
      // A step back at the next start, at most: what was done is done once more.
      this.#parts.log.warn("migration.not_saved", { id: record.order.id, error: String(error) });
    }
  }

  async #checkpoint(): Promise<void> {
    const { clock, limits, log } = this.#parts;
    if (clock.monotonicMs() - this.#savedMs < limits.checkpointMs) return;
    try {
      await this.#save();
    } catch (error) {
      // It goes on all the same: on a full disk too, which may be why everything has to go.
      log.warn("migration.not_saved", { id: this.record.order.id, error: String(error) });
    }
  }

  async #save(): Promise<void> {
    this.#savedMs = this.#parts.clock.monotonicMs();
    await this.#parts.save(this.record);
  }
}

/** Who is asked to go on, but cannot tell the target of all that died since it began. */
function cannotGoOn(tenant: string): PairError {
  return new PairError(
    "InvalidArgument",
    `Cannot go on: keys of tenant ${tenant} that died here meanwhile are gone for good, and may be alive at ` +
      "the target; drop the tenant there, then start the migration again",
    { reason: "dead_dropped", tenant },
  );
}

/** Whether trying again may help: the request was right, and somebody is not able to carry it out now. */
function mayPass(error: unknown): error is PairError {
  if (!(error instanceof PairError)) return false;
  // A target whose clock is behind takes it when that has come as far.
  return error.code >= 2000 || error.error === "ChecksumFailed" ||
    error.details.reason === "clock_skew";
}

/** Of keys and values: what people think of as their data. */
function bytesOf(
  entries: readonly {
    readonly key: string;
    readonly version: { readonly value?: Uint8Array | undefined };
  }[],
): number {
  let bytes = 0;
  for (const { key, version } of entries) bytes += key.length + (version.value?.length ?? 0);
  return bytes;
}
