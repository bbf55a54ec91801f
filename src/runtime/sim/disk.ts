/**
 * A disk in memory that can lose power, fail any call, run full and rot.
 *
 * It answers as the machine's disk does (one suite of cases runs against both), and remembers what
 * was synced: {@link SimDisk.crash} leaves what a real one might. How durability is modelled is in
 * inodes.ts. Crash tests go like this:
 *
 *     const disk = new SimDisk();
 *     disk.stopAtMutation(17);          // the 18th change of the disk, and every call after it, throws SimCrash
 *     run(script, disk);                // remembers what it was told is stored
 *     const image = disk.snapshotImage();
 *     for (let seed = 0; seed < 20; seed++) {
 *       const after = SimDisk.fromImage(image);
 *       after.crash({ seed });
 *       compare(reopen(after), remembered);
 *     }
 * @module
 */
import type { Clock } from "../clock.ts";
import {
  type AppendFile,
  type Disk,
  type DiskEntry,
  DiskError,
  type DiskLock,
  type Errno,
  type ReadFile,
} from "../disk.ts";
import type { Random } from "../random.ts";
import { SimDir, SimFile, type SimNode, SimTree } from "./inodes.ts";
import { SimRandom } from "./random.ts";

/** Calls that change the disk or make a change durable: the points where a crash makes a difference. */
export type SimDiskMutatingOp =
  | "create"
  | "append"
  | "sync"
  | "syncNow"
  | "makeDir"
  | "rename"
  | "link"
  | "remove"
  | "removeAsync"
  | "removeDir"
  | "syncDir"
  | "syncFile"
  | "lock";

/** The calls that are counted and that a hook sees: methods of Disk and of its files, `close` excepted. */
export type SimDiskOp =
  | SimDiskMutatingOp
  | "openRead"
  | "readAt"
  | "readAtAsync"
  | "readWhole"
  | "stat"
  | "list"
  | "space";

/** A record, so that the compiler finds one that is missing. */
const MUTATING: Readonly<Record<SimDiskMutatingOp, true>> = {
  create: true,
  append: true,
  sync: true,
  syncNow: true,
  makeDir: true,
  rename: true,
  link: true,
  remove: true,
  removeAsync: true,
  removeDir: true,
  syncDir: true,
  syncFile: true,
  lock: true,
};

/** A call that is about to be carried out. An append that is cut short makes another call for the rest. */
export interface SimDiskCall {
  /** The method. */
  readonly op: SimDiskOp;
  /** As the caller gave it; for a rename or link, the name that exists. */
  readonly path: string;
  /** How many calls came before it, of any kind. */
  readonly index: number;
}

/**
 * What a hook has happen: the call fails with the errno; an append takes only part of its bytes at
 * first (`short`); the world stops before the call (`crash`); or all goes well.
 * A failed sync of a file loses what it was to cover: no later sync makes those bytes durable.
 */
export type SimDiskVerdict = Errno | "short" | "crash" | undefined;

/** Sees every call before it is carried out. */
export type SimDiskHook = (call: SimDiskCall) => SimDiskVerdict;

/** What a crash leaves of what was not synced: nothing, everything, or a choice by seed. */
export type CrashPolicy = "drop" | "keep" | { readonly seed: number };

/** How to make a {@link SimDisk}. */
export interface SimDiskOptions {
  /** With one, calls that return a promise take virtual time; without, they resolve by a microtask. */
  readonly clock?: Clock;
  /** Chooses delays and where short writes are cut; by default seeded with 0. */
  readonly random?: Random;
  /** The most a sync or a removal takes, in ms of the clock. Default 5. */
  readonly syncDelayMsMax?: number;
  /** The most an asynchronous read takes, in ms of the clock. Default 1. */
  readonly readDelayMsMax?: number;
  /** Bytes of file contents that fit; then appends fail with ENOSPC after taking what fits. Default: no limit. */
  readonly capacityBytes?: number;
  /** Where {@link SimDisk.hook} starts. */
  readonly hook?: SimDiskHook;
}

/** A disk at one moment, for {@link SimDisk.fromImage}. Immutable. */
export class SimDiskImage {
  readonly #tree: SimTree;

  /**
   * Made by {@link SimDisk.snapshotImage}.
   * @internal
   */
  constructor(tree: SimTree) {
    this.#tree = tree.clone();
  }

  /**
   * A fresh copy of the files, for {@link SimDisk}.
   * @internal
   */
  tree(): SimTree {
    return this.#tree.clone();
  }
}

/** Thrown by every call after the world was stopped, until {@link SimDisk.crash}. */
export class SimCrash extends Error {
  override name = "SimCrash";
}

/** What `space` reports where no capacity was set. */
const UNLIMITED_BYTES = 2 ** 40;

/** See the head of the file. */
export class SimDisk implements Disk {
  /** May be replaced at any time. */
  hook: SimDiskHook | undefined;
  /** May be changed at any time; undefined: no limit. */
  capacityBytes: number | undefined;

  #tree = new SimTree();
  readonly #clock: Clock | undefined;
  readonly #random: Random;
  readonly #syncDelayMsMax: number;
  readonly #readDelayMsMax: number;
  readonly #counts = new Map<SimDiskOp, number>();
  #calls = 0;
  #mutations = 0;
  #stopAtCall = Infinity;
  #stopAtMutation = Infinity;
  #stopped: SimCrash | undefined;
  /** Rises with each crash; handles of an older one are dead. */
  #epoch = 0;
  readonly #locked = new Set<SimNode>();
  /** Open handles by file: an unlinked file takes its space until the last one closes. */
  readonly #opens = new Map<SimFile, number>();

  constructor(options: SimDiskOptions = {}) {
    this.hook = options.hook;
    this.capacityBytes = options.capacityBytes;
    this.#clock = options.clock;
    this.#random = options.random ?? new SimRandom(0);
    this.#syncDelayMsMax = options.syncDelayMsMax ?? 5;
    this.#readDelayMsMax = options.readDelayMsMax ?? 1;
  }

  /** A disk with the contents of an image: synced and unsynced as they were, no handles, no locks. */
  static fromImage(image: SimDiskImage, options: SimDiskOptions = {}): SimDisk {
    const disk = new SimDisk(options);
    disk.#tree = image.tree();
    return disk;
  }

  /** What is on the disk now, also after the world was stopped. Costs a copy of the names, not of the bytes. */
  snapshotImage(): SimDiskImage {
    return new SimDiskImage(this.#tree);
  }

  /**
   * Loses power and starts again. Handles are dead (EIO), locks free, syncs that had not resolved did
   * not happen; what is left is durable. Ends a stop of the world; the hook, limits and counters stay.
   */
  crash(policy: CrashPolicy): void {
    this.#tree.crash(typeof policy === "string" ? policy : new SimRandom(policy.seed));
    this.#epoch++;
    this.#locked.clear();
    this.#opens.clear();
    this.#stopped = undefined;
    this.#stopAtCall = Infinity;
    this.#stopAtMutation = Infinity;
  }

  /** Stops the world before the call with this index (see {@link SimDiskCall}). */
  stopAtCall(index: number): void {
    this.#stopAtCall = index;
  }

  /** Stops the world before the mutating call that has this many mutating ones before it. */
  stopAtMutation(index: number): void {
    this.#stopAtMutation = index;
  }

  /** Whether the world was stopped and no crash has come since. */
  get stopped(): boolean {
    return this.#stopped !== undefined;
  }

  /** Calls so far. */
  get callCount(): number {
    return this.#calls;
  }

  /** Calls so far that change the disk or sync it. */
  get mutationCount(): number {
    return this.#mutations;
  }

  /** Calls so far of one kind. */
  count(op: SimDiskOp): number {
    return this.#counts.get(op) ?? 0;
  }

  /** Flips bits of one byte, in what is durable too. Not counted, not hooked. */
  corrupt(path: string, offset: number, xorByte: number): void {
    this.#file("corrupt", path).corrupt(offset, xorByte);
  }

  /** Sets a file's contents, durably, and its name and directories when they are missing. Not counted, not hooked. */
  setBytes(path: string, bytes: Uint8Array): void {
    const { parent, name } = this.#makeParents(path);
    const node = parent.visible.get(name) ?? new SimFile();
    if (node instanceof SimDir) throw new DiskError("setBytes", path, "EISDIR");
    if (!parent.visible.has(name)) this.#tree.change({ dir: parent, name, node });
    const parts = partsOf(path);
    for (let depth = 0; depth < parts.length; depth++) {
      const dir = walk(this.#tree.root, parts.slice(0, depth));
      if (dir instanceof SimDir) this.#tree.syncDir(dir);
    }
    node.replace(bytes);
  }

  openRead(path: string): ReadFile {
    this.#enter("openRead", path);
    return new SimReadFile(this.#handle(this.#file("openRead", path), path));
  }

  create(path: string): AppendFile {
    this.#enter("create", path);
    const file = this.#create("create", path);
    return new SimAppendFile(this.#handle(file, path));
  }

  readWhole(path: string): Uint8Array<ArrayBuffer> {
    this.#enter("readWhole", path);
    return this.#file("readWhole", path).bytes();
  }

  stat(path: string): DiskEntry | undefined {
    this.#enter("stat", path);
    const node = walk(this.#tree.root, partsOf(path));
    if (node === "ENOENT" || node === "ENOTDIR") return undefined;
    return node instanceof SimDir
      ? { kind: "directory", size: 0 }
      : { kind: "file", size: node.size };
  }

  list(path: string): string[] {
    this.#enter("list", path);
    return [...this.#dir("list", path).visible.keys()].sort();
  }

  makeDir(path: string): void {
    this.#enter("makeDir", path);
    if (partsOf(path).length === 0) return;
    const { parent, name } = this.#makeParents(path);
    const there = parent.visible.get(name);
    if (there instanceof SimFile) throw new DiskError("makeDir", path, "EEXIST");
    if (there === undefined) this.#tree.change({ dir: parent, name, node: new SimDir() });
  }

  rename(from: string, to: string): void {
    this.#enter("rename", from);
    const fail = (errno: Errno, detail?: string) =>
      new DiskError("rename", from, errno, { detail });
    const moved = this.#node("rename", from);
    const source = this.#parent("rename", from);
    const target = this.#parent("rename", to);
    const replaced = target.parent.visible.get(target.name);
    if (replaced === moved) return;
    if (moved instanceof SimDir) {
      if (isBelow(partsOf(to), partsOf(from))) throw fail("EOTHER", "the target is inside");
      if (replaced instanceof SimFile) throw fail("ENOTDIR");
      if (replaced !== undefined && replaced.visible.size > 0) throw fail("ENOTEMPTY");
    } else if (replaced instanceof SimDir) {
      throw fail("EISDIR");
    }
    this.#tree.change(
      { dir: source.parent, name: source.name, node: undefined },
      { dir: target.parent, name: target.name, node: moved },
    );
  }

  link(from: string, to: string): void {
    this.#enter("link", from);
    const node = this.#node("link", from);
    if (node instanceof SimDir) throw new DiskError("link", from, "EACCES");
    const { parent, name } = this.#parent("link", to);
    if (parent.visible.has(name)) throw new DiskError("link", from, "EEXIST");
    this.#tree.change({ dir: parent, name, node });
  }

  remove(path: string): void {
    this.#remove("remove", path);
  }

  async removeAsync(path: string): Promise<void> {
    const epoch = this.#epoch;
    await this.#delay(this.#syncDelayMsMax);
    if (this.#stopped === undefined && epoch !== this.#epoch) throw deadHandle("removeAsync", path);
    this.#remove("removeAsync", path);
  }

  #remove(op: "remove" | "removeAsync", path: string): void {
    this.#enter(op, path);
    this.#file(op, path);
    const { parent, name } = this.#parent(op, path);
    this.#tree.change({ dir: parent, name, node: undefined });
  }

  removeDir(path: string): void {
    this.#enter("removeDir", path);
    const node = walk(this.#tree.root, partsOf(path));
    if (node === "ENOENT") return;
    if (node === "ENOTDIR" || node instanceof SimFile) {
      throw new DiskError("removeDir", path, "ENOTDIR");
    }
    const { parent, name } = this.#parent("removeDir", path);
    this.#clear(node);
    this.#tree.change({ dir: parent, name, node: undefined });
  }

  syncDir(path: string): void {
    this.#enter("syncDir", path);
    this.#tree.syncDir(this.#dir("syncDir", path));
  }

  syncFile(path: string): void {
    try {
      this.#enter("syncFile", path);
    } catch (error) {
      const there = walk(this.#tree.root, partsOf(path));
      if (error instanceof DiskError && there instanceof SimFile) there.syncFailed(there.size);
      throw error;
    }
    const file = this.#file("syncFile", path);
    file.synced(file.size);
  }

  async syncFileAsync(path: string): Promise<void> {
    const epoch = this.#epoch;
    await this.#delay(this.#syncDelayMsMax);
    if (this.#stopped === undefined && epoch !== this.#epoch) {
      throw deadHandle("syncFileAsync", path);
    }
    this.syncFile(path);
  }

  lock(path: string): DiskLock {
    this.#enter("lock", path);
    const there = walk(this.#tree.root, partsOf(path));
    if (there instanceof SimDir) throw new DiskError("lock", path, "EISDIR");
    const file = there instanceof SimFile ? there : this.#create("lock", path);
    if (this.#locked.has(file)) throw new DiskError("lock", path, "EAGAIN");
    this.#locked.add(file);
    const epoch = this.#epoch;
    let held = true;
    return {
      release: () => {
        if (held && epoch === this.#epoch) this.#locked.delete(file);
        held = false;
      },
    };
  }

  space(path: string): { totalBytes: number; freeBytes: number } {
    this.#enter("space", path);
    this.#node("space", path);
    const totalBytes = this.capacityBytes ?? UNLIMITED_BYTES;
    return { totalBytes, freeBytes: Math.max(0, totalBytes - this.#usedBytes()) };
  }

  /** Counts a call, asks the hook, and throws what it says. Returns whether the call is to be cut short. */
  #enter(op: SimDiskOp, path: string): boolean {
    if (this.#stopped !== undefined) throw this.#stopped;
    const index = this.#calls++;
    const mutation = op in MUTATING ? this.#mutations++ : -1;
    this.#counts.set(op, this.count(op) + 1);
    const stop = index === this.#stopAtCall || mutation === this.#stopAtMutation;
    const verdict = stop ? "crash" : this.hook?.({ op, path, index });
    if (verdict === undefined) return false;
    if (verdict === "crash") {
      this.#stopped = new SimCrash(`the world stopped before call ${index}: ${op} ${path}`);
      throw this.#stopped;
    }
    if (verdict !== "short") throw new DiskError(op, path, verdict, { detail: "injected" });
    if (op !== "append") throw new RangeError(`only an append can be short, not ${op}`);
    return true;
  }

  #handle(file: SimFile, path: string): SimHandle {
    const epoch = this.#epoch;
    this.#opens.set(file, (this.#opens.get(file) ?? 0) + 1);
    return {
      path,
      file,
      enter: (op) => {
        // A stopped world says so itself.
        if (this.#stopped === undefined && epoch !== this.#epoch) throw deadHandle(op, path);
        return this.#enter(op, path);
      },
      wait: async (op) => {
        await this.#delay(op === "sync" ? this.#syncDelayMsMax : this.#readDelayMsMax);
        if (this.#stopped !== undefined) throw this.#stopped;
        if (epoch !== this.#epoch) throw deadHandle(op, path);
      },
      freeBytes: () =>
        this.capacityBytes === undefined ? Infinity : this.capacityBytes - this.#usedBytes(),
      below: (bound) => this.#random.below(bound),
      closed: () => {
        if (epoch !== this.#epoch) return;
        const left = (this.#opens.get(file) ?? 1) - 1;
        if (left === 0) this.#opens.delete(file);
        else this.#opens.set(file, left);
      },
    };
  }

  async #delay(msMax: number): Promise<void> {
    if (this.#clock === undefined) await Promise.resolve();
    else await this.#clock.sleep(this.#random.below(Math.floor(msMax * 1000) + 1) / 1000);
  }

  #usedBytes(): number {
    let used = 0;
    for (const file of this.#tree.files().union(new Set(this.#opens.keys()))) used += file.size;
    return used;
  }

  #create(call: string, path: string): SimFile {
    const { parent, name } = this.#parent(call, path);
    if (parent.visible.has(name)) throw new DiskError(call, path, "EEXIST");
    const file = new SimFile();
    this.#tree.change({ dir: parent, name, node: file });
    return file;
  }

  /** Takes everything out of a directory, each name a change of its own: a crash may keep any of them. */
  #clear(dir: SimDir): void {
    for (const [name, node] of [...dir.visible]) {
      if (node instanceof SimDir) this.#clear(node);
      this.#tree.change({ dir, name, node: undefined });
    }
  }

  #makeParents(path: string): { parent: SimDir; name: string } {
    const parts = partsOf(path);
    const name = parts.pop();
    if (name === undefined) throw new DiskError("makeDir", path, "EEXIST");
    let parent = this.#tree.root;
    for (const part of parts) {
      const next = parent.visible.get(part) ?? new SimDir();
      if (next instanceof SimFile) throw new DiskError("makeDir", path, "ENOTDIR");
      if (!parent.visible.has(part)) this.#tree.change({ dir: parent, name: part, node: next });
      parent = next;
    }
    return { parent, name };
  }

  #parent(call: string, path: string): { parent: SimDir; name: string } {
    const parts = partsOf(path);
    const name = parts.pop();
    if (name === undefined) throw new DiskError(call, path, "EEXIST");
    const parent = walk(this.#tree.root, parts);
    if (typeof parent === "string") throw new DiskError(call, path, parent);
    if (parent instanceof SimFile) throw new DiskError(call, path, "ENOTDIR");
    return { parent, name };
  }

  #node(call: string, path: string): SimNode {
    const node = walk(this.#tree.root, partsOf(path));
    if (typeof node === "string") throw new DiskError(call, path, node);
    return node;
  }

  #file(call: string, path: string): SimFile {
    const node = this.#node(call, path);
    if (node instanceof SimDir) throw new DiskError(call, path, "EISDIR");
    return node;
  }

  #dir(call: string, path: string): SimDir {
    const node = this.#node(call, path);
    if (node instanceof SimFile) throw new DiskError(call, path, "ENOTDIR");
    return node;
  }
}

/** What an open file needs of its disk. */
interface SimHandle {
  readonly path: string;
  readonly file: SimFile;
  /** {@link SimDisk} counts and hooks the call; throws when the handle did not survive a crash. */
  enter(op: SimDiskOp): boolean;
  /** Lets an asynchronous call take its time; throws when a crash came meanwhile. */
  wait(op: "sync" | "readAtAsync"): Promise<void>;
  freeBytes(): number;
  below(bound: number): number;
  closed(): void;
}

class SimReadFile implements ReadFile {
  readonly path: string;
  readonly size: number;
  readonly #handle: SimHandle;
  #open = true;

  constructor(handle: SimHandle) {
    this.path = handle.path;
    this.size = handle.file.size;
    this.#handle = handle;
  }

  readAt(into: Uint8Array, offset: number): number {
    this.#enter("readAt", offset);
    return this.#handle.file.read(into, offset, this.size);
  }

  async readAtAsync(into: Uint8Array, offset: number): Promise<number> {
    this.#enter("readAtAsync", offset);
    await this.#handle.wait("readAtAsync");
    return this.#handle.file.read(into, offset, this.size);
  }

  close(): void {
    if (this.#open) this.#handle.closed();
    this.#open = false;
  }

  #enter(op: "readAt" | "readAtAsync", offset: number): void {
    if (!this.#open) throw closedHandle(op, this.path);
    if (!(offset >= 0)) throw new RangeError(`cannot read at offset ${offset}`);
    this.#handle.enter(op);
  }
}

class SimAppendFile implements AppendFile {
  readonly path: string;
  readonly #handle: SimHandle;
  #open = true;

  constructor(handle: SimHandle) {
    this.path = handle.path;
    this.#handle = handle;
  }

  get size(): number {
    return this.#handle.file.size;
  }

  append(bytes: Uint8Array): void {
    let left = bytes;
    do {
      if (!this.#open) throw closedHandle("append", this.path);
      const short = this.#handle.enter("append");
      const free = this.#handle.freeBytes();
      if (free <= 0 && left.length > 0) throw new DiskError("append", this.path, "ENOSPC");
      const cut = short && left.length > 1 ? 1 + this.#handle.below(left.length - 1) : left.length;
      const count = Math.min(cut, free);
      this.#handle.file.append(left.subarray(0, count));
      left = left.subarray(count);
    } while (left.length > 0);
  }

  async sync(): Promise<void> {
    this.#enterSync("sync");
    // Bytes appended while it runs are not covered.
    const size = this.size;
    await this.#handle.wait("sync");
    this.#handle.file.synced(size);
  }

  syncNow(): void {
    this.#enterSync("syncNow");
    this.#handle.file.synced(this.size);
  }

  close(): void {
    if (this.#open) this.#handle.closed();
    this.#open = false;
  }

  #enterSync(op: "sync" | "syncNow"): void {
    if (!this.#open) throw closedHandle(op, this.path);
    try {
      this.#handle.enter(op);
    } catch (error) {
      if (error instanceof DiskError) this.#handle.file.syncFailed(this.size);
      throw error;
    }
  }
}

function deadHandle(op: string, path: string): DiskError {
  return new DiskError(op, path, "EIO", { detail: "opened before the crash" });
}

function closedHandle(op: string, path: string): DiskError {
  return new DiskError(op, path, "EOTHER", { detail: "the file is closed" });
}

/** The names in a path. Relative paths start at the root, as if it were the working directory. */
function partsOf(path: string): string[] {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw new RangeError(`the simulated disk knows no "..": ${path}`);
  return parts;
}

function walk(root: SimDir, parts: readonly string[]): SimNode | "ENOENT" | "ENOTDIR" {
  let node: SimNode = root;
  for (const part of parts) {
    if (node instanceof SimFile) return "ENOTDIR";
    const next = node.visible.get(part);
    if (next === undefined) return "ENOENT";
    node = next;
  }
  return node;
}

function isBelow(parts: readonly string[], above: readonly string[]): boolean {
  return parts.length > above.length && above.every((part, i) => part === parts[i]);
}
