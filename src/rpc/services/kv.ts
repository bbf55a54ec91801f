/**
 * KeyValueService: what clients call. Translates, calls the node, translates back.
 * @module
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { MAX_BATCH_ITEMS, PairError } from "../../model/mod.ts";
import type { PutInput, ReadResult, StorageNode, WriteResult } from "../../node/mod.ts";
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
  shownBytes,
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
/** Keys that are read at once, so that the cut comes before memory is gone. */
const BATCH_GET_SLICE = 16;

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
      const found = node.get(request.tenantId, request.key);
      if (found === undefined) {
        throw new PairError("KeyNotFound", "Cannot get: the key has no value");
      }
      return fromState(found);
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

    batchGet(request) {
      checkConsistency(request.consistency);
      if (request.keys.length > MAX_BATCH_ITEMS) {
        throw new PairError("InvalidArgument", "Cannot get a batch: it has too many keys", {
          keys: request.keys.length,
          limit: MAX_BATCH_ITEMS,
        });
      }
      return { items: readBatch(node, request.tenantId, request.keys) };
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

/**
 * Reads keys until their values fill an answer. All slices are read in one turn of the event loop,
 * between which nothing can be written: together they are one moment.
 */
function readBatch(node: StorageNode, tenant: string, keys: readonly string[]): BatchGetAnswer[] {
  const items: BatchGetAnswer[] = [];
  let bytes = 0;
  // A do loop: the node says what is wrong with an empty batch.
  do {
    const slice = keys.slice(items.length, items.length + BATCH_GET_SLICE);
    const results = node.batchGet(tenant, slice);
    for (let i = 0; i < results.length; i++) {
      const result = results[i];
      if (result !== undefined) bytes += shownBytes(result);
      if (bytes > BATCH_GET_BYTES && items.length > 0) return items;
      items.push(toBatchItem(slice[i], result));
    }
  } while (items.length < keys.length);
  return items;
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
  for (const { key, result } of items) {
    const size = key.length + (request.keysOnly ? 0 : shownBytes(result));
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
}
