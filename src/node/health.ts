/**
 * Health: whether a node can be relied on, and why not.
 *
 *     unhealthy   writes are refused, for the engine is poisoned; or more than one call in ten failed lately
 *                 through the node's own fault
 *     degraded    it serves, but somebody should look: data was lost in recovery, a file is damaged,
 *                 a tenant's flushes or compactions keep failing, processors or memory are used up, the disk
 *                 fills up or cannot be measured, or no write is taken until there is room on it again:
 *                 reads go on, and so does the node then
 *
 * The worst rule wins (features X20), and all that hold are told, those first that make it unhealthy.
 * @module
 */
import type { Engine, EngineStats } from "../engine/mod.ts";
import { type Clock, type Disk, DiskError, type Usage } from "../runtime/mod.ts";
import type { Health } from "./api.ts";
import type { DiskSpace, DiskThresholds } from "./disk_guard.ts";
import { type CallCounts, RecentRates } from "./load.ts";

/** As the design documents have it: from 90 % on large writes are to be refused (docs/rows.md: D2). */
export const DEFAULT_DISK_THRESHOLDS: DiskThresholds = { degraded: 0.9 };

/** What health is read from. */
export interface HealthSources {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly disk: Disk;
  readonly dataDir: string;
  readonly thresholds: DiskThresholds;
  readonly usage: Usage;
  /** Calls, counted by whoever takes them; absent: their rates are not reported. */
  readonly calls: CallCounts | undefined;
}

/** How long a measured disk stands by default, ms: health is asked for far more often than disks fill. */
const CHECK_INTERVAL_MS = 1000;

/** Shares of processors and memory above which a node is degraded, as the design documents have it (G4). */
const BUSY = 0.9;
/** The share of calls that fail above which a node is unhealthy (G4)... */
const FAILING = 0.1;
/** ...of at least so many: one that failed of three says nothing. */
const CALLS_JUDGED_MIN = 20;
/** Damaged tables that are named one by one. */
const DAMAGED_NAMED_MAX = 8;

/** Losses that are named one by one; the rest is counted. */
const LOSSES_NAMED_MAX = 8;

/** Reads a node's health. */
export class HealthMonitor {
  #sources: HealthSources;
  #rates: RecentRates;
  #space: { readonly atMs: number; readonly space: DiskSpace | DiskError } | undefined;

  constructor(sources: HealthSources) {
    this.#sources = sources;
    this.#rates = new RecentRates(
      sources.clock.monotonicMs(),
      this.#totals(sources.engine.stats()),
    );
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
    const { engine } = this.#sources;
    const metrics: Record<string, number> = {};
    const stats = engine.stats();
    const degraded = [
      ...this.#judgeLog(),
      ...this.#judgeRecovery(),
      ...this.#judgeFiles(stats),
      ...this.#judgeScrub(),
      ...this.#judgeJobs(),
      ...this.#judgeDisk(metrics),
      ...this.#judgeMemory(metrics),
    ];
    const { slow, failing } = this.#judgeLoad(metrics, stats);
    degraded.push(...slow);
    const unhealthy = engine.poisoned === undefined
      ? failing
      : [`writes are refused since a failure: ${engine.poisoned.message}`, ...failing];
    const reasons = [...unhealthy, ...degraded];
    if (unhealthy.length > 0) return { status: "unhealthy", reasons, metrics };
    return { status: degraded.length > 0 ? "degraded" : "healthy", reasons, metrics };
  }

  #totals(stats: EngineStats) {
    const { rowCacheHits, rowCacheMisses, blockCacheHits, blockCacheMisses, diskFailures } = stats;
    const { usage, calls } = this.#sources;
    return {
      cpuMs: usage.cpuMs(),
      calls: calls?.calls ?? 0,
      failed: calls?.failed ?? 0,
      hits: rowCacheHits + blockCacheHits,
      misses: rowCacheMisses + blockCacheMisses,
      diskFailures,
    };
  }

  /** What the last minute was like: how busy, and how much went wrong. */
  #judgeLoad(metrics: Record<string, number>, stats: EngineStats) {
    const { clock, usage, calls } = this.#sources;
    const slow: string[] = [];
    const failing: string[] = [];
    const recent = this.#rates.since(clock.monotonicMs(), this.#totals(stats));
    if (recent === undefined) return { slow, failing };
    const { elapsedMs, grown } = recent;
    // More than all there is comes from clocks that are not read at one moment.
    const cpu = metrics.cpu_usage = Math.min(1, grown.cpuMs / (elapsedMs * usage.cpus));
    if (cpu > BUSY) slow.push(`processors are ${Math.floor(cpu * 100)} % used`);
    // It may pass, and what lies elsewhere is served; when it hits many calls, these make the node unhealthy.
    if (grown.diskFailures > 0) {
      slow.push(`the disk failed ${grown.diskFailures} times in the last minute`);
    }
    const asked = grown.hits + grown.misses;
    if (asked > 0) metrics.cache_hit_rate = grown.hits / asked;
    if (calls === undefined) return { slow, failing };
    metrics.request_rate = grown.calls / (elapsedMs / 1000);
    const errors = metrics.error_rate = grown.calls === 0 ? 0 : grown.failed / grown.calls;
    if (errors > FAILING && grown.calls >= CALLS_JUDGED_MIN) {
      failing.push(`${Math.floor(errors * 100)} % of calls fail`);
    }
    return { slow, failing };
  }

  #judgeMemory(metrics: Record<string, number>): readonly string[] {
    const { residentBytes, limitBytes } = this.#sources.usage.memory();
    if (limitBytes === 0) return [];
    const share = metrics.memory_usage = residentBytes / limitBytes;
    return share > BUSY ? [`memory is ${Math.floor(share * 100)} % used`] : [];
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
  #judgeFiles(stats: EngineStats): readonly string[] {
    const { quarantinedFiles, compactionsStopped, checksumFailures, memoryLevel } = stats;
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

  /** A damaged table is there until somebody repairs it. */
  #judgeScrub(): readonly string[] {
    const { damaged } = this.#sources.engine.scrub();
    const reasons = damaged.slice(0, DAMAGED_NAMED_MAX).map(({ file, problem }) =>
      `a scrub found ${file} damaged: ${problem}`
    );
    const unnamed = damaged.length - reasons.length;
    if (unnamed > 0) reasons.push(`a scrub found ${unnamed} more tables damaged`);
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
    metrics.disk_usage_percent = usage * 100;
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
