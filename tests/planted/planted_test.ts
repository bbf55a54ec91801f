/**
 * The tests are tested: each planted bug is found by its suite, and the suites pass without one.
 *
 * That the suites pass without a bug the same run of the tests shows, as a rule. PAIRDB_PLANTED=all tries
 * that here too, and PAIRDB_PLANTED=name,name only with bugs whose names contain one of these.
 * @module
 */
import assert from "node:assert/strict";
import { type Bug, BUGS, type Suite, SUITES } from "./bugs.ts";
import { Copy, plant, readSource } from "./plant.ts";

/** Copies that are tried at the same time. */
const COPIES = 2;
const CHOICE = Deno.env.get("PAIRDB_PLANTED");
const ONLY = (CHOICE ?? "all").split(",");

const chosen = BUGS.filter(({ name }) =>
  ONLY.some((part) => part === "all" || name.includes(part))
);

Deno.test("every bug can be planted: its text stands in the sources once", () => {
  const problems = BUGS.flatMap((bug) => {
    try {
      plant(bug, readSource(bug));
      return [];
    } catch (error) {
      return [(error as Error).message];
    }
  });
  assert.deepEqual(problems, []);
  assert.equal(new Set(BUGS.map(({ name }) => name)).size, BUGS.length, "names are unique");
  assert.ok(BUGS.length >= 30, `${BUGS.length} bugs`);
});

Deno.test("every planted bug is found, and without one the suites pass", async () => {
  const suites = new Map(chosen.map(({ foundBy }) => [foundBy, SUITES[foundBy] as Suite]));
  const work: (Bug | [name: string, suite: Suite])[] = [
    ...(CHOICE === undefined ? [] : suites),
    ...chosen,
  ];
  const problems: string[] = [];
  let found = 0;
  const carryOut = async (copy: Copy, item: Bug | [string, Suite]) => {
    const from = performance.now();
    if (Array.isArray(item)) {
      const [name, suite] = item;
      const { passed, output } = await copy.run(suite);
      if (!passed) {
        problems.push(`the suite "${name}" fails without a bug:\n${output.slice(-2000)}`);
      }
      return say(`sound: ${name}`, from);
    }
    const { passed, failed, output } = await copy.tryBug(item);
    if (passed) problems.push(`"${item.name}" is found by no test of ${SUITES[item.foundBy].file}`);
    else if (failed.length > 0) found++;
    // It does not load, or breaks what is not a test.
    else problems.push(`"${item.name}" is no good bug:\n${output.slice(-2000)}`);
    say(`${passed ? "NOT FOUND" : "found"}: ${item.name} (${failed[0] ?? "-"})`, from);
  };
  await Promise.all(Array.from({ length: COPIES }, async () => {
    const copy = await Copy.make();
    try {
      for (let item = work.shift(); item !== undefined; item = work.shift()) {
        await carryOut(copy, item);
      }
    } finally {
      await copy.remove();
    }
  }));
  assert.deepEqual(problems, []);
  assert.equal(found, chosen.length);
});

function say(text: string, from: number): void {
  const ms = Math.round(performance.now() - from);
  Deno.stdout.writeSync(new TextEncoder().encode(`planted ${text}, ${ms} ms\n`));
}
