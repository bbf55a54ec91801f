/**
 * The open streams of a connection by their id: a hash table with open addressing and linear probing, whose
 * slots are used again in place. Ids of one side go up by two, so that few of them ever meet.
 *
 * Why not a Map: V8 replaces a Map's table every few dozen insertions, and an old table points to the next. Once
 * one of them has grown old, for which an idle moment suffices, all that follow survive each scavenge, and with
 * them every stream that was open when its table was replaced, with its calls and bytes. Scavenges that take
 * 0.3 ms then take 20 ms and more, until a full collection, and soon it begins anew.
 * @module
 */

/** What a table holds. */
interface Numbered {
  readonly id: number;
}

/** Slots of a new table; always a power of two. */
const SLOTS_MIN = 32;

/** Streams, or whatever has an id above 0. */
export class StreamTable<T extends Numbered> {
  #slots: (T | undefined)[] = emptySlots(SLOTS_MIN);
  #count = 0;

  /** How many there are. */
  get size(): number {
    return this.#count;
  }

  /** The one of this id; undefined when there is none. */
  get(id: number): T | undefined {
    return this.#slots[this.#find(id)];
  }

  /** Adds one, whose id is in the table not yet. */
  add(stream: T): void {
    // At most half full, or else probing takes long.
    if ((this.#count + 1) * 2 > this.#slots.length) this.#grow();
    this.#slots[this.#find(stream.id)] = stream;
    this.#count++;
  }

  /** Takes the one of this id out. Does nothing when there is none. */
  delete(id: number): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let hole = this.#find(id);
    if (slots[hole] === undefined) return;
    this.#count--;
    // What was put behind the hole for want of its own slot moves up, so that nothing is lost behind a gap.
    for (let at = (hole + 1) & mask; slots[at] !== undefined; at = (at + 1) & mask) {
      const wanted = homeOf(slots[at]!.id, mask);
      if (((at - wanted) & mask) < ((at - hole) & mask)) continue;
      slots[hole] = slots[at];
      hole = at;
    }
    slots[hole] = undefined;
  }

  /** All of them now, by id. */
  all(): T[] {
    return this.#slots.filter((stream) => stream !== undefined).sort((a, b) => a.id - b.id);
  }

  /** Takes all out. */
  clear(): void {
    this.#slots = emptySlots(SLOTS_MIN);
    this.#count = 0;
  }

  /** Where the id is, or where it would go. */
  #find(id: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let at = homeOf(id, mask);; at = (at + 1) & mask) {
      const stream = slots[at];
      if (stream === undefined || stream.id === id) return at;
    }
  }

  #grow(): void {
    const before = this.#slots;
    this.#slots = emptySlots(before.length * 2);
    for (const stream of before) {
      if (stream !== undefined) this.#slots[this.#find(stream.id)] = stream;
    }
  }
}

function homeOf(id: number, mask: number): number {
  return (id >>> 1) & mask;
}

function emptySlots<T>(count: number): (T | undefined)[] {
  return new Array<T | undefined>(count).fill(undefined);
}
