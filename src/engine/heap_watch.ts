/**
 * The heap watch: how much of the heap is in use for good. What is in use at one moment includes what the
 * next collection frees, and near its limit a heap is full of that now and then without being short; so the
 * least since the last full collection counts.
 *
 *     heap      ╱│  ╱│ ╱│        │ a full collection
 *              ╱ │ ╱ │╱ │        the share is that of the low points
 *             ╱  │╱  ╵  ╵
 * @module
 */
import type { Usage } from "../runtime/mod.ts";

/** Looks at the heap at most this often, in ms: asking costs more than a small write. */
const LOOK_MS = 200;

/** Watches the heap of this process. */
export class HeapWatch {
  readonly #usage: Usage;
  #lookedMs = -Infinity;
  #collections = -1;
  #leastBytes = Infinity;
  #share = 0;

  constructor(usage: Usage) {
    this.#usage = usage;
  }

  /**
   * The share of the heap's limit that is in use for good, from 0 to 1; 0 where the limit is not known.
   * @param nowMs  a clock that never goes back
   */
  share(nowMs: number): number {
    if (nowMs - this.#lookedMs < LOOK_MS) return this.#share;
    this.#lookedMs = nowMs;
    const { heapBytes, heapLimitBytes, collections } = this.#usage.memory();
    if (collections !== this.#collections) {
      this.#collections = collections;
      this.#leastBytes = heapBytes;
    }
    this.#leastBytes = Math.min(this.#leastBytes, heapBytes);
    return this.#share = heapLimitBytes === 0 ? 0 : this.#leastBytes / heapLimitBytes;
  }
}
