/**
 * Checkpoints: consistent copies of a whole store, made while it is written to.
 *
 * Users and the command line call them snapshots; in the engine that word is taken by the sequence that a
 * read is pinned to. Making one:
 *
 *     cut        the log begins a new segment. In that one step the tables of all trees are pinned and the
 *                closed segments held: together they are the store as of the last change before the cut,
 *                which is a state that a scan could have seen
 *     link       each table and segment gets a second name in the new directory; where the file system
 *                has no links, a worker copies it. Then the store may remove its own names again
 *     digest     a worker reads what no earlier checkpoint has digested
 *     finish     a manifest of that moment, CURRENT, then the inventory; all synced; then the rename
 *
 * Tables and closed segments are never written to again, so a name more costs nothing and shares all
 * bytes. The store's own files are only read. One checkpoint is made at a time.
 * @module
 */
import { PairError } from "../../model/mod.ts";
import { type Disk, DiskError, type Runtime } from "../../runtime/mod.ts";
import { rowOf } from "../disk_failure.ts";
import { Files, makeDirDurably, manifestName, treeDirName } from "../files.ts";
import { type Job, type Jobs, planOf } from "../job_runner.ts";
import { type Manifest, ManifestState, writeManifest } from "../manifest/mod.ts";
import type { TreeState } from "../tree.ts";
import type { Log, Segment } from "../wal/mod.ts";
import { digestFile, type FileDigest, fileJobs, type FileTask, type SyncJob } from "./file_jobs.ts";
import {
  type CheckpointFile,
  encodeInventory,
  type Inventory,
  type Origin,
  SNAPSHOT_FILE,
  totalBytes,
} from "./inventory.ts";
import {
  alreadyThere,
  cannotLink,
  checkName,
  deleteFrom,
  hasInventory,
  makingDir,
  noSuch,
  ownNamesIn,
  type Pause,
  pauseEvery,
  publish,
  readOwnInventory,
  removeAll,
  removeLeftovers,
} from "./place.ts";
import { type Verified, verifyCheckpoint } from "./verify.ts";

/** Directories that one job syncs. */
const SYNC_DIRS = 64;

/** The parts of an engine that checkpoints are made of. */
export interface CheckpointParts {
  readonly runtime: Runtime;
  readonly files: Files;
  readonly manifest: Manifest;
  readonly trees: ReadonlyMap<number, TreeState>;
  readonly log: () => Log;
  readonly jobs: Jobs;
  /** Writes all memtables to tables. */
  readonly flush: () => Promise<void>;
  /** Files of tables that were found damaged: what was digested of them earlier counts no more. */
  readonly damaged: () => ReadonlySet<string>;
  /** Whether the engine is being closed: then nothing is begun, and what is under way is given up. */
  readonly closed: () => boolean;
}

/** A checkpoint, for people. */
export interface CheckpointInfo extends Origin {
  readonly name: string;
  /** Its directory. */
  readonly dir: string;
  /** The last change that is in it; 0 when its inventory cannot be read. */
  readonly sequence: number;
  /** Wall time of that moment, ms since 1970. */
  readonly createdAtMs: number;
  /** How many files. */
  readonly files: number;
  /** Bytes of all its files, shared ones included. */
  readonly bytes: number;
  /** Why it cannot be used; undefined when its inventory is sound. Its files are not looked at. */
  readonly problem: string | undefined;
}

/** A checkpoint that was just made, and what it took. */
export interface MadeCheckpoint extends CheckpointInfo {
  /** Files that share their bytes with the store. */
  readonly linked: number;
  /** Bytes that had to be copied, since there are no links here. */
  readonly copiedBytes: number;
  /** Bytes that had to be read for their digest; the rest was known. */
  readonly digestedBytes: number;
  /** From the cut until the store was free to go on as if nothing were, in ms. */
  readonly pinnedMs: number;
  readonly elapsedMs: number;
}

/** What a cut has caught. */
interface Moment {
  readonly sequence: number;
  readonly createdAtMs: number;
  readonly manifest: number;
  readonly state: ManifestState;
  readonly segments: readonly Segment[];
  release(): void;
}

/** The checkpoints of one engine. */
export class Checkpoints {
  readonly #parts: CheckpointParts;
  readonly #disk: Disk;
  readonly #place: string;
  readonly #pause: Pause;
  /** Inventories by name; undefined until they are asked for. */
  #known: Map<string, Inventory | Error> | undefined;
  /** Digests of this store's files, by path. */
  #digests = new Map<string, FileDigest>();
  #making: Promise<MadeCheckpoint> | undefined;

  constructor(parts: CheckpointParts) {
    this.#parts = parts;
    this.#disk = parts.runtime.disk;
    this.#place = parts.files.snapshotsDir;
    this.#pause = pauseEvery(parts.runtime.clock);
  }

  /**
   * Makes a checkpoint; durable when the promise resolves.
   * @throws PairError InvalidArgument for a name that is none or is taken, Unavailable while another is
   *   being made or when the engine closes, DiskFull, SSTableFailed for what else the disk says
   */
  create(name: string, origin: Origin): Promise<MadeCheckpoint> {
    if (this.#making !== undefined) {
      return Promise.reject(
        new PairError("Unavailable", "Cannot make a snapshot: another one is being made"),
      );
    }
    this.#making = this.#create(name, origin).finally(() => this.#making = undefined);
    return this.#making;
  }

  /** All checkpoints, by name. */
  list(): CheckpointInfo[] {
    return [...this.#look()].map(([name, found]) => this.#info(name, found));
  }

  /**
   * Reads every byte of a checkpoint and compares digests.
   * @throws PairError InvalidArgument when there is none, or its format is newer; CorruptedData when its
   *   inventory is missing or damaged
   */
  async verify(name: string): Promise<Verified> {
    this.#mustFind(name);
    readOwnInventory(this.#disk, `${this.#place}/${name}`);
    const job = this.#parts.jobs.start(planOf("snapshot"));
    try {
      const verified = await verifyCheckpoint(
        this.#disk,
        `${this.#place}/${name}`,
        (tasks) => this.#run(tasks, job),
      );
      job.end();
      return verified;
    } catch (error) {
      job.end(error);
      throw error;
    }
  }

  /** Deletes a checkpoint for good. @throws PairError InvalidArgument when there is none */
  async delete(name: string): Promise<void> {
    this.#mustFind(name);
    this.#inventories().delete(name);
    await deleteFrom(this.#disk, this.#place, name);
    this.#parts.runtime.log.info("snapshot deleted", { name });
  }

  /** Removes what a crash has left of one that was being made or deleted. */
  async removeLeftovers(): Promise<void> {
    try {
      await removeLeftovers(this.#disk, this.#place);
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      // It costs space, not data; the next checkpoint tries again.
      this.#parts.runtime.log.warn("cannot remove an unfinished snapshot", {
        error: error.message,
      });
    }
  }

  /** How many there are, and the bytes of files that only they still hold: what deleting all would free. */
  stats(): { count: number; heldBytes: number } {
    const inventories = this.#inventories();
    if (inventories.size === 0) return { count: 0, heldBytes: 0 };
    const live = new Set<string>();
    for (const tree of this.#parts.trees.values()) {
      for (const { meta } of tree.version.tables()) live.add(pathOf(tree.dir, meta.number));
    }
    for (const { number } of this.#parts.log().segments) live.add(this.#segmentPath(number));
    let heldBytes = 0;
    for (const inventory of inventories.values()) {
      if (inventory instanceof Error) continue;
      for (const { path, size } of inventory.files) {
        if (live.has(path)) continue;
        live.add(path);
        heldBytes += size;
      }
    }
    return { count: inventories.size, heldBytes };
  }

  /** Waits for the one under way; it ends soon when the engine closes. */
  async settle(): Promise<void> {
    await Promise.allSettled([this.#making]);
  }

  async #create(name: string, origin: Origin): Promise<MadeCheckpoint> {
    checkName(name);
    const { runtime } = this.#parts;
    const dir = `${this.#place}/${name}`;
    const there = this.#disk.stat(dir);
    if (there !== undefined) throw alreadyThere(dir, there.kind, `pairdb snapshot delete ${name}`);
    const startedMs = runtime.clock.monotonicMs();
    const making = new Files(makingDir(this.#place, name));
    const job = this.#parts.jobs.start(planOf("snapshot"));
    try {
      makeDirDurably(this.#disk, this.#place);
      await removeLeftovers(this.#disk, this.#place);
      const made = await this.#fill(making, origin, job);
      this.#checkGoOn();
      publish(this.#disk, this.#place, name);
      this.#inventories().set(name, made.inventory);
      const elapsedMs = runtime.clock.monotonicMs() - startedMs;
      const { linked, copiedBytes, digestedBytes, pinnedMs } = made;
      const figures = { linked, copiedBytes, digestedBytes, pinnedMs, elapsedMs };
      const info = this.#info(name, made.inventory);
      runtime.log.info("snapshot made", {
        name,
        sequence: info.sequence,
        files: info.files,
        bytes: info.bytes,
        linked,
        copied_bytes: copiedBytes,
        digested_bytes: digestedBytes,
        pinned_ms: Math.round(pinnedMs),
        ms: Math.round(elapsedMs),
      });
      job.end();
      return { ...info, ...figures };
    } catch (error) {
      const told = inStore(restate(error, dir), making.root, this.#parts.files.root);
      job.end(told);
      await this.#giveUp(making.root);
      throw told;
    }
  }

  /** Fills the directory that is to become a checkpoint; everything but its own name is durable on return. */
  async #fill(making: Files, origin: Origin, job: Job) {
    const { runtime, files } = this.#parts;
    this.#disk.makeDir(making.walDir);
    this.#disk.makeDir(making.treesDir);
    await this.#leaveDamageBehind();
    const moment = await this.#cut();
    const pinnedAtMs = runtime.clock.monotonicMs();
    const found = new Map<string, FileDigest>();
    const dirs = [making.treesDir, making.walDir];
    let linked: Placed;
    try {
      const paths = moment.segments.map(({ number, bytes: size }) => {
        return { path: this.#segmentPath(number), size };
      });
      for (const { name, id, tables } of moment.state.trees.values()) {
        const dir = treeDirName(name, id);
        dirs.push(making.treeDir(dir));
        this.#disk.makeDir(making.treeDir(dir));
        for (const { number, size } of tables.values()) {
          paths.push({ path: pathOf(dir, number), size });
        }
        await this.#goOn();
      }
      linked = await this.#placeFiles(files.root, making.root, paths, found, job);
    } finally {
      moment.release();
    }
    const pinnedMs = runtime.clock.monotonicMs() - pinnedAtMs;
    const digestedBytes = await this.#digest(making.root, linked.paths, found, origin, job);
    writeManifest(
      this.#disk,
      making,
      moment.manifest,
      moment.state,
      this.#parts.manifest.sealing,
    );
    for (const path of [manifestName(moment.manifest), "CURRENT"]) {
      found.set(path, digestFile(this.#disk, `${making.root}/${path}`));
    }
    const inventory: Inventory = {
      ...origin,
      sequence: moment.sequence,
      createdAtMs: moment.createdAtMs,
      files: [...found].map(([path, digest]): CheckpointFile => ({ path, ...digest }))
        .sort((a, b) => (a.path < b.path ? -1 : 1)),
    };
    writeInventory(this.#disk, making.root, inventory);
    const written = [manifestName(moment.manifest), "CURRENT", SNAPSHOT_FILE];
    await this.#sync(written.map((name) => `${making.root}/${name}`), [...dirs, making.root]);
    this.#digests = found;
    const { count, copiedBytes } = linked;
    return { inventory, linked: count, copiedBytes, digestedBytes, pinnedMs };
  }

  /**
   * A damaged segment is a loss that was reported; a copy of it would be reported again wherever it is
   * restored. What can be read of it is in memory, and goes into tables first.
   */
  async #leaveDamageBehind(): Promise<void> {
    if (this.#parts.log().segments.some(({ damaged }) => damaged)) await this.#parts.flush();
  }

  /** Begins a segment and pins what lies before it. */
  async #cut(): Promise<Moment> {
    let moment: Moment | undefined;
    await this.#parts.log().cut(() => moment = this.#take());
    return moment!;
  }

  /** See {@link Log.cut}. Takes the trees' word, not the manifest's, which may be an edit ahead of them. */
  #take(): Moment {
    const { runtime, manifest, trees } = this.#parts;
    const log = this.#parts.log();
    const number = manifest.nextFile();
    const state = new ManifestState();
    state.apply(manifest.state.snapshot());
    const versions: TreeState["version"][] = [];
    let oldest = Infinity;
    for (const record of [...state.trees.values()]) {
      const tree = trees.get(record.id);
      // One that is not there yet is empty.
      if (tree === undefined) continue;
      if (tree.dropped) {
        state.apply({ dropTree: tree.id });
        continue;
      }
      record.tables.clear();
      for (const meta of tree.version.metas.flat()) record.tables.set(meta.number, meta);
      record.flushedSeq = tree.flushedSeq;
      versions.push(tree.version.acquire());
      oldest = Math.min(oldest, tree.oldestUnflushed() ?? Infinity);
    }
    const sequence = log.segments[log.segments.length - 1].lastSeq;
    const segments = log.segments.slice(0, -1).filter(({ lastSeq }) => lastSeq >= oldest);
    const letGo = log.hold();
    state.oldestLog = segments[0]?.number ?? 0;
    state.newestLog = segments.at(-1)?.number ?? 0;
    state.lastSeq = sequence;
    // With this a log that is cut short later does not pass for torn.
    state.closed = segments.length > 0 ? sequence : undefined;
    return {
      sequence,
      createdAtMs: runtime.clock.wallMs(),
      manifest: number,
      state,
      segments,
      release() {
        letGo();
        for (const version of versions) version.release();
      },
    };
  }

  /** Links files into a directory, or copies them. What was copied is digested by the way. */
  async #placeFiles(
    from: string,
    to: string,
    paths: readonly { path: string; size: number }[],
    found: Map<string, FileDigest>,
    job: Job,
  ): Promise<Placed> {
    let count = 0;
    let copiedBytes = 0;
    const tasks: (FileTask & { path: string })[] = [];
    const copy = (path: string, size: number) =>
      tasks.push({ path, from: `${from}/${path}`, to: `${to}/${path}`, size, verify: true });
    for (const { path, size } of paths) {
      try {
        // After the first file that cannot be linked no other is tried.
        if (tasks.length === 0) this.#disk.link(`${from}/${path}`, `${to}/${path}`);
      } catch (error) {
        if (!cannotLink(error)) throw error;
        copy(path, size);
        continue;
      }
      if (tasks.length > 0) copy(path, size);
      else count++;
      await this.#goOn();
    }
    const digests = await this.#run(tasks, job);
    tasks.forEach(({ path }, i) => {
      found.set(path, digests[i]);
      copiedBytes += digests[i].size;
    });
    return { count, copiedBytes, paths };
  }

  /**
   * Digests what is not known from an earlier checkpoint, and verifies again what was found damaged since; returns
   * the bytes that were read for it.
   */
  async #digest(
    root: string,
    paths: Placed["paths"],
    found: Map<string, FileDigest>,
    origin: Origin,
    job: Job,
  ): Promise<number> {
    const known = new Map(this.#digests);
    for (const inventory of this.#inventories().values()) {
      // A number means the same file only within one store.
      if (inventory instanceof Error || inventory.store !== origin.store) continue;
      for (const { path, size, sha256 } of inventory.files) known.set(path, { size, sha256 });
    }
    const damaged = this.#parts.damaged();
    const tasks: (FileTask & { path: string })[] = [];
    for (const { path, size } of paths) {
      if (found.has(path)) continue;
      const digest = damaged.has(`${this.#parts.files.root}/${path}`) ? undefined : known.get(path);
      if (digest !== undefined && digest.size === size) found.set(path, digest);
      else tasks.push({ path, from: `${root}/${path}`, size, verify: true });
    }
    const digests = await this.#run(tasks, job);
    tasks.forEach(({ path }, i) => found.set(path, digests[i]));
    return digests.reduce((sum, { size }) => sum + size, 0);
  }

  /** Has workers digest or copy files. */
  async #run(tasks: readonly FileTask[], job: Job): Promise<FileDigest[]> {
    const digests: FileDigest[] = [];
    job.bytes = (job.bytes ?? 0) + sumOf(tasks);
    for (const part of fileJobs(tasks)) {
      this.#checkGoOn();
      digests.push(...await job.carryOut(part) as FileDigest[]);
    }
    return digests;
  }

  /** Has workers make files and directories durable: a sync can take as long as the disk pleases. */
  async #sync(files: readonly string[], dirs: readonly string[]): Promise<void> {
    for (let from = 0; from < dirs.length; from += SYNC_DIRS) {
      this.#checkGoOn();
      const job: SyncJob = {
        type: "sync",
        files: from === 0 ? files : [],
        dirs: dirs.slice(from, from + SYNC_DIRS),
      };
      await this.#parts.runtime.workers.run(job, {
        urgent: true,
        signal: this.#parts.jobs.givenUp,
      });
    }
  }

  /** Lets others run, and gives up when the engine closes. */
  async #goOn(): Promise<void> {
    await this.#pause();
    this.#checkGoOn();
  }

  #checkGoOn(): void {
    if (this.#parts.closed()) throw new PairError("Unavailable", "The engine is closed");
  }

  /** Removes what a failed making leaves, as well as it can: the next one removes the rest. */
  async #giveUp(making: string): Promise<void> {
    try {
      await removeAll(this.#disk, making);
    } catch (error) {
      this.#parts.runtime.log.warn("cannot remove an unfinished snapshot", {
        error: error instanceof Error ? error.message : String(error),
      });
    }
  }

  #inventories(): Map<string, Inventory | Error> {
    return this.#known ?? this.#look();
  }

  /** Looks at the place itself: people delete and add directories too. */
  #look(): Map<string, Inventory | Error> {
    const known = new Map<string, Inventory | Error>();
    for (const name of ownNamesIn(this.#disk, this.#place)) {
      const dir = `${this.#place}/${name}`;
      const before = this.#known?.get(name);
      const stands = before !== undefined && !(before instanceof Error) &&
        hasInventory(this.#disk, dir);
      known.set(name, stands ? before : this.#read(dir));
    }
    return this.#known = known;
  }

  #read(dir: string): Inventory | Error {
    try {
      return readOwnInventory(this.#disk, dir);
    } catch (error) {
      if (!(error instanceof PairError || error instanceof DiskError)) throw error;
      return error;
    }
  }

  #mustFind(name: string): void {
    checkName(name);
    if (!this.#look().has(name)) throw noSuch(this.#disk, this.#place, name);
  }

  #info(name: string, found: Inventory | Error): CheckpointInfo {
    return describe(name, `${this.#place}/${name}`, found);
  }

  #segmentPath(number: number): string {
    return this.#parts.files.segment(number).slice(this.#parts.files.root.length + 1);
  }
}

/** Bytes that a worker goes through: what is to be sound is read once more. */
function sumOf(tasks: readonly FileTask[]): number {
  return tasks.reduce((sum, { size, verify }) => sum + (verify ? 2 : 1) * size, 0);
}

/** Files that have their place in a checkpoint. */
interface Placed {
  /** How many of them are links. */
  readonly count: number;
  readonly copiedBytes: number;
  readonly paths: readonly { readonly path: string; readonly size: number }[];
}

/** A checkpoint for people, from its inventory or from what was wrong with that. */
export function describe(name: string, dir: string, found: Inventory | Error): CheckpointInfo {
  if (found instanceof Error) {
    const nothing = { node: "", store: "", sequence: 0, createdAtMs: 0, files: 0, bytes: 0 };
    return { name, dir, ...nothing, problem: found.message };
  }
  const { node, store, sequence, createdAtMs, files } = found;
  const bytes = totalBytes(found);
  return {
    name,
    dir,
    node,
    store,
    sequence,
    createdAtMs,
    files: files.length,
    bytes,
    problem: undefined,
  };
}

/** Writes the inventory, which makes a directory a checkpoint. Nothing is synced. */
export function writeInventory(disk: Disk, dir: string, inventory: Inventory): void {
  const file = disk.create(`${dir}/${SNAPSHOT_FILE}`);
  try {
    file.append(encodeInventory(inventory));
  } finally {
    file.close();
  }
}

function pathOf(treeDir: string, number: number): string {
  return new Files("").table(treeDir, number).slice(1);
}

/** An error that names the store's own file, where it was met under a name that is gone again. */
function inStore(error: unknown, making: string, root: string): unknown {
  if (!(error instanceof PairError) || !error.message.includes(making)) return error;
  const { file } = error.details;
  const details = { ...error.details };
  if (typeof file === "string") details.file = file.replace(making, root);
  return new PairError(error.error, error.message.replaceAll(making, root), details, {
    cause: error,
  });
}

/** What the disk or a worker said, in the words of the operation. */
export function restate(cause: unknown, dir: string, what = "make the snapshot"): unknown {
  if (cause instanceof PairError || !(cause instanceof Error)) return cause;
  // A PairError that crossed a thread boundary has these as plain fields.
  const { error, details, errno } = cause as Error & Partial<PairError> & { errno?: string };
  const message = `Cannot ${what} ${dir}: ${cause.message}`;
  if (error !== undefined) return new PairError(error, message, details, { cause });
  if (errno === undefined) return cause;
  return new PairError(rowOf(errno), message, { errno }, { cause });
}
