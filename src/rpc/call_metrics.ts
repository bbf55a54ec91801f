/**
 * Counts and times calls, for both lanes alike.
 * @module
 */
import type { DescMethod } from "@bufbuild/protobuf";
import type { Code } from "@connectrpc/connect";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import type { Clock, Log } from "../runtime/mod.ts";
import type { Counter, Histogram, Registry, SeriesCounter, SeriesHistogram } from "../web/mod.ts";

/** The calls of one port. */
export class CallMetrics {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #calls: Counter;
  readonly #seconds: Histogram;
  readonly #running: SeriesCounter;
  readonly #meters = new Map<DescMethod, CallMeter>();

  constructor(registry: Registry, clock: Clock, log: Log) {
    this.#clock = clock;
    this.#log = log;
    this.#calls = registry.counter(
      "pairdb_rpc_calls_total",
      "Calls that ended, by method and status.",
      ["service", "method", "code"],
    );
    this.#seconds = registry.histogram(
      "pairdb_rpc_duration_seconds",
      "Time from a call's head to its end.",
      ["service", "method"],
    );
    this.#running = registry.gauge("pairdb_rpc_running", "Calls that run now.").series();
  }

  /** The meter of one method. */
  of(method: DescMethod): CallMeter {
    let meter = this.#meters.get(method);
    if (meter === undefined) {
      const labels = [method.parent.typeName, method.name];
      meter = new CallMeter({
        method,
        clock: this.#clock,
        log: this.#log,
        running: this.#running,
        seconds: this.#seconds.series(...labels),
        ok: this.#calls.series(...labels, "ok"),
        failed: (code) => this.#calls.add(1, ...labels, code),
      });
      this.#meters.set(method, meter);
    }
    return meter;
  }
}

interface MeterParts {
  readonly method: DescMethod;
  readonly clock: Clock;
  readonly log: Log;
  readonly running: SeriesCounter;
  readonly seconds: SeriesHistogram;
  readonly ok: SeriesCounter;
  readonly failed: (code: string) => void;
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

  /** A call ends. @param code  undefined: it went well */
  end(startMs: number, code: Code | undefined): void {
    const { method, clock, log, running, seconds, ok, failed } = this.parts;
    const elapsedMs = clock.monotonicMs() - startMs;
    running.add(-1);
    if (code === undefined) ok.add(1);
    else failed(codeToString(code));
    seconds.observe(elapsedMs / 1000);
    if (log.debugs === false) return;
    // Never a key or a value: the log is for operators.
    log.debug("rpc", {
      service: method.parent.typeName,
      method: method.name,
      code: code === undefined ? "ok" : codeToString(code),
      elapsedMs,
    });
  }
}
