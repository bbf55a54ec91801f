/**
 * What was changed lately, for those who watch: one feed for each tenant that is watched, in memory.
 *
 *     feed of "shop"    base ◄── forgotten │ 41 cart/1 │ 44 cart/7 │ 45 cart/1 │ 47 │ ◄── newest
 *                                                ▲ a watcher's position      ▲ visible
 *
 * A change gets into its feed in the step in which the log takes it, and is shown to nobody before reads
 * see it. Watchers have no queues: each has a position in the feed, and takes what lies behind it when its
 * client takes more. So a slow one costs nothing, and is overrun when the feed forgets what it has not had:
 * then its position is below the feed's base, which is how everybody who has missed anything knows. Those who
 * wait are looked up for each change, so who watches other keys sleeps on, and is not overrun meanwhile.
 *
 * All feeds together hold a bounded number of bytes. A feed begins with the first watcher of its tenant;
 * some time after the last one left it is dropped, and until then they can come back. Tenants that nobody
 * watches have none, and their writes cost nothing.
 * @module
 */
import {
  type Engine,
  type EntryKind,
  type Follower,
  KIND_DELETE,
  KIND_MERGE,
  type Tree,
} from "../engine/mod.ts";
import { compareBytes, murmur3, PairError } from "../model/mod.ts";
import type { Cancel, Clock, Random } from "../runtime/mod.ts";
import type { Followers } from "./followers.ts";

/** How much of watching there may be. */
export interface WatchLimits {
  /** Watches at once; one more is refused (2008). */
  readonly maxWatchers: number;
  /** Bytes of changes that are kept, all tenants together. A change counts its key, its versions and 256. */
  readonly historySize: number;
  /** How long the changes of a tenant are kept after its last watcher left, ms. */
  readonly lingerMs: number;
}

/** What a node uses where nothing else is said. */
export const DEFAULT_WATCH_LIMITS: WatchLimits = {
  maxWatchers: 1000,
  historySize: 32 * 1024 * 1024,
  lingerMs: 300_000,
};

/** Watchers are woken at once, and again after this long at the soonest: what comes meanwhile comes together. */
const WAKE_MS = 5;
/** Bytes that tell a feed from all others, of any node and at any time. */
const LIFE_BYTES = 8;
/** What a change takes besides its bytes, about. */
const CHANGE_OVERHEAD = 256;
/** Forgotten places at the front of a feed are given up when there are so many, and more than half. */
const SPARE_PLACES = 1024;

/** A key's new state. */
export interface Change {
  readonly sequence: number;
  readonly key: Uint8Array;
  /** Its versions, encoded; undefined when there is none any more. */
  readonly state: Uint8Array | undefined;
}

/** Keys that are watched. */
export interface KeyRange {
  /** First key, inclusive; undefined: no bound. */
  readonly start: Uint8Array | undefined;
  /** End, exclusive; undefined: no bound. */
  readonly end: Uint8Array | undefined;
  /** {@link hashOf} the key, where it is one alone. */
  readonly hash: number | undefined;
}

/** Whether a key is one of those. */
export function covers({ start, end }: KeyRange, key: Uint8Array): boolean {
  return (start === undefined || compareBytes(key, start) >= 0) &&
    (end === undefined || compareBytes(key, end) < 0);
}

/** What finds those who wait for one key. */
export function hashOf(key: Uint8Array): number {
  return murmur3(key, 0) | 0;
}

/** Somebody who waits for a change of some keys. */
interface Waiter {
  readonly range: KeyRange;
  /** The number of the first change that may be one of them; Infinity: none so far. */
  found: number;
  readonly go: () => void;
}

/** Those who wait for changes in a feed: one key's are found by its hash, so that many of them cost little. */
class Waiters {
  /** Everybody. */
  readonly all = new Set<Waiter>();
  readonly #ranges = new Set<Waiter>();
  readonly #keys = new Map<number, Set<Waiter>>();

  add(waiter: Waiter): void {
    this.all.add(waiter);
    const { hash } = waiter.range;
    if (hash === undefined) return void this.#ranges.add(waiter);
    const same = this.#keys.get(hash);
    if (same === undefined) this.#keys.set(hash, new Set([waiter]));
    else same.add(waiter);
  }

  remove(waiter: Waiter): void {
    this.all.delete(waiter);
    this.#ranges.delete(waiter);
    const { hash } = waiter.range;
    const same = hash === undefined ? undefined : this.#keys.get(hash);
    if (same?.delete(waiter) && same.size === 0) this.#keys.delete(hash!);
  }

  /** Wakes those who wait for this key. */
  wake({ key, sequence }: Change): void {
    for (const waiter of this.#ranges) if (covers(waiter.range, key)) this.#found(waiter, sequence);
    if (this.#keys.size === 0) return;
    for (const waiter of this.#keys.get(hashOf(key)) ?? []) this.#found(waiter, sequence);
  }

  wakeAll(): void {
    for (const { go } of this.all) go();
  }

  #found(waiter: Waiter, sequence: number): void {
    waiter.found = sequence;
    this.remove(waiter);
    waiter.go();
  }
}

/** The changes of one tenant, oldest first. Places are counted from its beginning and never change. */
export class Feed {
  readonly tenant: string;
  /** Tells it from all others. */
  readonly life: Uint8Array;
  /** Changes up to this number are not here: they came before the feed, or were forgotten. */
  base: number;
  /** Why it goes on no more. */
  ended: PairError | undefined;
  watchers = 0;
  /** When the last watcher left; monotonic ms. */
  idleSinceMs = 0;
  bytes = 0;
  readonly waiters = new Waiters();
  /** Those who wait for reads to see what came before the feed, or was forgotten. */
  readonly conditions = new Set<{ readonly ready: () => boolean; readonly go: () => void }>();
  /** The place up to which waiters have been told, and the number that was visible then. */
  told = 0;
  toldSequence = 0;
  #changes: (Change | undefined)[] = [];
  /** Places in front that were forgotten. */
  #head = 0;
  /** The place of the first one of the list. */
  #offset = 0;

  constructor(tenant: string, life: Uint8Array, base: number) {
    this.tenant = tenant;
    this.life = life;
    this.base = base;
  }

  /** The place of the oldest change. */
  get first(): number {
    return this.#offset + this.#head;
  }

  /** The place of the next change to come. */
  get end(): number {
    return this.#offset + this.#changes.length;
  }

  /** @param place  from {@link first} to below {@link end} */
  at(place: number): Change {
    return this.#changes[place - this.#offset]!;
  }

  /** The place of the first change after a number. */
  placeAfter(sequence: number): number {
    let low = this.first;
    let high = this.end;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (this.at(middle).sequence <= sequence) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** @returns the bytes that it counts for */
  add(change: Change): number {
    this.#changes.push(change);
    const bytes = sizeOf(change);
    this.bytes += bytes;
    return bytes;
  }

  /** Forgets the oldest changes until at most so many bytes are left. @returns the bytes that were */
  shrink(toBytes: number): number {
    const before = this.bytes;
    while (this.bytes > toBytes && this.first < this.end) {
      const change = this.#changes[this.#head]!;
      this.#changes[this.#head++] = undefined;
      this.bytes -= sizeOf(change);
      this.base = change.sequence;
    }
    if (this.#head > SPARE_PLACES && this.#head * 2 > this.#changes.length) {
      this.#changes.splice(0, this.#head);
      this.#offset += this.#head;
      this.#head = 0;
    }
    return before - this.bytes;
  }
}

/** All feeds of one node. */
export class Changes implements Follower {
  readonly #engine: Engine;
  readonly #followers: Followers;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #limits: WatchLimits;
  readonly #feeds = new Map<string, Feed>();
  #bytes = 0;
  #watchers = 0;
  #waiting = 0;
  #wokenMs = -Infinity;
  #cancelWake: Cancel | undefined;
  #closed: PairError | undefined;
  /** Events that watchers were given, and times that one was told of a gap. */
  events = 0;
  gaps = 0;

  constructor(
    engine: Engine,
    followers: Followers,
    { clock, random }: { clock: Clock; random: Random },
    limits: WatchLimits,
  ) {
    this.#engine = engine;
    this.#followers = followers;
    this.#clock = clock;
    this.#random = random;
    this.#limits = limits;
  }

  /** The number of the last change that watchers may be shown. */
  get visible(): number {
    return this.#engine.visible;
  }

  /** Figures for metrics. */
  get figures(): Record<"watchers" | "watchHistoryBytes" | "watchEvents" | "watchGaps", number> {
    return {
      watchers: this.#watchers,
      watchHistoryBytes: this.#bytes,
      watchEvents: this.events,
      watchGaps: this.gaps,
    };
  }

  /**
   * The feed of a tenant, for one more watcher, who gives it back.
   * @throws PairError ResourceExhausted (2008) when there are too many; that of {@link close}
   */
  open(tenant: string): Feed {
    if (this.#closed !== undefined) throw this.#closed;
    const { maxWatchers } = this.#limits;
    if (this.#watchers >= maxWatchers) {
      throw new PairError(
        "ResourceExhausted",
        `Cannot watch: there are ${maxWatchers} watches already`,
        { reason: "watches", limit: maxWatchers },
      );
    }
    const feed = this.#feeds.get(tenant) ?? this.#begin(tenant);
    feed.watchers++;
    this.#watchers++;
    return feed;
  }

  /** A watcher has left. */
  release(feed: Feed): void {
    this.#watchers--;
    if (--feed.watchers > 0) return;
    feed.idleSinceMs = this.#clock.monotonicMs();
    if (this.#feeds.size <= this.#limits.maxWatchers) return;
    // So many tenants were watched that not all of them are to be kept: those that were left first go.
    const idle = [...this.#feeds.values()].filter(({ watchers }) => watchers === 0);
    this.#forget(idle.reduce((a, b) => (a.idleSinceMs <= b.idleSinceMs ? a : b)));
  }

  /** Nothing more comes of a tenant: its watchers get this error. */
  end(tenant: string, error: PairError): void {
    const feed = this.#feeds.get(tenant);
    if (feed === undefined) return;
    this.#forget(feed);
    feed.ended = error;
    wake(feed);
  }

  /** Ends all feeds. */
  close(error: PairError): void {
    this.#closed = error;
    for (const tenant of [...this.#feeds.keys()]) this.end(tenant, error);
    this.#cancelWake?.();
    this.#cancelWake = undefined;
  }

  wrote(tree: Tree, sequence: number, kind: EntryKind, key: Uint8Array, value: Uint8Array): void {
    const feed = this.#feeds.get(tree.name);
    if (feed === undefined) return;
    const isOver = feed.watchers === 0 &&
      this.#clock.monotonicMs() - feed.idleSinceMs > this.#limits.lingerMs;
    if (isOver) return this.#forget(feed);
    let state: Uint8Array | undefined;
    try {
      // An operand alone says nothing to a watcher.
      if (kind === KIND_MERGE) state = this.#engine.getPending(tree, key);
      else if (kind !== KIND_DELETE) state = value.slice();
    } catch {
      // What it rests on cannot be read: whoever reads the key is told why, and watchers that they missed it.
      this.#bytes -= feed.shrink(0);
      feed.base = sequence;
      return;
    }
    this.#bytes += feed.add({ sequence, key: key.slice(), state });
    while (this.#bytes > this.#limits.historySize) this.#shrink();
  }

  shown(): void {
    if (this.#waiting === 0 || this.#cancelWake !== undefined) return;
    const pauseMs = this.#wokenMs + WAKE_MS - this.#clock.monotonicMs();
    if (pauseMs <= 0) return this.#wake();
    this.#cancelWake = this.#clock.after(pauseMs, () => {
      this.#cancelWake = undefined;
      this.#wake();
    });
  }

  /**
   * Resolves when reads see all that the feed does not have, or it ends.
   * @throws the signal's reason
   */
  async settled(feed: Feed, signal?: AbortSignal): Promise<void> {
    const ready = () => this.visible >= feed.base;
    if (feed.ended !== undefined || ready()) return;
    await this.#wait(Infinity, signal, (go) => {
      const condition = { ready, go };
      feed.conditions.add(condition);
      return () => feed.conditions.delete(condition);
    });
  }

  /**
   * Resolves when there is a change of a range, when the feed ends or forgets what has not been looked at,
   * or after some time.
   * @param position  of the watcher, who has looked at everything that is visible, in this same step
   * @returns where it is now: there is no change of its range in between
   * @throws the signal's reason
   */
  async change(
    feed: Feed,
    range: KeyRange,
    position: number,
    ms: number,
    signal?: AbortSignal,
  ): Promise<number> {
    const { visible } = this;
    if (feed.waiters.all.size === 0) {
      feed.told = feed.placeAfter(visible);
      feed.toldSequence = visible;
    }
    let found = Infinity;
    await this.#wait(ms, signal, (go) => {
      const waiter: Waiter = { range, found, go };
      feed.waiters.add(waiter);
      return () => {
        found = waiter.found;
        feed.waiters.remove(waiter);
      };
    });
    return Math.max(position, Math.min(found - 1, feed.toldSequence));
  }

  async #wait(
    ms: number,
    signal: AbortSignal | undefined,
    join: (go: () => void) => () => void,
  ): Promise<void> {
    signal?.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = () => reject(signal?.reason);
    const cancel = ms === Infinity ? undefined : this.#clock.after(ms, resolve);
    const leave = join(resolve);
    this.#waiting++;
    signal?.addEventListener("abort", onAbort);
    try {
      await promise;
    } finally {
      signal?.removeEventListener("abort", onAbort);
      this.#waiting--;
      leave();
      cancel?.();
    }
  }

  #begin(tenant: string): Feed {
    const base = this.#followers.add(this, tenant);
    const feed = new Feed(tenant, this.#random.bytes(LIFE_BYTES), base);
    this.#feeds.set(tenant, feed);
    return feed;
  }

  #forget(feed: Feed): void {
    this.#followers.remove(this, feed.tenant);
    this.#feeds.delete(feed.tenant);
    this.#bytes -= feed.bytes;
  }

  /** Halves the feed that holds the most. */
  #shrink(): void {
    let largest: Feed | undefined;
    for (const feed of this.#feeds.values()) {
      if (largest === undefined || feed.bytes > largest.bytes) largest = feed;
    }
    this.#bytes -= largest!.shrink(Math.floor(largest!.bytes / 2));
  }

  #wake(): void {
    this.#wokenMs = this.#clock.monotonicMs();
    for (const feed of this.#feeds.values()) {
      for (const { ready, go } of feed.conditions) if (ready()) go();
      if (feed.waiters.all.size > 0) this.#tell(feed);
    }
  }

  /** Wakes those of a feed who wait for what has become visible. */
  #tell(feed: Feed): void {
    const { visible } = this;
    // Forgotten before anybody has looked: all may have missed something, and see that by their position.
    if (feed.first > feed.told) {
      feed.told = feed.first;
      return feed.waiters.wakeAll();
    }
    for (; feed.told < feed.end; feed.told++) {
      const change = feed.at(feed.told);
      if (change.sequence > visible) break;
      feed.waiters.wake(change);
    }
    feed.toldSequence = visible;
  }
}

/** Lets everybody see that it has ended. */
function wake(feed: Feed): void {
  for (const { go } of feed.conditions) go();
  feed.waiters.wakeAll();
}

function sizeOf({ key, state }: Change): number {
  return key.length + (state?.length ?? 0) + CHANGE_OVERHEAD;
}
