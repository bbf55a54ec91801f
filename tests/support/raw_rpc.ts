/**
 * RPCs by hand, in all four protocols: bytes that no client library would send, and answers as they are
 * on the wire, HTTP status and all.
 * @module
 */
import { connect } from "node:http2";
import { Buffer } from "node:buffer";
import {
  create,
  type DescMessage,
  type DescMethod,
  fromBinary,
  type MessageInitShape,
  toBinary,
  toJsonString,
} from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { codeFromString } from "@connectrpc/connect/protocol-connect";
import { findTrailerError } from "@connectrpc/connect/protocol-grpc";
import { type ErrorDetail, ErrorDetailSchema } from "../../src/gen/pairdb/v1/common_pb.ts";

/** The protocols, in the words of the test names. */
export const PROTOCOLS = ["Connect JSON", "Connect protobuf", "gRPC", "gRPC-Web"] as const;

/** One of them. */
export type Protocol = (typeof PROTOCOLS)[number];

/** How a call ended. */
export interface RawAnswer {
  /** Connect's unary calls have it from the error; all others are 200. */
  readonly httpStatus: number;
  /** The gRPC status; undefined when all went well. */
  readonly status: Code | undefined;
  readonly message: string;
  /** Our own part of the error. */
  readonly detail: ErrorDetail | undefined;
}

/** A message as the bytes of a protocol, without an envelope. */
export function encodeMessage<T extends DescMessage>(
  protocol: Protocol,
  schema: T,
  init: MessageInitShape<T>,
): Uint8Array<ArrayBuffer> {
  const message = create(schema, init);
  return protocol === "Connect JSON"
    ? new TextEncoder().encode(toJsonString(schema, message))
    : Uint8Array.from(toBinary(schema, message));
}

/** Sends one message and reads the whole answer. */
export function callRaw(
  url: string,
  protocol: Protocol,
  method: DescMethod,
  message: Uint8Array<ArrayBuffer>,
): Promise<RawAnswer> {
  const path = `/${method.parent.typeName}/${method.name}`;
  switch (protocol) {
    case "gRPC":
      return callGrpc(url, path, envelope(message));
    case "gRPC-Web":
      return callGrpcWeb(url + path, envelope(message));
    default: {
      const codec = protocol === "Connect JSON" ? "json" : "proto";
      return method.methodKind === "unary"
        ? callConnect(url + path, `application/${codec}`, message)
        : callConnectStream(url + path, `application/connect+${codec}`, envelope(message));
    }
  }
}

/** The five bytes of gRPC and of Connect's streams, and the message. */
export function envelope(message: Uint8Array): Uint8Array<ArrayBuffer> {
  const enveloped = new Uint8Array(5 + message.length);
  new DataView(enveloped.buffer).setUint32(1, message.length);
  enveloped.set(message, 5);
  return enveloped;
}

function post(url: string, type: string, body: Uint8Array<ArrayBuffer>): Promise<Response> {
  return fetch(url, { method: "POST", headers: { "content-type": type }, body });
}

async function callConnect(
  url: string,
  type: string,
  body: Uint8Array<ArrayBuffer>,
): Promise<RawAnswer> {
  const response = await post(url, type, body);
  const bytes = await response.bytes();
  if (response.ok) return succeeded(response.status);
  return fromConnectJson(response.status, JSON.parse(new TextDecoder().decode(bytes)));
}

async function callConnectStream(
  url: string,
  type: string,
  body: Uint8Array<ArrayBuffer>,
): Promise<RawAnswer> {
  const response = await post(url, type, body);
  const last = lastEnvelope(await response.bytes(), 0x02);
  const { error } = JSON.parse(new TextDecoder().decode(last));
  return error === undefined ? succeeded(response.status) : fromConnectJson(response.status, error);
}

interface ConnectJsonError {
  readonly code: string;
  readonly message?: string;
  readonly details?: readonly { readonly type: string; readonly value: string }[];
}

function fromConnectJson(httpStatus: number, error: ConnectJsonError): RawAnswer {
  const detail = error.details?.find((each) => each.type === ErrorDetailSchema.typeName);
  return {
    httpStatus,
    status: codeFromString(error.code),
    message: error.message ?? "",
    detail: detail && fromBinary(ErrorDetailSchema, Uint8Array.fromBase64(detail.value)),
  };
}

async function callGrpcWeb(url: string, body: Uint8Array<ArrayBuffer>): Promise<RawAnswer> {
  const response = await post(url, "application/grpc-web+proto", body);
  const bytes = await response.bytes();
  // With nothing to say the status stands among the headers.
  if (response.headers.has("grpc-status")) return fromTrailers(response.status, response.headers);
  const lines = new TextDecoder().decode(lastEnvelope(bytes, 0x80)).trimEnd().split("\r\n");
  return fromTrailers(
    response.status,
    new Headers(lines.map((line): [string, string] => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon), line.slice(colon + 1).trim()];
    })),
  );
}

/** The content of the last envelope, which must have this flag. */
function lastEnvelope(bytes: Uint8Array, flag: number): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  while (at + 5 + view.getUint32(at + 1) < bytes.length) at += 5 + view.getUint32(at + 1);
  if (bytes[at] !== flag) throw new Error(`the stream does not end with flag ${flag}`);
  return bytes.subarray(at + 5);
}

/** One call on a connection of its own: whatever it does to it, the next call is not disturbed. */
function callGrpc(url: string, path: string, body: Uint8Array): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const session = connect(url);
    session.on("error", reject);
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc+proto",
      te: "trailers",
    });
    let httpStatus = 0;
    const trailers = new Headers();
    const collect = (fields: Record<string, unknown>) => {
      for (const [name, value] of Object.entries(fields)) {
        if (!name.startsWith(":") && value !== undefined) trailers.set(name, String(value));
      }
    };
    stream.on("response", (fields) => {
      httpStatus = Number(fields[":status"]);
      collect(fields);
    });
    stream.on("trailers", collect);
    stream.on("error", reject);
    stream.resume();
    // The answer is whole here, though the server may not have taken the whole request.
    stream.on("end", () => {
      session.on("close", () => resolve(fromTrailers(httpStatus, trailers)));
      session.destroy();
    });
    stream.end(Buffer.from(body));
  });
}

function fromTrailers(httpStatus: number, trailers: Headers): RawAnswer {
  if (!trailers.has("grpc-status")) throw new Error(`no grpc-status, HTTP ${httpStatus}`);
  const error = findTrailerError(trailers);
  if (error === undefined) return succeeded(httpStatus);
  const { code: status, rawMessage: message } = ConnectError.from(error);
  return { httpStatus, status, message, detail: error.findDetails(ErrorDetailSchema)[0] };
}

function succeeded(httpStatus: number): RawAnswer {
  return { httpStatus, status: undefined, message: "", detail: undefined };
}
