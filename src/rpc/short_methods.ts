/**
 * The methods of the short lane: hot ones read and write their messages by hand, all others have the same
 * implementation that the RPC library calls.
 * @module
 */
import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { createContextValues, type HandlerContext, type MethodImpl } from "@connectrpc/connect";
import { KeyValueService } from "../gen/pairdb/v1/kv_pb.ts";
import { PairError } from "../model/mod.ts";
import { answerName, readBatchInTurn } from "./answer_room.ts";
import { fromHeaderList, urlOf } from "./exchange.ts";
import type { PortLimits } from "./limits.ts";
import type { WriteWatch } from "../node/mod.ts";
import { watchKey } from "./outcomes.ts";
import { batchBytes, type BatchGetResult, type KeyValueMethods } from "./methods/mod.ts";
import type { Binding } from "./router.ts";
import type { AnyShortMethod, ShortCall, ShortMethod } from "./short_lane.ts";
import { timeoutOf } from "./timeouts.ts";
import {
  batchGetResult,
  batchPutResult,
  decodeBatchGet,
  decodeBatchPut,
  decodeDelete,
  decodeGet,
  decodePut,
  deleteResult,
  type Encoder,
  getResult,
  MalformedMessage,
  putResult,
} from "./wire/mod.ts";

/** The hot methods. @returns path → method */
export function hotMethods(
  methods: KeyValueMethods,
  limits: PortLimits,
): ReadonlyMap<string, AnyShortMethod> {
  const { put, get, delete: remove, batchPut } = KeyValueService.method;
  const all: AnyShortMethod[] = [
    hot(put, decodePut, methods.put, putResult, limits),
    hot(
      get,
      decodeGet,
      methods.get,
      getResult,
      limits,
      ({ tenant, key }) => answerName(tenant, key),
    ),
    hot(remove, decodeDelete, methods.delete, deleteResult, limits),
    hot(batchPut, decodeBatchPut, methods.batchPut, batchPutResult, limits),
    hotBatchGet(methods, limits),
  ];
  return new Map(all.map((method) => [rpcPath(method.desc), method]));
}

function hot<Input extends { readonly tenant: string }, Output>(
  desc: DescMethodUnary,
  decode: (bytes: Uint8Array) => Input,
  run: (input: Input, watch: WriteWatch) => Output | Promise<Output>,
  answer: Encoder<Output>,
  limits: PortLimits,
  nameOf?: (input: Input) => string,
): ShortMethod<Output> {
  return {
    desc,
    name: nameOf && ((bytes) => nameOf(inRange(decode, bytes))),
    timeoutMs: timeoutOf(desc, limits) ?? Infinity,
    answer,
    begin(bytes, call) {
      const input = inRange(decode, bytes);
      call.authorise(input.tenant);
      return run(input, call);
    },
  };
}

/** BatchGet, which is read in turns with those of the other lane. */
function hotBatchGet(methods: KeyValueMethods, limits: PortLimits): ShortMethod<BatchGetResult> {
  const { batchGet } = KeyValueService.method;
  const run = methods.batchGet;
  return {
    ...hot(batchGet, decodeBatchGet, run, batchGetResult, limits),
    begin(bytes, call) {
      const input = inRange(decodeBatchGet, bytes);
      call.authorise(input.tenant);
      const name = answerName(input.tenant, input.keys[0], input.keys.length);
      const how = { name, read: () => run(input, call), sizeOf: batchBytes };
      return readBatchInTurn(call.turn, how);
    },
  };
}

/**
 * Decodes. A number out of its range is for the other lane to tell of, as bytes that are no message are:
 * it asks first whether the tenant is the caller's.
 */
function inRange<Input>(decode: (bytes: Uint8Array) => Input, bytes: Uint8Array): Input {
  try {
    return decode(bytes);
  } catch (error) {
    throw error instanceof PairError ? new MalformedMessage() : error;
  }
}

/** All unary methods of services. @returns path → method */
export function unaryMethods(
  bindings: readonly Binding[],
  limits: PortLimits,
): ReadonlyMap<string, AnyShortMethod> {
  const methods = new Map<string, AnyShortMethod>();
  for (const { service, implementation } of bindings) {
    for (const desc of service.methods) {
      if (desc.methodKind !== "unary") continue;
      const run = (implementation as Record<string, unknown>)[desc.localName];
      if (run === undefined) continue;
      // What a service has under a unary method's name is its implementation: Binding says so.
      const impl = (run as MethodImpl<DescMethodUnary>).bind(implementation);
      methods.set(rpcPath(desc), plain(desc as DescMethodUnary, impl as UnaryImpl, limits));
    }
  }
  return methods;
}

type UnaryImpl = (
  request: MessageShape<DescMessage>,
  context: HandlerContext,
) => MessageInitShape<DescMessage> | Promise<MessageInitShape<DescMessage>>;

/** A message that is encoded already. */
const encoded: Encoder<Uint8Array> = {
  bound: (bytes) => bytes.length,
  write(bytes, into, at) {
    into.set(bytes, at);
    return at + bytes.length;
  },
};

function plain(
  desc: DescMethodUnary,
  impl: UnaryImpl,
  limits: PortLimits,
): ShortMethod<Uint8Array> {
  return {
    desc,
    timeoutMs: timeoutOf(desc, limits) ?? Infinity,
    answer: encoded,
    begin(bytes, call) {
      const request = decode(desc.input, bytes);
      call.authorise((request as { readonly tenantId?: unknown }).tenantId);
      const context = contextOf(desc, call);
      call.own = { header: context.responseHeader, trailer: context.responseTrailer };
      return answerOf(desc, impl, request, context);
    },
  };
}

async function answerOf(
  desc: DescMethodUnary,
  impl: UnaryImpl,
  request: MessageShape<DescMessage>,
  context: HandlerContext,
): Promise<Uint8Array> {
  return toBinary(desc.output, create(desc.output, await impl(request, context)));
}

function rpcPath(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function decode(desc: DescMessage, bytes: Uint8Array): MessageShape<DescMessage> {
  try {
    return fromBinary(desc, bytes);
  } catch {
    // The other lane says what is wrong with it.
    throw new MalformedMessage();
  }
}

/** What the RPC library gives a method besides its message. */
function contextOf(method: DescMethodUnary, call: ShortCall): HandlerContext {
  return {
    method,
    service: method.parent,
    protocolName: "grpc",
    requestMethod: "POST",
    url: urlOf(call.head.path),
    requestHeader: fromHeaderList(call.head.fields),
    responseHeader: new Headers(),
    responseTrailer: new Headers(),
    values: createContextValues().set(watchKey, call),
    timeoutMs: () => call.timeLeftMs(),
    signal: call.signal,
  };
}
