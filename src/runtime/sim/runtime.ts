/**
 * A world in memory, put together.
 * @module
 */
import type { Runtime } from "../runtime.ts";
import { SimClock } from "./clock.ts";
import { SimDisk, type SimDiskHook, type SimDiskImage } from "./disk.ts";
import { type MemoryLog, memoryLog } from "./log.ts";
import { SimNetwork } from "./network.ts";
import { SimRandom } from "./random.ts";
import { SimUsage } from "./usage.ts";
import { SimWorkers } from "./workers.ts";

/** How to make a simulated world. */
export interface SimRuntimeOptions {
  /** The same seed and the same calls give the same run. Default 0. */
  readonly seed?: number;
  /** Carries out the jobs of `workers`. By default every job fails. */
  readonly handler?: (job: unknown) => unknown;
  /** Jobs at a time. Default 2. */
  readonly workerCount?: number;
  /** Wall time at the start, in ms since 1970. Default: the start of 2026. */
  readonly startWallMs?: number;
  /**
   * Whether syncs, asynchronous reads and jobs take virtual time, so that interleavings differ by
   * seed; then somebody must move the clock (`clock.runUntil(...)`). Default false: a microtask.
   */
  readonly delays?: boolean;
  /** Starts from a disk as it was. Default: an empty one. */
  readonly image?: SimDiskImage;
  /** See {@link SimDisk.capacityBytes}. */
  readonly capacityBytes?: number;
  /** See {@link SimDisk.hook}. */
  readonly hook?: SimDiskHook;
}

/** A {@link Runtime} whose parts can be driven. */
export interface SimRuntime extends Runtime {
  /** Moves when told to. */
  readonly clock: SimClock;
  /** The world's own stream; disk and workers have theirs. */
  readonly random: SimRandom;
  /** Can crash, fail and rot. */
  readonly disk: SimDisk;
  /** Ends at this world. */
  readonly network: SimNetwork;
  /** Run on this thread. */
  readonly workers: SimWorkers;
  /** Remembers. */
  readonly log: MemoryLog;
  /** Nothing unless set. */
  readonly usage: SimUsage;
}

/** A whole world in memory. Its parts draw from streams of chance of their own, all from one seed. */
export function simRuntime(options: SimRuntimeOptions = {}): SimRuntime {
  const { capacityBytes, hook, image } = options;
  const random = new SimRandom(options.seed ?? 0);
  const clock = new SimClock(options.startWallMs);
  const delays = options.delays ? clock : undefined;
  const diskOptions = { clock: delays, random: random.fork(), capacityBytes, hook };
  return {
    clock,
    random,
    disk: image ? SimDisk.fromImage(image, diskOptions) : new SimDisk(diskOptions),
    network: new SimNetwork(),
    workers: new SimWorkers({
      handler: options.handler ?? noHandler,
      size: options.workerCount,
      clock: delays,
      random: random.fork(),
    }),
    log: memoryLog(),
    usage: new SimUsage(),
  };
}

function noHandler(): never {
  throw new Error("this simulated world was made without a handler for jobs");
}
