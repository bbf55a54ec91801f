/**
 * Real input through the whole program: Debian's package list, tens of thousands of records, imported
 * by one process into another that is killed with kill -9 in the middle and at the end.
 *
 *     apt-get update                          once, where `apt-cache dumpavail` prints nothing
 *     deno run -A tests/e2e/import_real.ts [--records N]     N: the first so many only
 *
 * One record for each package: its name, and its paragraph of the list; of two with one name the later.
 *   1  import, and kill the server in the middle: the importer must end with 1 and say how far it got;
 *      what it was told was stored must be exported after a restart, byte for byte, and nothing but
 *      records of the input may be there
 *   2  import all, and kill the server at once when the importer is done: after a restart the export
 *      is the input, byte for byte
 *   3  import all again: nothing changes, neither the export nor the last sequence number
 *   4  `pairdb check` finds every checksum right
 * Prints counts, bytes and seconds. Fails with an AssertionError and exit code 1.
 * @module
 */
import assert from "node:assert/strict";
import { parseArgs } from "node:util";
import { missingProgram } from "../support/needs.ts";
import {
  endOf,
  lastSequence,
  runProgram,
  Server,
  startProgram,
  withDirectory,
} from "../support/server.ts";

const TENANT = "debian";

/** More than a batch of the importer. */
const LINES_HELD_BACK = 1500;

/** How a run goes. */
export interface ImportRealOptions {
  /** Key → value. */
  readonly records: ReadonlyMap<string, string>;
  /** A new directory for the input file and the data. */
  readonly directory: string;
  /** The server is killed when so much of the input is in: more than the importer has under way (4000). */
  readonly killAtShare: number;
  readonly say?: (text: string) => void;
}

/** What a run saw. */
export interface ImportRealReport {
  readonly records: number;
  readonly inputBytes: number;
  /** Records that the importer was told were stored before the kill. */
  readonly toldStored: number;
  /** Records that were there after it. */
  readonly foundAfterKill: number;
  readonly lastSequence: number;
  /** The complete import, of which `foundAfterKill` records were there already. */
  readonly importSeconds: number;
  readonly secondImportSeconds: number;
  readonly exportSeconds: number;
  /** From the start of the process to its ready line, after each kill. */
  readonly restartMs: readonly number[];
}

/**
 * The packages that apt knows, by name.
 * @returns undefined, and why in words, where there are none
 */
export async function debianPackages(
  most = Infinity,
): Promise<{ records: Map<string, string> } | { missing: string }> {
  const missing = missingProgram("apt-cache");
  if (missing !== undefined) return { missing };
  const { stdout } = await new Deno.Command("apt-cache", { args: ["dumpavail"] }).output();
  const records = new Map<string, string>();
  for (const paragraph of new TextDecoder().decode(stdout).split("\n\n")) {
    const name = /^Package: (\S+)$/m.exec(paragraph)?.[1];
    if (name === undefined) continue;
    if (records.size >= most && !records.has(name)) break;
    records.set(name, paragraph);
  }
  if (records.size < 1000) return { missing: "apt-cache dumpavail is empty: run apt-get update" };
  return { records };
}

/** Does all of it. @throws AssertionError */
export async function importReal(options: ImportRealOptions): Promise<ImportRealReport> {
  const { records, directory, killAtShare, say = () => {} } = options;
  const data = `${directory}/data`;
  const file = `${directory}/input.jsonl`;
  const lines = [...records].map(([key, value]) => JSON.stringify({ key, value }));
  await Deno.writeTextFile(file, lines.map((line) => `${line}\n`).join(""));
  const inputBytes = (await Deno.stat(file)).size;
  say(`input: ${records.size} records, ${inputBytes} bytes`);

  const first = await Server.start({ data });
  const { told, err } = await importUntilKilled(first, lines, records.size * killAtShare);
  say(`killed in the middle; the importer said: ${err.trim().replaceAll("\n", " | ")}`);
  assert.ok(told > 0 && told < records.size, `the kill was not in the middle: ${err}`);

  const second = await Server.start({ data });
  let complete, found;
  try {
    assertNoLoss(second);
    found = await exported(second);
    for (const [key, value] of found.records) {
      assert.ok(records.get(key) === value, `exported ${key} is not what was imported`);
    }
    for (const line of lines.slice(0, told)) {
      const { key } = JSON.parse(line);
      assert.ok(found.records.has(key), `${key} was told to be stored, and is gone`);
    }
    say(`after the restart: all ${told} are there, ${found.records.size} in all`);
    complete = await importAll(second, file);
    assert.equal(
      complete.out,
      `imported ${records.size} records (${found.records.size} unchanged)\n`,
    );
  } finally {
    await second.kill();
  }
  say(`complete import: ${complete.seconds} s, ${complete.out.trim()}; killed at once`);

  const third = await Server.start({ data });
  try {
    assertNoLoss(third);
    const before = await exported(third);
    assertSame(before.records, records);
    const sequence = await lastSequence(third);
    const again = await importAll(third, file);
    assert.equal(again.out, `imported ${records.size} records (${records.size} unchanged)\n`);
    const after = await exported(third);
    assert.ok(after.text === before.text, "the second import changed the export");
    assert.equal(await lastSequence(third), sequence, "the second import wrote something");
    assert.equal(await third.stop(), 0);
    const checked = await runProgram("check", data);
    assert.equal(checked.code, 0, checked.out + checked.err);
    say(`second import: ${again.seconds} s, nothing changed, last sequence ${sequence}`);
    return {
      records: records.size,
      inputBytes,
      toldStored: told,
      foundAfterKill: found.records.size,
      lastSequence: sequence,
      importSeconds: complete.seconds,
      secondImportSeconds: again.seconds,
      exportSeconds: after.seconds,
      restartMs: [second.readyMs, third.readyMs],
    };
  } finally {
    await third.kill();
  }
}

/**
 * Kills the server once `most` records are in. The last lines reach the importer only after that, so
 * that it cannot be done before.
 * @returns how many records the importer calls stored, and all that it said
 */
async function importUntilKilled(
  server: Server,
  lines: readonly string[],
  most: number,
): Promise<{ told: number; err: string }> {
  const killed = Promise.withResolvers<void>();
  try {
    const importing = startProgram(["import", TENANT, "-", "--server", server.url], "piped");
    const ending = endOf(importing, "import");
    const feeding = feed(importing.stdin, lines, killed.promise);
    while (await lastSequence(server) < most);
    await server.kill();
    killed.resolve();
    await feeding;
    const { code, out, err } = await ending;
    assert.equal(code, 1, `an importer whose server is gone: ${out}${err}`);
    assert.equal(out, "");
    const said =
      /^stored through line (\d+) \((\d+) records\)\nerror: .* \(code 2001 Unavailable\)\n$/
        .exec(err);
    assert.ok(
      said !== null && said[1] === said[2],
      `the importer does not say how far it got: ${err}`,
    );
    return { told: Number(said[1]), err };
  } finally {
    await server.kill();
    killed.resolve();
  }
}

/** Writes lines as fast as they are taken, but the last ones only after `killed`. */
async function feed(
  to: WritableStream<Uint8Array>,
  lines: readonly string[],
  killed: Promise<void>,
): Promise<void> {
  const text = (from: number, end?: number) =>
    new TextEncoder().encode(lines.slice(from, end).map((line) => `${line}\n`).join(""));
  const writer = to.getWriter();
  try {
    const held = lines.length - LINES_HELD_BACK;
    for (let at = 0; at < held; at += 100) await writer.write(text(at, Math.min(at + 100, held)));
    await killed;
    await writer.write(text(held));
    await writer.close();
  } catch (error) {
    // An importer that has given up reads no more.
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}

async function importAll(server: Server, file: string): Promise<{ out: string; seconds: number }> {
  const from = performance.now();
  const { code, out, err } = await runProgram("import", TENANT, file, "--server", server.url);
  assert.equal(code, 0, err);
  assert.equal(err, "");
  return { out, seconds: secondsSince(from) };
}

async function exported(
  server: Server,
): Promise<{ text: string; records: Map<string, string>; seconds: number }> {
  const from = performance.now();
  const { code, out, err } = await runProgram("export", TENANT, "--server", server.url);
  assert.equal(code, 0, err);
  const records = new Map<string, string>();
  for (const line of out.split("\n").slice(0, -1)) {
    const { key, value } = JSON.parse(line);
    assert.ok(typeof value === "string" && !records.has(key), `export: ${line.slice(0, 100)}`);
    records.set(key, value);
  }
  assert.match(err, new RegExp(`^exported ${records.size} records\n$`));
  return { text: out, records, seconds: secondsSince(from) };
}

/** Without printing megabytes when they differ. */
function assertSame(found: ReadonlyMap<string, string>, wanted: ReadonlyMap<string, string>): void {
  for (const [key, value] of wanted) {
    assert.ok(found.get(key) === value, `exported ${key} is not what was imported`);
  }
  assert.equal(found.size, wanted.size);
}

function assertNoLoss(server: Server): void {
  assert.deepEqual(server.events("recovered").map((event) => event.losses), [0], server.log);
}

function secondsSince(from: number): number {
  return Math.round((performance.now() - from) / 100) / 10;
}

if (import.meta.main) {
  const { values } = parseArgs({ args: Deno.args, options: { records: { type: "string" } } });
  const say = (text: string) => Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
  const packages = await debianPackages(Number(values.records ?? Infinity));
  if ("missing" in packages) {
    say(packages.missing);
    Deno.exit(1);
  }
  await withDirectory(async (directory) => {
    const report = await importReal({ ...packages, directory, killAtShare: 0.4, say });
    say(JSON.stringify(report, null, 2));
  });
}
