/**
 * Large answers of a port: when each is made, so that what they take together is bounded, whoever asks for them,
 * by whatever protocol, and over however many connections.
 *
 *     read ─► is it small? ─► answered at once
 *              │ no, and it is nobody else's turn: a turn ──────────────┐
 *              └─ no ─► let go of it, wait for a turn ─► read it again ─┴─► encode ─► hand it over ─► end of turn
 *
 * What was large is remembered for a while, by what was asked for: the next call waits before it reads.
 *
 * A turn is given while little waits for clients on the port and on the connection; turns go round the
 * connections. Until then a call holds its request and nothing of its answer. An answer takes several times its
 * size while it is made (a value, its base64, the JSON around it, its bytes), so those of some size are made one
 * after the other; small ones never ask. Whoever waits is asked no sooner: a deadline ends the call as any other.
 * @module
 */
import { Code, ConnectError, createContextKey } from "@connectrpc/connect";
import type { Cancel, Clock } from "../runtime/mod.ts";
import { BatchGate } from "./batch_gate.ts";
import { clientGone } from "./exchange.ts";
import type { PortLimits } from "./limits.ts";

/** An answer of no more than this takes no turn. */
export const SMALL_ANSWER_BYTES = 64 * 1024;
/** Answers that are made at the same time may have this many bytes together; one alone may be larger. */
const MAKING_BYTES = 2 * 1024 * 1024;

/** Under which services find the turns of their call. */
export const turnKey = createContextKey<AnswerTurn | undefined>(undefined, {
  description: "when large answers are made",
});

/** Large answers whose size is remembered, the last ones: they are asked for again before they are read. */
const REMEMBERED = 256;

/** What an answer is remembered by. */
export function answerName(tenant: string, key: unknown, count = 1): string {
  return `${tenant}\0${key}\0${count}`;
}

/** A connection, as far as this is about it. */
export interface Taker {
  /** Bytes of answers that wait on it. */
  readonly queuedBytes: number;
}

/** What the room needs. */
export interface AnswerRoomOptions {
  readonly clock: Clock;
  readonly limits: Pick<
    PortLimits,
    "answerBytes" | "connectionAnswerBytes" | "connectionHoldBytes"
  >;
  /** Bytes of answers that wait on all connections. */
  readonly queuedBytes: () => number;
}

/** See the module. */
export class AnswerRoom {
  /** Lets few batches be read at once. */
  readonly batches: BatchGate;
  readonly #options: AnswerRoomOptions;
  /** Those who wait, by connection, in the order of the connections' turns. */
  readonly #waiting = new Map<Taker, Set<AnswerTurn>>();
  #count = 0;
  /** Bytes of answers that are being made. */
  #making = 0;
  /** Bytes of what those who wait could not let go of. */
  #held = 0;
  /** Sizes of large answers, by {@link answerName}, the longest known first. */
  readonly #sizes = new Map<string, number>();
  #waited = 0;
  #refused = 0;
  #cancel: Cancel | undefined;

  constructor(options: AnswerRoomOptions) {
    this.#options = options;
    this.batches = new BatchGate(options.clock);
  }

  /** Answers that wait for their turn. */
  get waiting(): number {
    return this.#count;
  }

  /** Answers that have had to wait. */
  get waited(): number {
    return this.#waited;
  }

  /** Answers that were refused: see {@link AnswerTurn.hold}. */
  get refused(): number {
    return this.#refused;
  }

  /** Whether somebody has a turn, or waits for one: then it is worth asking {@link expected}. */
  get isBusy(): boolean {
    return this.#count > 0 || this.#making > 0 ||
      this.#options.queuedBytes() > this.#options.limits.answerBytes;
  }

  /** How large an answer was when it was large, and turns are not free; else 0. */
  expected(name: string): number {
    return this.isBusy ? this.#sizes.get(name) ?? 0 : 0;
  }

  /** Remembers how large an answer is, where it is large. */
  learn(name: string, bytes: number): void {
    this.#sizes.delete(name);
    if (bytes <= SMALL_ANSWER_BYTES) return;
    this.#sizes.set(name, bytes);
    if (this.#sizes.size <= REMEMBERED) return;
    for (const oldest of this.#sizes.keys()) return void this.#sizes.delete(oldest);
  }

  /** The turns of one exchange. */
  of(taker: Taker): AnswerTurn {
    return new AnswerTurn(this, taker);
  }

  /** Less waits for clients than before: it may be somebody's turn, soon. */
  advance(): void {
    if (this.#count === 0) return;
    // After what is due by now: others' bytes, and the deadlines of those who wait.
    this.#cancel ??= this.#options.clock.after(0, () => {
      this.#cancel = undefined;
      this.#giveTurns();
    });
  }

  /** Gives no turns any more. */
  close(): void {
    this.batches.close();
    this.#cancel?.();
    this.#cancel = () => {};
  }

  /** @internal Takes a turn, if nobody waits and it may be. */
  tryTake(taker: Taker, bytes: number): boolean {
    if (this.#count > 0 || !this.#mayMake(bytes) || !this.#hasRoom(taker)) return false;
    this.#making += bytes;
    return true;
  }

  /** @internal */
  join(turn: AnswerTurn, taker: Taker): void {
    const own = this.#waiting.get(taker);
    if (own === undefined) this.#waiting.set(taker, new Set([turn]));
    else own.add(turn);
    this.#count++;
    this.#waited++;
    this.advance();
  }

  /** @internal */
  leave(turn: AnswerTurn, taker: Taker): void {
    const own = this.#waiting.get(taker);
    if (own === undefined || !own.delete(turn)) return;
    if (own.size === 0) this.#waiting.delete(taker);
    this.#count--;
    this.advance();
  }

  /** @internal */
  made(bytes: number): void {
    this.#making -= bytes;
    this.advance();
  }

  /** @internal Counts what a waiting answer holds, or, below 0, let go of. @returns whether it may */
  hold(bytes: number): boolean {
    const { connectionAnswerBytes: mostBytes } = this.#options.limits;
    // One alone may be larger.
    if (bytes > 0 && this.#held > 0 && this.#held + bytes > mostBytes) {
      this.#refused++;
      return false;
    }
    this.#held += bytes;
    return true;
  }

  #mayMake(bytes: number): boolean {
    if (this.#options.queuedBytes() > this.#options.limits.answerBytes) return false;
    return this.#making === 0 || this.#making + bytes <= MAKING_BYTES;
  }

  #hasRoom(taker: Taker): boolean {
    return taker.queuedBytes <= this.#options.limits.connectionHoldBytes;
  }

  #giveTurns(): void {
    for (const [taker, own] of this.#waiting) {
      const [turn] = own;
      if (!this.#mayMake(turn.bytes)) return;
      if (!this.#hasRoom(taker)) continue;
      own.delete(turn);
      this.#count--;
      // To the end: the others come first now. The iteration meets it there again.
      this.#waiting.delete(taker);
      if (own.size > 0) this.#waiting.set(taker, own);
      this.#making += turn.bytes;
      turn.given();
    }
  }
}

/** The turns of one exchange: one for each of its messages that is large. */
export class AnswerTurn {
  readonly #room: AnswerRoom;
  readonly #taker: Taker;
  #state: "none" | "waiting" | "mine" | "closed" = "none";
  #bytes = 0;
  #held = 0;
  #go: () => void = () => {};
  #drop: () => void = () => {};

  /** Use {@link AnswerRoom.of}. */
  constructor(room: AnswerRoom, taker: Taker) {
    this.#room = room;
    this.#taker = taker;
  }

  /** What is known of sizes, and the gate of batches. */
  get room(): Pick<AnswerRoom, "expected" | "learn" | "batches"> {
    return this.#room;
  }

  /** Whether there is a turn, and it is this one's. */
  get isMine(): boolean {
    return this.#state === "mine";
  }

  /** The size of what waits, or is being made. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether an answer of this size may be made now. If not, let go of it, and {@link wait}. */
  take(bytes: number): boolean {
    if (bytes <= SMALL_ANSWER_BYTES || this.#state === "mine" || this.#state === "closed") {
      return true;
    }
    if (!this.#room.tryTake(this.#taker, bytes)) return false;
    this.#bytes = bytes;
    this.#state = "mine";
    return true;
  }

  /**
   * Waits for a turn that {@link take} did not give.
   * @param go    called when it is there, never at once
   * @param drop  called in its place when the exchange ends before
   */
  wait(bytes: number, go: () => void, drop: () => void = () => {}): void {
    this.#state = "waiting";
    this.#bytes = bytes;
    this.#go = go;
    this.#drop = drop;
    this.#room.join(this, this.#taker);
  }

  /**
   * Resolves when an answer of this size may be made.
   * @throws ConnectError Canceled when the exchange ends before
   */
  async waited(bytes: number): Promise<void> {
    if (this.take(bytes)) return;
    await new Promise<void>((resolve, reject) => {
      this.wait(bytes, resolve, () => reject(clientGone()));
    });
  }

  /**
   * The same for an answer that cannot be read again, after {@link take}.
   * @throws ConnectError ResourceExhausted when too much is held so already
   */
  async hold(bytes: number): Promise<void> {
    if (!this.#room.hold(bytes)) throw noTurn();
    this.#held = bytes;
    await this.waited(bytes);
  }

  /** What was made has been handed to the connection, which counts it now; or there is nothing to make. */
  end(): void {
    if (this.#state === "none" || this.#state === "closed") return;
    const isMine = this.#state === "mine";
    this.#state = "none";
    this.#letGo();
    if (isMine) return this.#room.made(this.#bytes);
    this.#room.leave(this, this.#taker);
    this.#drop();
  }

  /** The exchange has ended: it takes no turn any more. */
  close(): void {
    this.end();
    this.#state = "closed";
  }

  /** @internal It is this one's turn. */
  given(): void {
    this.#state = "mine";
    this.#letGo();
    this.#go();
  }

  #letGo(): void {
    this.#room.hold(-this.#held);
    this.#held = 0;
  }
}

/** How to read what may be large. */
export interface LargeRead<T> {
  /** {@link answerName} */
  readonly name: string;
  readonly read: () => T | Promise<T>;
  /** The answer's size, about. */
  readonly sizeOf: (found: T) => number;
}

/**
 * Reads what may be large; when it is, and it is not its turn, lets go of it and reads it again then.
 * @param turn  undefined: nobody bounds the answer
 * @throws as the reading does; ConnectError Canceled when the exchange ends before
 */
export async function readInTurn<T extends object | undefined>(
  turn: AnswerTurn | undefined,
  how: LargeRead<T>,
): Promise<T> {
  if (turn === undefined) return await how.read();
  for (;;) {
    const found = await attempt(turn, how);
    if (typeof found !== "number") return found;
    await turn.waited(found);
  }
}

/** The same for a batch, of which few are read at once: each may hold much before its size is known. */
export async function readBatchInTurn<T extends object | undefined>(
  turn: AnswerTurn | undefined,
  how: LargeRead<T>,
): Promise<T> {
  if (turn === undefined) return await how.read();
  for (;;) {
    const found = await turn.room.batches.pass(async () => await attempt(turn, how));
    if (typeof found !== "number") return found;
    await turn.waited(found);
  }
}

/**
 * What was read, or, when it has to wait for a turn, its size. What is here is not awaited before that is known:
 * of those that are read at once none may wait with its bytes in hand.
 */
function attempt<T extends object | undefined>(
  turn: AnswerTurn,
  { name, read, sizeOf }: LargeRead<T>,
): T | number | Promise<T | number> {
  const expected = turn.room.expected(name);
  if (expected > 0 && !turn.take(expected)) return expected;
  const settle = (found: T) => {
    const bytes = sizeOf(found);
    if (turn.isMine || bytes > SMALL_ANSWER_BYTES) turn.room.learn(name, bytes);
    if (bytes <= SMALL_ANSWER_BYTES) turn.end();
    return turn.take(bytes) ? found : bytes;
  };
  const found = read();
  return found instanceof Promise ? found.then(settle) : settle(found);
}

function noTurn(): ConnectError {
  return new ConnectError(
    "too many large answers wait for clients to take them; try again later",
    Code.ResourceExhausted,
  );
}
