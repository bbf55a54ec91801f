/**
 * All migrations of a node: begun, seen, ended, and gone on with after a restart; and the drain, which is a
 * migration of everything while the node takes no writes.
 *
 *     start ──► record, durable ──► under way ──► completed or failed; the last few can be seen
 *                   ▲                   │
 *                   └── the node's ◄────┘ kill -9, or a stop
 *                       next start
 *
 * The records lie in a tree of their own, so that they are as durable, as encrypted and as safe as the data.
 * @module
 */
import { type Engine, KIND_DELETE, KIND_PUT, type Tree } from "../../engine/mod.ts";
import { compareBytes, encodeBound, fromUtf8, PairError, utf8 } from "../../model/mod.ts";
import type { Runtime } from "../../runtime/mod.ts";
import type { DrainInfo, MigrationInfo, MigrationInput, TenantOrigin } from "../api.ts";
import type { Followers } from "../followers.ts";
import { sinceWhen } from "./leftovers.ts";
import type { MigrationLimits } from "./limits.ts";
import { Migration } from "./migration.ts";
import type { Peer, Peers } from "./peer.ts";
import {
  decodeRecord,
  encodeRecord,
  isOver,
  type MigrationOrder,
  type MigrationRecord,
  newRecord,
  noCounts,
} from "./records.ts";

/** What the node brings. */
export interface MigrationsParts {
  readonly engine: Engine;
  readonly followers: Followers;
  readonly runtime: Pick<Runtime, "clock" | "random" | "log">;
  readonly limits: MigrationLimits;
  /** Undefined: this node reaches no others. */
  readonly peers: Peers | undefined;
  readonly nodeId: string;
  /** Of the data directory. */
  readonly incarnation: string;
  /** Names of all tenants, in order; of those too that are just made or dropped. */
  readonly tenants: () => readonly string[];
  readonly find: (tenant: string) => Tree | undefined;
  /** The same, once it is neither being made nor dropped. */
  readonly findSettled: (tenant: string) => Promise<Tree | undefined>;
  /** What the target has to know of a tenant to make the same. */
  readonly originOf: (tree: Tree) => TenantOrigin;
}

/** Tenants' ids have no colon, so none is this. */
const TREE_NAME = ":migrations";
const ID = /^[A-Za-z0-9._-]{1,64}$/;
const NONE = new Uint8Array(0);

/** See the head of the file. */
export class Migrations {
  readonly #parts: MigrationsParts;
  readonly #records = new Map<string, MigrationRecord>();
  readonly #running = new Map<string, Migration>();
  /** Whoever changes what there is waits for the one before. */
  #changes: Promise<unknown> = Promise.resolve();
  #closed = false;
  /** The drain that there is; writes are refused as long as there is one. */
  #drain: MigrationRecord | undefined;
  readonly #totals = noCounts();
  #completed = 0;
  #failed = 0;
  #cancelled = 0;

  constructor(parts: MigrationsParts) {
    this.#parts = parts;
  }

  /** Goes on with what the last life of the node has left. Once. */
  resume(): void {
    const { incarnation, runtime } = this.#parts;
    for (const record of this.#stored()) {
      // In a copy that was restored they are not this node's to go on with.
      if (record.incarnation !== incarnation) continue;
      this.#records.set(record.order.id, record);
      if (record.draining) this.#drain = record;
    }
    for (const record of this.#records.values()) {
      if (isOver(record)) continue;
      try {
        this.#run(record);
      } catch (error) {
        // An address that is none any more, or no way to others: as it stands there until somebody cares.
        record.error = error instanceof Error ? error.message : String(error);
        runtime.log.error("migration.not_resumed", { id: record.order.id, error: record.error });
      }
    }
  }

  /** The records that can be read, the oldest first. Without the others the node serves all the same. */
  #stored(): MigrationRecord[] {
    const { engine, runtime } = this.#parts;
    const tree = engine.tree(TREE_NAME);
    if (tree === undefined) return [];
    const unreadable = (error: unknown, id?: string) =>
      runtime.log.error("migration.record_unreadable", { id, error: String(error) });
    const records: MigrationRecord[] = [];
    const cursor = engine.scan(tree, {});
    try {
      while (cursor.next()) {
        const id = fromUtf8(cursor.key);
        try {
          records.push(decodeRecord(id, cursor.value.slice()));
        } catch (error) {
          unreadable(error, id);
        }
      }
    } catch (error) {
      unreadable(error);
    } finally {
      cursor.close();
    }
    return records.sort((a, b) => a.order.createdAtMs - b.order.createdAtMs);
  }

  /** Whether writes are refused. */
  get draining(): boolean {
    return this.#drain !== undefined;
  }

  /** See `StorageNode.startMigration`; the input's tenant is valid. */
  start(input: MigrationInput): Promise<MigrationInfo> {
    return this.#change(async () => {
      const order = this.#orderOf(input);
      const known = this.#records.get(order.id);
      if (known === undefined) {
        return await this.#begin(this.#recordOf(order, false));
      }
      if (!isSameOrder(known.order, order)) {
        throw new PairError("InvalidArgument", "Cannot start the migration: its id is another's", {
          reason: "already_exists",
        });
      }
      return await this.#again(known);
    });
  }

  /** See `StorageNode.listMigrations`. */
  list(): readonly MigrationInfo[] {
    return [...this.#records.values()].map((record) => this.#describe(record)).reverse()
      .sort((a, b) => b.createdAtMs - a.createdAtMs);
  }

  /** See `StorageNode.cancelMigration`. */
  cancel(id: string): Promise<MigrationInfo> {
    return this.#change(async () => {
      const record = this.#records.get(id);
      if (record === undefined) {
        throw new PairError("InvalidArgument", "Cannot find the migration: there is none", {
          reason: "not_found",
        });
      }
      return await this.#cancel(record);
    });
  }

  /** See `StorageNode.drain`. */
  drain(target: string | undefined): Promise<DrainInfo> {
    return this.#change(async () => {
      const there = this.#drain;
      if (there !== undefined) {
        if (target !== undefined && target !== there.order.target) {
          throw new PairError(
            "InvalidArgument",
            "Cannot drain: the node drains to another target",
            {
              reason: "already_draining",
            },
          );
        }
        return drainOf(target === undefined ? this.#describe(there) : await this.#again(there));
      }
      if (target === undefined) throw notDraining();
      const id = `drain-${this.#randomId()}`;
      const order = this.#orderOf({ id, target });
      const record = this.#recordOf(order, true);
      // From here on no write is taken. Those that the engine has are told of, or seen by who reads.
      this.#drain = record;
      try {
        return drainOf(await this.#begin(record));
      } catch (error) {
        this.#drain = undefined;
        throw error;
      }
    });
  }

  /** See `StorageNode.cancelDrain`. */
  cancelDrain(): Promise<DrainInfo> {
    return this.#change(async () => {
      if (this.#drain === undefined) throw notDraining();
      return drainOf(await this.#cancel(this.#drain));
    });
  }

  /** Figures for metrics: what runs and waits now, and what was done since the node's start. */
  get figures(): Readonly<Record<string, number>> {
    const { keysCopied, bytesCopied, keysStreamed, bytesStreamed, ...rest } = this.#totals;
    let pending = 0;
    let behind = 0;
    for (const { pendingKeys, fallsBehind } of this.#running.values()) {
      pending += pendingKeys;
      if (fallsBehind) behind++;
    }
    return {
      migrationsRunning: this.#running.size,
      migrationsCompleted: this.#completed,
      migrationsFailed: this.#failed,
      migrationsCancelled: this.#cancelled,
      migrationPendingKeys: pending,
      migrationsFallingBehind: behind,
      nodeDraining: this.draining ? 1 : 0,
      migrationKeysCopied: keysCopied,
      migrationBytesCopied: bytesCopied,
      migrationKeysStreamed: keysStreamed,
      migrationBytesStreamed: bytesStreamed,
      migrationPiecesCompared: rest.piecesCompared,
      migrationPiecesResent: rest.piecesResent,
      migrationKeysResent: rest.keysResent,
      migrationRescans: rest.rescans,
      migrationRetries: rest.retries,
    };
  }

  /** Ends what is under way, as it is: the next start goes on with it. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#running.values()].map((migration) => migration.end("closed")));
  }

  /** One after the other: a record that is begun and one that is ended do not meet. */
  #change<T>(run: () => Promise<T>): Promise<T> {
    const done = this.#changes.then(() => {
      if (!this.#closed) return run();
      throw new PairError("Unavailable", "Cannot serve the request: the node is closed");
    });
    this.#changes = done.catch(() => {});
    return done;
  }

  /** @throws PairError InvalidArgument (1000) for a bad id; those of bounds and of the address */
  #orderOf(input: MigrationInput): MigrationOrder {
    const { target, tenant = "", start = "", end = "", tokens } = input;
    const id = input.id || this.#randomId();
    if (!ID.test(id)) {
      throw new PairError(
        "InvalidArgument",
        "Cannot start the migration: its id must be 1 to 64 letters, digits, dots, underscores and hyphens",
      );
    }
    const from = encodeBound(start, "the start");
    const to = encodeBound(end, "the end");
    if (from !== undefined && to !== undefined && compareBytes(from, to) >= 0) {
      throw new PairError("InvalidArgument", "Cannot start the migration: its range is empty");
    }
    const { find } = this.#parts;
    if (tenant !== "" && find(tenant) === undefined) {
      throw new PairError("InvalidTenantID", "The tenant does not exist");
    }
    // Opened to see whether the address is one.
    this.#open(target).close();
    return {
      id,
      target,
      tenant: tenant === "" ? undefined : tenant,
      range: { start, end, tokens },
      createdAtMs: this.#nowMs(),
    };
  }

  #recordOf(order: MigrationOrder, draining: boolean): MigrationRecord {
    const { engine, incarnation } = this.#parts;
    const since = sinceWhen(order, this.#records.values(), engine.visible);
    return newRecord(order, incarnation, draining, since);
  }

  #randomId(): string {
    return this.#parts.runtime.random.bytes(4).toHex();
  }

  /** Makes a record durable, and begins. */
  async #begin(record: MigrationRecord): Promise<MigrationInfo> {
    this.#checkRoom();
    // Until the migration does so itself.
    const release = this.#parts.engine.keepDead(record.sinceSequence);
    try {
      await this.#trim();
      await this.#save(record);
      this.#records.set(record.order.id, record);
      this.#run(record);
    } finally {
      release();
    }
    return this.#describe(record);
  }

  /** What was asked for is known: nothing happens, unless it has failed. */
  async #again(record: MigrationRecord): Promise<MigrationInfo> {
    const { id } = record.order;
    if (record.state === "completed" || this.#running.has(id)) return this.#describe(record);
    this.#checkRoom();
    // Before anything changes: what is let through as an address may be less by now.
    this.#open(record.order.target).close();
    // Behind its checkpoint: where the copy was complete, there is nothing left of it.
    const begun = { state: "copying", endedAtMs: 0, error: "" } as const;
    await this.#save({ ...record, ...begun });
    this.#run(Object.assign(record, begun));
    return this.#describe(record);
  }

  async #cancel(record: MigrationRecord): Promise<MigrationInfo> {
    const { id } = record.order;
    await this.#running.get(id)?.end("cancelled");
    if (!isOver(record)) {
      // One that could not be taken up at the start.
      record.state = "failed";
      record.error = "cancelled";
      record.endedAtMs = this.#nowMs();
    }
    if (record.draining) {
      record.draining = false;
      try {
        await this.#save(record);
      } catch (error) {
        // It would drain again at the next start.
        record.draining = true;
        throw error;
      }
      this.#drain = undefined;
    } else await this.#save(record);
    return this.#describe(record);
  }

  #run(record: MigrationRecord): void {
    // It is durable: the next start takes it up.
    if (this.#closed) return;
    const { runtime: { clock, random, log }, ...parts } = this.#parts;
    const peer = this.#open(record.order.target);
    const migration = new Migration({
      ...parts,
      clock,
      random,
      log,
      peer,
      nowMs: () => this.#nowMs(),
      totals: this.#totals,
      save: (record) => this.#save(record),
    }, record);
    const { id } = record.order;
    this.#running.set(id, migration);
    void migration.done.then(() => {
      this.#running.delete(id);
      if (record.state === "completed") this.#completed++;
      if (record.state !== "failed") return;
      if (migration.cancelled) this.#cancelled++;
      else this.#failed++;
    });
  }

  /**
   * Wall time, ms since 1970, but later than all that is known of: which began or ended first must not depend on
   * whether the clock was set back in between.
   */
  #nowMs(): number {
    let nowMs = this.#parts.runtime.clock.wallMs();
    for (const { order: { createdAtMs }, endedAtMs } of this.#records.values()) {
      nowMs = Math.max(nowMs, createdAtMs + 1, endedAtMs + 1);
    }
    return nowMs;
  }

  /** @throws PairError InvalidArgument (1000) when it cannot be reached: there is no way, or no such address */
  #open(target: string): Peer {
    const { peers } = this.#parts;
    if (peers !== undefined) return peers.open(target);
    throw new PairError("InvalidArgument", "Cannot reach another node: this one has no way to", {
      reason: "no_peers",
    });
  }

  #checkRoom(): void {
    const { maxRunning } = this.#parts.limits;
    if (this.#running.size < maxRunning) return;
    throw new PairError(
      "ResourceExhausted",
      `Cannot start the migration: ${maxRunning} are under way already`,
      { reason: "migrations", limit: maxRunning },
    );
  }

  /** Forgets the oldest that are over. A drain is never forgotten: on its account no writes are taken. */
  async #trim(): Promise<void> {
    const over = [...this.#records.values()].filter((record) => isOver(record) && !record.draining);
    for (const { order: { id } } of over.slice(0, -this.#parts.limits.endedKept)) {
      this.#records.delete(id);
      const tree = this.#parts.engine.tree(TREE_NAME)!;
      await this.#parts.engine.write([{ tree, kind: KIND_DELETE, key: utf8(id), value: NONE }]);
    }
  }

  async #save(record: MigrationRecord): Promise<void> {
    const { engine } = this.#parts;
    const tree = engine.tree(TREE_NAME) ?? await engine.createTree(TREE_NAME);
    // Without asking for backpressure: it is little, and a node that is short of room may be one that drains.
    const value = encodeRecord(record);
    await engine.write([{ tree, kind: KIND_PUT, key: utf8(record.order.id), value }]);
  }

  #describe(record: MigrationRecord): MigrationInfo {
    const { order, draining, state, endedAtMs, counts, error } = record;
    const { id, target, tenant, range, createdAtMs } = order;
    const { pendingKeys = 0, fallsBehind = false } = this.#running.get(id) ?? {};
    const rest = { draining, state, createdAtMs, endedAtMs, pendingKeys, fallsBehind, error };
    return { id, target, tenant, ...range, ...rest, ...counts };
  }
}

function notDraining(): PairError {
  return new PairError(
    "InvalidArgument",
    "Cannot find the drain: the node is not draining; a target begins one",
    {
      reason: "not_draining",
    },
  );
}

function drainOf(migration: MigrationInfo): DrainInfo {
  return { drained: migration.draining && migration.state === "completed", migration };
}

function isSameOrder(a: MigrationOrder, b: MigrationOrder): boolean {
  return a.target === b.target && a.tenant === b.tenant && a.range.start === b.range.start &&
    a.range.end === b.range.end &&
    String(a.range.tokens?.start) === String(b.range.tokens?.start) &&
    String(a.range.tokens?.end) === String(b.range.tokens?.end);
}
