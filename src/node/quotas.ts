/**
 * Quotas: what a tenant may use at most, and what it uses.
 *
 * **Rates** (requests and bytes a second) are kept by a bucket each (`rate.ts`). What is over is refused with
 * the time after which to come again.
 *
 * **Sizes** (bytes of keys and values, number of keys) are known at a constant cost from what tables and
 * memtables know of themselves, which is never too little, and may be too much: a key that is written over
 * counts again for each layer that still has it, a deleted one until a compaction drops it. So nobody is
 * refused for that figure alone:
 *
 *     the estimate has room                  taken
 *     else, the write makes nothing larger   taken (a value written over by one of its size; what it
 *                                            leaves beside it, as it has not seen it, is not written over)
 *     else, there may be less by now         the tenant is counted key by key in the background; the
 *                                            write waits for that, as it does for a flush that is behind
 *     else                                   refused
 *
 * After a count the estimate is what was counted and what was written since, less the keys that clients have
 * deleted. A tenant is counted again when an eighth of the quota was written since then, or a minute has
 * passed (a second, if it has deleted, or a value that was counted has expired), and where only time has
 * passed never for more than a twentieth of it. A count sees writes that still wait for their sync. Hence the
 * bounds: no tenant is above its quotas but for what nodes hand each other; and none is refused that has used
 * less than seven eighths.
 *
 * Deletes are never refused for a size, nor what nodes hand each other, which counts all the same: copies
 * that are not taken would leave nodes apart.
 * @module
 */
import type { Engine, Tree, TreeOptions } from "../engine/mod.ts";
import {
  conflictStrategy,
  decodeVersions,
  encodeVersions,
  fromUtf8,
  includes,
  isLive,
  isRest,
  PairError,
  TypedMerge,
  type VectorClock,
  type Version,
} from "../model/mod.ts";
import type { Clock, Log } from "../runtime/mod.ts";
import type { TenantSize, TenantUsage, WriteWatch } from "./api.ts";
import { countLive, expiredBytes, isAlive, type LiveCount } from "./count_live.ts";
import { Rate } from "./rate.ts";

/** What a write asks for. */
export interface Charge {
  /** `put`: all quotas hold; `delete`: the rates do; `copy`, from another node: none does. */
  readonly kind: "put" | "delete" | "copy";
  /** Keys that it writes, which is as many requests. */
  readonly keys: number;
  /** Of its keys and values. */
  readonly bytes: number;
  /** What is written or deleted; empty for what comes from another node as it is there. */
  readonly items: readonly ChargedItem[];
}

/** One key of a write. */
interface ChargedItem {
  readonly key: Uint8Array;
  readonly value?: Uint8Array | undefined;
  /** What its writer has seen of the key; neither this nor a clock: whatever is there. */
  readonly context?: VectorClock | undefined;
  /** The same of a version that is made already: its clock. */
  readonly clock?: VectorClock | undefined;
}

/** The quotas, as refusals name them. */
export type QuotaName = "bytes" | "keys" | "requests" | "bandwidth";

/** Written since a count, as a share of the quota, that makes the next one worth its while. */
const WORTH_SHARE = 1 / 8;
/** Pauses between counts, ms: at least; at least after deletes; and as a multiple of the last one's time. */
const PAUSE_MS = 60_000;
const PAUSE_DELETED_MS = 1000;
const PAUSE_FACTOR = 20;
/** What a version costs beside key, value and the name of its node, about. */
const VERSION_BYTES = 32;

/** The last count of a tenant. */
interface Counted extends LiveCount {
  readonly endedMs: number;
  readonly tookMs: number;
}

/** One tenant's account. */
class Account {
  seen: TreeOptions | undefined;
  requests = 0;
  bytesIn = 0;
  bytesOut = 0;
  refused = 0;
  requestRate: Rate | undefined;
  bandwidth: Rate | undefined;
  counted: Counted | undefined;
  counting: Promise<void> | undefined;
  /** Written since the last count began. */
  sinceBytes = 0;
  sinceKeys = 0;
  /** There were deletes since then. */
  deleted = false;
}

/** The quotas of a node's tenants. */
export class Quotas {
  readonly #engine: Engine;
  readonly #clock: Clock;
  readonly #log: Log;
  /** What a version costs beside key and value. */
  readonly #versionBytes: number;
  readonly #accounts = new WeakMap<Tree, Account>();
  /** Whose account was asked for last: mostly it is asked for again. */
  #lastTree: Tree | undefined;
  #last = new Account();
  /** One tenant is counted at a time. */
  #counts: Promise<void> = Promise.resolve();
  #closed = false;

  /** @param actor  whose name is in the clocks of what is written */
  constructor(engine: Engine, { clock, log }: { clock: Clock; log: Log }, actor: string) {
    this.#engine = engine;
    this.#clock = clock;
    this.#log = log;
    this.#versionBytes = VERSION_BYTES + actor.length;
  }

  /**
   * Charges a read.
   * @param keys  as many requests
   * @throws PairError ResourceExhausted (2008) with the detail `retry_after_ms` when a rate is used up
   */
  read(tree: Tree, keys: number): void {
    const account = this.#of(tree);
    this.#charge(account, keys, 0, true);
  }

  /** Charges what a read has found, which may be more than is left: then the next one waits. */
  found(tree: Tree, bytes: number): void {
    const account = this.#of(tree);
    account.bytesOut += bytes;
    account.bandwidth?.take(bytes);
  }

  /** How long a scan pauses before its next step, so that it keeps to the bandwidth, ms; 0: not at all. */
  pauseMs(tree: Tree): number {
    return this.#of(tree).bandwidth?.waitMs(this.#clock.monotonicMs()) ?? 0;
  }

  /** Charges a write to the rates, once. @throws PairError ResourceExhausted (2008) as {@link read} */
  write(tree: Tree, { kind, keys, bytes }: Charge): void {
    this.#charge(this.#of(tree), keys, bytes, kind !== "copy");
  }

  /**
   * Whether there is room for a write: undefined, or a promise to await before asking again. Called in the
   * step in which the write goes to the log.
   * @throws PairError ResourceExhausted (2008) with the detail `retry_after_ms`, after which there may be room
   */
  fits(tree: Tree, charge: Charge): Promise<void> | undefined {
    const account = this.#of(tree);
    const { maxBytes, maxKeys } = account.seen!;
    const { kind } = charge;
    if (kind === "delete") account.deleted = true;
    if (kind !== "put" || (maxBytes === undefined && maxKeys === undefined)) {
      return note(account, charge.bytes + charge.keys * this.#versionBytes, charge.keys);
    }
    const used = this.#estimate(tree, account);
    let bytes = charge.bytes + charge.keys * this.#versionBytes;
    let { keys } = charge;
    if (isOver(used.bytes, bytes, maxBytes) || isOver(used.keys, keys, maxKeys)) {
      ({ bytes, keys } = this.#growth(tree, charge));
      const over = bytes > 0 && isOver(used.bytes, bytes, maxBytes)
        ? "bytes"
        : keys > 0 && isOver(used.keys, keys, maxKeys)
        ? "keys"
        : undefined;
      if (over !== undefined) return this.#whenOver(tree, account, over, used[over]);
    }
    return note(account, bytes, keys);
  }

  /**
   * The watch of a delete, asked for in the step in which it goes to the log: once that has it, the key counts no
   * more. So whoever puts and deletes in turn is not counted again and again, past all that was ever deleted.
   * @param watch  who else is told
   */
  removing(tree: Tree, item: ChargedItem, watch: WriteWatch | undefined): WriteWatch | undefined {
    const account = this.#of(tree);
    if (account.counted === undefined || account.seen!.maxKeys === undefined) return watch;
    if (!this.#empties(tree, item)) return watch;
    return {
      get gone() {
        return watch?.gone ?? false;
      },
      handedOver: () => {
        // The key, and what the delete itself was noted as.
        account.sinceKeys -= 2;
        watch?.handedOver();
      },
    };
  }

  /** Whether a delete leaves nothing of a key that has a value. */
  #empties(tree: Tree, { key, context }: ChargedItem): boolean {
    const state = this.#engine.getPending(tree, key);
    if (state === undefined) return false;
    const nowMs = this.#clock.wallMs();
    const versions = decodeVersions(state);
    if (!versions.some((version) => isLive(version, nowMs) && !isRest(version))) return false;
    const replacesAll = conflictStrategy(tree.options.conflictStrategy) !== undefined;
    return context === undefined || replacesAll ||
      versions.every((version) => includes(context, version.clock));
  }

  /** Counts a request that was refused elsewhere for what its tenant asks for. */
  noteRefused(tree: Tree): void {
    this.#of(tree).refused++;
  }

  /** What a tenant uses of what has a quota. */
  usage(tree: Tree): Omit<TenantUsage, "cacheBytes"> {
    const account = this.#of(tree);
    const { requests, bytesIn, bytesOut, refused } = account;
    return { ...this.#estimate(tree, account), requests, bytesIn, bytesOut, refused };
  }

  /** Ends the counts. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#counts;
  }

  #of(tree: Tree): Account {
    let account = this.#last;
    if (tree !== this.#lastTree) {
      account = this.#accounts.get(tree) ?? new Account();
      this.#accounts.set(tree, account);
      this.#lastTree = tree;
      this.#last = account;
    }
    if (account.seen !== tree.options) this.#renew(account, tree.options);
    return account;
  }

  /** Takes options that are new or have changed. */
  #renew(account: Account, options: TreeOptions): void {
    account.seen = options;
    const nowMs = this.#clock.monotonicMs();
    const { maxRequests, maxBandwidth } = options;
    account.requestRate = rateOf(account.requestRate, maxRequests, nowMs);
    account.bandwidth = rateOf(account.bandwidth, maxBandwidth, nowMs);
  }

  #charge(account: Account, requests: number, bytes: number, mayRefuse: boolean): void {
    const { requestRate, bandwidth } = account;
    if (requestRate !== undefined || bandwidth !== undefined) {
      const nowMs = this.#clock.monotonicMs();
      if (mayRefuse) {
        this.#checkRate(account, "requests", requestRate, nowMs);
        this.#checkRate(account, "bandwidth", bandwidth, nowMs);
      }
      requestRate?.take(requests);
      bandwidth?.take(bytes);
    }
    account.requests += requests;
    account.bytesIn += bytes;
  }

  #checkRate(account: Account, quota: QuotaName, rate: Rate | undefined, nowMs: number): void {
    const waitMs = rate?.waitMs(nowMs) ?? 0;
    if (waitMs === 0) return;
    account.refused++;
    throw new PairError(
      "ResourceExhausted",
      `Cannot serve the request: the tenant has used up its ${
        quota === "requests" ? quota : "bytes"
      } a second. Try again in ${waitMs} ms`,
      { reason: "quota", quota, limit: rate!.perSecond, retry_after_ms: waitMs },
    );
  }

  /** By how much a write makes the tenant larger: what it writes over goes. */
  #growth(tree: Tree, { items }: Charge): TenantSize {
    let [bytes, keys] = [0, 0];
    const nowMs = this.#clock.wallMs();
    const strategy = conflictStrategy(tree.options.conflictStrategy);
    // Where values are merged, what is written comes to what is there.
    const isMerged = strategy instanceof TypedMerge;
    // Where the last write wins, one of a client replaces all, whatever it has seen.
    const winsAll = strategy !== undefined && !isMerged;
    // Items of one key build on each other: what each row has come to so far.
    const rows = items.length > 1 ? new Map<string, number>() : undefined;
    for (const item of items) {
      const { key, value } = item;
      const size = key.length + this.#versionBytes + (value?.length ?? 0);
      const before = this.#engine.getPending(tree, key);
      const versions = before === undefined ? [] : decodeVersions(before);
      const name = rows && fromUtf8(key);
      const earlier = name === undefined ? undefined : rows!.get(name);
      const context = winsAll ? undefined : item.context;
      const isBeside = isMerged || (earlier !== undefined && context !== undefined);
      const grown = before === undefined || isBeside
        ? size
        : Math.max(0, size - key.length - replaced(before, context, item.clock, versions, nowMs));
      bytes += earlier === undefined || isBeside ? grown : grown - earlier;
      if (name !== undefined) rows!.set(name, isBeside ? (earlier ?? 0) + grown : grown);
      // One that was deleted is new again.
      if (!isAlive(versions, nowMs) && earlier === undefined) keys++;
    }
    return { bytes, keys };
  }

  #whenOver(
    tree: Tree,
    account: Account,
    quota: "bytes" | "keys",
    used: number,
  ): Promise<void> | undefined {
    if (account.counting !== undefined) return account.counting;
    const limit = (quota === "bytes" ? account.seen!.maxBytes : account.seen!.maxKeys)!;
    const since = quota === "bytes" ? account.sinceBytes : account.sinceKeys;
    const { counted } = account;
    const waitMs = counted === undefined ? 0 : this.#untilCount(account, counted);
    if (counted === undefined || since >= limit * WORTH_SHARE || waitMs <= 0) {
      return this.#count(tree, account);
    }
    account.refused++;
    throw new PairError(
      "ResourceExhausted",
      `Cannot write: the tenant has used ${used} of its ${limit} ${quota}, and this is more than is left; deletes make room`,
      { reason: "quota", quota, limit, used, retry_after_ms: Math.ceil(waitMs) },
    );
  }

  /** How long a tenant is not to be counted again, but for what is written: ms; 0 or less: it may be. */
  #untilCount({ deleted }: Account, { endedMs, tookMs, firstExpiryMs }: Counted): number {
    const sinceMs = this.#clock.monotonicMs() - endedMs;
    const soonMs = Math.max(PAUSE_DELETED_MS, PAUSE_FACTOR * tookMs) - sinceMs;
    if (deleted) return soonMs;
    const lateMs = Math.max(PAUSE_MS, PAUSE_FACTOR * tookMs) - sinceMs;
    // What has expired makes room as what was deleted does.
    return Math.min(lateMs, Math.max(soonMs, firstExpiryMs - this.#clock.wallMs()));
  }

  /** Counts a tenant, after those that are to be counted already. Never rejects. */
  #count(tree: Tree, account: Account): Promise<void> {
    const run = async () => {
      const startMs = this.#clock.monotonicMs();
      const { sinceBytes, sinceKeys } = account;
      account.deleted = false;
      let size: LiveCount | undefined;
      try {
        size = await countLive(this.#engine, tree, this.#clock, () => this.#closed);
      } catch (error) {
        // Dropped meanwhile, or damaged: others tell of that, and the estimate holds.
        this.#log.warn("node.quota_count_failed", { tenant: tree.name, error: String(error) });
      }
      const endedMs = this.#clock.monotonicMs();
      const found = size ?? { ...this.#engine.usage(tree), firstExpiryMs: Infinity };
      account.sinceBytes -= sinceBytes;
      account.sinceKeys -= sinceKeys;
      account.counted = { ...found, endedMs, tookMs: endedMs - startMs };
    };
    const counting = this.#counts.then(run).catch(() => {}).finally(() => {
      account.counting = undefined;
    });
    account.counting = this.#counts = counting;
    return counting;
  }

  #estimate(tree: Tree, account: Account): TenantSize {
    const { bytes, keys } = this.#engine.usage(tree);
    const { counted } = account;
    if (counted === undefined) return { bytes, keys };
    return {
      bytes: Math.min(bytes, counted.bytes + account.sinceBytes),
      keys: Math.min(keys, counted.keys + account.sinceKeys),
    };
  }
}

/**
 * Bytes of a state that a write makes room for: of what it replaces. What its writer has not seen stays.
 * @param context  what its writer has seen
 * @param clock    the same of a version that is made already; neither: whatever is there
 * @param versions  of the state; what has expired of them is no room: it does not count
 */
function replaced(
  state: Uint8Array,
  context: VectorClock | undefined,
  clock: VectorClock | undefined,
  versions: readonly Version[],
  nowMs: number,
): number {
  const counted = state.length - expiredBytes(versions, nowMs);
  const seen = context ?? clock;
  if (seen === undefined) return counted;
  // A version that is there already, or is replaced by what is there, adds nothing.
  if (clock !== undefined && versions.some((version) => includes(version.clock, clock))) {
    return Infinity;
  }
  const gone = versions.filter((version) => includes(seen, version.clock));
  if (gone.length === versions.length) return counted;
  return gone.length === 0 ? 0 : encodeVersions(gone).length - expiredBytes(gone, nowMs);
}

function note(account: Account, bytes: number, keys: number): undefined {
  account.sinceBytes += bytes;
  account.sinceKeys += keys;
}

function isOver(used: number, more: number, limit: number | undefined): boolean {
  return limit !== undefined && used + more > limit;
}

function rateOf(rate: Rate | undefined, perSecond: number | undefined, nowMs: number) {
  if (perSecond === undefined) return undefined;
  rate ??= new Rate(perSecond, nowMs);
  rate.change(perSecond, nowMs);
  return rate;
}
