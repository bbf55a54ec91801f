/**
 * The server's side: how streams begin, are refused, and how a connection goes away politely.
 */
import assert from "node:assert/strict";
import { ERROR, MAX_31 } from "../../../../src/rpc/http2/frames.ts";
import { OutputBuffers, ServerConnection } from "../../../../src/rpc/http2/mod.ts";
import { type Connection, settle, SimClock, SimNetwork } from "../../../../src/runtime/mod.ts";
import { Collector, Peer, uint32, WIDE_LIMITS } from "../../../support/http2_peer.ts";
import { frame, PREFACE } from "../../../support/raw_http2.ts";

const DATA = 0;
const RST_STREAM = 3;
const SETTINGS = 4;
const PING = 6;
const GOAWAY = 7;
const ACK = 1;

/** A peer with one call that runs. */
function busyPeer(): Peer {
  const peer = new Peer();
  peer.send(peer.request(1, true));
  peer.exchange();
  return peer;
}

function answer(peer: Peer, id: number): void {
  const { stream } = peer.users.get(id)!;
  stream.sendHeaders([":status", "200"]);
  stream.sendData(new Uint8Array(3), true);
  peer.exchange();
}

Deno.test("the preface is SETTINGS that name our limits, and the connection's window", () => {
  const peer = new Peer({ limits: { connectionWindowBytes: 4 << 20, streamWindowBytes: 1 << 20 } });
  peer.exchange();
  const [settings] = peer.frames;
  assert.equal(settings.type, SETTINGS);
  const view = new DataView(settings.payload.buffer);
  const named = Array.from(
    { length: settings.payload.length / 6 },
    (_, i) => [view.getUint16(6 * i), view.getUint32(6 * i + 2)],
  );
  assert.deepEqual(named, [[3, 100], [4, 1 << 20], [6, 16_384]]);
  assert.equal(peer.maySend, 4 << 20);
});

Deno.test("drain: GOAWAY(2^31 - 1), PING, GOAWAY(last), the last answers, the end", () => {
  const peer = busyPeer();
  peer.connection.drain();
  peer.exchange();
  assert.deepEqual(peer.of(GOAWAY).map(({ payload }) => payload), [
    Uint8Array.from([...uint32(MAX_31), ...uint32(0)]),
  ]);
  assert.equal(peer.of(PING).length, 1);
  // Sent before the client read that: it is served.
  peer.send(peer.request(3, true));
  peer.send(frame(PING, ACK, 0, new Uint8Array(8)));
  peer.exchange();
  assert.equal(peer.goAway?.last, 3);
  assert.equal(peer.users.size, 2);
  // Sent after it: told to go elsewhere, with its body, which is no fault.
  peer.send(peer.request(5, false), frame(DATA, 1, 5, new Uint8Array(10)));
  peer.exchange();
  assert.equal(peer.streamOf(5).reset, ERROR.REFUSED_STREAM);
  assert.equal(peer.users.size, 2);
  for (const id of [1, 3]) {
    assert.ok(!peer.socket.ended);
    answer(peer, id);
    assert.ok(peer.streamOf(id).ended);
  }
  assert.ok(peer.socket.ended);
  assert.deepEqual(peer.failures, []);
});

Deno.test("drain: a client that does not answer the PING is waited for no longer than a second", async () => {
  const peer = busyPeer();
  peer.connection.drain();
  answer(peer, 1);
  assert.ok(!peer.socket.ended);
  await peer.clock.advance(1000);
  peer.exchange();
  assert.equal(peer.goAway?.last, 1);
  assert.ok(peer.socket.ended);
});

Deno.test("drain: the last answer is not cut off while the client is still taking it", async () => {
  const peer = busyPeer();
  peer.connection.drain();
  peer.send(frame(PING, ACK, 0, new Uint8Array(8)));
  const { stream } = peer.users.get(1)!;
  stream.sendHeaders([":status", "200"]);
  stream.sendData(new Uint8Array(50_000), true);
  peer.connection.output.flush();
  assert.ok(peer.socket.ended && peer.socket.written.length > 0);
  await peer.clock.advance(5_000);
  assert.ok(!peer.socket.destroyed);
  peer.exchange();
  assert.ok(peer.streamOf(1).ended);
  await peer.clock.advance(250);
  assert.ok(peer.socket.destroyed);
  assert.equal(peer.clock.pendingCount, 0);
});

Deno.test("drain: a client that never takes the last answer is cut off in the end", async () => {
  const peer = busyPeer();
  peer.connection.drain();
  peer.send(frame(PING, ACK, 0, new Uint8Array(8)));
  const { stream } = peer.users.get(1)!;
  stream.sendHeaders([":status", "200"], true);
  peer.connection.output.flush();
  await peer.clock.advance(10_000);
  assert.ok(peer.socket.destroyed);
  assert.equal(peer.clock.pendingCount, 0);
});

Deno.test("a client's GOAWAY ends the connection after its last call", () => {
  const peer = busyPeer();
  peer.send(frame(GOAWAY, 0, 0, new Uint8Array(8)));
  peer.exchange();
  assert.ok(!peer.socket.ended);
  answer(peer, 1);
  assert.ok(peer.streamOf(1).ended && peer.socket.ended);
});

Deno.test("streams above the limit are refused, and cost the others nothing", () => {
  const peer = new Peer({ limits: { maxConcurrentStreams: 3 } });
  for (let id = 1; id < 21; id += 2) peer.send(peer.request(id, true));
  peer.exchange();
  assert.equal(peer.users.size, 3);
  for (let id = 7; id < 21; id += 2) assert.equal(peer.streamOf(id).reset, ERROR.REFUSED_STREAM);
  answer(peer, 3);
  peer.send(peer.request(21, true));
  assert.equal(peer.users.size, 4);
});

Deno.test("refused streams count for one reset each", () => {
  const resets = { burst: 100, perSecond: 0 };
  const peer = new Peer({ limits: { maxConcurrentStreams: 1, resets } });
  for (let i = 0; i <= 100; i++) peer.send(peer.request(2 * i + 1, true));
  assert.deepEqual(peer.failures, []);
  peer.send(peer.request(203, true));
  peer.exchange();
  assert.equal(peer.goAway?.debug, "too much of this: resets");
});

Deno.test("ids that are even, or not above the last one, end the connection", () => {
  for (const id of [2, 1, 3]) {
    const peer = new Peer();
    peer.send(peer.request(5, true));
    peer.send(peer.request(id, true));
    peer.exchange();
    assert.equal(peer.goAway?.code, ERROR.PROTOCOL_ERROR, `stream ${id} after 5`);
  }
});

Deno.test("work begins when the whole chunk was looked at", () => {
  const begun: number[] = [];
  const peer = new Peer({
    handler: {
      open(stream, head, connection) {
        const user = new Collector(stream, head);
        connection.defer({ begin: () => user.resetCode ?? begun.push(stream.id) });
        return user;
      },
    },
  });
  const requests = [peer.request(1, true), peer.request(3, true)];
  const reset = frame(RST_STREAM, 0, 1, Uint8Array.from(uint32(8)));
  const chunk = new Uint8Array([...requests[0], ...requests[1], ...reset]);
  peer.send(chunk);
  assert.deepEqual(begun, [3]);
});

Deno.test("a header list that is too large is answered where there is room, and its stream ends in any case", () => {
  for (const windowBytes of [0, 100]) {
    const peer = new Peer({
      windowBytes,
      handler: {
        refuse(stream) {
          stream.sendHeaders([":status", "431"]);
          stream.sendData(new Uint8Array(50), true);
        },
      },
    });
    peer.send(peer.request(1, false, ["x", "a".repeat(20_000)]));
    peer.exchange();
    assert.equal(peer.connection.openStreams, 0);
    assert.equal(peer.streamOf(1).headers?.[1], "431");
    const code = windowBytes === 0 ? ERROR.ENHANCE_YOUR_CALM : ERROR.NO_ERROR;
    assert.equal(peer.streamOf(1).reset, code);
    assert.deepEqual(peer.failures, []);
  }
});

Deno.test("a connection over a network: both prefaces, a call, and the end", async () => {
  const network = new SimNetwork();
  const clock = new SimClock();
  const connections: ServerConnection[] = [];
  await network.listen({ host: "n", port: 1 }, (socket: Connection) => {
    const connection = new ServerConnection(
      { socket, clock, limits: WIDE_LIMITS, buffers: new OutputBuffers() },
      {
        open(stream, head) {
          stream.sendHeaders([":status", "200"]);
          stream.sendData(new TextEncoder().encode(head.path), true);
          return new Collector(stream, head);
        },
        refuse: (stream) => stream.reset(),
        ended: () => {},
      },
    );
    connections.push(connection);
    socket.on("data", (chunk: Uint8Array) => connection.receive(chunk));
  });
  const socket = await network.connect({ host: "n", port: 1 });
  const received: number[] = [];
  socket.on("data", (chunk: Uint8Array) => received.push(...chunk));
  // The preface's fixed part is read by who accepts the connection.
  assert.equal(PREFACE.length, 24);
  socket.write(frame(SETTINGS, 0, 0));
  const peer = new Peer();
  socket.write(peer.request(1, true, [], "/over/the/network"));
  await settle();
  const text = String.fromCharCode(...received);
  assert.ok(text.includes("/over/the/network"));
  socket.destroy();
  connections[0].drain();
  await clock.advance(20_000);
  assert.equal(connections[0].openStreams, 0);
  assert.equal(clock.pendingCount, 0);
});
