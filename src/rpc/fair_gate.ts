/**
 * Shares a node that is busy among its tenants.
 *
 * While it is not, or has one tenant only, every call begins at once, and all that is done is to look now and
 * then how long a turn of the event loop takes. Once turns are long and calls are of several tenants, each
 * tenant begins no more in a turn than its quantum; the rest waits in a queue of its own, and the queues are
 * served by deficit round robin, for a moment each turn:
 *
 *     turn      what sockets bring       served from the queues       sockets  ...
 *               a a a a a a b a a        a b a c  (1 ms)
 *               within its quantum: at once, unless some of its own wait
 *
 * So whoever asks for little is served at once, and one tenant with twenty times its share waits for itself. A
 * stream asks again for each of its messages ({@link FairGate.piece}): it may last for days.
 * It ends when a turn is short, or of one tenant, and nothing waits.
 * @module
 */
import { PairError } from "../model/mod.ts";
import type { Cancel, Clock } from "../runtime/mod.ts";
import { DeficitQueue } from "./deficit_queue.ts";

/** A turn that took longer than this is a long one, ms. */
const LONG_TURN_MS = 4;
/** A turn is looked at after so many calls. */
const LOOK_EVERY = 32;
/** What a tenant may begin in a turn, in units of cost: about as many small calls. */
export const QUANTUM = 16;
/** What a stream costs at most for each of its messages. */
export const PIECE = QUANTUM;
/** How long the queues are served before sockets have their turn, ms. */
const SLICE_MS = 1;
/** Bytes of values that cost as much as a call. */
const BYTES_PER_UNIT = 4096;
/** When one that was refused may come again, ms. */
const RETRY_MS = 100;

/** Who may have gone while a call waited. */
export interface Caller {
  readonly gone: boolean;
}

/** What a call costs. @param bytes  that it writes */
export function costOf(keys: number, bytes: number): number {
  return keys + Math.floor(bytes / BYTES_PER_UNIT);
}

/** A call that waits. */
interface Waiting {
  readonly begin: () => void;
  readonly fail: (error: PairError) => void;
}

/** See the module. */
export class FairGate {
  readonly #clock: Pick<Clock, "soon" | "monotonicMs">;
  readonly #waitingMax: number;
  readonly #queue = new DeficitQueue<Waiting>(QUANTUM);
  #isBusy = false;
  #untilLook = LOOK_EVERY;
  /** Whose call came last, and whether there were others' since a turn began. */
  #last = "";
  #several = false;
  /** What tenants have begun in this turn, while busy. */
  readonly #begun = new Map<string, number>();
  #turnMs = 0;
  #cancel: Cancel | undefined;

  /** Calls that had to wait. */
  waited = 0;
  /** Calls that were refused since too many of their tenant's waited. */
  refused = 0;

  /** @param waitingMax  calls of one tenant that may wait; one more is refused */
  constructor(clock: Pick<Clock, "soon" | "monotonicMs">, waitingMax: number) {
    this.#clock = clock;
    this.#waitingMax = waitingMax;
  }

  /** Calls that wait. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** Whether calls are shared out. */
  get isBusy(): boolean {
    return this.#isBusy;
  }

  /** Whether a call may begin at once; it is counted as begun then. If not, {@link later} takes it. */
  isOpen(tenant: string, cost: number): boolean {
    if (tenant !== this.#last) {
      if (this.#last !== "") this.#several = true;
      this.#last = tenant;
    }
    if (!this.#isBusy) {
      if (--this.#untilLook === 0) this.#look();
      return true;
    }
    if (this.#queue.lengthOf(tenant) > 0) return false;
    const begun = this.#begun.get(tenant) ?? 0;
    // The first of a turn may cost more than a quantum: there is nothing of its tenant that it could follow.
    if (begun > 0 && begun + cost > QUANTUM) return false;
    this.#begun.set(tenant, begun + cost);
    return true;
  }

  /**
   * Begins a call, at once or when it is its tenant's turn.
   * @throws PairError ResourceExhausted (2008) as {@link later}
   */
  run<T>(
    tenant: string,
    cost: number,
    call: () => T | Promise<T>,
    caller: Caller | undefined,
  ): T | Promise<T> {
    return this.isOpen(tenant, cost) ? call() : this.later(tenant, cost, call, caller);
  }

  /**
   * Resolves when it is its tenant's turn for the next piece of a stream that has begun; undefined: it may be done at
   * once. Never refused: such streams are few, and each waits for one piece.
   */
  piece(tenant: string, cost: number): Promise<void> | undefined {
    return this.isOpen(tenant, cost) ? undefined : this.#wait(tenant, cost, () => {}, undefined);
  }

  /**
   * Begins a call when it is its tenant's turn; one whose caller has gone is never begun.
   * @throws PairError ResourceExhausted (2008) when too many of the tenant's wait
   */
  later<T>(
    tenant: string,
    cost: number,
    call: () => T | Promise<T>,
    caller: Caller | undefined,
  ): Promise<T> {
    if (this.#queue.lengthOf(tenant) >= this.#waitingMax) {
      this.refused++;
      throw new PairError(
        "ResourceExhausted",
        `Cannot serve the request: ${this.#waitingMax} of the tenant's wait already. Try again later`,
        { reason: "tenant_queue", limit: this.#waitingMax, retry_after_ms: RETRY_MS },
      );
    }
    return this.#wait(tenant, cost, call, caller);
  }

  /** Fails what waits, and stops looking. */
  close(): void {
    this.#cancel?.();
    this.#cancel = () => {};
    this.#isBusy = false;
    for (let next = this.#queue.next(); next !== undefined; next = this.#queue.next()) {
      next.fail(new PairError("Unavailable", "Cannot serve the request: the server is closing"));
    }
  }

  #wait<T>(
    tenant: string,
    cost: number,
    call: () => T | Promise<T>,
    caller: Caller | undefined,
  ): Promise<T> {
    this.waited++;
    return new Promise<T>((resolve, reject) => {
      const begin = () => {
        if (caller?.gone) return reject(abandoned());
        try {
          resolve(call());
        } catch (error) {
          reject(error);
        }
      };
      this.#queue.push(tenant, { begin, fail: reject }, cost);
    });
  }

  /** Looks how long a turn takes, from here on. */
  #look(): void {
    this.#untilLook = LOOK_EVERY;
    if (this.#cancel !== undefined) return;
    this.#several = false;
    this.#turnMs = this.#clock.monotonicMs();
    this.#cancel = this.#clock.soon(() => this.#endTurn());
  }

  /** The end of a turn that was looked at. */
  #endTurn(): void {
    this.#cancel = undefined;
    const nowMs = this.#clock.monotonicMs();
    const isLong = nowMs - this.#turnMs >= LONG_TURN_MS;
    this.#isBusy = this.#queue.length > 0 || (isLong && this.#several);
    if (!this.#isBusy) return;
    this.#begun.clear();
    this.#several = this.#queue.keys > 1;
    this.#turnMs = nowMs;
    // Also where nothing waits: the next turn has quanta of its own.
    this.#cancel = this.#clock.soon(() => this.#endTurn());
    this.#serve(nowMs + SLICE_MS);
  }

  #serve(untilMs: number): void {
    do {
      const next = this.#queue.next();
      if (next === undefined) return;
      next.begin();
    } while (this.#clock.monotonicMs() < untilMs);
  }
}

function abandoned(): PairError {
  return new PairError("Unavailable", "Cannot serve the request: the caller did not wait");
}
