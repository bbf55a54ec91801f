/**
 * Usage: what the process takes of its machine.
 * @module
 */

/** Memory, in bytes. */
export interface MemoryUse {
  /** Of the process, as the system counts it; 0: unknown. */
  readonly residentBytes: number;
  /** Of JavaScript objects. */
  readonly heapBytes: number;
  /** What those may take before the process ends; 0: unknown. */
  readonly heapLimitBytes: number;
  /** Full collections of garbage so far. */
  readonly collections: number;
  /** Of buffers outside the heap. */
  readonly externalBytes: number;
  /** What the process may have: the machine's, or its control group's where that is less; 0: unknown. */
  readonly limitBytes: number;
}

/** What the process takes. */
export interface Usage {
  /** Processors that it may use; at least 1. */
  readonly cpus: number;
  /** Time that its threads have run, ms, all together; never goes back. */
  cpuMs(): number;
  memory(): MemoryUse;
}
