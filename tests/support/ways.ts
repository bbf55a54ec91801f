/**
 * Every way to call an RPC: three protocols, two codecs, both HTTP versions, Connect's GET, and for gRPC both
 * lanes. Each sends what it is given, well-formed or not, and gives the answer in the same terms.
 * @module
 */
import assert from "node:assert/strict";
import {
  type DescMessage,
  type DescMethod,
  fromBinary,
  fromJsonString,
  toBinary,
  toJson,
  toJsonString,
} from "@bufbuild/protobuf";
import type { Message } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { Code, type ConnectError } from "@connectrpc/connect";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import { findTrailerError } from "@connectrpc/connect/protocol-grpc";
import { type Fields, type Http2Answer, type Http2Peer, joined } from "./http2_by_hand.ts";
import { envelope } from "./raw_rpc.ts";

/** One way. */
export interface Way {
  readonly name: string;
  readonly protocol: "gRPC" | "gRPC-Web" | "Connect" | "Connect GET";
  readonly json: boolean;
  readonly http: 1 | 2;
  /** gRPC's content type, where it is not the usual one. */
  readonly type?: string;
}

/**
 * A content type that only the long lane reads, for types know no case: all else in a call of the long lane can
 * be what it is in one of the short.
 */
const LONG_TYPE = "Application/grpc";

/** The two lanes of gRPC. */
export const SHORT: Way = { name: "gRPC, short lane", protocol: "gRPC", json: false, http: 2 };
export const LONG: Way = { ...SHORT, name: "gRPC, long lane", type: LONG_TYPE };

/** All ways, the short lane first. */
const WAYS: readonly Way[] = [
  SHORT,
  LONG,
  { name: "gRPC JSON", protocol: "gRPC", json: true, http: 2 },
  ...(["gRPC-Web", "Connect", "Connect GET"] as const).flatMap((protocol) =>
    [false, true].flatMap((json) =>
      ([1, 2] as const).map((http): Way => ({
        name: `${protocol} ${json ? "JSON" : "protobuf"}, HTTP/${http === 1 ? "1.1" : "2"}`,
        protocol,
        json,
        http,
      }))
    )
  ),
];

/** All ways to call a method. */
export function waysOf(method: DescMethod): readonly Way[] {
  const safe = method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
  return WAYS.filter(({ protocol, http }) => {
    if (protocol === "Connect GET") return safe && method.methodKind === "unary";
    return method.methodKind !== "bidi_streaming" || http === 2;
  });
}

/** Whether messages travel in envelopes, so that there can be none, or two. */
export function isEnveloped(way: Way, method: DescMethod): boolean {
  return way.protocol === "gRPC" || way.protocol === "gRPC-Web" || method.methodKind !== "unary";
}

/** What is sent besides the protocol's own headers. */
export interface Sent {
  readonly method: DescMethod;
  /** The method's name in the path, when it is not its own. */
  readonly as?: string;
  /** The content type, when it is not the way's own. */
  readonly type?: string;
  /** The body; for a GET the message. */
  readonly body: Uint8Array<ArrayBuffer>;
  /** The request's encoding. */
  readonly encoding?: string;
  /** The deadline, as the protocol writes it. */
  readonly timeout?: string;
}

/** An answer in the terms of all ways. */
export interface Outcome {
  /** `ok`, a status, or `http 415` where the answer is none of an RPC. */
  readonly code: string;
  readonly message: string;
  /** Type and bytes of each. */
  readonly details: readonly string[];
  readonly messages: readonly unknown[];
  /** Headers and trailers that are no protocol's own. */
  readonly metadata: readonly string[];
}

/** A message as a way's body: in an envelope where there are any. */
export function bodyOf(way: Way, method: DescMethod, messages: readonly Message[]): Uint8Array<
  ArrayBuffer
> {
  const encoded = messages.map((message) => encode(way, method.input, message));
  if (isEnveloped(way, method)) return joined(encoded.map(envelope));
  assert.equal(encoded.length, 1);
  return encoded[0];
}

/** A message in a way's codec. */
export function encode(way: Way, desc: DescMessage, message: Message): Uint8Array<ArrayBuffer> {
  return way.json
    ? new TextEncoder().encode(toJsonString(desc, message))
    : Uint8Array.from(toBinary(desc, message));
}

/** Where calls go. */
export interface Target {
  readonly url: string;
  readonly peer: Http2Peer;
}

/** Calls, and reads the answer. */
export async function callBy(way: Way, target: Target, sent: Sent): Promise<Outcome> {
  return outcomeOf(way, sent.method, await answerBy(way, target, sent));
}

/** Calls, and gives the answer as it is on the wire. */
export async function answerBy(way: Way, target: Target, sent: Sent): Promise<Http2Answer> {
  const path = `/${sent.method.parent.typeName}/${sent.as ?? sent.method.name}`;
  const headers = headersOf(way, sent);
  if (way.protocol === "Connect GET") {
    const query = new URLSearchParams({
      connect: "v1",
      base64: "1",
      encoding: way.json ? "json" : "proto",
      message: sent.body.toBase64({ alphabet: "base64url" }),
    });
    if (sent.encoding !== undefined) query.set("compression", sent.encoding);
    return await send(way, target, "GET", `${path}?${query}`, headers, undefined);
  }
  return await send(way, target, "POST", path, headers, sent.body);
}

/** The headers of a call. */
export function headersOf(way: Way, { method, type, encoding, timeout }: Sent): Fields {
  const headers: [string, string][] = [];
  if (way.protocol !== "Connect GET") headers.push(["content-type", type ?? typeOf(way, method)]);
  if (way.protocol === "gRPC") headers.push(["te", "trailers"]);
  const grpc = way.protocol === "gRPC" || way.protocol === "gRPC-Web";
  if (timeout !== undefined) headers.push([grpc ? "grpc-timeout" : "connect-timeout-ms", timeout]);
  if (encoding !== undefined && way.protocol !== "Connect GET") {
    const name = method.methodKind === "unary" ? "content-encoding" : "connect-content-encoding";
    headers.push([grpc ? "grpc-encoding" : name, encoding]);
  }
  return headers;
}

function typeOf({ protocol, json, type }: Way, method: DescMethod): string {
  const codec = json ? "json" : "proto";
  if (protocol === "gRPC") return type ?? (json ? "application/grpc+json" : "application/grpc");
  if (protocol === "gRPC-Web") return `application/grpc-web+${codec}`;
  return `application/${method.methodKind === "unary" ? "" : "connect+"}${codec}`;
}

async function send(
  way: Way,
  { url, peer }: Target,
  method: string,
  path: string,
  headers: Fields,
  body: Uint8Array<ArrayBuffer> | undefined,
): Promise<Http2Answer> {
  if (way.http === 2) {
    const head: Fields = [
      [":method", method],
      [":scheme", "http"],
      [":path", path],
      [":authority", new URL(url).host],
    ];
    return await peer.call([...head, ...headers], body ?? new Uint8Array(0));
  }
  const response = await fetch(url + path, {
    method,
    headers: headers.map(([name, value]): [string, string] => [name, value]),
    ...(body === undefined ? {} : { body }),
  });
  const status: Fields = [[":status", String(response.status)]];
  return { header: [...status, ...response.headers], body: await response.bytes(), trailer: [] };
}

/** Headers that protocols and HTTP have for themselves. */
const OWN = new RegExp(
  "^(:status|content-.*|grpc-(status|message|status-details-bin|encoding|accept-encoding)|" +
    "accept-encoding|connect-.*|date|connection|keep-alive|transfer-encoding|vary)$",
);

function metadataOf(...lists: Fields[]): string[] {
  return lists.flat()
    .map(([name, value]): [string, string] => [name.replace(/^trailer-/, ""), value])
    .filter(([name]) => !OWN.test(name))
    .map(([name, value]) => `${name}: ${value}`)
    .sort();
}

/** Reads an answer. */
export function outcomeOf(way: Way, method: DescMethod, answer: Http2Answer): Outcome {
  const { header, body, trailer } = answer;
  const status = Number(header.find(([name]) => name === ":status")?.[1]);
  const type = header.find(([name]) => name === "content-type")?.[1] ?? "";
  const read = (bytes: Uint8Array) => decode(way, method.output, bytes);
  if (way.protocol === "gRPC" || way.protocol === "gRPC-Web") {
    const parts = envelopes(body);
    const last = parts.at(-1);
    const web = last?.flags === 0x80 ? fieldsOf(last.bytes) : [];
    const statuses = [...header, ...trailer, ...web].filter(([name]) => name === "grpc-status");
    if (statuses.length === 0) return none(status);
    assert.equal(statuses.length, 1, "there is exactly one grpc-status");
    if (way.protocol === "gRPC-Web") assert.deepEqual(trailer, [], "no HTTP trailers");
    const end = statuses[0] === header.find(([name]) => name === "grpc-status")
      ? header
      : [...trailer, ...web];
    return {
      ...errorOf(findTrailerError(
        new Headers(
          end.filter(([name]) => name !== ":status").map(
            ([name, value]): [string, string] => [name, value],
          ),
        ),
      )),
      messages: parts.filter(({ flags }) => flags === 0).map(({ bytes }) => read(bytes)),
      metadata: metadataOf(header, trailer, web),
    };
  }
  assert.deepEqual(trailer, [], "no HTTP trailers");
  const metadata = metadataOf(header);
  if (method.methodKind !== "unary") {
    const parts = envelopes(body);
    const last = parts.pop();
    if (status !== 200 || last === undefined) return none(status);
    assert.equal(last.flags, 2, "the stream has an end");
    const end = JSON.parse(new TextDecoder().decode(last.bytes));
    const more = Object.entries<string[]>(end.metadata ?? {})
      .flatMap(([name, values]) => values.map((value): [string, string] => [name, value]));
    const messages = parts.map(({ bytes }) => read(bytes));
    return { ...fromJson(end.error), messages, metadata: metadataOf(header, more) };
  }
  if (status === 200) return { ...fromJson(undefined), messages: [read(body)], metadata };
  if (type !== "application/json") return none(status);
  return { ...fromJson(JSON.parse(new TextDecoder().decode(body))), messages: [], metadata };
}

function none(status: number): Outcome {
  return { code: `http ${status}`, message: "", details: [], messages: [], metadata: [] };
}

type Failure = Pick<Outcome, "code" | "message" | "details">;

function errorOf(error: ConnectError | undefined): Failure {
  if (error === undefined) return { code: "ok", message: "", details: [] };
  const details = error.details.map((detail) => {
    const { type, value } = detail as { type: string; value: Uint8Array };
    return `${type} ${value.toHex()}`;
  });
  return { code: codeToString(error.code), message: error.rawMessage, details };
}

interface JsonError {
  readonly code: string;
  readonly message?: string;
  readonly details?: readonly { readonly type: string; readonly value: string }[];
}

function fromJson(error: JsonError | undefined): Failure {
  if (error === undefined) return errorOf(undefined);
  const { code, message = "", details = [] } = error;
  assert.ok(
    Object.values(Code).some((each) => typeof each === "number" && codeToString(each) === code),
  );
  return {
    code,
    message,
    details: details.map(({ type, value }) => `${type} ${Uint8Array.fromBase64(value).toHex()}`),
  };
}

/** A message as JSON, whatever codec it came in. */
function decode(way: Way, desc: DescMessage, bytes: Uint8Array): unknown {
  const message = way.json
    ? fromJsonString(desc, new TextDecoder().decode(bytes))
    : fromBinary(desc, bytes);
  return toJson(desc, message);
}

function envelopes(body: Uint8Array): { flags: number; bytes: Uint8Array }[] {
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  const parts = [];
  for (let at = 0; at < body.length;) {
    const end = at + 5 + view.getUint32(at + 1);
    assert.ok(end <= body.length, "an envelope is whole");
    parts.push({ flags: body[at], bytes: body.subarray(at + 5, end) });
    at = end;
  }
  return parts;
}

/** gRPC-Web's trailers. */
function fieldsOf(bytes: Uint8Array): Fields {
  return new TextDecoder().decode(bytes).trimEnd().split("\r\n").map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
}
