/**
 * The slowest operations of the last minutes, and a line in the log for each that took too long.
 *
 *     now ─┬─ 10 s ─┬─ 10 s ─┬─ … ─┬─ 10 s ─┐
 *          │ the 32 │ the 32 │     │ the 32 │   of each 10 s the slowest, whatever they took;
 *          │slowest │slowest │     │slowest │   after 5 minutes they are forgotten
 *
 * For a call that is not among them it costs a comparison. Memory is bounded by slots and what is kept of
 * a call; keys are cut. The log gets no key, only its hash, and at most {@link LINES_MAX} lines in 10 s: the
 * rest is counted.
 * @module
 */
import type { Clock, Log } from "../runtime/mod.ts";
import { type CallFacts, type FactSource, keyHash } from "./call_facts.ts";
import type { Operation } from "./operations.ts";

const SLOT_MS = 10_000;
const SLOTS = 30;
const KEPT_MAX = 32;
const KEY_CHARS_MAX = 64;
/** Lines of slow operations in each 10 s. */
export const LINES_MAX = 20;

/** How long operations are remembered, ms. */
export const REMEMBERED_MS = SLOT_MS * SLOTS;

/** A call that ended. */
export interface EndedCall {
  readonly operation: Operation;
  /** Its full name, `pairdb.v1.KeyValueService/Put`. */
  readonly method: string;
  /** How it ended, in Connect's words; `ok`. */
  readonly code: string;
  readonly elapsedMs: number;
}

/** One of the slowest operations. */
export interface SlowOperation extends EndedCall, CallFacts {
  /** Monotonic, ms. */
  readonly endedMs: number;
  /** Wall time of its begin, ms since 1970. */
  readonly startedAtMs: number;
  /** Names the key where that must not stand. */
  readonly keyHash: string;
  /** The key is longer than what is kept of it. */
  readonly keyCut: boolean;
}

/** Which operations are asked for. */
export interface SlowQuery {
  /** Those that ended within so many ms; 0: all that are remembered. */
  readonly withinMs: number;
  /** At most so many; 0: 10. */
  readonly limit: number;
  /** Of one tenant; empty: of all. */
  readonly tenant: string;
}

/** Where it writes, and from when on an operation is slow. */
export interface SlowOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** An operation that takes as long as this is slow, ms; Infinity: none is. */
  readonly thresholdMs: number;
}

/** From when on an operation is slow, ms, unless told. */
export const SLOW_MS = 100;

interface Slot {
  readonly beganMs: number;
  readonly kept: SlowOperation[];
}

/** The slow operations of one port. */
export class SlowOperations {
  /** Operations that took as long as the threshold, since the start. */
  count = 0;
  readonly #options: SlowOptions;
  /** Oldest first. */
  readonly #slots: Slot[] = [];
  #slotEndsMs = -Infinity;
  /** What an operation has to exceed to be kept. */
  #floorMs = -Infinity;
  #lines = 0;
  #unwritten = 0;

  constructor(options: SlowOptions) {
    this.#options = options;
  }

  /** Whether {@link note} would do anything with a call: cheap, and asked for each one. */
  wants(elapsedMs: number, nowMs: number): boolean {
    return elapsedMs > this.#floorMs || nowMs >= this.#slotEndsMs ||
      elapsedMs >= this.#options.thresholdMs;
  }

  /** Takes note of a call. @param nowMs  monotonic time, its end */
  note(call: EndedCall, nowMs: number, source: FactSource): void {
    if (nowMs >= this.#slotEndsMs) this.#turn(nowMs);
    const { clock, thresholdMs } = this.#options;
    const isSlow = call.elapsedMs >= thresholdMs;
    if (isSlow) this.count++;
    const isWritten = isSlow && ++this.#lines <= LINES_MAX;
    if (isSlow && !isWritten) this.#unwritten++;
    if (!isWritten && call.elapsedMs <= this.#floorMs) return;
    const facts = source.facts();
    const kept: SlowOperation = {
      ...call,
      ...facts,
      // Of one that was refused before the node was asked, it is read a moment after the end.
      waitedMs: Math.min(facts.waitedMs, call.elapsedMs),
      key: facts.key.slice(0, KEY_CHARS_MAX),
      keyCut: facts.key.length > KEY_CHARS_MAX,
      keyHash: keyHash(facts.key),
      endedMs: nowMs,
      startedAtMs: clock.wallMs() - Math.round(call.elapsedMs),
    };
    if (isWritten) this.#write(kept);
    if (call.elapsedMs > this.#floorMs) this.#keep(kept);
  }

  /** The slowest, slowest first. */
  list({ withinMs, limit, tenant }: SlowQuery): SlowOperation[] {
    const sinceMs = this.#options.clock.monotonicMs() - (withinMs || REMEMBERED_MS);
    return this.#slots.flatMap(({ kept }) => kept)
      .filter((each) => each.endedMs >= sinceMs && (tenant === "" || each.tenant === tenant))
      .sort((a, b) => b.elapsedMs - a.elapsedMs)
      .slice(0, limit || 10);
  }

  #turn(nowMs: number): void {
    const slots = this.#slots;
    while (slots.length > 0 && slots[0].beganMs < nowMs - REMEMBERED_MS) slots.shift();
    slots.push({ beganMs: nowMs, kept: [] });
    this.#slotEndsMs = nowMs + SLOT_MS;
    this.#floorMs = -Infinity;
    if (this.#unwritten > 0) {
      this.#options.log.warn("slow_operations_not_logged", { count: this.#unwritten });
    }
    this.#lines = this.#unwritten = 0;
  }

  #keep(operation: SlowOperation): void {
    const { kept } = this.#slots[this.#slots.length - 1];
    if (kept.length === KEPT_MAX) {
      kept.splice(kept.findIndex(({ elapsedMs }) => elapsedMs === this.#floorMs), 1);
    }
    kept.push(operation);
    if (kept.length < KEPT_MAX) return;
    this.#floorMs = Math.min(...kept.map(({ elapsedMs }) => elapsedMs));
  }

  #write(slow: SlowOperation): void {
    this.#options.log.warn("slow_operation", {
      operation: slow.operation,
      method: slow.method,
      code: slow.code,
      tenant: slow.tenant,
      key_hash: slow.keyHash,
      keys: slow.keys,
      bytes: slow.requestBytes,
      elapsed_ms: round(slow.elapsedMs),
      waited_ms: round(slow.waitedMs),
      source: slow.source || undefined,
    });
  }
}

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
