/**
 * Migrations between two nodes in one process: each on the real engine and a simulated disk of its own, so that
 * either can lose its power at any moment; and between them a way that fails as it is told to.
 * @module
 */
import { type EngineOptions, openEngine } from "../../src/engine/mod.ts";
import { PairError, VERSION_OPERATORS } from "../../src/model/mod.ts";
import {
  type MigrationInfo,
  type MigrationInput,
  type MigrationLimits,
  NOTHING,
  openStorageNode,
  type Peer,
  type Peers,
  type StorageNode,
  type TransferEntry,
} from "../../src/node/mod.ts";
import { type Sandbox, SimRandom, type SimRuntime } from "../../src/runtime/mod.ts";
import { engineWorld, SMALL } from "./engine.ts";

/** Everything small: a few keys make several batches and pieces. */
export const SMALL_MIGRATION: MigrationLimits = {
  batchBytes: 600,
  pieceBytes: 1500,
  changedBytes: 1 << 20,
  checkpointMs: 0,
  pauseMs: 100,
  pauseMaxMs: 1000,
  giveUpMs: 60_000,
  maxRunning: 2,
  endedKept: 3,
};

/** A node that can be killed. */
export class SimNode {
  world!: SimRuntime;
  node!: StorageNode;
  /** Lives so far: what an earlier one still waits for never comes. */
  life = 0;
  /** Of its data directory, from the next start on. */
  incarnation = "first";
  /** Whether there is one at this moment. */
  #isUp = false;

  private constructor(
    readonly nodeId: string,
    readonly seed: number,
    readonly peers: (self: SimNode) => Peers | undefined,
    readonly limits: MigrationLimits,
    readonly sandbox: Sandbox | undefined,
    readonly engine: EngineOptions,
  ) {}

  /** Opens a node on an empty disk. */
  static async open(
    nodeId: string,
    seed: number,
    {
      peers = () => undefined,
      limits = SMALL_MIGRATION,
      sandbox,
      engine = SMALL,
      incarnation = "first",
    }: {
      peers?: (self: SimNode) => Peers | undefined;
      limits?: MigrationLimits;
      sandbox?: Sandbox | undefined;
      engine?: EngineOptions;
      incarnation?: string;
    } = {},
  ): Promise<SimNode> {
    const self = new SimNode(nodeId, seed, peers, limits, sandbox, engine);
    self.incarnation = incarnation;
    await self.#start(engineWorld({ seed }));
    return self;
  }

  /** Power is lost at this moment, and comes back. */
  async kill(): Promise<void> {
    this.#isUp = false;
    const dead = this.world;
    const seed = this.seed + ++this.life;
    const torn = engineWorld({ image: dead.disk.snapshotImage() });
    dead.disk.hook = () => "crash";
    torn.disk.crash({ seed });
    const wallMs = dead.clock.wallMs();
    await this.#start(
      engineWorld({ seed, image: torn.disk.snapshotImage(), startWallMs: wallMs + 1 }),
    );
  }

  /** Stops in good order, and starts again. */
  async restart(): Promise<void> {
    this.life++;
    this.#isUp = false;
    await this.node.close();
    const image = this.world.disk.snapshotImage();
    await this.#start(engineWorld({ image, startWallMs: this.world.clock.wallMs() + 1 }));
  }

  async #start(world: SimRuntime): Promise<void> {
    this.world = world;
    this.node = openStorageNode({
      engine: await openEngine(
        world,
        "/data",
        { ...this.engine, keepDead: true },
        VERSION_OPERATORS,
      ),
      runtime: world,
      nodeId: this.nodeId,
      incarnation: this.incarnation,
      version: "test",
      dataDir: "/data",
      tenantAutoCreate: true,
      peers: this.peers(this),
      migration: this.limits,
      sandbox: this.sandbox,
    });
    this.#isUp = true;
  }

  /** The one migration, or the newest. */
  get migration(): MigrationInfo {
    return this.node.listMigrations()[0];
  }

  /** Lets time pass until the newest migration is over. */
  async over(): Promise<MigrationInfo> {
    for (let i = 0; i < 5000; i++) {
      const { state } = this.migration;
      if (this.#isUp && (state === "completed" || state === "failed")) return this.migration;
      await this.world.clock.advance(50);
    }
    throw new Error(`the migration is ${JSON.stringify(this.migration)} still`);
  }

  /** Starts a migration and waits for its end. */
  async migrate(input: Partial<MigrationInput> = {}): Promise<MigrationInfo> {
    await this.node.startMigration({ target: "target", ...input });
    return await this.over();
  }

  /** All that it holds, version by version. */
  async contents(): Promise<Record<string, readonly TransferEntry[]>> {
    const contents: Record<string, TransferEntry[]> = {};
    for (const { tenant } of this.node.listTenants()) {
      const entries: TransferEntry[] = [];
      for await (const batch of this.node.streamKeys(tenant, {})) entries.push(...batch.entries);
      if (entries.length > 0) contents[tenant] = entries;
    }
    return contents;
  }
}

/** What happens around a call to the other node. */
export interface Call {
  readonly method: "identity" | "replicate" | "count";
  /** Calls before it. */
  readonly index: number;
}

/** `refused`: it never comes there; `unanswered`: it does, and the answer is lost; `torn`: a batch comes there damaged. */
export type Fault = "refused" | "unanswered" | "torn" | undefined;

/**
 * The way from one node to another in the same process.
 * @param target  the other node, as it is at the time of a call
 * @param before  sees each call, and says what goes wrong with it
 */
export function wayTo(
  target: () => StorageNode,
  before: (call: Call) => Fault | Promise<Fault> = () => undefined,
): (self: SimNode) => Peers {
  let index = 0;
  return (self) => {
    const { life } = self;
    /** A process that is dead waits for ever. */
    const alive = () => self.life === life ? undefined : new Promise<never>(() => {});
    const carry = async <T>(
      method: Call["method"],
      signal: AbortSignal,
      run: (fault: Fault) => Promise<T>,
    ) => {
      // A node that starts is there before it calls.
      await Promise.resolve();
      const fault = await before({ method, index: index++ });
      await alive();
      signal.throwIfAborted();
      if (fault === "refused") throw lost();
      const answer = await run(fault);
      await alive();
      signal.throwIfAborted();
      if (fault === "unanswered") throw lost();
      return answer;
    };
    return {
      open(address): Peer {
        if (address !== "target") throw new PairError("InvalidArgument", "no such address");
        return {
          identity: (signal) =>
            carry("identity", signal, () => {
              const { nodeId, incarnation } = target();
              return Promise.resolve({ nodeId, incarnation });
            }),
          replicate: (tenant, origin, entries, checksum, signal) =>
            carry("replicate", signal, (fault) => {
              const sum = fault === "torn" ? checksum ^ 1 : checksum;
              return target().replicate(tenant, entries, sum, undefined, origin);
            }),
          count: (tenant, range, signal) =>
            carry("count", signal, async () => {
              const node = target();
              if (!node.listTenants().some((info) => info.tenant === tenant)) return NOTHING;
              return (await node.keyRange(tenant, range, { exact: true })).totals;
            }),
          close() {},
        };
      },
    };
  };
}

function lost(): PairError {
  return new PairError("Unavailable", "the connection was lost");
}

/** Random changes of a node, as its clients and other nodes make them. */
export class Writer {
  readonly #random: SimRandom;
  #count = 0;

  constructor(
    seed: number,
    readonly tenants: readonly string[] = ["a", "b"],
    readonly keys = 40,
  ) {
    this.#random = new SimRandom(seed);
  }

  /** One change. */
  async write(node: StorageNode): Promise<void> {
    const random = this.#random;
    const tenant = this.tenants[random.below(this.tenants.length)];
    const key = `key ${String(random.below(this.keys)).padStart(3, "0")}`;
    const value = new TextEncoder().encode(`${++this.#count} `.repeat(random.below(20)));
    const kind = random.below(8);
    if (kind === 0) await node.delete(tenant, { key });
    else if (kind === 1) {
      const clock = {
        entries: [{ node: `far${random.below(3)}`, counter: this.#count }],
        dots: [],
      };
      const deleted = random.below(3) === 0;
      await node.applyReplica(
        tenant,
        { key, value: deleted ? undefined : value, deleted, clock },
        "write",
      );
    } else {
      const context = kind === 2 ? { entries: [], dots: [] } : undefined;
      await node.put(tenant, { key, value, context, ttlMs: kind === 3 ? 30 : 0 });
    }
    if (random.below(40) === 0) await node.flush();
  }

  /** Many changes. */
  async fill(node: StorageNode, changes: number): Promise<void> {
    for (let i = 0; i < changes; i++) await this.write(node);
  }
}
