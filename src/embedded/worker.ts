/**
 * The worker threads' entry: table jobs on the machine's disk, with the operators that tenants use.
 * @module
 */
import { runTableJob, type TableJob } from "../engine/mod.ts";
import { reconcileOperator } from "../model/mod.ts";
import { denoDisk, serveWorker } from "../runtime/mod.ts";

const disk = denoDisk();
serveWorker((job) => runTableJob(disk, [reconcileOperator], job as TableJob));
