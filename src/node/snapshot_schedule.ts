/**
 * Snapshots by a schedule: one each interval, the newest few of which are kept.
 *
 *     auto-20270102T030405Z      named by the second at which it was asked for, UTC
 *
 * The next one is due an interval after the newest there is, so that a restart neither skips one nor makes
 * one too many. One that is due in quiet hours waits until they are over. One that fails, or meets another that is being made, is tried again a minute later. Only
 * snapshots with such names are deleted, and only once a newer one is there: what people have made is theirs.
 * @module
 */
import { type QuietHours, quietUntilMs } from "../engine/mod.ts";
import type { Cancel, Clock, Log } from "../runtime/mod.ts";
import type { SnapshotInfo, StorageNode } from "./api.ts";

/** How often, and how many. */
export interface SnapshotSchedule {
  /** Time from one to the next, in ms; above 0. */
  readonly intervalMs: number;
  /** How many stay; at least 1. */
  readonly keep: number;
  /** When none is begun. */
  readonly quietHours?: QuietHours | undefined;
}

/** The pause after one that failed, in ms; no longer than the interval. */
const RETRY_MS = 60_000;
const LOOK_MS = 3_600_000;
const NAME = /^auto-\d{8}T\d{6}Z$/;

type Snapshots = Pick<StorageNode, "createSnapshot" | "listSnapshots" | "deleteSnapshot">;

/** Makes and deletes snapshots of a node as time goes by. */
export class ScheduledSnapshots {
  readonly #node: Snapshots;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #schedule: SnapshotSchedule;
  #cancel: Cancel | undefined;
  #making: Promise<void> | undefined;
  #stopped = false;

  constructor(node: Snapshots, world: { clock: Clock; log: Log }, schedule: SnapshotSchedule) {
    this.#node = node;
    this.#clock = world.clock;
    this.#log = world.log;
    this.#schedule = schedule;
  }

  /** Begins; the first one may be due at once. */
  start(): void {
    this.#wait(this.#dueInMs());
  }

  /** Starts none any more; resolves when one that is under way is over. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel?.();
    await this.#making;
  }

  /** By the wall clock, as snapshots are; where that went back, an interval from now at most. */
  #dueInMs(): number {
    const newest = this.#own().at(-1);
    if (newest === undefined) return 0;
    const { intervalMs } = this.#schedule;
    const leftMs = newest.createdAtMs + intervalMs - this.#clock.wallMs();
    return Math.min(intervalMs, Math.max(0, leftMs));
  }

  /** The schedule's own, oldest first, whatever the wall clock did. */
  #own(): SnapshotInfo[] {
    return this.#node.listSnapshots()
      .filter(({ name }) => NAME.test(name))
      .sort((a, b) => a.sequence - b.sequence || a.createdAtMs - b.createdAtMs);
  }

  #wait(delayMs: number): void {
    if (this.#stopped) return;
    const dueMs = this.#clock.monotonicMs() + delayMs;
    this.#cancel = this.#clock.after(delayMs, () => {
      // A timer that was asked for more than it can wait fires early.
      const leftMs = Math.max(dueMs - this.#clock.monotonicMs(), this.#quietMs());
      if (leftMs > 0) this.#wait(leftMs);
      else this.#making = this.#make();
    });
  }

  /** How long quiet hours go on, in ms; looked at again after an hour, since clocks are set. */
  #quietMs(): number {
    const nowMs = this.#clock.wallMs();
    const untilMs = quietUntilMs(this.#schedule.quietHours, nowMs) ?? nowMs;
    return Math.min(LOOK_MS, untilMs - nowMs);
  }

  async #make(): Promise<void> {
    const { intervalMs, keep } = this.#schedule;
    try {
      const name = nameAt(this.#clock.wallMs());
      const { bytes, elapsedMs } = await this.#node.createSnapshot(name);
      this.#log.info("snapshot.scheduled", { name, bytes, ms: Math.round(elapsedMs) });
      for (const { name } of this.#own().slice(0, -keep)) await this.#node.deleteSnapshot(name);
      this.#wait(this.#dueInMs());
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      // Whoever stops it may close the node next, which gives up what is under way.
      this.#log[this.#stopped ? "info" : "error"]("snapshot.failed", { error: message });
      this.#wait(Math.min(intervalMs, RETRY_MS));
    }
  }
}

/** `auto-` and the second, UTC. */
function nameAt(wallMs: number): string {
  return `auto-${new Date(wallMs).toISOString().slice(0, 19).replace(/[-:]/g, "")}Z`;
}
