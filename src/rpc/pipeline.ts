/**
 * The pipeline that every call of every protocol passes.
 *
 *     gate          before the body is read: starts the clock of metrics and the log, asks who calls
 *       decode      the RPC library; what it throws never meets the interceptor
 *         interceptor   refuses a call that is already over, races the rest against its deadline,
 *                       turns what services throw into statuses
 *         inflated      counts what compressed messages have become
 *         auth          asks whether the caller may touch the message's tenant
 *           service
 *     gate's end    when the library ends the call: completes the library's own errors, counts
 *
 * The library ends each call by calling `abort` of its context with the error, before it writes that
 * error out (connect 2.2.0, all three protocols): so the gate, which has put itself there, sees every
 * error, also those that no interceptor sees, and can still complete it. The call is counted once, by what
 * its client is told: see answer_end.ts.
 * @module
 */
import type { DescMethod } from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import {
  Code,
  ConnectError,
  createContextKey,
  type HandlerContext,
  type Interceptor,
} from "@connectrpc/connect";
import { ERRORS } from "../model/mod.ts";
import type { CallCounter } from "../node/mod.ts";
import type { Clock, Log, Tracer } from "../runtime/mod.ts";
import type { Registry } from "../web/mod.ts";
import { answerEndKey } from "./answer_end.ts";
import { admitCall, authInterceptor, type Authority, OPEN_AUTHORITY } from "./auth/mod.ts";
import { type CallFacts, type FactSource, requestFacts } from "./call_facts.ts";
import { CallMetrics, type Failure, failureOf } from "./call_metrics.ts";
import { isWrite, outcomeOf, SignalWatch, tellOutcome, watchKey } from "./outcomes.ts";
import { describe, detailOf, toConnectError } from "./errors.ts";
import { requestKey } from "./exchange.ts";
import { inflatedInterceptor } from "./inflated.ts";
import { SLOW_MS, SlowOperations } from "./slow_operations.ts";

/** What the pipeline needs of the world. */
export interface PipelineOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly registry: Registry;
  /** Who may call what. Default: everybody everything. */
  readonly authority?: Authority;
  /**
   * Whether every error carries an ErrorDetail, and its text is one line. Default true; services that
   * are not PairDB's have texts and details of their own.
   */
  readonly errorDetails?: boolean;
  /** Counts calls for the node's health. */
  readonly counter?: CallCounter | undefined;
  /** An operation that takes as long as this is slow, ms. Default {@link SLOW_MS}; Infinity: none is. */
  readonly slowMs?: number | undefined;
  /** Takes a span of each call. Default: nobody. */
  readonly tracer?: Tracer | undefined;
}

/** What a client is told about a failure. */
export type Status = (error: unknown) => ConnectError;

/** The pipeline: for the RPC library an interceptor and a gate, and for the short lane its parts. */
export interface Pipeline {
  readonly authority: Authority;
  readonly calls: CallMetrics;
  /** The slowest operations of the last minutes. */
  readonly slow: SlowOperations;
  readonly status: Status;
  /** Notes a failure that nobody waits for any more. */
  readonly late: (error: unknown) => void;
  readonly requestGate: (context: HandlerContext) => void;
  readonly interceptors: Interceptor[];
}

/** Makes the pipeline of one port. */
export function createPipeline(options: PipelineOptions): Pipeline {
  const { registry, clock, log, authority = OPEN_AUTHORITY, errorDetails = true } = options;
  const { counter, tracer, slowMs = SLOW_MS } = options;
  const slow = new SlowOperations({ clock, log, thresholdMs: slowMs });
  const calls = new CallMetrics({ registry, clock, log, slow, counter, tracer });
  const status: Status = (error) => toConnectError(error, log, errorDetails);
  return {
    authority,
    calls,
    slow,
    status,
    late: (error) => late(error, log),
    requestGate: (context) => {
      observe(context, { calls, status, log, clock });
      admitCall(authority, context);
      checkQuery(context, status);
    },
    interceptors: [
      guard(log, status),
      inflatedInterceptor,
      authInterceptor(authority),
      factsInterceptor,
    ],
  };
}

/** Refuses a message in a query that is no base64, for which the library would blame itself. */
function checkQuery({ requestMethod, url }: HandlerContext, status: Status): void {
  if (requestMethod !== "GET") return;
  const query = new URL(url).searchParams;
  if (query.get("base64") !== "1") return;
  try {
    base64Decode(query.get("message") ?? "");
  } catch {
    throw status(new ConnectError("the message is not base64", Code.InvalidArgument));
  }
}

/** What calls are observed with. */
interface Observers {
  readonly calls: CallMetrics;
  readonly status: Status;
  readonly log: Log;
  readonly clock: Clock;
}

/** What is noted of a call of the RPC library while it runs. */
class Noted implements FactSource {
  readonly #clock: Clock;
  readonly #beganMs: number;
  readonly #context: HandlerContext;
  #message: object | undefined;
  #askedMs: number | undefined;

  constructor(clock: Clock, beganMs: number, context: HandlerContext) {
    this.#clock = clock;
    this.#context = context;
    this.#beganMs = beganMs;
  }

  /** The service is asked now. @param message  its request; undefined: not known yet */
  asks(message: object | undefined): void {
    this.#askedMs ??= this.#clock.monotonicMs();
    this.#message ??= message;
  }

  facts(): CallFacts {
    const { requestHeader, protocolName, values } = this.#context;
    return {
      ...requestFacts(this.#message ?? {}),
      requestBytes: values.get(requestKey)?.received ?? 0,
      source: "",
      waitedMs: (this.#askedMs ?? this.#clock.monotonicMs()) - this.#beganMs,
      protocol: protocolName,
      traceparent: requestHeader.get("traceparent") ?? "",
    };
  }
}

const notedKey = createContextKey<Noted | undefined>(undefined, {
  description: "what is noted of the call",
});

/** Notes what a call asks for, behind those who may refuse it. */
const factsInterceptor: Interceptor = (next) => (request) => {
  const noted = request.contextValues.get(notedKey);
  if (noted === undefined) return next(request);
  if (!request.stream) noted.asks(request.message);
  else {
    const { message: messages } = request;
    noted.asks(undefined);
    return next({ ...request, message: tapped(messages, (message) => noted.asks(message)) });
  }
  return next(request);
};

async function* tapped<T>(messages: AsyncIterable<T>, see: (message: T) => void) {
  for await (const message of messages) {
    see(message);
    yield message;
  }
}

/** Counts one call when it ends. */
function observe(context: HandlerContext, { calls, status, log, clock }: Observers): void {
  const { signal, method } = context;
  const meter = calls.of(method);
  const start = meter.begin();
  const watch = isWrite(method) ? new SignalWatch(signal) : undefined;
  context.values.set(watchKey, watch);
  const noted = new Noted(clock, start, context);
  context.values.set(notedKey, noted);
  // The library's own object, whose type does not speak of the method.
  const own = context as HandlerContext & { abort: (reason?: unknown) => void };
  const { abort } = own;
  own.abort = (reason) => {
    if (reason instanceof ConnectError) {
      const told = status(reason);
      if (watch !== undefined) tellOutcome(told, outcomeOf(watch));
    }
    abort(reason);
    // Where the call had ended before, as one that went well, the signal does not fire again.
    if (reason instanceof ConnectError && signal.aborted) count(failureOf(reason));
  };
  let isCounted = false;
  const count = (failure: Failure | undefined) => {
    if (isCounted) return;
    isCounted = true;
    meter.end(start, failure, noted);
  };
  const end = () => {
    const failure = outcome(signal.reason, method, status, log);
    const answer = context.values.get(answerEndKey);
    // Connect writes the answer of a unary call out before it ends the call.
    const isOut = context.protocolName === "connect" && method.methodKind === "unary";
    if (failure !== undefined || isOut || answer === undefined) count(failure);
    else answer.onEnd(() => count(undefined));
  };
  // The signal lives as long as the call, so the listener does not outlive it either.
  if (signal.aborted) end();
  else signal.addEventListener("abort", end, { once: true });
}

/** The status of an ended call, by what its signal was aborted with; undefined when it went well. */
function outcome(
  reason: unknown,
  method: DescMethod,
  status: Status,
  log: Log,
): Failure | undefined {
  if (reason instanceof ConnectError) return failureOf(status(reason));
  // A call that went well is aborted without a reason, for which the platform puts in an AbortError.
  if (reason instanceof Error && reason.name === "AbortError") return undefined;
  log.error("rpc_internal_error", { method: method.name, error: describe(reason) });
  return { code: Code.Internal, number: ERRORS.Internal.code };
}

/** Deadlines and errors around the service. */
function guard(log: Log, status: Status): Interceptor {
  return (next) => async (request) => {
    const { signal } = request;
    try {
      signal.throwIfAborted();
      const response = await raced(next(request), signal, log);
      if (!response.stream) return response;
      return { ...response, message: guardStream(response.message, signal, log, status) };
    } catch (error) {
      throw status(error);
    }
  };
}

async function* guardStream<T>(
  messages: AsyncIterable<T>,
  signal: AbortSignal,
  log: Log,
  status: Status,
): AsyncGenerator<T> {
  const iterator = messages[Symbol.asyncIterator]();
  try {
    for (;;) {
      const step = await raced(iterator.next(), signal, log);
      if (step.done === true) return;
      yield step.value;
    }
  } catch (error) {
    throw status(error);
  } finally {
    // Not awaited: a service that hangs must not hold up the answer that says so.
    iterator.return?.().then(undefined, (error) => late(error, log));
  }
}

/**
 * The work's outcome, or the signal's reason, whichever comes first. Work that goes on after that is
 * not undone: what was logged is finished.
 */
function raced<T>(work: Promise<T>, signal: AbortSignal, log: Log): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort);
    work.then(
      (value) => {
        signal.removeEventListener("abort", onAbort);
        resolve(value);
      },
      (error) => {
        signal.removeEventListener("abort", onAbort);
        if (signal.aborted) late(error, log);
        reject(error);
      },
    );
  });
}

/** A failure that nobody waits for any more. */
function late(error: unknown, log: Log): void {
  const code = detailOf(toConnectError(error, log))?.code;
  log.debug("rpc_late_error", { code });
}
