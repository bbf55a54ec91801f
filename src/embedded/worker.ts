/**
 * The worker threads' entry: an engine's jobs on the machine's disk, with the operators that tenants use.
 * @module
 */
import { type EngineJob, runEngineJob } from "../engine/mod.ts";
import { reconcileOperator } from "../model/mod.ts";
import { denoDisk, serveWorker } from "../runtime/mod.ts";

const disk = denoDisk();
serveWorker((job) => runEngineJob(disk, [reconcileOperator], job as EngineJob, true));
