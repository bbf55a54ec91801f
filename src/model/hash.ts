/**
 * Murmur3 (x86, 32 bits), by Austin Appleby, public domain. Two of them under two seeds, computed in
 * one pass, are the 64 bits that bloom filters split in two.
 * @module
 */

const C1 = 0xcc9e2d51;
const C2 = 0x1b873593;

function mixFinal(h: number): number {
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/**
 * Murmur3 x86-32 of `bytes[start, end)`.
 * @returns an unsigned 32-bit integer
 */
export function murmur3(bytes: Uint8Array, seed: number, start = 0, end = bytes.length): number {
  let h = seed | 0;
  let i = start;
  for (; i + 4 <= end; i += 4) {
    let k = bytes[i] | (bytes[i + 1] << 8) | (bytes[i + 2] << 16) | (bytes[i + 3] << 24);
    k = Math.imul(k, C1);
    k = (k << 15) | (k >>> 17);
    h ^= Math.imul(k, C2);
    h = (h << 13) | (h >>> 19);
    h = (Math.imul(h, 5) + 0xe6546b64) | 0;
  }
  if (i < end) {
    let k = bytes[i];
    if (i + 1 < end) k |= bytes[i + 1] << 8;
    if (i + 2 < end) k |= bytes[i + 2] << 16;
    k = Math.imul(k, C1);
    k = (k << 15) | (k >>> 17);
    h ^= Math.imul(k, C2);
  }
  return mixFinal(h ^ (end - start));
}
