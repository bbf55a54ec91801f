/**
 * The client: a server's keys, tenants and upkeep as plain method calls.
 * @module
 */
import { type Client, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import {
  type BatchGetItem,
  KeyValueService,
  type WatchEvent as WatchEventMessage,
  WatchEventType,
} from "../gen/pairdb/v1/kv_pb.ts";
import { PairError } from "../model/mod.ts";
import { AdminCalls } from "./admin.ts";
import { Calls } from "./calls.ts";
import {
  fromClock,
  fromExplanation,
  fromFound,
  fromInt64,
  fromRow,
  toClock,
  toConsistency,
  toInt64,
  toItem,
  toKey,
  toText,
  toTtl,
  toValue,
} from "./convert.ts";
import { platformFetch } from "./platform.ts";
import { TenantCalls } from "./tenants.ts";
import { fetchWith, type OwnFetch } from "./tls.ts";
import type {
  BatchItem,
  BatchPutOptions,
  CallOptions,
  ConnectOptions,
  Deleted,
  Explanation,
  Found,
  KeyOptions,
  PutOptions,
  ScanRange,
  ScanRow,
  WatchEvent,
  WatchRange,
  WriteOptions,
  Written,
} from "./types.ts";

/**
 * A PairDB server. Every method rejects with a PairError, whose `error` and `code` say what to do.
 * A read that fails for a reason that passes is made again ({@link RetryOptions}); so is a write if it was not
 * applied, or has an idempotency key. After another Unavailable (2001) a write may or may not have been stored.
 *
 * ```ts ignore
 * const db = PairDB.connect("http://127.0.0.1:50052");
 * await db.put("shop", "cart/42", "2 apples");
 * const found = await db.get("shop", "cart/42");
 * await db.put("shop", "cart/42", "3 apples", { context: found?.context });
 * for await (const { key } of db.scan("shop", { prefix: "cart/" })) use(key);
 * ```
 */
export class PairDB {
  /** The server, as calls name it in errors. */
  readonly url: string;
  /** Tenants as objects. */
  readonly tenants: TenantCalls;
  /** One node's upkeep. */
  readonly admin: AdminCalls;
  #calls: Calls;
  #keys: Client<typeof KeyValueService>;

  #own: OwnFetch | undefined;

  private constructor(calls: Calls, transport: Transport, own: OwnFetch | undefined) {
    this.#own = own;
    this.url = calls.url;
    this.#calls = calls;
    this.#keys = createClient(KeyValueService, transport);
    this.tenants = new TenantCalls(calls, transport);
    this.admin = new AdminCalls(calls, transport);
  }

  /**
   * Names a server; nothing is sent before the first call.
   * @param url  such as `http://127.0.0.1:50052`; `HOST:PORT` alone means http
   * @throws PairError InvalidArgument (1000) when it is no http or https URL, or when the token or the
   *   certificates cannot be used
   */
  static connect(url: string, options: ConnectOptions = {}): PairDB {
    const baseUrl = normalizeUrl(url);
    const make = options.protocol === "grpc-web" ? createGrpcWebTransport : createConnectTransport;
    const plain = options.fetch ?? platformFetch;
    const own = options.tls === undefined ? undefined : fetchWith(options.tls, plain);
    const transport = make({
      baseUrl,
      useBinaryFormat: true,
      interceptors: options.token === undefined ? [] : [showing(options.token)],
      fetch: own?.fetch ?? plain,
    });
    return new PairDB(new Calls(baseUrl, options), transport, own);
  }

  /**
   * Closes the connections that were made with certificates of our own ({@link ConnectOptions.tls});
   * there is nothing to close otherwise. No call may follow.
   */
  close(): void {
    this.#own?.close();
    this.#own = undefined;
  }

  /** The same at the end of a `using` block. */
  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * Stores a value.
   * @param tenant  1 to 256 bytes of UTF-8 without `:` and control characters
   * @param key     1 to 1024 bytes of UTF-8 without control characters
   * @param value   at most 10 MiB; text is stored as UTF-8
   */
  put(
    tenant: string,
    key: string,
    value: string | Uint8Array,
    options: PutOptions = {},
  ): Promise<Written> {
    return this.#calls.write(options, async (call) => {
      const answer = await this.#keys.put({
        tenantId: toText(tenant, "tenant id"),
        key: toText(key, "key"),
        value: toValue(value),
        vectorClock: toClock(options.context),
        consistency: toConsistency(options.consistency),
        ttlMs: toTtl(options.ttlMs),
        ifContext: options.ifContext ?? false,
        idempotencyKey: toKey(options.idempotencyKey),
      }, call);
      return written(answer);
    });
  }

  /** Reads a key. Undefined when it has no value. */
  get(tenant: string, key: string, options: KeyOptions = {}): Promise<Found | undefined> {
    return this.#calls.read(options, async (call) => {
      const answer = await this.#keys.get({
        tenantId: toText(tenant, "tenant id"),
        key: toText(key, "key"),
        consistency: toConsistency(options.consistency),
      }, call);
      return fromFound(answer);
    }).catch((error: unknown) => {
      if (error instanceof PairError && error.error === "KeyNotFound") return undefined;
      throw error;
    });
  }

  /**
   * Reads a key, and tells how that went in the node: which layers were asked, what they said and what it took,
   * and what versions there are, without their values. For people who look into a store; it is a real read.
   */
  explain(tenant: string, key: string, options: KeyOptions = {}): Promise<Explanation> {
    return this.#calls.read(options, async (call) => {
      const answer = await this.#keys.explainGet({
        tenantId: toText(tenant, "tenant id"),
        key: toText(key, "key"),
        consistency: toConsistency(options.consistency),
      }, call);
      return fromExplanation(answer);
    });
  }

  /** Deletes a key. Deleting what is not there succeeds. */
  delete(tenant: string, key: string, options: WriteOptions = {}): Promise<Deleted> {
    return this.#calls.write(options, async (call) => {
      const answer = await this.#keys.delete({
        tenantId: toText(tenant, "tenant id"),
        key: toText(key, "key"),
        vectorClock: toClock(options.context),
        consistency: toConsistency(options.consistency),
        ifContext: options.ifContext ?? false,
        idempotencyKey: toKey(options.idempotencyKey),
      }, call);
      return { ...written(answer), existed: answer.existed };
    });
  }

  /**
   * Stores 1 to 1000 values, all of them or none.
   * @returns what each item did, in order, and how many `skipUnchanged` left alone
   */
  batchPut(
    tenant: string,
    items: readonly BatchItem[],
    options: BatchPutOptions = {},
  ): Promise<{ readonly results: readonly Written[]; readonly unchanged: number }> {
    return this.#calls.write(options, async (call) => {
      const answer = await this.#keys.batchPut({
        tenantId: toText(tenant, "tenant id"),
        items: items.map(toItem),
        consistency: toConsistency(options.consistency),
        skipUnchanged: options.skipUnchanged ?? false,
        idempotencyKey: toKey(options.idempotencyKey),
      }, call);
      return { results: answer.results.map(written), unchanged: answer.unchanged };
    });
  }

  /**
   * Reads 1 to 1000 keys. A server cuts off answers above 16 MiB; what is missing is asked for again,
   * so that only answers below that size are of one moment.
   * @returns one result (or undefined) for each key, in order
   */
  batchGet(
    tenant: string,
    keys: readonly string[],
    options: KeyOptions = {},
  ): Promise<(Found | undefined)[]> {
    return this.#calls.read(options, async (call) => {
      const found: (Found | undefined)[] = [];
      do {
        const { items } = await this.#keys.batchGet({
          tenantId: toText(tenant, "tenant id"),
          keys: keys.slice(found.length).map((key) => toText(key, "key")),
          consistency: toConsistency(options.consistency),
        }, call);
        // An answer without items would make this loop for ever; one with too many is no answer.
        if (items.length === 0 || items.length > keys.length - found.length) {
          throw new PairError("Internal", `Cannot read the answer: it has ${items.length} items`);
        }
        found.push(...items.map(fromBatchItem));
      } while (found.length < keys.length);
      return found;
    });
  }

  /** Reads keys in byte order, or backwards, as of one moment. Leaving the loop early ends the call. */
  async *scan(
    tenant: string,
    range: ScanRange = {},
    options: KeyOptions = {},
  ): AsyncGenerator<ScanRow, void, undefined> {
    const request = {
      tenantId: toText(tenant, "tenant id"),
      prefix: toText(range.prefix ?? "", "key"),
      start: toText(range.start ?? "", "key"),
      end: toText(range.end ?? "", "key"),
      limit: toInt64(range.limit ?? 0, "the limit"),
      keysOnly: range.keysOnly ?? false,
      reverse: range.reverse ?? false,
      consistency: toConsistency(options.consistency),
    };
    for await (
      const { entries } of this.#pages(options, (call) => this.#keys.scan(request, call))
    ) {
      for (const entry of entries) yield fromRow(entry);
    }
  }

  /**
   * Tells what comes of keys, in the order of the writes, until the loop is left. Nothing is left out without
   * a gap. It has begun with the first progress event. After an error, watch again with the last token.
   */
  async *watch(
    tenant: string,
    range: WatchRange = {},
    options: CallOptions = {},
  ): AsyncGenerator<WatchEvent, void, undefined> {
    const request = {
      tenantId: toText(tenant, "tenant id"),
      key: toText(range.key ?? "", "key"),
      prefix: toText(range.prefix ?? "", "key"),
      start: toText(range.start ?? "", "key"),
      end: toText(range.end ?? "", "key"),
      resumeToken: range.token ?? "",
      initial: range.initial ?? false,
      keysOnly: range.keysOnly ?? false,
      progressMs: toInt64(range.progressMs ?? 0, "the time of progress"),
    };
    for await (
      const { events } of this.#pages(options, (call) => this.#keys.watch(request, call))
    ) {
      for (const event of events) yield fromEvent(event);
    }
  }

  /** The messages of a stream. Leaving early ends the call. */
  async *#pages<T>(
    options: CallOptions,
    open: (call: { signal: AbortSignal; timeoutMs: number | undefined }) => AsyncIterable<T>,
  ): AsyncGenerator<T, void, undefined> {
    const stop = new AbortController();
    const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
    let pages: AsyncIterator<T> | undefined;
    let ended = false;
    try {
      pages = open({ signal, timeoutMs: options.timeoutMs })[Symbol.asyncIterator]();
      for (;;) {
        const page = await this.#calls.named(options.signal, pages.next());
        if (page.done) break;
        yield page.value;
      }
      ended = true;
    } catch (error) {
      ended = true;
      throw error;
    } finally {
      // Left early: stop the server, and let Connect see it, or its deadline timer would stay behind.
      // That this last step rejects is the point of it.
      if (!ended && pages !== undefined) {
        stop.abort();
        await Promise.allSettled([pages.next()]);
      }
    }
  }
}

/** Says with every call who we are. */
function showing(token: string): Interceptor {
  // The platform's own complaint about a bad header quotes it.
  if (!/^[!-~]+$/.test(token)) {
    throw new PairError("InvalidArgument", "Cannot use the token: it is not of the form pdb_…");
  }
  return (next) => (request) => {
    request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };
}

function normalizeUrl(url: string): string {
  const text = url.includes("://") ? url : `http://${url}`;
  const parsed = URL.canParse(text) ? new URL(text) : undefined;
  if (parsed === undefined || !/^https?:$/.test(parsed.protocol)) {
    throw new PairError(
      "InvalidArgument",
      `Cannot use the server's URL ${url}: it is not of the form http://HOST:PORT`,
    );
  }
  return text.replace(/\/+$/, "");
}

function written(
  answer: { vectorClock?: Parameters<typeof fromClock>[0]; timestamp: bigint },
): Written {
  return { context: fromClock(answer.vectorClock), timestampMs: fromInt64(answer.timestamp) };
}

function fromBatchItem(item: BatchGetItem): Found | undefined {
  return item.found ? fromFound(item) : undefined;
}

/** @throws PairError Internal for an event of a kind that we do not know: leaving it out would be a loss */
function fromEvent(event: WatchEventMessage): WatchEvent {
  const { resumeToken: token, reason, key } = event;
  const change = (type: "put" | "delete" | "initial"): WatchEvent => ({
    type,
    key,
    ...fromFound(event),
    expiresAtMs: fromInt64(event.expiresAt),
    token,
  });
  switch (event.type) {
    case WatchEventType.PUT:
      return change("put");
    case WatchEventType.DELETE:
      return change("delete");
    case WatchEventType.INITIAL:
      return change("initial");
    case WatchEventType.PROGRESS:
      return { type: "progress", token, reason };
    case WatchEventType.GAP:
      return { type: "gap", token, reason };
    default:
      throw new PairError(
        "Internal",
        `Cannot read the answer: an event has the type ${event.type}`,
      );
  }
}
