/**
 * Retries: when a tree's background work that failed is tried again, and whether it keeps failing.
 *
 *     failure     1          2          3      4      5, 6, ...
 *     pause       250 ms     500 ms     1 s    2 s    4 s
 *                                                     it keeps failing: people and writers are told
 *
 * The pause holds whoever asks meanwhile: waiting writers ask all the time. The longest is well below the
 * time that a write is held back, so that one which comes when the disk is sound again gets through.
 * @module
 */
import type { PairError } from "../model/mod.ts";
import type { Cancel, Clock } from "../runtime/mod.ts";
import type { TreeState } from "./tree.ts";

/** The pause after the first failure, in ms. */
const PAUSE_MS_MIN = 250;
/** The longest, in ms. */
const PAUSE_MS_MAX = 4000;
/** Dead threads and full queues cost some tries, and are nobody's affair. */
const LASTING_FROM = 5;

interface Failing {
  /** Failures in a row, each after its pause. */
  count: number;
  /** The last of them. */
  error: PairError;
  /** Ends the pause; undefined while there is none. */
  cancel: Cancel | undefined;
}

/** Retries of one kind of work, by tree. */
export class Retries {
  readonly #clock: Clock;
  readonly #failing = new Map<TreeState, Failing>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether a tree's work has failed and is not to be tried again yet. */
  pauses(tree: TreeState): boolean {
    return this.#failing.get(tree)?.cancel !== undefined;
  }

  /** Why a tree's work keeps failing; undefined when it does not. */
  lasting(tree: TreeState): PairError | undefined {
    const failing = this.#failing.get(tree);
    return failing !== undefined && failing.count >= LASTING_FROM ? failing.error : undefined;
  }

  /** The same of all trees whose work keeps failing. */
  allLasting(): PairError[] {
    return [...this.#failing.keys()].flatMap((tree) => this.lasting(tree) ?? []);
  }

  /**
   * Begins a pause.
   * @param again  called when it is over
   */
  failed(tree: TreeState, error: PairError, again: () => void): void {
    const failing = this.#failing.get(tree) ?? { count: 0, error, cancel: undefined };
    this.#failing.set(tree, failing);
    failing.error = error;
    // What somebody asked for in the pause makes it no longer.
    if (failing.cancel !== undefined) return;
    const pauseMs = Math.min(PAUSE_MS_MAX, PAUSE_MS_MIN * 2 ** failing.count++);
    failing.cancel = this.#clock.after(pauseMs, () => {
      failing.cancel = undefined;
      again();
    });
  }

  /** Forgets a tree's failures: its work has succeeded, or is not wanted any more. */
  forget(tree: TreeState): void {
    this.#failing.get(tree)?.cancel?.();
    this.#failing.delete(tree);
  }
}
