/**
 * Values that say which write they are of, and whose every byte can be checked.
 *
 *     n u32 │ cell u32 │ key of the group u8 │ length u32 │ tenant's name u8 and bytes │ bytes of a pool, by n
 * @module
 */
import { Buffer } from "node:buffer";

const POOL_BYTES = 1 << 20;
const HEAD_BYTES = 14;

/** Makes and checks values. Not to be compressed away. */
export class Values {
  readonly #pool: Uint8Array;

  constructor(random: () => number) {
    const words = new Uint32Array(POOL_BYTES / 4);
    for (let i = 0; i < words.length; i++) words[i] = random() * 2 ** 32;
    this.#pool = new Uint8Array(words.buffer);
  }

  /** The value that a write gives a key. */
  make(tenant: string, cell: number, part: number, n: number, bytes: number): Uint8Array {
    const name = Buffer.from(tenant);
    const value = Buffer.allocUnsafe(Math.max(bytes, HEAD_BYTES + name.length));
    value.writeUint32LE(n, 0);
    value.writeUint32LE(cell, 4);
    value[8] = part;
    value.writeUint32LE(value.length, 9);
    value[13] = name.length;
    value.set(name, HEAD_BYTES);
    const at = HEAD_BYTES + name.length;
    const from = (Math.imul(n, 0x9e3779b1) >>> 0) % (POOL_BYTES - value.length);
    value.set(this.#pool.subarray(from, from + value.length - at), at);
    return value;
  }

  /** The write that a value is of; a text that says what is wrong with it when it is not the key's, or damaged. */
  read(tenant: string, cell: number, part: number, value: Uint8Array): number | string {
    if (value.length < HEAD_BYTES) return `a value of ${value.length} bytes`;
    const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
    const n = view.getUint32(0, true);
    if (view.getUint32(9, true) !== value.length) return `a value of another length, of write ${n}`;
    const whole = this.make(tenant, cell, part, n, value.length);
    if (Buffer.compare(whole, value) === 0) return n;
    const name = new TextDecoder().decode(value.subarray(HEAD_BYTES, HEAD_BYTES + value[13]));
    return `a damaged value, or one of another key: write ${n}, cell ${view.getUint32(4, true)}.${
      value[8]
    } of ${name}`;
  }
}
