/**
 * The link to a shared cache: whether it is to be called at all, and for how long it is waited for.
 *
 *     down    at first; nobody calls. It is probed in the background, after a pause that doubles
 *     up      a probe got an answer. Five calls in a row that fail or come too late: down again, and the pauses
 *             go on from where they were, unless a call got an answer meanwhile
 *
 * So a cache that is gone or slow costs nobody time for long, and connecting is nobody's wait.
 * @module
 */
import type { Cancel, Clock, Log, SharedCache } from "../../runtime/mod.ts";

/** Calls in a row that have to fail before it counts as down. */
const FAILURES_MAX = 5;
/** Between probes of one that is down, in ms: the first pause and the longest. */
const PAUSE_MS_MIN = 250;
const PAUSE_MS_MAX = 8000;
/** What a probe waits for, the connection included, in ms. */
const PROBE_MS = 5000;

/** A cache that is called only while it answers. */
export class Link {
  readonly #cache: SharedCache;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #probe: string;
  #isUp = false;
  #failures = 0;
  #pauseMs = PAUSE_MS_MIN;
  #cancelProbe: Cancel | undefined;
  #closed = false;
  #errors = 0;
  #timeouts = 0;

  /** @param probe  a key to ask for in order to see whether anybody answers */
  constructor(cache: SharedCache, probe: string, clock: Clock, log: Log) {
    this.#cache = cache;
    this.#probe = probe;
    this.#clock = clock;
    this.#log = log;
  }

  /** Whether it is to be called. */
  get isUp(): boolean {
    return this.#isUp;
  }
  /** Calls that failed, and those that took too long. */
  get errors(): number {
    return this.#errors;
  }
  get timeouts(): number {
    return this.#timeouts;
  }

  /** Begins to look for the cache. */
  start(): void {
    void this.#look();
  }

  close(): void {
    this.#closed = true;
    this.#isUp = false;
    this.#cancelProbe?.();
    this.#cache.close();
  }

  /**
   * Calls the cache.
   * @param limitMs  how long it is waited for
   * @returns its answer; undefined when it is down, or there was none. Never rejects
   */
  async call<T>(run: (cache: SharedCache) => Promise<T>, limitMs: number): Promise<T | undefined> {
    if (!this.#isUp) return undefined;
    const answer = await this.#try(run, limitMs);
    if (answer !== undefined) {
      this.#failures = 0;
      this.#pauseMs = PAUSE_MS_MIN;
    } else if (this.#isUp && ++this.#failures >= FAILURES_MAX) this.#goDown();
    return answer?.value;
  }

  async #try<T>(
    run: (cache: SharedCache) => Promise<T>,
    limitMs: number,
  ): Promise<{ readonly value: T } | undefined> {
    let cancel: Cancel | undefined;
    const late = new Promise<undefined>((resolve) => {
      cancel = this.#clock.after(limitMs, () => {
        this.#timeouts++;
        resolve(undefined);
      });
    });
    try {
      return await Promise.race([run(this.#cache).then((value) => ({ value })), late]);
    } catch (error) {
      this.#errors++;
      this.#log.debug("shared_cache.failed", { error: messageOf(error) });
      return undefined;
    } finally {
      cancel?.();
    }
  }

  #goDown(): void {
    this.#isUp = false;
    this.#failures = 0;
    this.#cache.reset();
    this.#log.warn("shared_cache", { state: "down: reads go without it", cache: this.#cache.name });
    this.#lookLater();
  }

  #lookLater(): void {
    this.#cancelProbe = this.#clock.after(this.#pauseMs, () => void this.#look());
    this.#pauseMs = Math.min(PAUSE_MS_MAX, this.#pauseMs * 2);
  }

  async #look(): Promise<void> {
    const answer = await this.#try((cache) => cache.getMany([this.#probe]), PROBE_MS);
    if (this.#closed) return;
    if (answer === undefined) {
      this.#cache.reset();
      return this.#lookLater();
    }
    this.#isUp = true;
    this.#log.info("shared_cache", { state: "up", cache: this.#cache.name });
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
