/**
 * classic-level (LevelDB under Node) in the engine bench; told what to do by one JSON argument.
 */
// deno-lint-ignore-file no-console -- the figures go to standard output
import { createRequire } from "node:module";
import { runGroup } from "./workload.mjs";

const { ClassicLevel } = createRequire(process.env.PAIRDB_BENCH_PEERS + "/")("classic-level");
const spec = JSON.parse(process.argv[2]);

async function open({ sync, dir }) {
  const db = new ClassicLevel(dir, {
    keyEncoding: "view",
    valueEncoding: "view",
    compression: false,
    writeBufferSize: spec.set.memtable,
    cacheSize: spec.set.cache,
    ...(spec.set.table === undefined ? {} : { maxFileSize: spec.set.table }),
  });
  await db.open();
  return {
    put: (key, value) => db.put(key, value, { sync }),
    get: (key) => db.getSync(key),
    async scan(start, count) {
      const iterator = db.iterator(start === undefined ? {} : { gte: start });
      let seen = 0;
      while (seen < count) {
        const entries = await iterator.nextv(Math.min(1000, count - seen));
        if (entries.length === 0) break;
        seen += entries.length;
      }
      await iterator.close();
      return seen;
    },
    settle: () => db.compactRange(new Uint8Array(0), new Uint8Array(17).fill(255)),
    close: () => db.close(),
  };
}

console.log(JSON.stringify(await runGroup(open, spec)));
process.exit(0);
