/**
 * A grpc-js client that takes its messages from the generated code.
 * @module
 */
import {
  create,
  type DescMessage,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { Buffer } from "node:buffer";
import {
  Client,
  type ClientReadableStream,
  credentials,
  Metadata,
  type ServiceError,
} from "@grpc/grpc-js";
import { type ErrorDetail, ErrorDetailSchema } from "../../src/gen/pairdb/v1/common_pb.ts";

/** Options of one call. */
export interface CallOptions {
  /** Time from now, in ms. */
  deadlineMs?: number;
}

/** How a client speaks TLS, in PEM. */
export interface GrpcJsTls {
  readonly ca: Uint8Array;
  readonly own?: { readonly cert: Uint8Array; readonly key: Uint8Array };
}

/** A client of one port. Close it. */
export class GrpcJsClient {
  #client: Client;

  /** @param tls  the CA of the server's certificate, and the client's own; undefined: cleartext */
  constructor(port: number, tls?: GrpcJsTls) {
    const asKey = (pem: Uint8Array | undefined) => pem === undefined ? null : Buffer.from(pem);
    const channel = tls === undefined
      ? credentials.createInsecure()
      : credentials.createSsl(Buffer.from(tls.ca), asKey(tls.own?.key), asKey(tls.own?.cert));
    this.#client = new Client(`127.0.0.1:${port}`, channel, {
      "grpc.max_receive_message_length": -1,
      // A server that two clients share is not to share their connection.
      "grpc.use_local_subchannel_pool": 1,
      // TLS has no names that are addresses.
      ...(tls && { "grpc.ssl_target_name_override": "localhost" }),
    });
  }

  /** Calls a unary method. Rejects with grpc-js's ServiceError. */
  unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    message: MessageInitShape<I>,
    { deadlineMs }: CallOptions = {},
  ): Promise<MessageShape<O>> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        pathOf(method),
        (request: MessageShape<I>) => asBuffer(toBinary(method.input, request)),
        (bytes: Uint8Array) => fromBinary(method.output, bytes),
        create(method.input, message),
        new Metadata(),
        deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs },
        (error, response) => error ? reject(error) : resolve(response as MessageShape<O>),
      );
    });
  }

  /** Calls a server-streaming method. */
  stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    message: MessageInitShape<I>,
  ): ClientReadableStream<MessageShape<O>> {
    return this.#client.makeServerStreamRequest(
      pathOf(method),
      (request: MessageShape<I>) => asBuffer(toBinary(method.input, request)),
      (bytes: Uint8Array) => fromBinary(method.output, bytes),
      create(method.input, message),
    );
  }

  close(): void {
    this.#client.close();
  }
}

/** The ErrorDetail in a ServiceError's grpc-status-details-bin. */
export function grpcDetail(error: ServiceError): ErrorDetail | undefined {
  const [status] = error.metadata.get("grpc-status-details-bin");
  if (status === undefined) return undefined;
  // google.rpc.Status { details = 3 } of google.protobuf.Any { type_url = 1, value = 2 }
  const fields = (bytes: Uint8Array, number: number) => {
    const found: Uint8Array[] = [];
    let at = 0;
    const varint = () => {
      let value = 0;
      let shift = 0;
      for (;;) {
        const byte = bytes[at++];
        value |= (byte & 0x7f) << shift;
        shift += 7;
        if (byte < 0x80) return value;
      }
    };
    while (at < bytes.length) {
      const tag = varint();
      const value = varint();
      if ((tag & 7) !== 2) continue;
      if (tag >> 3 === number) found.push(bytes.subarray(at, at + value));
      at += value;
    }
    return found;
  };
  const [any] = fields(status as Uint8Array, 3);
  return any && fromBinary(ErrorDetailSchema, fields(any, 2)[0]);
}

function pathOf(method: { parent: { typeName: string }; name: string }): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
