/**
 * KeyValueService: what clients call. Translates, calls the node, translates back.
 * @module
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  type Explanation,
  type KeyState,
  type PutInput,
  type StorageNode,
  valueBytes,
  type WriteResult,
} from "../../node/mod.ts";
import type { Clock } from "../../runtime/mod.ts";
import { answerName, readBatchInTurn, readInTurn, turnKey } from "../answer_room.ts";
import {
  type BatchGetItemSchema,
  type ExplainGetResponseSchema,
  type KeyValueService,
  type PutItem,
  type ScanEntrySchema,
  type ScanRequest,
  type ScanResponseSchema,
} from "../../gen/pairdb/v1/kv_pb.ts";
import {
  checkConsistency,
  fromContext,
  fromEntry,
  fromState,
  toContext,
  toCount,
} from "../convert.ts";
import { type FairGate, PIECE } from "../fair_gate.ts";
import { batchBytes, type KeyValueMethods } from "../methods/mod.ts";
import { watchKey } from "../outcomes.ts";
import type { Readiness } from "../readiness.ts";
import { watch } from "./watch.ts";

/** A scan's message is sent once it holds this many bytes of keys and values... */
const SCAN_BATCH_BYTES = 64 * 1024;
/** ...or this many entries. */
const SCAN_BATCH_ENTRIES = 500;
/** A scan lets other work go first after this long; heartbeats and signals wait for as long. */
const SCAN_SLICE_MS = 5;

type BatchGetAnswer = MessageInitShape<typeof BatchGetItemSchema>;
type ScanEntryInit = MessageInitShape<typeof ScanEntrySchema>;
type ScanAnswer = MessageInitShape<typeof ScanResponseSchema>;

/**
 * Binds the service to its methods, and its streams to a node.
 * @param clock      paces long scans
 * @param readiness  ends watches when the port closes
 * @param fair       says when a stream may go on
 */
export function keyValueService(
  methods: KeyValueMethods,
  node: StorageNode,
  clock: Clock,
  readiness: Readiness,
  fair: FairGate,
): Required<ServiceImpl<typeof KeyValueService>> {
  return {
    async put({ tenantId, consistency, idempotencyKey, ...item }, { values }) {
      const call = { tenant: tenantId, consistency, idempotencyKey, ...toPut(item) };
      return fromWrite(await methods.put(call, values.get(watchKey)));
    },

    async get({ tenantId, key, consistency }, { values }) {
      const read = () => methods.get({ tenant: tenantId, key, consistency });
      const name = answerName(tenantId, key);
      return fromState(await readInTurn(values.get(turnKey), { name, read, sizeOf: valueBytes }));
    },

    async explainGet({ tenantId, key, consistency }) {
      return fromExplanation(await methods.explain({ tenant: tenantId, key, consistency }));
    },

    async delete({ tenantId, key, vectorClock, consistency, ...how }, { values }) {
      const { ifContext, idempotencyKey } = how;
      const context = toContext(vectorClock);
      const call = { tenant: tenantId, key, context, consistency, ifContext, idempotencyKey };
      const done = await methods.delete(call, values.get(watchKey));
      return { ...fromWrite(done), existed: done.existed };
    },

    async batchPut({ tenantId, items, consistency, ...how }, { values }) {
      const { skipUnchanged, idempotencyKey } = how;
      const puts = items.map(toPut);
      const call = { tenant: tenantId, items: puts, consistency, skipUnchanged, idempotencyKey };
      const { results, unchanged } = await methods.batchPut(call, values.get(watchKey));
      return { results: results.map(fromWrite), unchanged };
    },

    async batchGet({ tenantId, keys, consistency }, { values }) {
      const read = () => methods.batchGet({ tenant: tenantId, keys, consistency });
      const name = answerName(tenantId, keys[0], keys.length);
      const { results } = await readBatchInTurn(values.get(turnKey), {
        name,
        read,
        sizeOf: batchBytes,
      });
      return { items: results.map((result, i) => toBatchItem(keys[i], result)) };
    },

    async *scan(request, context) {
      checkConsistency(request.consistency);
      await fair.run(request.tenantId, PIECE, () => {}, undefined);
      context.signal.throwIfAborted();
      yield* scan(node, clock, fair, request, context);
    },
    watch: (request, context) => watch(node, readiness, fair, request, context),
  };
}

function toPut(
  { key, value, vectorClock, ttlMs, ifContext }: Pick<
    PutItem,
    "key" | "value" | "vectorClock" | "ttlMs" | "ifContext"
  >,
): PutInput {
  return {
    key,
    value,
    context: toContext(vectorClock),
    ttlMs: ttlMs === undefined ? undefined : toCount(ttlMs, "ttl_ms"),
    ifContext,
  };
}

function fromWrite(written: WriteResult) {
  return { vectorClock: fromContext(written.clock), timestamp: BigInt(written.timestampMs) };
}

function fromExplanation(how: Explanation): MessageInitShape<typeof ExplainGetResponseSchema> {
  return {
    state: how.state,
    source: how.source,
    steps: how.steps.map((step) => ({
      layer: step.layer,
      level: step.level,
      table: step.table === undefined ? undefined : BigInt(step.table),
      result: step.result,
      entries: BigInt(step.entries),
      valueBytes: BigInt(step.valueBytes),
      opened: step.opened,
      blocksCached: BigInt(step.blocksCached),
      blocksRead: BigInt(step.blocksRead),
      bytesRead: BigInt(step.bytesRead),
    })),
    waits: how.waits,
    versions: how.versions.map((version) => ({
      state: version.state,
      valueBytes: BigInt(version.valueBytes),
      vectorClock: fromContext(version.clock),
      dot: version.dot && fromEntry(version.dot),
      timestamp: BigInt(version.timestampMs),
      expiresAt: BigInt(version.expiresAtMs),
    })),
    vectorClock: fromContext(how.clock),
    stateBytes: BigInt(how.stateBytes),
    durationUs: how.durationUs,
  };
}

function toBatchItem(key: string, result: KeyState | undefined): BatchGetAnswer {
  return result === undefined ? { key, found: false } : { key, found: true, ...fromState(result) };
}

/** An entry that was read, and its size. */
interface Read {
  readonly entry: ScanEntryInit;
  readonly bytes: number;
}

function readNext(items: ReturnType<StorageNode["scan"]>, keysOnly: boolean): Read | undefined {
  const step = items.next();
  if (step.done) return undefined;
  const { key, result } = step.value;
  return {
    entry: {
      key,
      ...fromState(result, !keysOnly),
      expiresAt: BigInt(result.winner.expiresAtMs ?? 0),
    },
    bytes: key.length + (keysOnly ? 0 : valueBytes(result)),
  };
}

/**
 * Streams entries in messages of some size. Each message waits until the one before it was taken by
 * the connection, and a client that goes away ends the iteration, which closes the node's cursor.
 *
 * A large value waits for its turn: before it is read, where the one before it was large, too. Else it has been
 * read when that is known; then the scan begins anew, or, when the client has seen some of it, holds the value.
 */
async function* scan(
  node: StorageNode,
  clock: Clock,
  fair: FairGate,
  request: ScanRequest,
  context: HandlerContext,
): AsyncGenerator<ScanAnswer> {
  const { prefix, start, end, reverse, keysOnly } = request;
  const turn = context.values.get(turnKey);
  const open = () =>
    node.scan(request.tenantId, {
      prefix,
      start,
      end,
      limit: toCount(request.limit, "limit"),
      reverse,
    });
  // One that began with a large value when it was asked for last waits before it reads that.
  const name = answerName(request.tenantId, [prefix, start, end, reverse, keysOnly].join("\0"));
  const expected = turn?.room.expected(name) ?? 0;
  if (expected > 0) {
    await turn!.waited(expected);
    context.signal.throwIfAborted();
  }
  let items = open();
  let isSeen = false;
  let entries: ScanEntryInit[] = [];
  let bytes = 0;
  let sliceStart = clock.monotonicMs();
  try {
    for (;;) {
      // What was read last was large, for it is here alone.
      if (bytes > SCAN_BATCH_BYTES) {
        isSeen = true;
        yield { entries };
        await fair.piece(request.tenantId, PIECE);
        context.signal.throwIfAborted();
        const next = bytes;
        entries = [];
        bytes = 0;
        await turn?.waited(next);
      }
      const wait = items.ready();
      if (wait !== undefined) {
        await wait;
        context.signal.throwIfAborted();
        sliceStart = clock.monotonicMs();
      }
      let next = readNext(items, keysOnly);
      if (next === undefined) break;
      // A large value travels alone, so that a message exceeds the usual size only when it must.
      const full = entries.length >= SCAN_BATCH_ENTRIES || bytes + next.bytes > SCAN_BATCH_BYTES;
      if (full && entries.length > 0) {
        isSeen = true;
        yield { entries };
        await fair.piece(request.tenantId, PIECE);
        context.signal.throwIfAborted();
        entries = [];
        bytes = 0;
        if (clock.monotonicMs() - sliceStart >= SCAN_SLICE_MS) {
          await clock.sleep(0);
          sliceStart = clock.monotonicMs();
        }
      }
      if (turn !== undefined && !isSeen && entries.length === 0) turn.room.learn(name, next.bytes);
      if (turn !== undefined && !turn.take(next.bytes)) {
        if (!isSeen) {
          const late = next.bytes;
          // Not kept while this waits.
          next = undefined;
          items.return();
          await turn.waited(late);
          items = open();
          continue;
        }
        await turn.hold(next.bytes);
      }
      entries.push(next.entry);
      bytes += next.bytes;
    }
    if (entries.length > 0) yield { entries };
  } finally {
    items.return();
  }
}
