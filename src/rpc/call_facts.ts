/**
 * What is known of one call besides its time: for the list of slow ones, which asks only when it takes one.
 * @module
 */
import { murmur3, utf8 } from "../model/mod.ts";

/** Facts of a call. */
export interface CallFacts {
  /** Empty: it named none, or its message never came. */
  readonly tenant: string;
  /** The key, or the first of several; of a scan its prefix or start. Empty: none. */
  readonly key: string;
  /** How many keys it named. */
  readonly keys: number;
  /** Of its body as it came, compressed where it was; 0: none has come. */
  readonly requestBytes: number;
  /** The layer that a read was answered from; empty: not known. */
  readonly source: string;
  /** Time before the node was asked: for the body, for its turn, ms. */
  readonly waitedMs: number;
  /** `grpc`, `grpc-web` or `connect`. */
  readonly protocol: string;
  /** W3C's header of that name, which says what trace the call belongs to; empty: none. */
  readonly traceparent: string;
}

/** A call that can tell. */
export interface FactSource {
  facts(): CallFacts;
}

/** Fields of requests that are looked for, whatever the method. */
interface AnyRequest {
  readonly tenantId?: unknown;
  readonly key?: unknown;
  readonly prefix?: unknown;
  readonly start?: unknown;
  readonly keys?: unknown;
  readonly items?: unknown;
  readonly entries?: unknown;
}

/** What a decoded request says. */
export function requestFacts(message: object): Pick<CallFacts, "tenant" | "key" | "keys"> {
  const { tenantId, key, prefix, start, keys, items, entries } = message as AnyRequest;
  const many = [keys, items, entries].find(Array.isArray) as readonly unknown[] | undefined;
  const [first] = many ?? [];
  const keyOfFirst = (first as { key?: unknown } | undefined)?.key;
  const one = [key, first, keyOfFirst, prefix, start].find((each) => isText(each));
  return {
    tenant: isText(tenantId) ? tenantId : "",
    key: isText(one) ? one : "",
    keys: many?.length ?? (isText(key) ? 1 : 0),
  };
}

/** Names a key where it must not stand itself: 8 hexadecimal digits, the same for the same key. Empty for none. */
export function keyHash(key: string): string {
  return key === "" ? "" : murmur3(utf8(key), 0).toString(16).padStart(8, "0");
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}
