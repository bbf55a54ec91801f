/**
 * What measuring costs a call: its counters, its histogram, its quantiles and the question whether it is among
 * the slowest, in nanoseconds, best of several rounds; and the two looks at the clock that are in it.
 * @module
 */
import { KeyValueService } from "../src/gen/pairdb/v1/kv_pb.ts";
import { CallCounter } from "../src/node/mod.ts";
import { CallMetrics } from "../src/rpc/call_metrics.ts";
import type { CallFacts } from "../src/rpc/call_facts.ts";
import { SLOW_MS, SlowOperations } from "../src/rpc/slow_operations.ts";
import { type Clock, denoClock, silentLog } from "../src/runtime/mod.ts";
import { Registry } from "../src/web/mod.ts";

const NOTHING = {
  facts: (): CallFacts => ({
    tenant: "",
    key: "",
    keys: 0,
    requestBytes: 0,
    source: "",
    waitedMs: 0,
    protocol: "grpc",
    traceparent: "",
  }),
};

/** Nanoseconds of one call's measuring, and of the clock in it. */
export function measureMetrics(calls: number, rounds = 5): { allNs: number; clockNs: number } {
  const clock = denoClock();
  const run = meterOn({ ...clock, monotonicMs: () => clock.monotonicMs() });
  const looks = (count: number) => {
    let sum = 0;
    for (let n = 0; n < count; n++) sum += clock.monotonicMs() + clock.monotonicMs();
    return sum;
  };
  return { allNs: best(run, calls, rounds), clockNs: best(looks, calls, rounds) };
}

/** The same as a line of text. */
export function benchMetrics(calls: number): string {
  const { allNs, clockNs } = measureMetrics(calls);
  return `measuring a call: ${allNs.toFixed(0)} ns, ${clockNs.toFixed(0)} of them its clock`;
}

function meterOn(clock: Clock): (count: number) => void {
  const log = { ...silentLog, debugs: false };
  const slow = new SlowOperations({ clock, log, thresholdMs: SLOW_MS });
  const counter = new CallCounter();
  const metrics = new CallMetrics({ registry: new Registry(), clock, log, slow, counter });
  const meter = metrics.of(KeyValueService.method.get);
  return (count) => {
    for (let n = 0; n < count; n++) meter.end(meter.begin(), undefined, NOTHING);
  };
}

function best(run: (count: number) => unknown, count: number, rounds: number): number {
  let bestNs = Infinity;
  for (let round = 0; round < rounds; round++) {
    const from = performance.now();
    run(count);
    bestNs = Math.min(bestNs, (performance.now() - from) * 1e6 / count);
  }
  return bestNs;
}
