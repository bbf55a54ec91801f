/**
 * Chance that a seed replays.
 *
 * xoshiro128** 1.1 by Blackman and Vigna ("Scrambled Linear Pseudorandom Number Generators", ACM
 * TOMS 2021; reference code xoshiro128starstar.c), its state filled from the seed by SplitMix32,
 * the 32-bit form of Steele, Lea and Flood's SplitMix (OOPSLA 2014) with MurmurHash3's finaliser.
 * Not for secrets.
 * @module
 */
import { type Random, uniformBelow } from "../random.ts";

/** A seeded stream: the same seed and the same calls give the same values. */
export class SimRandom implements Random {
  readonly #state = new Uint32Array(4);

  /** @param seed  any integer; only its low 32 bits count */
  constructor(seed: number) {
    let mixed = seed >>> 0;
    for (let i = 0; i < 4; i++) {
      mixed = (mixed + 0x9e3779b9) >>> 0;
      let z = mixed;
      z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
      z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
      this.#state[i] = z ^ (z >>> 16);
    }
  }

  u32(): number {
    const s = this.#state;
    const result = Math.imul(rotateLeft(Math.imul(s[1], 5), 7), 9) >>> 0;
    const shifted = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotateLeft(s[3], 11);
    return result;
  }

  below(bound: number): number {
    return uniformBelow(this, bound);
  }

  bytes(count: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(count);
    for (let i = 0; i < count; i++) bytes[i] = this.u32() >>> 24;
    return bytes;
  }

  /** A new stream that draws from this one once: parts that have their own do not disturb each other. */
  fork(): SimRandom {
    return new SimRandom(this.u32());
  }
}

function rotateLeft(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}
