/**
 * What was changed lately, for those who watch: one feed for each tenant that is watched, in memory.
 *
 *     feed of "shop"    base ◄── forgotten │ 41 cart/1 │ 44 cart/7 │ 45 cart/1 │ 47 │ ◄── newest
 *                                                ▲ a watcher's position      ▲ visible
 *
 * A change gets into its feed in the step in which the log takes it, and is shown to nobody before reads
 * see it. Watchers have no queues: each has a position in the feed, and takes what lies behind it when its
 * client takes more. So a slow one costs nothing, and is overrun when the feed forgets what it has not had:
 * then its position is below the feed's base, which is how everybody who has missed anything knows.
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
import { PairError } from "../model/mod.ts";
import type { Cancel, Clock, Random } from "../runtime/mod.ts";

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

/** Somebody who waits. */
interface Waiter {
  readonly ready: () => boolean;
  readonly go: () => void;
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
  readonly waiters = new Set<Waiter>();
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
    { clock, random }: { clock: Clock; random: Random },
    limits: WatchLimits,
  ) {
    this.#engine = engine;
    this.#clock = clock;
    this.#random = random;
    this.#limits = limits;
    engine.follower = this;
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
        { limit: maxWatchers },
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
   * Resolves when `ready` is true, which is asked after changes, when the feed ends, or after some time.
   * @throws the signal's reason
   */
  async wait(feed: Feed, ready: () => boolean, ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (feed.ended !== undefined || ready()) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter = { ready, go: resolve };
    const onAbort = () => reject(signal?.reason);
    const cancel = ms === Infinity ? undefined : this.#clock.after(ms, resolve);
    feed.waiters.add(waiter);
    this.#waiting++;
    signal?.addEventListener("abort", onAbort);
    try {
      await promise;
    } finally {
      signal?.removeEventListener("abort", onAbort);
      this.#waiting--;
      feed.waiters.delete(waiter);
      cancel?.();
    }
  }

  #begin(tenant: string): Feed {
    const base = this.#engine.follow(tenant, true);
    const feed = new Feed(tenant, this.#random.bytes(LIFE_BYTES), base);
    this.#feeds.set(tenant, feed);
    return feed;
  }

  #forget(feed: Feed): void {
    this.#engine.follow(feed.tenant, false);
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
      for (const { ready, go } of feed.waiters) if (ready()) go();
    }
  }
}

function wake(feed: Feed): void {
  for (const { go } of feed.waiters) go();
}

function sizeOf({ key, state }: Change): number {
  return key.length + (state?.length ?? 0) + CHANGE_OVERHEAD;
}
