/**
 * The machine, put together.
 * @module
 */
import { type Log, silentLog } from "../log.ts";
import type { Runtime } from "../runtime.ts";
import type { Workers } from "../workers.ts";
import { denoClock } from "./clock.ts";
import { denoDisk } from "./disk.ts";
import { denoNetwork } from "./network.ts";
import { denoRandom } from "./random.ts";
import { denoUsage } from "./usage.ts";

/** The machine's world. Whoever made the workers closes them. */
export function denoRuntime(parts: { workers: Workers; log?: Log }): Runtime {
  const log = parts.log ?? silentLog;
  return {
    clock: denoClock(),
    random: denoRandom(),
    disk: denoDisk(),
    network: denoNetwork(log),
    workers: parts.workers,
    log,
    usage: denoUsage(),
  };
}
