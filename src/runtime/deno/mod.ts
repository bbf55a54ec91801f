/**
 * The machine, through Deno.
 * @module
 */
export * from "./clock.ts";
export { denoDisk } from "./disk.ts";
export * from "./log.ts";
export * from "./network.ts";
export { denoProcess } from "./process.ts";
export * from "./random.ts";
export * from "./runtime.ts";
export { denoSandbox } from "./sandbox.ts";
export * from "./serve_worker.ts";
export { denoSharedCache } from "./shared_cache/mod.ts";
export * from "./tracer.ts";
export * from "./usage.ts";
export * from "./workers.ts";
