/**
 * Rules by which rows come and go, for the cache and for the miniatures that try them out. Found with
 * `deno task bench cache`.
 * @module
 */

/** Rows that the hand looks at to find the one that goes. More cost time and gain next to nothing. */
export const SAMPLE = 5;
/** Accesses, for each row that is kept, after which all counts are halved. */
export const PERIOD = 20;
/** Accesses that a row must have beyond those of the one that would go: with less, equals chase each other out. */
export const AHEAD = 1;
