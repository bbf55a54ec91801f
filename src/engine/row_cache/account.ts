/**
 * Accounts: what each tree has in the row cache, and of a tree with a share where its rows are.
 *
 * Rows of a tree lie among all others. One that has to make way for another of its own is looked for in a list, of
 * positions and hashes. Nobody takes a row off that list when it goes, for which a row would have to know its place
 * there: what is listed and is a row no more is found out when the hand comes by, or when half of the list may be so.
 * @module
 */

/** What a hand that looks for rows to evict has found so far. */
export class Hand {
  /** Mean age of the rows that it came by, in accesses. */
  meanAge = 1;
  /** The lowest score that it last found, and how often a row was refused by it since. */
  bar = -Infinity;
  refusals = 0;
}

/** Whether a tree has a row at a position, whose hash is this. */
export type IsRow = (tree: number, position: number, hash: number) => boolean;

/** Rows that are listed in vain, beside as many as there are in earnest. */
const SLACK = 16;

/** What a tree has. */
export class Account {
  readonly tree: number;
  bytes = 0;
  rows = 0;
  /** Bytes that it may have. */
  limit = Infinity;
  /** Of its own rows. */
  hand = new Hand();
  // Two for each row: position, hash.
  #listed: number[] | undefined;
  #at = 0;

  constructor(tree: number) {
    this.tree = tree;
  }

  /** Whether it has more than its share with so many bytes more. */
  isOver(bytes: number): boolean {
    return this.bytes + bytes > this.limit;
  }

  /** Whether its rows are listed: only those of a tree with a share are. */
  get isListed(): boolean {
    return this.#listed !== undefined;
  }

  /** Begins a list. */
  list(): void {
    this.#listed = [];
  }

  /** Ends it. */
  unlist(): void {
    this.#listed = undefined;
  }

  /** All rows are gone. */
  clear(): void {
    this.bytes = 0;
    this.rows = 0;
    this.hand = new Hand();
    if (this.isListed) this.list();
  }

  /** Lists a row. @param isRow  tells of those that were listed before */
  add(position: number, hash: number, isRow: IsRow): void {
    const listed = this.#listed!;
    if (listed.length > 4 * (this.rows + SLACK)) this.#tidy(isRow);
    listed.push(position, hash);
  }

  /** The position of the next row, round and round; 0 when there is none. */
  next(isRow: IsRow): number {
    const listed = this.#listed!;
    while (listed.length > 0) {
      if (this.#at >= listed.length) this.#at = 0;
      const at = this.#at;
      const position = listed[at];
      if (isRow(this.tree, position, listed[at + 1])) {
        this.#at += 2;
        return position;
      }
      // The last one takes its place.
      listed[at + 1] = listed[listed.length - 1];
      listed[at] = listed[listed.length - 2];
      listed.length -= 2;
    }
    return 0;
  }

  /** Keeps what is a row, once: where one went and came back to its place it is there twice. */
  #tidy(isRow: IsRow): void {
    const listed = this.#listed!;
    const seen = new Set<number>();
    let kept = 0;
    for (let i = 0; i < listed.length; i += 2) {
      if (seen.has(listed[i]) || !isRow(this.tree, listed[i], listed[i + 1])) continue;
      seen.add(listed[i]);
      listed[kept++] = listed[i];
      listed[kept++] = listed[i + 1];
    }
    listed.length = kept;
  }
}
