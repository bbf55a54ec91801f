/**
 * What clients are told, with the seals of its contexts (`src/model/seal.ts`). A node that has no seals to make
 * tells the same without.
 *
 * What is read is sealed last, when strategies and merge functions have made of it what clients see. Of a key
 * with one version, the state's own context is sealed, which is the only one that goes out.
 * @module
 */
import type { CausalContext, ContextSeals, Key, VectorClock } from "../model/mod.ts";
import type {
  Explanation,
  KeyState,
  ReadResult,
  Scan,
  ScanItem,
  VersionView,
  WatchEvent,
  WriteResult,
} from "./api.ts";

/** Seals the answers of one node. */
export class SealedAnswers {
  readonly #seals: ContextSeals | undefined;

  constructor(seals: ContextSeals | undefined) {
    this.#seals = seals;
  }

  /** A context by itself. */
  context(tenant: string, key: Key, clock: VectorClock): CausalContext {
    return this.#seals === undefined ? clock : this.#seals.seal(tenant, key, clock);
  }

  /** What a write did. */
  written(tenant: string, key: Key, result: WriteResult): WriteResult {
    const { clock, timestampMs } = result;
    return { clock: this.context(tenant, key, clock), timestampMs };
  }

  /** What a read found, if anything. */
  found(tenant: string, key: Key, result: ReadResult): ReadResult;
  found(tenant: string, key: Key, result: ReadResult | undefined): ReadResult | undefined;
  found(tenant: string, key: Key, result: ReadResult | undefined): ReadResult | undefined {
    if (result === undefined || this.#seals === undefined) return result;
    const { winner, versions, clock } = this.#state(tenant, key, result);
    return { winner, versions, clock, source: result.source };
  }

  /** How a read went. */
  explained(tenant: string, key: Key, how: Explanation): Explanation {
    if (this.#seals === undefined) return how;
    const sealed = (clock: VectorClock) => this.context(tenant, key, clock);
    const versions = how.versions.map((version) => ({ ...version, clock: sealed(version.clock) }));
    return { ...how, versions, clock: sealed(how.clock) };
  }

  /** The items of a scan. */
  scan(tenant: string, scan: Scan): Scan {
    if (this.#seals === undefined) return scan;
    return new SealedScan(scan, ({ key, result }) => ({
      key,
      result: this.#state(tenant, key, result),
    }));
  }

  /** Something that a watcher is told. */
  event(tenant: string, event: WatchEvent): WatchEvent {
    if (this.#seals === undefined) return event;
    const { key, state } = event;
    if (state === undefined) return { ...event, clock: this.context(tenant, key, event.clock) };
    const sealed = this.#state(tenant, key, state);
    return { ...event, state: sealed, clock: sealed.clock };
  }

  #state(tenant: string, key: Key, state: KeyState): KeyState {
    const { winner, versions } = state;
    const clock = this.context(tenant, key, state.clock);
    if (versions.length === 1) return { winner, versions, clock };
    const sealed = versions.map((version) => this.#version(tenant, key, version));
    return { winner: sealed[0], versions: sealed, clock };
  }

  #version(tenant: string, key: Key, version: VersionView): VersionView {
    return { ...version, clock: this.context(tenant, key, version.clock) };
  }
}

/** A scan whose items are changed on their way out. */
class SealedScan implements Scan {
  readonly #scan: Scan;
  readonly #sealed: (item: ScanItem) => ScanItem;

  constructor(scan: Scan, sealed: (item: ScanItem) => ScanItem) {
    this.#scan = scan;
    this.#sealed = sealed;
  }

  next(): IteratorResult<ScanItem> {
    const step = this.#scan.next();
    return step.done ? step : { done: false, value: this.#sealed(step.value) };
  }

  ready(): Promise<void> | undefined {
    return this.#scan.ready();
  }

  return(): IteratorResult<ScanItem> {
    return this.#scan.return();
  }

  [Symbol.iterator](): this {
    return this;
  }
}
