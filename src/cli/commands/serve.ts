/**
 * `pairdb serve`: runs a node until it is told to stop. Here the parts meet: configuration, the
 * machine, the node, the port.
 *
 *     start   configuration, log, node (lock, recovery), port, ready
 *     stop    not ready, stop accepting, let calls finish, close the node: memtables are flushed, workers
 *             end, the log is synced and closed. Calls and workers have server.shutdown_timeout each
 *
 * A second signal ends the process at once, and so does an error that nobody caught: what was
 * acknowledged is on the disk, and what is in a broken process's memory is not to be written.
 * @module
 */
import { machine, openNode } from "../../embedded/mod.ts";
import { CallCounter, ScheduledSnapshots, type StorageNode } from "../../node/mod.ts";
import { openPort, type Port } from "../../rpc/mod.ts";
import {
  createLog,
  denoClock,
  denoSandbox,
  denoTracer,
  type Log,
  type Process,
  type Runtime,
  type Sandbox,
} from "../../runtime/mod.ts";
import { type Config, resolveConfig, type Setting } from "../config/mod.ts";
import { isBrokenPipe, stackOf } from "../failure.ts";
import { readKeyFile } from "../key_file.ts";
import { absolute } from "../paths.ts";
import {
  closeLimits,
  engineOptions,
  nodeLimits,
  poolLimits,
  portLimits,
  snapshotSchedule,
} from "../parts.ts";
import { openSharedCache } from "../shared_cache.ts";
import { peersOf } from "../peers.ts";
import { openSecurity, openTls, type Security, watchTls } from "../security.ts";
import type { Shell } from "../shell.ts";
import { VERSION } from "../version.ts";
import { type ConfigFlags, settingsOf } from "./config.ts";

/** Flags of `serve`. */
export interface ServeFlags extends ConfigFlags {
  readonly nodeId?: string;
  readonly listen?: { readonly host: string; readonly port: string };
  readonly data?: string;
  readonly seeds?: string;
  readonly dc?: string;
  readonly rack?: string;
}

/** Runs a node; returns 0 after a signal, and throws when it cannot start or stop. */
export async function serve(shell: Shell, flags: ServeFlags): Promise<number> {
  const { process } = shell;
  const config = resolveConfig(settingsOf(shell, flags, flagSettings(flags)));
  const keyFile = readKeyFile(process, config.encryption.key_file);
  const log = openLog(process, config);
  if (keyFile?.exposed === true) {
    log.warn("key_file_exposed", { file: config.encryption.key_file });
  }
  const stopWatching = process.onUncaught((error) => {
    log.error("uncaught_error", { error: describe(error), stack: stackOf(error) });
    process.exit(1);
  });
  const terminated = onTermination(process, log);
  const runtime = machine({ ...poolLimits(config), log });
  const sandbox = denoSandbox();
  try {
    await runNode(process, config, runtime, sandbox, terminated, keyFile?.key);
    log.info("stopped");
    return 0;
  } finally {
    sandbox.close();
    await runtime.workers.close();
    terminated.stop();
    stopWatching();
  }
}

async function runNode(
  process: Process,
  config: Config,
  runtime: Runtime,
  sandbox: Sandbox,
  { signalled, opened }: Termination,
  key: Uint8Array | undefined,
): Promise<void> {
  const calls = new CallCounter();
  const node = await openNode(runtime, {
    calls,
    sandbox,
    // People elsewhere are told of paths of this node.
    dataDir: absolute(process, config.storage.data_dir),
    nodeId: config.server.node_id || undefined,
    version: VERSION,
    engine: {
      ...engineOptions(config, key),
      secondLevel: await openSharedCache(process, config, runtime.log),
    },
    ...nodeLimits(config),
    peers: peersOf(process, config, runtime),
  });
  opened();
  try {
    const security = openSecurity(process, config, runtime);
    const port = await open(process, config, runtime, node, security, calls);
    const { reloader } = security;
    const stopListening = onHangUp(process, () => reloader.check());
    const schedule = snapshotSchedule(config);
    const snapshots = schedule && new ScheduledSnapshots(node, runtime, schedule);
    try {
      watchTls(process, config, reloader, (credentials) => port.renewTls(credentials));
      reloader.start();
      announce(process, config, runtime.log, node, port);
      void runtime.workers.prepare();
      snapshots?.start();
      await signalled;
    } finally {
      stopListening();
      reloader.stop();
      // One that is under way is not waited for here: the node gives it up when it closes.
      void snapshots?.stop();
      await port.close();
    }
  } finally {
    await node.close(closeLimits(config));
  }
}

function open(
  process: Process,
  config: Config,
  runtime: Runtime,
  node: StorageNode,
  { authority }: Security,
  calls: CallCounter,
): Promise<Port> {
  const { auth, server, metrics, slow_operations: slow } = config;
  return openPort({
    runtime,
    node,
    calls,
    slowMs: slow.threshold || Infinity,
    tracer: denoTracer(VERSION),
    host: server.host,
    port: server.port,
    version: VERSION,
    limits: portLimits(config),
    corsOrigins: server.cors_origins,
    allowedHosts: server.allowed_hosts,
    metrics: metrics.enabled,
    authority,
    openMetrics: auth.metrics === "open",
    tls: openTls(process, config, runtime),
  });
}

/** Says that the node serves: to probes, to the log, and to whoever started the program. */
function announce(process: Process, config: Config, log: Log, node: StorageNode, port: Port): void {
  port.setReady(true);
  log.info("ready", {
    url: port.url,
    tls_url: port.tlsUrl,
    auth_mode: config.auth.mode,
    node: node.nodeId,
    version: VERSION,
    pid: process.pid,
    data_dir: config.storage.data_dir,
    sync_mode: config.commit_log.sync_mode,
    datacenter: config.server.datacenter,
    rack: config.server.rack,
  });
  if (config.commit_log.sync_mode !== "always") {
    log.warn("acknowledged_before_sync", { sync_mode: config.commit_log.sync_mode });
  }
  try {
    process.out(`pairdb ready on ${port.url} node=${node.nodeId}\n`);
  } catch (error) {
    // Whoever started us does not listen any more; clients may.
    if (!isBrokenPipe(error)) throw error;
    log.warn("standard_output_closed");
  }
}

/**
 * SIGHUP has files read again, where nobody sits at a terminal; where somebody does, it says that the
 * terminal was closed, and ends the program as ever.
 */
function onHangUp(process: Process, run: () => void): () => void {
  return process.isTerminal("stdin") ? () => {} : process.onHangUp(run);
}

/** How the process is asked to end. */
interface Termination {
  /** Resolves with the first signal. */
  readonly signalled: Promise<void>;
  /** To be called once the node is open and has something to close. */
  opened(): void;
  /** Listens no more. */
  stop(): void;
}

/**
 * The first signal resolves `signalled`; the second ends the process. Before the node is open the first
 * one does: a recovery may take long, and begins again just as well.
 */
function onTermination(process: Process, log: Log): Termination {
  const { promise: signalled, resolve } = Promise.withResolvers<void>();
  let signals = 0;
  let isOpen = false;
  const stop = process.onTerminate((signal) => {
    signals++;
    const atOnce = signals > 1 || !isOpen;
    log.info(atOnce ? "stopping_at_once" : "stopping", { signal });
    if (atOnce) process.exit(signals > 1 ? 1 : 0);
    resolve();
  });
  return { signalled, opened: () => isOpen = true, stop };
}

/** The log on standard error. When nobody reads that any more, the node goes on without. */
function openLog(process: Process, config: Config): Log {
  let closed = false;
  return createLog({
    ...config.logging,
    clock: denoClock(),
    write: (line) => {
      if (closed) return;
      try {
        process.err(line);
      } catch (error) {
        if (!isBrokenPipe(error)) throw error;
        closed = true;
      }
    },
  });
}

function flagSettings(flags: ServeFlags): Setting[] {
  const settings = [
    { path: "server.node_id", value: flags.nodeId, where: "--node-id" },
    { path: "server.host", value: flags.listen?.host, where: "--listen" },
    {
      path: "server.port",
      value: flags.listen === undefined ? undefined : Number(flags.listen.port),
      where: "--listen",
    },
    { path: "storage.data_dir", value: flags.data, where: "--data" },
    { path: "server.seeds", value: flags.seeds, where: "--seeds" },
    { path: "server.datacenter", value: flags.dc, where: "--dc" },
    { path: "server.rack", value: flags.rack, where: "--rack" },
  ];
  return settings.filter((setting) => setting.value !== undefined);
}

function describe(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
