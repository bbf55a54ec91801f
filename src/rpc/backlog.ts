/**
 * Answers that wait, on all connections of a port together, for clients that do not take them.
 *
 *     up to the soft limit    nothing happens: clients have networks of all speeds
 *     above it                connections that have taken nothing for a while are cut off, those that hold the
 *                             most first, until it is kept
 *                             most first, until it is kept; until half of it is, where answers wait to be made
 *     above the hard limit    the one that holds the most is cut off at once, whatever it has taken
 * @module
 */
import type { Cancel, Clock } from "../runtime/mod.ts";

/** A connection, as far as this is about it. */
export interface Holder {
  /** Bytes of answers that wait on it. */
  readonly queuedBytes: number;
  /** Changes whenever the client takes some. */
  readonly progress: number;
  /** Cuts it off, which brings its bytes down to 0. */
  cut(): void;
}

/** What a backlog needs. */
export interface BacklogOptions {
  readonly clock: Clock;
  readonly softBytes: number;
  readonly hardBytes: number;
  /** How long a connection may take nothing while the soft limit is exceeded. */
  readonly graceMs: number;
  /** Whether answers wait for others to be taken before they are made. */
  readonly isWanted?: () => boolean;
  /** Told when less waits than before. */
  readonly onShrunk?: () => void;
  /** All connections. */
  readonly holders: () => Iterable<Holder>;
}

/** How much of the soft limit may be taken by those that stand still, once others wait for room. */
const WANTED_SHARE = 1 / 2;

/** See the module. */
export class Backlog {
  readonly #options: BacklogOptions;
  #bytes = 0;
  #cancel: Cancel | undefined;
  /** How far each was when it was looked at last. */
  #seen = new Map<Holder, number>();

  constructor(options: BacklogOptions) {
    this.#options = options;
  }

  /** Bytes that wait now. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Counts bytes more, or, below 0, fewer. May cut connections off, also the one that adds. */
  add(bytes: number): void {
    this.#bytes += bytes;
    if (bytes < 0) return this.#options.onShrunk?.();
    if (this.#bytes > this.#options.hardBytes) this.#cut(() => true, this.#options.hardBytes);
    if (this.#bytes > this.#options.softBytes) this.#watch();
  }

  /** Stops looking. */
  close(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#seen.clear();
  }

  /** Looks again after the grace. */
  #watch(): void {
    if (this.#cancel !== undefined) return;
    this.#remember();
    this.#cancel = this.#options.clock.after(this.#options.graceMs, () => {
      this.#cancel = undefined;
      const seen = this.#seen;
      const { softBytes, isWanted } = this.#options;
      // Where others wait for room, those that stand still make it at once, not one by one.
      const limitBytes = isWanted?.() === true ? softBytes * WANTED_SHARE : softBytes;
      this.#cut((holder) => seen.get(holder) === holder.progress, limitBytes);
      if (this.#bytes > this.#options.softBytes) this.#watch();
      else this.#seen.clear();
    });
  }

  #remember(): void {
    this.#seen = new Map();
    for (const holder of this.#options.holders()) {
      if (holder.queuedBytes > 0) this.#seen.set(holder, holder.progress);
    }
  }

  /** Cuts off those that hold the most, until the limit is kept or none is left that may be cut. */
  #cut(may: (holder: Holder) => boolean, limitBytes: number): void {
    const holders = [...this.#options.holders()].filter((each) =>
      each.queuedBytes > 0 && may(each)
    );
    holders.sort((a, b) => b.queuedBytes - a.queuedBytes);
    for (const holder of holders) {
      if (this.#bytes <= limitBytes) return;
      holder.cut();
    }
  }
}
