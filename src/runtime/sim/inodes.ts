/**
 * The simulated disk's files, directories and the changes that are not yet durable.
 *
 * A file is its bytes as everyone sees them, and the extents of them that no sync has covered. A
 * directory is two maps of names: as everyone sees it, and as it would be found after losing power.
 * What stands between the two maps is a list of changes, in the order in which they were made.
 *
 *     create a.tmp; append; sync a.tmp        visible: a.tmp    durable: -     changes: [+a.tmp]
 *     rename a.tmp to a                       visible: a        durable: -     changes: [+a.tmp, -a.tmp +a]
 *     syncDir                                 visible: a        durable: a     changes: []
 *
 * Invariants
 *   - A change survives a crash whole or not at all (a rename shows its file under one of the names),
 *     and only if every earlier change to its names survived.
 *   - A change that touches two directories is durable when both are synced; until then it may
 *     survive or not. Journalling file systems promise more; POSIX does not.
 *   - Nothing here knows of handles, hooks or time: that is disk.ts.
 * @module
 */
import type { Random } from "../random.ts";

/** Writeback moves pages: a crash may keep some of an append's pages and lose their neighbours. */
const PAGE_BYTES = 4096;

/** Bytes that no sync has covered. */
interface Extent {
  readonly start: number;
  readonly end: number;
  /** A sync of them failed. The kernel drops such pages from its list, so no later sync writes them. */
  readonly lost: boolean;
}

/** What becomes of what was not synced: lost, kept, or (with a Random) something in between. */
export type Fate = "drop" | "keep" | Random;

/** A file's bytes. Names are the directories' affair. */
export class SimFile {
  #buffer: Uint8Array<ArrayBuffer>;
  #size: number;
  #unsynced: Extent[];

  constructor(bytes = new Uint8Array(0), unsynced: readonly Extent[] = []) {
    this.#buffer = bytes;
    this.#size = bytes.length;
    this.#unsynced = [...unsynced];
  }

  get size(): number {
    return this.#size;
  }

  append(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    const end = this.#size + bytes.length;
    if (end > this.#buffer.length) {
      const grown = new Uint8Array(Math.max(end, 2 * this.#buffer.length));
      grown.set(this.#buffer.subarray(0, this.#size));
      this.#buffer = grown;
    }
    this.#buffer.set(bytes, this.#size);
    this.#unsynced.push({ start: this.#size, end, lost: false });
    this.#size = end;
  }

  /** Fills `into` from `offset`, up to `limit`; returns the bytes copied. */
  read(into: Uint8Array, offset: number, limit: number): number {
    const end = Math.min(offset + into.length, limit, this.#size);
    if (end <= offset) return 0;
    into.set(this.#buffer.subarray(offset, end));
    return end - offset;
  }

  /** The bytes, copied. */
  bytes(): Uint8Array<ArrayBuffer> {
    return this.#buffer.slice(0, this.#size);
  }

  /** Replaces the bytes by durable ones, without disturbing clones. */
  replace(bytes: Uint8Array): void {
    this.#buffer = new Uint8Array(bytes);
    this.#size = bytes.length;
    this.#unsynced = [];
  }

  /** Changes one byte, durable or not, without disturbing clones. */
  corrupt(offset: number, xorByte: number): void {
    if (!(offset >= 0 && offset < this.#size)) throw new RangeError(`no byte at ${offset}`);
    this.#buffer = this.bytes();
    this.#buffer[offset] ^= xorByte;
  }

  /** The first `size` bytes are durable now, except those that an earlier sync lost. */
  synced(size: number): void {
    this.#unsynced = this.#unsynced.filter((extent) => extent.lost || extent.end > size);
  }

  /** A sync failed: what it was to cover is seen by readers still, and lost in a crash. */
  syncFailed(size: number): void {
    this.#unsynced = this.#unsynced.map((extent) =>
      extent.end > size ? extent : { ...extent, lost: true }
    );
  }

  /** A file with the same state. The two share bytes until one of them appends. */
  clone(): SimFile {
    return new SimFile(this.#buffer.subarray(0, this.#size), this.#unsynced);
  }

  /** Bytes of {@link clone} and of this are the same; afterwards all that is left is durable. */
  crash(fate: Fate): void {
    if (fate !== "keep" && this.#unsynced.length > 0) {
      const visible = this.#buffer.subarray(0, this.#size);
      this.replace(survivingBytes(visible, this.#unsynced, fate === "drop" ? undefined : fate));
    }
    this.#unsynced = [];
  }
}

/**
 * What a crash leaves of a file. Each extent is kept, dropped, torn after some byte, or keeps some
 * of its pages, apart from the others: bytes written later can survive bytes written earlier, which
 * then read as zeros. The length may have grown without its bytes.
 */
function survivingBytes(
  visible: Uint8Array,
  unsynced: readonly Extent[],
  random: Random | undefined,
): Uint8Array<ArrayBuffer> {
  const left = new Uint8Array(visible);
  let size = visible.length;
  for (const { start, end } of unsynced.toReversed()) {
    left.fill(0, start, end);
    if (end === size) size = start;
  }
  if (random === undefined) return left.slice(0, size);
  const keep = (start: number, end: number) => {
    left.set(visible.subarray(start, end), start);
    if (end > start) size = Math.max(size, end);
  };
  for (const { start, end } of unsynced) {
    const choice = random.below(4);
    if (choice === 0) keep(start, end);
    else if (choice === 1) keep(start, start + random.below(end - start + 1));
    else if (choice === 2) {
      for (let at = start; at < end;) {
        const pageEnd = Math.min(end, (Math.floor(at / PAGE_BYTES) + 1) * PAGE_BYTES);
        if (random.below(2) === 0) keep(at, pageEnd);
        at = pageEnd;
      }
    }
  }
  if (random.below(4) === 0) size += random.below(visible.length - size + 1);
  return left.slice(0, size);
}

/** What a name leads to. */
export type SimNode = SimFile | SimDir;

/** A directory. Change it only through a {@link SimTree}. */
export class SimDir {
  /** Names as everyone sees them. */
  visible = new Map<string, SimNode>();
  /** Names as they would be found after a crash, if it kept none of the pending changes. */
  durable = new Map<string, SimNode>();
}

/** One name set to a node, or taken away. */
export interface NameEdit {
  readonly dir: SimDir;
  readonly name: string;
  readonly node: SimNode | undefined;
}

/** Edits that survive together. */
interface NameChange {
  readonly edits: readonly NameEdit[];
  /** Directories that it touches and that were not synced since. */
  readonly unsynced: Set<SimDir>;
}

/** All directories and files, and the changes of names that are not durable yet. */
export class SimTree {
  #pending: NameChange[] = [];

  /** @param root  its own name is always durable */
  constructor(readonly root = new SimDir()) {}

  /** Changes that are not durable. */
  get pendingCount(): number {
    return this.#pending.length;
  }

  /** Carries edits out, visibly. */
  change(...edits: NameEdit[]): void {
    for (const { dir, name, node } of edits) setName(dir.visible, name, node);
    this.#pending.push({ edits, unsynced: new Set(edits.map((edit) => edit.dir)) });
  }

  /** Makes the changes of a directory durable. */
  syncDir(dir: SimDir): void {
    let dirGone = false;
    for (const change of [...this.#pending]) {
      change.unsynced.delete(dir);
      if (change.unsynced.size === 0) dirGone = this.#commit(change) || dirGone;
    }
    if (dirGone) this.#forgetOrphans();
  }

  /** Leaves what a crash with this fate leaves; all of it is durable then. */
  crash(fate: Fate): void {
    const blocked: NameEdit[] = [];
    for (const change of this.#pending) {
      const survives = fate === "keep" || fate !== "drop" && fate.below(2) === 0;
      if (survives && !touches(change, blocked)) applyDurably(change);
      else blocked.push(...change.edits);
    }
    this.#pending = [];
    for (const node of this.#reachable("durable")) {
      if (node instanceof SimDir) node.visible = new Map(node.durable);
      else node.crash(fate);
    }
  }

  /** A tree with the same state that shares nothing that can change. */
  clone(): SimTree {
    const copies = new Map<SimNode, SimNode>();
    const copyOf = (node: SimNode): SimNode => {
      const known = copies.get(node);
      if (known !== undefined) return known;
      if (node instanceof SimFile) return remember(copies, node, node.clone());
      const copy = remember(copies, node, new SimDir());
      for (const [name, child] of node.visible) copy.visible.set(name, copyOf(child));
      for (const [name, child] of node.durable) copy.durable.set(name, copyOf(child));
      return copy;
    };
    const tree = new SimTree(copyOf(this.root) as SimDir);
    tree.#pending = this.#pending.map(({ edits, unsynced }) => ({
      edits: edits.map(({ dir, name, node }) => ({
        dir: copyOf(dir) as SimDir,
        name,
        node: node && copyOf(node),
      })),
      unsynced: new Set([...unsynced].map((dir) => copyOf(dir) as SimDir)),
    }));
    return tree;
  }

  /** Every file that has a visible name, once. */
  files(): Set<SimFile> {
    const files = new Set<SimFile>();
    for (const node of this.#reachable("visible")) if (node instanceof SimFile) files.add(node);
    return files;
  }

  /**
   * Makes a change durable, and before it the earlier ones to the same names. Returns whether a
   * directory lost a durable name.
   */
  #commit(change: NameChange): boolean {
    if (!this.#pending.includes(change)) return false;
    let dirGone = change.edits.some(({ dir, name }) => dir.durable.get(name) instanceof SimDir);
    for (const earlier of this.#pending.slice(0, this.#pending.indexOf(change))) {
      if (touches(change, earlier.edits)) dirGone = this.#commit(earlier) || dirGone;
    }
    applyDurably(change);
    this.#pending.splice(this.#pending.indexOf(change), 1);
    return dirGone;
  }

  /** Drops the changes in directories that no crash can bring back: nobody will ever sync those. */
  #forgetOrphans(): void {
    const visible = this.#reachable("visible");
    const durable = this.#reachable("durable");
    this.#pending = this.#pending.filter(({ edits }) =>
      edits.some(({ dir }) => visible.has(dir) || durable.has(dir))
    );
  }

  #reachable(names: "visible" | "durable"): Set<SimNode> {
    const seen = new Set<SimNode>([this.root]);
    // A Set goes on to the members that are added while it is walked.
    for (const node of seen) {
      if (node instanceof SimDir) { for (const child of node[names].values()) seen.add(child); }
    }
    return seen;
  }
}

function touches(change: NameChange, edits: readonly NameEdit[]): boolean {
  return change.edits.some((a) => edits.some((b) => a.dir === b.dir && a.name === b.name));
}

function applyDurably(change: NameChange): void {
  for (const { dir, name, node } of change.edits) setName(dir.durable, name, node);
}

function setName(names: Map<string, SimNode>, name: string, node: SimNode | undefined): void {
  if (node === undefined) names.delete(name);
  else names.set(name, node);
}

function remember<T extends SimNode>(copies: Map<SimNode, SimNode>, node: SimNode, copy: T): T {
  copies.set(node, copy);
  return copy;
}
