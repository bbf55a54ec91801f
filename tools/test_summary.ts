/**
 * Reads what `deno test` prints. Its JUnit report would be the obvious source, but leaves out modules
 * that throw while loading, and counts steps as tests.
 * @module
 */

/** The outcome of one `deno test`. */
export interface Summary {
  readonly passed: number;
  readonly failed: number;
  /** Names of ignored tests, as the tests print them. */
  readonly skipped: readonly string[];
}

/**
 * @param output   everything it wrote to standard output, without colours
 * @param success  whether it exited with 0
 */
export function readSummary(output: string, success: boolean): Summary {
  const summaries = [...output.matchAll(
    /^(?:ok|FAILED) \| (\d+) passed(?: \([^)]*\))? \| (\d+) failed/gm,
  )];
  const [passed, failed] = (summaries.at(-1) ?? ["", "0", "0"]).slice(1, 3).map(Number);
  // Steps are indented.
  const skipped = [...output.matchAll(/^(\S.*) \.\.\. ignored(?: \(.*\))?$/gm)].map((one) =>
    one[1]
  );
  // A suite that does not compile, or is ended from outside, prints no count.
  return { passed, failed: success ? failed : Math.max(1, failed), skipped };
}
