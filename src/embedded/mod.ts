/**
 * Embedded: a node in the same process. `openPairDB` is for programs and their tests; `openNode` and
 * `machine` are what the server is made from.
 * @module
 */
export { type NodeOptions, openNode } from "./node.ts";
export {
  type EmbeddedEvent,
  type EmbeddedItem,
  EmbeddedPairDB,
  type EmbeddedPutOptions,
  type EmbeddedValue,
  type EmbeddedWriteOptions,
  type OpenOptions,
  openPairDB,
} from "./pairdb.ts";
export { machine } from "./world.ts";
