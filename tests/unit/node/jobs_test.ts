import assert from "node:assert/strict";
import type { JobInfo, ScrubStatus, Tree } from "../../../src/engine/mod.ts";
import { listJobs } from "../../../src/node/jobs.ts";

const JOB: JobInfo = {
  id: 7,
  kind: "compaction",
  tree: 3,
  state: "running",
  level: 0,
  outputLevel: 1,
  inputs: [12, 13],
  startedAtMs: 10_000,
  endedAtMs: undefined,
  bytes: 4000,
  bytesDone: 1000,
  error: undefined,
};
const SCRUB: ScrubStatus = {
  intervalMs: 1000,
  running: false,
  startedAtMs: 500,
  nextAtMs: 1250,
  late: false,
  waitsFor: undefined,
  bytes: undefined,
  bytesDone: 0,
  rounds: 1,
  damaged: [
    { file: "tenants/shop~3/000012.sst", tree: 3, problem: "damaged" },
    { file: "tenants/gone~4/000013.sst", tree: 4, problem: "damaged" },
  ],
};

function of(
  active: readonly JobInfo[],
  over: readonly JobInfo[] = [],
  nowMs = 12_000,
  ended = false,
) {
  const engine = {
    trees: () => [{ id: 3, name: "shop" } as Tree],
    jobs: ({ ended = false } = {}) => ended ? over : active,
    scrub: () => SCRUB,
    quietUntilMs: () => 13_000,
  };
  return listJobs(engine, nowMs, ended);
}

Deno.test("listJobs() tells tenant, rate and the time that is left [E47]", () => {
  const [job] = of([JOB]).jobs;
  assert.equal(of([JOB]).quietUntilMs, 13_000);
  assert.deepEqual([job.tenant, job.rate, job.etaMs], ["shop", 500, 6000]);
  const whole = of([{ ...JOB, tree: undefined }]).jobs[0];
  assert.equal(whole.tenant, undefined);
  assert.equal(of([{ ...JOB, tree: 9 }]).jobs[0].tenant, "", "it was dropped");
});

Deno.test("listJobs() says nothing where nobody knows: no size, no time, a clock that was set back", () => {
  assert.equal(of([{ ...JOB, bytes: undefined }]).jobs[0].etaMs, undefined);
  assert.equal(of([{ ...JOB, bytesDone: 0 }]).jobs[0].etaMs, undefined);
  for (const nowMs of [10_000, 5000]) {
    const [job] = of([JOB], [], nowMs).jobs;
    assert.deepEqual([job.rate, job.etaMs], [0, undefined]);
  }
});

Deno.test("listJobs() gives those that are over when asked to, behind the others, and what the scrub found [E47]", () => {
  const over: JobInfo = {
    ...JOB,
    id: 6,
    state: "failed",
    endedAtMs: 14_000,
    error: "the disk said EIO",
  };
  assert.deepEqual(of([JOB], [over]).jobs.map(({ id }) => id), [7]);
  const { jobs, scrub } = of([JOB], [over], 99_000, true);
  assert.deepEqual(jobs.map(({ id }) => id), [7, 6]);
  assert.deepEqual([jobs[1].rate, jobs[1].etaMs, jobs[1].error], [
    250,
    undefined,
    "the disk said EIO",
  ]);
  assert.deepEqual(scrub.damaged.map(({ tenant }) => tenant), ["shop", ""]);
  assert.equal(scrub.nextAtMs, 1250);
});
