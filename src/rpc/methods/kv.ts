/**
 * KeyValueService's unary methods: what both lanes call, whatever the bytes looked like. Scan is a stream
 * and stands in services/kv.ts.
 * @module
 */
import { type Key, PairError, type VectorClock } from "../../model/mod.ts";
import {
  type KeyState,
  type PutInput,
  type ReadResult,
  type StorageNode,
  valueBytes,
  type WriteOptions,
  type WriteResult,
  type WriteWatch,
} from "../../node/mod.ts";
import { checkConsistency } from "../convert.ts";

/** What every call has. */
interface Call {
  readonly tenant: string;
  /** The number of the Consistency enum. */
  readonly consistency: number;
}

/** Put. */
export interface PutCall extends Call, PutInput, WriteOptions {}

/** Get. */
export interface GetCall extends Call {
  readonly key: Key;
}

/** Delete. */
export interface DeleteCall extends GetCall, WriteOptions {
  readonly context: VectorClock | undefined;
  readonly ifContext: boolean;
}

/** Its answer. */
export interface DeleteResult extends WriteResult {
  readonly existed: boolean;
}

/** BatchPut. */
export interface BatchPutCall extends Call, WriteOptions {
  readonly items: readonly PutInput[];
  readonly skipUnchanged: boolean;
}

/** Its answer. */
export interface BatchPutResult {
  readonly results: readonly WriteResult[];
  readonly unchanged: number;
}

/** BatchGet. */
export interface BatchGetCall extends Call {
  readonly keys: readonly string[];
}

/** Its answer: one result for each of the keys, in order, as far as they fit. */
export interface BatchGetResult {
  readonly keys: readonly string[];
  readonly results: readonly (KeyState | undefined)[];
}

/** The methods. Each throws PairErrors; those that write tell who waits what becomes of it. */
export interface KeyValueMethods {
  put(call: PutCall, watch?: WriteWatch): Promise<WriteResult>;
  get(call: GetCall): KeyState | Promise<KeyState>;
  delete(call: DeleteCall, watch?: WriteWatch): Promise<DeleteResult>;
  batchPut(call: BatchPutCall, watch?: WriteWatch): Promise<BatchPutResult>;
  batchGet(call: BatchGetCall): Promise<BatchGetResult>;
}

/** About how many bytes the values of a batch have. */
export function batchBytes({ results }: BatchGetResult): number {
  let bytes = 0;
  for (const result of results) if (result !== undefined) bytes += valueBytes(result);
  return bytes;
}

/** An answer to BatchGet is cut off before its values exceed this; see kv.proto. */
const BATCH_GET_BYTES = 16 * 1024 * 1024;

/** Binds the methods to a node. */
export function keyValueMethods(node: StorageNode): KeyValueMethods {
  // An answer like any other: the same error each time costs no stack.
  const notFound = new PairError("KeyNotFound", "Cannot get: the key has no value");
  const orNotFound = (found: ReadResult | undefined): ReadResult => {
    if (found !== undefined) return found;
    throw notFound;
  };
  return {
    put(call, watch) {
      checkConsistency(call.consistency);
      return node.put(call.tenant, call, watch);
    },

    get({ tenant, key, consistency }) {
      checkConsistency(consistency);
      const found = node.read(tenant, key);
      return found instanceof Promise ? found.then(orNotFound) : orNotFound(found);
    },

    delete(call, watch) {
      checkConsistency(call.consistency);
      return node.delete(call.tenant, call, watch);
    },

    batchPut({ tenant, items, consistency, skipUnchanged, idempotencyKey }, watch) {
      checkConsistency(consistency);
      return node.batchPut(tenant, items, { skipUnchanged, idempotencyKey }, watch);
    },

    async batchGet({ tenant, keys, consistency }) {
      checkConsistency(consistency);
      const results = await node.batchGet(tenant, keys, { maxBytes: BATCH_GET_BYTES });
      return { keys, results };
    },
  };
}
