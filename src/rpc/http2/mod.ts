/**
 * HTTP/2, as far as it needs no socket: so far HPACK, the compression of headers.
 * @module
 */
export { type HeaderBlock, type HeaderList, HpackDecoder, HpackError } from "./hpack_decoder.ts";
export { HpackEncoder } from "./hpack_encoder.ts";
export type { TableView } from "./dynamic_table.ts";
