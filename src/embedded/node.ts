/**
 * A node in this process: engine, identity and storage node, put together.
 * @module
 */
import {
  DEFAULT_ENGINE_OPTIONS,
  diskFailure,
  type EngineOptions,
  openEngine,
} from "../engine/mod.ts";
import { ContextSeals, PairError, VERSION_OPERATORS } from "../model/mod.ts";
import {
  type CallCounts,
  claimIdentity,
  claimSealKey,
  type DiskThresholds,
  type HotKeyLimits,
  type IdempotencyLimits,
  openStorageNode,
  type Peers,
  readIdentity,
  readSealKey,
  type StorageNode,
  type WatchLimits,
} from "../node/mod.ts";
import type { Runtime, Sandbox } from "../runtime/mod.ts";

/** How a node is opened. */
export interface NodeOptions {
  /** Its data directory; made when it is not there. */
  readonly dataDir: string;
  /** 1 to 128 bytes; absent: the directory's, or a random one for a new directory. */
  readonly nodeId?: string | undefined;
  /** The program's version. */
  readonly version: string;
  /** Sizes, sync mode and the like. */
  readonly engine?: EngineOptions;
  /** Whether the first write of a tenant makes it. Default true. */
  readonly tenantAutoCreate?: boolean;
  /** How long a write is held back while work in the background is behind before it is refused, ms. Default 10 s. */
  readonly writeStallMsMax?: number | undefined;
  /** How many writes with an idempotency key are remembered, and how long. */
  readonly idempotency?: IdempotencyLimits | undefined;
  /** Shares of the disk in use at which the node says so. */
  readonly diskThresholds?: DiskThresholds | undefined;
  /** How much of watching there may be. */
  readonly watch?: WatchLimits | undefined;
  /** How often one key may be named. */
  readonly hotKeys?: HotKeyLimits | undefined;
  /** Whether a client's context without a seal is refused. Default false. */
  readonly sealRequired?: boolean;
  /** Calls, counted by whoever takes them, for health. */
  readonly calls?: CallCounts | undefined;
  /** Where merge functions of the application run; its owner closes it, after the node. */
  readonly sandbox?: Sandbox | undefined;
  /** The way to other nodes, for migrations; absent: there is none. */
  readonly peers?: Peers | undefined;
}

/**
 * Opens a node and recovers its data. Closing the node leaves the runtime's workers to their owner.
 * @throws PairError as `openEngine`, `claimIdentity` and `claimSealKey` do; SSTableFailed, DiskFull or CorruptedData, with
 *   the file, for what the disk refused
 */
export async function openNode(runtime: Runtime, options: NodeOptions): Promise<StorageNode> {
  try {
    return await open(runtime, options);
  } catch (error) {
    throw diskFailure(`open ${options.dataDir}`, error);
  }
}

async function open(runtime: Runtime, options: NodeOptions): Promise<StorageNode> {
  const { dataDir, version, calls } = options;
  // Looked at first: a directory that is refused is not to be touched.
  const known = readIdentity(runtime.disk, dataDir, options.nodeId);
  readSealKey(runtime.disk, dataDir);
  const engine = await openEngine(
    runtime,
    dataDir,
    // Until the node has found what the last life was about to tell others.
    { ...(options.engine ?? DEFAULT_ENGINE_OPTIONS), keepDead: true },
    VERSION_OPERATORS,
  );
  try {
    // Under another id the node's clocks would begin again, and its new writes pass for old ones.
    if (known === undefined && engine.trees().length > 0) {
      throw new PairError("CorruptedData", `Cannot open ${dataDir}: it has data but no IDENTITY`, {
        dir: dataDir,
      });
    }
    const { nodeId, incarnation, actor } = claimIdentity(runtime, dataDir, options.nodeId);
    const seals = new ContextSeals(claimSealKey(runtime, dataDir), options.sealRequired);
    return openStorageNode({
      engine,
      runtime,
      nodeId,
      incarnation,
      actor,
      version,
      dataDir,
      tenantAutoCreate: options.tenantAutoCreate ?? true,
      writeStallMsMax: options.writeStallMsMax,
      idempotency: options.idempotency,
      diskThresholds: options.diskThresholds,
      watch: options.watch,
      hotKeys: options.hotKeys,
      seals,
      calls,
      sandbox: options.sandbox,
      peers: options.peers,
    });
  } catch (error) {
    await engine.close();
    throw error;
  }
}
