/**
 * The read path: what clients see of keys. Versions that another has seen are never stored, so a read
 * shows all that is there, except that deletes and expired values do not count as values. Where the tenant has
 * a conflict strategy of its own, it shows the one version that this makes of them.
 * @module
 */
import type { Engine, ReadTrace, ScanCursor, ScanRange, Tree } from "../engine/mod.ts";
import {
  type ConflictStrategy,
  conflictStrategy,
  decodeKey,
  decodeVersions,
  isLive,
  joinVersions,
  type VectorClock,
  type Version,
} from "../model/mod.ts";
import type { KeyState, ReadResult, Scan, ScanItem, VersionView } from "./api.ts";

/** How a tenant deals with concurrent versions; undefined: by showing them, which costs nothing. */
export function strategyOf(tree: Tree): ConflictStrategy | undefined {
  const name = tree.options.conflictStrategy;
  return name === undefined ? undefined : conflictStrategy(name);
}

/** Keys that are read at once, so that the cut by size comes before memory is gone. */
const BATCH_SLICE = 16;

/**
 * One key's state; undefined when it has no live value.
 * @param nowMs  wall time that decides what has expired
 * @throws PairError CorruptedData (2007) or ChecksumFailed (1006) when it cannot be read
 */
export function getKey(
  engine: Engine,
  tree: Tree,
  key: Uint8Array,
  nowMs: number,
): ReadResult | undefined {
  const trace: ReadTrace = { source: "none" };
  return viewResult(engine.get(tree, key, { trace }), trace, nowMs, strategyOf(tree));
}

/**
 * The same; a promise when the key has to come from a slow disk.
 * @param strategy  undefined: show versions as they are stored
 */
export function readKey(
  engine: Engine,
  tree: Tree,
  key: Uint8Array,
  nowMs: number,
  strategy: ConflictStrategy | undefined,
): ReadResult | undefined | Promise<ReadResult | undefined> {
  const trace: ReadTrace = { source: "none" };
  const bytes = engine.read(tree, key, { trace });
  if (!(bytes instanceof Promise)) return viewResult(bytes, trace, nowMs, strategy);
  return bytes.then((value) => viewResult(value, trace, nowMs, strategy));
}

/**
 * The states of keys at one moment, in their order.
 * @param maxBytes  the answer is cut off before its values exceed this; its first key is always there
 */
export async function readKeys(
  engine: Engine,
  tree: Tree,
  keys: readonly Uint8Array[],
  nowMs: number,
  maxBytes: number,
): Promise<(ReadResult | undefined)[]> {
  const snapshot = engine.snapshot();
  const strategy = strategyOf(tree);
  const results: (ReadResult | undefined)[] = [];
  let bytes = 0;
  try {
    while (results.length < keys.length) {
      const slice = keys.slice(results.length, results.length + BATCH_SLICE);
      const traces = slice.map((): ReadTrace => ({ source: "none" }));
      const found = engine.readMany(tree, slice, { snapshot, traces });
      const values = found instanceof Promise ? await found : found;
      for (const [i, value] of values.entries()) {
        const result = viewResult(value, traces[i], nowMs, strategy);
        if (result !== undefined) bytes += valueBytes(result);
        if (bytes > maxBytes && results.length > 0) return results;
        results.push(result);
      }
    }
    return results;
  } finally {
    snapshot.release();
  }
}

/** Who has a say in how fast a scan goes. */
export interface ScanPace {
  /** Told of each key that is shown. */
  found(result: KeyState): void;
  /** A promise to await before the next step; undefined: it need not wait. */
  pause(): Promise<void> | undefined;
}

/** Live keys of a range, in its order, as of the first step. The cursor is closed however the iteration ends. */
export class KeyScan implements Scan {
  readonly #open: () => ScanCursor;
  readonly #nowMs: number;
  readonly #pace: ScanPace;
  readonly #strategy: ConflictStrategy | undefined;
  #left: number;
  #cursor: ScanCursor | undefined;
  /** What was found while somebody waited for it. */
  #ahead: (() => IteratorResult<ScanItem>) | undefined;
  #ended = false;

  constructor(
    engine: Engine,
    tree: Tree,
    range: ScanRange,
    limit: number,
    nowMs: number,
    pace: ScanPace,
  ) {
    this.#open = () => engine.scan(tree, range);
    this.#left = limit;
    this.#nowMs = nowMs;
    this.#pace = pace;
    this.#strategy = strategyOf(tree);
  }

  next(): IteratorResult<ScanItem> {
    const ahead = this.#ahead;
    if (ahead !== undefined) {
      this.#ahead = undefined;
      return ahead();
    }
    return this.#guarded(() => {
      for (;;) {
        const step = this.#step();
        if (step !== undefined) return step;
      }
    });
  }

  ready(): Promise<void> | undefined {
    if (this.#ended || this.#ahead !== undefined || this.#left === 0) return undefined;
    const pause = this.#pace.pause();
    if (pause !== undefined) return pause.then(() => this.ready());
    this.#cursor ??= this.#open();
    const wait = this.#cursor.ready();
    return wait === undefined ? undefined : this.#goAhead(wait);
  }

  return(): IteratorResult<ScanItem> {
    this.#end();
    return END;
  }

  [Symbol.iterator](): this {
    return this;
  }

  /** Goes on to the next item that is shown, waiting before each step. */
  async #goAhead(first: Promise<void>): Promise<void> {
    let wait: Promise<void> | undefined = first;
    for (;;) {
      if (wait !== undefined) await wait;
      if (this.#ended) return;
      try {
        const step = this.#guarded(() => this.#step());
        if (step !== undefined) {
          this.#ahead = () => step;
          return;
        }
      } catch (error) {
        this.#ahead = () => {
          throw error;
        };
        return;
      }
      wait = this.#cursor!.ready();
    }
  }

  /** One step of the cursor; undefined when its key is not shown. */
  #step(): IteratorResult<ScanItem> | undefined {
    if (this.#ended) return END;
    this.#cursor ??= this.#open();
    if (this.#left === 0 || !this.#cursor.next()) return this.return();
    // Copied: the cursor's bytes are good until its next step, an item for as long as it is kept.
    const state = this.#cursor.value.slice();
    const result = viewState(versionsIn(state, this.#strategy, this.#nowMs), this.#nowMs);
    if (result === undefined) return undefined;
    this.#left--;
    this.#pace.found(result);
    return { done: false, value: { key: decodeKey(this.#cursor.key), result } };
  }

  #guarded<T>(run: () => T): T {
    try {
      return run();
    } catch (error) {
      this.#end();
      throw error;
    }
  }

  #end(): void {
    this.#ended = true;
    this.#cursor?.close();
  }
}

const END: IteratorResult<ScanItem> = Object.freeze({ done: true, value: undefined });

/** A scan of nothing. */
export const NO_KEYS: Scan = Object.freeze({
  next: () => END,
  ready: () => undefined,
  return: () => END,
  [Symbol.iterator]() {
    return this;
  },
});

/** What clients are told, by where the engine found it: a cache is a cache. */
const SOURCES = {
  memtable: "memtable",
  cache: "cache",
  shared_cache: "cache",
  sstable: "sstable",
  none: "memtable",
} as const;

function viewResult(
  bytes: Uint8Array | undefined,
  trace: ReadTrace,
  nowMs: number,
  strategy: ConflictStrategy | undefined,
): ReadResult | undefined {
  if (bytes === undefined) return undefined;
  const state = viewState(versionsIn(bytes, strategy, nowMs), nowMs);
  return state && { ...state, source: SOURCES[trace.source] };
}

/** Bytes of a key's values: of the winner, and again of all versions when there are several. */
export function valueBytes(state: KeyState): number {
  let bytes = state.winner.value?.length ?? 0;
  if (state.versions.length > 1) {
    for (const version of state.versions) bytes += version.value?.length ?? 0;
  }
  return bytes;
}

/** A key's state as a watcher is told of it. */
export interface ChangeView {
  /** Undefined when it has no live value. */
  readonly state: KeyState | undefined;
  /** Covers every version. */
  readonly clock: VectorClock;
  /** Of the version that is shown, or the latest; ms since 1970. */
  readonly timestampMs: number;
  /** When the value that is shown expires, ms since 1970; 0: never. */
  readonly expiresAtMs: number;
}

/** @param bytes  versions, encoded; undefined: none. They are kept. */
export function viewChange(
  bytes: Uint8Array | undefined,
  nowMs: number,
  strategy: ConflictStrategy | undefined,
): ChangeView {
  const versions = bytes === undefined ? [] : versionsIn(bytes, strategy, nowMs);
  const state = viewState(versions, nowMs);
  const shown = versions.find((version) => isLive(version, nowMs)) ?? versions.at(0);
  return {
    state,
    clock: state?.clock ?? joinVersions(versions),
    timestampMs: shown?.timestampMs ?? 0,
    expiresAtMs: state === undefined ? 0 : shown!.expiresAtMs,
  };
}

/** The versions of a key that its tenant's clients see. */
function versionsIn(
  state: Uint8Array,
  strategy: ConflictStrategy | undefined,
  nowMs: number,
): readonly Version[] {
  const versions = decodeVersions(state);
  return strategy === undefined ? versions : strategy.resolve(versions, nowMs);
}

/** What of a key's versions, in canonical order, is shown; undefined when none has a value. */
function viewState(versions: readonly Version[], nowMs: number): KeyState | undefined {
  const at = versions.findIndex((version) => isLive(version, nowMs));
  if (at < 0) return undefined;
  const views = versions.map((version) => viewVersion(version, nowMs));
  // Deletes may stand before the winner in canonical order; beside a value they are shown after it.
  const [winner] = views.splice(at, 1);
  views.unshift(winner);
  return { winner, versions: views, clock: joinVersions(versions) };
}

function viewVersion(version: Version, nowMs: number): VersionView {
  return {
    value: isLive(version, nowMs) ? version.value : undefined,
    clock: version.clock,
    timestampMs: version.timestampMs,
    ...(version.expiresAtMs === 0 ? {} : { expiresAtMs: version.expiresAtMs }),
  };
}
