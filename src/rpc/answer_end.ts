/**
 * When an answer has been made, for who counts calls.
 *
 * The library ends a call before it writes the answer's last message out. That this one is too large, it
 * finds only then, and tells the client of a failure after the call had ended well. So what ended well is
 * counted when its answer is whole, and before the client can have all of it.
 * @module
 */
import { createContextKey } from "@connectrpc/connect";

/** The end of one call's answer. */
export class AnswerEnd {
  #tell: (() => void) | undefined;
  #isOver = false;

  /** Has `tell` called once, when the answer has ended; at once, when it has. */
  onEnd(tell: () => void): void {
    if (this.#isOver) tell();
    else this.#tell = tell;
  }

  /** The answer is whole, or given up. Later calls do nothing. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#tell?.();
  }

  /** The same body, which ends this when it ends. */
  async *watch(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    try {
      yield* body;
    } finally {
      this.end();
    }
  }
}

/** Under which the pipeline finds it. */
export const answerEndKey = createContextKey<AnswerEnd | undefined>(undefined, {
  description: "the end of the answer",
});
