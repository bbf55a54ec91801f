/**
 * Whether bytes are one whole zstd frame. Deno's decoder does not ask: it returns what it has when the
 * bytes end early, and reads no further than the first frame's end.
 *
 *     magic 4 | descriptor 1 | window 0-1 | dictionary id 0-4 | content size 0-8      the frame's head
 *     { last:1 type:2 size:21 } 3 | content                                           blocks, end to end
 *     checksum 0-4                                                                    (RFC 8878, section 3.1.1)
 *
 * Only lengths are looked at here; what the blocks hold is the decoder's affair.
 * @module
 */

const MAGIC = 0xfd2fb528;
const DICTIONARY_ID_BYTES: readonly number[] = [0, 1, 2, 4];
const CONTENT_SIZE_BYTES: readonly number[] = [0, 2, 4, 8];
const RLE = 1;
const RESERVED = 3;

/** True when `bytes` are exactly one frame, from its magic to its last byte. */
export function isWholeZstdFrame(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 5 || view.getUint32(0, true) !== MAGIC) return false;
  const descriptor = bytes[4];
  const single = (descriptor & 0x20) !== 0;
  const sizeFlag = descriptor >> 6;
  const contentSize = sizeFlag === 0 && single ? 1 : CONTENT_SIZE_BYTES[sizeFlag];
  let at = 5 + (single ? 0 : 1) + DICTIONARY_ID_BYTES[descriptor & 3] + contentSize;
  for (let last = false; !last;) {
    if (at + 3 > bytes.length) return false;
    const head = bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16);
    const type = (head >> 1) & 3;
    if (type === RESERVED) return false;
    last = (head & 1) !== 0;
    at += 3 + (type === RLE ? 1 : head >> 3);
  }
  return at + ((descriptor & 4) === 0 ? 0 : 4) === bytes.length;
}
