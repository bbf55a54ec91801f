// deno-lint-ignore-file no-console -- a run of an hour says where it is
/**
 * A phase in which the disk fills and empties: another program's file takes most of it, and a tenant of ballast
 * the rest, until large puts (2003) and then all (2002) are refused. Deletes are taken all the while. Then the
 * ballast makes room, by deletes or by a drop, and writes go on without a restart.
 * @module
 */
import { type FileSystem, Filler } from "./file_system.ts";
import { type Failure, failureOf, type Link } from "./node.ts";
import type { Cell } from "./model.ts";
import { BALLAST } from "./plan.ts";
import { sleep, TenantWork, type World } from "./work.ts";

/** How much of the disk the other program's file leaves in use. */
const FILLER_SHARE = 0.77;
/** A value that is estimated at over 64 KiB on the disk, which makes a write large, and one that is not. */
const LARGE_BYTES = 48 << 10;
const SMALL_BYTES = 24 << 10;
const KEYS = 20_000;
/** So many puts in a row are refused on a disk that is full to stay, not only while a compaction needs room. */
const REFUSED_IN_A_ROW = 20;
const REFUSED_PAUSE_MS = 500;
const DELETES = 20;
const WRITERS = 8;
/** Bytes a second that ballast is written with. */
const BYTES_PER_SECOND = 12 * 2 ** 20;
/** How long a step may take. A disk that is full makes many calls wait. */
const STEP_MS = 300_000;

/** What a phase has seen. */
export interface DiskReport {
  /** Seconds from the begin of the load. */
  from: number;
  to: number;
  readonly by: "deletes" | "drop";
  readonly killed: boolean;
  /** Keys of ballast that were taken. */
  ballast: number;
  /** Puts refused as large, and as any. */
  throttled: number;
  full: number;
  /** Deletes that were taken right behind a put that was refused. */
  deletes: number;
  /** From the first step towards room to the first put that was taken, ms. */
  recoveredMs: number;
  /** No restart came between the first refusal and that put. */
  sameLife: boolean;
  /** What did not come in time. */
  problem: string;
}

/** How a phase goes. */
export interface DiskPlan {
  readonly by: "deletes" | "drop";
  /** Kills the node, and resolves when the next life has begun; undefined: nobody is killed. */
  readonly kill: (() => Promise<void>) | undefined;
  readonly seconds: () => number;
}

/** Runs one phase. */
export async function fillAndEmpty(
  world: World,
  fileSystem: FileSystem,
  { by, kill, seconds }: DiskPlan,
): Promise<DiskReport> {
  const report: DiskReport = {
    from: seconds(),
    to: 0,
    by,
    killed: kill !== undefined,
    ballast: 0,
    throttled: 0,
    full: 0,
    deletes: 0,
    recoveredMs: 0,
    sameLife: false,
    problem: "",
  };
  const span = { from: Date.now(), to: Infinity };
  world.node.fullSpans.push(span);
  const filler = new Filler(fileSystem.dir);
  const phase = new Phase(world, report);
  const step = (what: string) => console.error(`${seconds().toFixed(0)} s: disk: ${what}`);
  try {
    const { diskTotalBytes, diskFreeBytes } = await (await world.node.up()).admin.status({});
    await filler.take(
      FILLER_SHARE * Number(diskTotalBytes) - Number(diskTotalBytes - diskFreeBytes),
    );
    await phase.notThere();
    step("large values of ballast");
    await phase.fill(LARGE_BYTES, 2003, 1);
    step(`small values, behind ${report.ballast} large ones: ${phase.message}`);
    await phase.fill(SMALL_BYTES, 2002, REFUSED_IN_A_ROW);
    step(`deletes, on a full disk: ${phase.message}`);
    await phase.deletesAreTaken();
    if (kill !== undefined) await kill();
    await phase.sample();
    step(`room is made by ${by}`);
    await phase.makeRoom(by);
    step(`puts are taken again ${report.recoveredMs} ms later`);
  } catch (error) {
    report.problem = error instanceof Error ? error.message : String(error);
  } finally {
    await phase.drop();
    await filler.remove();
    report.to = seconds();
    // What failed for want of room is logged a little later, and tried again after a pause.
    span.to = Date.now() + 60_000;
  }
  return report;
}

class Phase {
  readonly #work: TenantWork;
  /** The life that refused first. */
  #life = 0;
  /** Of the last refusal. */
  message = "";

  constructor(private readonly world: World, private readonly report: DiskReport) {
    // Sizes are given with each put.
    const plan = { name: BALLAST, options: {}, keys: KEYS, groups: 0 };
    this.#work = new TenantWork({ ...plan, valueBytes: [LARGE_BYTES, LARGE_BYTES] }, world);
  }

  /** What an earlier ballast held went with it. */
  async notThere(): Promise<void> {
    // Its bytes are written once or twice, not level by level.
    const options = { compactionStrategy: "size_tiered", compression: "none" };
    await this.#once((link) => link.tenants.createTenant({ tenantId: BALLAST, options }), 1000);
    await this.#work.verify(await this.world.node.up(), this.#work.singles.slice(0, 200));
  }

  /** Puts values of a size until so many in a row are refused with a number, or with 2002. */
  async fill(bytes: number, code: number, inARow: number): Promise<void> {
    const { world, report } = this;
    const work = this.#work;
    const until = performance.now() + STEP_MS;
    let refused = 0;
    let due = performance.now();
    const writer = async () => {
      while (refused < inARow && performance.now() < until && !world.isOver) {
        const wait = due - performance.now();
        due += bytes / BYTES_PER_SECOND * 1000;
        if (wait > 0) await sleep(wait);
        const link = await world.node.up();
        const failure = await this.#put(work.singles[report.ballast++], link, bytes);
        if (failure === undefined) refused = 0;
        if (failure?.code !== code && failure?.code !== 2002) continue;
        refused++;
        if (this.#life === 0) this.#life = link.life;
        this.message = failure.message;
        await sleep(REFUSED_PAUSE_MS);
      }
    };
    await Promise.all(Array.from({ length: WRITERS }, writer));
    if (refused < inARow) {
      throw new Error(`puts were not refused with ${code} in ${STEP_MS / 1000} s`);
    }
  }

  async #put(cell: Cell | undefined, link: Link, bytes: number): Promise<Failure | undefined> {
    if (cell === undefined) throw new Error(`${KEYS} keys of ballast do not fill the disk`);
    const failure = await this.#work.write("put", cell, link, bytes);
    if (failure?.code === 2003) this.report.throttled++;
    if (failure?.code === 2002) this.report.full++;
    return failure;
  }

  /** A disk that refuses a put takes the delete behind it. */
  async deletesAreTaken(): Promise<void> {
    const { world, report } = this;
    const until = performance.now() + STEP_MS;
    while (report.deletes < DELETES) {
      if (performance.now() > until) throw new Error("a full disk took no deletes");
      const link = await world.node.up();
      const put = await this.#put(this.#work.singles[report.ballast], link, SMALL_BYTES);
      // Taken: it was not full; then it is fuller now.
      if (put === undefined) report.ballast++;
      if (put?.code !== 2002) continue;
      const cell = this.#work.singles[report.deletes];
      if (await this.#work.write("delete", cell, link) === undefined) report.deletes++;
    }
  }

  /** Reads some of the ballast. */
  async sample(): Promise<void> {
    const cells = this.#work.singles.slice(0, this.report.ballast);
    const every = Math.max(1, Math.floor(cells.length / 200));
    await this.#work.verify(await this.world.node.up(), cells.filter((_, i) => i % every === 0));
  }

  /** Makes room for puts, with the other program's file still there. */
  async makeRoom(by: DiskReport["by"]): Promise<void> {
    const from = performance.now();
    const until = from + STEP_MS;
    if (by === "drop") await this.drop();
    else {
      const cells = this.#work.singles.slice(0, this.report.ballast);
      const deleter = async (first: number) => {
        for (let i = first; i < cells.length && performance.now() < until; i += WRITERS) {
          let link = await this.world.node.up();
          while (await this.#work.write("delete", cells[i], link) !== undefined) {
            if (performance.now() > until) return;
            await sleep(50);
            link = await this.world.node.up();
          }
        }
      };
      await Promise.all(Array.from({ length: WRITERS }, (_, i) => deleter(i)));
      // Without waiting for the grace time of deletes.
      await this.#once((link) => link.admin.compact({ tenantId: BALLAST, purge: true }), 2001);
    }
    const before = this.world.node.life;
    const last = this.#work.singles.at(-1)!;
    for (;;) {
      const link = await this.world.node.up();
      if (await this.#put(last, link, SMALL_BYTES) === undefined) break;
      if (performance.now() > until) throw new Error(`no put was taken after ${by}`);
      await sleep(50);
    }
    this.report.recoveredMs = Math.round(performance.now() - from);
    this.report.sameLife = this.#life === this.world.node.life && before === this.world.node.life;
  }

  /** Drops the ballast, whether it is there or not. */
  drop(): Promise<void> {
    return this.#once((link) => link.tenants.dropTenant({ tenantId: BALLAST }), 1004);
  }

  /** Repeats a call until it is answered, or refused with a number that says the same. */
  async #once(call: (link: Link) => Promise<unknown>, enough: number): Promise<void> {
    const until = performance.now() + STEP_MS;
    for (;;) {
      const link = await this.world.node.up();
      try {
        await call(link);
        return;
      } catch (error) {
        const { code, what, message } = failureOf(error);
        if (code === enough) return;
        if (what !== "lost" && performance.now() > until) {
          throw new Error(message, { cause: error });
        }
        await sleep(200);
      }
    }
  }
}
