/**
 * The machine that a bench runs on.
 * @module
 */

/** How many threads wanted to run over the last minute, on how many processors. */
export function busy(): string {
  const load = Deno.loadavg()[0].toFixed(1);
  return `at a load of ${load} on ${navigator.hardwareConcurrency} processors`;
}
