/**
 * Vector clocks: what a version has seen.
 *
 * A clock is a set of write events (node, counter). An entry stands for all events of its node up to
 * its counter; a dot is one event beyond the entries, which appears only while a key has siblings.
 * Source: Preguiça et al., "Dotted Version Vectors", 2010; features E38, E39, X9.
 * @module
 */

/** Events of one node: up to `counter` in an entry, exactly `counter` in a dot. */
export interface ClockEntry {
  /** 1 to 128 bytes. */
  readonly node: string;
  /** 0 to 2^53 - 1. */
  readonly counter: number;
}

/** A set of events. Entries and dots are sorted by node (UTF-16 order), then counter; no dot is covered by an entry. */
export interface VectorClock {
  readonly entries: readonly ClockEntry[];
  readonly dots: readonly ClockEntry[];
}
