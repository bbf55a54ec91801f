/**
 * Random: the only source of chance above floor 0, so that a seed replays a run.
 * @module
 */

/** A stream of random values. Not for secrets unless the implementation says so. */
export interface Random {
  /** An integer in [0, 2^32). */
  u32(): number;
  /** An integer in [0, bound), `bound` in [1, 2^32]. */
  below(bound: number): number;
  /** `count` random bytes. */
  bytes(count: number): Uint8Array<ArrayBuffer>;
}
