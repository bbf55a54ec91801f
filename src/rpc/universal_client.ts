/**
 * Our HTTP/2 client as the RPC library takes it, for calls between nodes of every kind: unary and streams,
 * in all protocols that go over HTTP/2. Calls that have to be fast go through grpc_client.ts.
 *
 *     createTransport({ httpClient: universalClient(connection), … })
 * @module
 */
import { Code, ConnectError } from "@connectrpc/connect";
import type {
  UniversalClientFn,
  UniversalClientRequest,
  UniversalClientResponse,
} from "@connectrpc/connect/protocol";
import { failureOf } from "./grpc_client.ts";
import {
  ClientCall,
  type ClientConnection,
  ERROR,
  type HeaderList,
  type Http2Stream,
  readResponseHead,
  type ResponseHead,
} from "./http2/mod.ts";
import { StreamBody } from "./http2_exchange.ts";

/** A client for the library's transports; all its calls go over this connection, whatever host a URL names. */
export function universalClient(connection: ClientConnection): UniversalClientFn {
  return (request) => new UniversalCall(connection, request).response;
}

/** An answer's body. Leaving early gives the call up. */
class AnswerBody extends StreamBody {
  constructor(stream: Http2Stream, private readonly leave: () => void) {
    super(stream, 0);
  }

  return(): Promise<IteratorResult<Uint8Array>> {
    this.leave();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** The library's way of leaving when the caller's signal or deadline says so. */
  throw(reason: unknown): Promise<IteratorResult<Uint8Array>> {
    this.leave();
    return Promise.reject(reason);
  }
}

/** One call on its way. */
class UniversalCall extends ClientCall {
  readonly response: Promise<UniversalClientResponse>;
  readonly #connection: ClientConnection;
  readonly #request: UniversalClientRequest;
  readonly #trailer = new Headers();
  #resolve!: (response: UniversalClientResponse) => void;
  #reject!: (reason: unknown) => void;
  #body: AnswerBody | undefined;
  /** Ends the wait for room. */
  #wake: (() => void) | undefined;

  constructor(connection: ClientConnection, request: UniversalClientRequest) {
    super();
    this.#connection = connection;
    this.#request = request;
    this.response = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    const { signal } = request;
    if (signal?.aborted) this.#onAbort();
    else {
      signal?.addEventListener("abort", this.#onAbort);
      if (!connection.begin(this)) this.reset(ERROR.REFUSED_STREAM);
    }
  }

  protected override send(stream: Http2Stream): void {
    const { body } = this.#request;
    stream.sendHeaders(headOf(this.#request), body === undefined);
    if (body !== undefined) void this.#sendBody(stream, body);
  }

  protected override onHead(headers: HeaderList, streamId: number): ResponseHead {
    const head = readResponseHead(headers, streamId);
    const body = this.#body = new AnswerBody(this.stream!, () => this.#giveUp(left()));
    this.#resolve({
      status: head.status,
      header: toHeaders(head.fields, new Headers()),
      body,
      trailer: this.#trailer,
    });
    return head;
  }

  protected override onBody(bytes: Uint8Array): void {
    this.#body!.add(bytes, false);
  }

  protected override onEnd(trailers: HeaderList): void {
    toHeaders(trailers, this.#trailer);
    this.#body!.add(NO_BYTES, true);
    this.#settle();
  }

  protected override onFailure(code: number): void {
    const { code: status, message } = failureOf(code);
    this.#fail(new ConnectError(message, status as Code));
  }

  override drained(): void {
    this.#wake?.();
  }

  /** Sends the request's body, no faster than the server takes it. Never rejects. */
  async #sendBody(stream: Http2Stream, body: AsyncIterable<Uint8Array>): Promise<void> {
    try {
      for await (const piece of body) {
        if (!stream.sendData(piece)) await this.#room(stream);
        if (this.done) return;
      }
      stream.sendData(NO_BYTES, true);
    } catch (error) {
      this.#giveUp(ConnectError.from(error, Code.Internal));
    }
  }

  async #room(stream: Http2Stream): Promise<void> {
    while (stream.waiting && !this.done) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  readonly #onAbort = (): void => {
    const { reason } = this.#request.signal!;
    this.#giveUp(reason ?? new ConnectError("the call was cancelled", Code.Canceled));
  };

  #giveUp(reason: unknown): void {
    if (this.done) return;
    this.#connection.forget(this);
    this.cancel();
    this.#fail(reason);
  }

  #fail(reason: unknown): void {
    this.#body?.fail(reason);
    this.#reject(reason);
    this.#settle();
  }

  #settle(): void {
    this.#request.signal?.removeEventListener("abort", this.#onAbort);
    this.#wake?.();
  }
}

const NO_BYTES = new Uint8Array(0);

function left(): ConnectError {
  return new ConnectError("the answer was not read to its end", Code.Canceled);
}

function headOf({ url, method, header }: UniversalClientRequest): HeaderList {
  const { protocol, host, pathname, search } = new URL(url);
  const list = [":method", method, ":scheme", protocol.slice(0, -1)];
  list.push(":path", pathname + search, ":authority", host);
  header.forEach((value, name) => list.push(name, value));
  return list;
}

function toHeaders(fields: HeaderList, headers: Headers): Headers {
  for (let i = 0; i < fields.length; i += 2) headers.append(fields[i], fields[i + 1]);
  return headers;
}
