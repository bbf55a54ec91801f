/**
 * Files that may reach into the ambient world above floor 0, each with what it may use and why.
 * An entry that is no longer needed fails the check: the list can only be as long as it must.
 * @module
 */

/** One file's leave. */
export interface Exception {
  /** Relative to the repository. */
  readonly file: string;
  /** The names it may use, as the rule prints them. */
  readonly uses: readonly string[];
  /** Why the file cannot take it from a Runtime. */
  readonly reason: string;
}

/** All of them. */
export const EXCEPTIONS: readonly Exception[] = [
  {
    file: "src/client/platform.ts",
    uses: ["fetch", "performance", "Math.random", "setTimeout"],
    reason:
      "the SDK also runs in browsers and other people's programs, where there is no Runtime; " +
      "the platform's fetch, clock, timers and chance are its defaults",
  },
  {
    file: "src/client/tls.ts",
    uses: ["Deno"],
    reason:
      "for Deno's fetch there is no other way to be given a CA or a client certificate; where there " +
      "is no Deno, the SDK says so",
  },
];
