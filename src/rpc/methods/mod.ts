/**
 * The methods behind hot RPCs, in the node's own values: what every lane calls.
 * @module
 */
export * from "./kv.ts";
