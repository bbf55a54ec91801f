/**
 * Usage that a test sets.
 * @module
 */
import type { MemoryUse, Usage } from "../usage.ts";

/** What a simulated process takes: nothing unless told. */
export class SimUsage implements Usage {
  cpus = 1;
  usedMs = 0;
  used: MemoryUse = {
    residentBytes: 0,
    heapBytes: 0,
    heapLimitBytes: 0,
    collections: 0,
    externalBytes: 0,
    limitBytes: 0,
  };

  cpuMs(): number {
    return this.usedMs;
  }

  memory(): MemoryUse {
    return this.used;
  }
}
