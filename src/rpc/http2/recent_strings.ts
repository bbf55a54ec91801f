/**
 * The texts of long literals that came lately on a connection.
 *
 * Some clients never make entries of a path or a token, and send the same bytes with each call. Whoever has
 * made a text of them once hands out the same one again: that saves the decoding, and the text's hash is
 * known when it is looked up in a map.
 *
 * One place for each sum of a few bytes: who comes later takes it.
 * @module
 */

/** Shorter strings are made as fast as they are found, and timeouts, which differ each time, are among them. */
const LEAST_BYTES = 8;
const MOST_BYTES = 128;
const PLACES = 16;

/** The texts of one direction of a connection. */
export class RecentStrings {
  /** The bytes of each place, in {@link MOST_BYTES}; made when there is something to keep. */
  #bytes = new Uint8Array(0);
  /** How many bytes each place has, and in the last bit whether they are Huffman-coded. */
  readonly #kinds: number[] = new Array(PLACES).fill(0);
  readonly #texts: string[] = new Array(PLACES).fill("");

  /** The text of `bytes[start, end)` if it came lately; undefined when it did not. */
  find(bytes: Uint8Array, start: number, end: number, coded: boolean): string | undefined {
    const length = end - start;
    if (length < LEAST_BYTES || length > MOST_BYTES) return undefined;
    const place = placeOf(bytes, start, end);
    if (this.#kinds[place] !== (length << 1 | +coded)) return undefined;
    const kept = this.#bytes;
    const offset = place * MOST_BYTES - start;
    for (let i = start; i < end; i++) if (kept[offset + i] !== bytes[i]) return undefined;
    return this.#texts[place];
  }

  /** Keeps the text of `bytes[start, end)`, if it is of a length that is worth it. */
  keep(bytes: Uint8Array, start: number, end: number, coded: boolean, text: string): void {
    const length = end - start;
    if (length < LEAST_BYTES || length > MOST_BYTES) return;
    if (this.#bytes.length === 0) this.#bytes = new Uint8Array(PLACES * MOST_BYTES);
    const place = placeOf(bytes, start, end);
    const kept = this.#bytes;
    const offset = place * MOST_BYTES - start;
    for (let i = start; i < end; i++) kept[offset + i] = bytes[i];
    this.#kinds[place] = length << 1 | +coded;
    this.#texts[place] = text;
  }
}

/** Where a string of several bytes belongs: paths differ near their end, names anywhere. */
function placeOf(bytes: Uint8Array, start: number, end: number): number {
  const sum = 31 * (end - start) + 7 * bytes[start] + 5 * bytes[end - 4] + 3 * bytes[end - 3] +
    bytes[end - 2];
  return sum % PLACES;
}
