/**
 * The gate in the RPC library's terms: for all calls that go through its handlers.
 * @module
 */
import {
  type ContextValues,
  createContextKey,
  createContextValues,
  type HandlerContext,
  type Interceptor,
} from "@connectrpc/connect";
import type { PeerCertificate } from "../../runtime/mod.ts";
import { type Authority, OPEN_AUTHORITY } from "./authority.ts";
import { admit, authoriseMessage, checkHolds } from "./gate.ts";
import { ANONYMOUS, type Identity } from "./identity.ts";
import { type MethodRule, ruleOf } from "./methods.ts";

const PEER = createContextKey<PeerCertificate | undefined>(undefined);
const IDENTITY = createContextKey<Identity>(ANONYMOUS);

/** What a call brings along besides its headers. */
export function valuesOf(peer: PeerCertificate): ContextValues {
  return createContextValues().set(PEER, peer);
}

/** Lets a call in, or throws; the interceptor finds who it was. */
export function admitCall(authority: Authority, context: HandlerContext): void {
  if (authority === OPEN_AUTHORITY) return;
  const { method, requestHeader, values } = context;
  const authorization = requestHeader.get("authorization") ?? undefined;
  values.set(IDENTITY, admit(authority, ruleOf(method), authorization, values.get(PEER)));
}

/** Judges messages before the service has them, and streams while they run. */
export function authInterceptor(authority: Authority): Interceptor {
  return (next) => {
    if (authority === OPEN_AUTHORITY) return next;
    return async (request) => {
      const rule = ruleOf(request.method);
      const identity = request.contextValues.get(IDENTITY);
      if (!request.stream) {
        authoriseMessage(authority, identity, rule, request.message);
        return await next(request);
      }
      const message = judged(authority, identity, rule, request.message);
      const response = await next({ ...request, message });
      if (!response.stream) return response;
      return { ...response, message: held(authority, identity, response.message) };
    };
  };
}

async function* judged<T extends object>(
  authority: Authority,
  identity: Identity,
  rule: MethodRule,
  messages: AsyncIterable<T>,
): AsyncGenerator<T> {
  for await (const message of messages) {
    authoriseMessage(authority, identity, rule, message);
    yield message;
  }
}

async function* held<T>(
  authority: Authority,
  identity: Identity,
  messages: AsyncIterable<T>,
): AsyncGenerator<T> {
  for await (const message of messages) {
    checkHolds(authority, identity);
    yield message;
  }
}
