/**
 * grpc.health.v1.Health: the standard health protocol. All services of a node live and die together.
 * @module
 */
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import type { Clock } from "../../runtime/mod.ts";
import {
  type Health,
  HealthCheckResponse_ServingStatus as Serving,
} from "../../gen/grpc/health/v1/health_pb.ts";
import type { Readiness } from "../readiness.ts";

/** How often a Watch looks at the node's own health, which announces no changes, in ms. */
const HEALTH_POLL_MS = 1000;

/**
 * Binds the service.
 * @param services  full names that may be asked for, besides the empty one
 */
export function healthService(
  readiness: Readiness,
  services: ReadonlySet<string>,
  clock: Clock,
): Required<ServiceImpl<typeof Health>> {
  const knows = (service: string) => service === "" || services.has(service);
  const status = () => readiness.state().ready ? Serving.SERVING : Serving.NOT_SERVING;
  return {
    check({ service }) {
      if (!knows(service)) {
        throw new ConnectError("Cannot check health: there is no such service", Code.NotFound);
      }
      return { status: status() };
    },

    async *watch({ service }, { signal }) {
      let last: Serving | undefined;
      while (!signal.aborted) {
        const now = knows(service) ? status() : Serving.SERVICE_UNKNOWN;
        if (now !== last) yield { status: last = now };
        if (readiness.closed) return;
        await changeOrPoll(readiness, clock, signal);
      }
    },
  };
}

/** Resolves at the next change, at the next look, or when the client goes away. */
function changeOrPoll(readiness: Readiness, clock: Clock, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      cancel();
      stop();
      signal.removeEventListener("abort", done);
      resolve();
    };
    const cancel = clock.after(HEALTH_POLL_MS, done);
    const stop = readiness.onChange(done);
    signal.addEventListener("abort", done);
  });
}
