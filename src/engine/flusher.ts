/**
 * The flusher: frozen memtables become tables on level 0.
 *
 * The memtables of a tree are flushed one after the other, oldest first; different trees side by side, as
 * many at a time as there are threads. Those that wait are kept here, not in the worker pool's queue, which
 * may be full. A table that is written waits for the manifest without holding up the next: all that wait when
 * the manifest gets to them become part of the store by one edit.
 * @module
 */
import { isShortOfRoom } from "./disk_failure.ts";
import { type Jobs, planOf, reason } from "./job_runner.ts";
import type { Edit, TableMeta } from "./manifest/mod.ts";
import type { Memtable } from "./memtable/mod.ts";
import { type FlushEvents, install, jobBase, type MaintenanceParts } from "./maintenance_parts.ts";
import type { Retries } from "./retries.ts";
import { memtableTimes } from "./table_jobs.ts";
import type { TreeState } from "./tree.ts";

/** A memtable whose tables are written. */
interface Written {
  readonly tree: TreeState;
  readonly memtable: Memtable;
  readonly metas: readonly TableMeta[];
}

/** Flushes that become durable by one edit. */
interface Group {
  readonly members: Written[];
  readonly edit: Promise<void>;
}

/** Flushes of one engine. */
export class Flusher {
  readonly #parts: MaintenanceParts;
  readonly #jobs: Jobs;
  readonly #events: FlushEvents;
  readonly #retries: Retries;
  readonly #waiting: (() => void)[] = [];
  #slots: number;
  /** Those that the manifest will get to next. */
  #group: Group | undefined;
  #stopped = false;

  /** Flushes done. */
  flushes = 0;
  /** Bytes of tables that they have written. */
  bytesWritten = 0;
  /** What they took, all together, ms. */
  elapsedMs = 0;

  constructor(parts: MaintenanceParts, jobs: Jobs, events: FlushEvents, retries: Retries) {
    this.#parts = parts;
    this.#jobs = jobs;
    this.#events = events;
    this.#retries = retries;
    this.#slots = parts.runtime.workers.size + 1;
  }

  /** Flushes that wait for a thread. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Starts nothing more. */
  stop(): void {
    this.#stopped = true;
  }

  /** Flushes what a tree has frozen, unless that is under way, or has failed just now. */
  schedule(tree: TreeState): void {
    if (tree.immutables.length === 0 || tree.flushing !== undefined) return;
    if (this.#retries.pauses(tree)) return;
    this.flushAll(tree).catch(() => {
      // It has been told of as a failure, and will be tried again.
    });
  }

  /** Flushes the frozen memtables of a tree, oldest first, at once; joins a run that is under way. */
  flushAll(tree: TreeState): Promise<void> {
    // A run with nothing to do would be over before it is noted as under way, and stay so for ever.
    if (tree.immutables.length === 0) return Promise.resolve();
    return tree.flushing ??= (async () => {
      try {
        while (tree.immutables.length > 0 && !this.#stopped && !tree.dropped) {
          await this.#flushOne(tree);
          this.#retries.forget(tree);
        }
      } catch (error) {
        // Before the end is told: that wakes writers, who ask for the next flush at once.
        this.#events.failed("flush", tree, error);
        throw error;
      } finally {
        tree.flushing = undefined;
        this.#events.ended();
      }
      this.#events.flushed(tree);
    })();
  }

  /** Does something once a thread is free for it. */
  async #inTurn<T>(step: () => Promise<T>): Promise<T> {
    if (this.#slots > 0) this.#slots--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await step();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#slots++;
      else next();
    }
  }

  /** Flushes a tree's oldest frozen memtable. */
  async #flushOne(tree: TreeState): Promise<void> {
    const { runtime, options } = this.#parts;
    const made = await this.#inTurn(() => this.#write(tree));
    if (made === undefined || tree.dropped) return;
    const { memtable, metas, job, startedMs } = made;
    try {
      // Awaited as it is: what follows has to come before the next edit is built.
      await this.#joinGroup({ tree, memtable, metas });
    } catch (error) {
      // The edit was refused: nobody will ever hear of the table.
      if (isShortOfRoom(error)) this.#jobs.removeOutputs(job);
      throw error;
    }
    const placed = metas.map((meta) => this.#parts.tables.place(tree.id, tree.dir, meta));
    install(tree, tree.version.with(new Set(), placed), options);
    tree.flushedSeq = memtable.maxSeq;
    tree.immutables = tree.immutables.filter((other) => other !== memtable);
    memtable.retire();
    const bytes = metas.reduce((sum, { size }) => sum + size, 0);
    const elapsedMs = runtime.clock.monotonicMs() - startedMs;
    this.flushes++;
    this.elapsedMs += elapsedMs;
    this.bytesWritten += bytes;
    this.#events.ended();
    this.#removeOldSegments();
    runtime.log.info("flushed", {
      tree: tree.name,
      entries: memtable.count,
      bytes,
      ms: Math.round(elapsedMs),
    });
  }

  /** Writes the table of a tree's oldest frozen memtable; undefined when nobody wants it any more. */
  async #write(tree: TreeState) {
    const memtable = tree.immutables.at(-1);
    if (memtable === undefined || this.#stopped || tree.dropped) return undefined;
    const { clock } = this.#parts.runtime;
    // Snapshots taken from here on are at or above everything in the memtable.
    await this.#parts.log()?.sync();
    const startedMs = clock.monotonicMs();
    const job = {
      type: "flush" as const,
      memtable: memtable.share(),
      ...jobBase(this.#parts, tree, 1, 0, memtableTimes(memtable)),
    };
    const { tables } = await this.#jobs.run(
      { ...planOf("flush", tree.id, memtable.bytes), outputLevel: 0 },
      job,
    );
    return { memtable, metas: tables.map((table) => ({ ...table, level: 0 })), job, startedMs };
  }

  /** Resolves when an edit that has this flush, and whatever others wait, is durable. */
  #joinGroup(written: Written): Promise<void> {
    if (this.#group === undefined) {
      const members: Written[] = [];
      const edit = this.#parts.manifest.commit(() => {
        this.#group = undefined;
        return this.#editOf(members);
      });
      this.#group = { members, edit };
    }
    this.#group.members.push(written);
    return this.#group.edit;
  }

  #editOf(members: readonly Written[]): Edit {
    return {
      add: members.flatMap(({ tree, metas }) => metas.map((table) => ({ tree: tree.id, table }))),
      flushed: members.map(({ tree, memtable }) => ({ tree: tree.id, seq: memtable.maxSeq })),
      lastSeq: this.#parts.lastSeq(),
      oldestLog: this.#oldestLogWithout(
        new Map(members.map(({ tree, memtable }) => [tree, memtable])),
      ),
    };
  }

  /** The oldest segment still needed once these memtables are flushed. */
  #oldestLogWithout(flushed: ReadonlyMap<TreeState, Memtable>): number | undefined {
    const segments = this.#parts.log()?.segments;
    if (segments === undefined) return undefined;
    let oldest = Infinity;
    for (const tree of this.#parts.trees.values()) {
      const seq = tree.oldestUnflushed(flushed.get(tree));
      if (seq !== undefined && seq < oldest) oldest = seq;
    }
    return (segments.find(({ lastSeq }) => lastSeq >= oldest) ?? segments[segments.length - 1])
      .number;
  }

  #removeOldSegments(): void {
    try {
      this.#parts.log()?.removeBelow(this.#parts.manifest.state.oldestLog);
    } catch (error) {
      // The next flush, or the next start, tries again; the manifest no longer needs the file.
      this.#parts.runtime.log.warn("cannot remove a log segment", { error: reason(error) });
    }
  }
}
