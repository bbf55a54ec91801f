/**
 * Table files: how live tables are opened, and when their files go.
 * @module
 */
import { PairError } from "../model/mod.ts";
import type { Disk } from "../runtime/mod.ts";
import type { ColdReads } from "./cold_reads.ts";
import { type Files, parseTableName, parseTreeDirName } from "./files.ts";
import { manifestFiles, type TableMeta } from "./manifest/mod.ts";
import type { Removals } from "./removals.ts";
import { type BlockCache, TableReader } from "./sstable/mod.ts";
import type { TreeState } from "./tree.ts";
import { LiveTable, type Placed } from "./version.ts";

/** The table files of one engine. */
export class TableStore {
  readonly #disk: Disk;
  readonly #files: Files;
  readonly #cache: BlockCache;
  readonly #coldReads: ColdReads;
  readonly #removals: Removals;
  readonly #key: Uint8Array | undefined;
  readonly #isTree: (id: number) => boolean;
  /** Tables in use, by directory. */
  readonly #used = new Map<string, number>();
  #closed = false;

  /**
   * @param key     what sealed tables are read with
   * @param isTree  whether a tree exists; one that does not was dropped
   */
  constructor(
    disk: Disk,
    files: Files,
    cache: BlockCache,
    coldReads: ColdReads,
    removals: Removals,
    key: Uint8Array | undefined,
    isTree: (id: number) => boolean,
  ) {
    this.#disk = disk;
    this.#files = files;
    this.#cache = cache;
    this.#coldReads = coldReads;
    this.#removals = removals;
    this.#key = key;
    this.#isTree = isTree;
  }

  /** A table at its level; its file goes when the last version that has it is released. */
  place(treeId: number, dir: string, meta: TableMeta): Placed {
    const path = this.#files.table(dir, meta.number);
    const key = this.#key && { key: this.#key, tree: treeId };
    this.#used.set(dir, (this.#used.get(dir) ?? 0) + 1);
    const table = new LiveTable(
      meta,
      () => new TableReader(this.#coldReads, path, meta.number, this.#cache, key, treeId),
      (unused) => {
        unused.close();
        if (this.#closed) return;
        const left = this.#used.get(dir)! - 1;
        this.#used.set(dir, left);
        this.#removals.file(path);
        // A dropped tree's directory goes with the last table that somebody read.
        if (left === 0 && !this.#isTree(treeId)) this.removeTreeDir(dir);
      },
    );
    return { level: meta.level, table };
  }

  /** @throws PairError CorruptedData when a table's file is missing or has another size */
  checkPresent(dir: string, meta: TableMeta): void {
    const path = this.#files.table(dir, meta.number);
    const size = this.#disk.stat(path)?.size;
    if (size === meta.size) return;
    const state = size === undefined ? "it is missing" : `it has ${size} bytes, not ${meta.size}`;
    throw new PairError("CorruptedData", `Cannot open ${path}: ${state}`, {
      file: path,
      offset: 0,
    });
  }

  /**
   * Removes tables, directories and manifests that no edit names: what a crash left half made.
   * @param firstNew  files from this number on are being made by this process
   */
  removeOrphans(trees: Iterable<TreeState>, manifest: number, firstNew: number): void {
    const disk = this.#disk;
    const live = new Map([...trees].map((tree) => [tree.dir, tree]));
    for (const dir of disk.list(this.#files.treesDir)) {
      const tree = live.get(dir);
      if (tree === undefined) {
        // What has another name somebody else put here.
        if (parseTreeDirName(dir) !== undefined) this.removeTreeDir(dir);
        continue;
      }
      for (const file of this.#orphans(tree, firstNew)) this.#removals.file(file);
    }
    for (const number of manifestFiles(disk, this.#files)) {
      if (number !== manifest) this.#removals.file(this.#files.manifest(number));
    }
  }

  /**
   * Removes such tables of a tree at once, for a start that has no room: jobs that a full disk ended may have
   * left them.
   * @returns whether there were any
   */
  removeOrphansNow(tree: TreeState, firstNew: number): boolean {
    // Copies often leave out empty directories.
    if (this.#disk.stat(this.#files.treeDir(tree.dir)) === undefined) return false;
    const files = this.#orphans(tree, firstNew);
    for (const file of files) this.#disk.remove(file);
    return files.length > 0;
  }

  #orphans(tree: TreeState, firstNew: number): string[] {
    const numbers = new Set(tree.version.tables().map((table) => table.meta.number));
    return this.#disk.list(this.#files.treeDir(tree.dir)).flatMap((name) => {
      const number = parseTableName(name);
      if (number === undefined || number >= firstNew || numbers.has(number)) return [];
      return this.#files.table(tree.dir, number);
    });
  }

  /** Removes the directory of a dropped tree. */
  removeTreeDir(dir: string): void {
    this.#removals.directory(this.#files.treeDir(dir));
  }

  /** From here on tables are closed and their files stay. */
  close(): void {
    this.#closed = true;
  }
}
