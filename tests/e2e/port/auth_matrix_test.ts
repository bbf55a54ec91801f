/**
 * Every RPC, with every kind of credentials, over every protocol: what comes of it, and that nothing has
 * changed where it was refused. What is expected is reckoned from the role and the table of the design
 * below, not from the product's own table.
 * @module
 */
import assert from "node:assert/strict";
import { create, type DescMethod, type DescService, toBinary } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { Code, type ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
  Http2SessionManager,
} from "@connectrpc/connect-node";
import { Buffer } from "node:buffer";
import { AdminService } from "../../../src/gen/pairdb/v1/admin_pb.ts";
import { KeyValueService } from "../../../src/gen/pairdb/v1/kv_pb.ts";
import { StorageNodeService } from "../../../src/gen/pairdb/v1/storage_node_pb.ts";
import { TenantService } from "../../../src/gen/pairdb/v1/tenant_pb.ts";
import { Health } from "../../../src/gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../../src/gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ReflectionAlpha } from "../../../src/gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { CredentialsAuthority, type PortTls } from "../../../src/rpc/mod.ts";
import { denoClock, silentLog } from "../../../src/runtime/mod.ts";
import { TestCa } from "../../support/certificates.ts";
import type { FakeNode } from "../../support/fake_node.ts";
import { type TestPort, withPort } from "../../support/port.ts";
import { certificateOf, tokenOf } from "../../unit/rpc/auth/support.ts";

const TENANT = "shop";
const SERVICES: readonly DescService[] = [
  KeyValueService,
  StorageNodeService,
  TenantService,
  AdminService,
  Health,
  ServerReflection,
  ReflectionAlpha,
];

/** Whose the calls of a service are, and which of them change nothing. */
const KEY_READS = ["Get", "ExplainGet", "BatchGet", "Scan", "Watch"];
/** Upkeep that tells of keys: clients may ask, each of its own tenant. */
const KEY_UPKEEP = "ListHotKeys";
const UPKEEP_READS = [
  ...["Status", "ListSnapshots", "VerifySnapshot", "ListTenants"],
  "ListSlowOperations",
  "ListJobs",
  "ListMergeFunctions",
];
/** Of AdminService, for nodes too. */
const MIGRATION = ["StartMigration", "CancelMigration"];

const CA = new TestCa("ours");
const SERVER = CA.issue("server", { names: ["DNS:localhost"] });
const CERTIFICATE = CA.issue("node", { names: ["URI:spiffe://example.org/node/1"] });
const TLS: PortTls = {
  ...SERVER,
  ca: CA.pem,
  clientAuth: "request",
  minVersion: "1.2",
  handshakeTimeoutMs: 10_000,
  listen: { host: "127.0.0.1", port: 0 },
};

const CLIENT = tokenOf(1, { tenants: [TENANT] });
const READER = tokenOf(2, { tenants: [TENANT], read_only: true });
const STRANGER = tokenOf(3, { tenants: ["other"] });
const OPERATOR = tokenOf(4, { role: "operator", tenants: "*" });
const INSPECTOR = tokenOf(5, { role: "operator", tenants: "*", read_only: true });
const NODE = tokenOf(6, { role: "node", tenants: "*" });
const EXPIRED = tokenOf(7, { role: "operator", tenants: "*", expires_at: "2020-01-01T00:00:00Z" });
const REVOKED = tokenOf(8, { role: "operator", tenants: "*" });

type Kind = "nobody" | "client" | "reader" | "stranger" | "operator" | "inspector" | "node";

/** What is shown, and who that is. */
const CREDENTIALS: Readonly<Record<string, { token?: string; kind: Kind; certificate?: true }>> = {
  none: { kind: "nobody" },
  garbage: { token: "pdb_garbage", kind: "nobody" },
  expired: { token: EXPIRED.text, kind: "nobody" },
  revoked: { token: REVOKED.text, kind: "nobody" },
  client: { token: CLIENT.text, kind: "client" },
  reader: { token: READER.text, kind: "reader" },
  stranger: { token: STRANGER.text, kind: "stranger" },
  operator: { token: OPERATOR.text, kind: "operator" },
  inspector: { token: INSPECTOR.text, kind: "inspector" },
  node: { token: NODE.text, kind: "node" },
  certificate: { kind: "node", certificate: true },
};

function authority(): CredentialsAuthority {
  const tokens = [CLIENT, READER, STRANGER, OPERATOR, INSPECTOR, NODE, EXPIRED, REVOKED];
  const credentials = {
    version: 1 as const,
    tokens: tokens.map(({ entry }) => entry),
    certificates: [certificateOf("URI:spiffe://example.org/node/1")],
  };
  const made = new CredentialsAuthority({
    clock: denoClock(),
    log: silentLog,
    accepts: { tokens: true, certificates: true },
    credentials,
  });
  made.replace({
    ...credentials,
    tokens: credentials.tokens.filter((one) => one !== REVOKED.entry),
  });
  return made;
}

/** Who may make a call, by what the design says. */
function mayCall({ parent, name }: DescMethod): readonly Kind[] | "anyone" {
  switch (parent) {
    case KeyValueService:
      return KEY_READS.includes(name)
        ? ["client", "reader", "operator", "inspector"]
        : ["client", "operator"];
    case StorageNodeService:
      if (name === "DrainNode") return ["node", "operator"];
      return name === "HealthCheck" ? ["node", "operator", "inspector"] : ["node"];
    case TenantService:
    case AdminService:
      if (name === KEY_UPKEEP) return ["client", "reader", "operator", "inspector"];
      if (name === "ListMigrations") return ["node", "operator", "inspector"];
      if (MIGRATION.includes(name)) return ["node", "operator"];
      return UPKEEP_READS.includes(name) ? ["operator", "inspector"] : ["operator"];
    default:
      return "anyone";
  }
}

/** A request of the method, about the tenant where it has one; complete enough that it would have an effect. */
function requestOf({ input, name }: DescMethod) {
  const fields = new Set(input.fields.map((field) => field.localName));
  const value = new Uint8Array([2]);
  const init = {
    ...(fields.has("tenantId") && { tenantId: TENANT }),
    ...(fields.has("key") && { key: "changed" }),
    ...(fields.has("value") && { value }),
    ...(fields.has("items") && { items: [{ key: "changed", value }] }),
    ...(fields.has("keys") && { keys: ["there"] }),
    ...(name === "Get" && { key: "there" }),
    ...(name === "Read" && { key: "there" }),
    ...(name === "Delete" && { key: "there" }),
    ...(fields.has("name") && { name: "monday" }),
    ...(fields.has("targetUrl") && { targetUrl: "http://127.0.0.1:1" }),
    ...(name === "CancelMigration" && { id: "m0" }),
    ...(name === "Repair" && {
      vectorClock: { entries: [{ coordinatorNodeId: "n", logicalTimestamp: 1n }] },
    }),
    ...(fields.has("messageRequest") && {
      messageRequest: { case: "listServices" as const, value: "" },
    }),
  };
  return create(input, init as Record<string, unknown>);
}

/** All that a call could have changed. */
function stateOf(node: FakeNode): string {
  return JSON.stringify([
    node.putsBegun,
    node.scanned,
    node.replicaWrites.length,
    node.maintenance,
    node.listTenants(),
    node.listSnapshots(),
    node.listMigrations(),
    ["there", "changed"].map((key) => node.get(TENANT, key) !== undefined),
  ]);
}

/** A call that nobody answers fails its cell. */
const CALL_LIMIT_MS = 20_000;

/** The status of one call. */
type Call = (method: DescMethod, headers: Headers) => Promise<Code | "ok">;

function viaLibrary(transport: Transport): Call {
  return async (method, headers) => {
    const client = createClient(method.parent, transport) as unknown as Record<
      string,
      (request: unknown, options: object) => Promise<unknown> & AsyncIterable<unknown>
    >;
    const stop = new AbortController();
    const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(CALL_LIMIT_MS)]);
    const options = { headers, signal };
    const request = requestOf(method);
    async function* one() {
      yield await Promise.resolve(request);
    }
    try {
      const answer = client[method.localName](
        method.methodKind === "bidi_streaming" ? one() : request,
        options,
      );
      if (method.methodKind === "unary") await answer;
      else {
        for await (const _ of answer) break;
        stop.abort();
      }
      return "ok";
    } catch (error) {
      return (error as ConnectError).code;
    }
  };
}

/** Connect over GET, for unary methods without side effects. */
function viaGet(it: TestPort): Call {
  return async (method, headers) => {
    const message = Buffer.from(toBinary(method.input, requestOf(method))).toString("base64url");
    const query = `connect=v1&encoding=proto&base64=1&message=${message}`;
    const path = `/${method.parent.typeName}/${method.name}`;
    const signal = AbortSignal.timeout(CALL_LIMIT_MS);
    const response = await fetch(`${it.port.url}${path}?${query}`, { headers, signal });
    const body = await response.text();
    if (response.status === 200) return "ok";
    const { code } = JSON.parse(body) as { code: string };
    return Code[camel(code) as keyof typeof Code];
  };
}

function camel(code: string): string {
  return code.replace(/(^|_)([a-z])/g, (_, _line, letter: string) => letter.toUpperCase());
}

/** Transports for each protocol, and the end of their connections. */
function transports(
  it: TestPort,
  certificate: boolean,
): { all: Record<string, Transport>; close: () => void } {
  const nodeOptions = certificate
    ? {
      ca: Buffer.from(CA.pem),
      servername: "localhost",
      cert: Buffer.from(CERTIFICATE.cert),
      key: Buffer.from(CERTIFICATE.key),
    }
    : {};
  const baseUrl = certificate ? it.port.tlsUrl! : it.port.url;
  const options = { baseUrl, nodeOptions };
  const sessionManager = new Http2SessionManager(baseUrl, undefined, nodeOptions);
  const http1 = { ...options, httpVersion: "1.1" as const };
  const http2 = { ...options, httpVersion: "2" as const, sessionManager };
  const all = {
    "gRPC": createGrpcTransport({ ...options, sessionManager }),
    "gRPC-Web": createGrpcWebTransport(http1),
    "Connect binary": createConnectTransport({ ...http2, useBinaryFormat: true }),
    "Connect JSON": createConnectTransport({ ...http1, useBinaryFormat: false }),
  };
  return { all, close: () => sessionManager.abort() };
}

Deno.test({
  name: "every RPC × every credential × every protocol",
  // connect-node leaves the timer of an idle session behind when that is ended.
  sanitizeOps: false,
  sanitizeResources: false,
  fn: () =>
    withPort(async (it) => {
      const { node } = it;
      let cells = 0;
      for (const [shown, { token, kind, certificate }] of Object.entries(CREDENTIALS)) {
        const headers = new Headers();
        if (token !== undefined) headers.set("authorization", `Bearer ${token}`);
        const { all, close } = transports(it, certificate ?? false);
        const calls: [string, Call][] = Object.entries(all)
          .map(([name, transport]) => [name, viaLibrary(transport)]);
        if (!certificate) calls.push(["Connect GET", viaGet(it)]);
        try {
          for (const [protocol, call] of calls) {
            for (const method of SERVICES.flatMap((service) => service.methods)) {
              const overHttp1 = protocol === "gRPC-Web" || protocol === "Connect JSON";
              if (overHttp1 && method.methodKind === "bidi_streaming") continue;
              if (protocol === "Connect GET") {
                if (method.methodKind !== "unary") continue;
                if (method.idempotency !== MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS) continue;
              }
              const cell =
                `${method.parent.typeName}/${method.name} with ${shown} over ${protocol}`;
              node.plant(TENANT, "there", [new Uint8Array([1])]);
              const before = stateOf(node);
              const gets = node.gets;
              const code = await call(method, headers);
              cells++;
              const may = mayCall(method);
              if (may === "anyone" || may.includes(kind)) {
                const refused = code === Code.Unauthenticated || code === Code.PermissionDenied;
                assert(!refused, `${cell}: ${code}`);
              } else {
                const expected = kind === "nobody" ? Code.Unauthenticated : Code.PermissionDenied;
                assert.equal(code, expected, cell);
                assert.equal(node.gets, gets, cell);
                assert.equal(stateOf(node), before, cell);
              }
            }
          }
        } finally {
          // Before the port closes, also where a cell is wrong: node:http2's client, sent away by a server,
          // hangs or ends the whole process in this runtime, and the cell would never be named.
          close();
        }
      }
      assert(cells > 1000, `${cells} cells`);
    }, { authority: authority(), tls: TLS }),
});
