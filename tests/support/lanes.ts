/**
 * What the two lanes make of the bytes of a hot request: the hand-written decoder, and the library's with the
 * service's own translation behind it. The proof that they are one compares these.
 * @module
 */
import assert from "node:assert/strict";
import { type DescMessage, type DescMethodUnary, fromBinary } from "@bufbuild/protobuf";
import { createHandlerContext, type HandlerContext } from "@connectrpc/connect";
import { KeyValueService } from "../../src/gen/pairdb/v1/kv_pb.ts";
import { PairError } from "../../src/model/mod.ts";
import { FairGate } from "../../src/rpc/fair_gate.ts";
import type { KeyValueMethods } from "../../src/rpc/methods/mod.ts";
import { Readiness } from "../../src/rpc/readiness.ts";
import { keyValueService } from "../../src/rpc/services/mod.ts";
import {
  decodeBatchGet,
  decodeBatchPut,
  decodeDelete,
  decodeGet,
  decodePut,
  MalformedMessage,
} from "../../src/rpc/wire/mod.ts";
import { SimClock } from "../../src/runtime/mod.ts";
import { FakeNode } from "./fake_node.ts";

/** The hand-written decoders, by their method's local name. */
const HOT_DECODERS = {
  put: decodePut,
  get: decodeGet,
  delete: decodeDelete,
  batchPut: decodeBatchPut,
  batchGet: decodeBatchGet,
} as const;

/** A hot method. */
export type HotName = keyof typeof HOT_DECODERS;

/** All hot methods. */
export const HOT_NAMES = Object.keys(HOT_DECODERS) as HotName[];

/** What a lane makes of a request. */
export type Decoded =
  | { readonly kind: "call"; readonly call: unknown }
  | { readonly kind: "refused"; readonly code: number; readonly message: string }
  | { readonly kind: "malformed" };

/** The message of a hot request. */
export function inputOf(name: HotName): DescMessage {
  return KeyValueService.method[name].input;
}

/** Decodes by hand. Whatever is thrown but is no verdict goes on. */
export function decodeByHand(name: HotName, bytes: Uint8Array): Decoded {
  try {
    return { kind: "call", call: withTextKeys(HOT_DECODERS[name](bytes)) };
  } catch (error) {
    if (error instanceof MalformedMessage) return { kind: "malformed" };
    return refusal(error);
  }
}

/** The long lane up to the method, whose calls it keeps. */
export class LongLane {
  #call: unknown;
  #answer: unknown;
  readonly #service;

  constructor() {
    // What is thrown here ends the service's method, which has nothing to do any more.
    const keep = (call: unknown) => {
      this.#call = call;
      if (this.#answer === undefined) throw new Kept();
      return Promise.resolve(this.#answer);
    };
    const methods = { put: keep, get: keep, delete: keep, batchPut: keep, batchGet: keep };
    const node = new FakeNode();
    const readiness = new Readiness(node);
    this.#service = keyValueService(
      methods as KeyValueMethods,
      node,
      new SimClock(),
      readiness,
      new FairGate(new SimClock(), 0),
    );
  }

  /** Decodes with the library, and translates as the service does. */
  async decode(name: HotName, bytes: Uint8Array): Promise<Decoded> {
    let request;
    try {
      request = fromBinary(inputOf(name), bytes);
    } catch {
      return { kind: "malformed" };
    }
    this.#answer = undefined;
    try {
      await this.#run(name, request);
    } catch (error) {
      return error instanceof Kept ? { kind: "call", call: this.#call } : refusal(error);
    }
    return assert.fail("the method was not called");
  }

  /** What the service sends when its method gives `answer`. */
  async answer(name: HotName, request: unknown, answer: unknown): Promise<unknown> {
    this.#answer = answer;
    return await this.#run(name, request);
  }

  #run(name: HotName, request: unknown): Promise<unknown> {
    const run = this.#service[name] as (
      request: unknown,
      context: HandlerContext,
    ) => Promise<unknown>;
    return run(request, contextOf(KeyValueService.method[name]));
  }
}

class Kept extends Error {}

/** A call whose keys are bytes, which the node takes as well, with their text. */
function withTextKeys(call: object): object {
  const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  return Object.fromEntries(
    Object.entries(call).map(([name, value]) => {
      if (name === "items") return [name, (value as object[]).map(withTextKeys)];
      return [name, name === "key" && value instanceof Uint8Array ? text.decode(value) : value];
    }),
  );
}

function refusal(error: unknown): Decoded {
  if (!(error instanceof PairError)) throw error;
  return { kind: "refused", code: error.code, message: error.message };
}

function contextOf(method: DescMethodUnary): HandlerContext {
  return createHandlerContext({
    service: method.parent,
    method,
    requestMethod: "POST",
    protocolName: "grpc",
    url: "http://localhost/",
  });
}

/**
 * Compares. A hand-written decoder may pass on what it is not sure of, and says then that it is malformed.
 * @returns whether it took the bytes
 */
export async function checkSame(
  long: LongLane,
  name: HotName,
  bytes: Uint8Array,
): Promise<boolean> {
  const short = decodeByHand(name, bytes);
  if (short.kind === "malformed") return false;
  assert.deepEqual(short, await long.decode(name, bytes));
  return true;
}
