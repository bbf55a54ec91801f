/**
 * A request's header list, checked and taken apart (RFC 9113, section 8.2 and 8.3).
 * @module
 */
import { ERROR, Http2Error } from "./frames.ts";
import type { HeaderList } from "./hpack_decoder.ts";

/** What a request's HEADERS say. Values are text of one character per byte. */
export interface RequestHead {
  readonly method: string;
  readonly scheme: string;
  /** With its query. */
  readonly path: string;
  /** The `:authority`, or else the `host`; empty when there is neither. */
  readonly authority: string;
  /** All other fields, name and value in turn, in their order. */
  readonly fields: HeaderList;
  /** The body's length by `content-length`; -1 when none was named. */
  readonly contentLength: number;
  /**
   * What whoever takes requests has made of this head, for the next request that has the same one.
   * Undefined at first.
   */
  note: unknown;
}

/** The value of a field; undefined when there is none. The first, when there are several. */
export function fieldOf(fields: HeaderList, name: string): string | undefined {
  for (let i = 0; i < fields.length; i += 2) if (fields[i] === name) return fields[i + 1];
  return undefined;
}

/** Fields that belong to one HTTP/1.1 connection (RFC 9113, section 8.2.2). */
const CONNECTION_FIELDS: ReadonlySet<string> = new Set([
  "connection",
  "proxy-connection",
  "keep-alive",
  "transfer-encoding",
  "upgrade",
]);
/** Lower case token characters, after an optional colon. */
const NAME = /^:?[!#$%&'*+\-.^_`|~0-9a-z]+$/;
/** No control characters but tab inside, and no white space around (RFC 9113, section 8.2.1). */
// deno-lint-ignore no-control-regex -- control characters are what this is about
const BAD_VALUE = /[\x00\r\n]|^[ \t]|[ \t]$/;
const CONTENT_LENGTH = /^\d{1,15}$/;
/** The port that an authority need not write out. */
const DEFAULT_PORT: ReadonlyMap<string, string> = new Map([["http", ":80"], ["https", ":443"]]);

/**
 * Takes a request's header list apart.
 * @throws Http2Error PROTOCOL_ERROR of the stream for a malformed one
 */
export function readRequestHead(headers: HeaderList, streamId: number): RequestHead {
  const pseudo = new Map<string, string>();
  let at = 0;
  for (; at < headers.length && headers[at].startsWith(":"); at += 2) {
    const name = headers[at];
    if (!REQUEST_PSEUDO.has(name) || pseudo.has(name)) throw malformed(streamId);
    checkField(name, headers[at + 1], streamId);
    pseudo.set(name, headers[at + 1]);
  }
  const fields = headers.slice(at);
  checkFields(fields, streamId);
  const method = pseudo.get(":method");
  const scheme = pseudo.get(":scheme");
  const path = pseudo.get(":path");
  const authority = authorityOf(pseudo.get(":authority"), scheme, fields, streamId);
  const contentLength = contentLengthOf(fields, streamId);
  if (method === "CONNECT") {
    // It names a host to reach, and no resource (RFC 9113, section 8.5).
    if (path !== undefined || scheme !== undefined || authority === "") throw malformed(streamId);
    return { method, scheme: "", path: "", authority, fields, contentLength, note: undefined };
  }
  if (!method || !scheme || !path || !isTarget(path, method)) throw malformed(streamId);
  return { method, scheme, path, authority, fields, contentLength, note: undefined };
}

/** Whether it is a path, or the `*` that asks about the server as a whole (RFC 9113, section 8.3.1). */
function isTarget(path: string, method: string): boolean {
  return path.startsWith("/") || (path === "*" && method === "OPTIONS");
}

/**
 * Whom a request is for. Every `host` must name the same as `:authority` does (RFC 9113, section 8.3.1): or
 * else what looks at the one and what looks at the other would judge two different requests.
 */
function authorityOf(
  named: string | undefined,
  scheme: string | undefined,
  fields: HeaderList,
  streamId: number,
): string {
  const authority = named ?? fieldOf(fields, "host") ?? "";
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] !== "host" || fields[i + 1] === authority) continue;
    if (normal(fields[i + 1], scheme) !== normal(authority, scheme)) throw malformed(streamId);
  }
  return authority;
}

/** An authority as others are compared with it (RFC 3986, section 6.2): no case, and no port that is the scheme's. */
function normal(authority: string, scheme = ""): string {
  const lower = authority.toLowerCase();
  const port = DEFAULT_PORT.get(scheme.toLowerCase());
  const isImplied = lower.endsWith(":") || (port !== undefined && lower.endsWith(port));
  return isImplied ? lower.slice(0, lower.lastIndexOf(":")) : lower;
}

const REQUEST_PSEUDO: ReadonlySet<string> = new Set([":method", ":scheme", ":path", ":authority"]);

/** Checks fields that are no pseudo fields: those of a request's head, and trailers. */
export function checkFields(fields: HeaderList, streamId: number): void {
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i];
    if (name.startsWith(":") || CONNECTION_FIELDS.has(name)) throw malformed(streamId);
    if (name === "te" && fields[i + 1] !== "trailers") throw malformed(streamId);
    checkField(name, fields[i + 1], streamId);
  }
}

function checkField(name: string, value: string, streamId: number): void {
  if (!NAME.test(name) || BAD_VALUE.test(value)) throw malformed(streamId);
}

/**
 * The body's length by `content-length`; -1 when none is named.
 * @throws Http2Error PROTOCOL_ERROR of the stream for one that is no number, or several that differ
 */
export function contentLengthOf(fields: HeaderList, streamId: number): number {
  let length = -1;
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] !== "content-length") continue;
    const isSame = length < 0 || Number(fields[i + 1]) === length;
    if (!CONTENT_LENGTH.test(fields[i + 1]) || !isSame) throw malformed(streamId);
    length = Number(fields[i + 1]);
  }
  return length;
}

function malformed(streamId: number): Http2Error {
  return new Http2Error(ERROR.PROTOCOL_ERROR, "the header fields are malformed", streamId);
}
