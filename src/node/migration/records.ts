/**
 * What a migration leaves on the disk of its source: what it was asked for, and how far it is. One record for
 * each, in a tree of their own that no tenant's id can name (docs/formats.md):
 *
 *     | id, UTF-8 |  ->  | format 1 | incarnation | target | flags u8 | tenant | start | end
 *                        | token start, 16 bytes | token end, 16 bytes | since
 *                        | begun anew: number, each a tenant and its since | state u8 | created | ended
 *                        | checkpoint: tenant, key | counts: number, each a varint | error |
 *
 * Texts are a varint length and UTF-8, times varints of ms since 1970, since a varint. Tokens, since and begun anew
 * are there only with their flags.
 * A count that a later version adds stands behind the others; one that reads fewer takes the rest for 0.
 * @module
 */
import {
  ByteReader,
  ByteWriter,
  readToken,
  TOKEN_BYTES,
  tokenBytes,
  type TokenRange,
} from "../../model/mod.ts";
import type { MigrationCounts, MigrationState } from "../api.ts";

/** Which keys of a tenant; bounds as texts, empty: none. */
export interface MigrationRange {
  readonly start: string;
  /** Exclusive. */
  readonly end: string;
  readonly tokens: TokenRange | undefined;
}

/** What a migration was asked for. It never changes. */
export interface MigrationOrder {
  readonly id: string;
  /** The address of the target. */
  readonly target: string;
  /** Undefined: all tenants. */
  readonly tenant: string | undefined;
  readonly range: MigrationRange;
  /** Wall time, ms since 1970. */
  readonly createdAtMs: number;
}

/** How far a migration is. */
export interface MigrationRecord {
  readonly order: MigrationOrder;
  /** The data directory whose migration it is: in a restored copy of it, it is nobody's. */
  readonly incarnation: string;
  /** The node takes no writes on its account. */
  draining: boolean;
  state: MigrationState;
  /**
   * The target may hold anything that was there at this sequence or later, so it has to be told of what died
   * since; see `leftovers.ts`. 0: not known, as an older program began it.
   */
  sinceSequence: number;
  /** Of tenants that were begun anew, since the target held nothing of them, the sequence from then. */
  readonly begunAnew: Map<string, number>;
  /** Wall time, ms since 1970; 0 while it is not over. */
  endedAtMs: number;
  /** Everything up to this key of this tenant, and all tenants before it, has been copied. Empty: nothing. */
  checkpoint: { readonly tenant: string; readonly key: string };
  readonly counts: { -readonly [Name in keyof MigrationCounts]: number };
  /** Why it failed; of one that runs, the last failure that it tries to get over. Empty: none. */
  error: string;
}

const FORMAT = 1;
const DRAINING = 1;
const HAS_TENANT = 2;
const HAS_TOKENS = 4;
const HAS_SINCE = 8;
const HAS_BEGUN_ANEW = 16;
/** A state's place is its number in the record. */
const STATES: readonly MigrationState[] = [
  "copying",
  "streaming",
  "syncing",
  "completed",
  "failed",
];

/** A fresh record of an order. @param sinceSequence  see {@link MigrationRecord.sinceSequence} */
export function newRecord(
  order: MigrationOrder,
  incarnation: string,
  draining: boolean,
  sinceSequence: number,
): MigrationRecord {
  return {
    order,
    incarnation,
    draining,
    state: "copying",
    sinceSequence,
    begunAnew: new Map(),
    endedAtMs: 0,
    checkpoint: { tenant: "", key: "" },
    counts: noCounts(),
    error: "",
  };
}

/** Nothing done yet. */
export function noCounts(): MigrationRecord["counts"] {
  return {
    keysCopied: 0,
    bytesCopied: 0,
    keysStreamed: 0,
    bytesStreamed: 0,
    piecesCompared: 0,
    piecesResent: 0,
    keysResent: 0,
    rescans: 0,
    retries: 0,
  };
}

/** Whether it is over, for good or ill. */
export function isOver({ state }: Pick<MigrationRecord, "state">): boolean {
  return state === "completed" || state === "failed";
}

/** Since which sequence the target has to be told of what died of a tenant. */
export function sinceOf({ begunAnew, sinceSequence }: MigrationRecord, tenant: string): number {
  return begunAnew.get(tenant) ?? sinceSequence;
}

/** The bytes of a record, without its id. */
export function encodeRecord(record: MigrationRecord): Uint8Array<ArrayBuffer> {
  const { order, incarnation, draining, state, sinceSequence, begunAnew } = record;
  const { endedAtMs, checkpoint, counts, error } = record;
  const { target, tenant, range, createdAtMs } = order;
  const flags = (draining ? DRAINING : 0) | (tenant === undefined ? 0 : HAS_TENANT) |
    (range.tokens === undefined ? 0 : HAS_TOKENS) | HAS_SINCE |
    (begunAnew.size === 0 ? 0 : HAS_BEGUN_ANEW);
  const writer = new ByteWriter().u8(FORMAT).text(incarnation).text(target).u8(flags);
  writer.text(tenant ?? "").text(range.start).text(range.end);
  if (range.tokens !== undefined) {
    writer.raw(tokenBytes(range.tokens.start)).raw(tokenBytes(range.tokens.end));
  }
  writer.varint(sinceSequence);
  if (begunAnew.size > 0) writer.varint(begunAnew.size);
  for (const [name, sequence] of begunAnew) writer.text(name).varint(sequence);
  writer.u8(STATES.indexOf(state)).varint(createdAtMs).varint(endedAtMs);
  writer.text(checkpoint.tenant).text(checkpoint.key);
  const numbers = Object.values(counts);
  writer.varint(numbers.length);
  for (const number of numbers) writer.varint(number);
  return writer.text(error).finish();
}

/** @throws PairError CorruptedData (2007) for anything that {@link encodeRecord} cannot have written */
export function decodeRecord(id: string, bytes: Uint8Array): MigrationRecord {
  const reader = new ByteReader(bytes, "a record of a migration");
  const format = reader.u8();
  if (format !== FORMAT) throw reader.damaged(`its format is ${format}`);
  const incarnation = reader.text();
  const target = reader.text();
  const flags = reader.u8();
  const tenant = reader.text();
  const [start, end] = [reader.text(), reader.text()];
  const token = () => readToken(reader.raw(TOKEN_BYTES), "a stored token");
  const tokens = (flags & HAS_TOKENS) === 0 ? undefined : { start: token(), end: token() };
  const sinceSequence = (flags & HAS_SINCE) === 0 ? 0 : reader.varint();
  const begunAnew = new Map<string, number>();
  for (let left = (flags & HAS_BEGUN_ANEW) === 0 ? 0 : reader.varint(); left > 0; left--) {
    begunAnew.set(reader.text(), reader.varint());
  }
  const state = STATES[reader.u8()];
  if (state === undefined) throw reader.damaged("there is no such state");
  const [createdAtMs, endedAtMs] = [reader.varint(), reader.varint()];
  const checkpoint = { tenant: reader.text(), key: reader.text() };
  const counts = noCounts();
  const names = Object.keys(counts) as (keyof MigrationCounts)[];
  for (let left = reader.varint(), i = 0; left > 0; left--, i++) {
    const number = reader.varint();
    if (i < names.length) counts[names[i]] = number;
  }
  const error = reader.text();
  reader.end();
  return {
    order: {
      id,
      target,
      tenant: (flags & HAS_TENANT) === 0 ? undefined : tenant,
      range: { start, end, tokens },
      createdAtMs,
    },
    incarnation,
    draining: (flags & DRAINING) !== 0,
    state,
    sinceSequence,
    begunAnew,
    endedAtMs,
    checkpoint,
    counts,
    error,
  };
}
