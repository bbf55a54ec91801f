/**
 * The brake: how long a write is held back while flushes and compactions are behind. The one place where
 * that is decided, and a pure function.
 *
 *     debt                         slowed from            stopped at
 *     tables on level 0            l0Slowdown  (8)        l0Stop  (12)         reads look into each of them
 *     bytes to be compacted        pendingSlowdown        pendingStop          the disk holds them twice
 *     frozen memtables             the last but one       maxImmutables (2)    memory
 *
 * Between the two bounds a batch waits 1 ms at first and 32 ms at the end, with the square of the way: a
 * little debt costs little, and the sum of all waits is what lets compaction catch up (as RocksDB's
 * delayed write rate does).
 * @module
 */

/** Background work that a tree is behind with. */
export interface Debt {
  /** Tables on level 0. */
  readonly level0: number;
  /** Bytes that compactions have yet to rewrite. */
  readonly pendingBytes: number;
  /** Frozen memtables. */
  readonly immutables: number;
}

/** Where the brake begins and where it holds. */
export interface DebtLimits {
  readonly l0Slowdown: number;
  readonly l0Stop: number;
  readonly pendingSlowdown: number;
  readonly pendingStop: number;
  readonly maxImmutables: number;
}

/** The shortest wait of a batch that is slowed, in ms. */
export const SLOWDOWN_MS_MIN = 1;
/** The longest. */
export const SLOWDOWN_MS_MAX = 32;

/** How long a batch waits, in ms: 0, or from 1 to 32, or Infinity when it may not be written now. */
export function brakeMs(debt: Debt, limits: DebtLimits): number {
  const { maxImmutables } = limits;
  const way = Math.max(
    share(debt.level0, limits.l0Slowdown, limits.l0Stop),
    share(debt.pendingBytes, limits.pendingSlowdown, limits.pendingStop),
    // Of two, one that waits is the normal case.
    share(debt.immutables, maxImmutables > 2 ? maxImmutables - 1 : maxImmutables, maxImmutables),
  );
  if (way < 0) return 0;
  if (way >= 1) return Infinity;
  return SLOWDOWN_MS_MIN + (SLOWDOWN_MS_MAX - SLOWDOWN_MS_MIN) * way * way;
}

/** How far a figure is on its way from one bound to the other: below 0 before the first, 1 at the second. */
function share(figure: number, from: number, to: number): number {
  if (figure >= to) return 1;
  return figure < from ? -1 : (figure - from) / (to - from);
}
