/**
 * Jobs: what a node does in the background, in the words of those who ask: tenants, rates and how long it
 * may take.
 * @module
 */
import type { Engine, JobInfo } from "../engine/mod.ts";
import type { NodeJob, NodeJobs } from "./api.ts";

/** All jobs. @param nowMs  wall time */
export function listJobs(
  engine: Pick<Engine, "trees" | "jobs" | "scrub" | "quietUntilMs">,
  nowMs: number,
  ended: boolean,
): NodeJobs {
  const names = new Map(engine.trees().map(({ id, name }) => [id, name]));
  const jobs = [...engine.jobs(), ...(ended ? engine.jobs({ ended: true }) : [])];
  const { damaged, ...scrub } = engine.scrub();
  return {
    jobs: jobs.map((job) => describe(job, names, nowMs)),
    quietUntilMs: engine.quietUntilMs(),
    scrub: {
      ...scrub,
      damaged: damaged.map(({ tree, ...table }) => ({ ...table, tenant: names.get(tree) ?? "" })),
    },
  };
}

function describe(
  { tree, ...job }: JobInfo,
  names: ReadonlyMap<number, string>,
  nowMs: number,
): NodeJob {
  const seconds = Math.max(0, (job.endedAtMs ?? nowMs) - job.startedAtMs) / 1000;
  const rate = seconds === 0 ? 0 : job.bytesDone / seconds;
  const left = job.bytes === undefined ? undefined : job.bytes - job.bytesDone;
  const known = job.endedAtMs === undefined && left !== undefined && rate > 0;
  return {
    ...job,
    tenant: tree === undefined ? undefined : names.get(tree) ?? "",
    rate,
    etaMs: known ? Math.ceil(left / rate * 1000) : undefined,
  };
}
