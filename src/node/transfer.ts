/**
 * What one node hands to another: every version of a range's keys, in order, cut into batches.
 *
 *     key 1  v        ┐ batch 1, checkpoint: key 1
 *     key 2  v1 v2    ┘   (its last version is not in yet)
 *            v3       ┐ batch 2, checkpoint: key 3
 *     key 3  v        ┘ ... totals
 *
 * All of it is of one moment: one cursor is open from the first batch to the last. What is in memory is
 * one key's state and one batch; the next is made when somebody asks for it. A stream that was cut off
 * goes on behind its last checkpoint, as of a later moment: merging takes in twice what comes twice.
 * @module
 */
import type { Activity, Engine, Tree } from "../engine/mod.ts";
import {
  addToChecksum,
  compareBytes,
  decodeKey,
  decodeVersions,
  encodeVersions,
  inTokenRange,
  tokenOf,
  type TokenRange,
  tokenShare,
  utf8,
} from "../model/mod.ts";
import type { Clock } from "../runtime/mod.ts";
import type { TransferFigures } from "./transfer_figures.ts";
import type { KeyRangeInfo, TransferBatch, TransferEntry, TransferTotals } from "./api.ts";

/** A batch ends at so many versions, if not before by its bytes. */
const BATCH_VERSIONS = 500;
/** Bytes of a batch where nobody says otherwise, and at most. */
export const BATCH_BYTES = 256 * 1024;
export const BATCH_BYTES_MAX = 8 * 1024 * 1024;
/** A version's clock, flags and lengths on the wire, in bytes, beside what is counted of it. */
const ENTRY_OVERHEAD = 64;
/** Other work goes first after this long. */
const SLICE_MS = 5;
/** A stream that finds no token of its range for this long says how far it has looked, to go on from there. */
const SILENCE_MS = 10_000;

/** What is handed over. */
export interface TransferRange {
  /** First key, inclusive; undefined: no bound. */
  readonly start: Uint8Array | undefined;
  /** End, exclusive; undefined: no bound. */
  readonly end: Uint8Array | undefined;
  /** Only keys with tokens in there; undefined: all. */
  readonly tokens: TokenRange | undefined;
  /** Where an earlier stream had got to; empty: nowhere. */
  readonly checkpoint: string;
  readonly batchBytes: number;
}

/** What streams and counts stand on. */
export interface TransferParts {
  readonly engine: Engine;
  readonly tree: Tree;
  readonly clock: Clock;
  /** Ends the work: its reason is thrown. */
  readonly signal: AbortSignal | undefined;
  /** Counts what is handed over; undefined: nothing is, the range is only looked at. */
  readonly figures?: TransferFigures | undefined;
  /** The work that it is a part of, whose budget it draws on; absent: it is work of its own. */
  readonly job?: Activity | undefined;
}

/**
 * The batches of a range, as of the first step; the last one has the totals. Returning from the iteration
 * closes the cursor.
 * @throws PairError CorruptedData (2007) or ChecksumFailed (1006) when a key cannot be read
 */
export async function* streamRange(
  { engine, tree, clock, signal, figures, job: whole }: TransferParts,
  { start, end, tokens, checkpoint, batchBytes }: TransferRange,
): AsyncGenerator<TransferBatch, undefined> {
  const batch = new BatchMaker(checkpoint, figures);
  const token = new Uint32Array(4);
  const cursor = engine.scan(tree, { start, end });
  const job = whole ??
    engine.activity("transfer", tree, engine.estimate(tree, { start, end }).bytes);
  const stream = figures?.begin();
  let isWhole = false;
  let failure: unknown;
  let sliceStart = clock.monotonicMs();
  let sentMs = sliceStart;
  try {
    for (;;) {
      const wait = cursor.ready();
      // Keys of other tokens make no batches, but take time as well.
      const long = clock.monotonicMs() - sliceStart >= SLICE_MS;
      if (wait !== undefined || long) {
        await (wait ?? clock.sleep(0));
        signal?.throwIfAborted();
        sliceStart = clock.monotonicMs();
      }
      if (!cursor.next()) break;
      if (tokens !== undefined && !inTokenRange(tokenOf(cursor.key, token), tokens)) {
        if (clock.monotonicMs() - sentMs < SILENCE_MS) continue;
        batch.endKey(decodeKey(cursor.key));
        yield batch.take();
        signal?.throwIfAborted();
        sentMs = clock.monotonicMs();
        continue;
      }
      // Copied: the cursor's bytes are good until its next step, a batch for longer.
      const key = cursor.key.slice();
      const state = cursor.value.slice();
      const name = decodeKey(key);
      const versions = decodeVersions(state);
      batch.beginKey();
      for (const version of versions) {
        const alone = versions.length === 1 ? state : encodeVersions([version]);
        if (batch.isFull(key.length + alone.length, batchBytes)) {
          await job.advance(batch.bytes);
          signal?.throwIfAborted();
          stream?.sent(batch.totals);
          yield batch.take();
          signal?.throwIfAborted();
          sliceStart = sentMs = clock.monotonicMs();
        }
        batch.add({ key: name, version }, key, alone);
      }
      batch.endKey(name);
    }
    await job.advance(batch.bytes);
    signal?.throwIfAborted();
    stream?.sent(batch.totals);
    isWhole = true;
    yield { ...batch.take(), totals: batch.totals };
  } catch (error) {
    failure = error;
    throw error;
  } finally {
    cursor.close();
    if (whole === undefined) job.end(failure);
    stream?.end(isWhole);
  }
}

/** Gathers entries, and counts all that it ever had. */
export class BatchMaker {
  readonly totals = { keys: 0, versions: 0, tombstones: 0, bytes: 0, checksum: 0 };
  #entries: TransferEntry[] = [];
  #bytes = 0;
  #checksum = 0;
  #checkpoint: string;
  readonly #figures: TransferFigures | undefined;

  constructor(checkpoint: string, figures: TransferFigures | undefined) {
    this.#checkpoint = checkpoint;
    this.#figures = figures;
  }

  /** Of the entries at hand. */
  get bytes(): number {
    return this.#bytes;
  }

  beginKey(): void {
    this.totals.keys++;
  }

  endKey(key: string): void {
    this.#checkpoint = key;
  }

  isFull(bytes: number, limit: number): boolean {
    const { length } = this.#entries;
    return length >= BATCH_VERSIONS || (length > 0 && this.#bytes + bytes + ENTRY_OVERHEAD > limit);
  }

  add(entry: TransferEntry, key: Uint8Array, state: Uint8Array): void {
    const bytes = key.length + state.length;
    this.#entries.push(entry);
    this.#bytes += bytes + ENTRY_OVERHEAD;
    const { totals } = this;
    const sum = () => {
      this.#checksum = addToChecksum(key, state, this.#checksum);
      totals.checksum = addToChecksum(key, state, totals.checksum);
    };
    if (this.#figures === undefined) sum();
    else this.#figures.checksum(sum);
    totals.versions++;
    if (entry.version.value === undefined) totals.tombstones++;
    totals.bytes += bytes;
  }

  take(): TransferBatch {
    const batch = {
      entries: this.#entries,
      checksum: this.#checksum,
      checkpoint: this.#checkpoint,
      totals: undefined,
    };
    this.#entries = [];
    this.#bytes = 0;
    this.#checksum = 0;
    return batch;
  }
}

/** What a range holds, counted key by key. */
export async function countRange(
  parts: TransferParts,
  range: TransferRange,
): Promise<KeyRangeInfo> {
  let first = "";
  let last = "";
  let totals: TransferTotals | undefined;
  for await (const batch of streamRange(parts, range)) {
    first ||= batch.entries[0]?.key ?? "";
    last = batch.entries.at(-1)?.key ?? last;
    totals = batch.totals;
  }
  const { keys, bytes } = totals!;
  return { first, last, keys, bytes, totals };
}

/**
 * A range's figures without reading it: the first and the last key, for which two blocks may be read, and
 * what tables and memtables know of themselves.
 */
export async function estimateRange(
  { engine, tree }: TransferParts,
  { start, end, tokens }: TransferRange,
): Promise<KeyRangeInfo> {
  const { entries, bytes } = engine.estimate(tree, { start, end });
  const share = tokens === undefined ? 1 : tokenShare(tokens);
  const [first, last] = [
    await outermost(engine, tree, { start, end }, false),
    await outermost(engine, tree, { start, end }, true),
  ];
  const none = first === "";
  return {
    first,
    last,
    keys: none ? 0 : Math.ceil(entries * share),
    bytes: none ? 0 : Math.ceil(bytes * share),
    totals: undefined,
  };
}

/** Figures of several ranges as of one that holds them all. None of them is counted. */
export function sumOf(ranges: readonly KeyRangeInfo[]): KeyRangeInfo {
  const sum = { first: "", last: "", keys: 0, bytes: 0, totals: undefined };
  for (const { first, last, keys, bytes } of ranges) {
    if (first === "") continue;
    if (sum.first === "" || compareKeys(first, sum.first) < 0) sum.first = first;
    if (compareKeys(last, sum.last) > 0) sum.last = last;
    sum.keys += keys;
    sum.bytes += bytes;
  }
  return sum;
}

function compareKeys(a: string, b: string): number {
  return compareBytes(utf8(a), utf8(b));
}

async function outermost(
  engine: Engine,
  tree: Tree,
  bounds: Pick<TransferRange, "start" | "end">,
  reverse: boolean,
): Promise<string> {
  const cursor = engine.scan(tree, { ...bounds, reverse });
  try {
    const wait = cursor.ready();
    if (wait !== undefined) await wait;
    return cursor.next() ? decodeKey(cursor.key) : "";
  } finally {
    cursor.close();
  }
}
