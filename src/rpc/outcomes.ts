/**
 * What became of a write that failed (docs/rows.md: B5).
 *
 *     the call fails ...        ... and the client is told
 *     before the log has it     not_applied: and it never will be, for the node asks before it hands over
 *     after that                unknown: the call ended early and the write finishes, or the log failed; only a
 *                               read can tell
 *
 * A write that was answered is applied. The word stands in the ErrorDetail: `details.outcome`.
 * @module
 */
import { create, type DescMethod } from "@bufbuild/protobuf";
import { type ConnectError, createContextKey } from "@connectrpc/connect";
import { KeyValueService } from "../gen/pairdb/v1/kv_pb.ts";
import { StorageNodeService } from "../gen/pairdb/v1/storage_node_pb.ts";
import { ErrorDetailSchema } from "../gen/pairdb/v1/common_pb.ts";
import type { WriteWatch } from "../node/mod.ts";
import { detailOf } from "./errors.ts";

/** Methods whose services hand {@link watchKey}'s watch to the node. */
const WRITES: ReadonlySet<DescMethod> = new Set<DescMethod>([
  KeyValueService.method.put,
  KeyValueService.method.delete,
  KeyValueService.method.batchPut,
  StorageNodeService.method.write,
  StorageNodeService.method.delete,
  StorageNodeService.method.repair,
  StorageNodeService.method.replicateData,
]);

/** What a failed write's client is told of it. */
export type WriteOutcome = "not_applied" | "unknown";

/** A call that may end before its write does. */
export interface WatchedCall extends WriteWatch {
  /** Whether the log has its write. */
  readonly isHandedOver: boolean;
}

/** Under which services find the watch of their call. */
export const watchKey = createContextKey<WatchedCall | undefined>(undefined, {
  description: "who waits for the write",
});

/** Whether a method's calls are watched. */
export function isWrite(method: DescMethod): boolean {
  return WRITES.has(method);
}

/** The watch of a call that has a signal. */
export class SignalWatch implements WatchedCall {
  isHandedOver = false;

  constructor(private readonly signal: AbortSignal) {}

  get gone(): boolean {
    return this.signal.aborted;
  }

  handedOver(): void {
    this.isHandedOver = true;
  }
}

/** What became of the write of a call that failed. */
export function outcomeOf({ isHandedOver }: WatchedCall): WriteOutcome {
  return isHandedOver ? "unknown" : "not_applied";
}

/** Adds what became of the write to an error's detail, in place. Does nothing to an error without one. */
export function tellOutcome(error: ConnectError, outcome: WriteOutcome): void {
  const detail = detailOf(error);
  const at = error.details.findIndex((each) => "desc" in each && each.desc === ErrorDetailSchema);
  if (detail === undefined || at < 0) return;
  const details = { ...detail.details, outcome };
  error.details[at] = {
    desc: ErrorDetailSchema,
    value: create(ErrorDetailSchema, { ...detail, details }),
  };
}
