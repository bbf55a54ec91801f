/**
 * Arenas: the memory of a memtable that was flushed, for the next one.
 *
 * Memory that threads share is not in the garbage collector's books: what a fast writer leaves behind would
 * pile up until a collection happens to come for other reasons. And memory that was used before has its pages.
 * @module
 */

/** At most one arena, ready to be used again. */
export class Arenas {
  #spare: SharedArrayBuffer | undefined;

  /** An arena of this size. It may hold anything. */
  take(bytes: number): SharedArrayBuffer {
    const spare = this.#spare;
    if (spare?.byteLength !== bytes) return new SharedArrayBuffer(bytes);
    this.#spare = undefined;
    return spare;
  }

  /** Takes one that nobody looks into any more; of two it keeps the larger. */
  give(arena: SharedArrayBuffer): void {
    if (arena.byteLength > (this.#spare?.byteLength ?? 0)) this.#spare = arena;
  }

  /** Gives up what is kept. */
  clear(): void {
    this.#spare = undefined;
  }
}
