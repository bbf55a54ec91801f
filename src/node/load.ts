/**
 * Load: how many calls there are and how many fail, and what any figures that only grow did lately.
 * @module
 */

/** Calls since the start. */
export interface CallCounts {
  readonly calls: number;
  /** Those that failed through the node's own fault: a refusal that a client or a full disk earned is none. */
  readonly failed: number;
}

/** Counts calls. */
export class CallCounter implements CallCounts {
  calls = 0;
  failed = 0;
}

/** Figures that only grow. */
type Totals = Readonly<Record<string, number>>;

/** How much figures grew, and in what time. */
export interface Growth<T extends Totals> {
  readonly elapsedMs: number;
  readonly grown: T;
}

/** Figures are remembered this often... */
const STEP_MS = 5000;
/** ...and compared with those of about this time ago. */
const WINDOW_MS = 60_000;
/** A shorter time than this says too little. */
const ELAPSED_MS_MIN = 10_000;

/**
 * What totals did in the last minute, without a timer: they are remembered when they are asked for. Who
 * asks after a longer pause is told about that pause.
 */
export class RecentRates {
  /** Oldest first; of those that are older than the window one is kept. */
  readonly #marks: { readonly atMs: number; readonly totals: Totals }[];

  constructor(nowMs: number, totals: Totals) {
    this.#marks = [{ atMs: nowMs, totals }];
  }

  /** How much they grew; undefined while it is too early to tell. */
  since<T extends Totals>(nowMs: number, totals: T): Growth<T> | undefined {
    const marks = this.#marks;
    while (marks.length > 1 && marks[1].atMs <= nowMs - WINDOW_MS) marks.shift();
    const [from] = marks;
    if (nowMs - marks[marks.length - 1].atMs >= STEP_MS) marks.push({ atMs: nowMs, totals });
    const elapsedMs = nowMs - from.atMs;
    if (elapsedMs < ELAPSED_MS_MIN) return undefined;
    const grown = Object.fromEntries(
      Object.entries(totals).map(([name, total]) => [name, total - from.totals[name]]),
    );
    // The same names, and numbers again.
    return { elapsedMs, grown: grown as T };
  }
}
