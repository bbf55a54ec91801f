/**
 * Model: keys, tenants, versions, vector clocks, errors, codecs, checksums, hashes. Values only.
 * @module
 */
export * from "./clock.ts";
export * from "./errors.ts";
