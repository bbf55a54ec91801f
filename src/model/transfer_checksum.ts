/**
 * The checksum of what nodes hand to each other: CRC32C over the versions in their order, each as
 *
 *     +----------------+-----+------------------+-------+
 *     | key length u48 | key | state length u48 | state |       numbers are little-endian
 *     +----------------+-----+------------------+-------+
 *
 * where the state is the version alone, as `version_codec.ts` stores it. So it holds for the contents,
 * whatever encoding or cut into messages they travelled in, and two nodes that hold the same have the same.
 * @module
 */
import { crc32c, crc32cU48 } from "./crc32c.ts";

/**
 * The checksum with one version more.
 * @param state     the bytes of a state of this version only
 * @param checksum  of what went before; 0 at the beginning
 * @returns an unsigned 32-bit integer
 */
export function addToChecksum(key: Uint8Array, state: Uint8Array, checksum: number): number {
  const behindKey = crc32c(key, 0, key.length, crc32cU48(key.length, checksum));
  return crc32c(state, 0, state.length, crc32cU48(state.length, behindKey));
}
