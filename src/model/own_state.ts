/**
 * Own states: those of one version whose clock has seen the events of one node and no others, as most keys
 * of most nodes have them. A write without a context makes one from the other, and for that neither needs
 * to be an object: the old one is looked into where it lies, the new one written as bytes.
 *
 *     +----------+---------+----------+----------------+-----------------+---------+-----------------+- - -
 *     | format 1 | count 1 | flags u8 | timestamp, ms  | expiry, ms      | count 1 | node            |
 *     +----------+---------+----------+----------------+-----------------+---------+-----------------+- - -
 *     - - -+----------------+-------+------------------+
 *          | counter varint | own 0 | value            |        as version_codec.ts has it: flag OWN only,
 *     - - -+----------------+-------+------------------+        with EXPIRES and DELETE as they come
 *
 * What comes of it is the same, byte for byte, as by the write rule and the codec (write_rule.ts,
 * version_codec.ts), which every other state goes through.
 * @module
 */
import { type Blocks, putVarint, utf8, varintLength } from "./bytes.ts";
import type { VectorClock } from "./clock.ts";
import { MAX_COUNTER } from "./limits.ts";
import { DELETE, EXPIRES, FORMAT, OWN } from "./version_codec.ts";
import type { ClientWrite } from "./write_rule.ts";

/** What a write makes of a key. */
export interface OwnWrite {
  /** The bytes of the key's new state. */
  readonly state: Uint8Array;
  /** What the writer is told: the new version's clock. */
  readonly clock: VectorClock;
}

const NO_DOTS: VectorClock["dots"] = Object.freeze([]);

/** The own states of one node. */
export class OwnStates {
  readonly #node: string;
  readonly #name: Uint8Array;
  readonly #blocks: Blocks;
  /** Where the reading of a state has got to. */
  #at = 0;

  /**
   * Makes and reads states of one node.
   * @param blocks  memory for the states that are made
   */
  constructor(node: string, blocks: Blocks) {
    this.#node = node;
    this.#name = utf8(node);
    this.#blocks = blocks;
  }

  /**
   * Applies a client's write to a state, if it is an own one and the write has no context.
   * @param before  the key's state; undefined when there is none
   * @returns undefined when the write rule has to see to it
   */
  follow(before: Uint8Array | undefined, write: ClientWrite): OwnWrite | undefined {
    if (write.context !== undefined) return undefined;
    const last = before === undefined ? 0 : this.#counterOf(before);
    if (last < 0) return undefined;
    const counter = Math.max(last, write.purgeFloor ?? 0) + 1;
    if (counter > MAX_COUNTER) return undefined;
    const clock = { entries: [{ node: this.#node, counter }], dots: NO_DOTS };
    return { state: this.#encode(counter, write), clock };
  }

  #encode(counter: number, { value, timestampMs, expiresAtMs }: ClientWrite): Uint8Array {
    const name = this.#name;
    const length = 3 + varintLength(timestampMs) +
      (expiresAtMs === 0 ? 0 : varintLength(expiresAtMs)) +
      1 + varintLength(name.length) + name.length + varintLength(counter) + 1 +
      (value === undefined ? 0 : varintLength(value.length) + value.length);
    const state = this.#blocks.take(length);
    this.#blocks.settle(state);
    state[0] = FORMAT;
    state[1] = 1;
    state[2] = OWN | (value === undefined ? DELETE : 0) | (expiresAtMs === 0 ? 0 : EXPIRES);
    let at = putVarint(state, 3, timestampMs);
    if (expiresAtMs !== 0) at = putVarint(state, at, expiresAtMs);
    state[at++] = 1;
    at = putVarint(state, at, name.length);
    for (let i = 0; i < name.length; i++) state[at++] = name[i];
    at = putVarint(state, at, counter);
    state[at++] = 0;
    if (value !== undefined) state.set(value, putVarint(state, at, value.length));
    return state;
  }

  /** The counter of an own state; -1 of any other, and of bytes that are none. */
  #counterOf(state: Uint8Array): number {
    const name = this.#name;
    const flags = state[2];
    if (state[0] !== FORMAT || state[1] !== 1 || (flags & ~(DELETE | EXPIRES)) !== OWN) return -1;
    this.#at = 3;
    this.#varint(state);
    if ((flags & EXPIRES) !== 0) this.#varint(state);
    if (state[this.#at++] !== 1 || this.#varint(state) !== name.length) return -1;
    for (let i = 0; i < name.length; i++) if (state[this.#at++] !== name[i]) return -1;
    const counter = this.#varint(state);
    if (counter === 0 || state[this.#at++] !== 0) return -1;
    const valueLength = (flags & DELETE) === 0 ? this.#varint(state) : 0;
    return this.#at + valueLength === state.length ? counter : -1;
  }

  /** A varint; a place behind the end reads as 0, and is noticed in the end. */
  #varint(state: Uint8Array): number {
    let value = 0;
    for (let unit = 1; unit < 2 ** 53; unit *= 0x80) {
      const byte = state[this.#at++];
      value += (byte & 0x7f) * unit;
      if (!(byte >= 0x80)) break;
    }
    return value;
  }
}
