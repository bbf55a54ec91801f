/**
 * Plants bugs: a copy of the sources, one mutation at a time, and the suite that must find it.
 * @module
 */
import assert from "node:assert/strict";
import { type Bug, type Suite, SUITES } from "./bugs.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
/** What the suites need. */
const PARTS = ["src", "tests", "deno.json", "deno.lock"];
/** A suite that takes longer hangs: the bug is found. */
const LIMIT_MS = 400_000;

/** What a suite said of a copy. */
export interface Verdict {
  readonly passed: boolean;
  /** Tests that failed; none when the copy did not even load. */
  readonly failed: readonly string[];
  readonly output: string;
}

/** A copy of the sources in a directory of its own. */
export class Copy {
  readonly #dir: string;

  private constructor(dir: string) {
    this.#dir = dir;
  }

  static async make(): Promise<Copy> {
    const dir = await Deno.makeTempDir({ prefix: "pairdb-planted-" });
    for (const part of PARTS) await copyTree(`${ROOT}${part}`, `${dir}/${part}`);
    return new Copy(dir);
  }

  /** Runs a suite on the copy as it is. */
  async run(suite: Suite): Promise<Verdict> {
    const count: Record<string, string> = suite.count === undefined
      ? {}
      : { PAIRDB_LADDER_COUNT: String(suite.count) };
    const filter = suite.filter === undefined ? [] : ["--filter", suite.filter];
    const child = new Deno.Command(Deno.execPath(), {
      args: ["test", "--allow-all", "--no-check", "--frozen", "--fail-fast", ...filter, suite.file],
      cwd: this.#dir,
      env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", PAIRDB_LADDER_SEED: "1", ...count },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const limit = setTimeout(() => child.kill("SIGKILL"), LIMIT_MS);
    const { success, signal, stdout, stderr } = await child.output();
    clearTimeout(limit);
    const decoder = new TextDecoder();
    const output = decoder.decode(stdout) + decoder.decode(stderr);
    const failed = [...output.matchAll(/^(\S.*) \.\.\. FAILED/gm)].map(([, name]) => name);
    if (signal !== null) failed.push(`hangs: ended after ${LIMIT_MS} ms`);
    // A promise that nobody waits for ends the whole run.
    if (/^error: \(in promise\)|^error: Uncaught/m.test(output)) failed.push("an uncaught error");
    return { passed: success, failed, output };
  }

  /** Plants a bug, runs its suite, and takes the bug out again. */
  async tryBug(bug: Bug): Promise<Verdict> {
    const path = `${this.#dir}/${bug.file}`;
    const source = await Deno.readTextFile(path);
    await Deno.writeTextFile(path, plant(bug, source));
    try {
      return await this.run(SUITES[bug.foundBy]);
    } finally {
      await Deno.writeTextFile(path, source);
    }
  }

  async remove(): Promise<void> {
    await Deno.remove(this.#dir, { recursive: true });
  }
}

/** The source with the bug in it. */
export function plant(bug: Bug, source: string): string {
  let planted = source;
  for (const { find, replace } of [bug, ...(bug.also === undefined ? [] : [bug.also])]) {
    const parts = planted.split(find);
    assert.equal(
      parts.length,
      2,
      `"${bug.name}": the text stands ${parts.length - 1} times in ${bug.file}, not once:\n${find}`,
    );
    assert.notEqual(find, replace, bug.name);
    planted = parts.join(replace);
  }
  return planted;
}

/** The file of a bug, as it is. */
export function readSource(bug: Bug): string {
  return Deno.readTextFileSync(`${ROOT}${bug.file}`);
}

async function copyTree(from: string, to: string): Promise<void> {
  if ((await Deno.stat(from)).isFile) return await Deno.copyFile(from, to);
  await Deno.mkdir(to);
  for await (const { name } of Deno.readDir(from)) {
    await copyTree(`${from}/${name}`, `${to}/${name}`);
  }
}
