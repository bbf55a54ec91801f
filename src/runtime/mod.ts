/**
 * Floor 0: the world as interfaces, and two implementations of each: the machine (`deno...`) and a
 * deterministic one in memory (`Sim...`). Nothing above this floor reaches the world in another way.
 * @module
 */
export * from "./clock.ts";
export * from "./crypto.ts";
export * from "./disk.ts";
export * from "./disk_layer.ts";
export * from "./file_pool.ts";
export * from "./log.ts";
export * from "./network.ts";
export * from "./process.ts";
export * from "./random.ts";
export * from "./runtime.ts";
export * from "./sandbox.ts";
export * from "./shared_cache.ts";
export * from "./tracer.ts";
export * from "./usage.ts";
export * from "./workers.ts";
export * from "./deno/mod.ts";
export * from "./sim/mod.ts";
