/**
 * One HTTP exchange, of either HTTP version, as the RPC library and the web app take and give it.
 * @module
 */
import { Code, ConnectError, createContextKey } from "@connectrpc/connect";
import type { PeerCertificate } from "../runtime/mod.ts";
import type { AnswerTurn } from "./answer_room.ts";
import type { HeaderList } from "./http2/mod.ts";

/** What is answered, from either side of the house. */
export interface Answer {
  readonly status: number;
  readonly header?: Headers | undefined;
  readonly body?: AsyncIterable<Uint8Array> | undefined;
  readonly trailer?: Headers | undefined;
}

/** A request, its answer, and the signal that ends both. */
export interface Exchange {
  /** `1.1`, `2.0`. */
  readonly httpVersion: string;
  readonly http2: boolean;
  readonly method: string;
  /** What was asked for, with its query, as the client wrote it. */
  readonly target: string;
  /** The host that the client named: HTTP/2's :authority or HTTP/1.1's Host. Empty when it named none. */
  readonly authority: string;
  readonly header: Headers;
  /** Why this is no request that anybody may answer with more than that; undefined for a sound one. */
  readonly flaw: string | undefined;
  /** Whether it came over TLS. */
  readonly secure: boolean;
  /** Who the client is by its verified certificate. */
  readonly peer: PeerCertificate | undefined;
  /** The body as it arrives. Leaving early does no harm. */
  readonly body: AsyncIterable<Uint8Array>;
  /** How many bytes of the body have come. */
  readonly received: number;
  /** Aborted when the client goes away, when time is up, and when the port closes. */
  readonly signal: AbortSignal;
  /** When its large answers are made. The exchange ends each turn once its connection has the answer. */
  readonly turn: AnswerTurn;
  /** Whether the client got its answer, as far as can be known here. */
  readonly finished: boolean;
  /** Ends the exchange early: running reads fail with `reason`, and the signal fires. */
  abort(reason: ConnectError): void;
  /** Writes the answer, no faster than the client takes it, then sees to the rest of the request. */
  answer(answer: Answer): Promise<void>;
  /** Ends the exchange without an answer, or amid one. */
  destroy(): void;
  /**
   * Counts what a compressed message of the request has become, in place of the one before.
   * @throws ConnectError ResourceExhausted when too much is held already
   */
  holdInflated(bytes: number): void;
  /** Lets go of what is held of the request: nobody works on it any more. */
  release(): void;
}

/** Where the request's size is found. Not in its headers: the length is taken off them (`forgetLength`). */
export const requestKey = createContextKey<Pick<Exchange, "received"> | undefined>(undefined, {
  description: "the exchange, which counts the request's bytes",
});

/** The path of what was asked for, without the query. */
export function pathOf(target: string): string {
  const query = target.indexOf("?");
  return query < 0 ? target : target.slice(0, query);
}

/** The address asked for, on a host name of our own: what the client named may be no host at all. */
export function urlOf(target: string): string {
  return `http://pairdb.invalid${target.startsWith("/") ? target : "/"}`;
}

/** Why an exchange ends whose request does not come to its end. */
export function bodyLate(): ConnectError {
  return new ConnectError("the request did not come in time", Code.DeadlineExceeded);
}

/** Why an exchange ends whose answer would wait behind too much; clients of gRPC make this of its reset. */
export function answerRefused(): ConnectError {
  return new ConnectError("too much waits for the client already", Code.ResourceExhausted);
}

/** Why an exchange ends whose client is gone. */
export function clientGone(): ConnectError {
  return new ConnectError("the client went away", Code.Canceled);
}

/**
 * The library escapes all of a `grpc-message` that a URL would escape; gRPC asks only for `%` and what is
 * not printable ASCII, and grpc-js leaves the other escapes as they are: "Cannot get%3A the key has no value".
 */
export function grpcMessage(escaped: string): string {
  return decodeURIComponent(escaped).replace(/[^ -$&-~]+/g, encodeURIComponent);
}

/** Headers as HTTP/2 sends them. @param status  comes first, for the head of an answer */
export function toHeaderList(headers: Headers | undefined, status?: number): HeaderList {
  const list: string[] = status === undefined ? [] : [":status", String(status)];
  headers?.forEach((value, name) => {
    list.push(name, name === "grpc-message" ? grpcMessage(value) : value);
  });
  return list;
}

/** Fields as HTTP/2 brings them. */
export function fromHeaderList(fields: HeaderList): Headers {
  const headers = new Headers();
  for (let i = 0; i < fields.length; i += 2) headers.append(fields[i], fields[i + 1]);
  return headers;
}
