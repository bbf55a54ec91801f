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

/**
 * {@link Random.below} for a source that has {@link Random.u32}. Exactly uniform: the values of the
 * last, incomplete run of `bound` are drawn again.
 * @throws RangeError when `bound` is not an integer in [1, 2^32]
 */
export function uniformBelow(source: Pick<Random, "u32">, bound: number): number {
  if (!Number.isInteger(bound) || bound < 1 || bound > 2 ** 32) {
    throw new RangeError(`below(${bound}): the bound must be an integer from 1 to 2^32`);
  }
  const limit = 2 ** 32 - (2 ** 32 % bound);
  let value = source.u32();
  while (value >= limit) value = source.u32();
  return value % bound;
}
