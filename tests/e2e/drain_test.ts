/**
 * SIGTERM under load: clients of two kinds put without pause, and the program is asked to stop in the
 * middle. Every call that began has its answer, every client is told to go away as RFC 9113 (section 6.8)
 * wants it, and what the store holds after a restart is what was acknowledged, no less and no more.
 * @module
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { connect } from "node:tls";
import { create, toBinary } from "@bufbuild/protobuf";
import { type ServiceError, status } from "@grpc/grpc-js";
import {
  KeyValueService,
  PutRequestSchema,
  type ScanEntry,
} from "../../src/gen/pairdb/v1/kv_pb.ts";
import { GRPC, GrpcClient, GrpcError } from "../../src/rpc/grpc_client.ts";
import { ClientConnection, HpackDecoder } from "../../src/rpc/http2/mod.ts";
import { FrameReader } from "../../src/rpc/http2/frame_reader.ts";
import { type Connection, denoClock, denoNetwork } from "../../src/runtime/mod.ts";
import { derOf } from "../support/certificates.ts";
import { GrpcJsClient } from "../support/grpc_js.ts";
import { until } from "../support/port.ts";
import { RawClient } from "../support/raw_http.ts";
import {
  DATA,
  END_HEADERS,
  END_STREAM,
  frame,
  GOAWAY,
  HEADERS,
  hello,
  nextFrame,
  nextOf,
  postBlock,
  SETTINGS,
} from "../support/raw_http2.ts";
import { Server, withServer } from "../support/server.ts";
import { withTlsServer } from "../support/tls_server.ts";

const TENANT = "drain";
const PUT = "/pairdb.v1.KeyValueService/Put";
const VALUE = new Uint8Array(100).fill(7);
const PING = 6;
const ACK = 1;
const MAX_31 = 2 ** 31 - 1;
/** Calls at once on each connection. */
const IN_FLIGHT = 16;
const OWN_CLIENTS = 4;
const GRPC_JS_CLIENTS = 2;
/** How often the certificate is replaced. */
const RENEWALS = 3;
/** Acknowledged puts of each client before the signal: all are in full swing then. */
const WARM = 200;

/** One client that puts new keys until it is told to go. */
interface Load {
  /** Keys whose put was answered with OK. */
  readonly acked: string[];
  /** Settles when the last call has ended; rejects when one ended as none may. */
  readonly done: Promise<unknown>;
  /** Looks at what the client was told. */
  check(): void;
  close(): void;
}

/** Puts `name/0`, `name/1` … with so many at once, each loop until its first failure. */
function puts(
  name: string,
  put: (key: string) => Promise<unknown>,
  isRefusal: (error: unknown) => boolean,
): Pick<Load, "acked" | "done"> {
  const acked: string[] = [];
  let next = 0;
  const loop = async () => {
    for (;;) {
      const key = `${name}/${next++}`;
      try {
        await put(key);
      } catch (error) {
        if (isRefusal(error)) return;
        throw new Error(`${key}: ${error}`, { cause: error });
      }
      acked.push(key);
    }
  };
  return { acked, done: Promise.all(Array.from({ length: IN_FLIGHT }, loop)) };
}

/** Our own client, with a look at the frames that it gets. */
async function ownLoad(name: string, port: number, ca: Uint8Array | undefined): Promise<Load> {
  const clock = denoClock();
  const tls = ca && { ca, serverName: "localhost", alpn: ["h2"] };
  const socket = await denoNetwork().connect({ host: "127.0.0.1", port, tls });
  const told = watch(socket);
  const connection = new ClientConnection({ socket, clock });
  const client = new GrpcClient({ connection, clock, authority: `127.0.0.1:${port}` });
  const load = puts(
    name,
    (key) => {
      const request = create(PutRequestSchema, { tenantId: TENANT, key, value: VALUE });
      return client.unary(PUT, toBinary(PutRequestSchema, request));
    },
    // Nothing but: the server has certainly not begun with it.
    (error) => error instanceof GrpcError && error.code === GRPC.UNAVAILABLE && error.notBegun,
  );
  return {
    ...load,
    check() {
      const { lastAnswered, goAways, ended } = told;
      assert.deepEqual(goAways, [[MAX_31, 0], [lastAnswered, 0]], `${name}: GOAWAYs`);
      assert(ended, `${name}: the connection did not end`);
    },
    close: () => connection.destroy(),
  };
}

/** What a client is told, frame by frame. */
function watch(socket: Connection) {
  const told = { lastAnswered: 0, goAways: [] as number[][], ended: false };
  const reader = new FrameReader((type, flags, stream, bytes, start) => {
    if (type === GOAWAY) {
      const view = new DataView(bytes.buffer, bytes.byteOffset + start);
      told.goAways.push([view.getUint32(0), view.getUint32(4)]);
    }
    const ends = type === HEADERS && (flags & END_STREAM) !== 0;
    if (ends) told.lastAnswered = Math.max(told.lastAnswered, stream);
  });
  socket.on("data", (chunk: Uint8Array) =>
    reader.read(chunk, (error) => {
      throw error;
    }));
  socket.once("end", () => told.ended = true);
  return told;
}

/** grpc-js. It makes calls that were certainly not begun again by itself, on a connection that it does not get. */
function grpcJsLoad(name: string, port: number, ca: Uint8Array | undefined): Load {
  const client = new GrpcJsClient(port, ca && { ca });
  const load = puts(
    name,
    (key) => client.unary(KeyValueService.method.put, { tenantId: TENANT, key, value: VALUE }),
    (error) => {
      const { code, details } = error as ServiceError;
      return code === status.UNAVAILABLE && details.startsWith("No connection established");
    },
  );
  return { ...load, check: () => {}, close: () => client.close() };
}

/**
 * A client that holds back its answer to the server's PING, and asks meanwhile how the server does.
 * @returns what it was told: the health service's status, and what /readyz said
 */
async function askAtTheEnd(client: RawClient): Promise<{ health: number; readyz: string }> {
  const goAway = await nextOf(client, GOAWAY);
  assert.deepEqual([...goAway.payload], [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
  const ping = await nextOf(client, PING);
  const grpc = { "content-type": "application/grpc", te: "trailers" };
  const check = postBlock("/grpc.health.v1.Health/Check", grpc);
  await client.send(frame(HEADERS, END_HEADERS, 1, check));
  await client.send(frame(DATA, END_STREAM, 1, new Uint8Array(5)));
  const readyz = postBlock("/readyz", { ":method": "GET" });
  await client.send(frame(HEADERS, END_HEADERS | END_STREAM, 3, readyz));
  const decoder = new HpackDecoder({ maxTableBytes: 4096, maxListBytes: 1e5 });
  let health = 0;
  let httpStatus = "";
  for (let ends = 0; ends < 2;) {
    const { type, flags, stream, payload } = await nextFrame(client);
    assert.notEqual(type, GOAWAY, "the PING was not answered yet");
    if (type === HEADERS) {
      const { headers } = decoder.decode(payload, 0, payload.length);
      if (stream === 3) httpStatus = headers[headers.indexOf(":status") + 1];
    }
    // A prefix of five bytes, and the status, field 1.
    if (type === DATA && stream === 1) health = payload[6];
    if ((type === HEADERS || type === DATA) && (flags & END_STREAM) !== 0) ends++;
  }
  await client.send(frame(PING, ACK, 0, ping.payload));
  const last = await nextOf(client, GOAWAY);
  assert.deepEqual([...last.payload], [0, 0, 0, 3, 0, 0, 0, 0]);
  await client.closed();
  return { health, readyz: httpStatus };
}

async function keysOf(server: Server, ca: Uint8Array | undefined): Promise<string[]> {
  const client = new GrpcJsClient(server.port, ca && { ca });
  const keys: string[] = [];
  for await (
    const { entries } of client.stream(KeyValueService.method.scan, {
      tenantId: TENANT,
      keysOnly: true,
    })
  ) keys.push(...entries.map(({ key }: ScanEntry) => key));
  client.close();
  return keys;
}

/** @param meanwhile  what else happens under the load, before the signal */
async function drains(
  server: Server,
  args: readonly string[],
  ca?: Uint8Array,
  meanwhile: (loads: readonly Load[]) => Promise<void> = async () => {},
): Promise<void> {
  const loads: Load[] = [];
  for (let i = 0; i < OWN_CLIENTS; i++) loads.push(await ownLoad(`own${i}`, server.port, ca));
  for (let i = 0; i < GRPC_JS_CLIENTS; i++) loads.push(grpcJsLoad(`js${i}`, server.port, ca));
  const early = loads.map(({ done }) => done.then(() => assert.fail("a load ended by itself")));
  const steady = (work: Promise<void>) => Promise.race([work, ...early]);
  const probe = ca === undefined ? await RawClient.open(server.port) : undefined;
  if (probe !== undefined) {
    await hello(probe);
    await nextOf(probe, SETTINGS);
  }
  try {
    await steady(until(() => loads.every(({ acked }) => acked.length >= WARM)));
    await steady(meanwhile(loads));
    const [code, asked] = await Promise.all([
      server.stop(),
      probe && askAtTheEnd(probe),
      ...loads.map(({ done }) => done),
    ]);
    if (probe !== undefined) assert.deepEqual(asked, { health: 2, readyz: "503" });
    assert.equal(code, 0);
    for (const load of loads) load.check();
  } finally {
    for (const load of loads) load.close();
    await probe?.close();
  }
  await using again = await Server.start({ data: server.data, args });
  const acked = loads.flatMap((load) => load.acked).sort();
  const stored = await keysOf(again, ca);
  assert.deepEqual(stored.toSorted(), acked);
  assert.equal(await again.stop(), 0);
}

/** grpc-js leaves the timers behind at which it would have tried to connect again. */
const LEAVES_TIMERS = { sanitizeOps: false, sanitizeResources: false };

Deno.test({
  name: "serve: SIGTERM under load loses no call and no acknowledged write [N14]",
  ...LEAVES_TIMERS,
  fn: () => withServer((server) => drains(server, [])),
});

Deno.test({
  name: "serve: SIGTERM under load loses none over TLS either",
  ...LEAVES_TIMERS,
  fn: () => withTlsServer((server, { ca, args }) => drains(server, args, ca.pem)),
});

Deno.test({
  name: "serve: certificates are replaced under load, and no connection notices",
  ...LEAVES_TIMERS,
  fn: () =>
    withTlsServer((server, { ca, args, write }) =>
      drains(server, args, ca.pem, async (loads) => {
        for (let round = 1; round <= RENEWALS; round++) {
          const renewed = ca.issue("server", { names: ["DNS:localhost", "IP:127.0.0.1"] });
          write("server", renewed);
          const der = Buffer.from(derOf(renewed.cert));
          // Each try is a handshake, in which the node gets its turn.
          while (!der.equals(await certificateOf(server.port)));
          const before = loads.map(({ acked }) => acked.length);
          await until(() => loads.every(({ acked }, i) => acked.length >= before[i] + IN_FLIGHT));
        }
      }), () => ({ "auth.reload_interval": "100ms" })),
});

/** The certificate that a new connection gets, in DER. */
function certificateOf(port: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false });
    socket.once("error", reject);
    socket.once("secureConnect", () => {
      const { raw } = socket.getPeerCertificate();
      socket.destroy();
      resolve(raw);
    });
  });
}
