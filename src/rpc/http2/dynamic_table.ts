/**
 * HPACK's dynamic table (RFC 7541, 2.3.2 and 4): the fields that one direction of a connection has put
 * there, newest first. Decoder and encoder each have one, and both ends must agree on it entry by entry.
 *
 * A ring: the entry that was inserted as number n lies in slot n modulo the ring's length, a power of two
 * that grows with the entries.
 * @module
 */

/** What an entry takes beside its name and value, as the RFC reckons. */
export const ENTRY_OVERHEAD_BYTES = 32;
/** How large a table is before anybody has said something else. */
export const DEFAULT_TABLE_BYTES = 4096;

const FIRST_SLOTS = 16;

/** What others may see of a table. */
export type TableView = Pick<DynamicTable, "bytes" | "maxBytes" | "count" | "entries">;

/** The table. */
export class DynamicTable {
  #names: string[] = new Array(FIRST_SLOTS).fill("");
  #values: string[] = new Array(FIRST_SLOTS).fill("");
  #inserted = 0;
  #count = 0;
  #bytes = 0;
  #maxBytes = DEFAULT_TABLE_BYTES;
  #changes = 0;

  /** How many entries there are. */
  get count(): number {
    return this.#count;
  }

  /** What they take, as the RFC reckons. */
  get bytes(): number {
    return this.#bytes;
  }

  /** What they may take. */
  get maxBytes(): number {
    return this.#maxBytes;
  }

  /** The number of the newest entry; the first one that was ever inserted was number 1. */
  get inserted(): number {
    return this.#inserted;
  }

  /** Goes up whenever an index means something else than before. */
  get changes(): number {
    return this.#changes;
  }

  /** The name of the entry at `index`; 1 is the newest, `count` the oldest. */
  name(index: number): string {
    return this.#names[this.#slot(index)];
  }

  /** The value of the entry at `index`, as {@link name}. */
  value(index: number): string {
    return this.#values[this.#slot(index)];
  }

  /** All of them, newest first: for people and tests. */
  entries(): [name: string, value: string][] {
    return Array.from({ length: this.#count }, (_, i) => [this.name(i + 1), this.value(i + 1)]);
  }

  /**
   * Inserts an entry, and evicts old ones until there is room. One that is larger than the whole table
   * empties it and does not come in, which is no error.
   * @param bytes  what it takes, as the RFC reckons
   */
  insert(name: string, value: string, bytes: number): void {
    this.#shrink(this.#maxBytes - bytes);
    if (bytes > this.#maxBytes) return;
    if (this.#count === this.#names.length) this.#grow();
    this.#changes++;
    this.#inserted++;
    this.#count++;
    this.#bytes += bytes;
    const slot = this.#slot(1);
    this.#names[slot] = name;
    this.#values[slot] = value;
  }

  /** Sets what the entries may take, and evicts the oldest as long as they take more. */
  resize(maxBytes: number): void {
    this.#maxBytes = maxBytes;
    this.#shrink(maxBytes);
  }

  /** Evicts the oldest entry; there is one. */
  dropOldest(): void {
    this.#drop(this.#count);
  }

  /** Takes back the last {@link insert}, as long as its entry is there. */
  dropNewest(): void {
    this.#drop(1);
    this.#inserted--;
  }

  #shrink(maxBytes: number): void {
    while (this.#count > 0 && this.#bytes > maxBytes) this.dropOldest();
  }

  #drop(index: number): void {
    const slot = this.#slot(index);
    this.#bytes -= this.#names[slot].length + this.#values[slot].length + ENTRY_OVERHEAD_BYTES;
    // An entry that is gone must not hold its strings, or the ring would keep more than the table may.
    this.#names[slot] = "";
    this.#values[slot] = "";
    this.#changes++;
    this.#count--;
  }

  #slot(index: number): number {
    return this.#inserted - index + 1 & this.#names.length - 1;
  }

  #grow(): void {
    const entries = this.entries();
    this.#names = new Array(2 * this.#names.length).fill("");
    this.#values = new Array(2 * this.#values.length).fill("");
    for (const [i, [name, value]] of entries.entries()) {
      const slot = this.#slot(i + 1);
      this.#names[slot] = name;
      this.#values[slot] = value;
    }
  }
}
