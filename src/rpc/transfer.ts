/**
 * Between the messages of ReplicateData, StreamKeys and GetKeyRange and the node's values.
 * @module
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { EMPTY_CLOCK, PairError, readToken, type TokenRange } from "../model/mod.ts";
import type {
  KeyRangeInfo,
  RangeInput,
  TenantOrigin,
  TransferBatch,
  TransferEntry,
  TransferTotals,
} from "../node/mod.ts";
import type {
  GetKeyRangeResponseSchema,
  KeyValueEntry,
  KeyValueEntrySchema,
  ReplicateDataRequest,
  ReplicateDataRequestSchema,
  StreamKeysResponseSchema,
  TokenRange as TokenRangeMessage,
  TransferTotalsSchema,
} from "../gen/pairdb/v1/storage_node_pb.ts";
import { fromClock, fromEntry, toClock, toCount, toEntry } from "./convert.ts";
import { fromTenantOptions, toTenantOptions } from "./tenant_options.ts";

/** A range of a request. */
export function toRange(
  { keyRangeStart, keyRangeEnd, tokenRange }: {
    keyRangeStart: string;
    keyRangeEnd: string;
    tokenRange?: TokenRangeMessage | undefined;
  },
): RangeInput {
  return { start: keyRangeStart, end: keyRangeEnd, tokens: toTokens(tokenRange) };
}

/** @throws PairError InvalidArgument (1000) when a token has not 16 bytes */
function toTokens(range: TokenRangeMessage | undefined): TokenRange | undefined {
  return range && {
    start: readToken(range.start, "token_range.start"),
    end: readToken(range.end, "token_range.end"),
  };
}

/**
 * The entries of a batch.
 * @param tenant  of the request: an entry may name it again, and no other
 * @throws PairError InvalidArgument (1000) for another tenant, a delete with a value, a value that is
 *   missing, or a number out of range
 */
export function toTransferEntries(
  entries: readonly KeyValueEntry[],
  tenant: string,
): TransferEntry[] {
  return entries.map((entry) => {
    const { tenantId, key, value, isTombstone } = entry;
    if (tenantId !== "" && tenantId !== tenant) throw refused("an entry is of another tenant");
    if (isTombstone === (value !== undefined)) {
      throw refused(isTombstone ? "a delete has a value" : "a value is missing");
    }
    const version = {
      clock: toClock(entry.vectorClock) ?? EMPTY_CLOCK,
      dot: entry.dot && toEntry(entry.dot),
      value,
      timestampMs: toCount(entry.timestamp, "timestamp"),
      expiresAtMs: toCount(entry.expiresAt, "expires_at"),
    };
    return { key, version };
  });
}

/**
 * What a request says of its tenant; undefined: nothing, as older nodes do.
 * @throws PairError InvalidArgument (1000) for a number out of range
 */
export function toOrigin(
  { tenantOptions, mergeFunctionDigest }: Pick<
    ReplicateDataRequest,
    "tenantOptions" | "mergeFunctionDigest"
  >,
): TenantOrigin | undefined {
  return tenantOptions && {
    options: toTenantOptions(tenantOptions),
    mergeFunctionDigest: mergeFunctionDigest || undefined,
  };
}

/** The same as fields of a request. */
export function fromOrigin(
  origin: TenantOrigin | undefined,
): Pick<
  MessageInitShape<typeof ReplicateDataRequestSchema>,
  "tenantOptions" | "mergeFunctionDigest"
> {
  if (origin === undefined) return {};
  const { options, mergeFunctionDigest = "" } = origin;
  return { tenantOptions: fromTenantOptions(options), mergeFunctionDigest };
}

function refused(why: string): PairError {
  return new PairError("InvalidArgument", `Cannot take the batch: ${why}`);
}

/** One message of a stream. */
export function fromBatch(
  { entries, checksum, checkpoint, totals }: TransferBatch,
): MessageInitShape<typeof StreamKeysResponseSchema> {
  return {
    entries: entries.map(fromTransferEntry),
    checksum,
    checkpoint,
    totals: totals && fromTotals(totals),
  };
}

function fromTransferEntry(
  { key, version }: TransferEntry,
): MessageInitShape<typeof KeyValueEntrySchema> {
  const { clock, dot, value, timestampMs, expiresAtMs } = version;
  return {
    key,
    value,
    vectorClock: fromClock(clock),
    timestamp: BigInt(timestampMs),
    isTombstone: value === undefined,
    expiresAt: BigInt(expiresAtMs),
    dot: dot && fromEntry(dot),
  };
}

/** The answer of GetKeyRange. */
export function fromKeyRange(
  { first, last, keys, bytes, totals }: KeyRangeInfo,
): MessageInitShape<typeof GetKeyRangeResponseSchema> {
  return {
    startKey: first,
    endKey: last,
    exact: totals !== undefined,
    keys: BigInt(keys),
    bytes: BigInt(bytes),
    totals: totals && fromTotals(totals),
  };
}

function fromTotals(totals: TransferTotals): MessageInitShape<typeof TransferTotalsSchema> {
  return {
    keys: BigInt(totals.keys),
    versions: BigInt(totals.versions),
    tombstones: BigInt(totals.tombstones),
    bytes: BigInt(totals.bytes),
    checksum: totals.checksum,
  };
}
