/**
 * A second process for deno_disk_test.ts: takes a lock or runs out of descriptors, says what came of
 * it in one line, and ends when its standard input does.
 * @module
 */
import { denoDisk, DiskError, type ReadFile } from "../../../src/runtime/mod.ts";

const [what, path] = Deno.args;
const disk = denoDisk();

function say(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

if (what === "lock") {
  try {
    disk.lock(path);
    say("locked");
  } catch (error) {
    say(error instanceof DiskError ? error.errno : String(error));
  }
  await Deno.stdin.read(new Uint8Array(1));
}

if (what === "descriptors") {
  const files: ReadFile[] = [];
  let said = "opened all";
  try {
    while (files.length < 5000) files.push(disk.openRead(path));
  } catch (error) {
    said = error instanceof DiskError ? error.errno : String(error);
  }
  for (const file of files) file.close();
  say(said);
}
