/**
 * Cache shares: how much of each cache a tree may hold at most. The block cache and the row cache keep accounts by
 * tree and see to it, each with entries of the tree itself.
 * @module
 */

/** Bytes of a cache that a share is. @param percent  1 to 100; undefined: there is no share, and no bound */
export function shareOf(capacity: number, percent: number | undefined): number {
  return percent === undefined ? Infinity : Math.floor(capacity * percent / 100);
}
