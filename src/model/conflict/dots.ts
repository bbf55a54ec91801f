/**
 * What sets and maps are stored as: elements, each with the writes that put it there, and all writes that the
 * state has seen (an observed-remove set without tombstones: Bieniusa et al., "An Optimized Conflict-free
 * Replicated Set", 2012).
 *
 *     seen  [n1: 7, n2: 3]      "milk": n1's 5        "tea": n1's 7, n2's 3
 *
 * Of two states, a write that only one of them has in an element was either not seen by the other, and stays,
 * or seen and removed there, and goes. So a removal removes what it has seen, and concurrent additions stay.
 * A write is one event of a node (`WriteEvent`); a state that has seen one has seen all earlier ones of its
 * node, for each write of a node goes on from all that the node has.
 *
 *     +--------+-----------------+- - -                       - - -+-----------------+- - -
 *     | tag u8 | nodes: count    | node (length, UTF-8), counter   | elements: count | element ...
 *     +--------+-----------------+- - -                       - - -+-----------------+- - -
 *                                  ordered by node (UTF-16)            ordered by their name's bytes
 *     element
 *     +------------------------------+---------------+- - - for each write                            - - -
 *     | name (length, bytes: UTF-8)  | writes: count | place of its node, counter, and in a map: stamp, ms,
 *     +------------------------------+---------------+ value (length, bytes)
 *                                                      ordered by place, counter; numbers are varints
 * @module
 */
import { ByteReader, ByteWriter, compareBytes } from "../bytes.ts";
import { PairError } from "../errors.ts";
import { MAX_ELEMENTS } from "../limits.ts";
import type { Inspected, WriteEvent } from "./merging.ts";
import { readNode } from "./nodes.ts";

/** A write of an element. */
export interface Put {
  readonly node: string;
  readonly counter: number;
  /** Of a map: ms since 1970; else 0. */
  readonly stampMs: number;
  /** Of a map; else empty. */
  readonly value: Uint8Array;
}

/** An element, and the writes that put it there: at least one, by node, then counter. */
export interface Element {
  readonly name: Uint8Array;
  readonly puts: readonly Put[];
}

/** A state. */
export interface Dots {
  /** For each node, its last write that was seen. */
  readonly seen: ReadonlyMap<string, number>;
  /** By name. */
  readonly elements: readonly Element[];
}

/** A state of nothing. */
export const NO_DOTS: Dots = Object.freeze({ seen: new Map(), elements: Object.freeze([]) });

const NO_VALUE = new Uint8Array(0);

/** What a write of a client changes. */
export interface Change {
  readonly name: Uint8Array;
  /** Undefined: the element goes. Of a set: empty. */
  readonly value: Uint8Array | undefined;
}

/**
 * The state after one write.
 * @param changes  by name, each name once
 * @throws PairError ValueTooLarge (1003) when it would have more than 10,000 elements, and more than before
 */
export function change(state: Dots, changes: readonly Change[], event: WriteEvent): Dots {
  const { node, counter } = event;
  const seen = new Map(state.seen).set(node, counter);
  const elements: Element[] = [];
  let i = 0;
  for (const { name, value } of changes) {
    while (i < state.elements.length && compareBytes(state.elements[i].name, name) < 0) {
      elements.push(state.elements[i++]);
    }
    if (i < state.elements.length && compareBytes(state.elements[i].name, name) === 0) i++;
    if (value === undefined) continue;
    elements.push({ name, puts: [{ node, counter, stampMs: event.stampMs, value }] });
  }
  while (i < state.elements.length) elements.push(state.elements[i++]);
  // What nodes have taken at once may be more, when it comes together.
  if (elements.length > Math.max(MAX_ELEMENTS, state.elements.length)) {
    throw new PairError("ValueTooLarge", "Cannot write the key: it would have too many elements", {
      elements: elements.length,
      limit: MAX_ELEMENTS,
    });
  }
  return { seen, elements };
}

/** What a state leaves when all of it is removed. */
export function clear({ seen }: Dots): Dots {
  return { seen, elements: [] };
}

/** Both states as one. */
export function join(a: Dots, b: Dots): Dots {
  const seen = new Map(a.seen);
  for (const [node, counter] of b.seen) seen.set(node, Math.max(counter, seen.get(node) ?? 0));
  const elements: Element[] = [];
  const take = (name: Uint8Array, puts: readonly Put[]) => {
    if (puts.length > 0) elements.push({ name, puts });
  };
  let [i, j] = [0, 0];
  while (i < a.elements.length || j < b.elements.length) {
    const left = a.elements.at(i);
    const right = b.elements.at(j);
    const order = i >= a.elements.length
      ? 1
      : j >= b.elements.length
      ? -1
      : compareBytes(left!.name, right!.name);
    if (order <= 0) i++;
    if (order >= 0) j++;
    if (order < 0) take(left!.name, left!.puts.filter((put) => !hasSeen(b, put)));
    else if (order > 0) take(right!.name, right!.puts.filter((put) => !hasSeen(a, put)));
    else take(left!.name, joinPuts(a, left!.puts, b, right!.puts));
  }
  return { seen, elements };
}

function joinPuts(a: Dots, left: readonly Put[], b: Dots, right: readonly Put[]): readonly Put[] {
  const puts: Put[] = [];
  let [i, j] = [0, 0];
  while (i < left.length || j < right.length) {
    const order = i >= left.length ? 1 : j >= right.length ? -1 : orderPuts(left[i], right[j]);
    if (order < 0) {
      if (!hasSeen(b, left[i])) puts.push(left[i]);
    } else if (order > 0) {
      if (!hasSeen(a, right[j])) puts.push(right[j]);
    } else puts.push(orderAlike(left[i], right[j]) >= 0 ? left[i] : right[j]);
    if (order <= 0) i++;
    if (order >= 0) j++;
  }
  return puts;
}

function hasSeen({ seen }: Dots, { node, counter }: Put): boolean {
  return counter <= (seen.get(node) ?? 0);
}

function orderPuts(a: Put, b: Put): number {
  if (a.node !== b.node) return a.node < b.node ? -1 : 1;
  return a.counter - b.counter;
}

/** One write has one value. If somebody says otherwise, all nodes must still take the same. */
function orderAlike(a: Put, b: Put): number {
  return a.stampMs - b.stampMs || compareBytes(a.value, b.value);
}

/** The latest write of an element: by stamp, then node, then counter. */
export function latestPut({ puts }: Element): Put {
  // They come by node and counter.
  return puts.reduce((a, b) => (b.stampMs >= a.stampMs ? b : a));
}

/** What a state says about time. */
export function inspect({ seen, elements }: Dots): Inspected {
  let stampMs = 0;
  for (const { puts } of elements) for (const put of puts) stampMs = Math.max(stampMs, put.stampMs);
  return { stampMs, events: [...seen].map(([node, counter]) => ({ node, counter })) };
}

/**
 * How states of one type are written.
 * @param tag        of the type
 * @param hasValues  of a map
 */
export function encode({ seen, elements }: Dots, tag: number, hasValues: boolean): Uint8Array {
  const nodes = [...seen.keys()].sort((a, b) => (a < b ? -1 : 1));
  const places = new Map(nodes.map((node, place) => [node, place]));
  const writer = new ByteWriter(guessLength(nodes, elements));
  writer.u8(tag).varint(nodes.length);
  for (const node of nodes) writer.text(node).varint(seen.get(node)!);
  writer.varint(elements.length);
  for (const { name, puts } of elements) {
    writer.bytes(name).varint(puts.length);
    for (const { node, counter, stampMs, value } of puts) {
      writer.varint(places.get(node)!).varint(counter);
      if (hasValues) writer.varint(stampMs).bytes(value);
    }
  }
  return writer.view();
}

function guessLength(nodes: readonly string[], elements: readonly Element[]): number {
  let length = 16 + nodes.length * 40;
  for (const { name, puts } of elements) {
    length += name.length + 4;
    for (const { value } of puts) length += value.length + 16;
  }
  return length;
}

/** @throws PairError CorruptedData (2007) for anything that {@link encode} cannot have written */
export function decode(bytes: Uint8Array, tag: number, hasValues: boolean): Dots {
  const reader = new ByteReader(bytes, "a set or a map");
  if (reader.u8() !== tag) throw reader.damaged("it is none, or of another type");
  const seen = new Map<string, number>();
  const nodes: string[] = [];
  for (let left = reader.varint(); left > 0; left--) {
    const node = readNode(reader);
    if (nodes.length > 0 && node <= nodes[nodes.length - 1]) {
      throw reader.damaged("its nodes are out of order");
    }
    const counter = reader.varint();
    if (counter === 0) throw reader.damaged("a counter is 0");
    nodes.push(node);
    seen.set(node, counter);
  }
  const elements: Element[] = [];
  for (let left = reader.varint(); left > 0; left--) {
    const name = reader.bytes();
    if (elements.length > 0 && compareBytes(elements[elements.length - 1].name, name) >= 0) {
      throw reader.damaged("its elements are out of order");
    }
    const puts: Put[] = [];
    const count = reader.varint();
    if (count === 0) throw reader.damaged("nobody has put an element");
    for (let i = 0; i < count; i++) {
      const place = reader.varint();
      if (place >= nodes.length) throw reader.damaged("a write is of no node");
      const node = nodes[place];
      const counter = reader.varint();
      if (counter === 0 || counter > seen.get(node)!) {
        throw reader.damaged("a write was not seen");
      }
      const stampMs = hasValues ? reader.varint() : 0;
      const value = hasValues ? reader.bytes() : NO_VALUE;
      const put = { node, counter, stampMs, value };
      if (i > 0 && orderPuts(puts[i - 1], put) >= 0) {
        throw reader.damaged("its writes are out of order");
      }
      puts.push(put);
    }
    elements.push({ name, puts });
  }
  reader.end();
  return { seen, elements };
}
