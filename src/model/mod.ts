/**
 * Model: keys, tenants, versions, vector clocks, errors, codecs, checksums, hashes. Values only.
 * @module
 */
export * from "./bytes.ts";
export * from "./clock.ts";
export * from "./condition.ts";
export * from "./conflict/mod.ts";
export * from "./crc32c.ts";
export * from "./errors.ts";
export * from "./hash.ts";
export * from "./keys.ts";
export * from "./limits.ts";
export * from "./reconcile.ts";
export * from "./seal.ts";
export * from "./siphash.ts";
export * from "./tenants.ts";
export * from "./text.ts";
export * from "./token.ts";
export * from "./transfer_checksum.ts";
export * from "./version.ts";
export * from "./plausible.ts";
export { OwnStates, type OwnWrite } from "./own_state.ts";
export { decodeVersions, encodeVersions } from "./version_codec.ts";
export * from "./write_rule.ts";
