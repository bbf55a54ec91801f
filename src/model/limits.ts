/**
 * Limits: how big the things that users hand in may be. They are promises to clients (docs/rows.md: V1
 * to V4) and bounds for decoders, so that no input can make a node grow without bound.
 * @module
 */

/** Bytes of a key in UTF-8; at least 1. */
export const MAX_KEY_BYTES = 1024;

/** Bytes of a value: 10 MiB. */
export const MAX_VALUE_BYTES = 10 * 1024 * 1024;

/** Bytes of a tenant id in UTF-8; at least 1. */
export const MAX_TENANT_BYTES = 256;

/** Bytes of a node id in UTF-8; at least 1. */
export const MAX_NODE_ID_BYTES = 128;

/** Entries and dots of one vector clock, together, that a client may bring to a key; see `checkGrowth`. */
export const MAX_CLOCK_EVENTS = 1000;

/**
 * The same of a clock that a node takes from another node, or back from whoever read it: each node that writes
 * a key adds itself to its clock, however long that is.
 */
export const MAX_CLOCK_EVENTS_HELD: number = 2 * MAX_CLOCK_EVENTS;

/** Counters, timestamps and sequence numbers: what a JavaScript number holds exactly, 2^53 - 1. */
export const MAX_COUNTER: number = Number.MAX_SAFE_INTEGER;

/** Items of one batch; at least 1. */
export const MAX_BATCH_ITEMS = 1000;

/** Bytes of all keys and values of one batch: 64 MiB. */
export const MAX_BATCH_BYTES = 64 * 1024 * 1024;

/** Concurrent versions of one key; a write that would make more is refused. */
export const MAX_SIBLINGS = 100;

/** Concurrent versions of one key at which the log says so: somebody writes without reading. */
export const WARN_SIBLINGS = 25;

/** Bytes of the values of all concurrent versions of one key: 64 MiB. Every read of the key carries them all. */
export const MAX_SIBLING_BYTES = 64 * 1024 * 1024;

/** Bytes of an idempotency key: enough that no two clients think of the same one, at least. */
export const MIN_IDEMPOTENCY_KEY_BYTES = 16;

/** The same, at most. */
export const MAX_IDEMPOTENCY_KEY_BYTES = 64;

/** Elements of a set, or fields of a map, of one key: each write of it takes all of them in hand. */
export const MAX_ELEMENTS = 10_000;
