/**
 * Chance from the system's generator.
 * @module
 */
import { type Random, uniformBelow } from "../random.ts";

/** Words drawn in one call; a call costs about as much for 256 words as for one. */
const POOL_WORDS = 256;
/** The most that `crypto.getRandomValues` fills at once. */
const FILL_BYTES_MAX = 65_536;

/** The system's random generator: unpredictable, fit for secrets. */
export function denoRandom(): Random {
  const pool = new Uint32Array(POOL_WORDS);
  let used = POOL_WORDS;
  const random: Random = {
    u32() {
      if (used === POOL_WORDS) {
        crypto.getRandomValues(pool);
        used = 0;
      }
      return pool[used++];
    },
    below: (bound) => uniformBelow(random, bound),
    bytes(count) {
      const bytes = new Uint8Array(count);
      for (let at = 0; at < count; at += FILL_BYTES_MAX) {
        crypto.getRandomValues(bytes.subarray(at, at + FILL_BYTES_MAX));
      }
      return bytes;
    },
  };
  return random;
}
