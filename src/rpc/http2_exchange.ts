/**
 * One exchange over HTTP/2: a stream of our own server.
 * @module
 */
import type { ConnectError } from "@connectrpc/connect";
import type { PeerCertificate } from "../runtime/mod.ts";
import type { AnswerTurn } from "./answer_room.ts";
import {
  type Answer,
  answerRefused,
  bodyLate,
  clientGone,
  type Exchange,
  fromHeaderList,
  toHeaderList,
} from "./exchange.ts";
import {
  ERROR,
  type HeaderList,
  type Http2Stream,
  type RequestHead,
  type StreamUser,
} from "./http2/mod.ts";
import { forgetLength, HeldBody, type HeldBodyOptions, Pieces } from "./request_bytes.ts";

/** A request's body, chunk by chunk. The client may send more as chunks are taken. */
export class StreamBody implements AsyncIterableIterator<Uint8Array> {
  readonly #stream: Http2Stream;
  #prepaid: number;
  readonly #pieces = new Pieces();
  #ended = false;
  #failure: unknown;
  #wake: (() => void) | undefined;

  /** @param prepaid  bytes at the beginning for which the client has had leave to send more */
  constructor(stream: Http2Stream, prepaid: number) {
    this.#stream = stream;
    this.#prepaid = prepaid;
  }

  add(bytes: Uint8Array, end: boolean): void {
    this.#pieces.add(bytes);
    this.#ended ||= end;
    this.#wake?.();
  }

  /** Makes the waiting and all later reads throw. */
  fail(reason: unknown): void {
    this.#failure ??= reason;
    this.#wake?.();
  }

  async next(): Promise<IteratorResult<Uint8Array>> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      const chunk = this.#pieces.shift();
      if (chunk !== undefined) {
        const paid = Math.min(this.#prepaid, chunk.length);
        this.#prepaid -= paid;
        this.#stream.consumed(chunk.length - paid);
        return { done: false, value: chunk };
      }
      if (this.#ended) return { done: true, value: undefined };
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

/** A stream as an exchange. */
export class Http2Exchange implements Exchange, StreamUser {
  readonly http2 = true;
  readonly httpVersion = "2.0";
  /** The streams of unsound ones were reset (request_head.ts). */
  readonly flaw = undefined;
  readonly header: Headers;
  readonly signal: AbortSignal;
  readonly secure: boolean;
  readonly peer: PeerCertificate | undefined;
  readonly #head: RequestHead;
  readonly #stream: Http2Stream;
  readonly #controller = new AbortController();
  readonly #body: StreamBody;
  readonly #held: HeldBody;
  #finished = false;
  #gone = false;
  #isSending = false;
  /** Ends the wait for room. */
  #wake: (() => void) | undefined;

  /** @param prepaid  bytes at the body's beginning for which the client has had leave to send more */
  constructor(
    stream: Http2Stream,
    head: RequestHead,
    { secure, peer }: Pick<Exchange, "secure" | "peer">,
    prepaid: number,
    held: Omit<HeldBodyOptions, "contentType" | "onLate">,
    readonly turn: AnswerTurn,
  ) {
    this.secure = secure;
    this.peer = peer;
    this.#stream = stream;
    this.#head = head;
    this.#body = new StreamBody(stream, prepaid);
    this.signal = this.#controller.signal;
    this.header = fromHeaderList(head.fields);
    this.#held = new HeldBody(this.#body, {
      ...held,
      contentType: this.header.get("content-type") ?? "",
      onLate: () => this.abort(bodyLate()),
    });
    forgetLength(this.header, held.limits.readMaxBytes);
  }

  get method(): string {
    return this.#head.method;
  }

  get target(): string {
    return this.#head.path;
  }

  get authority(): string {
    return this.#head.authority;
  }

  get body(): AsyncIterable<Uint8Array> {
    return this.#held;
  }

  get received(): number {
    return this.#held.received;
  }

  get finished(): boolean {
    return this.#finished;
  }

  /** Whether the stream ended before its answer did. */
  get gone(): boolean {
    return this.#gone;
  }

  abort(reason: ConnectError): void {
    if (this.signal.aborted) return;
    this.#body.fail(reason);
    this.#controller.abort(reason);
    // Whoever waits for room looks again, and gives up.
    this.#wake?.();
  }

  async answer(answer: Answer): Promise<void> {
    const iterator = answer.body?.[Symbol.asyncIterator]();
    const isHead = this.method === "HEAD";
    try {
      // The head waits for the first chunk: until then a handler may still set headers.
      let step = await iterator?.next();
      if (this.#gone) return;
      const isBare = (step === undefined || step.done === true) && answer.trailer === undefined;
      this.#stream.sendHeaders(toHeaderList(answer.header, answer.status), isHead || isBare);
      while (step !== undefined && step.done !== true) {
        if (this.#gone) return;
        const hasLeft = isHead || this.#send(step.value);
        // What waits is counted by the connection now.
        this.turn.end();
        if (!hasLeft) await this.#room();
        step = await iterator?.next();
      }
      if (this.#gone) return;
      if (answer.trailer !== undefined) this.#stream.sendTrailers(toHeaderList(answer.trailer));
      else this.#stream.sendData(NO_BYTES, true);
      await this.#room(true);
      this.#finished = !this.#gone;
    } finally {
      await iterator?.return?.();
    }
  }

  holdInflated(bytes: number): void {
    this.#held.holdInflated(bytes);
  }

  release(): void {
    this.turn.close();
    this.#held.release();
  }

  destroy(): void {
    this.#gone = true;
    this.#stream.reset();
    this.#wake?.();
  }

  // What the stream tells its user.

  data(bytes: Uint8Array, end: boolean): void {
    this.#body.add(bytes, end);
  }

  headers(_trailers: HeaderList, end: boolean): void {
    this.#body.add(NO_BYTES, end);
  }

  reset(code: number): void {
    if (this.#finished) return;
    this.#gone = true;
    // Our own reset of an answer that finds no room comes while it is handed over.
    const isRefused = this.#isSending && code === ERROR.ENHANCE_YOUR_CALM;
    this.abort(isRefused ? answerRefused() : clientGone());
  }

  /** Hands a chunk of the answer over. @returns whether it left at once */
  #send(bytes: Uint8Array): boolean {
    this.#isSending = true;
    try {
      return this.#stream.sendData(bytes);
    } finally {
      this.#isSending = false;
    }
  }

  drained(): void {
    this.#wake?.();
  }

  /**
   * Waits until what was sent has left.
   * @param last  the answer is whole: a call that is aborted now may still have it
   */
  async #room(last = false): Promise<void> {
    // A call that was aborted before has its answer here: it may still go out.
    const wasAborted = this.signal.aborted;
    while (this.#stream.waiting && !this.#gone) {
      await new Promise<void>((resolve) => this.#wake = resolve);
      this.#wake = undefined;
      if (!this.signal.aborted || wasAborted || !this.#stream.waiting) continue;
      // Time is up while the client does not read: it cannot be told any more.
      this.destroy();
      if (!last) throw this.signal.reason;
    }
  }
}

const NO_BYTES = new Uint8Array(0);
