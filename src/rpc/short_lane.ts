/**
 * The short lane: unary gRPC, from a stream's frames to the method and back, without Request, Headers or
 * any stream object.
 *
 *     head ─► is it for this lane? ─► body ─► is it one whole message? ─► decode ─► method ─► answer
 *                   │ no                            │ no                     │ no
 *                   └───────────────────────────────┴────────────────────────┴─► the RPC library
 *
 * Whatever is out of the ordinary, such as compression, a malformed message, a timeout that is none, goes on
 * in the RPC library with all its bytes: so it is told in one place only what is wrong with it. Both
 * lanes ask the same gate, call the same methods, count with the same meters, and tell failures with the
 * same words.
 *
 * Work begins after all frames of a chunk were looked at: a call that is reset at once costs nothing.
 * @module
 */
import { type DescMethod, fromBinary } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { parseTimeout, setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { ERRORS, PairError } from "../model/mod.ts";
import type { Clock } from "../runtime/mod.ts";
import type { OriginRequest, OriginVerdict } from "../web/mod.ts";
import { type AnswerRoom, type AnswerTurn, SMALL_ANSWER_BYTES } from "./answer_room.ts";
import { admit, ANONYMOUS, authoriseTenant, OPEN_AUTHORITY, ruleOf } from "./auth/mod.ts";
import type { Identity, MethodRule } from "./auth/mod.ts";
import { type CallFacts, type FactSource, requestFacts } from "./call_facts.ts";
import { type CallMeter, CANCELLED, type Failure, failureOf } from "./call_metrics.ts";
import { Deadlines, Timed } from "./deadlines.ts";
import { deadlineExceeded, timeUp } from "./errors.ts";
import { toHeaderList } from "./exchange.ts";
import {
  fieldOf,
  type HeaderList,
  type Http2Stream,
  type RequestHead,
  type ServerConnection,
  type StreamUser,
  type Task,
  writeUint32,
} from "./http2/mod.ts";
import type { Pipeline } from "./pipeline.ts";
import {
  isWrite,
  outcomeOf,
  tellOutcome,
  type WatchedCall,
  type WriteOutcome,
} from "./outcomes.ts";
import type { PortLimits } from "./limits.ts";
import { type BodyRoom, lengthIn, noRoom, Pieces } from "./request_bytes.ts";
import { type Encoder, MalformedMessage } from "./wire/mod.ts";

/** A method as this lane calls it. */
export interface ShortMethod<Output> {
  readonly desc: DescMethod;
  /** The longest that a call takes, ms. */
  readonly timeoutMs: number;
  /**
   * Decodes a request, has its tenant authorised ({@link ShortCall.authorise}) and begins the call.
   * @throws MalformedMessage when the bytes are no message, or one that the RPC library is to refuse
   */
  begin(message: Uint8Array, call: ShortCall): Output | Promise<Output>;
  readonly answer: Encoder<Output>;
  /** What a large answer is remembered by. @throws as {@link begin} */
  readonly name?: ((message: Uint8Array) => string) | undefined;
}

/** A method whose output nobody looks into here. */
// deno-lint-ignore no-explicit-any -- each method's output goes to its own encoder only
export type AnyShortMethod = ShortMethod<any>;

/** What the lane stands on. */
export interface ShortLaneOptions {
  readonly clock: Clock;
  readonly pipeline: Pipeline;
  readonly limits: PortLimits;
  readonly routes: ReadonlyMap<string, { readonly short: AnyShortMethod | undefined }>;
  readonly judge: (request: OriginRequest) => OriginVerdict;
  readonly room: BodyRoom;
  readonly answers: AnswerRoom;
  /** Goes on with a call in the RPC library. @param prepaid  bytes that the client may replace already */
  readonly takeOver: (
    stream: Http2Stream,
    head: RequestHead,
    connection: ServerConnection,
    prepaid: number,
  ) => StreamUser;
}

/** A failure, as it is told. */
interface Told {
  readonly failure: Failure;
  readonly trailers: HeaderList;
}

/** What calls share. */
interface LaneParts extends ShortLaneOptions {
  /** The failure that was told last: what a method answers again and again is one object. */
  readonly last: { error?: PairError; outcome?: WriteOutcome | undefined; told?: Told };
}

/** What a head means for this lane; the same head is read once. */
class Plan {
  constructor(
    readonly method: AnyShortMethod,
    /** What the method asks of its caller; undefined where nobody is asked. */
    readonly rule: MethodRule | undefined,
    /** Who the client says that it is. */
    readonly authorization: string | undefined,
    readonly meter: CallMeter,
    /** What the client allows, ms; undefined: it did not say. */
    readonly clientMs: number | undefined,
  ) {}
}

/** The note of a head that is not for this lane. */
const NO_PLAN = "not for the short lane";
const PREFIX_BYTES = 5;
const GRPC_TYPES: ReadonlySet<string> = new Set(["application/grpc", "application/grpc+proto"]);
/** What every answer begins with, and what a good one ends with. */
const OK_HEADERS: HeaderList = [":status", "200", "content-type", "application/grpc+proto"];
const OK_TRAILERS: HeaderList = ["grpc-status", "0"];
const NO_HEADER = new Headers();

/** The short lane of one port. */
export class ShortLane {
  readonly deadlines: Deadlines;
  readonly #options: LaneParts;

  constructor(options: ShortLaneOptions) {
    this.#options = { ...options, last: {} };
    this.deadlines = new Deadlines(options.clock);
  }

  /** Takes a call; undefined when it is not for this lane. */
  open(
    stream: Http2Stream,
    head: RequestHead,
    connection: ServerConnection,
  ): StreamUser | undefined {
    head.note ??= this.#plan(head, connection) ?? NO_PLAN;
    const plan = head.note;
    if (!(plan instanceof Plan) || stream.remoteClosed) return undefined;
    const call = new ShortCall(this.#options, this.deadlines, plan, stream, head, connection);
    connection.defer(call);
    return call;
  }

  /** Ends all running calls. @param reason  makes each one's, which says what became of its write */
  abort(reason: () => ConnectError): void {
    this.deadlines.clearAll((call) => call.fail(reason()));
  }

  /** Stops the timer. */
  close(): void {
    this.deadlines.close();
  }

  #plan(head: RequestHead, { secure }: ServerConnection): Plan | undefined {
    const { routes, judge, limits, pipeline } = this.#options;
    const method = routes.get(head.path)?.short;
    if (method === undefined || head.method !== "POST") return undefined;
    const { fields, authority } = head;
    if (!GRPC_TYPES.has(fieldOf(fields, "content-type") ?? "")) return undefined;
    if ((fieldOf(fields, "grpc-encoding") ?? "identity") !== "identity") return undefined;
    // A page's call needs headers of its own in the answer; a foreign host needs a refusal.
    if (fieldOf(fields, "origin") !== undefined) return undefined;
    const verdict = judge({ method: head.method, header: NO_HEADER, authority, secure });
    if (verdict.kind !== "serve") return undefined;
    // Of several nobody may choose one.
    if (countOf(fields, "authorization") > 1) return undefined;
    const authorization = fieldOf(fields, "authorization");
    const rule = pipeline.authority === OPEN_AUTHORITY ? undefined : ruleOf(method.desc);
    const timeout = fieldOf(fields, "grpc-timeout");
    const { timeoutMs: clientMs, error } = timeout === undefined
      ? { timeoutMs: undefined, error: undefined }
      : parseTimeout(timeout, limits.streamTimeoutMs);
    if (error !== undefined || (clientMs !== undefined && clientMs <= 0)) return undefined;
    return new Plan(method, rule, authorization, pipeline.calls.of(method.desc), clientMs);
  }
}

/** One call. */
export class ShortCall extends Timed implements StreamUser, Task, WatchedCall, FactSource {
  readonly head: RequestHead;
  readonly clientMs: number | undefined;
  /** Headers and trailers that the method adds to its answer, also to one that is a failure. */
  own: { readonly header: Headers; readonly trailer: Headers } | undefined;
  readonly #options: LaneParts;
  readonly #deadlines: Deadlines;
  readonly #method: AnyShortMethod;
  readonly #rule: MethodRule | undefined;
  readonly #authorization: string | undefined;
  /** Who calls, once that was asked. */
  #identity: Identity | undefined;
  readonly #meter: CallMeter;
  readonly #stream: Http2Stream;
  readonly #connection: ServerConnection;
  readonly #startMs: number;
  #body: Uint8Array = NO_BYTES;
  /** A body that came in pieces, which are joined when it is whole; room was taken for it. */
  #pieces: Pieces | undefined;
  #received = 0;
  /** The body is whole. */
  #whole = false;
  /** Is in the connection's list of things to begin. */
  #deferred = true;
  #ended = false;
  #isHandedOver = false;
  /** When the method was asked, where it could not be at once. */
  #askedMs = 0;
  /** What it answered. */
  #output: unknown;
  #controller: AbortController | undefined;
  /** Of an answer that is large. */
  #turn: AnswerTurn | undefined;

  constructor(
    options: LaneParts,
    deadlines: Deadlines,
    { method, rule, authorization, meter, clientMs }: Plan,
    stream: Http2Stream,
    head: RequestHead,
    connection: ServerConnection,
  ) {
    super();
    this.#options = options;
    this.#deadlines = deadlines;
    this.#method = method;
    this.#rule = rule;
    this.#authorization = authorization;
    this.#meter = meter;
    this.clientMs = clientMs;
    this.#stream = stream;
    this.head = head;
    this.#connection = connection;
    this.#startMs = meter.begin();
  }

  // What the node asks and tells of a write.

  get gone(): boolean {
    return this.#ended;
  }

  handedOver(): void {
    this.#isHandedOver = true;
  }

  get isHandedOver(): boolean {
    return this.#isHandedOver;
  }

  /** When its answer is made, where that is large. */
  get turn(): AnswerTurn {
    return this.#turn ??= this.#options.answers.of(this.#connection);
  }

  /** Aborted when the call ends, however it does. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    return this.#controller.signal;
  }

  // What the stream tells its user.

  data(bytes: Uint8Array, end: boolean): void {
    if (this.#ended) return;
    if (end && this.#pieces === undefined) {
      this.#body = bytes;
      this.#received = bytes.length;
    } else this.#collect(bytes);
    if (!end || this.#ended) return;
    this.#whole = true;
    if (this.#deferred) return;
    this.#deferred = true;
    this.#connection.defer(this);
  }

  headers(_trailers: HeaderList, end: boolean): void {
    this.data(NO_BYTES, end);
  }

  reset(): void {
    this.#end(CANCELLED);
  }

  drained(): void {}

  override expire(): void {
    this.fail(this.#isClientsDeadline() ? deadlineExceeded() : timeUp());
  }

  // The call.

  begin(): void {
    this.#deferred = false;
    if (this.#ended || !this.#isAdmitted()) return;
    if (!this.#whole) return this.#setDeadline();
    if (this.after !== this) this.#askedMs = this.#options.clock.monotonicMs();
    const message = this.#message();
    if (message === undefined) return this.#handOver();
    try {
      if (!this.#mayRead(message)) return;
      const output = this.#method.begin(message, this);
      if (output instanceof Promise) {
        this.#setDeadline();
        output.then((value) => this.#settle(value), (error) => this.#settleBadly(error));
      } else this.#answer(output);
    } catch (error) {
      if (error instanceof MalformedMessage) this.#handOver();
      else this.fail(error);
    }
  }

  /**
   * Judges the tenant that the request names, before the method does anything.
   * @throws ConnectError PermissionDenied
   */
  authorise(tenant: unknown): void {
    if (this.#rule === undefined) return;
    const { authority } = this.#options.pipeline;
    // Nobody comes here who was not admitted.
    authoriseTenant(authority, this.#identity ?? ANONYMOUS, this.#rule, tenant);
  }

  #settleBadly(error: unknown): void {
    if (this.#ended) this.#options.pipeline.late(error);
    else this.fail(error);
  }

  /** Ends the call with a failure. Does nothing when it has ended. */
  override fail(error: unknown): void {
    if (this.#ended) return;
    const { failure, trailers } = this.#told(error);
    this.#end(failure);
    this.#stream.sendHeaders(withOwn(OK_HEADERS, this.own?.header));
    this.#stream.sendTrailers(trailers);
  }

  /** What is left of the client's deadline, ms; undefined when it named none. */
  timeLeftMs(): number | undefined {
    if (this.clientMs === undefined) return undefined;
    return this.#startMs + this.clientMs - this.#options.clock.monotonicMs();
  }

  #settle(output: unknown): void {
    if (this.#ended) return;
    try {
      this.#answer(output);
    } catch (error) {
      this.fail(error);
    }
  }

  /** What the client is told of a failure. */
  #told(error: unknown): Told {
    const { last, pipeline } = this.#options;
    const isPlain = error instanceof PairError && this.own === undefined;
    const outcome = isWrite(this.#method.desc) ? outcomeOf(this) : undefined;
    // A log that failed has one error for those who were in it and for all who come later.
    const isLast = last.error === error && last.outcome === outcome;
    if (isPlain && isLast && last.told !== undefined) return last.told;
    const status = pipeline.status(error);
    if (outcome !== undefined) tellOutcome(status, outcome);
    const trailer = new Headers(this.own?.trailer);
    setTrailerStatus(trailer, status);
    const told = { failure: failureOf(status), trailers: toHeaderList(trailer) };
    if (isPlain) Object.assign(last, { error, outcome, told });
    return told;
  }

  /** Asks who calls, once, before the body is waited for; ends the call of who may not. */
  #isAdmitted(): boolean {
    if (this.#rule === undefined || this.#identity !== undefined) return true;
    try {
      const { authority } = this.#options.pipeline;
      const { peer } = this.#connection;
      this.#identity = admit(authority, this.#rule, this.#authorization, peer);
      return true;
    } catch (error) {
      this.fail(error);
      return false;
    }
  }

  #isClientsDeadline(): boolean {
    return this.clientMs !== undefined && this.clientMs <= this.#method.timeoutMs;
  }

  #setDeadline(): void {
    if (this.after !== this) return;
    const allowedMs = Math.min(this.clientMs ?? Infinity, this.#method.timeoutMs);
    this.#deadlines.set(this, this.#startMs + allowedMs);
  }

  #collect(bytes: Uint8Array): void {
    const { room, limits: { readMaxBytes } } = this.#options;
    if (!room.take(this.#connection, bytes.length)) return this.fail(noRoom());
    const pieces = this.#pieces ??= new Pieces();
    pieces.add(bytes);
    this.#received += bytes.length;
    // The window goes on at once: a message may be larger than it, and is bounded by its own limit.
    this.#stream.consumed(bytes.length);
    if (this.#received < PREFIX_BYTES) return;
    // By the declared length: what is too large is refused before it is here.
    const declared = lengthIn(pieces.peek(PREFIX_BYTES));
    if (declared > readMaxBytes || this.#received > declared + PREFIX_BYTES) this.#handOver();
  }

  /** The message of a whole body; undefined when that is not exactly one plain message. */
  #message(): Uint8Array | undefined {
    if (this.#pieces !== undefined) this.#body = this.#pieces.join();
    const body = this.#body;
    if (body.length < PREFIX_BYTES || body[0] !== 0) return undefined;
    const length = lengthIn(body);
    if (length > this.#options.limits.readMaxBytes) return undefined;
    return length + PREFIX_BYTES === body.length ? body.subarray(PREFIX_BYTES) : undefined;
  }

  /** Goes on in the RPC library, as if the call had gone there from the beginning. */
  #handOver(): void {
    const pieces = this.#pieces;
    this.#ended = true;
    // The long lane takes room of its own.
    this.#giveRoom();
    this.#deadlines.clear(this);
    this.#meter.forget();
    const stream = this.#stream;
    const { takeOver } = this.#options;
    stream.user = takeOver(stream, this.head, this.#connection, pieces?.bytes ?? 0);
    stream.user.data(pieces?.join() ?? this.#body, false);
    if (this.#whole) stream.user.data(NO_BYTES, true);
  }

  #answer(output: unknown): void {
    const { answer } = this.#method;
    this.#output = output;
    const { writeMaxBytes } = this.#options.limits;
    const bound = answer.bound(output) + PREFIX_BYTES;
    this.#learn(bound);
    const isPlain = this.own === undefined && bound <= writeMaxBytes;
    if (isPlain && this.#connection.hasRoom(this.#stream, bound)) {
      this.#end(undefined);
      return this.#connection.answer(this.#stream, OK_HEADERS, OK_TRAILERS, bound, (into, at) => {
        const end = answer.write(output, into, at + PREFIX_BYTES);
        putPrefix(into, at, end - at - PREFIX_BYTES);
        return end;
      });
    }
    if (!this.#isTurn(bound)) return;
    const stream = this.#stream;
    if (!this.#connection.mayQueue(stream, bound) && bound > stream.sendWindow.bytes) {
      // What clients of gRPC make of the reset that they get.
      this.#end({ code: Code.ResourceExhausted, number: ERRORS.ResourceExhausted.code });
      return this.#connection.refuseAnswer(stream);
    }
    const bytes = new Uint8Array(bound);
    const end = answer.write(output, bytes, PREFIX_BYTES);
    const length = end - PREFIX_BYTES;
    if (length > writeMaxBytes) throw tooLarge(length, writeMaxBytes);
    putPrefix(bytes, 0, length);
    this.#end(undefined);
    this.#stream.sendHeaders(withOwn(OK_HEADERS, this.own?.header));
    this.#stream.sendData(bytes.subarray(0, end));
    this.#stream.sendTrailers(withOwn(OK_TRAILERS, this.own?.trailer));
  }

  /** Whether a call may begin whose answer was large when it was asked for last. */
  #mayRead(message: Uint8Array): boolean {
    const { answers } = this.#options;
    const { name } = this.#method;
    if (name === undefined || !answers.isBusy) return true;
    return this.#isTurn(answers.expected(name(message)));
  }

  /** Remembers an answer that is large, or was. */
  #learn(bytes: number): void {
    if (bytes <= SMALL_ANSWER_BYTES && this.#turn === undefined) return;
    const message = this.#method.name === undefined ? undefined : this.#message();
    if (message !== undefined) this.#options.answers.learn(this.#method.name!(message), bytes);
  }

  /** Whether a large answer may be made now; if not, the call is begun again when it may. */
  #isTurn(bytes: number): boolean {
    if (bytes <= SMALL_ANSWER_BYTES || !this.#isRepeatable()) return true;
    const { turn } = this;
    if (turn.take(bytes)) return true;
    this.#setDeadline();
    turn.wait(bytes, () => this.begin());
    return false;
  }

  #isRepeatable(): boolean {
    return this.#method.desc.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
  }

  /** What is known of the call, for the list of slow ones. */
  facts(): CallFacts {
    const message = this.#whole ? this.#message() : undefined;
    const { source } = (this.#output ?? {}) as { source?: unknown };
    return {
      ...this.#requestFacts(message),
      requestBytes: this.#received,
      source: typeof source === "string" ? source : "",
      waitedMs: this.#askedMs === 0 ? 0 : this.#askedMs - this.#startMs,
      protocol: "grpc",
      traceparent: fieldOf(this.head.fields, "traceparent") ?? "",
    };
  }

  #requestFacts(message: Uint8Array | undefined) {
    if (message === undefined) return requestFacts({});
    try {
      return requestFacts(fromBinary(this.#method.desc.input, message));
    } catch {
      // The other lane has told what is wrong with it.
      return requestFacts({});
    }
  }

  #end(failure: Failure | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#deadlines.clear(this);
    this.#giveRoom();
    // Also before an answer is handed over: the next turn begins after this step.
    this.#turn?.close();
    this.#meter.end(this.#startMs, failure, this);
    // The answer may be large, and this object stays until it is sent.
    this.#output = undefined;
    this.#controller?.abort();
  }

  #giveRoom(): void {
    if (this.#pieces !== undefined) this.#options.room.give(this.#connection, this.#received);
  }
}

const NO_BYTES = new Uint8Array(0);

function countOf(fields: HeaderList, name: string): number {
  let count = 0;
  for (let i = 0; i < fields.length; i += 2) if (fields[i] === name) count++;
  return count;
}

function withOwn(usual: HeaderList, own: Headers | undefined): HeaderList {
  return own === undefined ? usual : [...usual, ...toHeaderList(own)];
}

/** Writes the prefix of a message that is not compressed. */
function putPrefix(into: Uint8Array, at: number, length: number): void {
  into[at] = 0;
  writeUint32(into, at + 1, length);
}

function tooLarge(bytes: number, limit: number): ConnectError {
  return new ConnectError(
    `message size ${bytes} is larger than configured writeMaxBytes ${limit}`,
    Code.ResourceExhausted,
  );
}
