/**
 * The service of the Connect conformance suite: each request says what is to be answered, and the
 * answers say what the server has seen. What every method owes is told in
 * proto/connectrpc/conformance/v1/service.proto; its method `Unimplemented` is left out on purpose.
 * @module
 */
import { create, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { type Any, anyPack } from "@bufbuild/protobuf/wkt";
import { ConnectError, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import type { Clock } from "../../src/runtime/mod.ts";
import {
  BidiStreamRequestSchema,
  ClientStreamRequestSchema,
  type ConformancePayload_RequestInfo,
  ConformancePayload_RequestInfoSchema,
  type ConformancePayloadSchema,
  type ConformanceService,
  type Error as WantedError,
  type Header,
  HeaderSchema,
  IdempotentUnaryRequestSchema,
  ServerStreamRequestSchema,
  type StreamResponseDefinition,
  UnaryRequestSchema,
  type UnaryResponseDefinition,
} from "./gen/connectrpc/conformance/v1/service_pb.ts";

/** What the payload of an answer is made of. */
type Payload = Partial<Omit<MessageShape<typeof ConformancePayloadSchema>, "$typeName">>;

/** Makes the service. @param clock  for the delays that requests ask for */
export function conformanceService(
  clock: Pick<Clock, "sleep">,
): Partial<ServiceImpl<typeof ConformanceService>> {
  return {
    async unary(request, context) {
      const seen = [packed(UnaryRequestSchema, request)];
      return { payload: await answerOnce(request.responseDefinition, seen, context, clock) };
    },

    async idempotentUnary(request, context) {
      const seen = [packed(IdempotentUnaryRequestSchema, request)];
      return { payload: await answerOnce(request.responseDefinition, seen, context, clock) };
    },

    async clientStream(requests, context) {
      const seen: Any[] = [];
      let wanted: UnaryResponseDefinition | undefined;
      for await (const request of requests) {
        if (seen.length === 0) wanted = request.responseDefinition;
        seen.push(packed(ClientStreamRequestSchema, request));
      }
      return { payload: await answerOnce(wanted, seen, context, clock) };
    },

    async *serverStream(request, context) {
      const seen = [packed(ServerStreamRequestSchema, request)];
      setMetadata(request.responseDefinition, context);
      yield* answerAll(request.responseDefinition, 0, seen, context, clock);
    },

    async *bidiStream(requests, context) {
      let seen: Any[] = [];
      let wanted: StreamResponseDefinition | undefined;
      let fullDuplex = false;
      let sent = 0;
      let first = true;
      for await (const request of requests) {
        if (first) {
          first = false;
          wanted = request.responseDefinition;
          fullDuplex = request.fullDuplex;
          setMetadata(wanted, context);
        }
        seen.push(packed(BidiStreamRequestSchema, request));
        if (!fullDuplex) continue;
        if (wanted === undefined || sent >= wanted.responseData.length) break;
        await clock.sleep(wanted.responseDelayMs);
        const requestInfo = sent === 0
          ? whatIsSeen(seen, context)
          : create(ConformancePayload_RequestInfoSchema, { requests: seen });
        yield { payload: { data: wanted.responseData[sent++], requestInfo } };
        seen = [];
      }
      yield* answerAll(wanted, sent, seen, context, clock);
    },
  };
}

/** One answer, or the error that is asked for. */
async function answerOnce(
  wanted: UnaryResponseDefinition | undefined,
  seen: readonly Any[],
  context: HandlerContext,
  clock: Pick<Clock, "sleep">,
): Promise<Payload> {
  const requestInfo = whatIsSeen(seen, context);
  setMetadata(wanted, context);
  if (wanted === undefined) return { requestInfo };
  await clock.sleep(wanted.responseDelayMs);
  const { response } = wanted;
  if (response.case === "error") throw failure(response.value, requestInfo);
  return response.case === undefined ? { requestInfo } : { requestInfo, data: response.value };
}

/** The answers from number `sent` on, then the error, if one is asked for. */
async function* answerAll(
  wanted: StreamResponseDefinition | undefined,
  sent: number,
  seen: readonly Any[],
  context: HandlerContext,
  clock: Pick<Clock, "sleep">,
): AsyncGenerator<{ payload: Payload }> {
  if (wanted === undefined) return;
  for (; sent < wanted.responseData.length; sent++) {
    await clock.sleep(wanted.responseDelayMs);
    const data = wanted.responseData[sent];
    yield { payload: sent === 0 ? { data, requestInfo: whatIsSeen(seen, context) } : { data } };
  }
  // What was seen is told once: with the first answer, or else with the error.
  if (wanted.error === undefined) return;
  throw failure(wanted.error, sent === 0 ? whatIsSeen(seen, context) : undefined);
}

/** The headers and trailers that are asked for; they come with answers and errors alike. */
function setMetadata(
  wanted: UnaryResponseDefinition | StreamResponseDefinition | undefined,
  context: HandlerContext,
): void {
  const append = (to: Headers, from: readonly Header[]) => {
    for (const { name, value } of from) for (const each of value) to.append(name, each);
  };
  append(context.responseHeader, wanted?.responseHeaders ?? []);
  append(context.responseTrailer, wanted?.responseTrailers ?? []);
}

/** What the server knows about the call. */
function whatIsSeen(
  requests: readonly Any[],
  context: HandlerContext,
): ConformancePayload_RequestInfo {
  const timeoutMs = context.timeoutMs();
  return create(ConformancePayload_RequestInfoSchema, {
    requests: [...requests],
    requestHeaders: headers(context.requestHeader),
    timeoutMs: timeoutMs === undefined ? undefined : BigInt(Math.trunc(timeoutMs)),
    connectGetInfo: context.requestMethod === "GET"
      ? { queryParams: headers(new URL(context.url).searchParams) }
      : undefined,
  });
}

function headers(from: Headers | URLSearchParams): Header[] {
  return [...from].map(([name, value]) => create(HeaderSchema, { name, value: [value] }));
}

/** The error that is asked for, with what was seen as its last detail. */
function failure(wanted: WantedError, seen?: ConformancePayload_RequestInfo): ConnectError {
  // The suite's codes have the numbers of Connect's, under a type of their own.
  const code: number = wanted.code;
  const error = new ConnectError(wanted.message ?? "", code);
  const details = [...wanted.details];
  if (seen !== undefined) details.push(packed(ConformancePayload_RequestInfoSchema, seen));
  for (const { typeUrl, value } of details) {
    error.details.push({ type: typeUrl.slice(typeUrl.lastIndexOf("/") + 1), value });
  }
  return error;
}

function packed<T extends DescMessage>(schema: T, message: MessageShape<T>): Any {
  return anyPack(schema, message);
}
