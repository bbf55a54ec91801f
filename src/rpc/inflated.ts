/**
 * Messages that came compressed. Their bodies are counted as they come (`request_bytes.ts`), but what a call holds
 * is what they have become, a thousand times as much at worst: that is counted here, before the service has it.
 *
 * While they are inflated few are at once (`compression.ts`); so what is not counted yet is bounded too.
 * @module
 */
import {
  type ContextValues,
  createContextKey,
  createContextValues,
  type Interceptor,
} from "@connectrpc/connect";
import type { Exchange } from "./exchange.ts";

/** Where a call's messages are counted. */
export type Holder = Pick<Exchange, "holdInflated">;

const HOLDER = createContextKey<Holder | undefined>(undefined);

/** What each protocol calls the encoding of a request's messages. */
const ENCODINGS = ["grpc-encoding", "connect-content-encoding", "content-encoding"];

/** Roughly what an object takes besides what it holds, bytes. */
const OBJECT_BYTES = 64;

/** Has a call's messages counted by its exchange, where they may be compressed. */
export function countInflated(
  exchange: Holder & Pick<Exchange, "header" | "target">,
  values: ContextValues | undefined,
): ContextValues | undefined {
  const { header, target } = exchange;
  const isCompressed = ENCODINGS.some((name) => (header.get(name) ?? "identity") !== "identity") ||
    // Connect's GET has it in the query.
    target.includes("compression=");
  return isCompressed ? (values ?? createContextValues()).set(HOLDER, exchange) : values;
}

/** Counts messages between the decoder and the service. What finds no room is resource_exhausted. */
export const inflatedInterceptor: Interceptor = (next) => (request) => {
  const holder = request.contextValues.get(HOLDER);
  if (holder === undefined) return next(request);
  if (request.stream) return next({ ...request, message: counted(request.message, holder) });
  holder.holdInflated(sizeOf(request.message));
  return next(request);
};

async function* counted<T>(messages: AsyncIterable<T>, holder: Holder): AsyncGenerator<T> {
  for await (const message of messages) {
    holder.holdInflated(sizeOf(message));
    yield message;
  }
}

/** About how many bytes a message takes. */
export function sizeOf(value: unknown): number {
  if (typeof value === "string") return 2 * value.length;
  if (value instanceof Uint8Array) return OBJECT_BYTES + value.length;
  if (typeof value !== "object" || value === null) return 8;
  let bytes = OBJECT_BYTES;
  for (const each of Array.isArray(value) ? value : Object.values(value)) bytes += sizeOf(each);
  return bytes;
}
