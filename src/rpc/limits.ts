/**
 * Limits of the port: how much of everything one client, and all clients together, may take.
 * @module
 */
import type { Http2Limits } from "./http2/mod.ts";

/** Limits of one port. Times in ms, sizes in bytes. */
export interface PortLimits {
  /** Open connections; one more is closed at once. */
  readonly maxConnections: number;
  /** Open connections of one address; one more is closed at once. */
  readonly maxConnectionsPerAddress: number;
  /** Calls at once on one HTTP/2 connection, announced in SETTINGS. */
  readonly maxConcurrentStreams: number;
  /** Bytes of one request's header list. */
  readonly maxHeaderBytes: number;
  /** Time for the first bytes that tell HTTP/2 from HTTP/1.1. */
  readonly prefaceTimeoutMs: number;
  /** How long an HTTP/1.1 connection may be without a request; also the time for a request's head. */
  readonly idleTimeoutMs: number;
  /** How long an HTTP/2 connection may be without a call before it is asked to go (GOAWAY). */
  readonly http2IdleTimeoutMs: number;
  /** The longest that a unary call without side effects takes, its body included. A client's shorter deadline stands. */
  readonly readTimeoutMs: number;
  /** The same for all other unary calls. */
  readonly writeTimeoutMs: number;
  /**
   * The longest that a stream takes, and a unary call that does a node's maintenance (flush, compact,
   * drop, counting a range). A client that asks for more is told so: invalid_argument.
   */
  readonly streamTimeoutMs: number;
  /** Bytes of one message from a client, after decompression: a value of 10 MiB as base64, and room. */
  readonly readMaxBytes: number;
  /** Bytes of one message to a client: all versions of a key (64 MiB) as base64, and room. */
  readonly writeMaxBytes: number;
  /** Bytes of a body that are read and dropped around an answer without it, so that the connection stays usable. */
  readonly drainMaxBytes: number;
  /** Time for that. */
  readonly drainTimeoutMs: number;
  /**
   * Calls that a client may reset on one connection in one go, and make us refuse; each that its fault makes
   * us reset counts for ten. See {@link resetsPerSecond}.
   */
  readonly resetBurst: number;
  /** Resets that are forgiven each second. More, and the connection is closed (CVE-2023-44487). */
  readonly resetsPerSecond: number;
  /** HTTP/2 frames of no use to any request (PING, SETTINGS, empty DATA ...) on one connection in one go. */
  readonly overheadBurst: number;
  /** Such frames that are forgiven each second; those that are of use make up for some too. */
  readonly overheadPerSecond: number;
  /** Time for an HTTP/2 header block to come to its end. */
  readonly headerBlockTimeoutMs: number;
  /** Answers of one HTTP/2 connection that wait for the client to take them: above this no further call is begun on it. */
  readonly connectionHoldBytes: number;
  /** Answers of one HTTP/2 connection that wait for the client to take them; one alone may be larger. */
  readonly connectionAnswerBytes: number;
  /**
   * The same on all connections together, those of HTTP/1.1 too: above this, those are cut off that take
   * nothing for {@link answerGraceMs}.
   */
  readonly answerBytes: number;
  readonly answerGraceMs: number;
  /** Above this, the connection that holds the most is cut off at once. */
  readonly answerBytesMax: number;
  /** How long a client may take nothing of what was written to its socket before it is cut off. */
  readonly stallTimeoutMs: number;
  /** Bytes of requests that are held on one connection, until they are answered; a call that adds to more is refused. */
  readonly connectionBodyBytes: number;
  /** The same on all connections together. */
  readonly bodyBytes: number;
  /** Time for one message of a request, or a body that is no stream of messages, to come whole. */
  readonly bodyTimeoutMs: number;
  /** Calls of one tenant that wait for its turn on a busy node; one more is refused. See `fair_gate.ts`. */
  readonly tenantWaitingCalls: number;
  /** Time for running calls to finish when the port closes. */
  readonly shutdownTimeoutMs: number;
}

const MIB = 1024 * 1024;

/** What a port uses where nothing else is said. */
export const DEFAULT_PORT_LIMITS: PortLimits = {
  maxConnections: 4096,
  maxConnectionsPerAddress: 2048,
  maxConcurrentStreams: 1000,
  maxHeaderBytes: 16 * 1024,
  prefaceTimeoutMs: 10_000,
  idleTimeoutMs: 60_000,
  http2IdleTimeoutMs: 300_000,
  readTimeoutMs: 60_000,
  writeTimeoutMs: 60_000,
  streamTimeoutMs: 600_000,
  readMaxBytes: 16 * MIB,
  writeMaxBytes: 128 * MIB,
  drainMaxBytes: 16 * MIB,
  drainTimeoutMs: 5_000,
  resetBurst: 1000,
  resetsPerSecond: 33,
  overheadBurst: 1000,
  overheadPerSecond: 33,
  headerBlockTimeoutMs: 10_000,
  connectionHoldBytes: 4 * MIB,
  connectionAnswerBytes: 64 * MIB,
  answerBytes: 16 * MIB,
  answerGraceMs: 1000,
  answerBytesMax: 256 * MIB,
  stallTimeoutMs: 60_000,
  connectionBodyBytes: 64 * MIB,
  bodyBytes: 256 * MIB,
  bodyTimeoutMs: 60_000,
  tenantWaitingCalls: 4096,
  shutdownTimeoutMs: 30_000,
};

/** What a client may have on its way in one stream, and on one connection, in bytes. */
const STREAM_WINDOW_BYTES = MIB;
const CONNECTION_WINDOW_BYTES = 4 * MIB;

/** The limits of one HTTP/2 connection. */
export function http2LimitsOf(limits: PortLimits): Http2Limits {
  return {
    maxConcurrentStreams: limits.maxConcurrentStreams,
    maxHeaderBytes: limits.maxHeaderBytes,
    streamWindowBytes: STREAM_WINDOW_BYTES,
    connectionWindowBytes: CONNECTION_WINDOW_BYTES,
    resets: { burst: limits.resetBurst, perSecond: limits.resetsPerSecond },
    overhead: { burst: limits.overheadBurst, perSecond: limits.overheadPerSecond },
    headerBlockMs: limits.headerBlockTimeoutMs,
    holdQueuedBytes: limits.connectionHoldBytes,
    maxQueuedBytes: limits.connectionAnswerBytes,
  };
}
