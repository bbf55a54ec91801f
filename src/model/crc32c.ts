/**
 * CRC32C (Castagnoli), the checksum of everything on disk. Slicing by 8, and by 16 where there is much of
 * it, after Kounavis and Berry, "A Systematic Approach to Building High Performance Software-Based CRC
 * Generators", 2005. Check value: crc32c("123456789") = 0xE3069283.
 * @module
 */

const POLYNOMIAL = 0x82f63b78;
const SLICES = 16;
/** From this many bytes on a view that reads four at once is worth making. */
const LONG_BYTES = 256;

// Tables of 256, end to end: table k gives the effect of a byte that lies k bytes further on.
const TABLES = ((): Int32Array => {
  const tables = new Int32Array(SLICES * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
    tables[byte] = crc;
  }
  for (let slice = 1; slice < SLICES; slice++) {
    for (let byte = 0; byte < 256; byte++) {
      const previous = tables[(slice - 1) * 256 + byte];
      tables[slice * 256 + byte] = tables[previous & 0xff] ^ (previous >>> 8);
    }
  }
  return tables;
})();

/**
 * The checksum of a number as six little-endian bytes, as `putU48` writes them, without writing them.
 * @param seed  as for {@link crc32c}
 */
export function crc32cU48(value: number, seed = 0): number {
  const t = TABLES;
  let crc = ~seed;
  const low = value % 2 ** 32;
  const high = Math.floor(value / 2 ** 32);
  for (let shift = 0; shift < 32; shift += 8) {
    crc = t[(crc ^ (low >>> shift)) & 0xff] ^ (crc >>> 8);
  }
  for (let shift = 0; shift < 16; shift += 8) {
    crc = t[(crc ^ (high >>> shift)) & 0xff] ^ (crc >>> 8);
  }
  return ~crc >>> 0;
}

/**
 * The checksum of `bytes[start, end)`.
 * @param seed  the checksum of what went before, to go on from it
 * @returns an unsigned 32-bit integer
 */
export function crc32c(bytes: Uint8Array, start = 0, end = bytes.length, seed = 0): number {
  const t = TABLES;
  let crc = ~seed;
  let i = start;
  if (end - start >= LONG_BYTES) {
    return crc32cOf(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), start, end, seed);
  }
  for (; i + 8 <= end; i += 8) {
    const low = crc ^
      (bytes[i] | (bytes[i + 1] << 8) | (bytes[i + 2] << 16) | (bytes[i + 3] << 24));
    crc = t[1792 + (low & 0xff)] ^ t[1536 + ((low >>> 8) & 0xff)] ^
      t[1280 + ((low >>> 16) & 0xff)] ^ t[1024 + (low >>> 24)] ^
      t[768 + bytes[i + 4]] ^ t[512 + bytes[i + 5]] ^ t[256 + bytes[i + 6]] ^ t[bytes[i + 7]];
  }
  for (; i < end; i++) crc = t[(crc ^ bytes[i]) & 0xff] ^ (crc >>> 8);
  return ~crc >>> 0;
}

/**
 * The same of a view, which is read four bytes at a time: for many short pieces of what one view was made of.
 * @param seed  as for {@link crc32c}
 */
export function crc32cOf(bytes: DataView, start: number, end: number, seed = 0): number {
  const t = TABLES;
  let crc = ~seed;
  let i = start;
  for (; i + SLICES <= end; i += SLICES) {
    const a = crc ^ bytes.getInt32(i, true);
    const b = bytes.getInt32(i + 4, true);
    const c = bytes.getInt32(i + 8, true);
    const d = bytes.getInt32(i + 12, true);
    crc = t[3840 + (a & 0xff)] ^ t[3584 + ((a >>> 8) & 0xff)] ^
      t[3328 + ((a >>> 16) & 0xff)] ^ t[3072 + (a >>> 24)] ^
      t[2816 + (b & 0xff)] ^ t[2560 + ((b >>> 8) & 0xff)] ^
      t[2304 + ((b >>> 16) & 0xff)] ^ t[2048 + (b >>> 24)] ^
      t[1792 + (c & 0xff)] ^ t[1536 + ((c >>> 8) & 0xff)] ^
      t[1280 + ((c >>> 16) & 0xff)] ^ t[1024 + (c >>> 24)] ^
      t[768 + (d & 0xff)] ^ t[512 + ((d >>> 8) & 0xff)] ^
      t[256 + ((d >>> 16) & 0xff)] ^ t[d >>> 24];
  }
  for (; i + 4 <= end; i += 4) {
    const a = crc ^ bytes.getInt32(i, true);
    crc = t[768 + (a & 0xff)] ^ t[512 + ((a >>> 8) & 0xff)] ^ t[256 + ((a >>> 16) & 0xff)] ^
      t[a >>> 24];
  }
  for (; i < end; i++) crc = t[(crc ^ bytes.getUint8(i)) & 0xff] ^ (crc >>> 8);
  return ~crc >>> 0;
}
