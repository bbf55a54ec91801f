/**
 * The server beside etcd and Redis: the same calls, durable writes, in one run.
 *
 * `h2load` (Debian: nghttp2-client) sends gRPC Put and Get to PairDB and to etcd over 4 connections, 1 and
 * 16 calls in flight on each, 100-byte values; it repeats one request, so each server sees one key.
 * `redis-benchmark` drives Redis with `appendfsync always` and as many clients as there are calls in flight.
 * Before a figure counts, one call is made and its answer checked: h2load itself sees only HTTP.
 * @module
 */
import { connect } from "node:http2";
import { Buffer } from "node:buffer";
import { ByteWriter } from "../src/model/mod.ts";
import { which } from "./peers.ts";
import type { Row } from "./report.ts";

const CONNECTIONS = 4;
const VALUE = new Uint8Array(100).fill(0x76);

/** A protobuf message of length-delimited fields 1, 2, 3, … in a gRPC frame. */
function grpcFrame(...fields: (string | Uint8Array)[]): Uint8Array {
  const message = new ByteWriter();
  fields.forEach((field, i) => {
    message.u8(((i + 1) << 3) | 2)
      .bytes(typeof field === "string" ? new TextEncoder().encode(field) : field);
  });
  const frame = new Uint8Array(5 + message.length);
  new DataView(frame.buffer).setUint32(1, message.length);
  frame.set(message.view(), 5);
  return frame;
}

/** One call; throws unless its grpc-status is 0. */
function checkCall(port: number, path: string, body: Uint8Array): Promise<void> {
  const session = connect(`http://127.0.0.1:${port}`);
  return new Promise<void>((resolve, reject) => {
    session.on("error", reject);
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
    });
    let status: unknown = "absent";
    stream.on("response", (headers) => status = headers["grpc-status"] ?? status);
    stream.on("trailers", (trailers) => status = trailers["grpc-status"]);
    stream.on("error", reject);
    stream.on("end", () => {
      if (String(status) === "0") resolve();
      else reject(new Error(`${path} answers grpc-status ${status}`));
    });
    stream.resume();
    stream.end(Buffer.from(body));
  }).finally(() => session.close());
}

/** Requests a second that `h2load` gets. */
async function load(
  port: number,
  path: string,
  body: Uint8Array,
  requests: number,
  streams: number,
): Promise<number> {
  await checkCall(port, path, body);
  const file = await Deno.makeTempFile();
  try {
    await Deno.writeFile(file, body);
    const { stdout, success } = await new Deno.Command("h2load", {
      args: [
        ...["-n", String(requests), "-c", String(CONNECTIONS), "-m", String(streams), "-d", file],
        ...["-H", "content-type: application/grpc", "-H", "te: trailers"],
        `http://127.0.0.1:${port}${path}`,
      ],
      stderr: "null",
    }).output();
    const text = new TextDecoder().decode(stdout);
    const succeeded = /(\d+) succeeded/.exec(text)?.[1];
    const rate = /finished in [^,]+, ([\d.]+) req\/s/.exec(text)?.[1];
    if (!success || Number(succeeded) !== requests || rate === undefined) {
      throw new Error(`h2load ${path}: ${text}`);
    }
    return Number(rate);
  } finally {
    await Deno.remove(file);
  }
}

/** A server that was started for the run. */
interface Running {
  readonly port: number;
  stop(): Promise<void>;
}

function running(child: Deno.ChildProcess, port: number): Running {
  return {
    port,
    stop: async () => {
      child.kill("SIGTERM");
      await child.status;
    },
  };
}

/** Waits until a port takes connections. */
async function untilOpen(port: number): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    try {
      (await Deno.connect({ hostname: "127.0.0.1", port })).close();
      return;
    } catch (error) {
      if (!(error instanceof Deno.errors.ConnectionRefused)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  throw new Error(`nothing listens on port ${port}`);
}

function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  listener.close();
  return (listener.addr as Deno.NetAddr).port;
}

async function startPairDB(dir: string): Promise<Running> {
  const main = new URL("../main.ts", import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", main, "serve", "--listen", "127.0.0.1:0", "--data", `${dir}/pairdb`],
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value = "" } = await reader.read();
  const port = /ready on http:\/\/[^:]+:(\d+)/.exec(value)?.[1];
  if (port === undefined) throw new Error(`pairdb is not ready: ${value}`);
  const { stop } = running(child, Number(port));
  return { port: Number(port), stop: () => stop().then(() => reader.cancel()) };
}

async function startEtcd(dir: string, program: string): Promise<Running> {
  const [client, peer] = [freePort(), freePort()];
  const child = new Deno.Command(program, {
    args: [
      ...["--data-dir", `${dir}/etcd`, "--log-level", "error"],
      ...["--listen-client-urls", `http://127.0.0.1:${client}`],
      ...["--advertise-client-urls", `http://127.0.0.1:${client}`],
      ...["--listen-peer-urls", `http://127.0.0.1:${peer}`],
      ...["--initial-advertise-peer-urls", `http://127.0.0.1:${peer}`],
      ...["--initial-cluster", `default=http://127.0.0.1:${peer}`],
    ],
    stdout: "null",
    stderr: "null",
  }).spawn();
  await untilOpen(client);
  return running(child, client);
}

async function startRedis(dir: string, program: string): Promise<Running> {
  const port = freePort();
  const child = new Deno.Command(program, {
    args: [
      ...["--port", String(port), "--bind", "127.0.0.1", "--dir", dir],
      ...["--appendonly", "yes", "--appendfsync", "always", "--save", ""],
    ],
    stdout: "null",
    stderr: "null",
  }).spawn();
  await untilOpen(port);
  return running(child, port);
}

/** SET and GET rates of Redis with so many clients. */
async function loadRedis(port: number, requests: number, clients: number) {
  const { stdout } = await new Deno.Command("redis-benchmark", {
    args: [
      ...["-p", String(port), "-n", String(requests), "-c", String(clients), "-d", "100"],
      ...["-r", "100000", "-t", "set,get", "--csv"],
    ],
    stderr: "null",
  }).output();
  const text = new TextDecoder().decode(stdout);
  const of = (name: string) => Number(new RegExp(`"${name}","([\\d.]+)"`).exec(text)?.[1]);
  return { set: of("SET"), get: of("GET") };
}

/** Runs everything and returns a row an operation and depth. */
export async function benchServer(requests: number): Promise<Row[]> {
  if (await which("h2load") === undefined) {
    throw new Error("h2load is not installed (Debian: nghttp2-client)");
  }
  const [etcdProgram, redisProgram] = await Promise.all([which("etcd"), which("redis-server")]);
  const dir = await Deno.makeTempDir({ prefix: "pairdb-bench-" });
  const servers: Running[] = [];
  const start = async (server: Promise<Running>) => {
    servers.push(await server);
    return servers.at(-1)!.port;
  };
  try {
    const pairdb = await start(startPairDB(dir));
    const etcd = etcdProgram && await start(startEtcd(dir, etcdProgram));
    const redis = redisProgram && await start(startRedis(dir, redisProgram));
    const rows: Row[] = [];
    for (const streams of [1, 16]) {
      const inFlight = streams * CONNECTIONS;
      const put = await load(
        pairdb,
        "/pairdb.v1.KeyValueService/Put",
        grpcFrame("bench", "key-000000000001", VALUE),
        requests,
        streams,
      );
      const get = await load(
        pairdb,
        "/pairdb.v1.KeyValueService/Get",
        grpcFrame("bench", "key-000000000001"),
        requests,
        streams,
      );
      const peers: Record<"put" | "get", Record<string, number>> = { put: {}, get: {} };
      if (etcd) {
        const key = "key-000000000001";
        const kv = "/etcdserverpb.KV";
        peers.put.etcd = await load(etcd, `${kv}/Put`, grpcFrame(key, VALUE), requests, streams);
        peers.get.etcd = await load(etcd, `${kv}/Range`, grpcFrame(key), requests, streams);
      }
      if (redis) {
        const { set, get } = await loadRedis(redis, requests, inFlight);
        peers.put.Redis = set;
        peers.get.Redis = get;
      }
      rows.push(
        { name: `Put, 100 B, ${inFlight} in flight`, unit: "ops/s", pairdb: put, peers: peers.put },
        { name: `Get, 100 B, ${inFlight} in flight`, unit: "ops/s", pairdb: get, peers: peers.get },
      );
    }
    return rows;
  } finally {
    for (const server of servers) await server.stop();
    await Deno.remove(dir, { recursive: true });
  }
}
