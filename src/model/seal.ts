/**
 * Seals of contexts: what a client was given for one key of one tenant, it can hand back for that key only.
 *
 * A context is a claim: "I have seen these events, replace them". One of another key, handed in by mistake,
 * claims events that its writer never saw, and a write with it drops versions that nobody has read. So a node
 * that tells a context adds a hash of tenant, key and clock under a key of its own, the seal, and refuses a
 * context whose seal is another one.
 *
 *     SipHash-1-3, in 64-bit words, texts in UTF-8 and filled up with zeros:
 *
 *     | bytes of tenant u16, of key u16, entries u16, dots u16 | tenant | key | events |
 *     event: | counter u56, bytes of the node's id u8 | id |          entries, then dots, in normal form
 *
 * Each length comes before what it is of, so that no two inputs make the same words; limits.ts keeps them that
 * short. The seal is the lower 53 bits of the hash: a safe integer everywhere, also in JSON. What has seen nothing
 * claims nothing, and has no seal.
 * @module
 */
import { utf8 } from "./bytes.ts";
import { type ClockEntry, clockSize, type VectorClock } from "./clock.ts";
import { PairError } from "./errors.ts";
import type { Key } from "./keys.ts";
import { SipHash } from "./siphash.ts";

/** A causal context as clients have it: they pass it back unchanged. */
export interface CausalContext extends VectorClock {
  /** 0 to 2^53 - 1; absent: made by hand, or by a program that makes no seals. */
  readonly seal?: number | undefined;
}

/** The bits of a seal in the upper half of the hash. */
const HIGH_BITS = 0x1fffff;
const TWO_32 = 2 ** 32;
/** Ids whose bytes are kept. */
const KNOWN_IDS_MAX = 1000;

/** Makes and checks the seals of one secret. */
export class ContextSeals {
  readonly #hash: SipHash;
  readonly #required: boolean;
  readonly #known = new Map<string, Uint8Array>();

  /**
   * @param secret    16 bytes; whoever has the same makes the same seals
   * @param required  whether a context without a seal is refused
   */
  constructor(secret: Uint8Array, required = false) {
    this.#hash = new SipHash(secret);
    this.#required = required;
  }

  /** A clock with its seal. @param clock  in normal form; one that has seen nothing comes back as it is */
  seal(tenant: string, key: Key, clock: VectorClock): CausalContext {
    if (clockSize(clock) === 0) return clock;
    const { entries, dots } = clock;
    return { entries, dots, seal: this.sealOf(tenant, key, clock) };
  }

  /**
   * Refuses a context that was not made for this.
   * @param clock  what it claims, in normal form; undefined: nothing
   * @param seal   that it came with
   * @param item   the place of the write in its batch, for the details
   * @throws PairError InvalidArgument (1000) with the detail `reason: context_seal`, when its seal is another
   *   one, or is missing where it is required
   */
  check(
    tenant: string,
    key: Key,
    clock: VectorClock | undefined,
    seal: number | undefined,
    item?: number,
  ): void {
    const isEmpty = clock === undefined || clockSize(clock) === 0;
    if (seal === undefined) {
      if (isEmpty || !this.#required) return;
      throw refused("it has no seal, and this node takes none without one", item);
    }
    if (!isEmpty && this.sealOf(tenant, key, clock) === seal) return;
    throw refused("this node did not give it for this key of this tenant. Read the key", item);
  }

  /** The seal of a clock that has seen something. */
  sealOf(tenant: string, key: Key, { entries, dots }: VectorClock): number {
    const hash = this.#hash;
    const tenantBytes = this.#bytesOf(tenant);
    const keyBytes = typeof key === "string" ? utf8(key) : key;
    hash.begin();
    hash.word(
      tenantBytes.length | keyBytes.length << 16,
      entries.length | dots.length << 16,
    );
    hash.padded(tenantBytes);
    hash.padded(keyBytes);
    for (let i = 0; i < entries.length; i++) this.#event(entries[i]);
    for (let i = 0; i < dots.length; i++) this.#event(dots[i]);
    hash.end();
    return (hash.high & HIGH_BITS) * TWO_32 + (hash.low >>> 0);
  }

  #event({ node, counter }: ClockEntry): void {
    const bytes = this.#bytesOf(node);
    this.#hash.word(counter | 0, Math.floor(counter / TWO_32) | bytes.length << 24);
    this.#hash.padded(bytes);
  }

  /** The bytes of an id. There are few, which come again and again. */
  #bytesOf(id: string): Uint8Array {
    const known = this.#known.get(id);
    if (known !== undefined) return known;
    // Tenants may be many: what is kept is bounded, and made again as it is needed.
    if (this.#known.size === KNOWN_IDS_MAX) this.#known.clear();
    const bytes = utf8(id);
    this.#known.set(id, bytes);
    return bytes;
  }
}

function refused(why: string, item: number | undefined): PairError {
  return new PairError("InvalidArgument", `Cannot take the context: ${why}`, {
    reason: "context_seal",
    ...(item === undefined ? {} : { item }),
  });
}
