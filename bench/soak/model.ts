/**
 * What must be there: for each cell the outcomes of its writes that are still possible, and the judge of what
 * reads find.
 *
 * A cell is a key, or a group of keys that are only ever written together, by one batch: so a group of which a
 * part is found is a torn batch. One writer at a time has a cell, so its writes have an order:
 *
 *     [a]            a was acknowledged: nothing else may be found
 *     [a, b?]        b is under way, or its answer was lost: either may be found
 *     [b]            b was acknowledged, or found: from then on a may not
 *
 * A write whose answer was lost by a kill is settled by the restart: it is in the log or it is not, so
 * whatever a later read finds stays. One that a living node calls unknown may still come.
 * @module
 */

/** How far clocks and timers may be off, ms: a value may be found for so long after it expires, or be gone before. */
export const CLOCK_MARGIN_MS = 500;

/** What a write leaves. */
export interface Outcome {
  /** The write's number, which its value bears; 0: nobody has written. */
  readonly n: number;
  readonly isValue: boolean;
  /** Wall-clock time between whose ends the value expires, ms; undefined: never. */
  expires: { from: number; to: number } | undefined;
  /** The life of the node that has not said what became of it; undefined: it was applied. */
  unknownIn: number | undefined;
}

/** Something that must not be. */
export interface Violation {
  readonly kind: string;
  readonly tenant: string;
  readonly key: string;
  readonly expected: string;
  readonly found: string;
  readonly life: number;
  readonly at: string;
}

/** All that went wrong; the first hundred with every detail. */
export class Violations {
  readonly first: Violation[] = [];
  count = 0;

  constructor(readonly onFirst: (violation: Violation) => void = () => {}) {}

  add(violation: Omit<Violation, "at">): void {
    this.count++;
    if (this.first.length >= 100) return;
    const whole = { ...violation, at: new Date().toISOString() };
    this.first.push(whole);
    this.onFirst(whole);
  }
}

/** A key, or a group of keys that are written together. */
export class Cell {
  /** In the order of their writes; never empty. */
  outcomes: Outcome[] = [{ n: 0, isValue: false, expires: undefined, unknownIn: undefined }];
  /** Whether a writer has it. */
  busy = false;
  /** When the last write began, wall ms. */
  writtenMs = 0;
  /** Reads under way. */
  probes: Probe[] = [];
  /** Versions that were acknowledged and that the watcher has not seen, in order, and since when. */
  unseen: { version: bigint; sinceMs: number }[] = [];
  /** The version that the watcher saw last. */
  seen = 0n;

  constructor(readonly tenant: string, readonly index: number, readonly keys: readonly string[]) {}

  /** A write begins. The caller has the cell. */
  begin(outcome: Outcome, nowMs: number): void {
    this.writtenMs = nowMs;
    this.outcomes.push(outcome);
    for (const probe of this.probes) probe.wrote(outcome);
  }

  /** It was acknowledged. @param timestampMs  the node's, from which its time to live counts */
  applied(outcome: Outcome, timestampMs: number, ttlMs: number | undefined): void {
    outcome.unknownIn = undefined;
    if (ttlMs !== undefined) {
      outcome.expires = { from: timestampMs + ttlMs, to: timestampMs + ttlMs };
    }
    this.outcomes.splice(0, this.outcomes.indexOf(outcome));
  }

  /** The node has said that it was not applied. @returns false when a read has found it before */
  refused(outcome: Outcome): boolean {
    if (this.outcomes[0] === outcome) return false;
    this.outcomes.splice(this.outcomes.indexOf(outcome), 1);
    return true;
  }

  /** What may be found now, for people. */
  describe(): string {
    return this.outcomes.map(describe).join(" or ");
  }
}

/** One outcome, for people. */
export function describe({ n, isValue, expires, unknownIn }: Outcome): string {
  const what = isValue ? `write ${n}` : n === 0 ? "nothing" : `nothing (delete ${n})`;
  const until = expires === undefined ? "" : `, expires ${new Date(expires.from).toISOString()}`;
  return `${what}${until}${unknownIn === undefined ? "" : ` (unknown since life ${unknownIn})`}`;
}

/** One read of one cell, from its begin to its end. */
export class Probe {
  readonly #allowed: Outcome[];
  /** No write was under way at any time of the read. */
  #quiet: boolean;

  /** The read begins. @param life  of the node that is asked */
  constructor(readonly cell: Cell, readonly life: number, readonly beganMs: number) {
    this.#allowed = [...cell.outcomes];
    this.#quiet = !cell.busy;
    cell.probes.push(this);
  }

  /** A write began meanwhile. */
  wrote(outcome: Outcome): void {
    this.#allowed.push(outcome);
    this.#quiet = false;
  }

  /** The read has failed: it says nothing. */
  drop(): void {
    const { probes } = this.cell;
    probes.splice(probes.indexOf(this), 1);
  }

  /**
   * The read has ended.
   * @param found  the number of the write whose value was found; undefined: there is none
   * @returns what was expected, when it was not found
   */
  end(found: number | undefined, nowMs: number): string | undefined {
    this.drop();
    const matches = (outcome: Outcome) =>
      found === undefined
        ? !outcome.isValue ||
          (outcome.expires !== undefined && nowMs >= outcome.expires.from - CLOCK_MARGIN_MS)
        : outcome.n === found && outcome.isValue &&
          (outcome.expires === undefined || this.beganMs <= outcome.expires.to + CLOCK_MARGIN_MS);
    if (!this.#allowed.some(matches)) return this.#allowed.map(describe).join(" or ");
    this.#learn(found, matches);
    return undefined;
  }

  /** What is found stays. */
  #learn(found: number | undefined, matches: (outcome: Outcome) => boolean): void {
    const { cell } = this;
    if (found !== undefined) {
      const at = cell.outcomes.findIndex(({ n }) => n === found);
      if (at > 0) cell.outcomes.splice(0, at);
    }
    if (!this.#quiet || cell.outcomes.length === 1) return;
    const left = cell.outcomes.filter((outcome) =>
      matches(outcome) || outcome.unknownIn === this.life
    );
    // A read that was slow may have seen what another has ruled out since.
    if (left.length > 0) cell.outcomes = left;
  }
}
