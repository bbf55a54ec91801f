/**
 * A client's half of one exchange: the head of an answer, checked and taken apart, and the order in which
 * the pieces of an answer have to come.
 *
 *     1xx … ─► head ─► body … ─► trailers
 *                └─ the end may come with each of the last three
 * @module
 */
import { ERROR, Http2Error } from "./frames.ts";
import type { HeaderList } from "./hpack_decoder.ts";
import { checkFields, contentLengthOf } from "./request_head.ts";
import type { Http2Stream, StreamUser } from "./stream.ts";

/** What the first HEADERS of an answer say. Values are text of one character per byte. */
export interface ResponseHead {
  /** 200 to 599. */
  readonly status: number;
  /** All fields but `:status`, name and value in turn, in their order. */
  readonly fields: HeaderList;
  /** The body's length by `content-length`; -1 when none was named. */
  readonly contentLength: number;
}

const STATUS = /^[1-5]\d\d$/;
/** A proxy may have a few words to say before the answer; more of them are there to keep us busy. */
const INTERIM_MAX = 16;

/**
 * Takes an answer's header list apart (RFC 9113, section 8.3.2).
 * @throws Http2Error PROTOCOL_ERROR of the stream for a malformed one
 */
export function readResponseHead(headers: HeaderList, streamId: number): ResponseHead {
  if (headers[0] !== ":status" || !STATUS.test(headers[1])) {
    throw new Http2Error(ERROR.PROTOCOL_ERROR, "an answer has no :status", streamId);
  }
  const fields = headers.slice(2);
  checkFields(fields, streamId);
  return {
    status: Number(headers[1]),
    fields,
    contentLength: contentLengthOf(fields, streamId),
  };
}

const BEFORE_HEAD = 0;
const IN_BODY = 1;
const DONE = 2;

/**
 * One call of a client, from its place in the queue to the end of its answer. Checks the order of what
 * comes and tells it to whoever extends this; exactly one of {@link onEnd} and {@link onFailure} is the
 * last word, unless {@link cancel} was.
 */
export abstract class ClientCall implements StreamUser {
  #stream: Http2Stream | undefined;
  #state = BEFORE_HEAD;
  #interim = 0;

  /** The stream; undefined as long as the call waits in the queue. */
  get stream(): Http2Stream | undefined {
    return this.#stream;
  }

  /** Whether the last word was spoken. */
  get done(): boolean {
    return this.#state === DONE;
  }

  /** The connection has a stream for the call. */
  start(stream: Http2Stream): void {
    this.#stream = stream;
    this.send(stream);
  }

  /** Gives the call up: the server is told, and nothing is heard any more. */
  cancel(code: number = ERROR.CANCEL): void {
    if (this.#state === DONE) return;
    this.#state = DONE;
    this.#stream?.reset(code);
  }

  /** Sends the request's head, and as much more as there is. */
  protected abstract send(stream: Http2Stream): void;

  /** The answer's head. Interim ones are left out. */
  protected abstract onHead(head: HeaderList, streamId: number): ResponseHead;

  /** A piece of the body; say {@link Http2Stream.consumed} when it was used. */
  protected abstract onBody(bytes: Uint8Array): void;

  /** The answer is whole. @param trailers  empty when there are none */
  protected abstract onEnd(trailers: HeaderList): void;

  /**
   * The answer will not come, or not all of it.
   * @param code  an error code of HTTP/2, or {@link LOST}. After REFUSED_STREAM the server has certainly not
   *   begun with the call, so that it may be made again
   */
  protected abstract onFailure(code: number): void;

  /** What waited has left. */
  drained(): void {}

  data(bytes: Uint8Array, end: boolean): void {
    if (this.#state !== IN_BODY) {
      throw new Http2Error(ERROR.PROTOCOL_ERROR, "DATA before an answer's head", this.#id);
    }
    if (bytes.length > 0) this.onBody(bytes);
    if (end) this.#end(NO_FIELDS);
  }

  headers(headers: HeaderList, end: boolean): void {
    if (this.#state === IN_BODY) return this.#trailers(headers, end);
    if (isInterim(headers)) return this.#skip(headers, end);
    const { contentLength } = this.onHead(headers, this.#id);
    this.#state = IN_BODY;
    if (!end) {
      this.#stream!.declaredBytes = contentLength;
      return;
    }
    if (contentLength > 0) {
      throw new Http2Error(ERROR.PROTOCOL_ERROR, "a body was declared, and none came", this.#id);
    }
    this.#end(NO_FIELDS);
  }

  reset(code: number): void {
    // A server that does not want the rest of the request resets it after a whole answer (RFC 9113, 8.1).
    if (this.#state === DONE) return;
    this.#state = DONE;
    this.onFailure(code);
  }

  get #id(): number {
    return this.#stream!.id;
  }

  #skip(headers: HeaderList, end: boolean): void {
    readResponseHead(headers, this.#id);
    if (!end && ++this.#interim <= INTERIM_MAX) return;
    throw new Http2Error(ERROR.PROTOCOL_ERROR, "an interim answer is none", this.#id);
  }

  #trailers(trailers: HeaderList, end: boolean): void {
    if (!end) throw new Http2Error(ERROR.PROTOCOL_ERROR, "HEADERS amid a body", this.#id);
    this.checkTrailers(trailers, this.#id);
    this.#end(trailers);
  }

  /** Checks trailers; who has seen the same list before may leave it out. */
  protected checkTrailers(trailers: HeaderList, streamId: number): void {
    checkFields(trailers, streamId);
  }

  #end(trailers: HeaderList): void {
    // What a user asked for in its last piece may have been to give up.
    if (this.#state === DONE) return;
    this.#state = DONE;
    this.onEnd(trailers);
    // Nobody waits for the rest of the request.
    if (!this.#stream!.localEnded) this.#stream!.reset();
  }
}

const NO_FIELDS: HeaderList = [];

function isInterim(headers: HeaderList): boolean {
  return headers[0] === ":status" && headers[1].length === 3 && headers[1].startsWith("1");
}
