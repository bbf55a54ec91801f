/**
 * A client of HTTP/2 that means harm: it sends the frames that it is told to over a real socket, as fast as the
 * socket takes them, and notes what comes back.
 * @module
 */
import { connect, type Socket } from "node:net";
import { HpackEncoder } from "../../src/rpc/http2/mod.ts";
import { joined, uint32 } from "./http2_peer.ts";
import { frame, PREFACE } from "./raw_http2.ts";

/** Frames that are handed to the socket at once. */
const BATCH = 100;

/** A connection. */
export class Attacker {
  readonly socket: Socket;
  readonly encoder = new HpackEncoder();
  /** The code of GOAWAY with an error. */
  goAway: number | undefined;
  /** RST_STREAM frames of the server, by code. */
  readonly resets = new Map<number, number>();
  /** HEADERS frames of the server. */
  headers = 0;
  /** Bytes of DATA. */
  data = 0;
  closed = false;
  #part = new Uint8Array(0);
  #changed: () => void = () => {};

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Uint8Array) => this.#read(chunk));
    socket.on("error", () => {});
    socket.on("close", () => {
      this.closed = true;
      this.#changed();
    });
  }

  /** Connects, and says nothing. */
  static mute(port: number): Promise<Attacker> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: "127.0.0.1", noDelay: true });
      socket.once("error", reject);
      socket.once("connect", () => resolve(new Attacker(socket)));
    });
  }

  /** Connects, and sends the preface. @param windowBytes  SETTINGS_INITIAL_WINDOW_SIZE */
  static async open(port: number, windowBytes = 65_535): Promise<Attacker> {
    const attacker = await Attacker.mute(port);
    const settings = Uint8Array.from([0, 4, ...uint32(windowBytes)]);
    attacker.socket.write(PREFACE);
    attacker.socket.write(frame(4, 0, 0, settings));
    return attacker;
  }

  /** A header block of a POST. */
  block(path: string, extra: readonly string[] = []): Uint8Array {
    const into = new Uint8Array(1 << 17);
    const headers = [
      ...[":method", "POST", ":scheme", "http", ":path", path, ":authority", "127.0.0.1"],
      ...extra,
    ];
    return into.slice(0, this.encoder.encode(headers, into, 0));
  }

  /** HEADERS of a gRPC call. */
  grpc(stream: number, method: string, extra: readonly string[] = []): Uint8Array {
    const type = ["content-type", "application/grpc", "te", "trailers"];
    return frame(1, 4, stream, this.block(`/pairdb.v1.${method}`, [...type, ...extra]));
  }

  /**
   * Sends what `make` makes of 0, 1, 2 … as the socket takes it.
   * @returns how many were sent before the server ended the connection
   */
  async flood(count: number, make: (i: number) => Uint8Array): Promise<number> {
    let sent = 0;
    while (sent < count && !this.closed) {
      const most = Math.min(count, sent + BATCH);
      const batch: Uint8Array[] = [];
      for (; sent < most; sent++) batch.push(make(sent));
      const isTaken = this.socket.write(joined(batch));
      // Also where there is room: what the server says is to be read, and others have their turn.
      if (isTaken) await new Promise<void>((resolve) => setTimeout(resolve, 0));
      else await this.#change(() => this.socket.writableNeedDrain === false);
    }
    return sent;
  }

  /** Sends bytes. */
  send(...bytes: Uint8Array[]): void {
    this.socket.write(joined(bytes));
  }

  /** Resolves once the condition holds or the connection is gone. */
  async until(condition: () => boolean): Promise<void> {
    await this.#change(condition);
  }

  /** Resolves when the server has ended the connection. */
  async ended(): Promise<void> {
    await this.#change(() => false);
  }

  /** Goes without a word. */
  close(): Promise<void> {
    if (this.closed) return Promise.resolve();
    const closed = this.ended();
    this.socket.destroy();
    return closed;
  }

  async #change(condition: () => boolean): Promise<void> {
    const onDrain = () => this.#changed();
    this.socket.on("drain", onDrain);
    while (!this.closed && !condition()) {
      await new Promise<void>((resolve) => this.#changed = resolve);
    }
    this.socket.off("drain", onDrain);
  }

  #read(chunk: Uint8Array): void {
    const bytes = this.#part.length === 0 ? chunk : joined([this.#part, chunk]);
    let at = 0;
    while (bytes.length - at >= 9) {
      const length = bytes[at] << 16 | bytes[at + 1] << 8 | bytes[at + 2];
      if (bytes.length - at < 9 + length) break;
      this.#note(bytes[at + 3], length, bytes.subarray(at + 9, at + 9 + length));
      at += 9 + length;
    }
    this.#part = bytes.slice(at);
    this.#changed();
  }

  #note(type: number, length: number, payload: Uint8Array): void {
    if (type === 0) this.data += length;
    if (type === 1) this.headers++;
    if (type === 3) this.resets.set(payload[3], (this.resets.get(payload[3]) ?? 0) + 1);
    if (type === 7) this.goAway = payload[7];
  }
}
