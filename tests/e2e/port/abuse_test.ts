/**
 * Abuse of the real program in a process of its own: each attack meets its limit, is counted under its
 * name, makes the process hardly larger, and leaves a polite client on another connection its share.
 *
 * Timing decides nothing here: an attack is made again and again until the polite client has had a number of
 * answers, and fails when that takes too many rounds. What its throughput is worth in per cent is measured
 * by `deno task bench abuse`.
 * @module
 */
import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { brotliCompressSync, gzipSync, zstdCompressSync } from "node:zlib";
import { connectHttp2, ERROR } from "../../../src/rpc/http2/mod.ts";
import { GrpcClient } from "../../../src/rpc/grpc_client.ts";
import { denoClock, denoNetwork } from "../../../src/runtime/mod.ts";
import { Attacker } from "../../support/attacker.ts";
import {
  DATA,
  END_STREAM,
  FLOODS,
  GET,
  GET_LARGE,
  GET_MEDIUM,
  GET_SMALL,
  HEADER_BOMBS,
  headerFrames,
  MADE_TO_RESET,
  message,
  PUT,
} from "../../support/attacks.ts";
import { joined } from "../../support/http2_peer.ts";
import { envelope } from "../../support/raw_rpc.ts";
import { frame } from "../../support/raw_http2.ts";
import { callJson, Server, withDirectory } from "../../support/server.ts";

const FRAMES = 10_000;
const MIB = 1 << 20;
const GROWTH_MAX = 64 * MIB;
/**
 * Where large answers are made: two wait, one is made, and what making them took is there until it is
 * collected, which is later the less of the processor there is.
 */
const GROWTH_MAX_LARGE = 256 * MIB;
/** Answers that the polite client must have had... */
const POLITE_CALLS = 50;
/** ...within so many rounds of the attack. */
const ROUNDS_MAX = 200;

/** The server under attack and the polite client beside it. */
class Scene {
  readonly server: Server;
  readonly #pid: number;
  readonly #client: GrpcClient;
  #stopped = false;
  #calls = 0;
  #failures: unknown[] = [];
  #loop: Promise<void> = Promise.resolve();
  /** The largest size that was seen since {@link watch}. */
  #peak = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(server: Server, pid: number, client: GrpcClient) {
    this.server = server;
    this.#pid = pid;
    this.#client = client;
  }

  get port(): number {
    return this.server.port;
  }

  /** Bytes of memory that the process has. */
  memory(): number {
    const text = Deno.readTextFileSync(`/proc/${this.#pid}/status`);
    return Number(/VmRSS:\s+(\d+) kB/.exec(text)![1]) * 1024;
  }

  /** A series of /metrics; 0 when it is not there. */
  async metric(series: string): Promise<number> {
    const text = await (await fetch(`${this.server.url}/metrics`)).text();
    const line = text.split("\n").find((each) => each.startsWith(`${series} `));
    return line === undefined ? 0 : Number(line.slice(series.length + 1));
  }

  /** Runs an attack until the polite client has had its answers; then all the claims of this file. */
  async attack(
    series: string,
    round: (scene: Scene) => Promise<void>,
    growthMax = GROWTH_MAX,
    rounds = 1,
  ): Promise<void> {
    const counted = await this.metric(series);
    const before = this.memory();
    this.#watch();
    this.#calls = 0;
    this.#stopped = false;
    this.#loop = this.#bePolite();
    let made = 0;
    try {
      while (made < rounds || this.#calls < POLITE_CALLS) {
        assert.ok(made < ROUNDS_MAX, `${this.#calls} polite calls in ${made} rounds`);
        await round(this);
        made++;
      }
    } finally {
      this.#stopped = true;
      await this.#loop;
      clearInterval(this.#timer);
    }
    this.#peak = Math.max(this.#peak, this.memory());
    assert.deepEqual(this.#failures, [], "no polite call fails");
    const found = await this.metric(series) - counted;
    assert.ok(found >= made, `${series} counts what was done in each of ${made} rounds`);
    const growth = this.#peak - before;
    assert.ok(growth < growthMax, `the process grew by ${Math.round(growth / MIB)} MiB`);
    if (Deno.env.has("PAIRDB_ABUSE_VERBOSE")) {
      const figures = { series, made, calls: this.#calls, found, growthMiB: growth / MIB };
      await Deno.stdout.write(new TextEncoder().encode(`${JSON.stringify(figures)}\n`));
    }
  }

  /** Waits until the polite client has had its answers, while an attack holds on. */
  async polite(): Promise<void> {
    while (this.#calls < POLITE_CALLS && this.#failures.length === 0) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  #watch(): void {
    this.#peak = 0;
    this.#timer = setInterval(() => this.#peak = Math.max(this.#peak, this.memory()), 20);
  }

  async #bePolite(): Promise<void> {
    const request = message("abuse", "small");
    while (!this.#stopped) {
      try {
        await this.#client.unary(`/pairdb.v1.${GET}`, request, { timeoutMs: 50_000 });
        this.#calls++;
      } catch (error) {
        this.#failures.push(error);
        return;
      }
    }
  }
}

/** One round of a flood that ends its connection. */
function flood(
  make: (attacker: Attacker) => (i: number) => Uint8Array,
  windowBytes?: number,
): (scene: Scene) => Promise<void> {
  return async ({ port }) => {
    const attacker = await Attacker.open(port, windowBytes);
    await attacker.flood(FRAMES, make(attacker));
    await attacker.ended();
    assert.equal(attacker.goAway, ERROR.ENHANCE_YOUR_CALM);
  };
}

const closed = (reason: string) => `pairdb_connections_closed_total{reason="${reason}"}`;
const limited = (limit: string) => `pairdb_http2_limited_total{limit="${limit}"}`;

/** Puts a large value whose message is compressed, as the largest that a client may send. */
async function putCompressed(
  server: Server,
  encoding: string,
  compress: (bytes: Uint8Array) => Uint8Array,
): Promise<void> {
  const response = await fetch(`${server.url}/pairdb.v1.${PUT}`, {
    method: "POST",
    headers: { "content-type": "application/proto", "content-encoding": encoding },
    body: Uint8Array.from(compress(message("abuse", "huge", new Uint8Array(9 * MIB)))),
  });
  await response.body?.cancel();
  assert.equal(response.status, 200);
}

/** Calls that the RPC library answers, all at once. */
async function callLongLane(port: number, count: number): Promise<void> {
  const client = await Attacker.open(port);
  await client.flood(count, (i) => {
    const id = 2 * i + 1;
    return joined([
      client.grpc(id, GET, ["grpc-encoding", "gzip"]),
      frame(DATA, END_STREAM, id, GET_SMALL),
    ]);
  });
  await client.until(() => client.headers >= 2 * count);
  await client.close();
}

Deno.test("abuse", async (t) => {
  await withDirectory(async (directory) => {
    let pid = 0;
    await using server = await Server.start({
      data: `${directory}/data`,
      onSpawn: (child) => pid = child.pid,
    });
    const large = new Uint8Array(MIB).fill(7).toBase64();
    await callJson(server, PUT, { tenantId: "abuse", key: "small", value: "YQ==" });
    await callJson(server, PUT, { tenantId: "abuse", key: "large", value: large });
    const medium = new Uint8Array(MIB / 4).toBase64();
    await callJson(server, PUT, { tenantId: "abuse", key: "medium", value: medium });
    const clock = denoClock();
    const connection = await connectHttp2(denoNetwork(), { host: "127.0.0.1", port: server.port }, {
      clock,
    });
    const client = new GrpcClient({ connection, clock, authority: `127.0.0.1:${server.port}` });
    const scene = new Scene(server, pid, client);
    const path = `/pairdb.v1.${GET}`;
    // What the process takes for doing its work is no growth by an attack.
    for (let i = 0; i < 3000; i++) await client.unary(path, message("abuse", "small"));
    for (let i = 0; i < 100; i++) await client.unary(path, message("abuse", "large"));
    for (let i = 0; i < 3; i++) {
      await putCompressed(server, "gzip", gzipSync);
      await putCompressed(server, "br", brotliCompressSync);
      await putCompressed(server, "zstd", zstdCompressSync);
    }
    for (let round = 0; round < 15; round++) await callLongLane(server.port, 400);

    for (const [name, [reason, make]] of Object.entries(FLOODS)) {
      const windowBytes = name.startsWith("windows") ? 0 : undefined;
      await t.step(name, () => scene.attack(closed(reason), flood(make, windowBytes)));
    }
    for (const [name, make] of Object.entries(MADE_TO_RESET)) {
      await t.step(`made to reset: ${name}`, () =>
        scene.attack(
          closed("resets"),
          flood((attacker) => (i) => joined(make(attacker, 2 * i + 1))),
        ));
    }
    for (const [name, make] of Object.entries(HEADER_BOMBS)) {
      await t.step(
        `header bomb: ${name}`,
        () =>
          scene.attack(closed("headers"), async ({ port }) => {
            const attacker = await Attacker.open(port);
            attacker.send(headerFrames(1, make(attacker)));
            await attacker.ended();
            assert.equal(attacker.goAway, ERROR.ENHANCE_YOUR_CALM);
          }),
      );
    }

    await t.step(
      "no window, and a large answer on every stream",
      () =>
        scene.attack(limited("held"), async ({ port }) => {
          const attacker = await Attacker.open(port, 0);
          await attacker.flood(900, (i) =>
            joined([
              attacker.grpc(2 * i + 1, GET),
              frame(DATA, END_STREAM, 2 * i + 1, GET_LARGE),
            ]));
          while (await scene.metric("pairdb_answers_waiting_bytes") <= 4 * MIB);
          assert.ok(await scene.metric("pairdb_answers_waiting_bytes") <= 6 * MIB);
          assert.equal(attacker.data, 0);
          await attacker.close();
        }),
    );

    await t.step(
      "100 silent readers of a large value",
      () =>
        scene.attack(closed("slow_reader"), async ({ port }) => {
          const readers: Attacker[] = [];
          for (let i = 0; i < 100; i++) {
            const reader = await Attacker.open(port, 0);
            reader.send(reader.grpc(1, GET), frame(DATA, END_STREAM, 1, GET_MEDIUM));
            readers.push(reader);
          }
          // Those that hold the most are cut off until the rest may stay.
          while (readers.filter((each) => each.closed).length < 30) {
            await new Promise((resolve) => setTimeout(resolve, 10));
          }
          await Promise.all(readers.map((reader) => reader.close()));
        }),
    );

    await t.step("100 silent readers of a scan", async () => {
      const value = new Uint8Array(20_000).toBase64();
      const items = Array.from({ length: 100 }, (_, i) => ({ key: `scan/${i}`, value }));
      await callJson(server, "KeyValueService/BatchPut", { tenantId: "scans", items });
      await scene.attack("pairdb_connections_total", async ({ port }) => {
        const readers: Attacker[] = [];
        for (let i = 0; i < 100; i++) {
          const reader = await Attacker.open(port, 0);
          const request = envelope(message("scans"));
          reader.send(reader.grpc(1, "KeyValueService/Scan"), frame(DATA, END_STREAM, 1, request));
          readers.push(reader);
        }
        await Promise.all(readers.map((reader) => reader.until(() => reader.headers > 0)));
        // Each scan has come no further than one message.
        const waiting = await scene.metric("pairdb_answers_waiting_bytes");
        assert.ok(waiting > 0 && waiting <= 100 * 100_000, `${waiting} bytes wait`);
        await scene.polite();
        await Promise.all(readers.map((reader) => reader.close()));
      });
    });

    const json = new TextEncoder().encode('{"tenantId":"abuse","key":"huge"}');
    const asJson = ["content-type", "application/json"];
    const asWeb = ["content-type", "application/grpc-web+proto"];
    const asStream = ["content-type", "application/connect+json"];
    const scan = new TextEncoder().encode('{"tenantId":"abuse","start":"huge"}');
    const batch = message("abuse", "huge");
    /** Connections, calls on each, path, content type, body. */
    const unread: Record<string, [number, number, string, string[], Uint8Array]> = {
      "400 calls in JSON": [1, 400, GET, asJson, json],
      "100 calls of gRPC-Web": [1, 100, GET, asWeb, envelope(message("abuse", "huge"))],
      "400 scans in JSON": [1, 400, "KeyValueService/Scan", asStream, envelope(scan)],
      "100 batches": [
        1,
        100,
        "KeyValueService/BatchGet",
        ["content-type", "application/proto"],
        batch,
      ],
      "10 connections with 10 calls in JSON": [10, 10, GET, asJson, json],
      "100 connections with a call in JSON": [100, 1, GET, asJson, json],
    };
    for (const [name, [connections, calls, method, type, body]] of Object.entries(unread)) {
      await t.step(
        `no window, and a value of 9 MiB: ${name}`,
        () =>
          scene.attack("pairdb_answers_deferred_total", async ({ port }) => {
            const attackers: Attacker[] = [];
            for (let i = 0; i < connections; i++) {
              const attacker = await Attacker.open(port, 0);
              const head = (id: number) =>
                frame(1, 4, id, attacker.block(`/pairdb.v1.${method}`, type));
              attacker.send(
                ...Array.from({ length: calls }, (_, i) =>
                  joined([head(2 * i + 1), frame(DATA, END_STREAM, 2 * i + 1, body)])),
              );
              attackers.push(attacker);
            }
            while (await scene.metric("pairdb_answers_waiting_bytes") < 9 * MIB);
            await scene.polite();
            assert.ok(await scene.metric("pairdb_answers_waiting_bytes") < 32 * MIB);
            for (const attacker of attackers) {
              await attacker.close();
            }
          }, GROWTH_MAX_LARGE),
      );
    }

    await t.step(
      "100 connections over HTTP/1.1 that do not read a value of 9 MiB",
      () =>
        scene.attack("pairdb_answers_deferred_total", async ({ port }) => {
          const sockets: Socket[] = [];
          const head = `POST /pairdb.v1.${GET} HTTP/1.1\r\nhost: 127.0.0.1\r\n` +
            `content-type: application/json\r\ncontent-length: ${json.length}\r\n\r\n`;
          for (let i = 0; i < 100; i++) {
            // Without a listener a socket reads nothing.
            const socket = connect({ port, host: "127.0.0.1" });
            socket.on("error", () => {});
            socket.write(head);
            socket.write(json);
            sockets.push(socket);
          }
          while (await scene.metric("pairdb_answers_waiting_bytes") < 9 * MIB);
          await scene.polite();
          assert.ok(await scene.metric("pairdb_answers_waiting_bytes") < 32 * MIB);
          for (const socket of sockets) socket.destroy();
        }, GROWTH_MAX_LARGE),
    );

    await t.step(
      "lengths that lie",
      () =>
        scene.attack("pairdb_connections_total", async ({ port }) => {
          const attacker = await Attacker.open(port);
          // 16 MiB are promised, 5 bytes come: 40 times, in both lanes.
          const prefix = Uint8Array.of(0, 0x00, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5);
          await attacker.flood(40, (i) => {
            const extra = i % 2 === 0 ? [] : ["grpc-encoding", "gzip"];
            const id = 2 * i + 1;
            return joined([attacker.grpc(id, PUT, extra), frame(DATA, 0, id, prefix)]);
          });
          // Above the limit: refused at once, while the body is still to come.
          assert.equal(attacker.headers, 0);
          attacker.send(
            attacker.grpc(2001, PUT),
            frame(DATA, 0, 2001, Uint8Array.of(0, 0x7f, 0xff, 0xff, 0xff, 1)),
          );
          await attacker.until(() => attacker.resets.has(ERROR.NO_ERROR));
          assert.ok(attacker.headers > 0 && attacker.resets.has(ERROR.NO_ERROR));
          await attacker.close();
        }),
    );

    const zeros = new Uint8Array(64 * MIB);
    const bombs: Record<string, Uint8Array> = {
      gzip: gzipSync(zeros),
      br: brotliCompressSync(zeros),
      zstd: zstdCompressSync(zeros),
    };
    for (const [encoding, bomb] of Object.entries(bombs)) {
      await t.step(`compression bomb: ${encoding}`, () =>
        scene.attack(
          'pairdb_rpc_calls_total{service="pairdb.v1.KeyValueService",method="Put",code="resource_exhausted"}',
          async ({ port }) => {
            const attacker = await Attacker.open(port);
            const prefixed = envelope(bomb);
            prefixed[0] = 1;
            for (let i = 0; i < 10; i++) {
              const id = 2 * i + 1;
              attacker.send(attacker.grpc(id, PUT, ["grpc-encoding", encoding]));
              for (let at = 0; at < prefixed.length; at += 16_384) {
                const end = at + 16_384 >= prefixed.length ? END_STREAM : 0;
                attacker.send(frame(DATA, end, id, prefixed.subarray(at, at + 16_384)));
              }
            }
            await attacker.until(() => attacker.headers >= 20);
            assert.ok(attacker.headers >= 20, "each has its answer and its trailers");
            await attacker.close();
          },
        ));
    }

    connection.close();
    assert.equal(await server.stop(), 0);
  });
});
