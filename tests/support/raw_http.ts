/**
 * HTTP/1.1 by hand over one socket, and bare bytes: what a well-behaved client would hide.
 * @module
 */
import { connect, type Socket } from "node:net";

/** One response. */
export interface RawResponse {
  readonly status: number;
  readonly header: Record<string, string>;
  readonly body: Uint8Array;
}

/** One connection. */
export class RawClient {
  #received = new Uint8Array(0);
  #ended = false;
  #wake: (() => void) | undefined;

  private constructor(readonly socket: Socket) {
    socket.on("data", (chunk: Uint8Array) => {
      const joined = new Uint8Array(this.#received.length + chunk.length);
      joined.set(this.#received);
      joined.set(chunk, this.#received.length);
      this.#received = joined;
      this.#wake?.();
    });
    const end = () => {
      this.#ended = true;
      this.#wake?.();
    };
    socket.on("end", end);
    socket.on("close", end);
    socket.on("error", end);
  }

  /** Connects. */
  static async open(port: number): Promise<RawClient> {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    return new RawClient(socket);
  }

  /** Sends bytes or text; resolves when the system has them. */
  send(data: string | Uint8Array): Promise<void> {
    return new Promise((resolve) => this.socket.write(data, () => resolve()));
  }

  /** Sends one request with a body. */
  post(path: string, type: string, body: string | Uint8Array, extra = ""): Promise<void> {
    const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
    const head = `POST ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: ${type}\r\n` +
      `content-length: ${bytes.length}\r\n${extra}\r\n`;
    const headBytes = new TextEncoder().encode(head);
    const whole = new Uint8Array(headBytes.length + bytes.length);
    whole.set(headBytes);
    whole.set(bytes, headBytes.length);
    return this.send(whole);
  }

  /** At least `count` bytes, taken off the front. */
  async take(count: number): Promise<Uint8Array> {
    while (this.#received.length < count) {
      if (this.#ended) throw new Error(`the server closed after ${this.#received.length} bytes`);
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    const taken = this.#received.slice(0, count);
    this.#received = this.#received.slice(count);
    return taken;
  }

  /** The next response; its body must have a length. */
  async response(): Promise<RawResponse> {
    let text = "";
    while (!text.endsWith("\r\n\r\n")) text += String.fromCharCode(...await this.take(1));
    const [first, ...lines] = text.trimEnd().split("\r\n");
    const header = Object.fromEntries(lines.map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }));
    const status = Number(first.split(" ")[1]);
    if (status === 100) return await this.response();
    return { status, header, body: await this.take(Number(header["content-length"])) };
  }

  /** Resolves with what was left when the server has closed. */
  async closed(): Promise<Uint8Array> {
    while (!this.#ended) await new Promise<void>((resolve) => this.#wake = resolve);
    return this.#received;
  }

  /** Closes, and waits until it is. */
  async close(): Promise<void> {
    if (this.socket.closed) return;
    const closed = new Promise<void>((resolve) => this.socket.once("close", () => resolve()));
    this.socket.destroy();
    await closed;
  }
}
