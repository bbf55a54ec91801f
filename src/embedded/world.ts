/**
 * The world of a node: the machine's, or one in memory that is gone with the process.
 * @module
 */
import { type EngineJob, runEngineJob } from "../engine/mod.ts";
import { VERSION_OPERATORS } from "../model/mod.ts";
import {
  denoRuntime,
  denoWorkers,
  type Log,
  type Runtime,
  SimDisk,
  SimWorkers,
  workerThread,
} from "../runtime/mod.ts";

/**
 * The machine, with worker threads for work in the background; close `workers` after the node.
 * @param options  `queue`: jobs that may wait for a thread
 */
export function machine(options: { workers: number; queue?: number; log?: Log }): Runtime {
  const workers = denoWorkers({
    size: options.workers,
    queueCountMax: options.queue,
    // `deno compile` embeds the file by name, see deno.json; this very shape is what bundlers find.
    spawn: () => workerThread(new URL("./worker.ts", import.meta.url)),
  });
  return denoRuntime({ workers, log: options.log });
}

/** Real time and chance over a disk in memory; jobs run on this thread. */
export function memory(): Runtime {
  const disk = new SimDisk();
  const workers = new SimWorkers({
    handler: (job) => runEngineJob(disk, VERSION_OPERATORS, job as EngineJob),
  });
  return { ...denoRuntime({ workers }), disk };
}
