/**
 * What this process takes of the machine.
 * @module
 */
import process from "node:process";
import { getHeapStatistics } from "node:v8";
import type { MemoryUse, Usage } from "../usage.ts";

/** The limit of the process's control group, version 2: a number, or `max`. */
const GROUP_LIMIT = "/sys/fs/cgroup/memory.max";

/** This process. What the system does not tell, or may not be asked for, is 0. */
export function denoUsage(): Usage {
  const limitBytes = memoryLimit();
  const heapLimitBytes = getHeapStatistics().heap_size_limit;
  let collections = 0;
  // An object that nobody holds is found by the next full collection: then there is another.
  const found = new FinalizationRegistry(() => {
    collections++;
    found.register({}, undefined);
  });
  found.register({}, undefined);
  return {
    cpus: Math.max(1, navigator.hardwareConcurrency),
    cpuMs() {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1000;
    },
    memory(): MemoryUse {
      const { rss, heapUsed, external } = Deno.memoryUsage();
      return {
        residentBytes: rss,
        heapBytes: heapUsed,
        heapLimitBytes,
        collections,
        externalBytes: external,
        limitBytes,
      };
    },
  };
}

function memoryLimit(): number {
  const machine = orZero(() => Deno.systemMemoryInfo().total);
  const group = orZero(() => Number(Deno.readTextFileSync(GROUP_LIMIT)));
  return group > 0 && (machine === 0 || group < machine) ? group : machine;
}

/** A figure that a machine may not have, or not give away. */
function orZero(ask: () => number): number {
  try {
    const found = ask();
    return Number.isFinite(found) ? found : 0;
  } catch {
    return 0;
  }
}
