/**
 * Flow control (RFC 9113, section 5.2): how many bytes of DATA may be on their way, for a stream and for
 * the whole connection. Two kinds of window: one that we must not overrun, one that we grant.
 * @module
 */
import { ERROR, Http2Error, MAX_31 } from "./frames.ts";

/** What the peer lets us send. May be negative after a change of SETTINGS (RFC 9113, section 6.9.2). */
export class SendWindow {
  #bytes: number;

  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  /** Bytes that may be sent now; 0 or less: none. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Counts what was sent. */
  take(bytes: number): void {
    this.#bytes -= bytes;
  }

  /**
   * Widens the window, or narrows it by a negative number.
   * @throws Http2Error FLOW_CONTROL_ERROR beyond 2^31 - 1
   */
  widen(bytes: number, streamId: number): void {
    this.#bytes += bytes;
    if (this.#bytes > MAX_31) {
      throw new Http2Error(ERROR.FLOW_CONTROL_ERROR, "a window is wider than 2^31 - 1", streamId);
    }
  }
}

/** What we let the peer send. It gets back what was consumed once that is half of the window. */
export class ReceiveWindow {
  readonly #size: number;
  #left: number;
  /** Consumed and not yet granted anew. */
  #owed = 0;

  constructor(size: number) {
    this.#size = size;
    this.#left = size;
  }

  /**
   * Counts what has come, padding included.
   * @throws Http2Error FLOW_CONTROL_ERROR when the peer was not allowed that much
   */
  receive(bytes: number, streamId: number): void {
    this.#left -= bytes;
    if (this.#left < 0) {
      throw new Http2Error(ERROR.FLOW_CONTROL_ERROR, "more DATA than the window allows", streamId);
    }
  }

  /** Counts what was used or dropped. @returns the increment to announce now, or 0 */
  consume(bytes: number): number {
    this.#owed += bytes;
    if (this.#owed * 2 < this.#size) return 0;
    const increment = this.#owed;
    this.#left += increment;
    this.#owed = 0;
    return increment;
  }
}
