/**
 * Entries for tests of the engine's rooms: sorted lists of them, cursors over such lists, and tables.
 * @module
 */
import type { EntryKind } from "../../src/engine/mod.ts";
import type { EntryCursor } from "../../src/engine/cursor.ts";
import type { TableMeta } from "../../src/engine/manifest/mod.ts";
import { compareBytes, fromUtf8, utf8 } from "../../src/model/mod.ts";

/** One entry, as values. */
export interface Entry {
  readonly key: Uint8Array;
  readonly seq: number;
  readonly kind: EntryKind;
  readonly value: Uint8Array;
}

const KINDS = ["put", "delete", "merge"] as const;

/** The order of the engine: key ascending, sequence descending. */
export function orderEntries(a: Entry, b: Entry): number {
  return compareBytes(a.key, b.key) || b.seq - a.seq;
}

/** `put@30 a=x`, `delete@7 a`, `merge@3 a=y`. */
export function parseEntry(text: string): Entry {
  const [, kind, seq, key, value] = /^(\w+)@(\d+) ([^=]*)(?:=(.*))?$/.exec(text)!;
  return {
    key: utf8(key),
    seq: Number(seq),
    kind: KINDS.indexOf(kind as typeof KINDS[number]) as EntryKind,
    value: utf8(value ?? ""),
  };
}

/** What {@link parseEntry} reads. */
export function formatEntry({ key, seq, kind, value }: Entry): string {
  const shown = kind === 1 ? "" : `=${fromUtf8(value)}`;
  return `${KINDS[kind]}@${seq} ${fromUtf8(key)}${shown}`;
}

/** The entry that a cursor stands on, copied. */
export function entryAt(cursor: EntryCursor): Entry {
  const { keyBuffer, keyStart, keyEnd, valueBuffer, valueStart, valueEnd, seq, kind } = cursor;
  return {
    key: keyBuffer.slice(keyStart, keyEnd),
    seq,
    kind,
    value: valueBuffer.slice(valueStart, valueEnd),
  };
}

/** The entries from a cursor's position to its end. */
export function drain(cursor: EntryCursor): Entry[] {
  const entries: Entry[] = [];
  for (; cursor.valid; cursor.next()) entries.push(entryAt(cursor));
  return entries;
}

/** A cursor over sorted entries in an array. */
export class ListCursor implements EntryCursor {
  readonly #entries: readonly Entry[];
  #at = -1;

  constructor(entries: readonly Entry[]) {
    this.#entries = entries;
  }

  get valid(): boolean {
    return this.#at >= 0 && this.#at < this.#entries.length;
  }
  get keyBuffer(): Uint8Array {
    return this.#entries[this.#at].key;
  }
  readonly keyStart = 0;
  get keyEnd(): number {
    return this.keyBuffer.length;
  }
  get seq(): number {
    return this.#entries[this.#at].seq;
  }
  get kind(): EntryKind {
    return this.#entries[this.#at].kind;
  }
  get valueBuffer(): Uint8Array {
    return this.#entries[this.#at].value;
  }
  readonly valueStart = 0;
  get valueEnd(): number {
    return this.valueBuffer.length;
  }
  seekFirst(): void {
    this.#at = 0;
  }
  seek(key: Uint8Array, seq: number): void {
    const at = this.#entries.findIndex((entry) =>
      compareBytes(entry.key, key) > 0 || (compareBytes(entry.key, key) === 0 && entry.seq <= seq)
    );
    this.#at = at < 0 ? this.#entries.length : at;
  }
  seekLast(): void {
    this.#at = this.#entries.length - 1;
  }
  seekBefore(key: Uint8Array): void {
    this.#at = this.#entries.findLastIndex((entry) => compareBytes(entry.key, key) < 0);
  }
  next(): void {
    this.#at++;
  }
  prev(): void {
    this.#at--;
  }
  close(): void {
    this.#at = -1;
  }
}

/** A table as the picker and versions see it. */
export function tableMeta(
  number: number,
  range: [smallest: string, largest: string],
  options: { level?: number; size?: number; minSeq?: number; maxSeq?: number } = {},
): TableMeta {
  return {
    number,
    level: options.level ?? 0,
    size: options.size ?? 100,
    properties: {
      entries: 1,
      deletes: 0,
      merges: 0,
      minSeq: options.minSeq ?? options.maxSeq ?? number,
      maxSeq: options.maxSeq ?? number,
      keyBytes: 1,
      valueBytes: 1,
      createdAtMs: 0,
      minTimeMs: 0,
      maxTimeMs: 0,
      mortal: 0,
      lastDeathMs: 0,
      rawBytes: 0,
      smallest: utf8(range[0]),
      largest: utf8(range[1]),
    },
  };
}
