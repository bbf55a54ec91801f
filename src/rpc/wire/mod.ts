/**
 * Hot messages on the wire: protobuf, written and read by hand.
 * @module
 */
export * from "./kv_codec.ts";
export { MalformedMessage } from "./protobuf.ts";
