/**
 * HTTP/2 (RFC 9113) over any byte stream: our own, for a server that has to be fast, and small enough to
 * be read. What is not here: push, priorities, CONNECT tunnels.
 * @module
 */
export {
  CLIENT_LIMITS,
  ClientConnection,
  type ClientOptions,
  connectHttp2,
  type KeepAlive,
} from "./client.ts";
export { Http2Connection, type Http2Limits, type Http2Options } from "./connection.ts";
export { AbuseError, ERROR, Http2Error, PREFACE, readUint32, writeUint32 } from "./frames.ts";
export { OutputBuffers } from "./output.ts";
export { fieldOf, type RequestHead } from "./request_head.ts";
export { ServerConnection, type ServerHandler, type Task } from "./server.ts";
export { ClientCall, readResponseHead, type ResponseHead } from "./response.ts";
export { type Http2Stream, LOST, type StreamUser } from "./stream.ts";
export { type HeaderBlock, type HeaderList, HpackDecoder, HpackError } from "./hpack_decoder.ts";
export { HpackEncoder } from "./hpack_encoder.ts";
export type { TableView } from "./dynamic_table.ts";
