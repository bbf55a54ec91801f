/**
 * KeyValueService's unary methods: what both lanes call, whatever the bytes looked like. Scan is a stream
 * and stands in services/kv.ts.
 * @module
 */
import { type CausalContext, type Key, PairError } from "../../model/mod.ts";
import {
  type Explanation,
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
import { type Caller, costOf, type FairGate } from "../fair_gate.ts";

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
  readonly context: CausalContext | undefined;
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

/**
 * The methods. Each throws PairErrors; those that write tell who waits what becomes of it. On a busy node each
 * may wait for its tenant's turn.
 */
export interface KeyValueMethods {
  put(call: PutCall, watch?: WriteWatch): Promise<WriteResult>;
  get(call: GetCall, caller?: Caller): KeyState | Promise<KeyState>;
  explain(call: GetCall): Promise<Explanation>;
  delete(call: DeleteCall, watch?: WriteWatch): Promise<DeleteResult>;
  batchPut(call: BatchPutCall, watch?: WriteWatch): Promise<BatchPutResult>;
  batchGet(call: BatchGetCall, caller?: Caller): Promise<BatchGetResult>;
}

/** About how many bytes the values of a batch have. */
export function batchBytes({ results }: BatchGetResult): number {
  let bytes = 0;
  for (const result of results) if (result !== undefined) bytes += valueBytes(result);
  return bytes;
}

/** An answer to BatchGet is cut off before its values exceed this; see kv.proto. */
const BATCH_GET_BYTES = 16 * 1024 * 1024;

/** Binds the methods to a node. @param fair  says which call may begin, and when */
export function keyValueMethods(node: StorageNode, fair: FairGate): KeyValueMethods {
  // An answer like any other: the same error each time costs no stack.
  const notFound = new PairError("KeyNotFound", "Cannot get: the key has no value");
  const orNotFound = (found: ReadResult | undefined): ReadResult => {
    if (found !== undefined) return found;
    throw notFound;
  };
  // What a call is when it begins, and when it waits for its tenant's turn.
  const get = ({ tenant, key }: GetCall) => {
    const found = node.read(tenant, key);
    return found instanceof Promise ? found.then(orNotFound) : orNotFound(found);
  };
  const batchGet = async ({ tenant, keys }: BatchGetCall): Promise<BatchGetResult> => {
    const results = await node.batchGet(tenant, keys, { maxBytes: BATCH_GET_BYTES });
    return { keys, results };
  };
  return {
    put(call, watch) {
      const { tenant } = call;
      checkConsistency(call.consistency);
      const cost = costOf(1, call.value?.length ?? 0);
      if (fair.isOpen(tenant, cost)) return node.put(tenant, call, watch);
      return fair.later(tenant, cost, () => node.put(tenant, call, watch), watch);
    },

    get(call, caller) {
      checkConsistency(call.consistency);
      if (fair.isOpen(call.tenant, 1)) return get(call);
      return fair.later(call.tenant, 1, () => get(call), caller);
    },

    explain({ tenant, key, consistency }) {
      checkConsistency(consistency);
      const explain = () => node.explain(tenant, key);
      return fair.isOpen(tenant, 1) ? explain() : fair.later(tenant, 1, explain, undefined);
    },

    delete(call, watch) {
      const { tenant } = call;
      checkConsistency(call.consistency);
      if (fair.isOpen(tenant, 1)) return node.delete(tenant, call, watch);
      return fair.later(tenant, 1, () => node.delete(tenant, call, watch), watch);
    },

    batchPut({ tenant, items, consistency, skipUnchanged, idempotencyKey }, watch) {
      checkConsistency(consistency);
      const bytes = items.reduce((sum, { value }) => sum + (value?.length ?? 0), 0);
      const cost = Math.max(1, costOf(items.length, bytes));
      const put = () => node.batchPut(tenant, items, { skipUnchanged, idempotencyKey }, watch);
      return fair.isOpen(tenant, cost) ? put() : fair.later(tenant, cost, put, watch);
    },

    async batchGet(call, caller) {
      checkConsistency(call.consistency);
      const { tenant, keys } = call;
      const cost = Math.max(1, keys.length);
      const isOpen = fair.isOpen(tenant, cost);
      return isOpen
        ? await batchGet(call)
        : await fair.later(tenant, cost, () => batchGet(call), caller);
    },
  };
}
