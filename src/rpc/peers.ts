/**
 * Peers: other nodes, as a migration needs them, by gRPC over one connection each.
 *
 *     call ─► connection, opened when there is none ─► unary call with the node's credential ─► answer, or a
 *                                                      PairError that says whether trying again may help
 *
 * Credentials are asked for anew with each connection, so that files that change are taken up.
 * @module
 */
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import type { DescMethodUnary } from "@bufbuild/protobuf";
import { PairError, tokenBytes } from "../model/mod.ts";
import { type MigrationRange, NOTHING, type Peer, type Peers } from "../node/mod.ts";
import type { Clock, Network, TlsConnectOptions } from "../runtime/mod.ts";
import { isLoopback } from "../web/mod.ts";
import { StorageNodeService } from "../gen/pairdb/v1/storage_node_pb.ts";
import { toCount } from "./convert.ts";
import { GRPC, GrpcClient, GrpcError } from "./grpc_client.ts";
import { type ClientConnection, connectHttp2 } from "./http2/mod.ts";
import { fromGrpcError } from "./peer_errors.ts";
import { fromBatch, fromOrigin } from "./transfer.ts";

/** What a node shows to others, as it is at the time of the question. */
export interface PeerCredentials {
  /** Sent with every call; undefined: none. */
  readonly token?: string | undefined;
  /** Whose certificates are taken from the other node; undefined: https is refused. */
  readonly ca?: Uint8Array | undefined;
  /** Our own certificate and its key. */
  readonly cert?: Uint8Array | undefined;
  readonly key?: Uint8Array | undefined;
}

/** What peers are reached with. */
export interface PeerOptions {
  readonly network: Network;
  readonly clock: Clock;
  /** @throws PairError when they cannot be used */
  readonly credentials: () => PeerCredentials;
  /** Whether what goes to other machines may go in clear, so that everybody on the way can read it. */
  readonly allowHttp: boolean;
}

/** Time for a connection, ms. */
const CONNECT_MS = 10_000;
/** Time for a call, ms. */
const CALL_MS = 30_000;
/** Time for counting a piece; one that takes longer is taken for different, ms. */
const COUNT_MS = 60_000;
/** Silence on a connection is followed by a question, and then by its end, ms. */
const KEEP_ALIVE = { afterMs: 10_000, timeoutMs: 10_000 };

const { healthCheck, replicateData, getKeyRange } = StorageNodeService.method;

/** The way to other nodes. */
export function openPeers(options: PeerOptions): Peers {
  return {
    open(target) {
      const address = addressOf(target);
      const { isTls, host } = address;
      if (isTls || isLoopback(host) || options.allowHttp) return new GrpcPeer(options, address);
      throw new PairError(
        "InvalidArgument",
        "Cannot move data there: http to another machine shows the data and this node's token to everybody on " +
          "the way; name the target with https, or set peer.allow_http where the network is safe",
        { reason: "plain_http" },
      );
    },
  };
}

/** Where a node is. */
interface Address {
  readonly url: string;
  readonly host: string;
  readonly port: number;
  readonly isTls: boolean;
}

/** @throws PairError InvalidArgument (1000) unless it is `http://HOST:PORT` or `https://HOST:PORT` */
function addressOf(target: string): Address {
  const url = URL.canParse(target) ? new URL(target) : undefined;
  const isTls = url?.protocol === "https:";
  const isPlain = url !== undefined && url.pathname === "/" && url.search === "" &&
    url.hash === "" && url.username === "" && url.password === "" && url.hostname !== "";
  if (!isPlain || (!isTls && url.protocol !== "http:")) {
    throw new PairError(
      "InvalidArgument",
      "Cannot reach the target: its address is not of the form http://HOST:PORT or https://HOST:PORT",
    );
  }
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  return { url: url.origin, host, port: Number(url.port) || (isTls ? 443 : 80), isTls };
}

/** An open connection, with what is said on it. */
interface Line {
  readonly client: GrpcClient;
  readonly connection: ClientConnection;
  readonly metadata: readonly string[];
}

class GrpcPeer implements Peer {
  readonly #options: PeerOptions;
  readonly #address: Address;
  #line: Line | undefined;
  #isClosed = false;

  constructor(options: PeerOptions, address: Address) {
    this.#options = options;
    this.#address = address;
  }

  async identity(signal: AbortSignal): ReturnType<Peer["identity"]> {
    const { nodeId, incarnation } = await this.#call(healthCheck, {}, CALL_MS, signal);
    return { nodeId, incarnation };
  }

  async replicate(
    ...[tenantId, origin, entries, checksum, signal]: Parameters<Peer["replicate"]>
  ): ReturnType<Peer["replicate"]> {
    const batch = fromBatch({ entries, checksum, checkpoint: "", totals: undefined });
    const request = { tenantId, entries: batch.entries, checksum, ...fromOrigin(origin) };
    const { keys, versions, applied, lastKey } = await this.#call(
      replicateData,
      request,
      CALL_MS,
      signal,
    );
    return { keys, versions, applied, lastKey };
  }

  async count(
    tenantId: string,
    { start, end, tokens }: MigrationRange,
    signal: AbortSignal,
  ): ReturnType<Peer["count"]> {
    const tokenRange = tokens &&
      { start: tokenBytes(tokens.start), end: tokenBytes(tokens.end) };
    const range = { keyRangeStart: start, keyRangeEnd: end, tokenRange };
    try {
      const request = { tenantId, ...range, exact: true };
      const { totals } = await this.#call(getKeyRange, request, COUNT_MS, signal);
      if (totals === undefined) {
        throw new PairError("Internal", "Cannot read the answer: no totals");
      }
      return {
        keys: toCount(totals.keys, "keys"),
        versions: toCount(totals.versions, "versions"),
        tombstones: toCount(totals.tombstones, "tombstones"),
        bytes: toCount(totals.bytes, "bytes"),
        checksum: totals.checksum,
      };
    } catch (error) {
      if (error instanceof PairError && error.error === "InvalidTenantID") return NOTHING;
      const { cause } = error as Error;
      if (cause instanceof GrpcError && cause.code === GRPC.DEADLINE_EXCEEDED) return undefined;
      throw error;
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#line?.connection.destroy();
    this.#line = undefined;
  }

  /** @throws PairError; the signal's reason */
  async #call<M extends (typeof StorageNodeService)["methods"][number] & DescMethodUnary>(
    method: M,
    request: MessageInitShape<M["input"]>,
    timeoutMs: number,
    signal: AbortSignal,
  ) {
    signal.throwIfAborted();
    const message = toBinary(method.input, create(method.input, request));
    const path = `/${method.parent.typeName}/${method.name}`;
    try {
      const answer = await abortable(
        this.#open().then(({ client, metadata }) =>
          client.unary(path, message, { timeoutMs, metadata })
        ),
        signal,
      );
      return fromBinary<M["output"]>(method.output, answer.message);
    } catch (error) {
      signal.throwIfAborted();
      throw this.#failure(error);
    }
  }

  async #open(): Promise<Line> {
    if (this.#line?.connection.usable) return this.#line;
    const { network, clock } = this.#options;
    const { host, port, isTls, url } = this.#address;
    const credentials = this.#options.credentials();
    const tls = isTls ? tlsOf(credentials, host) : undefined;
    const connecting = connectHttp2(network, { host, port, tls }, { clock, keepAlive: KEEP_ALIVE });
    const connection = await within(clock, CONNECT_MS, connecting, (late) => late.destroy());
    if (this.#isClosed) {
      connection.destroy();
      throw new PairError("Unavailable", `Cannot reach ${url}: it is not wanted any more`);
    }
    // Two calls may have opened one each.
    this.#line?.connection.close();
    const { token } = credentials;
    return this.#line = {
      connection,
      client: new GrpcClient({ connection, clock, authority: new URL(url).host }),
      metadata: token === undefined ? [] : ["authorization", `Bearer ${token}`],
    };
  }

  #failure(error: unknown): PairError {
    if (error instanceof PairError) return error;
    const { url } = this.#address;
    if (error instanceof GrpcError) return fromGrpcError(error, url);
    const why = error instanceof Error ? error.message : String(error);
    return new PairError("Unavailable", `Cannot reach ${url}: ${why}`, {}, { cause: error });
  }
}

/** @throws PairError InvalidArgument (1000) where nothing says whom to trust */
function tlsOf({ ca, cert, key }: PeerCredentials, serverName: string): TlsConnectOptions {
  if (ca === undefined) {
    throw new PairError(
      "InvalidArgument",
      "Cannot reach a node by https: peer.ca_file does not say whose certificates are taken",
    );
  }
  return { ca, cert, key, serverName, alpn: ["h2"] };
}

/** What comes later than that is not waited for, and cleared away. */
function within<T>(
  clock: Clock,
  limitMs: number,
  work: Promise<T>,
  clear: (late: T) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let isLate = false;
    const cancel = clock.after(limitMs, () => {
      isLate = true;
      reject(new Error("no connection in time"));
    });
    void work.then((result) => isLate ? clear(result) : resolve(result), reject).finally(cancel);
  });
}

/** The promise's result, or the signal's reason, whichever is first. */
function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort);
    void work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
