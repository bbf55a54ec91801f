/**
 * A server for `connectconformance`, as a process: it reads one ServerCompatRequest from standard
 * input, serves the suite's service on the product's own transport, says where on standard output,
 * and serves until SIGTERM. Both messages have their length before them, 4 bytes, big-endian. It logs
 * to standard error only.
 *
 *     connectconformance --mode server --conf tests/conformance/server.yaml \
 *       --known-failing @tests/conformance/known-failing.txt -v -- deno run -A tests/conformance/server.ts
 * @module
 */
import assert from "node:assert/strict";
import { create, createRegistry, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Hono } from "hono";
import { createPipeline } from "../../src/rpc/pipeline.ts";
import { DEFAULT_PORT_LIMITS } from "../../src/rpc/limits.ts";
import { openTransport, type PortTls, type Transport } from "../../src/rpc/port.ts";
import { bind, routesOf } from "../../src/rpc/router.ts";
import { denoClock, denoNetwork, type Log, type LogFields } from "../../src/runtime/mod.ts";
import { createOriginGuard, DEFAULT_CORS_ORIGINS, Registry } from "../../src/web/mod.ts";
import {
  type ServerCompatRequest,
  ServerCompatRequestSchema,
  type ServerCompatResponse,
  ServerCompatResponseSchema,
} from "./gen/connectrpc/conformance/v1/server_compat_pb.ts";
import {
  ConformanceService,
  file_connectrpc_conformance_v1_service,
} from "./gen/connectrpc/conformance/v1/service_pb.ts";
import { conformanceService } from "./service.ts";

const HOST = "127.0.0.1";

/** Time for a handshake, in ms. */
const HANDSHAKE_MS = 10_000;

/** The suite shows what comes here when a case fails. */
const log: Log = {
  debug: () => {},
  info: (event, fields) => say("info", event, fields),
  warn: (event, fields) => say("warn", event, fields),
  error: (event, fields) => say("error", event, fields),
};

const request = fromBinary(ServerCompatRequestSchema, await readFramed());
const tls = tlsOf(request);
const transport = await serve(request.messageReceiveLimit, tls);
const stopped = new Promise<void>((resolve) => Deno.addSignalListener("SIGTERM", resolve));
await writeFramed(create(ServerCompatResponseSchema, {
  host: HOST,
  port: transport.port,
  pemCert: tls?.cert,
}));
await stopped;
await transport.close();
Deno.exit(0);

/** The TLS that the suite asks for; undefined for cleartext. */
function tlsOf({ useTls, serverCreds, clientTlsCert }: ServerCompatRequest): PortTls | undefined {
  if (!useTls) return undefined;
  assert.ok(serverCreds !== undefined, "TLS was asked for without a certificate");
  const { cert, key } = serverCreds;
  const shared = { cert, key, minVersion: "1.2" as const, handshakeTimeoutMs: HANDSHAKE_MS };
  // Clients have to show a certificate that this one has signed, or is.
  return clientTlsCert.length > 0
    ? { ...shared, clientAuth: "require", ca: clientTlsCert }
    : { ...shared, clientAuth: "none" };
}

/** @param limit  bytes of one message from a client; 0: the product's own limit */
function serve(limit: number, tls: PortTls | undefined): Promise<Transport> {
  const clock = denoClock();
  const registry = new Registry();
  const readMaxBytes = limit === 0 ? DEFAULT_PORT_LIMITS.readMaxBytes : limit;
  const limits = { ...DEFAULT_PORT_LIMITS, readMaxBytes };
  const pipeline = createPipeline({ clock, log, registry, errorDetails: false });
  return openTransport({
    clock,
    network: denoNetwork(),
    log,
    host: HOST,
    port: 0,
    tls,
    limits,
    registry,
    routes: routesOf([bind(ConformanceService, conformanceService(clock))], {
      clock,
      limits,
      pipeline,
      messages: createRegistry(file_connectrpc_conformance_v1_service),
    }),
    pipeline,
    errorDetails: false,
    web: new Hono(),
    judge: createOriginGuard({ origins: DEFAULT_CORS_ORIGINS, hosts: [], loopback: true }),
  });
}

function say(level: string, event: string, fields: LogFields = {}): void {
  Deno.stderr.writeSync(
    new TextEncoder().encode(`${JSON.stringify({ level, event, ...fields })}\n`),
  );
}

async function readFramed(): Promise<Uint8Array> {
  const head = await readFully(4);
  return await readFully(new DataView(head.buffer).getUint32(0));
}

async function readFully(length: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length;) {
    const count = await Deno.stdin.read(bytes.subarray(at));
    assert.ok(count !== null, "standard input ended inside a message");
    at += count;
  }
  return bytes;
}

async function writeFramed(message: ServerCompatResponse): Promise<void> {
  const bytes = toBinary(ServerCompatResponseSchema, message);
  const frame = new Uint8Array(4 + bytes.length);
  new DataView(frame.buffer).setUint32(0, bytes.length);
  frame.set(bytes, 4);
  for (let at = 0; at < frame.length;) at += await Deno.stdout.write(frame.subarray(at));
}
