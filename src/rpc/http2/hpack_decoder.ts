/**
 * Header blocks to header lists (RFC 7541).
 *
 * A block is fields, end to end, each of one of these beginnings; before the first one there may be changes
 * of the table's size.
 *
 *     1xxxxxxx  an entry of the tables, by index
 *     01xxxxxx  a literal that becomes an entry: the index of its name or 0 and the name, then the value
 *     001xxxxx  the table's size from here on
 *     0001xxxx  a literal that nobody may make an entry of, as above
 *     0000xxxx  a literal that becomes no entry, as above
 *
 * The x begin an integer, which goes on in the next bytes when they are all ones. A string is its length,
 * with a bit before it that says whether it is Huffman-coded, and its bytes.
 *
 * Blocks that name entries only are remembered: a client that repeats itself sends the same few bytes again
 * and again, and as long as the table has not changed they mean the same list, which is handed out again.
 *
 * Invariants
 *   - The table follows the peer's through every well-formed block, also where the list is too large.
 *   - What is made of a block takes no more memory than the table and one list may, whatever its strings
 *     claim. What is remembered refers to strings that were in the table.
 * @module
 */
import { DEFAULT_TABLE_BYTES, DynamicTable, ENTRY_OVERHEAD_BYTES } from "./dynamic_table.ts";
import type { TableView } from "./dynamic_table.ts";
import { AbuseError } from "./frames.ts";
import { huffmanDecode } from "./huffman.ts";
import { latin1 } from "./latin1.ts";
import { RecentStrings } from "./recent_strings.ts";
import { STATIC_COUNT, STATIC_NAMES, STATIC_VALUES } from "./static_table.ts";

/**
 * Name, value, name, value … in the order of the block, one character per byte. Lists are shared: who is
 * given one does not change it.
 */
export type HeaderList = readonly string[];

/** A block, decoded. */
export interface HeaderBlock {
  /** Its fields; when they are too large, those before the first one that had no room. */
  readonly headers: HeaderList;
  /** Whether there were more than the list may have. */
  readonly tooLarge: boolean;
}

/** A header block is malformed: the connection ends with COMPRESSION_ERROR, for the tables differ now. */
export class HpackError extends Error {
  override name = "HpackError";
  /** @param state  what is wrong with the block; nothing of its content */
  constructor(state: string) {
    super(`Decode a header block: ${state}`);
  }
}

/** Integers that are larger are of no use, and those of more bytes may be there to keep us busy. */
const INTEGER_MAX = 2 ** 31;
const CONTINUATIONS_MAX = 5;

/** How many blocks are remembered: a client has a few methods that it calls again and again. */
const KNOWN_MAX = 8;
/** Longer blocks are not remembered; 64 fields of two bytes are more than a call has. */
const KNOWN_BYTES_MAX = 128;

/** A block that is remembered, and the room for it, which is used again. */
interface Known {
  readonly bytes: Uint8Array;
  length: number;
  /** The table's count of changes when it was decoded. */
  changes: number;
  block: HeaderBlock;
}

/** Where strings are put together at first; it grows as far as a string can be of use. */
const SCRATCH_BYTES = 256;

/** The decoder of one direction of a connection. After an {@link HpackError} it is of no use any more. */
export class HpackDecoder {
  readonly #maxTableBytes: number;
  readonly #maxListBytes: number;
  readonly #abortListBytes: number;
  readonly #table = new DynamicTable();
  /** The largest size that the peer may give the table. */
  #limitBytes: number;
  /** Whether the next block has to begin with a change of the table's size. */
  #updateDue = false;
  readonly #known: Known[] = [];
  #nextKnown = 0;
  readonly #recent = new RecentStrings();
  #scratch = new Uint8Array(SCRATCH_BYTES);
  /** Where the reading of the present block has come to. */
  #at = 0;
  /** How long the string is that was read last; longer than what was made of it when that is of no use. */
  #stringBytes = 0;

  /**
   * @param options.maxTableBytes  what we announce as SETTINGS_HEADER_TABLE_SIZE, in bytes
   * @param options.maxListBytes  how large a list may be: name, value and 32 bytes for each field (RFC 9113, 6.5.2)
   * @param options.abortListBytes  a list above this is not read to its end: decode() throws AbuseError
   */
  constructor({ maxTableBytes, maxListBytes, abortListBytes = Infinity }: {
    maxTableBytes: number;
    maxListBytes: number;
    abortListBytes?: number;
  }) {
    this.#maxTableBytes = maxTableBytes;
    this.#maxListBytes = maxListBytes;
    this.#abortListBytes = abortListBytes;
    this.#limitBytes = Math.max(maxTableBytes, DEFAULT_TABLE_BYTES);
  }

  /** The dynamic table as it is now, for people and tests. */
  get table(): TableView {
    return this.#table;
  }

  /**
   * The peer has acknowledged our SETTINGS. Until then it may not know of a `maxTableBytes` below the
   * default of 4,096 bytes; now it holds, and the next block has to begin with a change of size to it.
   */
  settingsAcknowledged(): void {
    this.#limitBytes = this.#maxTableBytes;
    if (this.#table.maxBytes > this.#limitBytes) this.#updateDue = true;
  }

  /**
   * Decodes one whole header block, `bytes[start, end)`.
   * @returns the very same object for the same bytes, as long as they are indexed fields only and mean the
   *   same: what was derived from it can be kept with it
   * @throws HpackError when it is malformed
   */
  decode(bytes: Uint8Array, start: number, end: number): HeaderBlock {
    const known = this.#recall(bytes, start, end);
    if (known !== undefined) return known;
    this.#at = start;
    this.#readSizes(bytes, end);

    const table = this.#table;
    const fields: string[] = [];
    let listBytes = 0;
    let tooLarge = false;
    let indexedOnly = this.#at === start && end - start <= KNOWN_BYTES_MAX;
    while (this.#at < end) {
      const first = bytes[this.#at];
      let name: string;
      let value: string;
      if (first >= 0x80) {
        const index = this.#integer(bytes, end, 0x7f);
        name = this.#nameAt(index);
        value = index <= STATIC_COUNT ? STATIC_VALUES[index] : table.value(index - STATIC_COUNT);
        listBytes += name.length + value.length + ENTRY_OVERHEAD_BYTES;
      } else {
        if (first >= 0x20 && first < 0x40) {
          throw new HpackError("a change of the table's size behind a field");
        }
        indexedOnly = false;
        const becomesEntry = first >= 0x40;
        const wanted = becomesEntry || !tooLarge;
        const index = this.#integer(bytes, end, becomesEntry ? 0x3f : 0x0f);
        name = index === 0 ? this.#string(bytes, end, wanted) : this.#nameAt(index);
        const nameBytes = index === 0 ? this.#stringBytes : name.length;
        value = this.#string(bytes, end, wanted);
        const fieldBytes = nameBytes + this.#stringBytes + ENTRY_OVERHEAD_BYTES;
        if (becomesEntry) table.insert(name, value, fieldBytes);
        listBytes += fieldBytes;
      }
      if (listBytes > this.#maxListBytes) {
        // An entry of the table costs one byte to name: a block of such bytes keeps us busy for milliseconds.
        if (listBytes > this.#abortListBytes) throw new AbuseError("headers");
        tooLarge = true;
        continue;
      }
      fields.push(name, value);
    }
    const block: HeaderBlock = { headers: fields, tooLarge };
    if (indexedOnly && !tooLarge) this.#remember(bytes, start, end, block);
    return block;
  }

  /** The block of the same bytes that was decoded before, if they still mean the same. */
  #recall(bytes: Uint8Array, start: number, end: number): HeaderBlock | undefined {
    if (this.#updateDue) return undefined;
    const length = end - start;
    const changes = this.#table.changes;
    for (const known of this.#known) {
      if (known.changes !== changes || known.length !== length) continue;
      let same = 0;
      while (same < length && known.bytes[same] === bytes[start + same]) same++;
      if (same === length) return known.block;
    }
    return undefined;
  }

  /** Remembers a block, instead of the one that was remembered longest ago. */
  #remember(bytes: Uint8Array, start: number, end: number, block: HeaderBlock): void {
    const { changes } = this.#table;
    let known = this.#known[this.#nextKnown];
    if (known === undefined) {
      known = { bytes: new Uint8Array(KNOWN_BYTES_MAX), length: 0, changes, block };
      this.#known.push(known);
    }
    for (let i = start; i < end; i++) known.bytes[i - start] = bytes[i];
    known.length = end - start;
    known.changes = changes;
    known.block = block;
    this.#nextKnown = (this.#nextKnown + 1) % KNOWN_MAX;
  }

  /** Reads the changes of the table's size at the beginning of a block. */
  #readSizes(bytes: Uint8Array, end: number): void {
    while (this.#at < end && bytes[this.#at] >>> 5 === 1) {
      const size = this.#integer(bytes, end, 0x1f);
      if (size > this.#limitBytes) {
        throw new HpackError(`a table of ${size} bytes, where ${this.#limitBytes} are the most`);
      }
      this.#table.resize(size);
      this.#updateDue = false;
    }
    if (this.#updateDue) {
      throw new HpackError(
        `no change of the table's size to ${this.#limitBytes} bytes or fewer, which was due`,
      );
    }
  }

  #nameAt(index: number): string {
    if (index <= STATIC_COUNT && index > 0) return STATIC_NAMES[index];
    const place = index - STATIC_COUNT;
    if (place > this.#table.count || index === 0) {
      throw new HpackError(
        `index ${index}, where the last one is ${STATIC_COUNT + this.#table.count}`,
      );
    }
    return this.#table.name(place);
  }

  /** Reads an integer that begins in the low bits of a byte. @param mask  these bits */
  #integer(bytes: Uint8Array, end: number, mask: number): number {
    const prefix = bytes[this.#at++] & mask;
    return prefix < mask ? prefix : this.#longInteger(bytes, end, mask);
  }

  /** Goes on with an integer that did not end in its first byte. */
  #longInteger(bytes: Uint8Array, end: number, prefix: number): number {
    let value = prefix;
    let unit = 1;
    for (let i = 0; i < CONTINUATIONS_MAX; i++) {
      if (this.#at >= end) throw new HpackError("it ends within an integer");
      const byte = bytes[this.#at++];
      // Not shifted: five times seven bits are more than an operator on bits takes.
      value += (byte & 0x7f) * unit;
      unit *= 0x80;
      if (byte >= 0x80) continue;
      if (value > INTEGER_MAX) throw new HpackError("an integer above 2^31");
      return value;
    }
    throw new HpackError(`an integer of more than ${CONTINUATIONS_MAX} further bytes`);
  }

  /**
   * Reads a string, and says in #stringBytes how long it is.
   * @param wanted  whether it is to be made; when not, or when it is too long to be of use, what comes back
   *   is empty
   */
  #string(bytes: Uint8Array, end: number, wanted: boolean): string {
    if (this.#at >= end) throw new HpackError("it ends before a string");
    const coded = bytes[this.#at] >= 0x80;
    const length = this.#integer(bytes, end, 0x7f);
    const from = this.#at;
    const to = from + length;
    if (to > end) throw new HpackError("it ends within a string");
    this.#at = to;
    const recent = this.#recent.find(bytes, from, to, coded);
    if (recent !== undefined) {
      this.#stringBytes = recent.length;
      return recent;
    }
    this.#stringBytes = coded ? this.#uncode(bytes, from, to) : length;
    // Longer than the table and than a list may be: it will be in neither.
    if (!wanted || this.#stringBytes > this.#usefulBytes) return "";
    const text = coded ? latin1(this.#scratch, 0, this.#stringBytes) : latin1(bytes, from, to);
    this.#recent.keep(bytes, from, to, coded, text);
    return text;
  }

  /** How long a string can be that has room in the table or in a list. */
  get #usefulBytes(): number {
    return Math.max(this.#maxListBytes, this.#table.maxBytes);
  }

  /** Decodes a Huffman-coded string into #scratch, as far as it is of use. @returns its length */
  #uncode(bytes: Uint8Array, start: number, end: number): number {
    // The shortest code has five bits.
    const most = Math.min(Math.floor((end - start) * 8 / 5), this.#usefulBytes);
    if (most > this.#scratch.length) this.#scratch = new Uint8Array(most);
    const length = huffmanDecode(bytes, start, end, this.#scratch);
    if (length < 0) throw new HpackError("a string whose Huffman code is wrong");
    return length;
  }
}
