/**
 * Health: whether a node can be relied on, and why not.
 *
 *     unhealthy   writes are refused: the engine is poisoned
 *     degraded    it serves, but somebody should look: data was lost in recovery, a file is damaged,
 *                 a tenant's flushes or compactions keep failing, the disk fills up or cannot be measured,
 *                 or no write is taken until there is room on it again: reads go on, and so does the node then
 * @module
 */
import type { Engine } from "../engine/mod.ts";
import { type Clock, type Disk, DiskError } from "../runtime/mod.ts";
import type { Health } from "./api.ts";
import type { DiskSpace, DiskThresholds } from "./disk_guard.ts";

/** As the design documents have it: from 90 % on large writes are to be refused (docs/rows.md: D2). */
export const DEFAULT_DISK_THRESHOLDS: DiskThresholds = { degraded: 0.9 };

/** What health is read from. */
export interface HealthSources {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly disk: Disk;
  readonly dataDir: string;
  readonly thresholds: DiskThresholds;
  /** The share of its memory that the process uses, from 0 to 1; absent: not reported. */
  readonly memoryUsage: (() => number) | undefined;
}

/** How long a measured disk stands by default, ms: health is asked for far more often than disks fill. */
const CHECK_INTERVAL_MS = 1000;

/** Losses that are named one by one; the rest is counted. */
const LOSSES_NAMED_MAX = 8;

/** Reads a node's health. */
export class HealthMonitor {
  #sources: HealthSources;
  #space: { readonly atMs: number; readonly space: DiskSpace | DiskError } | undefined;

  constructor(sources: HealthSources) {
    this.#sources = sources;
  }

  /** The disk, as measured within the check interval, or a shorter time. */
  space(ageMsMax = Infinity): DiskSpace | DiskError {
    const { clock, disk, dataDir, thresholds } = this.#sources;
    const intervalMs = Math.min(ageMsMax, thresholds.checkIntervalMs ?? CHECK_INTERVAL_MS);
    const nowMs = clock.monotonicMs();
    if (this.#space === undefined || nowMs - this.#space.atMs >= intervalMs) {
      this.#space = { atMs: nowMs, space: measure(disk, dataDir) };
    }
    return this.#space.space;
  }

  /** The node's health now. */
  health(): Health {
    const { engine, memoryUsage } = this.#sources;
    const metrics: Record<string, number> = {};
    const degraded = [
      ...this.#judgeLog(),
      ...this.#judgeRecovery(),
      ...this.#judgeFiles(),
      ...this.#judgeJobs(),
      ...this.#judgeDisk(metrics),
    ];
    if (memoryUsage !== undefined) metrics.memory_usage = memoryUsage();
    if (engine.poisoned !== undefined) {
      const poisoned = `writes are refused since a failure: ${engine.poisoned.message}`;
      return { status: "unhealthy", reasons: [poisoned, ...degraded], metrics };
    }
    return { status: degraded.length > 0 ? "degraded" : "healthy", reasons: degraded, metrics };
  }

  #judgeLog(): readonly string[] {
    const { full } = this.#sources.engine;
    return full === undefined
      ? []
      : [`no write is taken before there is room on the disk: ${full.message}`];
  }

  #judgeRecovery(): readonly string[] {
    const { losses } = this.#sources.engine.recovery;
    const reasons = losses.slice(0, LOSSES_NAMED_MAX).map(({ file, offset, bytes }) =>
      bytes > 0
        ? `recovery lost ${bytes} bytes of ${file} at offset ${offset}`
        : `recovery found ${file} cut short at offset ${offset}`
    );
    const unnamed = losses.length - reasons.length;
    if (unnamed > 0) reasons.push(`recovery lost ${unnamed} more pieces of the log`);
    return reasons;
  }

  /** Damage that was set aside waits for somebody to look at it. */
  #judgeFiles(): readonly string[] {
    const { quarantinedFiles, compactionsStopped, checksumFailures, memoryLevel } = this.#sources
      .engine.stats();
    const reasons: string[] = [];
    if (checksumFailures > 0) reasons.push(`damaged data was met: ${checksumFailures} times`);
    if (memoryLevel >= 3) {
      reasons.push("memory is short: writes are refused until flushes catch up");
    }
    if (quarantinedFiles > 0) {
      reasons.push(`damaged log segments in quarantine: ${quarantinedFiles}`);
    }
    if (compactionsStopped > 0) {
      reasons.push(`tenants that a damaged table keeps from compaction: ${compactionsStopped}`);
    }
    return reasons;
  }

  /** Others' writes go on, and so do those of such a tenant until its memory is full: so it is degraded only. */
  #judgeJobs(): readonly string[] {
    const { engine } = this.#sources;
    const reasons: string[] = [];
    for (const kind of ["flush", "compaction"] as const) {
      const failures = engine.failing(kind);
      if (failures.length === 0) continue;
      const [{ message }] = failures;
      reasons.push(`tenants whose last ${kind} failed: ${failures.length}, for: ${message}`);
    }
    return reasons;
  }

  #judgeDisk(metrics: Record<string, number>): readonly string[] {
    const space = this.space();
    if (space instanceof DiskError) return [`the disk cannot be measured: ${space.errno}`];
    const usage = space.totalBytes === 0 ? 0 : 1 - space.freeBytes / space.totalBytes;
    metrics.disk_usage = usage;
    if (usage <= this.#sources.thresholds.degraded) return [];
    return [`the disk is ${Math.floor(usage * 100)} % full`];
  }
}

function measure(disk: Disk, dataDir: string): DiskSpace | DiskError {
  try {
    return disk.space(dataDir);
  } catch (error) {
    if (error instanceof DiskError) return error;
    throw error;
  }
}
