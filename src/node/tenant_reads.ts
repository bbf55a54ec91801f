/**
 * Reads as clients see them: of a tenant that may not be there, charged to its keys and its quotas, merged by
 * its function, and sealed. What of a key is shown at all `reads.ts` says.
 * @module
 */
import type { Engine, Tree } from "../engine/mod.ts";
import { compareBytes, encodeKey, type Key } from "../model/mod.ts";
import type { Clock } from "../runtime/mod.ts";
import type {
  Explanation,
  KeyState,
  ReadResult,
  Scan,
  ScanInput,
  StorageNode,
  WatchEvent,
  WatchInput,
} from "./api.ts";
import { boundsOf, boundsOfWatch } from "./bounds.ts";
import type { Changes } from "./changes.ts";
import type { ExpiryClock } from "./expiry_clock.ts";
import { explainKey, NO_TREE } from "./explain.ts";
import type { HotKeys } from "./hot_keys/mod.ts";
import { MergedScan, type MergeFunctions } from "./merge/mod.ts";
import type { Quotas } from "./quotas.ts";
import { getKey, KeyScan, NO_KEYS, readKey, readKeys, strategyOf, valueBytes } from "./reads.ts";
import type { SealedAnswers } from "./sealed.ts";
import type { Tenants } from "./tenants.ts";
import { checkBatchLength, checkLimit, checkWatch } from "./validate.ts";
import { watchRange } from "./watch.ts";

/** Who has to keep to a tenant's bandwidth looks again after this long. */
const PAUSE_MS_MAX = 1000;

/** What reads stand on. */
export interface TenantReadParts {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly expiry: ExpiryClock;
  readonly tenants: Tenants;
  readonly quotas: Quotas;
  readonly hotKeys: HotKeys;
  readonly functions: MergeFunctions;
  readonly answers: SealedAnswers;
  readonly changes: Changes;
  /** @throws PairError Unavailable (2001) once the node is closed; InvalidTenantID (1004) of an id that is none */
  readonly checkUse: (tenant: string) => void;
}

type Verbs = "get" | "read" | "explain" | "batchGet" | "scan" | "watch";

/** The reads of one node. */
export class TenantReads implements Pick<StorageNode, Verbs> {
  readonly #engine: Engine;
  readonly #clock: Clock;
  readonly #expiry: ExpiryClock;
  readonly #tenants: Tenants;
  readonly #quotas: Quotas;
  readonly #hotKeys: HotKeys;
  readonly #functions: MergeFunctions;
  readonly #answers: SealedAnswers;
  readonly #changes: Changes;
  readonly #checkUse: (tenant: string) => void;

  constructor(parts: TenantReadParts) {
    this.#engine = parts.engine;
    this.#clock = parts.clock;
    this.#expiry = parts.expiry;
    this.#tenants = parts.tenants;
    this.#quotas = parts.quotas;
    this.#hotKeys = parts.hotKeys;
    this.#functions = parts.functions;
    this.#answers = parts.answers;
    this.#changes = parts.changes;
    this.#checkUse = parts.checkUse;
  }

  get(tenant: string, key: Key): ReadResult | undefined {
    this.#checkUse(tenant);
    const bytes = encodeKey(key);
    const tree = this.#charged(tenant, bytes);
    if (tree === undefined) return undefined;
    const found = this.#found(tree, getKey(this.#engine, tree, bytes, this.#expiry.nowMs()));
    return this.#answers.found(tenant, bytes, found);
  }

  read(
    tenant: string,
    key: Key,
    { asStored = false }: { asStored?: boolean } = {},
  ): ReadResult | undefined | Promise<ReadResult | undefined> {
    this.#checkUse(tenant);
    const bytes = encodeKey(key);
    const tree = this.#charged(tenant, bytes);
    if (tree === undefined) return undefined;
    const strategy = asStored ? undefined : strategyOf(tree);
    const found = readKey(this.#engine, tree, bytes, this.#expiry.nowMs(), strategy);
    if (!(found instanceof Promise)) return this.#show(tree, bytes, found, asStored);
    return found.then((result) => this.#show(tree, bytes, result, asStored));
  }

  async explain(tenant: string, key: Key): Promise<Explanation> {
    this.#checkUse(tenant);
    const bytes = encodeKey(key);
    const tree = this.#charged(tenant, bytes);
    if (tree === undefined) return NO_TREE;
    const how = await explainKey(this.#engine, tree, bytes, this.#expiry.nowMs(), this.#clock);
    return this.#answers.explained(tenant, bytes, how);
  }

  async batchGet(
    tenant: string,
    keys: readonly string[],
    options: { maxBytes?: number } = {},
  ): Promise<readonly (ReadResult | undefined)[]> {
    this.#checkUse(tenant);
    checkBatchLength(keys.length);
    const encoded = keys.map(encodeKey);
    const tree = this.#tenants.findForUse(tenant);
    if (tree === undefined) return keys.map(() => undefined);
    this.#hotKeys.readAll(tree, encoded);
    this.#quotas.read(tree, keys.length);
    const maxBytes = options.maxBytes ?? Infinity;
    const results = await readKeys(this.#engine, tree, encoded, this.#expiry.nowMs(), maxBytes);
    for (const result of results) this.#found(tree, result);
    const seal = (result: ReadResult | undefined, i: number) =>
      this.#answers.found(tenant, encoded[i], result);
    if (!this.#functions.folds(tree)) return results.map(seal);
    const merged: (ReadResult | undefined)[] = [];
    let bytes = 0;
    for (const result of results) {
      const shown = await this.#merged(tree, result);
      // What a function makes of values may be more than they are.
      if (shown !== undefined) bytes += valueBytes(shown);
      if (bytes > maxBytes && merged.length > 0) break;
      merged.push(shown);
    }
    return merged.map(seal);
  }

  scan(tenant: string, input: ScanInput): Scan {
    this.#checkUse(tenant);
    const { start, end } = boundsOf(input);
    const limit = checkLimit(input.limit);
    const tree = this.#tenants.findForUse(tenant);
    if (tree !== undefined) this.#quotas.read(tree, 1);
    const isEmpty = start !== undefined && end !== undefined && compareBytes(start, end) >= 0;
    if (tree === undefined || isEmpty) return NO_KEYS;
    const range = { start, end, reverse: input.reverse };
    const scan = new KeyScan(this.#engine, tree, range, limit, this.#expiry.nowMs(), {
      found: (result) => this.#found(tree, result),
      pause: () => {
        const pauseMs = this.#pauseMs(tree);
        return pauseMs === 0 ? undefined : this.#clock.sleep(pauseMs);
      },
    });
    const folds = this.#functions.folds(tree);
    const shown = folds ? new MergedScan(scan, tree, this.#functions) : scan;
    return this.#answers.scan(tenant, shown);
  }

  watch(
    tenant: string,
    input: WatchInput,
    signal?: AbortSignal,
  ): AsyncGenerator<readonly WatchEvent[], undefined> {
    this.#checkUse(tenant);
    const range = { ...checkWatch(input), ...boundsOfWatch(input) };
    // Refused here where there has to be a tenant, or where that has asked too often.
    const tree = this.#tenants.findForUse(tenant);
    if (tree !== undefined) this.#quotas.read(tree, 1);
    const parts = {
      engine: this.#engine,
      changes: this.#changes,
      clock: this.#clock,
      tree: () => this.#tenants.findForUse(tenant),
      strategy: () => {
        const tree = this.#tenants.find(tenant);
        return tree && strategyOf(tree);
      },
      nowMs: () => this.#expiry.nowMs(),
      charge: (bytes: number) => {
        const tree = this.#tenants.find(tenant);
        if (tree !== undefined) this.#quotas.found(tree, bytes);
      },
      pauseMs: () => {
        const tree = this.#tenants.find(tenant);
        return tree === undefined ? 0 : this.#pauseMs(tree);
      },
      sealed: (event: WatchEvent) => this.#answers.event(tenant, event),
    };
    return watchRange(parts, tenant, range, signal);
  }

  /** The tree that one key is read from, once that is charged; undefined when there is none. */
  #charged(tenant: string, key: Uint8Array): Tree | undefined {
    const tree = this.#tenants.findForUse(tenant);
    if (tree === undefined) return undefined;
    this.#hotKeys.read(tree, key);
    this.#quotas.read(tree, 1);
    return tree;
  }

  #show(
    tree: Tree,
    key: Uint8Array,
    result: ReadResult | undefined,
    asStored: boolean,
  ): ReadResult | undefined | Promise<ReadResult> {
    this.#found(tree, result);
    if (asStored) return result;
    const merged = this.#merged(tree, result);
    return merged instanceof Promise
      ? merged.then((shown) => this.#answers.found(tree.name, key, shown))
      : this.#answers.found(tree.name, key, merged);
  }

  /** What clients see of a key of a tenant that may have a merge function of its own. */
  #merged(
    tree: Tree,
    result: ReadResult | undefined,
  ): ReadResult | undefined | Promise<ReadResult> {
    const folded = result && this.#functions.fold(tree, result);
    if (folded === undefined) return result;
    const { source } = result!;
    return folded instanceof Promise
      ? folded.then((state) => ({ ...state, source }))
      : { ...folded, source };
  }

  /** Charges what a read has found, and gives it back. */
  #found<T extends KeyState | undefined>(tree: Tree, result: T): T {
    if (result !== undefined) this.#quotas.found(tree, valueBytes(result));
    return result;
  }

  #pauseMs(tree: Tree): number {
    return Math.min(this.#quotas.pauseMs(tree), PAUSE_MS_MAX);
  }
}
