/**
 * The streams of a connection that ended last, and how: frames that were on their way when we reset a
 * stream are no fault of the peer, frames after its own END_STREAM are.
 * @module
 */

/** How many are remembered; a frame for an older one is taken for a fault. */
const REMEMBERED = 256;

/** A ring of stream ids. */
export class ClosedStreams {
  readonly #ids = new Uint32Array(REMEMBERED);
  readonly #resetByUs = new Uint8Array(REMEMBERED);
  #next = 0;

  /** Remembers a stream in place of the oldest, or how it ended in the end where it is known already. */
  add(streamId: number, resetByUs: boolean): void {
    const known = this.#ids.indexOf(streamId);
    if (known >= 0) {
      this.#resetByUs[known] = resetByUs ? 1 : 0;
      return;
    }
    this.#ids[this.#next] = streamId;
    this.#resetByUs[this.#next] = resetByUs ? 1 : 0;
    this.#next = (this.#next + 1) % REMEMBERED;
  }

  /** Whether it ended a short while ago. */
  has(streamId: number): boolean {
    return this.#ids.includes(streamId);
  }

  /** Whether it ended by our RST_STREAM, a short while ago. */
  wasResetByUs(streamId: number): boolean {
    const at = this.#ids.indexOf(streamId);
    return at >= 0 && this.#resetByUs[at] === 1;
  }
}
