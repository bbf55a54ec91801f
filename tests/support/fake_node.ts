/**
 * A storage node in memory, for tests of the floors above: real keys, values and clocks, no disk and
 * no siblings but those that a test plants. Tests can make its methods fail or wait.
 * @module
 */
import {
  addToChecksum,
  decodeText,
  encodeKey,
  encodeVersions,
  type Key,
  MAX_BATCH_ITEMS,
  MAX_VALUE_BYTES,
  PairError,
  type VectorClock,
} from "../../src/model/mod.ts";
import { validateTenant } from "../../src/model/mod.ts";
import { valueBytes } from "../../src/node/mod.ts";
import { checkTransfer, checkWatch } from "../../src/node/validate.ts";
import type {
  CacheChange,
  CacheRange,
  CompactInput,
  DrainInfo,
  Explanation,
  Health,
  HotKey,
  HotKeyQuery,
  KeyRangeInfo,
  MergeFunctionInfo,
  MigrationInfo,
  MigrationInput,
  NodeJobs,
  NodeStatus,
  PutInput,
  RangeInput,
  ReadResult,
  Replicated,
  ReplicaWrite,
  Scan,
  ScanInput,
  ScanItem,
  SnapshotInfo,
  SnapshotMade,
  SnapshotProblem,
  StorageNode,
  StreamInput,
  TenantInfo,
  TenantOptions,
  TenantOrigin,
  TransferBatch,
  TransferEntry,
  VersionView,
  WatchEvent,
  WatchInput,
  WriteResult,
  WriteWatch,
} from "../../src/node/mod.ts";

/** See the module. */
export class FakeNode implements StorageNode {
  readonly nodeId = "fake-1";
  readonly incarnation = "0f";
  /** Thrown by reads, and by writes before the log has them, when set. */
  failure: unknown;
  /** Thrown by writes once the log has them, when set: as the log's own failure is. */
  logFailure: unknown;
  /** Awaited by writes before they do anything. */
  gate: Promise<void> = Promise.resolve();
  /** Awaited by writes once the log, if there were one, has them. */
  syncGate: Promise<void> = Promise.resolve();
  /** What health() says. */
  healthNow: Health = { status: "healthy", reasons: [], metrics: { disk_usage: 0.25 } };
  /** Calls of put that began. */
  putsBegun = 0;
  /** Calls of get. */
  gets = 0;
  /** Writes that came by applyReplica, with their origin. */
  replicaWrites: (ReplicaWrite & { origin: string })[] = [];
  /** Scans that were opened and not closed. */
  openScans = 0;
  /** Items that scans have given out. */
  scanned = 0;
  /** What flush and compact were called for. */
  maintenance: string[] = [];

  #tenants = new Map<string, Map<string, ReadResult>>();
  readonly #options = new Map<string, TenantOptions>();
  /** What verifySnapshot finds. */
  snapshotProblems: SnapshotProblem[] = [];
  #snapshots = new Map<string, SnapshotInfo>();
  #counter = 0;

  async put(tenant: string, input: PutInput, watch?: WriteWatch): Promise<WriteResult> {
    this.putsBegun++;
    checkWrite(tenant, input.key, input.value);
    await this.#handOver(watch);
    const clock = this.#tick();
    this.#store(tenant, textOf(input.key), input.value, clock);
    return { clock, timestampMs: 1_700_000_000_000 };
  }

  get(tenant: string, key: Key): ReadResult | undefined {
    this.gets++;
    this.#fail();
    validateTenant(tenant);
    return this.#tenants.get(tenant)?.get(textOf(key));
  }

  async delete(
    tenant: string,
    input: { key: Key },
    watch?: WriteWatch,
  ): Promise<WriteResult & { existed: boolean }> {
    const existed = this.get(tenant, input.key) !== undefined;
    await this.#handOver(watch);
    this.#tenants.get(tenant)?.delete(textOf(input.key));
    return { clock: this.#tick(), timestampMs: 1_700_000_000_000, existed };
  }

  async batchPut(
    tenant: string,
    items: readonly PutInput[],
    _options?: { skipUnchanged?: boolean },
    watch?: WriteWatch,
  ) {
    for (const { key, value } of items) checkWrite(tenant, key, value);
    await this.#handOver(watch);
    const results = items.map(({ key, value }) => {
      const clock = this.#tick();
      this.#store(tenant, textOf(key), value, clock);
      return { clock, timestampMs: 1_700_000_000_000 };
    });
    return { results, unchanged: 0 };
  }

  read(tenant: string, key: Key): ReadResult | undefined {
    return this.get(tenant, key);
  }

  // deno-lint-ignore require-await -- its errors are rejections
  async explain(tenant: string, key: Key): Promise<Explanation> {
    const found = this.get(tenant, key);
    return {
      state: found === undefined ? "absent" : "found",
      source: found?.source ?? "none",
      steps: [],
      waits: 0,
      versions: (found?.versions ?? []).map(({ value, clock, timestampMs }) => ({
        state: value === undefined ? "deleted" as const : "value" as const,
        valueBytes: value?.length ?? 0,
        clock,
        dot: undefined,
        timestampMs,
        expiresAtMs: 0,
      })),
      clock: found?.clock ?? { entries: [], dots: [] },
      stateBytes: 0,
      durationUs: 0.5,
    };
  }

  // deno-lint-ignore require-await -- its errors are rejections
  async batchGet(
    tenant: string,
    keys: readonly string[],
    { maxBytes = Infinity }: { maxBytes?: number } = {},
  ): Promise<(ReadResult | undefined)[]> {
    if (keys.length === 0 || keys.length > MAX_BATCH_ITEMS) {
      throw new PairError("InvalidArgument", "Cannot get a batch: it must have 1 to 1000 items");
    }
    const results: (ReadResult | undefined)[] = [];
    let bytes = 0;
    for (const key of keys) {
      const result = this.get(tenant, key);
      if (result !== undefined) bytes += valueBytes(result);
      if (bytes > maxBytes && results.length > 0) break;
      results.push(result);
    }
    return results;
  }

  /** Stands for ever, and nothing comes. */
  watch(
    tenant: string,
    input: WatchInput,
    signal?: AbortSignal,
  ): AsyncGenerator<readonly WatchEvent[], undefined> {
    this.#fail();
    validateTenant(tenant);
    checkWatch(input);
    return this.#watch(signal);
  }

  async *#watch(signal?: AbortSignal): AsyncGenerator<readonly WatchEvent[], undefined> {
    yield [{
      type: "progress",
      key: "",
      state: undefined,
      clock: { entries: [], dots: [] },
      timestampMs: 0,
      expiresAtMs: 0,
      token: "AAAAAAAAAAAAAAAAAAAAAA",
      reason: "",
    }];
    const gone = Promise.withResolvers<undefined>();
    signal?.addEventListener("abort", () => gone.resolve(undefined));
    await gone.promise;
  }

  scan(tenant: string, input: ScanInput): Scan {
    const items = this.#scan(tenant, input);
    return {
      next: () => items.next(),
      ready: () => undefined,
      return: () => items.return(undefined),
      [Symbol.iterator]() {
        return this;
      },
    };
  }

  *#scan(tenant: string, input: ScanInput): Generator<ScanItem, undefined> {
    this.openScans++;
    try {
      const entries = [...this.#tenants.get(tenant) ?? []].sort(([a], [b]) => a < b ? -1 : 1);
      if (input.reverse) entries.reverse();
      let left = input.limit || Infinity;
      for (const [key, result] of entries) {
        if (!key.startsWith(input.prefix ?? "") || key < (input.start ?? "")) continue;
        if (input.end && key >= input.end) continue;
        if (left-- <= 0) return undefined;
        this.scanned++;
        yield { key, result };
      }
    } finally {
      this.openScans--;
    }
  }

  async applyReplica(
    tenant: string,
    write: ReplicaWrite,
    origin: "write" | "delete" | "repair",
    watch?: WriteWatch,
  ): Promise<WriteResult> {
    if (!write.deleted) checkWrite(tenant, write.key, write.value);
    await this.#handOver(watch);
    this.replicaWrites.push({ ...write, origin });
    if (write.deleted) this.#tenants.get(tenant)?.delete(write.key);
    else this.#store(tenant, write.key, write.value, write.clock);
    return { clock: write.clock, timestampMs: write.timestampMs ?? 0 };
  }

  async *streamKeys(
    tenant: string,
    { resumeAfter = "" }: StreamInput,
  ): AsyncGenerator<TransferBatch, undefined> {
    await this.gate;
    this.#fail();
    const entries = this.#versionsOf(tenant).filter(({ key }) => key > resumeAfter);
    const { checksum, totals } = checkSums(entries);
    yield { entries, checksum, checkpoint: entries.at(-1)?.key ?? resumeAfter, totals };
  }

  /** What was said of tenants, with each batch. */
  readonly origins: (TenantOrigin | undefined)[] = [];

  async replicate(
    tenant: string,
    entries: readonly TransferEntry[],
    checksum: number | undefined,
    watch?: WriteWatch,
    origin?: TenantOrigin,
  ): Promise<Replicated> {
    validateTenant(tenant);
    const { keys, versions } = checkTransfer(entries, checksum, undefined, origin !== undefined);
    this.origins.push(origin);
    await this.#handOver(watch);
    for (const { key, version } of entries) this.#store(tenant, key, version.value, version.clock);
    return { keys: keys.length, versions, applied: versions, lastKey: entries.at(-1)?.key ?? "" };
  }

  async keyRange(
    tenant: string | undefined,
    _input: RangeInput,
    { exact = false }: { exact?: boolean } = {},
  ): Promise<KeyRangeInfo> {
    await this.gate;
    this.#fail();
    const entries = (tenant === undefined ? [...this.#tenants.keys()] : [tenant])
      .flatMap((each) => this.#versionsOf(each));
    const { totals } = checkSums(entries);
    const [first, last] = [entries[0]?.key ?? "", entries.at(-1)?.key ?? ""];
    return {
      first,
      last,
      keys: totals.keys,
      bytes: totals.bytes,
      totals: exact ? totals : undefined,
    };
  }

  /** Those that were started; nothing is moved. */
  readonly migrations: MigrationInfo[] = [];

  startMigration(input: MigrationInput): Promise<MigrationInfo> {
    this.#fail();
    return Promise.resolve(this.#startMigration(input, false));
  }

  listMigrations(): readonly MigrationInfo[] {
    return this.migrations.toReversed();
  }

  cancelMigration(id: string): Promise<MigrationInfo> {
    const at = this.migrations.findIndex((each) => each.id === id);
    if (at < 0) {
      throw new PairError("InvalidArgument", "Cannot find the migration: there is none", {
        reason: "not_found",
      });
    }
    const cancelled = { state: "failed", error: "cancelled", draining: false } as const;
    return Promise.resolve(this.migrations[at] = { ...this.migrations[at], ...cancelled });
  }

  get draining(): boolean {
    return this.migrations.some(({ draining }) => draining);
  }

  drain(target: string | undefined): Promise<DrainInfo> {
    this.#fail();
    let migration = this.migrations.find(({ draining }) => draining);
    if (migration === undefined) {
      if (target === undefined) throw notDraining();
      migration = this.#startMigration({ target }, true);
    }
    return Promise.resolve({ drained: false, migration });
  }

  async cancelDrain(): Promise<DrainInfo> {
    const there = this.migrations.find(({ draining }) => draining);
    if (there === undefined) throw notDraining();
    return { drained: false, migration: await this.cancelMigration(there.id) };
  }

  #startMigration(input: MigrationInput, draining: boolean): MigrationInfo {
    const migration: MigrationInfo = {
      id: input.id || `m${this.migrations.length + 1}`,
      target: input.target,
      tenant: input.tenant || undefined,
      start: input.start ?? "",
      end: input.end ?? "",
      tokens: input.tokens,
      state: "copying",
      draining,
      createdAtMs: 1,
      endedAtMs: 0,
      pendingKeys: 0,
      fallsBehind: false,
      error: "",
      keysCopied: 1,
      bytesCopied: 2,
      keysStreamed: 3,
      bytesStreamed: 4,
      piecesCompared: 5,
      piecesResent: 6,
      keysResent: 7,
      rescans: 8,
      retries: 9,
    };
    this.migrations.push(migration);
    return migration;
  }

  createTenant(tenant: string, options: TenantOptions = {}): Promise<TenantInfo> {
    validateTenant(tenant);
    if (this.#tenants.has(tenant)) {
      throw new PairError("InvalidArgument", "Cannot create the tenant: it is there already", {
        reason: "already_exists",
      });
    }
    this.#tenants.set(tenant, new Map());
    this.#options.set(tenant, options);
    return Promise.resolve(this.#info(tenant));
  }

  listTenants(): TenantInfo[] {
    return [...this.#tenants.keys()].sort().map((tenant) => this.#info(tenant));
  }

  updateTenant(tenant: string, changes: TenantOptions): Promise<TenantInfo> {
    if (!this.#tenants.has(tenant)) {
      throw new PairError("InvalidTenantID", "Cannot change the tenant: there is none");
    }
    this.#options.set(tenant, { ...this.#options.get(tenant), ...changes });
    return Promise.resolve(this.#info(tenant));
  }

  dropTenant(tenant: string): Promise<void> {
    if (!this.#tenants.delete(tenant)) {
      throw new PairError("InvalidTenantID", "Cannot drop the tenant: there is none");
    }
    return Promise.resolve();
  }

  flush(tenant?: string): Promise<void> {
    this.maintenance.push(`flush ${tenant ?? "all"}`);
    return Promise.resolve();
  }

  compact(tenant?: string, { start, end, purge }: CompactInput = {}): Promise<void> {
    const range = start || end ? ` ${start ?? ""}..${end ?? ""}` : "";
    this.maintenance.push(`compact ${tenant ?? "all"}${range}${purge ? " purge" : ""}`);
    return Promise.resolve();
  }

  invalidateCache(tenant: string, range: CacheRange = {}): Promise<CacheChange> {
    return this.#changeCache(tenant, range);
  }

  fillCache(tenant: string, range: CacheRange = {}): Promise<CacheChange> {
    return this.#changeCache(tenant, range);
  }

  async #changeCache(tenant: string, { key, prefix }: CacheRange): Promise<CacheChange> {
    validateTenant(tenant);
    const rows = this.#tenants.get(tenant);
    if (rows === undefined) throw new PairError("InvalidTenantID", `There is no tenant ${tenant}`);
    if (key && prefix) throw new PairError("InvalidArgument", "a key and a prefix");
    return await Promise.resolve({ keys: rows.size, shared: "none" });
  }

  createSnapshot(name: string): Promise<SnapshotMade> {
    if (this.#snapshots.has(name)) {
      return Promise.reject(
        new PairError("InvalidArgument", "Cannot make the snapshot: it exists", {
          reason: "already_exists",
        }),
      );
    }
    const info: SnapshotInfo = {
      name,
      dir: `/data/snapshots/${name}`,
      node: this.nodeId,
      sequence: 2 ** 40,
      createdAtMs: 1_700_000_000_000,
      files: 3,
      bytes: 2 ** 41,
      problem: undefined,
    };
    this.#snapshots.set(name, info);
    const figures = {
      linked: 1,
      copiedBytes: 2 ** 42,
      digestedBytes: 7,
      pinnedMs: 0.5,
      elapsedMs: 9,
    };
    return Promise.resolve({ ...info, ...figures });
  }

  listSnapshots(): readonly SnapshotInfo[] {
    return [...this.#snapshots.values()];
  }

  hotKeys({ tenant, limit }: HotKeyQuery = {}): readonly HotKey[] {
    if (tenant !== undefined) {
      validateTenant(tenant);
      if (!this.#tenants.has(tenant)) {
        throw new PairError("InvalidTenantID", "Cannot list hot keys: there is no such tenant");
      }
    }
    const reads = { perSecond: 120.5, error: 3.25 };
    const writes = { perSecond: 0, error: 0 };
    return [{ tenant: tenant ?? "t", key: "ключ", reads, writes }].slice(0, limit);
  }

  registerMergeFunction(name: string, source: string): Promise<MergeFunctionInfo> {
    this.#fail();
    if (name === "theirs") {
      throw new PairError("InvalidArgument", "Cannot register the merge function: it is there", {
        reason: "already_exists",
      });
    }
    return Promise.resolve({ ...THEIRS, name, bytes: source.length });
  }

  listMergeFunctions(): readonly MergeFunctionInfo[] {
    this.#fail();
    return [THEIRS];
  }

  removeMergeFunction(name: string): Promise<void> {
    this.#fail();
    if (name === "theirs") return Promise.resolve();
    throw new PairError("InvalidArgument", "Cannot remove the merge function: there is none", {
      reason: "not_found",
    });
  }

  listJobs(): NodeJobs {
    return {
      jobs: [{
        id: 1,
        kind: "compaction",
        tenant: "t",
        state: "running",
        level: 0,
        outputLevel: 1,
        inputs: [12, 13],
        startedAtMs: 1_767_225_600_000,
        endedAtMs: undefined,
        bytes: 3000,
        bytesDone: 1000,
        rate: 500,
        etaMs: 4000,
        error: undefined,
      }],
      quietUntilMs: 1_767_229_200_000,
      scrub: {
        intervalMs: 604_800_000,
        running: true,
        startedAtMs: 1_767_225_600_000,
        nextAtMs: undefined,
        late: false,
        waitsFor: "quiet hours",
        bytes: undefined,
        bytesDone: 0,
        rounds: 3,
        damaged: [{ file: "tenants/t~1/000012.sst", tenant: "t", problem: "damaged" }],
      },
    };
  }

  verifySnapshot(name: string): Promise<{ snapshot: SnapshotInfo; problems: SnapshotProblem[] }> {
    const snapshot = this.#snapshots.get(name);
    if (snapshot === undefined) return Promise.reject(noSnapshot());
    return Promise.resolve({ snapshot, problems: this.snapshotProblems });
  }

  startScrub(): void {}

  deleteSnapshot(name: string): Promise<void> {
    return this.#snapshots.delete(name) ? Promise.resolve() : Promise.reject(noSnapshot());
  }

  health(): Health {
    return this.healthNow;
  }

  status(): NodeStatus {
    return {
      nodeId: this.nodeId,
      version: "1.2.3",
      health: this.healthNow,
      uptimeMs: 1234.5,
      dataDir: "/data",
      tenants: this.#tenants.size,
      memtableBytes: 10,
      walBytes: 20,
      walSegments: 1,
      walArchivedSegments: 0,
      walArchivedBytes: 0,
      tableBytes: 2 ** 40,
      tables: 3,
      tablesPerLevel: [2, 1],
      diskTotalBytes: 100,
      diskFreeBytes: 75,
      lastSequence: this.#counter,
      snapshots: this.#snapshots.size,
      snapshotBytes: 0,
      recovery: { records: 9, losses: 0, lostBytes: 0, elapsedMs: 1.5 },
      counters: { flushes: 4, blockCacheBytes: 5, checksumFailures: 0 },
    };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  /** Gives a key several concurrent versions. */
  plant(tenant: string, key: string, values: readonly (Uint8Array | undefined)[]): void {
    const versions = values.map((value, i): VersionView => ({
      value,
      clock: { entries: [{ node: `n${i}`, counter: 1 }], dots: [] },
      timestampMs: 1000 - i,
    }));
    this.#keysOf(tenant).set(key, {
      winner: versions[0],
      versions,
      clock: { entries: versions.map((version) => version.clock.entries[0]), dots: [] },
      source: "memtable",
    });
  }

  /** What a real node does between taking a write and its sync. */
  async #handOver(watch: WriteWatch | undefined): Promise<void> {
    await this.gate;
    this.#fail();
    if (watch?.gone) throw new PairError("Unavailable", "Cannot write: the caller did not wait");
    watch?.handedOver();
    await this.syncGate;
    if (this.logFailure !== undefined) throw this.logFailure;
  }

  #store(tenant: string, key: string, value: Uint8Array | undefined, clock: VectorClock): void {
    const winner = { value, clock, timestampMs: 1_700_000_000_000 };
    this.#keysOf(tenant).set(key, { winner, versions: [winner], clock, source: "memtable" });
  }

  #keysOf(tenant: string): Map<string, ReadResult> {
    let keys = this.#tenants.get(tenant);
    if (keys === undefined) this.#tenants.set(tenant, keys = new Map());
    return keys;
  }

  #tick(): VectorClock {
    return { entries: [{ node: this.nodeId, counter: ++this.#counter }], dots: [] };
  }

  #versionsOf(tenant: string): TransferEntry[] {
    validateTenant(tenant);
    const keys = this.#tenants.get(tenant);
    if (keys === undefined) {
      throw new PairError("InvalidTenantID", "Cannot read the tenant: there is none");
    }
    return [...keys].sort(([a], [b]) => a < b ? -1 : 1).flatMap(([key, { versions }]) =>
      versions.map((version) => ({ key, version: { ...version, dot: undefined, expiresAtMs: 0 } }))
    );
  }

  #fail(): void {
    if (this.failure !== undefined) throw this.failure;
  }

  #info(tenant: string): TenantInfo {
    return {
      tenant,
      createdAtMs: 1_700_000_000_000,
      bytes: 0,
      tables: 0,
      options: this.#options.get(tenant) ?? {},
      usage: {
        bytes: 2 ** 40,
        keys: 7,
        requests: 9,
        bytesIn: 11,
        bytesOut: 13,
        refused: 1,
        cacheBytes: 3,
      },
    };
  }
}

/** What a real node refuses before it hands anything over. */
function checkWrite(tenant: string, key: Key, value: Uint8Array | undefined): void {
  validateTenant(tenant);
  encodeKey(key);
  if (value === undefined) {
    throw new PairError("InvalidArgument", "Cannot take the value: it is missing");
  }
  if (value.length > MAX_VALUE_BYTES) {
    throw new PairError("ValueTooLarge", "Cannot take the value: it is longer than 10 MiB", {
      bytes: value.length,
      limit: MAX_VALUE_BYTES,
    });
  }
}

/** The checksum of entries, and what they come to. */
function checkSums(entries: readonly TransferEntry[]) {
  const totals = { keys: 0, versions: 0, tombstones: 0, bytes: 0, checksum: 0 };
  for (const { key, version } of entries) {
    const state = encodeVersions([version]);
    totals.checksum = addToChecksum(encodeKey(key), state, totals.checksum);
    totals.bytes += encodeKey(key).length + state.length;
    totals.versions++;
    if (version.value === undefined) totals.tombstones++;
  }
  totals.keys = new Set(entries.map(({ key }) => key)).size;
  return { checksum: totals.checksum, totals };
}

const THEIRS: MergeFunctionInfo = Object.freeze({
  name: "theirs",
  digest: "00".repeat(32),
  bytes: 7,
  registeredAtMs: 1_700_000_000_000,
  tenants: 3,
});

function noSnapshot(): PairError {
  return new PairError("InvalidArgument", "Cannot find the snapshot: there is none", {
    reason: "not_found",
  });
}

/** A checked key as text. */
function textOf(key: Key): string {
  return decodeText(encodeKey(key));
}

function notDraining(): PairError {
  return new PairError("InvalidArgument", "Cannot find the drain: the node is not draining", {
    reason: "not_draining",
  });
}
