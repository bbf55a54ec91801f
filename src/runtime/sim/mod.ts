/**
 * A world in memory, the same for the same seed.
 * @module
 */
export * from "./clock.ts";
export * from "./disk.ts";
export * from "./log.ts";
export * from "./network.ts";
export * from "./random.ts";
export * from "./runtime.ts";
export * from "./sandbox.ts";
export * from "./shared_cache.ts";
export * from "./usage.ts";
export * from "./workers.ts";
