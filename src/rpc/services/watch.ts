/**
 * KeyValueService.Watch: a node's watch as a stream of messages.
 * @module
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { PairError } from "../../model/mod.ts";
import { type StorageNode, valueBytes, type WatchEvent } from "../../node/mod.ts";
import {
  type WatchEventSchema,
  WatchEventType,
  type WatchRequest,
  type WatchResponseSchema,
} from "../../gen/pairdb/v1/kv_pb.ts";
import { turnKey } from "../answer_room.ts";
import { fromContext, fromState, toCount } from "../convert.ts";
import { costOf, type FairGate, PIECE } from "../fair_gate.ts";
import type { Readiness } from "../readiness.ts";

const TYPES = {
  put: WatchEventType.PUT,
  delete: WatchEventType.DELETE,
  initial: WatchEventType.INITIAL,
  progress: WatchEventType.PROGRESS,
  gap: WatchEventType.GAP,
} as const;

/**
 * Streams the events of a watch. Each message waits until the one before it was taken by the connection: what
 * comes meanwhile waits in the node's history, where a client that is too slow is overrun. When the port closes
 * the stream ends at once, so that its client goes on elsewhere. On a busy node what has come waits for the
 * tenant's turn before it is made a message.
 */
export async function* watch(
  node: StorageNode,
  readiness: Readiness,
  fair: FairGate,
  request: WatchRequest,
  context: HandlerContext,
): AsyncGenerator<MessageInitShape<typeof WatchResponseSchema>> {
  const { tenantId, resumeToken, progressMs, keysOnly, ...bounds } = request;
  const closing = new AbortController();
  const close = () => closing.abort(portClosing());
  const stop = readiness.onChange(() => readiness.closed && close());
  if (readiness.closed) close();
  const signal = AbortSignal.any([context.signal, closing.signal]);
  const input = { ...bounds, token: resumeToken, progressMs: toCount(progressMs, "progress_ms") };
  const turn = context.values.get(turnKey);
  try {
    await fair.run(tenantId, 1, () => {}, undefined);
    signal.throwIfAborted();
    for await (const events of node.watch(tenantId, input, signal)) {
      const bytes = keysOnly ? 0 : events.reduce((sum, event) => sum + sizeOf(event), 0);
      await fair.piece(tenantId, Math.min(PIECE, costOf(events.length, bytes)));
      signal.throwIfAborted();
      // It is in memory already, so it does not have to be read again when it is its turn.
      if (turn !== undefined && !turn.take(bytes)) await turn.hold(bytes);
      yield { events: events.map((event) => fromEvent(event, !keysOnly)) };
    }
  } finally {
    stop();
  }
}

function sizeOf({ state }: WatchEvent): number {
  return state === undefined ? 0 : valueBytes(state);
}

function fromEvent(
  event: WatchEvent,
  valuesToo: boolean,
): MessageInitShape<typeof WatchEventSchema> {
  const { type, key, state, clock, token, reason } = event;
  if (key === "") return { type: TYPES[type], resumeToken: token, reason };
  return {
    type: TYPES[type],
    key,
    ...(state === undefined ? { vectorClock: fromContext(clock) } : fromState(state, valuesToo)),
    timestamp: BigInt(event.timestampMs),
    expiresAt: BigInt(event.expiresAtMs),
    resumeToken: token,
  };
}

function portClosing(): PairError {
  return new PairError("Unavailable", "The watch ended: the node is shutting down");
}
