/**
 * lmdb (LMDB under Node) in the engine bench; told what to do by one JSON argument.
 */
// deno-lint-ignore-file no-console -- the figures go to standard output
import { createRequire } from "node:module";
import { runGroup } from "./workload.mjs";

const { open: openLmdb } = createRequire(process.env.PAIRDB_BENCH_PEERS + "/")("lmdb");
const spec = JSON.parse(process.argv[2]);

function open({ sync, dir }) {
  const db = openLmdb({
    path: dir,
    keyEncoding: "binary",
    encoding: "binary",
    noSync: !sync,
    // A write is told done when it is as durable as asked for, as everywhere else in this bench.
    overlappingSync: false,
  });
  return Promise.resolve({
    put: (key, value) => db.put(Buffer.from(key.buffer, key.byteOffset, key.length), value),
    get: (key) => db.get(Buffer.from(key.buffer, key.byteOffset, key.length)),
    scan(start, count) {
      let seen = 0;
      const range = start === undefined ? {} : { start: Buffer.from(start) };
      for (const { value } of db.getRange({ ...range, limit: count })) {
        if (value.length === 0) throw new Error("an entry was empty");
        seen++;
      }
      return seen;
    },
    settle: async () => void await db.flushed,
    close: () => db.close(),
  });
}

console.log(JSON.stringify(await runGroup(open, spec)));
process.exit(0);
