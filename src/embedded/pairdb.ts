/**
 * PairDB inside a program: a node without a port, for programs and for their test suites.
 * @module
 */
import type { EngineOptions } from "../engine/mod.ts";
import { type CausalContext, fromUtf8, utf8 } from "../model/mod.ts";
import type {
  KeyState,
  PutInput,
  ScanInput,
  StorageNode,
  WatchEvent,
  WatchInput,
} from "../node/mod.ts";
import { type Log, type Runtime, silentLog } from "../runtime/mod.ts";
import { openNode } from "./node.ts";
import { machine, memory } from "./world.ts";

/** Where the data lives, and how. */
export interface OpenOptions {
  /** A data directory; made when it is not there. Either this or `memory`. */
  readonly path?: string;
  /** Keep everything in memory, gone when it is closed. */
  readonly memory?: boolean;
  /** Names the node. Default: the directory's name for itself, or a random one. */
  readonly nodeId?: string;
  /** Engine options; sizes, sync mode and the like. */
  readonly engine?: EngineOptions;
  /** Takes events. Default: silence. */
  readonly log?: Log;
}

/** What every write may bring. */
export interface EmbeddedWriteOptions {
  /** Applies the write once, however often it comes with this key. 16 to 64 bytes of UTF-8. */
  readonly idempotencyKey?: string;
}

/** A put's options. */
export interface EmbeddedPutOptions {
  /** The context of an earlier answer: the write replaces what that has seen. Absent: everything. */
  readonly context?: CausalContext;
  /**
   * Store only if the key's context is exactly `context`, or without one, if the key has no value; else a
   * ContextMismatch with the present context is thrown.
   */
  readonly ifContext?: boolean;
  /** Milliseconds to live; 0: for ever; absent: as the tenant's default says. */
  readonly ttlMs?: number;
}

/** A value that was found. */
export interface EmbeddedValue {
  /** The bytes, a copy of your own. */
  readonly value: Uint8Array;
  /** The value as text. @throws TypeError when it is not UTF-8 */
  text(): string;
  /** Covers every version; pass it to the next write. */
  readonly context: CausalContext;
  /** Milliseconds since 1970 of the write. */
  readonly timestampMs: number;
  /** Every concurrent version, this one first; undefined stands for a delete. One when there is no conflict. */
  readonly versions: readonly (Uint8Array | undefined)[];
}

/** One value of a batch. */
export interface EmbeddedItem extends EmbeddedPutOptions {
  /** 1 to 1024 bytes of UTF-8 without control characters. */
  readonly key: string;
  /** At most 10 MiB; text is stored as UTF-8. */
  readonly value: string | Uint8Array;
}

/** Something that a watcher is told; what each field means: {@link WatchEvent}. */
export interface EmbeddedEvent extends Omit<WatchEvent, "state" | "clock"> {
  /** What the key holds, for `put` and `initial`. */
  readonly found: EmbeddedValue | undefined;
  /** Covers every version of the key; empty for `progress` and `gap`. */
  readonly context: CausalContext;
}

/**
 * Opens a node in this process.
 *
 * ```ts ignore
 * await using db = await openPairDB({ memory: true });
 * await db.put("shop", "cart/42", "2 apples");
 * ```
 * @throws TypeError unless exactly one of `path` and `memory` is given; PairError InvalidArgument (1000)
 *   when the directory's format is newer; Unavailable (2001) when another process has it open; CorruptedData
 *   (2007) when it is damaged
 */
export async function openPairDB(options: OpenOptions): Promise<EmbeddedPairDB> {
  const { path, nodeId, engine } = options;
  if ((path === undefined) === (options.memory !== true)) {
    throw new TypeError("openPairDB takes either a path or { memory: true }");
  }
  const log = options.log ?? silentLog;
  const runtime = path === undefined ? memory() : machine({ workers: 2, log });
  try {
    const node = await openNode(runtime, {
      dataDir: path ?? "/memory",
      version: "embedded",
      nodeId,
      engine,
    });
    return new EmbeddedPairDB(node, runtime);
  } catch (error) {
    await runtime.workers.close();
    throw error;
  }
}

/** A node in this process. Close it, or use it with `await using`. */
export class EmbeddedPairDB implements AsyncDisposable {
  /** The node itself, for what is not here. */
  readonly node: StorageNode;
  readonly #runtime: Runtime;

  /** Made by {@link openPairDB}. */
  constructor(node: StorageNode, runtime: Runtime) {
    this.node = node;
    this.#runtime = runtime;
  }

  /**
   * Stores a value; durable when the promise resolves.
   * @returns the context for the next write of the key
   */
  async put(
    tenant: string,
    key: string,
    value: string | Uint8Array,
    options: EmbeddedPutOptions & EmbeddedWriteOptions = {},
  ): Promise<CausalContext> {
    const { idempotencyKey } = options;
    const input = { ...item({ key, value, ...options }), idempotencyKey };
    return (await this.node.put(tenant, input)).clock;
  }

  /** Reads a key; undefined when it has no value. */
  get(tenant: string, key: string): EmbeddedValue | undefined {
    const result = this.node.get(tenant, key);
    return result && new Found(result);
  }

  /** Deletes a key. @returns whether it had a value */
  async delete(
    tenant: string,
    key: string,
    options: Pick<EmbeddedPutOptions, "context" | "ifContext"> & EmbeddedWriteOptions = {},
  ): Promise<boolean> {
    return (await this.node.delete(tenant, { key, ...options })).existed;
  }

  /** Stores up to 1000 values of one tenant: all of them or none. */
  async batchPut(
    tenant: string,
    items: readonly EmbeddedItem[],
    options: EmbeddedWriteOptions = {},
  ): Promise<void> {
    await this.node.batchPut(tenant, items.map(item), options);
  }

  /** Live keys in byte order, or backwards, as of one moment. */
  *scan(
    tenant: string,
    range: ScanInput = {},
  ): Generator<EmbeddedValue & { readonly key: string }> {
    for (const { key, result } of this.node.scan(tenant, range)) {
      yield Object.assign(new Found(result), { key });
    }
  }

  /**
   * Tells what comes of a tenant's keys, of a range of them or of one: in the order of the writes, each
   * once it is durable. A tenant that is not there yet may be watched. The first event is `progress` or
   * `initial` (after a `gap`, where a token cannot be gone on from), and no later write is left out without
   * a `gap`. A watcher holds nothing back: one that takes its events late is told of a gap.
   *
   * ```ts ignore
   * for await (const { type, key, found } of db.watch("shop", { prefix: "cart/" })) {
   *   if (type === "put") show(key, found!.text());
   * }
   * ```
   * Leaving the loop ends the watch; so does `signal`, whose reason is thrown, also while nothing comes.
   * @throws PairError InvalidArgument (1000), by the call itself, for a token, a bound or a time that is
   *   none; InvalidTenantID (1004) when the tenant is dropped; ResourceExhausted (2008) when too many watch;
   *   Unavailable (2001) when the database is closed
   */
  watch(
    tenant: string,
    range: WatchInput = {},
    options: { readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<EmbeddedEvent, undefined> {
    // Not a generator itself: what is wrong with the input is said by the call.
    return oneByOne(this.node.watch(tenant, range, options.signal));
  }

  /** Closes the node; with `{ memory: true }` its data is gone. */
  async close(): Promise<void> {
    await this.node.close();
    await this.#runtime.workers.close();
  }

  /** The same as `close`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

async function* oneByOne(
  batches: AsyncIterable<readonly WatchEvent[]>,
): AsyncGenerator<EmbeddedEvent, undefined> {
  for await (const events of batches) {
    for (const { state, clock, ...event } of events) {
      yield { ...event, found: state && new Found(state), context: clock };
    }
  }
}

class Found implements EmbeddedValue {
  readonly value: Uint8Array;
  readonly context: CausalContext;
  readonly timestampMs: number;
  readonly versions: readonly (Uint8Array | undefined)[];

  constructor(result: KeyState) {
    // The winner is a live version: a key without one is not found.
    // Copied: what the node gives is a view of more than this value.
    this.value = result.winner.value!.slice();
    this.context = result.clock;
    this.timestampMs = result.winner.timestampMs;
    this.versions = result.versions.map((version) => version.value);
  }

  text(): string {
    return fromUtf8(this.value);
  }
}

function item(given: EmbeddedItem): PutInput {
  const { key, value, context, ifContext, ttlMs } = given;
  const bytes = typeof value === "string" ? utf8(value) : value;
  return { key, value: bytes, context, ifContext, ttlMs };
}
