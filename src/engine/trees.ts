/**
 * The trees of one engine, by number and by name: how they are made, changed and dropped. What a tree is on disk
 * is an edit of the manifest, and durable when the promise resolves; its memtables and its levels are in
 * `tree.ts`.
 *
 * A tree that is being dropped has no name any more, and nobody uses it; when the edit finds no room on the disk,
 * it is there as before.
 * @module
 */
import { PairError } from "../model/mod.ts";
import type { Runtime } from "../runtime/mod.ts";
import type { MergeOperator, Tree, TreeOptions } from "./api.ts";
import { findOperator } from "./compaction/mod.ts";
import { isShortOfRoom } from "./disk_failure.ts";
import { type Files, treeDirName } from "./files.ts";
import type { Maintenance } from "./maintenance.ts";
import type { Manifest, TreeMeta, TreeRecord } from "./manifest/mod.ts";
import type { Arenas } from "./memtable/mod.ts";
import type { RowCache } from "./row_cache/mod.ts";
import type { BlockCache } from "./sstable/mod.ts";
import type { TableStore } from "./table_store.ts";
import { newMemtable, TreeState } from "./tree.ts";
import { changeOptions, NO_OPTIONS } from "./tree_options.ts";
import { Version } from "./version.ts";

/** What trees stand on. */
export interface TreesParts {
  readonly runtime: Runtime;
  readonly files: Files;
  readonly operators: readonly MergeOperator[];
  /** Of a full memtable, in bytes. */
  readonly memtableSize: number;
  readonly arenas: Arenas;
  readonly rows: RowCache;
  readonly blocks: BlockCache;
  readonly tables: TableStore;
  readonly manifest: () => Manifest;
  readonly maintenance: () => Maintenance;
  /** The last sequence given out. */
  readonly lastSeq: () => number;
}

/** See the head of the file. */
export class Trees {
  readonly #parts: TreesParts;
  readonly #states = new Map<number, TreeState>();
  readonly #byName = new Map<string, TreeState>();
  /** Names of trees that the engine's follower is told of. */
  readonly #followed = new Set<string>();

  constructor(parts: TreesParts) {
    this.#parts = parts;
  }

  /** All of them by number, with those that are being dropped. */
  get states(): ReadonlyMap<number, TreeState> {
    return this.#states;
  }

  /** Whether the follower is told of any. */
  get followed(): boolean {
    return this.#followed.size > 0;
  }

  /** By name. */
  list(): readonly Tree[] {
    return [...this.#byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  find(name: string): Tree | undefined {
    return this.#byName.get(name);
  }

  /** @throws PairError InvalidTenantID (1004) when it is not there, or not any more */
  state(handle: Tree): TreeState {
    const tree = this.#states.get(handle.id);
    if (tree === undefined || tree.dropped) {
      throw new PairError("InvalidTenantID", `Cannot use tree ${handle.id}: it does not exist`, {
        tree: handle.id,
      });
    }
    return tree;
  }

  /** Has the follower told of the trees of a name, or not. */
  follow(name: string, on: boolean): void {
    if (on) this.#followed.add(name);
    else this.#followed.delete(name);
    const tree = this.#byName.get(name);
    if (tree !== undefined) tree.followed = on;
  }

  /** A tree of the manifest, at the start. @throws PairError of a table that is missing */
  load(record: TreeRecord): void {
    const { tables } = this.#parts;
    const dir = treeDirName(record.name, record.id);
    const placed = [...record.tables.values()].map((meta) => tables.place(record.id, dir, meta));
    for (const { table } of placed) tables.checkPresent(dir, table.meta);
    this.#add(record, new Version(placed), record.flushedSeq);
  }

  /** See `Engine.createTree`. */
  async create(
    name: string,
    operatorName = "",
    options: TreeOptions = {},
  ): Promise<Tree> {
    const stored = changeOptions(NO_OPTIONS, options);
    if (!name.isWellFormed()) {
      throw new PairError("InvalidArgument", "Cannot create a tree: its name is not well-formed");
    }
    const taken = () => {
      if (!this.#byName.has(name)) return;
      throw new PairError("InvalidArgument", `Cannot create tree "${name}": it exists`, {
        reason: "already_exists",
      });
    };
    taken();
    const { files, operators, runtime: { disk, clock } } = this.#parts;
    // One that nobody knows is refused before anything is made.
    findOperator(operators, operatorName);
    const createdAtMs = clock.wallMs();
    let meta = { id: 0, name, operator: operatorName, createdAtMs };
    const manifest = this.#parts.manifest();
    try {
      await manifest.commit(() => {
        taken();
        meta = { ...meta, id: manifest.state.nextTree };
        disk.makeDir(files.treeDir(treeDirName(name, meta.id)));
        disk.syncDir(files.treesDir);
        return {
          newTrees: [meta],
          ...(stored.size > 0 ? { options: [{ tree: meta.id, values: stored }] } : {}),
        };
      });
    } catch (error) {
      // The next tree has the same number, and may have the same name.
      if (isShortOfRoom(error)) disk.removeDir(files.treeDir(treeDirName(name, meta.id)));
      throw error;
    }
    const { purgeFloor } = manifest.state.trees.get(meta.id)!;
    const made = { ...meta, purgeFloor, purgedSequence: 0, options: stored };
    return this.#add(made, new Version([]), 0);
  }

  /** See `Engine.setTreeOptions`. */
  async setOptions(handle: Tree, changes: TreeOptions): Promise<void> {
    const tree = this.state(handle);
    // Checked before anything is queued.
    changeOptions(NO_OPTIONS, changes);
    let values = NO_OPTIONS;
    const manifest = this.#parts.manifest();
    await manifest.commit(() => {
      // Its turn has come: the options may have changed, and the tree may be gone, since it was asked for.
      const { options } = manifest.state.trees.get(this.state(handle).id)!;
      values = changeOptions(options, changes);
      return { options: [{ tree: tree.id, values }] };
    });
    tree.setOptions(values);
    this.#setCacheShare(tree, tree.options.cacheShare);
    this.#parts.maintenance().schedule(tree);
  }

  /** See `Engine.dropTree`. */
  async drop(handle: Tree): Promise<void> {
    const { runtime, manifest, maintenance, lastSeq, rows, tables } = this.#parts;
    const tree = this.state(handle);
    tree.dropped = true;
    this.#byName.delete(tree.name);
    await maintenance().settle(tree);
    try {
      await manifest().commit(() => ({
        dropTree: tree.id,
        lastSeq: lastSeq(),
        // Another tree of its name is not to count again from where its values, which others may have,
        // began.
        floor: tree.floorOfLost(runtime.clock.wallMs()),
      }));
    } catch (error) {
      // Whoever made another of its name meanwhile has that: both are there after the next start.
      if (isShortOfRoom(error) && !this.#byName.has(tree.name)) this.#restore(tree);
      throw error;
    }
    this.#states.delete(tree.id);
    this.#setCacheShare(tree, undefined);
    rows.dropTree(tree.id);
    tree.immutables = [];
    tree.active = tree.active.fresh();
    tree.version.release();
    if (tree.version.tables().length === 0) tables.removeTreeDir(tree.dir);
  }

  /** A tree that could not be dropped is there as before. */
  #restore(tree: TreeState): void {
    tree.dropped = false;
    this.#name(tree);
    this.#parts.maintenance().schedule(tree);
  }

  #add(
    meta: TreeMeta & Pick<TreeRecord, "purgeFloor" | "purgedSequence" | "options">,
    version: Version,
    flushedSeq: number,
  ): TreeState {
    const { operators, memtableSize, arenas, rows } = this.#parts;
    const tree = new TreeState(
      meta,
      treeDirName(meta.name, meta.id),
      findOperator(operators, meta.operator),
      version,
      flushedSeq,
      newMemtable(meta.id, memtableSize, arenas),
      rows,
    );
    this.#states.set(tree.id, tree);
    this.#name(tree);
    this.#setCacheShare(tree, tree.options.cacheShare);
    return tree;
  }

  #name(tree: TreeState): void {
    this.#byName.set(tree.name, tree);
    tree.followed = this.#followed.has(tree.name);
  }

  /** Bounds what a tree has of each cache, in percent; undefined: not at all. */
  #setCacheShare(tree: TreeState, percent: number | undefined): void {
    this.#parts.blocks.setShare(tree.id, percent);
    this.#parts.rows.setShare(tree.id, percent);
  }
}
