/**
 * The ambient things in the client: the platform's `fetch`, its clock, timers and chance.
 *
 * Everything else in PairDB takes the world from a Runtime. The client also runs in browsers and in
 * other people's Node.js and Deno programs, where nobody has a Runtime to hand in and everybody has
 * these; so they are the default here, and options (`ConnectOptions.fetch`, `RetryOptions.pause`) for
 * whoever brings others, such as a test.
 * @module
 */

/** What the client needs of `fetch`. */
export type Fetch = typeof globalThis.fetch;

/** The platform's own `fetch`, looked up at the call so that a program may still replace it. */
export const platformFetch: Fetch = (input, init) => globalThis.fetch(input, init);

/** Milliseconds on a clock that only goes forward. */
export function platformNowMs(): number {
  return performance.now();
}

/** From 0 to below 1. */
export function platformRandom(): number {
  return Math.random();
}

/** Resolves after so many milliseconds; rejects with the signal's reason when it is aborted before. */
export function platformPause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const giveUp = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", giveUp);
      resolve();
    }, ms);
    if (signal?.aborted) giveUp();
    else signal?.addEventListener("abort", giveUp, { once: true });
  });
}
