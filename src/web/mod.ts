/**
 * The web room: what the port serves besides RPCs, for people, browsers, probes and Prometheus.
 * @module
 */
export * from "./app.ts";
export { Latency, QUANTILES } from "./latency.ts";
export * from "./metrics.ts";
export * from "./node_metrics.ts";
export * from "./origin.ts";
export * from "./tenant_metrics.ts";
