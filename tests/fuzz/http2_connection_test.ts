/**
 * Any frames into a server's connection: requests as clients send them, frames with random fields, and
 * bytes that were changed, in chunks of any size, with answers in between. No exception leaves the
 * connection, it lives on or ends with a GOAWAY, what it says is well-formed, and what it holds is bounded.
 *
 * How many frames, and from which seed on, says tests/support/ladder.ts. A failure prints the seed.
 * @module
 */
import assert from "node:assert/strict";
import { firstSeed, reached, wanted } from "../support/ladder.ts";
import { Http2Error } from "../../src/rpc/http2/mod.ts";
import { SimRandom } from "../../src/runtime/mod.ts";
import { Collector, joined, Peer, uint32 } from "../support/http2_peer.ts";
import { frame } from "../support/raw_http2.ts";

const INPUTS = wanted("fuzz");
const FIRST_SEED = firstSeed();
const WINDOW_BYTES = 20_000;

/** One connection and what comes to it. */
class Attack {
  readonly peer: Peer;
  readonly random: SimRandom;
  /** One frame of so many is made to be wrong. */
  readonly #calm: number;
  readonly #live: Collector[] = [];
  #nextId = 1;

  constructor(seed: number) {
    const random = this.random = new SimRandom(seed);
    this.#calm = [3, 20, 200][random.below(3)];
    this.peer = new Peer({
      booksKept: false,
      ...random.below(2) === 0 ? {} : { windowBytes: random.below(100_000) },
      limits: {
        maxConcurrentStreams: 8,
        streamWindowBytes: WINDOW_BYTES,
        connectionWindowBytes: 65_535,
        resets: { burst: 100, perSecond: 0 },
        overhead: { burst: 200, perSecond: 0 },
        maxQueuedBytes: 100_000,
      },
      handler: {
        open: (stream, head) => {
          const user = new Collector(stream, head, random.below(4) > 0);
          this.#live.push(user);
          return user;
        },
      },
    });
  }

  /** The next frame's bytes. */
  frame(): Uint8Array {
    const { random, peer } = this;
    if (random.below(this.#calm) === 0) return this.#wrong();
    const id = this.#someId();
    switch (random.below(12)) {
      case 0:
      case 1:
      case 2: {
        const end = random.below(2) === 0;
        const extra = random.below(3) === 0 ? ["x-any", "v".repeat(random.below(300))] : [];
        const bytes = peer.request(this.#nextId, end, extra);
        this.#nextId += 2;
        return bytes;
      }
      case 3:
      case 4:
      case 5:
        return frame(0, random.below(4) === 0 ? 1 : 0, id, random.bytes(random.below(3000)));
      case 6:
        return frame(8, 0, random.below(2) * id, Uint8Array.from(uint32(1 + random.below(50_000))));
      case 7:
        return frame(3, 0, id, Uint8Array.from(uint32(8)));
      case 8:
        return frame(6, random.below(2), 0, random.bytes(8));
      case 9:
        return frame(4, 0, 0, Uint8Array.from([0, 4, ...uint32(random.below(100_000))]));
      case 10:
        return frame(2, 0, id, Uint8Array.from([...uint32(0), 7]));
      default:
        return frame(1, 5, id, peer.block(["x-trailer", "1"]));
    }
  }

  /** The server's side does something: answers, takes what came, gives up. */
  act(): void {
    const { random } = this;
    const at = random.below(this.#live.length + 1);
    const user = this.#live[at];
    if (user === undefined) return;
    const { stream } = user;
    switch (random.below(4)) {
      case 0:
        return stream.consumed(Math.min(stream.unconsumed, random.below(5000)));
      case 1:
        return stream.reset();
      default:
        stream.sendHeaders([":status", "200"]);
        stream.sendData(random.bytes(random.below(30_000)));
        if (random.below(2) === 0) stream.sendTrailers(["grpc-status", "0"]);
        else stream.sendData(new Uint8Array(0), true);
        this.#live.splice(at, 1);
    }
  }

  #someId(): number {
    return Math.max(1, this.#nextId - 2 * (1 + this.random.below(6)));
  }

  #wrong(): Uint8Array {
    const { random } = this;
    if (random.below(3) === 0) return random.bytes(random.below(60));
    const type = random.below(12);
    const payload = random.bytes(random.below(3) === 0 ? random.below(2000) : random.below(12));
    const bytes = frame(type, random.below(256), random.below(3) * this.#someId(), payload);
    if (random.below(3) === 0) bytes[random.below(bytes.length)] ^= 1 << random.below(8);
    return random.below(5) === 0 ? bytes.slice(0, random.below(bytes.length + 1)) : bytes;
  }
}

/** One connection to its end, or until it has had enough. @returns how many frames it took */
function run(seed: number, most: number): number {
  const attack = new Attack(seed);
  const { random, peer } = attack;
  const { connection } = peer;
  let given = 0;
  while (given < most && !connection.failed) {
    const frames = Array.from({ length: 1 + random.below(4) }, () => attack.frame());
    given += frames.length;
    const bytes = joined(frames);
    for (let at = 0; at < bytes.length;) {
      const length = random.below(3) === 0 ? 1 + random.below(40) : bytes.length;
      peer.send(bytes.slice(at, at + length));
      at += length;
    }
    if (random.below(2) === 0) attack.act();
    if (random.below(4) > 0) peer.exchange();
    assert.ok(connection.openStreams <= 8, "streams are bounded");
    assert.ok(connection.queuedBytes <= 100_000 + 30_000, "what waits is bounded");
  }
  peer.exchange();
  if (connection.failed) {
    assert.ok(peer.goAway !== undefined, "a connection that ends says GOAWAY");
    assert.ok(peer.socket.ended);
    for (const failure of peer.failures) assert.ok(failure instanceof Http2Error, String(failure));
  }
  peer.socket.destroy();
  assert.equal(connection.openStreams, 0);
  assert.equal(connection.queuedBytes, 0);
  assert.equal(peer.clock.pendingCount, 0, "no timer is left");
  return given;
}

Deno.test("any frames into a connection: it lives, or ends with a GOAWAY", () => {
  let given = 0;
  let connections = 0;
  for (let seed = FIRST_SEED; given < INPUTS; seed++) {
    try {
      given += run(seed, Math.min(400, INPUTS - given));
      connections++;
    } catch (error) {
      throw new Error(`seed ${seed}: ${error instanceof Error ? error.stack : error}`, {
        cause: error,
      });
    }
  }
  assert.ok(given / connections > 10 || INPUTS < 1000, "connections live for a while");
  reached("fuzz", given, INPUTS, { connections });
});
