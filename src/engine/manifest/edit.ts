/**
 * Version edits: what the manifest is a log of, and the state they add up to.
 *
 * An edit is a run of fields, each a tag byte and its contents (numbers as varints):
 *
 *     1 next file | number                       5 drop tree    | id
 *     2 oldest log| segment number               6 add table    | tree | level | number | file bytes | properties
 *     3 last seq  | sequence                     7 remove table | tree | number
 *     4 new tree  | id | name | operator | ms    8 flushed      | tree | sequence
 *    10 newest log| segment number               9 closed       | last sequence
 *    11 options   | tree | count | as often: name, value (texts); all that the tree has
 *    12 purged    | tree | floor: the largest of what dropped values left to be remembered
 *    13 forgotten | tree | sequence: the last of any value that was dropped because it was dead
 *    14 floor     | the floor of trees that are made from now on
 *    15 relaxed   | 1: from now on writes are acknowledged before they are durable; 0: not any more
 *
 * A snapshot of the whole state is an edit like any other: the one that makes it from nothing. A
 * clean close leaves field 9 behind: so no other edit is the last one and could pass for torn, and a log
 * that ends before that sequence was cut short, not torn.
 * @module
 */
import { ByteReader, ByteWriter } from "../../model/mod.ts";
import { NO_OPTIONS, type StoredOptions } from "../tree_options.ts";
import { decodeProperties, encodeProperties, type TableProperties } from "../sstable/mod.ts";

/** Levels are few; a number far above that is damage, and would cost memory for all levels below it. */
const LEVEL_MAX = 63;

/** A live table. */
export interface TableMeta {
  readonly number: number;
  readonly level: number;
  /** Bytes of the file. */
  readonly size: number;
  readonly properties: TableProperties;
}

/** A tree's identity. */
export interface TreeMeta {
  readonly id: number;
  readonly name: string;
  /** Name of the merge operator; empty for none. */
  readonly operator: string;
  readonly createdAtMs: number;
}

/** A change of state; made durable whole or not at all. */
export interface Edit {
  readonly nextFile?: number;
  readonly oldestLog?: number;
  /** A segment that is durable and may be written to from now on. */
  readonly newestLog?: number;
  readonly lastSeq?: number;
  readonly newTrees?: readonly TreeMeta[];
  readonly dropTree?: number;
  readonly add?: readonly { readonly tree: number; readonly table: TableMeta }[];
  readonly remove?: readonly { readonly tree: number; readonly number: number }[];
  /** A clean close: the log is durable up to this sequence. */
  readonly closed?: number | undefined;
  /** All options of a tree, by name; see `tree_options.ts`. */
  readonly options?: readonly { readonly tree: number; readonly values: StoredOptions }[];
  /** What has to be remembered of values that were dropped; see `MergeOperator.floor`. */
  readonly purged?: readonly { readonly tree: number; readonly floor: number }[];
  /** The {@link purged} floor that trees begin with from now on: above all that dropped trees may have had. */
  readonly floor?: number;
  /** Whether writes are acknowledged from now on before they are durable. */
  readonly relaxed?: boolean;
  /** The largest sequence of the values that were dropped because they were dead. */
  readonly forgotten?: readonly { readonly tree: number; readonly seq: number }[];
  /** All entries of the tree up to this sequence are in tables. */
  readonly flushed?: readonly { readonly tree: number; readonly seq: number }[];
}

/** One tree's part of the state. */
export interface TreeRecord extends TreeMeta {
  flushedSeq: number;
  options: StoredOptions;
  purgeFloor: number;
  purgedSequence: number;
  readonly tables: Map<number, TableMeta>;
}

/** Everything that the manifest knows. */
export class ManifestState {
  /** Every file number below this may have been used. */
  nextFile = 1;
  /** The oldest log segment that recovery needs; 0 before the first. */
  oldestLog = 0;
  /** The newest segment that anything was acknowledged in; 0 when a format 1 file did not say. */
  newestLog = 0;
  lastSeq = 0;
  /** After a clean close, the sequence that log and tables reach; undefined once the directory was used again. */
  closed: number | undefined;
  /** Ids below this have been given out. */
  nextTree = 1;
  /** What trees that are made now have as their floor. */
  floor = 0;
  /** Writes may have been acknowledged that were never durable, unless the last close was a clean one. */
  relaxed = false;
  readonly trees = new Map<number, TreeRecord>();

  /** Takes an edit in. @throws Error when it contradicts the state */
  apply(edit: Edit): void {
    if (edit.nextFile !== undefined) this.nextFile = Math.max(this.nextFile, edit.nextFile);
    if (edit.oldestLog !== undefined) this.oldestLog = Math.max(this.oldestLog, edit.oldestLog);
    if (edit.newestLog !== undefined) this.newestLog = Math.max(this.newestLog, edit.newestLog);
    if (edit.lastSeq !== undefined) this.lastSeq = Math.max(this.lastSeq, edit.lastSeq);
    for (const tree of edit.newTrees ?? []) {
      if (this.trees.has(tree.id)) throw new Error(`tree ${tree.id} exists already`);
      const { id, name, operator, createdAtMs } = tree;
      this.trees.set(id, {
        id,
        name,
        operator,
        createdAtMs,
        flushedSeq: 0,
        options: NO_OPTIONS,
        purgeFloor: this.floor,
        purgedSequence: 0,
        tables: new Map(),
      });
      this.nextTree = Math.max(this.nextTree, id + 1);
    }
    if (edit.floor !== undefined) this.floor = Math.max(this.floor, edit.floor);
    if (edit.relaxed !== undefined) this.relaxed = edit.relaxed;
    this.closed = edit.closed;
    if (edit.dropTree !== undefined) {
      this.trees.delete(edit.dropTree);
      this.nextTree = Math.max(this.nextTree, edit.dropTree + 1);
    }
    for (const { tree, number } of edit.remove ?? []) {
      if (!this.#tree(tree).tables.delete(number)) throw new Error(`table ${number} is not live`);
    }
    for (const { tree, table } of edit.add ?? []) {
      const { tables } = this.#tree(tree);
      if (tables.has(table.number)) throw new Error(`table ${table.number} is live already`);
      tables.set(table.number, table);
    }
    for (const { tree, seq } of edit.flushed ?? []) this.#tree(tree).flushedSeq = seq;
    for (const { tree, values } of edit.options ?? []) this.#tree(tree).options = values;
    for (const { tree, floor } of edit.purged ?? []) {
      const record = this.#tree(tree);
      record.purgeFloor = Math.max(record.purgeFloor, floor);
    }
    for (const { tree, seq } of edit.forgotten ?? []) {
      const record = this.#tree(tree);
      record.purgedSequence = Math.max(record.purgedSequence, seq);
    }
  }

  #tree(id: number): TreeRecord {
    const tree = this.trees.get(id);
    if (tree === undefined) throw new Error(`tree ${id} does not exist`);
    return tree;
  }

  /** The edit that makes this state from nothing. */
  snapshot(): Edit {
    const trees = [...this.trees.values()];
    // A dropped id has to stay used: dropping what is not there records just that.
    const highest = this.nextTree - 1;
    const gap = highest > 0 && !this.trees.has(highest);
    return {
      nextFile: this.nextFile,
      oldestLog: this.oldestLog,
      newestLog: this.newestLog,
      lastSeq: this.lastSeq,
      closed: this.closed,
      newTrees: trees,
      ...(gap ? { dropTree: highest } : {}),
      ...(this.floor > 0 ? { floor: this.floor } : {}),
      ...(this.relaxed ? { relaxed: true } : {}),
      add: trees.flatMap((tree) =>
        [...tree.tables.values()].map((table) => ({ tree: tree.id, table }))
      ),
      options: trees.filter((tree) => tree.options.size > 0)
        .map((tree) => ({ tree: tree.id, values: tree.options })),
      purged: trees.filter((tree) => tree.purgeFloor > 0)
        .map((tree) => ({ tree: tree.id, floor: tree.purgeFloor })),
      forgotten: trees.filter((tree) => tree.purgedSequence > 0)
        .map((tree) => ({ tree: tree.id, seq: tree.purgedSequence })),
      flushed: trees.map((tree) => ({ tree: tree.id, seq: tree.flushedSeq })),
    };
  }
}

/** An edit's bytes. */
export function encodeEdit(edit: Edit): Uint8Array<ArrayBuffer> {
  const out = new ByteWriter();
  if (edit.nextFile !== undefined) out.u8(1).varint(edit.nextFile);
  if (edit.oldestLog !== undefined) out.u8(2).varint(edit.oldestLog);
  if (edit.newestLog !== undefined) out.u8(10).varint(edit.newestLog);
  if (edit.lastSeq !== undefined) out.u8(3).varint(edit.lastSeq);
  for (const { id, name, operator, createdAtMs } of edit.newTrees ?? []) {
    out.u8(4).varint(id).text(name).text(operator).varint(createdAtMs);
  }
  if (edit.dropTree !== undefined) out.u8(5).varint(edit.dropTree);
  if (edit.floor !== undefined) out.u8(14).varint(edit.floor);
  if (edit.relaxed !== undefined) out.u8(15).u8(edit.relaxed ? 1 : 0);
  if (edit.closed !== undefined) out.u8(9).varint(edit.closed);
  for (const { tree, table } of edit.add ?? []) {
    out.u8(6).varint(tree).varint(table.level).varint(table.number).varint(table.size);
    encodeProperties(out, table.properties);
  }
  for (const { tree, number } of edit.remove ?? []) out.u8(7).varint(tree).varint(number);
  for (const { tree, seq } of edit.flushed ?? []) out.u8(8).varint(tree).varint(seq);
  for (const { tree, values } of edit.options ?? []) {
    out.u8(11).varint(tree).varint(values.size);
    for (const [name, value] of values) out.text(name).text(value);
  }
  for (const { tree, floor } of edit.purged ?? []) out.u8(12).varint(tree).varint(floor);
  for (const { tree, seq } of edit.forgotten ?? []) out.u8(13).varint(tree).varint(seq);
  return out.finish();
}

/** Reads an edit back. @throws PairError CorruptedData */
export function decodeEdit(bytes: Uint8Array, what: string): Edit {
  const reader = new ByteReader(bytes, what);
  const edit: { -readonly [K in keyof Edit]: Edit[K] } = {};
  const add: { tree: number; table: TableMeta }[] = [];
  const remove: { tree: number; number: number }[] = [];
  const newTrees: TreeMeta[] = [];
  const flushed: { tree: number; seq: number }[] = [];
  const options: { tree: number; values: StoredOptions }[] = [];
  const purged: { tree: number; floor: number }[] = [];
  const forgotten: { tree: number; seq: number }[] = [];
  while (reader.remaining > 0) {
    const tag = reader.u8();
    if (tag === 1) edit.nextFile = reader.varint();
    else if (tag === 2) edit.oldestLog = reader.varint();
    else if (tag === 3) edit.lastSeq = reader.varint();
    else if (tag === 4) {
      newTrees.push({
        id: reader.varint(),
        name: reader.text(),
        operator: reader.text(),
        createdAtMs: reader.varint(),
      });
    } else if (tag === 5) edit.dropTree = reader.varint();
    else if (tag === 6) {
      const tree = reader.varint();
      const level = reader.varint();
      if (level > LEVEL_MAX) throw reader.damaged(`level ${level} is not known`);
      const number = reader.varint();
      const size = reader.varint();
      add.push({ tree, table: { level, number, size, properties: decodeProperties(reader) } });
    } else if (tag === 7) remove.push({ tree: reader.varint(), number: reader.varint() });
    else if (tag === 8) flushed.push({ tree: reader.varint(), seq: reader.varint() });
    else if (tag === 9) edit.closed = reader.varint();
    else if (tag === 10) edit.newestLog = reader.varint();
    else if (tag === 11) {
      const tree = reader.varint();
      const values = new Map<string, string>();
      for (let left = reader.varint(); left > 0; left--) values.set(reader.text(), reader.text());
      options.push({ tree, values });
    } else if (tag === 12) purged.push({ tree: reader.varint(), floor: reader.varint() });
    else if (tag === 13) forgotten.push({ tree: reader.varint(), seq: reader.varint() });
    else if (tag === 14) edit.floor = reader.varint();
    else if (tag === 15) edit.relaxed = reader.u8() !== 0;
    else throw reader.damaged(`field ${tag} is not known`);
  }
  if (add.length > 0) edit.add = add;
  if (remove.length > 0) edit.remove = remove;
  if (newTrees.length > 0) edit.newTrees = newTrees;
  if (flushed.length > 0) edit.flushed = flushed;
  if (options.length > 0) edit.options = options;
  if (purged.length > 0) edit.purged = purged;
  if (forgotten.length > 0) edit.forgotten = forgotten;
  return edit;
}
