// deno-lint-ignore-file no-console -- a run of an hour says where it is
/**
 * The soak: the real program for an hour under eight tenants' mixed work, with its disk filled and emptied and
 * `kill -9` again and again. It ends with everything read back.
 *
 *     eight tenants ─ gRPC, 3,000 ops/s ─► pairdb serve ─► a file system of 1 GiB of its own
 *        │ model: what must be there         ▲ kill -9, restart, what was written lately is read before all else
 *        └ watchers, resumed by token        └ ballast and a filler: 80, 90, 95 %, and empty again
 *
 * Verdicts come from answers, not from how long they took, but for calls that hang ({@link CALL_TIMEOUT_MS})
 * and events that do not come at all.
 *
 * @module
 */
import { runProgram } from "../tests/support/server.ts";
import { busy } from "./machine.ts";
import { placeOf } from "./report.ts";
import type { Histogram } from "../src/cli/histogram.ts";
import { chance } from "./server/ycsb.ts";
import { Counts } from "./soak/counts.ts";
import { type DiskReport, fillAndEmpty } from "./soak/disk.ts";
import { makeFileSystem } from "./soak/file_system.ts";
import { graph } from "./soak/graph.ts";
import { type Cell, Violations } from "./soak/model.ts";
import { CALL_TIMEOUT_MS, failureOf, type Link, type Logged, SoakNode } from "./soak/node.ts";
import { type Schedule, schedule, type SoakOptions, tenantPlans } from "./soak/plan.ts";
import { type Flatness, flatness, type Sample, Sampler } from "./soak/samples.ts";
import { Values } from "./soak/values.ts";
import { type WatchCounts, Watcher } from "./soak/watcher.ts";
import { sleep, TenantWork, type World } from "./soak/work.ts";

/** Small enough that flushes, compactions and new segments come all the time; all else is as by default. */
const ARGS = [
  "mem_table.max_size=1MiB",
  "commit_log.segment_size=4MiB",
  "compaction.level_base_size=16MiB",
  "compaction.tombstone_grace=30s",
  "sstable.l0_size=1MiB",
  "cache.max_size=48MiB",
  "cache.block_cache_size=24MiB",
  "scrub.interval=5m",
].flatMap((option) => ["--set", option]);
const SIGNALS = ["SIGINT", "SIGTERM"] as const;
const SAMPLE_MS = 5000;
/** What was written so lately before a kill is read right after it, ms. */
const LATELY_MS = 5000;
/** This process noticed a turn of its loop that took so long: then others were held up too. */
const HELD_UP_MS = 3000;
/** A shorter run shows no leak. */
const JUDGED_MINUTES = 30;

/** What a soak has found. */
export interface SoakResult {
  readonly text: string;
  /** Without its ending. */
  readonly base: string;
  readonly passed: boolean;
}

/** Runs it, and keeps what it found in `bench/results/`. */
export async function benchSoak(options: SoakOptions): Promise<SoakResult> {
  const before = busy();
  const fileSystem = await makeFileSystem(options.diskBytes);
  try {
    const soak = new Soak(options, fileSystem);
    await soak.run();
    return await soak.save([
      `the data directory is on ${fileSystem.kind}`,
      `the machine was ${before} before, ${busy()} after; what else runs on it lowers the figures`,
    ]);
  } finally {
    await fileSystem.remove();
  }
}

class Soak {
  readonly #plan: Schedule;
  readonly #node: SoakNode;
  readonly #world: World & { isOver: boolean };
  readonly #tenants: readonly TenantWork[];
  readonly #watchers: readonly Watcher[];
  readonly #watched: WatchCounts = { events: 0, resumed: 0, gaps: 0, others: 0 };
  readonly #sampler: Sampler;
  readonly #kills: { at: number; downMs: number; checked: number }[] = [];
  readonly #phases: DiskReport[] = [];
  /** What ended the run early or went wrong at its end. */
  readonly #problems: string[] = [];
  #restarts: Promise<void> = Promise.resolve();
  #from = 0;
  #checked = 0;
  /** Kills and phases are over. */
  #isDone = false;

  constructor(
    private readonly options: SoakOptions,
    private readonly fileSystem: Awaited<ReturnType<typeof makeFileSystem>>,
  ) {
    this.#plan = schedule(options);
    const random = chance(options.seed + 1);
    this.#node = new SoakNode(`${fileSystem.dir}/data`, ARGS, (what) => this.#giveUp(what));
    let next = 0;
    this.#world = {
      node: this.#node,
      values: new Values(random),
      counts: new Counts(),
      violations: new Violations((violation) => console.error(JSON.stringify(violation))),
      random,
      next: () => ++next,
      isOver: false,
    };
    this.#tenants = tenantPlans(options.rate).map((plan) => new TenantWork(plan, this.#world));
    this.#watchers = this.#tenants.map((work) => new Watcher(work, this.#world, this.#watched));
    this.#sampler = new Sampler(this.#node, this.#world.counts, () => this.#seconds());
  }

  /** Everything from the first start to the check offline. */
  async run(): Promise<void> {
    const timers = new Set<ReturnType<typeof setInterval>>();
    // Else the node and its file system would stay behind.
    const interrupted = () => this.#giveUp("the run was interrupted");
    for (const signal of SIGNALS) Deno.addSignalListener(signal, interrupted);
    try {
      const link = await this.#node.start();
      await this.#createTenants(link);
      this.#from = performance.now();
      this.#node.open(link);
      timers.add(this.#noticeStalls());
      const rate = this.options.rate / this.#tenants.length;
      const work = Promise.all([
        ...this.#tenants.map((tenant) => tenant.run(rate)),
        ...this.#watchers.map((watcher) => watcher.run()),
      ]);
      const sampled = this.#sample();
      // Both are awaited below; what they throw before ends the run.
      for (const each of [work, sampled]) each.catch((error) => this.#giveUp(String(error)));
      await Promise.all([this.#until(this.#plan.seconds), this.#kill(), this.#fill()]);
      await this.#restarts;
      this.#isDone = true;
      await sampled;
      this.#world.isOver = true;
      for (const watcher of this.#watchers) watcher.stop();
      await work;
      if (this.#problems.length === 0) await this.#readBack();
    } catch (error) {
      this.#problems.push(error instanceof Error ? error.stack ?? error.message : String(error));
    } finally {
      this.#world.isOver = true;
      for (const signal of SIGNALS) Deno.removeSignalListener(signal, interrupted);
      for (const timer of timers) clearInterval(timer);
      await this.#restarts;
      await this.#node.kill();
    }
  }

  #seconds(): number {
    return (performance.now() - this.#from) / 1000;
  }

  async #createTenants({ tenants }: Link): Promise<void> {
    for (const { plan: { name, options } } of this.#tenants) {
      await tenants.createTenant({ tenantId: name, options });
    }
  }

  #giveUp(what: string): void {
    if (this.#world.isOver) return;
    this.#problems.push(what);
    console.error(what);
    this.#world.isOver = true;
    this.#node.giveUp(new Error(what));
    for (const watcher of this.#watchers) watcher.stop();
  }

  /** Waits until so many seconds after the begin. @returns false when the run is over before */
  async #until(seconds: number): Promise<boolean> {
    while (!this.#world.isOver) {
      const left = seconds - this.#seconds();
      if (left <= 0) return true;
      await sleep(Math.min(left, 1) * 1000);
    }
    return false;
  }

  #noticeStalls() {
    let last = performance.now();
    return setInterval(() => {
      const now = performance.now();
      if (now - last > HELD_UP_MS) {
        this.#world.counts.heldUp++;
        this.#world.counts.excusedUntil = now + 2 * CALL_TIMEOUT_MS;
      }
      last = now;
    }, 500);
  }

  async #sample(): Promise<void> {
    for (let n = 1; !this.#isDone && await this.#until(n * SAMPLE_MS / 1000); n++) {
      const sample = await this.#sampler.take();
      if (n % 6 === 0) console.error(lineOf(sample, this.#world.violations.count));
      for (const watcher of this.#watchers) watcher.checkLate();
    }
  }

  async #kill(): Promise<void> {
    for (const at of this.#plan.kills) {
      if (await this.#until(at)) await this.#restart();
    }
  }

  async #fill(): Promise<void> {
    if (!this.fileSystem.isOwn) return;
    for (const [i, { at, killed }] of this.#plan.phases.entries()) {
      if (!await this.#until(at)) return;
      console.error(`${this.#seconds().toFixed(0)} s: the disk is filled`);
      const report = await fillAndEmpty(this.#world, this.fileSystem, {
        by: i % 2 === 0 ? "deletes" : "drop",
        kill: killed ? () => this.#restart() : undefined,
        seconds: () => this.#seconds(),
      });
      this.#phases.push(report);
      console.error(phaseLine(report));
    }
  }

  /** kill -9, a start, and a look at what was written lately; one at a time. */
  #restart(): Promise<void> {
    return this.#restarts = this.#restarts.then(async () => {
      if (this.#world.isOver) return;
      const at = this.#seconds();
      const killedMs = Date.now();
      await this.#node.kill();
      const link = await this.#start();
      const isRecent = ({ outcomes, writtenMs }: Cell) =>
        outcomes.length > 1 || writtenMs > killedMs - LATELY_MS;
      let checked = 0;
      await Promise.all(this.#tenants.map((tenant) => {
        const cells = tenant.cells.filter(isRecent);
        checked += cells.length;
        return tenant.verify(link, cells);
      }));
      this.#kills.push({ at, downMs: Date.now() - killedMs, checked });
      this.#node.open(link);
    }).catch((error) => this.#giveUp(`after kill ${this.#kills.length + 1}: ${error}`));
  }

  /** Starts the next life; once more when this process was held up, since then its patience says nothing. */
  async #start(): Promise<Link> {
    const { heldUp } = this.#world.counts;
    try {
      return await this.#node.start();
    } catch (error) {
      await sleep(2000);
      if (this.#world.counts.heldUp === heldUp) throw error;
      return await this.#node.start();
    }
  }

  /** All of it, before and after a clean stop, and then every checksum. */
  async #readBack(): Promise<void> {
    console.error("everything is read back");
    await this.#verifyAll(await this.#node.up());
    this.#stopped(await this.#node.stop());
    const link = await this.#start();
    this.#node.open(link);
    await this.#verifyAll(link);
    this.#stopped(await this.#node.stop());
    const { code, out, err } = await runProgram("check", this.#node.data);
    if (code !== 0) this.#problems.push(`pairdb check: code ${code}: ${err || out}`.slice(0, 2000));
  }

  async #verifyAll(link: Link): Promise<void> {
    for (const tenant of this.#tenants) {
      await tenant.verifyAll(link);
      this.#checked += tenant.cells.length;
    }
    const { status, reasons } = await link.admin.status({}).catch((error) => {
      throw new Error(failureOf(error).message);
    });
    if (status !== "healthy") this.#problems.push(`at the end: ${status}: ${reasons.join("; ")}`);
  }

  #stopped(code: number): void {
    if (code !== 0) this.#problems.push(`the node stopped with code ${code}`);
  }

  /** Writes text, JSON and the graph. */
  async save(notes: readonly string[]): Promise<SoakResult> {
    const { minutes, kills, seed, rate } = this.options;
    const { violations, counts } = this.#world;
    const isShort = minutes < JUDGED_MINUTES;
    const { day, base, machine, head } = placeOf(
      minutes === 60 ? "soak" : `soak-${minutes}-minutes`,
    );
    const flat = flatness(this.#sampler.samples, this.#plan.comparedAt, this.#plan.quietFrom);
    const logged = [...this.#node.logged.values()];
    const unexplained = logged.filter(({ why }) => why === undefined);
    const badPhases = this.#phases.filter(({ problem }) => problem !== "");
    const isFlat = flat.every(({ isFlat }) => isFlat);
    const verdicts: [string, boolean][] = [
      [`nothing lost, no wrong answer: ${violations.count} violations`, violations.count === 0],
      [`the run went to its end: ${this.#problems.length} problems`, this.#problems.length === 0],
      [
        `the disk filled and emptied ${this.#phases.length} times, ${badPhases.length} badly`,
        badPhases.length === 0,
      ],
      [
        `no error in the log without a reason: ${unexplained.length} kinds`,
        unexplained.length === 0,
      ],
      [
        flat.length === 0
          ? "memory and descriptors: the run was too short to compare"
          : `memory and descriptors ${isFlat ? "flat" : "NOT FLAT"}${
            isShort ? " (a short run: not judged)" : ""
          }`,
        isFlat || isShort,
      ],
    ];
    const passed = verdicts.every(([, isGood]) => isGood);
    const text = [
      head,
      `${minutes} minutes, ${kills} kills, seed ${seed}, at most ${rate} operations a second; times as the load's ` +
      "process saw them",
      ...notes,
      "",
      ...verdicts.map(([what, isGood]) => `${isGood ? "ok" : "FAILED"}  ${what}`),
      "",
      ...this.#problems.map((problem) => `problem: ${problem}`),
      ...violations.first.map((violation) => `violation: ${JSON.stringify(violation)}`),
      ...figures(counts),
      startsLine(this.#node.readyMs, this.#kills),
      `read back and compared at the end: ${this.#checked} keys and groups, twice`,
      watchLine(this.#watched),
      ...this.#phases.map(phaseLine),
      ...flat.map(flatLine),
      this.#ownLine(),
      "",
      "answers that were not given, by tenant, kind, number and reason:",
      ...[...counts.failed].toSorted().map(([name, count]) => `  ${name}: ${count}`),
      "",
      "lines of the log at warn and error:",
      ...logged.map(loggedLine),
    ].join("\n");
    const data = {
      day,
      machine,
      options: this.options,
      notes,
      verdicts: verdicts.map(([what, isGood]) => ({ what, isGood })),
      problems: this.#problems,
      violations: { count: violations.count, first: violations.first },
      done: Object.fromEntries(counts.done),
      failed: Object.fromEntries(counts.failed),
      kills: this.#kills,
      readyMs: this.#node.readyMs,
      phases: this.#phases,
      watches: this.#watched,
      flatness: flat,
      logged,
      samples: this.#sampler.samples,
    };
    await Deno.writeTextFile(`${base}.txt`, `${text}\n`);
    await Deno.writeTextFile(`${base}.json`, `${compact(data)}\n`);
    await Deno.writeTextFile(
      `${base}.svg`,
      graph(this.#sampler.samples, {
        title: `PairDB, a soak of ${minutes} minutes with ${this.#kills.length} kill -9, ${day}`,
        kills: this.#kills.map(({ at }) => at),
        phases: this.#phases,
      }),
    );
    return { text, base, passed };
  }

  #ownLine(): string {
    const own = this.#sampler.samples.map(({ ownRss }) => ownRss);
    const most = Math.max(0, ...own).toFixed(0);
    return `the load's own process: ${most} MiB at most; held up ${this.#world.counts.heldUp} times`;
  }
}

/** JSON with a line for each sample. */
function compact({ samples, ...rest }: { samples: readonly Sample[] }): string {
  const lines = samples.map((sample) => `    ${JSON.stringify(sample)}`).join(",\n");
  return JSON.stringify(rest, null, 2).replace(/\n\}$/, `,\n  "samples": [\n${lines}\n  ]\n}`);
}

function lineOf(
  { at, life, reads, writes, rss, descriptors, disk }: Sample,
  wrong: number,
): string {
  return `${at.toFixed(0)} s, life ${life}: ${(reads.rate + writes.rate).toFixed(0)} ops/s, ` +
    `p99 ${reads.p99} and ${writes.p99} ms, ${rss} MiB, ${descriptors} descriptors, disk ${disk} %, ` +
    `${wrong} violations`;
}

function figures({ whole, done }: Counts): string[] {
  const line = (what: string, times: Histogram) =>
    `${what}: ${times.count}; p50 ${ms(times.at(0.5))}, p99 ${ms(times.at(0.99))}, p99.9 ${
      ms(times.at(0.999))
    }`;
  const { reads, writes } = whole;
  return [
    line("reads", reads),
    line("writes", writes),
    [...done].toSorted().map(([kind, count]) => `${kind} ${count}`).join(", "),
  ];
}

function ms(us: number): string {
  return `${(us / 1000).toFixed(2)} ms`;
}

function startsLine(
  readyMs: readonly number[],
  kills: readonly { readonly checked: number }[],
): string {
  const sorted = readyMs.toSorted((a, b) => a - b);
  const checked = kills.reduce((sum, each) => sum + each.checked, 0);
  return `kill -9: ${kills.length}; ready after ${sorted[sorted.length >> 1]} ms (median), ` +
    `${
      sorted.at(-1)
    } ms at most; ${checked} keys written just before a kill were read right after it`;
}

function watchLine({ events, resumed, gaps, others }: WatchCounts): string {
  return `watches: ${events} events, ${resumed} resumed by token without a gap, ${gaps} gaps after restarts, ` +
    `${others} others`;
}

function phaseLine(phase: DiskReport): string {
  return `disk ${phase.from.toFixed(0)} to ${
    phase.to.toFixed(0)
  } s: ${phase.ballast} keys of ballast, ` +
    `2003 ${phase.throttled} times, 2002 ${phase.full} times, ${phase.deletes} deletes taken when full, ` +
    `${phase.killed ? "killed there, " : ""}emptied by ${phase.by} in ${phase.recoveredMs} ms` +
    `${phase.sameLife ? " without a restart" : ""}${phase.problem && `; FAILED: ${phase.problem}`}`;
}

function flatLine({ what, unit, first, last, most, count, isFlat }: Flatness): string {
  const verdict = isFlat ? "flat" : "NOT FLAT";
  return `${verdict}: ${what}: ${first} ${unit} in the first third, ${last} in the last (at most ${most}), of ${count}`;
}

function loggedLine({ level, event, full, why, count, first }: Logged): string {
  const when = full ? " while the disk was full" : "";
  return `  ${level} ${event}${when}: ${count}: ${why ?? `UNEXPLAINED, such as ${first}`}`;
}
