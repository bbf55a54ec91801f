// deno-lint-ignore-file no-console -- the figures go to standard output
/**
 * Our engine in the engine bench: a process of its own, told what to do by one JSON argument.
 * @module
 */
import { machine } from "../../src/embedded/mod.ts";
import {
  DEFAULT_ENGINE_OPTIONS,
  type EngineOptions,
  KIND_PUT,
  openEngine,
} from "../../src/engine/mod.ts";
import type { Spec } from "./spec.ts";
import { runGroup } from "./workload.mjs";

const spec: Spec = JSON.parse(Deno.args[0]);

async function open({ sync, dir }: { sync: boolean; dir: string }) {
  const world = machine({ workers: 2 });
  // As `serve` does; the threads are there before the first row.
  if (spec.group !== "reopen") await world.workers.prepare();
  const { memtable, cache, table } = spec.set;
  const options: EngineOptions = {
    ...DEFAULT_ENGINE_OPTIONS,
    log: { ...DEFAULT_ENGINE_OPTIONS.log, syncMode: sync ? "always" : "none" },
    memtableSize: memtable,
    // What the others have for blocks is for blocks and rows here.
    blockCacheSize: cache / 2,
    rowCacheSize: cache / 2,
    compaction: {
      ...DEFAULT_ENGINE_OPTIONS.compaction,
      ...(table === undefined ? {} : { targetTableSize: table, tableSizeMultiplier: 1 }),
    },
  };
  const engine = await openEngine(world, dir, options);
  const tree = engine.tree("bench") ?? await engine.createTree("bench");
  return {
    put: (key: Uint8Array, value: Uint8Array) =>
      engine.write([{ tree, kind: KIND_PUT, key, value }]),
    get: (key: Uint8Array) => engine.get(tree, key),
    scan(start: Uint8Array | undefined, count: number) {
      const cursor = engine.scan(tree, start === undefined ? {} : { start });
      let seen = 0;
      let bytes = 0;
      while (seen < count && cursor.next()) {
        bytes += cursor.key.length + cursor.value.length;
        seen++;
      }
      cursor.close();
      if (seen > 0 && bytes === 0) throw new Error("the entries were empty");
      return seen;
    },
    async admit() {
      for (let wait = engine.admit(tree); wait !== undefined; wait = engine.admit(tree, true)) {
        await wait;
      }
    },
    async settle() {
      await engine.flush();
      if (table !== undefined) await engine.compact();
      // What is due starts behind what is done: over when there was nothing for two looks.
      for (let idle = 0; idle < 2;) {
        idle = engine.jobs().length === 0 ? idle + 1 : 0;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    counters() {
      const stats = engine.stats();
      return {
        blocksRead: stats.blockCacheMisses,
        diskBytes: stats.tableBytes,
        tableBytesWritten: stats.compactionBytesWritten +
          stats.flushBytesWritten,
      };
    },
    async close() {
      await engine.close();
      await world.workers.close();
    },
  };
}

console.log(JSON.stringify(await runGroup(open, spec)));
// Without closing what is still open: that is what the group `reopen` is about.
Deno.exit(0);
