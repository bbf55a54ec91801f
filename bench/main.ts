// deno-lint-ignore-file no-console -- a bench prints its figures
/**
 * `deno task bench [engine|server|cache|metrics|abuse|soak] [--count N] [--rounds N] [--sets abc] …`: our
 * figures beside those of the peers that are installed, in one run. Prints a table and keeps it in `bench/results/`.
 * @module
 */
import { benchAbuse } from "./abuse.ts";
import { benchCache } from "./cache.ts";
import { benchEngine, GROUPS } from "./engine.ts";
import { benchMetrics } from "./metrics.ts";
import { save, table } from "./report.ts";
import { benchServer, SERVER_SETS } from "./server.ts";
import { benchSoak } from "./soak.ts";

/** The value behind a flag; undefined when the flag is not there. */
function flag(name: string): string | undefined {
  const at = Deno.args.indexOf(name);
  return at < 0 ? undefined : Deno.args[at + 1] ?? "";
}

function whole(name: string): number | undefined {
  const text = flag(name);
  return text === undefined ? undefined : Number(text);
}

/** Stores are filled by hundreds. */
function hundreds(keys: number): number {
  return Math.ceil(keys / 100) * 100;
}

const [what = "all"] = Deno.args[0]?.startsWith("--") ? [] : Deno.args;
const count = whole("--count");
const rounds = whole("--rounds") ?? 3;
const sets = flag("--sets");
const isOf = (known: string) => sets === undefined || [...sets].every((set) => known.includes(set));
const engineSets = "abc";
const serverSets = Object.keys(SERVER_SETS).join("");
const groups = (flag("--groups") ?? GROUPS.join()).split(",");
const FLAGS = [
  ...["count", "rounds", "sets", "groups", "seconds", "depths", "beyond", "only"],
  ...["minutes", "kills", "seed", "rate", "disk"],
];
const known = Deno.args.every((text) => !text.startsWith("--") || FLAGS.includes(text.slice(2))) &&
  ["all", "engine", "server", "cache", "metrics", "abuse", "soak"].includes(what) &&
  isOf(what === "server" ? serverSets : engineSets) &&
  groups.every((group) => GROUPS.some((known) => known === group));
if (!known || !(rounds >= 1) || (count !== undefined && !(count >= 1))) {
  console.error(
    "usage: deno task bench [engine|server|cache|metrics|abuse|soak] [--count N] [--rounds N] [--sets abc] [--groups a,b]\n" +
      "  [--seconds N] [--depths 1,16] [--beyond N] [--only text]\n" +
      "  soak: [--minutes 60] [--kills 30] [--seed 1] [--rate 3000] [--disk 1024], the disk in MiB\n" +
      "  sets of the engine: a 100 B values, b 1 KiB values, c 100 B values and little memory\n" +
      `  groups of the engine's rows: ${GROUPS.join()}\n` +
      "  sets of the server:\n" +
      Object.entries(SERVER_SETS).map(([letter, text]) => `    ${letter} ${text}\n`).join(""),
  );
  Deno.exit(2);
}

if (what === "all" || what === "cache") {
  console.log(benchCache(count ?? 1_000_000));
}
if (what === "all" || what === "metrics") {
  console.log(benchMetrics(count ?? 1_000_000));
}
if (what === "all" || what === "engine") {
  const { rows, notes } = await benchEngine({
    count: count ?? 1_000_000,
    rounds,
    sets: sets ?? engineSets,
    groups,
  });
  console.log(table(rows));
  console.log(`kept in ${await save("engine", rows, notes)}.{json,txt}`);
}
if (what === "all" || what === "server") {
  const { rows, notes } = await benchServer({
    keys: hundreds(count ?? 100_000),
    beyondKeys: hundreds(whole("--beyond") ?? 1_000_000),
    rounds,
    seconds: whole("--seconds") ?? 2,
    depths: flag("--depths")?.split(",").map(Number) ?? [1, 16, 64, 256],
    sets: what === "server" ? sets ?? serverSets : serverSets,
  });
  console.log([...notes, "", table(rows)].join("\n"));
  console.log(`kept in ${await save("server", rows, notes)}.{json,txt}`);
}
if (what === "abuse") {
  const { rows, notes } = await benchAbuse({ rounds, only: flag("--only") });
  console.log([...notes, "", table(rows)].join("\n"));
  // What was asked about some attacks is no record of all.
  if (flag("--only") === undefined) {
    console.log(`kept in ${await save("abuse", rows, notes)}.{json,txt}`);
  }
}
if (what === "soak") {
  const { text, base, passed } = await benchSoak({
    minutes: whole("--minutes") ?? 60,
    kills: whole("--kills") ?? 30,
    seed: whole("--seed") ?? 1,
    rate: whole("--rate") ?? 3000,
    diskBytes: (whole("--disk") ?? 1024) * 2 ** 20,
  });
  console.log(`${text}\nkept in ${base}.{json,txt,svg}`);
  Deno.exitCode = passed ? 0 : 1;
}
