/**
 * A second process for directory_test.ts: opens a data directory, says what came of it in one line, and
 * ends when its standard input does.
 * @module
 */
import { openEngine } from "../../../src/engine/mod.ts";
import { PairError } from "../../../src/model/mod.ts";
import { denoDisk, simRuntime } from "../../../src/runtime/mod.ts";

const say = (line: string) => Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
try {
  const engine = await openEngine({ ...simRuntime(), disk: denoDisk() }, Deno.args[0]);
  say("open");
  await Deno.stdin.read(new Uint8Array(1));
  await engine.close();
} catch (error) {
  say(error instanceof PairError ? error.error : String(error));
}
