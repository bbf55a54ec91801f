/**
 * The routes: which handler answers which RPC path, and how long it may take.
 * @module
 */
import type { DescFile, DescService, Registry } from "@bufbuild/protobuf";
import {
  type ConnectRouterOptions,
  createConnectRouter,
  type ServiceImpl,
} from "@connectrpc/connect";
import type { UniversalHandler } from "@connectrpc/connect/protocol";
import type { StorageNode } from "../node/mod.ts";
import type { Clock } from "../runtime/mod.ts";
import { AdminService } from "../gen/pairdb/v1/admin_pb.ts";
import { KeyValueService } from "../gen/pairdb/v1/kv_pb.ts";
import { StorageNodeService } from "../gen/pairdb/v1/storage_node_pb.ts";
import { TenantService } from "../gen/pairdb/v1/tenant_pb.ts";
import { Health } from "../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { ruleOf } from "./auth/mod.ts";
import { COMPRESS_MIN_BYTES, createCompressions } from "./compression.ts";
import { FairGate } from "./fair_gate.ts";
import type { Pipeline } from "./pipeline.ts";
import { EnumCheckingDecoder } from "./json_enums.ts";
import { keyValueMethods } from "./methods/mod.ts";
import type { PortLimits } from "./limits.ts";
import type { Readiness } from "./readiness.ts";
import type { AnyShortMethod } from "./short_lane.ts";
import { hotMethods, unaryMethods } from "./short_methods.ts";
import { timeoutOf } from "./timeouts.ts";
import {
  adminService,
  Catalog,
  healthService,
  keyValueService,
  reflectionAlphaService,
  reflectionService,
  storageNodeService,
  tenantService,
} from "./services/mod.ts";

/** One RPC. */
export interface Route {
  readonly handle: UniversalHandler;
  /** For the short lane; undefined: it is not one of its calls. */
  readonly short: AnyShortMethod | undefined;
  /** The longest that a call may take, in ms; undefined: as long as the client stays. */
  readonly timeoutMs: number | undefined;
}

/** What the services stand on. */
export interface RouterOptions {
  readonly node: StorageNode;
  readonly clock: Clock;
  readonly limits: PortLimits;
  readonly readiness: Readiness;
  readonly pipeline: Pipeline;
  /** Shares the node among tenants; absent: one that nobody looks into. */
  readonly fair?: FairGate;
}

/** A service with what implements it. {@link bind} makes one. */
export interface Binding {
  readonly service: DescService;
  readonly implementation: Partial<ServiceImpl<DescService>>;
}

/** How services are served. */
export interface ServingOptions {
  readonly clock: Clock;
  readonly limits: PortLimits;
  readonly pipeline: Pipeline;
  /** Messages that an Any may hold in JSON; undefined: none. */
  readonly messages?: Registry;
  /** Methods that the short lane calls past the library's messages, by path. */
  readonly hot?: ReadonlyMap<string, AnyShortMethod>;
}

const SERVICES: readonly DescService[] = [
  KeyValueService,
  StorageNodeService,
  TenantService,
  AdminService,
  Health,
  ServerReflection,
  ServerReflectionAlpha,
];

/** A key is what its bytes say: no silent U+FFFD for bytes that are not UTF-8, no dropped byte order mark. */
const DECODER_OPTIONS = { fatal: true, ignoreBOM: true };

/** The library takes a decoder here, though its types do not say so. */
type JsonOptions = ConnectRouterOptions["jsonOptions"] & { readonly textDecoder: TextDecoder };

/**
 * Binds all services to a node.
 * @returns path → route
 * @throws Error when a method has no row in the method table: then nobody knows who may call it
 */
export function createRoutes(options: RouterOptions): ReadonlyMap<string, Route> {
  const {
    node,
    clock,
    limits,
    readiness,
    pipeline,
    fair = new FairGate(clock, limits.tenantWaitingCalls),
  } = options;
  const catalog = new Catalog([...new Set<DescFile>(SERVICES.map((service) => service.file))]);
  const names = new Set(SERVICES.map((service) => service.typeName));
  const keyValue = keyValueMethods(node, fair);
  for (const { methods } of SERVICES) methods.forEach(ruleOf);
  return routesOf([
    bind(KeyValueService, keyValueService(keyValue, node, clock, readiness, fair)),
    bind(StorageNodeService, storageNodeService(node, clock, fair)),
    bind(TenantService, tenantService(node)),
    bind(AdminService, adminService(node, pipeline.slow)),
    bind(Health, healthService(readiness, names, clock)),
    bind(ServerReflection, reflectionService(catalog)),
    bind(ServerReflectionAlpha, reflectionAlphaService(catalog)),
  ], { clock, limits, pipeline, hot: hotMethods(keyValue, limits) });
}

/** Pairs a service with its implementation. A method that is left out is answered with unimplemented. */
export function bind<T extends DescService>(
  service: T,
  implementation: Partial<ServiceImpl<T>>,
): Binding {
  return { service, implementation };
}

/** The routes of these services. @returns path → route */
export function routesOf(
  bindings: readonly Binding[],
  { clock, limits, pipeline, messages, hot = new Map() }: ServingOptions,
): ReadonlyMap<string, Route> {
  const jsonOptions = (textDecoder: TextDecoder): JsonOptions => {
    return messages === undefined ? { textDecoder } : { textDecoder, registry: messages };
  };
  const router = createConnectRouter({
    acceptCompression: createCompressions(clock),
    compressMinBytes: COMPRESS_MIN_BYTES,
    readMaxBytes: limits.readMaxBytes,
    writeMaxBytes: limits.writeMaxBytes,
    maxTimeoutMs: limits.streamTimeoutMs,
    jsonOptions: jsonOptions(new TextDecoder("utf-8", DECODER_OPTIONS)),
    requestGate: pipeline.requestGate,
    interceptors: pipeline.interceptors,
  });
  for (const { service, implementation } of bindings) {
    router.service(service, implementation);
    for (const method of service.methods) {
      const run = (implementation as Record<string, unknown>)[method.localName];
      if (run === undefined || !EnumCheckingDecoder.isFor(method.input)) continue;
      // Once more, with a decoder that knows the message: of two with one path the later one counts.
      // Binding says that it is the method's implementation; for a method of any kind there is no type.
      router.rpc(method, (run as CallableFunction).bind(implementation) as never, {
        jsonOptions: jsonOptions(new EnumCheckingDecoder(method.input, DECODER_OPTIONS)),
      });
    }
  }
  const short = new Map([...unaryMethods(bindings, limits), ...hot]);
  return new Map(
    router.handlers.map((handle) => [handle.requestPath, {
      handle,
      short: short.get(handle.requestPath),
      timeoutMs: timeoutOf(handle.method, limits),
    }]),
  );
}
