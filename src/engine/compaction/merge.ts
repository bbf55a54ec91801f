/**
 * Which entries survive when sorted runs become one.
 *
 * Snapshots cut the sequence numbers into stripes: entries of one key in the same stripe look alike to
 * every reader, so only the newest counts. For key "k", snapshot 20, entries put@30, put@25, delete@15,
 * put@10: the stripes are {30, 25} and {15, 10}; put@30 and delete@15 survive, and the delete too goes
 * when the stripe is the oldest and no deeper table can hold the key.
 * Merge operands are folded onto the put or delete below them in their stripe; without one they stay,
 * unless nothing can lie deeper.
 *
 * A value that is dead, by its operator's word, and has been for the grace time, is worth no more than a
 * delete: it hides what is older, and goes where a delete would go. What lies above it and was written
 * since stays as it is.
 * @module
 */
import { type EntryKind, KIND_DELETE, KIND_MERGE, KIND_PUT, type MergeOperator } from "../api.ts";
import { compareRanges, type EntryCursor } from "../cursor.ts";

/** What decides about survival. */
export interface MergePolicy {
  /** Pinned sequences, ascending. */
  readonly snapshots: readonly number[];
  /** No table outside the input can hold an older entry of any of these keys. */
  readonly bottom: boolean;
  /** The tree's operator; a merge operand without one survives as it is. */
  readonly operator: MergeOperator | undefined;
  /** At the bottom, a value that was dead by then goes too, ms since 1970; 0: none. */
  readonly purgeBeforeMs: number;
  /** And nothing that was written after this sequence: somebody has yet to be told of it. */
  readonly purgeUpToSeq: number;
  /** Told each value that goes because it is dead. */
  readonly onPurged: (entry: EntryCursor) => void;
}

/** An entry in buffers of its own, to be emitted like any other. */
class HeldEntry implements EntryCursor {
  readonly valid = true;
  readonly keyStart = 0;
  readonly valueStart = 0;
  constructor(
    readonly keyBuffer: Uint8Array,
    readonly seq: number,
    readonly kind: EntryKind,
    readonly valueBuffer: Uint8Array,
  ) {}
  get keyEnd(): number {
    return this.keyBuffer.length;
  }
  get valueEnd(): number {
    return this.valueBuffer.length;
  }
  seekFirst(): void {}
  seek(): void {}
  seekLast(): void {}
  seekBefore(): void {}
  next(): void {}
  prev(): void {}
  close(): void {}
}

/**
 * Reads `input` from where it stands to its end and emits what survives, in order.
 * @param emit  takes the entry that it is given before it returns
 * @returns entries read
 */
export function mergeEntries(
  input: EntryCursor,
  policy: MergePolicy,
  emit: (entry: EntryCursor) => void,
): number {
  const { snapshots, bottom, operator } = policy;
  const key = new Key();
  let stripe = -1;
  let read = 0;
  while (input.valid) {
    const sameKey = key.equals(input);
    const its = stripeOf(snapshots, input.seq);
    if (sameKey && its === stripe) {
      // Hidden by a newer entry that every reader sees too.
      input.next();
      read++;
      continue;
    }
    if (!sameKey) key.take(input);
    stripe = its;
    const oldest = bottom && stripe === 0;
    if (input.kind === KIND_MERGE && operator !== undefined) {
      read += foldOperands(input, key.bytes, stripe, policy, oldest, operator, emit);
      continue;
    }
    // Without an operator operands cannot be folded: each of them counts.
    if (input.kind === KIND_MERGE) stripe = -1;
    if (oldest && isDead(input, policy)) policy.onPurged(input);
    else if (input.kind !== KIND_DELETE || !oldest) emit(input);
    input.next();
    read++;
  }
  return read;
}

/** Takes the operands of one key and stripe, and what they rest on. Returns entries read. */
function foldOperands(
  input: EntryCursor,
  key: Uint8Array,
  stripe: number,
  policy: MergePolicy,
  oldest: boolean,
  operator: MergeOperator,
  emit: (entry: EntryCursor) => void,
): number {
  const held: HeldEntry[] = [];
  let base: HeldEntry | undefined;
  let read = 0;
  const { snapshots } = policy;
  while (base === undefined && isAt(input, key) && stripeOf(snapshots, input.seq) === stripe) {
    const value = input.valueBuffer.slice(input.valueStart, input.valueEnd);
    const entry = new HeldEntry(key, input.seq, input.kind, value);
    if (input.kind === KIND_MERGE) held.push(entry);
    else base = entry;
    input.next();
    read++;
  }
  if (base === undefined && !oldest) {
    for (const entry of held) emit(entry);
    return read;
  }
  const below = base?.kind === KIND_PUT ? base.valueBuffer : undefined;
  const operands = held.map((entry) => entry.valueBuffer).reverse();
  const folded = new HeldEntry(key, held[0].seq, KIND_PUT, operator.merge(key, below, operands));
  if (oldest && isDead(folded, policy)) policy.onPurged(folded);
  else emit(folded);
  return read;
}

/** Whether an entry is a value that died before the time that may be purged, and nobody asks for. */
function isDead(
  entry: EntryCursor,
  { purgeBeforeMs, purgeUpToSeq, operator }: MergePolicy,
): boolean {
  if (purgeBeforeMs <= 0 || entry.kind !== KIND_PUT || operator?.deadSince === undefined) {
    return false;
  }
  if (entry.seq > purgeUpToSeq) return false;
  const { valueBuffer, valueStart, valueEnd } = entry;
  const deadSince = operator.deadSince(valueBuffer, valueStart, valueEnd);
  return deadSince > 0 && deadSince <= purgeBeforeMs;
}

/** The number of snapshots that cannot see an entry: entries of a key with the same one look alike. */
function stripeOf(snapshots: readonly number[], seq: number): number {
  let stripe = 0;
  while (stripe < snapshots.length && snapshots[stripe] < seq) stripe++;
  return stripe;
}

function isAt(input: EntryCursor, key: Uint8Array): boolean {
  return input.valid &&
    compareRanges(input.keyBuffer, input.keyStart, input.keyEnd, key, 0, key.length) === 0;
}

/** The key in hand, in a buffer that is kept. */
class Key {
  #buffer = new Uint8Array(256);
  #length = -1;

  get bytes(): Uint8Array {
    return this.#buffer.slice(0, this.#length);
  }

  equals(entry: EntryCursor): boolean {
    return this.#length >= 0 && compareRanges(
          this.#buffer,
          0,
          this.#length,
          entry.keyBuffer,
          entry.keyStart,
          entry.keyEnd,
        ) === 0;
  }

  take(entry: EntryCursor): void {
    this.#length = entry.keyEnd - entry.keyStart;
    if (this.#length > this.#buffer.length) this.#buffer = new Uint8Array(this.#length * 2);
    this.#buffer.set(entry.keyBuffer.subarray(entry.keyStart, entry.keyEnd));
  }
}
