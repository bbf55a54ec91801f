/**
 * Last writes: whether a key may have been written since a moment, from memory alone.
 *
 * A slot has the number of the last write to any of its keys. Numbers only rise, so it is the highest, and a
 * key whose slot is not above a moment was not written since. Another key of the same slot makes the answer
 * "perhaps", never a wrong "no".
 * @module
 */

/** Slots: 8 MiB. As many keys written since a row was kept make two of three rows unproven. */
const SLOTS = 1 << 20;

/** The last writes to the keys of one engine since it was opened. */
export class LastWrites {
  readonly #sequences = new Float64Array(SLOTS);

  /** A key was written. @param sequence  above all that were noted before */
  note(tree: number, keyHash: number, sequence: number): void {
    this.#sequences[slotOf(tree, keyHash)] = sequence;
  }

  /** Whether a key may have been written after a moment. */
  mayBeAfter(tree: number, keyHash: number, sequence: number): boolean {
    return this.#sequences[slotOf(tree, keyHash)] > sequence;
  }
}

function slotOf(tree: number, keyHash: number): number {
  // Multiplied once more, since tables' filters and the row cache take bits of the same hash.
  return Math.imul(keyHash ^ Math.imul(tree, 0x9e3779b1), 0x85ebca6b) >>> 12;
}
