/**
 * The port's limits that are times, or counts of connections: with small figures, over real sockets.
 */
import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { gzipSync } from "node:zlib";
import { create } from "@bufbuild/protobuf";
import { KeyValueService } from "../../../src/gen/pairdb/v1/kv_pb.ts";
import { ERROR } from "../../../src/rpc/http2/mod.ts";
import { Attacker } from "../../support/attacker.ts";
import { Http2Peer } from "../../support/http2_by_hand.ts";
import { callJson, type TestPort, until, withPort } from "../../support/port.ts";
import { envelope } from "../../support/raw_rpc.ts";
import { frame, PREFACE } from "../../support/raw_http2.ts";
import { bodyOf, callBy, isEnveloped, waysOf } from "../../support/ways.ts";

async function metric({ port }: TestPort, series: string): Promise<number> {
  const text = await (await fetch(`${port.url}/metrics`)).text();
  const line = text.split("\n").find((each) => each.startsWith(`${series} `));
  return line === undefined ? 0 : Number(line.slice(series.length + 1));
}

const closed = (reason: string) => `pairdb_connections_closed_total{reason="${reason}"}`;
const MIB = 1024 * 1024;
/** A Get of tenant t, key k. */
const GET_K = envelope(Uint8Array.of(10, 1, 116, 18, 1, 107));

/** The flag of a message that is compressed. */
const COMPRESSED = 1;

/** Asks for the same over HTTP/1.1, by Connect, and reads nothing: without a listener, a socket does not. */
function askSilently({ port }: TestPort): Socket {
  const message = GET_K.subarray(5);
  const socket = connect({ port: port.port, host: "127.0.0.1" });
  socket.on("error", () => {});
  socket.write(
    "POST /pairdb.v1.KeyValueService/Get HTTP/1.1\r\nhost: 127.0.0.1\r\n" +
      `content-type: application/proto\r\ncontent-length: ${message.length}\r\n\r\n`,
  );
  socket.write(message);
  return socket;
}

/** Stores a value, and asks for it on a connection that grants no window. */
async function starve(it: TestPort, bytes: number): Promise<Attacker> {
  it.node.plant("t", "k", [new Uint8Array(bytes)]);
  const attacker = await Attacker.open(it.port.port, 0);
  attacker.send(attacker.grpc(1, "KeyValueService/Get"), frame(0, 1, 1, GET_K));
  return attacker;
}

Deno.test("port: 1,000 mute connections, and prefaces that stop, are closed while others are served", () =>
  withPort(async (it) => {
    const mute = await Promise.all(
      Array.from({ length: 1000 }, async (_, i) => {
        const attacker = await Attacker.mute(it.port.port);
        if (i % 2 === 0) attacker.socket.write(PREFACE.slice(0, i % 24));
        return attacker;
      }),
    );
    assert.equal((await callJson(it.port, "AdminService/Status", {})).status, 200);
    await Promise.all(mute.map((each) => each.ended()));
    assert.equal(await metric(it, closed("silent")), 1000);
  }, { limits: { prefaceTimeoutMs: 300 } }));

Deno.test("port: connections of one address are bounded", () =>
  withPort(async (it) => {
    // One of them is what asks for the metrics.
    const attackers: Attacker[] = [];
    for (let i = 0; i < 9; i++) attackers.push(await Attacker.open(it.port.port));
    await until(() => attackers.filter((each) => each.closed).length === 5);
    for (const each of attackers) await each.close();
    let refused = 0;
    while (refused === 0) {
      refused = await metric(it, closed("too_many_of_address")).catch(() => 0);
    }
    assert.ok(refused >= 5);
  }, { limits: { maxConnectionsPerAddress: 4 } }));

Deno.test("port: a header block that does not end is cut off, also where a call runs", () =>
  withPort(async (it) => {
    const attacker = await starve(it, 10);
    attacker.send(frame(1, 0, 3, Uint8Array.of(0x82)));
    await attacker.ended();
    assert.equal(attacker.goAway, ERROR.ENHANCE_YOUR_CALM);
    assert.equal(await metric(it, closed("slow_headers")), 1);
  }, { limits: { headerBlockTimeoutMs: 40 } }));

Deno.test("port: a request that never comes whole ends, also of a call without a deadline", () =>
  withPort(async (it) => {
    const attacker = await Attacker.open(it.port.port);
    const type = ["content-type", "application/grpc"];
    attacker.send(frame(1, 4, 1, attacker.block("/grpc.health.v1.Health/Watch", type)));
    attacker.send(frame(0, 0, 1, Uint8Array.of(0, 0, 0, 0, 9, 1)));
    // Headers and trailers that say deadline_exceeded, and that the rest is not wanted.
    await attacker.until(() => attacker.resets.has(ERROR.NO_ERROR));
    assert.ok(attacker.headers > 0 && attacker.resets.has(ERROR.NO_ERROR));
    await attacker.close();
    const watch = 'service="grpc.health.v1.Health",method="Watch",code="deadline_exceeded"';
    assert.equal(await metric(it, `pairdb_rpc_calls_total{${watch}}`), 1);
  }, { limits: { bodyTimeoutMs: 40 } }));

Deno.test("port: a client that takes nothing of its answer for long is cut off", () =>
  withPort(async (it) => {
    const attacker = await starve(it, 100_000);
    await attacker.ended();
    assert.equal(await metric(it, closed("stalled")), 1);
    assert.equal(await metric(it, "pairdb_answers_waiting_bytes"), 0);
  }, { limits: { stallTimeoutMs: 80 } }));

Deno.test("port: a client of HTTP/1.1 that takes nothing of its answer for long is cut off", () =>
  withPort(async (it) => {
    it.node.plant("t", "k", [new Uint8Array(24 * MIB)]);
    const socket = askSilently(it);
    await until(() => it.logged.some(({ event }) => event === "connection_closed"));
    assert.equal(await metric(it, closed("stalled")), 1);
    assert.equal(await metric(it, "pairdb_answers_waiting_bytes"), 0);
    socket.destroy();
  }, { limits: { stallTimeoutMs: 80, answerBytes: 60 * MIB } }));

Deno.test("port: large answers wait while others are not taken, and go out whole once they are gone", () =>
  withPort(async (it) => {
    const value = new Uint8Array(2 * MIB);
    crypto.getRandomValues(value.subarray(0, 65_536));
    const text = value.toBase64();
    it.node.plant("t", "k", [value]);
    const { get } = KeyValueService.method;
    const attackers: Attacker[] = [];
    for (let i = 0; i < 3; i++) {
      const attacker = await Attacker.open(it.port.port, 0);
      attacker.send(attacker.grpc(1, "KeyValueService/Get"), frame(0, 1, 1, GET_K));
      attackers.push(attacker);
    }
    while (await metric(it, "pairdb_answers_deferred") < 1);
    assert.ok(await metric(it, "pairdb_answers_waiting_bytes") <= 5 * MIB);
    const message = create(get.input, { tenantId: "t", key: "k" });
    const peers: Http2Peer[] = [];
    const asked = waysOf(get).map(async (way) => {
      const peer = await Http2Peer.open(it.port.port);
      peers.push(peer);
      const sent = { method: get, body: bodyOf(way, get, [message]) };
      return await callBy(way, { url: it.port.url, peer }, sent);
    });
    while (await metric(it, "pairdb_answers_deferred") < 1 + asked.length);
    // What is small does not wait.
    assert.equal((await callJson(it.port, "AdminService/Status", {})).status, 200);
    for (const attacker of attackers) await attacker.close();
    for (const { code, messages } of await Promise.all(asked)) {
      assert.equal(code, "ok");
      assert.ok((messages[0] as { value: string }).value === text, "whole");
    }
    for (const peer of peers) await peer.close();
    assert.equal(await metric(it, "pairdb_answers_deferred"), 0);
  }, { limits: { answerBytes: 3 * MIB, answerGraceMs: 30_000 } }));

Deno.test("port: of clients that take nothing those go that hold the most, where all hold too much", () =>
  withPort(async (it) => {
    const attackers: Attacker[] = [];
    for (let i = 0; i < 10; i++) attackers.push(await starve(it, 100_000));
    await until(() => attackers.filter((each) => each.closed).length === 5);
    assert.equal(await metric(it, closed("slow_reader")), 5);
    assert.ok(await metric(it, "pairdb_answers_waiting_bytes") <= 550_000);
    for (const each of attackers) await each.close();
  }, { limits: { answerBytes: 550_000, answerGraceMs: 40 } }));

Deno.test("port: an answer that would wait behind too much is counted as its client is told, on both lanes", () =>
  withPort(async (it) => {
    const attacker = await starve(it, 50_000);
    // Types know no case, but the short lane takes only the usual one.
    for (const [stream, type] of [[3, "application/grpc"], [5, "Application/grpc"]] as const) {
      const fields = ["content-type", type, "te", "trailers"];
      const block = attacker.block("/pairdb.v1.KeyValueService/Get", fields);
      attacker.send(frame(1, 4, stream, block), frame(0, 1, stream, GET_K));
    }
    await attacker.until(() => attacker.resets.get(ERROR.ENHANCE_YOUR_CALM) === 2);
    const calls = (code: string) =>
      metric(
        it,
        `pairdb_rpc_calls_total{service="pairdb.v1.KeyValueService",method="Get",code="${code}"}`,
      );
    assert.equal(await calls("resource_exhausted"), 2);
    assert.equal(await calls("ok"), 1, "the first waits for its client");
    assert.equal(await calls("canceled"), 0);
    await attacker.close();
  }, { limits: { connectionAnswerBytes: 70_000 } }));

Deno.test("port: clients of HTTP/1.1 that take nothing of their answers are cut off, one that reads is not", () =>
  withPort(async (it) => {
    // More than the kernel keeps for a connection.
    it.node.plant("t", "k", [new Uint8Array(24 * MIB)]);
    const silent = Array.from({ length: 4 }, () => askSilently(it));
    await until(() => it.logged.some(({ event }) => event === "connection_closed"));
    const cut = () => metric(it, closed("slow_reader"));
    assert.ok(await cut() > 0);
    // One is made while no more than the limit waits, and then waits too.
    assert.ok(await metric(it, "pairdb_answers_waiting_bytes") <= (40 + 25) * MIB);
    for (const socket of silent) socket.destroy();
    while (await metric(it, "pairdb_answers_waiting_bytes") > 0);
    const before = await cut();
    const response = await fetch(`${it.port.url}/pairdb.v1.KeyValueService/Get`, {
      method: "POST",
      headers: { "content-type": "application/proto" },
      body: GET_K.slice(5),
    });
    assert.ok((await response.bytes()).length > 24 * MIB);
    assert.equal(await cut(), before);
  }, { limits: { answerBytes: 40 * MIB, answerGraceMs: 40 } }));

Deno.test("port: the client that holds the most over HTTP/1.1 is cut off at the hard limit at once", () =>
  withPort(async (it) => {
    it.node.plant("t", "k", [new Uint8Array(24 * MIB)]);
    const socket = askSilently(it);
    await until(() => it.logged.some(({ event }) => event === "connection_closed"));
    assert.equal(await metric(it, closed("slow_reader")), 1);
    assert.equal(await metric(it, "pairdb_answers_waiting_bytes"), 0);
    socket.destroy();
  }, { limits: { answerBytesMax: 20 * MIB } }));

Deno.test("port: a request is counted by what it inflates to, every way", () =>
  withPort(async (it) => {
    const { put } = KeyValueService.method;
    const message = create(put.input, { tenantId: "t", key: "k", value: new Uint8Array(MIB) });
    for (const way of waysOf(put)) {
      const [first, second] = [
        await Http2Peer.open(it.port.port),
        await Http2Peer.open(it.port.port),
      ];
      const gate = Promise.withResolvers<void>();
      it.node.gate = gate.promise;
      const plain = bodyOf(way, put, [message]);
      const body = isEnveloped(way, put)
        ? envelope(gzipSync(plain.subarray(5)))
        : new Uint8Array(gzipSync(plain));
      if (isEnveloped(way, put)) body[0] = COMPRESSED;
      const begun = it.node.putsBegun;
      const ask = (peer: Http2Peer) =>
        callBy(way, { url: it.port.url, peer }, { method: put, body, encoding: "gzip" });
      const running = ask(first);
      await until(() => it.node.putsBegun === begun + 1);
      assert.ok(await metric(it, "pairdb_request_held_bytes") > MIB, way.name);
      assert.equal((await ask(second)).code, "resource_exhausted", way.name);
      gate.resolve();
      assert.equal((await running).code, "ok", way.name);
      while (await metric(it, "pairdb_request_held_bytes") > 0);
      assert.equal((await ask(second)).code, "ok", way.name);
      await first.close();
      await second.close();
    }
  }, { limits: { bodyBytes: 1.5 * MIB } }));

Deno.test("port: requests that find no room are refused, and the room comes back", () =>
  withPort(async (it) => {
    const attacker = await Attacker.open(it.port.port);
    // Two calls of which each lane has one; a third has no room.
    const part = new Uint8Array(4000);
    part.set([0, 0, 0, 0x40, 0]);
    attacker.send(attacker.grpc(1, "KeyValueService/Put"), frame(0, 0, 1, part));
    attacker.send(attacker.grpc(3, "KeyValueService/Put", ["grpc-encoding", "gzip"]));
    attacker.send(frame(0, 0, 3, part));
    attacker.send(attacker.grpc(5, "KeyValueService/Put"), frame(0, 0, 5, part));
    await attacker.until(() => attacker.resets.has(ERROR.NO_ERROR));
    assert.equal(await metric(it, "pairdb_requests_refused_total"), 1);
    await attacker.close();
    while (await metric(it, "pairdb_request_held_bytes") > 0);
    const value = new Uint8Array(5000).toBase64();
    const put = await callJson(it.port, "KeyValueService/Put", { tenantId: "t", key: "k", value });
    assert.equal(put.status, 200);
  }, { limits: { connectionBodyBytes: 10_000, bodyBytes: 20_000 } }));
