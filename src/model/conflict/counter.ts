/**
 * A counter that goes up and down (PN-Counter), and back to nothing by deletes.
 *
 *     value     a whole number, such as `5`, `+5`, `-3`: it is added
 *     read      decimal text: `7`
 *     delete    takes away what it has seen; what is added concurrently stays
 *
 * Each node counts for itself what it has ever added and taken, in a row of its own that nobody else changes.
 * Sums only grow, so of two states of a row the larger numbers are the newer. A delete notes how far it has
 * seen each row: from there on the row counts. A row is named by its node and by the event that began it: a
 * node that has forgotten its row, with a delete that was dropped, begins another one.
 *
 *     +-------+--------------+------- for each row ---------------------------------------------- - - -
 *     | 1 u8  | count varint | node (length varint, UTF-8) | event | added | taken | added, taken
 *     +-------+--------------+------------------------------------------------------------------- - - -
 *                              ordered by node (UTF-16), event                      that are deleted; varints
 * @module
 */
import { ByteReader, ByteWriter, utf8 } from "../bytes.ts";
import { MAX_COUNTER } from "../limits.ts";
import type { DataType, Inspected, WriteEvent } from "./merging.ts";
import { badOperation, textOf } from "./operations.ts";
import { readNode } from "./nodes.ts";

const TAG = 1;
const FORM = "whole numbers from -(2^53 - 1) to 2^53 - 1, such as +5";
const NUMBER = /^[+-]?\d{1,16}$/;

interface Row {
  readonly node: string;
  readonly event: number;
  readonly added: number;
  readonly taken: number;
  readonly addedBefore: number;
  readonly takenBefore: number;
}

/** `merge:counter`. */
export class Counter implements DataType {
  readonly name = "counter";

  apply(state: Uint8Array | undefined, value: Uint8Array, event: WriteEvent): Uint8Array {
    const amount = parseAmount(value);
    const rows = state === undefined ? [] : decode(state);
    const own = rows.findLast(({ node }) => node === event.node) ?? begin(event);
    const row = amount < 0
      ? { ...own, taken: sum(own.taken, -amount) }
      : { ...own, added: sum(own.added, amount) };
    return encode(join(rows, [row]));
  }

  merge(a: Uint8Array, b: Uint8Array): Uint8Array {
    return encode(join(decode(a), decode(b)));
  }

  clear(state: Uint8Array): Uint8Array {
    return encode(
      decode(state).map((row) => ({ ...row, addedBefore: row.added, takenBefore: row.taken })),
    );
  }

  view(state: Uint8Array): Uint8Array {
    let total = 0n;
    for (const { added, taken, addedBefore, takenBefore } of decode(state)) {
      total += BigInt(added - addedBefore) - BigInt(taken - takenBefore);
    }
    return utf8(String(total));
  }

  inspect(state: Uint8Array): Inspected {
    return {
      stampMs: 0,
      events: decode(state).map(({ node, event }) => ({ node, counter: event })),
    };
  }
}

function parseAmount(value: Uint8Array): number {
  const text = value.length > 20 ? "" : textOf(value, FORM);
  const amount = Number(text);
  if (!NUMBER.test(text) || !Number.isSafeInteger(amount)) {
    throw badOperation(FORM, "this is none");
  }
  return amount;
}

function begin({ node, counter }: WriteEvent): Row {
  return { node, event: counter, added: 0, taken: 0, addedBefore: 0, takenBefore: 0 };
}

function sum(a: number, b: number): number {
  if (a + b <= MAX_COUNTER) return a + b;
  throw badOperation(FORM, "this node would have added or taken more than 2^53 - 1 in all");
}

function orderRows(a: Row, b: Row): number {
  if (a.node !== b.node) return a.node < b.node ? -1 : 1;
  return a.event - b.event;
}

function join(a: readonly Row[], b: readonly Row[]): readonly Row[] {
  const joined: Row[] = [];
  let [i, j] = [0, 0];
  while (i < a.length && j < b.length) {
    const order = orderRows(a[i], b[j]);
    if (order < 0) joined.push(a[i++]);
    else if (order > 0) joined.push(b[j++]);
    else joined.push(joinRow(a[i++], b[j++]));
  }
  return [...joined, ...a.slice(i), ...b.slice(j)];
}

function joinRow(a: Row, b: Row): Row {
  return {
    node: a.node,
    event: a.event,
    added: Math.max(a.added, b.added),
    taken: Math.max(a.taken, b.taken),
    addedBefore: Math.max(a.addedBefore, b.addedBefore),
    takenBefore: Math.max(a.takenBefore, b.takenBefore),
  };
}

function encode(rows: readonly Row[]): Uint8Array {
  const writer = new ByteWriter(2 + rows.length * 48);
  writer.u8(TAG).varint(rows.length);
  for (const { node, event, added, taken, addedBefore, takenBefore } of rows) {
    writer.text(node);
    for (const number of [event, added, taken, addedBefore, takenBefore]) writer.varint(number);
  }
  return writer.view();
}

function decode(bytes: Uint8Array): readonly Row[] {
  const reader = new ByteReader(bytes, "a counter");
  if (reader.u8() !== TAG) throw reader.damaged("it is none");
  const rows: Row[] = [];
  for (let left = reader.varint(); left > 0; left--) {
    const node = readNode(reader);
    const [event, added, taken] = [reader.varint(), reader.varint(), reader.varint()];
    const [addedBefore, takenBefore] = [reader.varint(), reader.varint()];
    const row = { node, event, added, taken, addedBefore, takenBefore };
    if (event === 0 || addedBefore > added || takenBefore > taken) {
      throw reader.damaged("a row makes no sense");
    }
    if (rows.length > 0 && orderRows(rows[rows.length - 1], row) >= 0) {
      throw reader.damaged("its rows are out of order");
    }
    rows.push(row);
  }
  reader.end();
  return rows;
}
