/**
 * What the node remembers of writes that came with an idempotency key: what each did, so that the same write
 * gets the same answer when it comes again, and is not applied again.
 *
 * The outcome goes into the same batch of the engine as the write, so after any crash both are there or
 * neither. It lies in a tree of its own, which no tenant's id can name (`records.ts`).
 *
 *     first                              again, at the same time
 *     finds no outcome
 *     writes value and outcome ...
 *                                        finds the outcome, which still waits for its sync
 *                                        writes the outcome anew, as it is, and waits with that ...
 *     ... synced, answers
 *                                        ... synced, answers the same
 *
 * As in `writes.ts` nothing is awaited between looking and writing. The log keeps its order: where the later
 * record is durable, so is the earlier one, and the value with it.
 *
 * A tenant's writes stand in a row, each at its own place. Whoever adds one takes those from the other end
 * that are too many or too old, in the same batch: all that is kept in memory are the two ends.
 * @module
 */
import {
  type Engine,
  KIND_DELETE,
  KIND_PUT,
  type Mutation,
  type OriginTag,
  type ScanRange,
  type Tree,
} from "../../engine/mod.ts";
import { ByteWriter, PairError } from "../../model/mod.ts";
import type { WriteWatch } from "../api.ts";
import {
  decodeOutcome,
  decodePlace,
  encodeOutcome,
  encodePlace,
  isSameBytes,
  outcomeKey,
  type OutcomeRecord,
  placeKey,
  placePrefix,
  type PlaceRecord,
  positionOfKey,
  tenantPrefix,
  treeOfKey,
  type WriteOutcome,
} from "./records.ts";
import type { KeyedRequest } from "./request.ts";

/** How much is remembered of each tenant. */
export interface IdempotencyLimits {
  /** Writes, where a batch counts as its items; at least 1. */
  readonly maxWrites: number;
  /** Ms from a write on; at least 1. */
  readonly maxAgeMs: number;
}

/** About 20 MB on the disk for a tenant that writes without pause, and a day for clients to come back. */
export const DEFAULT_IDEMPOTENCY: IdempotencyLimits = {
  maxWrites: 100_000,
  maxAgeMs: 24 * 60 * 60 * 1000,
};

/** A write that has been here before. */
export interface Remembered {
  readonly outcome: WriteOutcome;
  /** Its record, as it lies in the tree. */
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** Hands a write to the engine together with its outcome. */
export interface Once {
  /** What {@link write} was given; undefined before. */
  readonly outcome: WriteOutcome | undefined;
  /**
   * @param mutations  may be none: that a write changed nothing is an outcome too
   * @throws PairError as the engine's `write`
   */
  write(
    mutations: readonly Mutation[],
    tag: OriginTag,
    outcome: WriteOutcome,
    watch: WriteWatch | undefined,
  ): Promise<void>;
}

/** A tenant's row of writes, from `tail` to before `head`. */
interface Row {
  head: number;
  tail: number;
  /** The one at `tail`; undefined when it has not been looked at. */
  oldest: PlaceRecord | undefined;
}

/** Tenants' ids have no colon, so none is this. */
const HIDDEN = ":";
const TREE_NAME = ":idempotency";

/** How many old writes one write clears away beyond its own number: a row that got too long shrinks in steps. */
const CLEARED_MAX = 16;
/** Keys that are deleted at once of a tenant that was dropped. */
const FORGET_BATCH = 1000;
const NONE = new Uint8Array(0);

/** Whether a tree is the node's own and no tenant's. */
export function isHiddenTree({ name }: Tree): boolean {
  return name.startsWith(HIDDEN);
}

/** See the head of the file. */
export class WriteMemory {
  readonly #engine: Engine;
  readonly #limits: IdempotencyLimits;
  #tree: Tree | undefined;
  #opening: Promise<void> | undefined;
  readonly #rows = new Map<number, Row>();
  /** For one record after the other. */
  readonly #writer = new ByteWriter();
  #added = 0;
  #replayed = 0;
  #refused = 0;

  constructor(engine: Engine, limits: IdempotencyLimits) {
    this.#engine = engine;
    this.#limits = limits;
  }

  /**
   * Since the node's start: writes that were remembered, writes that came again and were told what they had
   * done, and those that were refused since their key had come with another write.
   */
  get figures(): {
    readonly idempotencyRemembered: number;
    readonly idempotencyReplays: number;
    readonly idempotencyRefusals: number;
  } {
    return {
      idempotencyRemembered: this.#added,
      idempotencyReplays: this.#replayed,
      idempotencyRefusals: this.#refused,
    };
  }

  /** Where it all lies; undefined before {@link open}. */
  get tree(): Tree | undefined {
    return this.#tree;
  }

  /**
   * Makes it ready, and its tree with the first write that has a key. Undefined when it is ready.
   * @throws PairError as the engine's `createTree`; a later call tries again
   */
  open(): Promise<void> | undefined {
    if (this.#tree !== undefined) return undefined;
    this.#opening ??= this.#open().finally(() => this.#opening = undefined);
    return this.#opening;
  }

  /**
   * What a write did when it came before; undefined when it did not, or that is forgotten. Of a write that
   * still waits for its sync too: {@link replay} says when it may be told.
   * @throws PairError InvalidArgument (1000) with the detail `reason: idempotency_key_reused` when its key
   *   came with another write
   */
  find(tenant: Tree, { key, digest }: KeyedRequest, nowMs: number): Remembered | undefined {
    const at = outcomeKey(tenant.id, key);
    const value = this.#engine.getPending(this.#tree!, at);
    if (value === undefined) return undefined;
    const record = decodeOutcome(value);
    if (this.#isOld(record, nowMs)) return undefined;
    if (isSameBytes(record.digest, digest)) return { outcome: record.outcome, key: at, value };
    this.#refused++;
    throw new PairError(
      "InvalidArgument",
      "Cannot write: the idempotency key was given to another write",
      { reason: "idempotency_key_reused" },
    );
  }

  /** The outcome of a write that was here before, once it is durable. */
  async replay(found: Remembered, watch: WriteWatch | undefined): Promise<WriteOutcome> {
    const { outcome, key, value } = found;
    const tree = this.#tree!;
    if (!isSameBytes(value, this.#engine.get(tree, key))) {
      await this.#engine.write([{ tree, kind: KIND_PUT, key, value }], "write", watch);
    }
    this.#replayed++;
    return outcome;
  }

  /** For a write that {@link find} did not find, in the same step. */
  once(tenant: Tree, request: KeyedRequest, nowMs: number): Once {
    const once = {
      outcome: undefined as WriteOutcome | undefined,
      write: (
        mutations: readonly Mutation[],
        tag: OriginTag,
        outcome: WriteOutcome,
        watch: WriteWatch | undefined,
      ) => {
        once.outcome = outcome;
        const added = this.#add(tenant.id, request, outcome, nowMs);
        const handedOver = () => {
          added.settle();
          watch?.handedOver();
        };
        return this.#engine.write([...mutations, ...added.mutations], tag, { handedOver });
      },
    };
    return once;
  }

  /** Forgets a tenant that is there no more. @param tree  the number of its tree */
  async forget(tree: number): Promise<void> {
    const hidden = this.#tree ?? this.#engine.tree(TREE_NAME);
    this.#rows.delete(tree);
    if (hidden === undefined) return;
    const prefix = tenantPrefix(tree);
    // From where the one before ended: what it has deleted is not to be passed over again.
    let start: Uint8Array | undefined;
    for (;;) {
      const keys = this.#keys(hidden, { prefix, start, limit: FORGET_BATCH });
      if (keys.length === 0) return;
      await this.#engine.write(keys.map((key) => remove(hidden, key)), "delete");
      start = keys.at(-1);
    }
  }

  async #open(): Promise<void> {
    const tree = this.#engine.tree(TREE_NAME) ?? await this.#engine.createTree(TREE_NAME);
    await this.#sweep(tree);
    this.#tree = tree;
  }

  /** Forgets tenants that a crash came between to forget when they were dropped. */
  async #sweep(hidden: Tree): Promise<void> {
    for (let next = 0;;) {
      const [key] = this.#keys(hidden, { start: tenantPrefix(next), limit: 1 });
      if (key === undefined) return;
      const tree = treeOfKey(key);
      if (!this.#engine.trees().some(({ id }) => id === tree)) await this.forget(tree);
      if (tree === 0xffffffff) return;
      next = tree + 1;
    }
  }

  #keys(tree: Tree, range: ScanRange): Uint8Array[] {
    const cursor = this.#engine.scan(tree, range);
    const keys: Uint8Array[] = [];
    try {
      while (cursor.next()) keys.push(cursor.key.slice());
    } finally {
      cursor.close();
    }
    return keys;
  }

  /** What adds a write to its tenant's row, and takes old ones away. */
  #add(
    tenant: number,
    { key, digest }: KeyedRequest,
    outcome: WriteOutcome,
    timeMs: number,
  ): { mutations: Mutation[]; settle: () => void } {
    const tree = this.#tree!;
    const row = this.#row(tenant);
    const weight = Math.max(1, outcome.results.length);
    const { mutations, tail, oldest } = this.#clear(tenant, row, weight, timeMs);
    const position = row.head;
    const place: PlaceRecord = { weight, timeMs, key };
    // Behind the deletes: among them may be the one of an outcome that this key had long ago.
    mutations.push(
      put(tree, placeKey(tenant, position), encodePlace(place, this.#writer)),
      put(
        tree,
        outcomeKey(tenant, key),
        encodeOutcome({ position, weight, timeMs, digest, outcome }, this.#writer),
      ),
    );
    const settle = () => {
      this.#added++;
      row.head = position + weight;
      row.tail = tail;
      row.oldest = tail === position ? place : oldest;
    };
    return { mutations, settle };
  }

  /** Deletes of what is too old, or too much beside a write of `weight`; and where the row begins then. */
  #clear(
    tenant: number,
    { head, tail, oldest }: Row,
    weight: number,
    nowMs: number,
  ): { mutations: Mutation[]; tail: number; oldest: PlaceRecord | undefined } {
    const tree = this.#tree!;
    const mutations: Mutation[] = [];
    for (let left = weight + CLEARED_MAX; left > 0 && tail < head; left--) {
      const at = placeKey(tenant, tail);
      if (oldest === undefined) {
        const bytes = this.#engine.getPending(tree, at);
        // A place that a damaged log lost: its outcome stays, and is too old one day.
        if (bytes === undefined) {
          tail++;
          continue;
        }
        oldest = decodePlace(bytes);
      }
      const fits = head + weight - tail <= this.#limits.maxWrites;
      if (fits && !this.#isOld(oldest, nowMs)) break;
      mutations.push(remove(tree, at));
      const key = outcomeKey(tenant, oldest.key);
      if (this.#positionOf(key) === tail) mutations.push(remove(tree, key));
      tail += oldest.weight;
      oldest = undefined;
    }
    return { mutations, tail, oldest };
  }

  /** The place of an outcome; undefined when there is none. A key that was used again has another place. */
  #positionOf(key: Uint8Array): number | undefined {
    const bytes = this.#engine.getPending(this.#tree!, key);
    return bytes === undefined ? undefined : decodeOutcome(bytes).position;
  }

  /** A tenant's row, found by its two ends: nothing of it waits for its sync when it is first asked for. */
  #row(tenant: number): Row {
    let row = this.#rows.get(tenant);
    if (row !== undefined) return row;
    const prefix = placePrefix(tenant);
    const end = (reverse: boolean) => this.#keys(this.#tree!, { prefix, reverse, limit: 1 })[0];
    const [first, last] = [end(false), end(true)];
    row = { head: 0, tail: 0, oldest: undefined };
    if (first !== undefined && last !== undefined) {
      const bytes = this.#engine.get(this.#tree!, last);
      row.tail = positionOfKey(first);
      row.head = positionOfKey(last) + (bytes === undefined ? 1 : decodePlace(bytes).weight);
    }
    this.#rows.set(tenant, row);
    return row;
  }

  #isOld({ timeMs }: Pick<OutcomeRecord, "timeMs">, nowMs: number): boolean {
    return nowMs - timeMs >= this.#limits.maxAgeMs;
  }
}

function put(tree: Tree, key: Uint8Array, value: Uint8Array): Mutation {
  return { tree, kind: KIND_PUT, key, value };
}

function remove(tree: Tree, key: Uint8Array): Mutation {
  return { tree, kind: KIND_DELETE, key, value: NONE };
}
