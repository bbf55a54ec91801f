/**
 * Which failed calls are made again, and how long the client pauses before.
 *
 *     the server was out of reach, or says that it is     reads            writes
 *       busy, short of memory or room (2001, 2002,        again            again if they were not applied, or
 *       2003, 2008 that passes)                                            have an idempotency key
 *     anything else                                       never            never
 *
 * The n-th pause is `firstMs` doubled n times, `maxMs` at most, and a random half of it less, so that clients
 * who were turned away together do not come back together (Brooker, "Exponential Backoff and Jitter", 2015).
 * Where the server says when it is worth it (`retry_after_ms`), the pause is not shorter. A call that would
 * pause beyond its time, or that the server wants away for longer than `maxMs`, fails at once.
 * @module
 */
import { Code, ConnectError } from "@connectrpc/connect";
import { PairError } from "../model/mod.ts";
import { platformNowMs, platformPause, platformRandom } from "./platform.ts";

/** How calls are made again. */
export interface RetryOptions {
  /** How often a call is made at most. 1: once. Default: 4. */
  readonly attempts?: number | undefined;
  /** The first pause, in milliseconds. Default: 50. */
  readonly firstMs?: number | undefined;
  /** The longest pause, in milliseconds. Default: 2000. */
  readonly maxMs?: number | undefined;
  /** Brings other pauses, such as a test's; absent: the platform's. */
  readonly pause?: ((ms: number, signal: AbortSignal | undefined) => Promise<void>) | undefined;
}

/** What a call is to whoever would make it again: `once` may never be. */
export type CallKind = "once" | "read" | "write" | "keyed write";

/** How one attempt goes. */
export interface Attempt {
  readonly signal: AbortSignal | undefined;
  /** Milliseconds; undefined or 0: no limit. */
  readonly timeoutMs: number | undefined;
}

/** Details of 2008 for what passes without a time that the server could tell. */
const PASSING: ReadonlySet<unknown> = new Set(["memory", "write_stall"]);

/** Makes calls, and makes them again. */
export class Retries {
  readonly #attempts: number;
  readonly #firstMs: number;
  readonly #maxMs: number;
  readonly #pause: NonNullable<RetryOptions["pause"]>;

  constructor(
    { attempts = 4, firstMs = 50, maxMs = 2000, pause = platformPause }: RetryOptions = {},
  ) {
    this.#attempts = attempts;
    this.#firstMs = firstMs;
    this.#maxMs = maxMs;
    this.#pause = pause;
  }

  /**
   * Makes a call until it ends well, or fails for good. All attempts and pauses together have its time.
   * @param make  one attempt; rejects with a PairError, or with the signal's reason
   */
  async run<T>(
    kind: CallKind,
    { signal, timeoutMs }: Attempt,
    make: (attempt: Attempt) => Promise<T>,
  ): Promise<T> {
    const endMs = timeoutMs ? platformNowMs() + timeoutMs : Infinity;
    let leftMs = timeoutMs;
    for (let made = 1;; made++) {
      try {
        return await make({ signal, timeoutMs: leftMs });
      } catch (error) {
        if (made >= this.#attempts || !isWorthwhile(kind, error)) throw error;
        const pauseMs = this.#pauseMs(made, error);
        if (pauseMs === undefined || platformNowMs() + pauseMs >= endMs) throw error;
        await this.#pause(pauseMs, signal);
        if (endMs === Infinity) continue;
        // Protocols say it in whole ms.
        leftMs = Math.floor(endMs - platformNowMs());
        if (leftMs <= 0) throw error;
      }
    }
  }

  /** How long to wait after so many failures; undefined: too long. */
  #pauseMs(failures: number, { details }: PairError): number | undefined {
    const askedMs = Number(details.retry_after_ms ?? 0);
    if (askedMs > this.#maxMs) return undefined;
    const fullMs = Math.min(this.#firstMs * 2 ** (failures - 1), this.#maxMs);
    return Math.max(askedMs, fullMs * (1 - platformRandom() / 2));
  }
}

/** Whether the same call may go well a little later, and does no harm if it has gone well already. */
function isWorthwhile(kind: CallKind, error: unknown): error is PairError {
  if (kind === "once" || !(error instanceof PairError) || !passes(error)) return false;
  return kind !== "write" || error.details.outcome === "not_applied";
}

/** Whether it is a state that passes. */
function passes({ error, details, cause }: PairError): boolean {
  switch (error) {
    case "Unavailable":
      // Time was up once already.
      return !(cause instanceof ConnectError && cause.code === Code.DeadlineExceeded);
    case "DiskFull":
    case "DiskThrottled":
      return true;
    case "ResourceExhausted":
      // A quota of size passes when somebody deletes, what is too large never.
      if (details.reason === "quota" && details.used !== undefined) return false;
      return details.retry_after_ms !== undefined || PASSING.has(details.reason);
    default:
      return false;
  }
}
