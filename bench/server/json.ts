/**
 * JSON over HTTP/1.1, one request at a time on each connection: PairDB's Connect calls, and the gateway that
 * etcd has for the same.
 * @module
 */
import { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";
import { keyOf, type KeySpace, valueOf } from "./messages.ts";

/** One kind of call. */
export interface JsonCall {
  readonly path: string;
  request(key: number): string;
  /** What an answer must contain. */
  wanted(key: number): string;
}

function base64(bytes: Uint8Array | string): string {
  return Buffer.from(bytes as Uint8Array).toString("base64");
}

/** PairDB's calls. */
export function pairdbJson({ valueBytes }: KeySpace): { put: JsonCall; get: JsonCall } {
  const id = (key: number) => `"tenantId":"bench","key":"${keyOf(key)}"`;
  return {
    put: {
      path: "/pairdb.v1.KeyValueService/Put",
      request: (key) => `{${id(key)},"value":"${base64(valueOf(key, valueBytes))}"}`,
      wanted: () => "vectorClock",
    },
    get: {
      path: "/pairdb.v1.KeyValueService/Get",
      request: (key) => `{${id(key)}}`,
      wanted: (key) => base64(valueOf(key, valueBytes)),
    },
  };
}

/** etcd's calls. */
export function etcdJson({ valueBytes }: KeySpace): { put: JsonCall; get: JsonCall } {
  const id = (key: number) => `"key":"${base64(keyOf(key))}"`;
  return {
    put: {
      path: "/v3/kv/put",
      request: (key) => `{${id(key)},"value":"${base64(valueOf(key, valueBytes))}"}`,
      wanted: () => "revision",
    },
    get: {
      path: "/v3/kv/range",
      request: (key) => `{${id(key)}}`,
      wanted: (key) => base64(valueOf(key, valueBytes)),
    },
  };
}

/** A connection that stays. */
export class JsonClient {
  readonly #socket: Socket;
  #text = "";
  #resolve: (body: string) => void = () => {};
  #reject: (error: Error) => void = () => {};

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("latin1");
    socket.on("data", (text: string) => this.#take(text));
    socket.on("error", (error) => this.#reject(error));
    socket.on("close", () => this.#reject(new Error("the connection was closed")));
  }

  /** Connects. */
  static connect(port: number): Promise<JsonClient> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: "127.0.0.1", port, noDelay: true });
      socket.once("error", reject);
      socket.once("connect", () => resolve(new JsonClient(socket)));
    });
  }

  /** Makes a call. @throws Error when the answer is not what it has to be */
  async call(call: JsonCall, key: number): Promise<void> {
    const body = call.request(key);
    this.#socket.write(
      `POST ${call.path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n` +
        `content-length: ${body.length}\r\n\r\n${body}`,
    );
    const answer = await new Promise<string>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    if (!answer.startsWith("HTTP/1.1 200 ") || !answer.includes(call.wanted(key))) {
      throw new Error(`${call.path} answers ${answer.slice(0, 500)}`);
    }
  }

  /** Ends the connection. */
  close(): void {
    this.#socket.destroy();
  }

  #take(text: string): void {
    this.#text += text;
    const head = this.#text.indexOf("\r\n\r\n");
    if (head < 0) return;
    const length = /\r\ncontent-length: *(\d+)/i.exec(this.#text.slice(0, head))?.[1];
    const whole = length === undefined
      ? this.#text.endsWith("0\r\n\r\n")
      : this.#text.length >= head + 4 + Number(length);
    if (!whole) return;
    const answer = this.#text;
    this.#text = "";
    this.#resolve(answer);
  }
}
