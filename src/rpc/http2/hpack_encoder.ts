/**
 * Header lists to header blocks (RFC 7541); hpack_decoder.ts draws their bytes.
 *
 * What becomes an entry of the table is decided by the field's name: those whose values repeat do, as long
 * as there is room, and of those that only repeat themselves the first one. Nothing is ever evicted to make room, so that after the first few blocks the table stays
 * as it is, and the same list gives the same bytes. What is secret is marked so that no proxy makes an entry
 * of it either, from which a guesser could learn it by the size of other blocks (RFC 7541, 7.1).
 *
 * Invariants
 *   - The table is what the peer's is once it has decoded all blocks.
 *   - No field is twice in the table: an exact match is always sent by its index.
 * @module
 */
import { DEFAULT_TABLE_BYTES, DynamicTable, ENTRY_OVERHEAD_BYTES } from "./dynamic_table.ts";
import type { TableView } from "./dynamic_table.ts";
import type { HeaderList } from "./hpack_decoder.ts";
import { huffmanBytes, huffmanEncode } from "./huffman.ts";
import { STATIC_COUNT, STATIC_PLACES } from "./static_table.ts";

/** Names whose few values are sent again and again. */
const REPEATING: ReadonlySet<string> = new Set([
  ":authority",
  ":method",
  ":path",
  ":scheme",
  ":status",
  "accept",
  "accept-encoding",
  "access-control-allow-origin",
  "cache-control",
  "connect-accept-encoding",
  "connect-content-encoding",
  "connect-protocol-version",
  "content-encoding",
  "content-type",
  "grpc-accept-encoding",
  "grpc-encoding",
  "grpc-status",
  "server",
  "te",
  "trailer",
  "user-agent",
  "vary",
]);

/** Names that come again and again, with values that do not: an entry with the first one gives them an index. */
const REPEATING_NAMES: ReadonlySet<string> = new Set([
  "connect-timeout-ms",
  "grpc-message",
  "grpc-status-details-bin",
  "grpc-timeout",
  "traceparent",
  "tracestate",
]);

/** Names whose values nobody may keep. */
const SECRET: ReadonlySet<string> = new Set([
  "authorization",
  "cookie",
  "proxy-authorization",
  "set-cookie",
]);

/** A field's first byte, and which of its bits begin the integer; see hpack_decoder.ts. */
const INDEXED = { pattern: 0x80, mask: 0x7f };
const NEW_ENTRY = { pattern: 0x40, mask: 0x3f };
const SIZE = { pattern: 0x20, mask: 0x1f };
const NEVER_ENTRY = { pattern: 0x10, mask: 0x0f };
const NO_ENTRY = { pattern: 0x00, mask: 0x0f };
const CODED_STRING = { pattern: 0x80, mask: 0x7f };
const PLAIN_STRING = { pattern: 0x00, mask: 0x7f };

/** The encoder of one direction of a connection. */
export class HpackEncoder {
  readonly #table = new DynamicTable();
  /** By name and value, the entries of the table by the number of their insertion, oldest first. */
  readonly #places = new Map<string, Map<string, number>>();
  /** The table's size as the peer's decoder knows it. */
  #toldBytes = DEFAULT_TABLE_BYTES;
  /** The smallest size that the table has had since then. */
  #lowestBytes = DEFAULT_TABLE_BYTES;
  #generation = 0;

  /**
   * Goes up whenever the bytes of an earlier block would not mean the same any more, or would not be
   * allowed. A block may be sent again as long as this is what it was before *and* after the block was
   * encoded: one that made entries would make them twice.
   */
  get generation(): number {
    return this.#generation;
  }

  /** The dynamic table as it is now, for people and tests. */
  get table(): TableView {
    return this.#table;
  }

  /**
   * The peer's SETTINGS_HEADER_TABLE_SIZE, in bytes, of which we use 4,096 at most. The next block begins
   * with what has to be said of it.
   */
  setMaxTableBytes(bytes: number): void {
    const limit = Math.min(bytes, DEFAULT_TABLE_BYTES);
    if (limit === this.#table.maxBytes) return;
    while (this.#table.bytes > limit) {
      this.#forget(this.#table.count);
      this.#table.dropOldest();
    }
    this.#table.resize(limit);
    this.#lowestBytes = Math.min(this.#lowestBytes, limit);
    this.#generation++;
  }

  /**
   * Appends the block of a list to `into`, from `at` on.
   * @returns where it ends; -1 when it does not fit, and then it is as if nothing had been asked, but for
   *   the bytes from `at` on, which may be anything
   * @throws RangeError for a character that is no byte, likewise
   */
  encode(headers: HeaderList, into: Uint8Array, at: number): number {
    const inserted = this.#table.inserted;
    let end = this.#putSizes(into, at);
    const sizes = end > at;
    try {
      // What is put behind the end of a typed array is lost, so it is enough to look afterwards.
      for (let i = 0; i < headers.length && end <= into.length; i += 2) {
        end = this.#putField(headers[i], headers[i + 1], into, end);
      }
    } catch (error) {
      this.#takeBack(inserted);
      throw error;
    }
    if (end > into.length) {
      this.#takeBack(inserted);
      return -1;
    }
    if (sizes) this.#toldBytes = this.#lowestBytes = this.#table.maxBytes;
    if (sizes || this.#table.inserted > inserted) this.#generation++;
    return end;
  }

  /** Says what has become of the table's size: the smallest one that it has had, and what it is now. */
  #putSizes(into: Uint8Array, at: number): number {
    const size = this.#table.maxBytes;
    const lowest = this.#lowestBytes;
    if (size === this.#toldBytes && lowest === this.#toldBytes) return at;
    const to = lowest < size && lowest < this.#toldBytes ? putInteger(into, at, SIZE, lowest) : at;
    return putInteger(into, to, SIZE, size);
  }

  #putField(name: string, value: string, into: Uint8Array, at: number): number {
    const fixed = STATIC_PLACES.get(name);
    const exact = fixed?.values.get(value);
    if (exact !== undefined) return putInteger(into, at, INDEXED, exact);
    const places = this.#places.get(name);
    const place = places?.get(value);
    if (place !== undefined) return putInteger(into, at, INDEXED, this.#indexOf(place));

    const nameIndex = fixed !== undefined ? fixed.index : this.#indexOfAny(places);
    const bytes = name.length + value.length + ENTRY_OVERHEAD_BYTES;
    const room = this.#table.maxBytes - this.#table.bytes;
    const makesEntry = bytes <= room &&
      (REPEATING.has(name) || nameIndex === 0 && REPEATING_NAMES.has(name));
    const kind = makesEntry ? NEW_ENTRY : SECRET.has(name) ? NEVER_ENTRY : NO_ENTRY;
    let end = putInteger(into, at, kind, nameIndex);
    if (nameIndex === 0) end = putString(into, end, name);
    end = putString(into, end, value);
    if (makesEntry) this.#insert(name, value, bytes);
    return end;
  }

  #indexOf(place: number): number {
    return STATIC_COUNT + this.#table.inserted - place + 1;
  }

  /** The index of the oldest of these entries; 0 when there is none. */
  #indexOfAny(places: Map<string, number> | undefined): number {
    if (places === undefined) return 0;
    for (const place of places.values()) return this.#indexOf(place);
    return 0;
  }

  #insert(name: string, value: string, bytes: number): void {
    this.#table.insert(name, value, bytes);
    let places = this.#places.get(name);
    if (places === undefined) this.#places.set(name, places = new Map());
    places.set(value, this.#table.inserted);
  }

  /** Takes back what was inserted since then. */
  #takeBack(inserted: number): void {
    while (this.#table.inserted > inserted) {
      this.#forget(1);
      this.#table.dropNewest();
    }
  }

  /** Forgets the place of an entry that is about to be dropped. */
  #forget(index: number): void {
    const name = this.#table.name(index);
    const places = this.#places.get(name)!;
    places.delete(this.#table.value(index));
    if (places.size === 0) this.#places.delete(name);
  }
}

/** Puts an integer whose first bits share a byte with a pattern. */
function putInteger(
  into: Uint8Array,
  at: number,
  { pattern, mask }: { pattern: number; mask: number },
  value: number,
): number {
  if (value < mask) {
    into[at] = pattern | value;
    return at + 1;
  }
  let end = at;
  into[end++] = pattern | mask;
  let rest = value - mask;
  for (; rest >= 0x80; rest >>>= 7) into[end++] = rest & 0x7f | 0x80;
  into[end++] = rest;
  return end;
}

/** Puts a string, Huffman-coded when that is shorter. */
function putString(into: Uint8Array, at: number, text: string): number {
  const coded = huffmanBytes(text);
  if (coded < text.length) {
    return huffmanEncode(text, into, putInteger(into, at, CODED_STRING, coded));
  }
  let end = putInteger(into, at, PLAIN_STRING, text.length);
  for (let i = 0; i < text.length; i++) into[end++] = text.charCodeAt(i);
  return end;
}
