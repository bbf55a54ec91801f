// deno-lint-ignore-file no-console -- a bench prints its figures
/**
 * `deno task bench [engine|server] [--count N]`: our figures beside those of the peers that are
 * installed, in one run. Prints a table and keeps it in `bench/results/`.
 * @module
 */
import { benchEngine } from "./engine.ts";
import { save, table } from "./report.ts";
import { benchServer } from "./server.ts";

const [what = "all"] = Deno.args.filter((arg) => !arg.startsWith("--") && !/^\d+$/.test(arg));
const at = Deno.args.indexOf("--count");
const count = at < 0 ? undefined : Number(Deno.args[at + 1]);
if (!["all", "engine", "server"].includes(what) || (at >= 0 && !(count! > 0))) {
  console.error("usage: deno task bench [engine|server] [--count N]");
  Deno.exit(2);
}

if (what !== "server") {
  const operations = count ?? 1_000_000;
  const rows = await benchEngine(operations);
  console.log(table(rows));
  const notes = [`${operations} operations; fillsync ${Math.ceil(operations / 20)}`];
  console.log(`kept in ${await save("engine", rows, notes)}.{json,txt}`);
}
if (what !== "engine") {
  const requests = count ?? 50_000;
  const rows = await benchServer(requests);
  console.log(table(rows));
  const notes = [`${requests} requests a row, one generator process for PairDB and etcd`];
  console.log(`kept in ${await save("server", rows, notes)}.{json,txt}`);
}
