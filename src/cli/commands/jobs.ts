/**
 * `pairdb jobs`: what a node does in the background, and how far its scrub is.
 * @module
 */
import type { Job, Scrub } from "../../client/mod.ts";
import { connect, print, type Shell } from "../shell.ts";
import { table } from "../table.ts";
import { counted, oneLine } from "../text.ts";
import { roughDuration, roughSize } from "../units.ts";

/** Flags of `jobs`. */
export interface JobsFlags {
  readonly ended?: boolean;
}

/** Prints a node's jobs. */
export async function listJobs(shell: Shell, { ended = false }: JobsFlags): Promise<number> {
  const { jobs, scrub, quietUntilMs } = await (await connect(shell)).admin.listJobs({ ended });
  const headings = ["id", "job", "tenant", "state", "levels", "done", "rate", "left", "error"];
  const forPeople = shell.process.isTerminal("stdout");
  const lines = shell.output === "json" ? [] : table(shell.process, headings, jobs.map(row));
  // Other programs read rows, and nothing else.
  const more = forPeople ? [...told(scrub), ...toldQuiet(quietUntilMs)] : [];
  print(shell, [...(jobs.length > 0 ? lines : []), ...more], {
    jobs: jobs.map(jobFields),
    scrub: scrubFields(scrub),
    quiet_until_ms: quietUntilMs ?? null,
  });
  return 0;
}

function row(job: Job): string[] {
  const levels = job.outputLevel < 0
    ? ""
    : job.level < 0
    ? `L${job.outputLevel}`
    : `L${job.level} > L${job.outputLevel}`;
  // What it was estimated to go through says nothing once it is over.
  const isOpen = job.endedAtMs === undefined || job.state === "failed";
  const done = !isOpen || job.bytes === undefined || job.bytes === 0
    ? roughSize(job.bytesDone)
    : `${Math.floor(job.bytesDone / job.bytes * 100)} % of ${roughSize(job.bytes)}`;
  return [
    `${job.id}`,
    job.kind,
    job.tenant,
    job.state,
    levels,
    done,
    `${roughSize(Math.round(job.rate))}/s`,
    job.etaMs === undefined ? "" : roughDuration(job.etaMs),
    job.error,
  ];
}

/** The scrub, in a line or two. */
function told(scrub: Scrub): string[] {
  const state = scrub.intervalMs === 0
    ? "off"
    : scrub.running
    ? `round ${scrub.rounds + 1} began ${time(scrub.startedAtMs)}` +
      (scrub.late ? ", late" : "") +
      (scrub.waitsFor === "" ? "" : `, waits for ${scrub.waitsFor}`)
    : `${counted(scrub.rounds, "round")} done` +
      (scrub.nextAtMs === undefined ? "" : `, the next begins ${time(scrub.nextAtMs)}`);
  const damaged = scrub.damaged.map(({ file, tenant, problem }) =>
    `DAMAGED  ${oneLine(file)} (${oneLine(tenant)}): ${oneLine(problem)}`
  );
  return [`scrub: ${state}`, ...damaged];
}

function toldQuiet(untilMs: number | undefined): string[] {
  if (untilMs === undefined) return [];
  return [`quiet hours until ${time(untilMs)}: what can wait rests`];
}

function time(ms: number): string {
  return new Date(ms).toISOString();
}

function jobFields(job: Job) {
  return {
    id: job.id,
    kind: job.kind,
    tenant: job.tenant,
    state: job.state,
    level: job.level,
    output_level: job.outputLevel,
    inputs: job.inputs,
    started_at_ms: job.startedAtMs,
    ended_at_ms: job.endedAtMs ?? null,
    bytes: job.bytes ?? null,
    bytes_done: job.bytesDone,
    rate: job.rate,
    eta_ms: job.etaMs ?? null,
    error: job.error,
  };
}

function scrubFields(scrub: Scrub) {
  return {
    interval_ms: scrub.intervalMs,
    running: scrub.running,
    started_at_ms: scrub.startedAtMs,
    next_at_ms: scrub.nextAtMs ?? null,
    late: scrub.late,
    waits_for: scrub.waitsFor,
    rounds: scrub.rounds,
    damaged: scrub.damaged,
  };
}
