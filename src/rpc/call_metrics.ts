/**
 * Counts and times calls, for both lanes alike.
 * @module
 */
import type { DescMethod } from "@bufbuild/protobuf";
import { Code, type ConnectError } from "@connectrpc/connect";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import type { CallCounter } from "../node/mod.ts";
import type { Clock, Log, Tracer } from "../runtime/mod.ts";
import {
  type Counter,
  type Histogram,
  Latency,
  QUANTILES,
  type Registry,
  type Sample,
  type SeriesCounter,
  type SeriesHistogram,
} from "../web/mod.ts";
import type { CallFacts, FactSource } from "./call_facts.ts";
import { detailOf } from "./errors.ts";
import { type Operation, operationOf } from "./operations.ts";
import { type Refusal, refusalOf } from "./refusals.ts";
import type { SlowOperations } from "./slow_operations.ts";

/** How a call failed. */
export interface Failure {
  readonly code: Code;
  /** Its number in the error table; 0: none. */
  readonly number: number;
  /** Why the node turned the call away; undefined: it did not. */
  readonly refusal?: Refusal | undefined;
}

/** What a client was told, as it is counted. */
export function failureOf(error: ConnectError): Failure {
  const { code } = error;
  const { code: number = 0, details } = detailOf(error) ?? {};
  return { code, number, refusal: refusalOf(code, number, details?.reason) };
}

/** A client that went away. */
export const CANCELLED: Failure = { code: Code.Canceled, number: 0 };

/**
 * Errors that are the node's own fault, and make it unhealthy when there are many: damage, bugs, a failing
 * disk. What a client asked for in vain, a full disk or short memory refuses, and a deadline that passed
 * say nothing of the kind.
 */
const OWN_FAULTS: ReadonlySet<number> = new Set([1006, 2000, 2004, 2005, 2006, 2007]);

/** What calls are counted for. */
export interface CallMetricsOptions {
  readonly registry: Registry;
  readonly clock: Clock;
  readonly log: Log;
  readonly slow: SlowOperations;
  /** For the node's health. */
  readonly counter?: CallCounter | undefined;
  readonly tracer?: Tracer | undefined;
}

/** The calls of one port. */
export class CallMetrics {
  readonly #options: CallMetricsOptions;
  readonly #calls: Counter;
  readonly #errors: Counter;
  readonly #refusals: Counter;
  readonly #seconds: Histogram;
  readonly #running: SeriesCounter;
  readonly #meters = new Map<DescMethod, CallMeter>();
  readonly #latencies = new Map<Operation, Latency>();

  constructor(options: CallMetricsOptions) {
    const { registry, clock, slow } = options;
    this.#options = options;
    this.#calls = registry.counter(
      "pairdb_rpc_calls_total",
      "Calls that ended, by method and status.",
      ["service", "method", "code"],
    );
    this.#errors = registry.counter(
      "pairdb_errors_total",
      "Calls that failed, by operation, by whose fault it was (client, server) and by number.",
      ["operation", "class", "code"],
    );
    this.#refusals = registry.counter(
      "pairdb_refusals_total",
      "Calls that were turned away, by operation and by why: input, guards, shares, callers.",
      ["operation", "reason"],
    );
    this.#seconds = registry.histogram(
      "pairdb_rpc_duration_seconds",
      "Time from a call's head to its end.",
      ["service", "method"],
    );
    this.#running = registry.gauge("pairdb_rpc_running", "Calls that run now.").series();
    registry.collect(() => [
      ...this.#latencySamples(clock.monotonicMs()),
      {
        name: "pairdb_slow_operations_total",
        help: "Operations that took as long as slow_operations.threshold.",
        type: "counter",
        value: slow.count,
      },
    ]);
  }

  /** The meter of one method. */
  of(method: DescMethod): CallMeter {
    let meter = this.#meters.get(method);
    if (meter === undefined) {
      const { clock, log, slow, counter, tracer } = this.#options;
      const labels = [method.parent.typeName, method.name];
      const operation = operationOf(method);
      meter = new CallMeter({
        method,
        operation,
        clock,
        log,
        slow: operation === "other" ? undefined : slow,
        counter: operation === "other" ? undefined : counter,
        tracer,
        running: this.#running,
        latency: this.#latencyOf(operation),
        seconds: this.#seconds.series(...labels),
        ok: this.#calls.series(...labels, "ok"),
        failed: ({ code: status, number, refusal }) => {
          const code = codeToString(status);
          this.#calls.add(1, ...labels, code);
          if (refusal !== undefined) this.#refusals.add(1, operation, refusal);
          // Of one that went away nobody knows a number.
          const fault = number === 0 || number < 2000 ? "client" : "server";
          this.#errors.add(1, operation, fault, number === 0 ? code : String(number));
        },
      });
      this.#meters.set(method, meter);
    }
    return meter;
  }

  #latencyOf(operation: Operation): Latency {
    let latency = this.#latencies.get(operation);
    if (latency === undefined) this.#latencies.set(operation, latency = new Latency());
    return latency;
  }

  /** A summary, as Prometheus calls it. */
  #latencySamples(nowMs: number): Sample[] {
    const name = "pairdb_operation_duration_seconds";
    const help = "Time that operations took; quantiles are of the last one to two minutes.";
    return [...this.#latencies].flatMap(([operation, latency]): Sample[] => {
      const quantiles = latency.quantilesMs(nowMs) ?? QUANTILES.map(() => NaN);
      const sample = (value: number, more: Partial<Sample> = {}): Sample => ({
        name,
        help,
        type: "summary",
        value,
        labels: { operation },
        ...more,
      });
      return [
        ...QUANTILES.map((quantile, i) =>
          sample(quantiles[i] / 1000, { labels: { operation, quantile: String(quantile) } })
        ),
        sample(latency.sumMs / 1000, { part: "_sum" }),
        sample(latency.count, { part: "_count" }),
      ];
    });
  }
}

interface MeterParts {
  readonly method: DescMethod;
  readonly operation: Operation;
  readonly clock: Clock;
  readonly log: Log;
  readonly slow: SlowOperations | undefined;
  readonly counter: CallCounter | undefined;
  readonly tracer: Tracer | undefined;
  readonly running: SeriesCounter;
  readonly latency: Latency;
  readonly seconds: SeriesHistogram;
  readonly ok: SeriesCounter;
  readonly failed: (failure: Failure) => void;
}

/** Counts the calls of one method. */
export class CallMeter {
  constructor(private readonly parts: MeterParts) {}

  /** A call begins. @returns its start, for {@link end} */
  begin(): number {
    this.parts.running.add(1);
    return this.parts.clock.monotonicMs();
  }

  /** A call goes on elsewhere, and is counted there. */
  forget(): void {
    this.parts.running.add(-1);
  }

  /** A call ends. @param failure  undefined: it went well */
  end(startMs: number, failure: Failure | undefined, source: FactSource): void {
    const { clock, log, slow, counter, tracer, running } = this.parts;
    const { latency, seconds, ok, failed } = this.parts;
    const nowMs = clock.monotonicMs();
    const elapsedMs = nowMs - startMs;
    running.add(-1);
    if (failure === undefined) ok.add(1);
    else failed(failure);
    if (counter !== undefined) {
      counter.calls++;
      if (failure !== undefined && OWN_FAULTS.has(failure.number)) counter.failed++;
    }
    seconds.observe(elapsedMs / 1000);
    latency.add(elapsedMs, nowMs);
    if (slow?.wants(elapsedMs, nowMs)) this.#note(slow, elapsedMs, nowMs, failure, source);
    if (tracer !== undefined) this.#trace(tracer, elapsedMs, failure, source.facts());
    if (log.debugs !== false) this.#write(elapsedMs, failure, source.facts().tenant);
  }

  /** No key either: traces go to another system. */
  #trace(
    tracer: Tracer,
    elapsedMs: number,
    failure: Failure | undefined,
    { tenant, keys, requestBytes, source, protocol, traceparent }: CallFacts,
  ): void {
    const { method: { parent, name }, clock } = this.parts;
    const isOwnFault = failure !== undefined && failure.number >= 2000;
    tracer.span({
      name: `${parent.typeName}/${name}`,
      startedAtMs: clock.wallMs() - elapsedMs,
      elapsedMs,
      parent: traceparent,
      attributes: {
        "rpc.system": protocol === "connect" ? "connect_rpc" : "grpc",
        "rpc.service": parent.typeName,
        "rpc.method": name,
        "rpc.status": wordOf(failure),
        "pairdb.tenant": tenant,
        "pairdb.keys": keys,
        "pairdb.request_bytes": requestBytes,
        "pairdb.source": source,
      },
      failure: isOwnFault ? wordOf(failure) : undefined,
    });
  }

  #note(
    slow: SlowOperations,
    elapsedMs: number,
    nowMs: number,
    failure: Failure | undefined,
    source: FactSource,
  ): void {
    const { method: { parent, name }, operation } = this.parts;
    const method = `${parent.typeName}/${name}`;
    slow.note({ operation, method, code: wordOf(failure), elapsedMs }, nowMs, source);
  }

  /** Never a key or a value: the log is for operators. */
  #write(elapsedMs: number, failure: Failure | undefined, tenant: string): void {
    const { method, log } = this.parts;
    log.debug("rpc", {
      service: method.parent.typeName,
      method: method.name,
      code: wordOf(failure),
      elapsedMs,
      tenant: tenant === "" ? undefined : tenant,
    });
  }
}

function wordOf(failure: Failure | undefined): string {
  return failure === undefined ? "ok" : codeToString(failure.code);
}
