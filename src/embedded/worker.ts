/**
 * The worker threads' entry: an engine's jobs on the machine's disk, with the operators that tenants use.
 * @module
 */
import { type EngineJob, runEngineJob } from "../engine/mod.ts";
import { VERSION_OPERATORS } from "../model/mod.ts";
import { denoDisk, serveWorker } from "../runtime/mod.ts";

const disk = denoDisk();
serveWorker((job) => runEngineJob(disk, VERSION_OPERATORS, job as EngineJob, true));
