/**
 * Tracer: takes spans of work that is over, for those who collect traces.
 * @module
 */

/** Work that is over. */
export interface Span {
  /** What was done; a small set. */
  readonly name: string;
  /** Wall time of its begin, ms since 1970. */
  readonly startedAtMs: number;
  readonly elapsedMs: number;
  /** Who asked for it, as in W3C's header `traceparent`; empty: nobody said. */
  readonly parent: string;
  readonly attributes: Readonly<Record<string, string | number>>;
  /** Why it failed, in a word; undefined: it went well, or the fault is the asker's. */
  readonly failure: string | undefined;
}

/** Takes spans. */
export interface Tracer {
  /** Never throws. */
  span(span: Span): void;
}
