/**
 * KeyValueService: what clients call. Translates, calls the node, translates back.
 * @module
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  type KeyState,
  type PutInput,
  type StorageNode,
  valueBytes,
  type WriteResult,
} from "../../node/mod.ts";
import type { Clock } from "../../runtime/mod.ts";
import {
  type BatchGetItemSchema,
  type KeyValueService,
  type PutItem,
  type ScanEntrySchema,
  type ScanRequest,
  type ScanResponseSchema,
} from "../../gen/pairdb/v1/kv_pb.ts";
import { checkConsistency, fromClock, fromState, toClock, toCount } from "../convert.ts";
import type { KeyValueMethods } from "../methods/mod.ts";
import { watchKey } from "../outcomes.ts";

/** A scan's message is sent once it holds this many bytes of keys and values... */
const SCAN_BATCH_BYTES = 64 * 1024;
/** ...or this many entries. */
const SCAN_BATCH_ENTRIES = 500;
/** A scan lets other work go first after this long; heartbeats and signals wait for as long. */
const SCAN_SLICE_MS = 5;

type BatchGetAnswer = MessageInitShape<typeof BatchGetItemSchema>;
type ScanEntryInit = MessageInitShape<typeof ScanEntrySchema>;
type ScanAnswer = MessageInitShape<typeof ScanResponseSchema>;

/** Binds the service to its methods, and its stream to a node. @param clock  paces long scans */
export function keyValueService(
  methods: KeyValueMethods,
  node: StorageNode,
  clock: Clock,
): Required<ServiceImpl<typeof KeyValueService>> {
  return {
    async put({ tenantId, consistency, ...item }, { values }) {
      const call = { tenant: tenantId, consistency, ...toPut(item) };
      return fromWrite(await methods.put(call, values.get(watchKey)));
    },

    async get({ tenantId, key, consistency }) {
      return fromState(await methods.get({ tenant: tenantId, key, consistency }));
    },

    async delete({ tenantId, key, vectorClock, consistency }, { values }) {
      const call = { tenant: tenantId, key, context: toClock(vectorClock), consistency };
      const done = await methods.delete(call, values.get(watchKey));
      return { ...fromWrite(done), existed: done.existed };
    },

    async batchPut({ tenantId, items, consistency, skipUnchanged }, { values }) {
      const call = { tenant: tenantId, items: items.map(toPut), consistency, skipUnchanged };
      const { results, unchanged } = await methods.batchPut(call, values.get(watchKey));
      return { results: results.map(fromWrite), unchanged };
    },

    async batchGet({ tenantId, keys, consistency }) {
      const { results } = await methods.batchGet({ tenant: tenantId, keys, consistency });
      return { items: results.map((result, i) => toBatchItem(keys[i], result)) };
    },

    scan: (request, context) => scan(node, clock, request, context),
  };
}

function toPut(
  { key, value, vectorClock, ttlMs }: Pick<PutItem, "key" | "value" | "vectorClock" | "ttlMs">,
): PutInput {
  return { key, value, context: toClock(vectorClock), ttlMs: toCount(ttlMs, "ttl_ms") };
}

function fromWrite(written: WriteResult) {
  return { vectorClock: fromClock(written.clock), timestamp: BigInt(written.timestampMs) };
}

function toBatchItem(key: string, result: KeyState | undefined): BatchGetAnswer {
  return result === undefined ? { key, found: false } : { key, found: true, ...fromState(result) };
}

/**
 * Streams entries in messages of some size. Each message waits until the one before it was taken by
 * the connection, and a client that goes away ends the iteration, which closes the node's cursor.
 */
async function* scan(
  node: StorageNode,
  clock: Clock,
  request: ScanRequest,
  context: HandlerContext,
): AsyncGenerator<ScanAnswer> {
  checkConsistency(request.consistency);
  const items = node.scan(request.tenantId, {
    prefix: request.prefix,
    start: request.start,
    end: request.end,
    limit: toCount(request.limit, "limit"),
    reverse: request.reverse,
  });
  let entries: ScanEntryInit[] = [];
  let bytes = 0;
  let sliceStart = clock.monotonicMs();
  try {
    for (;;) {
      const wait = items.ready();
      if (wait !== undefined) {
        await wait;
        context.signal.throwIfAborted();
        sliceStart = clock.monotonicMs();
      }
      const step = items.next();
      if (step.done) break;
      const { key, result } = step.value;
      const size = key.length + (request.keysOnly ? 0 : valueBytes(result));
      // A large value travels alone, so that a message exceeds the usual size only when it must.
      const full = entries.length >= SCAN_BATCH_ENTRIES || bytes + size > SCAN_BATCH_BYTES;
      if (full && entries.length > 0) {
        yield { entries };
        context.signal.throwIfAborted();
        entries = [];
        bytes = 0;
        if (clock.monotonicMs() - sliceStart >= SCAN_SLICE_MS) {
          await clock.sleep(0);
          sliceStart = clock.monotonicMs();
        }
      }
      entries.push({ key, ...fromState(result, !request.keysOnly) });
      bytes += size;
    }
    if (entries.length > 0) yield { entries };
  } finally {
    items.return();
  }
}
