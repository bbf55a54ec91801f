/**
 * When the block cache is warmed: in the background after an open, as it was noted at the close before
 * (`warm.ts`). Nobody waits for it, and nothing depends on it.
 * @module
 */
import { DiskError, type Runtime } from "../runtime/mod.ts";
import type { ColdReads } from "./cold_reads.ts";
import type { Files } from "./files.ts";
import type { BlockCache } from "./sstable/mod.ts";
import type { LiveTable } from "./version.ts";
import { loadWarm, saveWarm, warmUp } from "./warm.ts";

/** Of the cache's bytes: past this warm blocks would push each other out. */
const WARM_SHARE = 0.9;

/** What is warmed, and whether. */
export interface WarmingOptions {
  readonly isOn: boolean;
  /** The tables of now. */
  readonly tables: () => readonly LiveTable[];
}

/** The warming of one engine. */
export class Warming {
  readonly #runtime: Runtime;
  readonly #files: Files;
  readonly #cache: BlockCache;
  readonly #coldReads: ColdReads;
  readonly #options: WarmingOptions;
  #running: Promise<void> | undefined;
  #stopped = false;
  /** The cache did not get as warm again as it had been when the engine closed. */
  #isCut = false;

  constructor(
    runtime: Runtime,
    files: Files,
    cache: BlockCache,
    coldReads: ColdReads,
    options: WarmingOptions,
  ) {
    this.#runtime = runtime;
    this.#files = files;
    this.#cache = cache;
    this.#coldReads = coldReads;
    this.#options = options;
  }

  /** Begins in the background. */
  begin(): void {
    if (this.#options.isOn && this.#cache.capacity > 0) this.#running = this.#warm();
  }

  /** Gives it up. Resolves when it is over; never rejects. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  /** Writes down what the cache holds. */
  save(): void {
    // Then what was noted at the close before says more.
    if (!this.#options.isOn || this.#isCut) return;
    const { disk, log } = this.#runtime;
    try {
      saveWarm(disk, this.#files, this.#options.tables());
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      log.warn("cannot note the cache's blocks", { error: error.message });
    }
  }

  async #warm(): Promise<void> {
    const { disk, clock, log } = this.#runtime;
    const startedMs = clock.monotonicMs();
    const most = this.#cache.capacity * WARM_SHARE;
    try {
      const warm = loadWarm(disk, this.#files);
      if (warm.length === 0) return;
      const blocks = await warmUp(
        warm,
        new Map(this.#options.tables().map((table) => [table.meta.number, table])),
        this.#coldReads,
        () => !this.#stopped && this.#cache.bytes < most,
      );
      this.#isCut = this.#stopped;
      log.info("cache warmed", { blocks, ms: Math.round(clock.monotonicMs() - startedMs) });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      // Damage in a table is the affair of whoever reads it next; here it only ends the warming.
      log.warn("cache not warmed", { error: reason });
    }
  }
}
