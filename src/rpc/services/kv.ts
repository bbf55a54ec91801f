/**
 * KeyValueService: what clients call. Translates, calls the node, translates back.
 * @module
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { PairError } from "../../model/mod.ts";
import {
  type PutInput,
  type ReadResult,
  type StorageNode,
  valueBytes,
  type WriteResult,
} from "../../node/mod.ts";
import type { Clock } from "../../runtime/mod.ts";
import {
  type BatchGetItemSchema,
  type KeyValueService,
  type PutItem,
  type PutRequest,
  type ScanEntrySchema,
  type ScanRequest,
  type ScanResponseSchema,
} from "../../gen/pairdb/v1/kv_pb.ts";
import {
  checkConsistency,
  fromClock,
  fromState,
  type ShownKey,
  toClock,
  toCount,
} from "../convert.ts";

/** A scan's message is sent once it holds this many bytes of keys and values... */
const SCAN_BATCH_BYTES = 64 * 1024;
/** ...or this many entries. */
const SCAN_BATCH_ENTRIES = 500;
/** A scan lets other work go first after this long; heartbeats and signals wait for as long. */
const SCAN_SLICE_MS = 5;

/** An answer to BatchGet is cut off before its values exceed this; see kv.proto. */
const BATCH_GET_BYTES = 16 * 1024 * 1024;
type BatchGetAnswer = MessageInitShape<typeof BatchGetItemSchema>;
type ScanEntryInit = MessageInitShape<typeof ScanEntrySchema>;
type ScanAnswer = MessageInitShape<typeof ScanResponseSchema>;

/** Binds the service to a node. @param clock  paces long scans */
export function keyValueService(
  node: StorageNode,
  clock: Clock,
): Required<ServiceImpl<typeof KeyValueService>> {
  return {
    async put(request) {
      checkConsistency(request.consistency);
      return fromWrite(await node.put(request.tenantId, toPut(request)));
    },

    get(request) {
      checkConsistency(request.consistency);
      const found = node.read(request.tenantId, request.key);
      return found instanceof Promise ? found.then(fromFound) : fromFound(found);
    },

    async delete(request) {
      checkConsistency(request.consistency);
      const done = await node.delete(request.tenantId, {
        key: request.key,
        context: toClock(request.vectorClock),
      });
      return { ...fromWrite(done), existed: done.existed };
    },

    async batchPut(request) {
      checkConsistency(request.consistency);
      const { results, unchanged } = await node.batchPut(
        request.tenantId,
        request.items.map(toPut),
        { skipUnchanged: request.skipUnchanged },
      );
      return { results: results.map(fromWrite), unchanged };
    },

    async batchGet(request) {
      checkConsistency(request.consistency);
      const { tenantId, keys } = request;
      const results = await node.batchGet(tenantId, keys, { maxBytes: BATCH_GET_BYTES });
      return { items: results.map((result, i) => toBatchItem(keys[i], result)) };
    },

    scan: (request, context) => scan(node, clock, request, context),
  };
}

function toPut(message: PutRequest | PutItem): PutInput {
  return {
    key: message.key,
    value: message.value,
    context: toClock(message.vectorClock),
    ttlMs: toCount(message.ttlMs, "ttl_ms"),
  };
}

function fromWrite(written: WriteResult) {
  return { vectorClock: fromClock(written.clock), timestamp: BigInt(written.timestampMs) };
}

function fromFound(found: ReadResult | undefined): ShownKey {
  if (found === undefined) {
    throw new PairError("KeyNotFound", "Cannot get: the key has no value");
  }
  return fromState(found);
}

function toBatchItem(key: string, result: ReadResult | undefined): BatchGetAnswer {
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
