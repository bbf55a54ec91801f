/**
 * Deficit round robin (Shreedhar and Varghese, 1995): queues that take turns, each served as much a round as
 * the others, whatever its items cost and however many wait.
 *
 *     a: 5 5 5 5 5     quantum 5, round 1: a 5 · b 2 2 · c 1      (b keeps 1 for the next round)
 *     b: 2 2 2                    round 2: a 5 · b 2 · a 5 ...
 *     c: 1
 *
 * A queue that has been emptied keeps nothing: nobody saves up for a burst.
 * @module
 */

interface Item<T> {
  readonly item: T;
  readonly cost: number;
}

/** Those who wait under one key. */
interface Flow<T> {
  readonly items: Item<T>[];
  /** The first that waits; those before it are served. */
  head: number;
  deficit: number;
  /** Has got its quantum of this round. */
  isServed: boolean;
}

/** Served items are dropped once there are so many. */
const COMPACT_AT = 64;

/** See the module. Each step takes a time that does not depend on how many wait. */
export class DeficitQueue<T> {
  readonly #quantum: number;
  /** Those with items, in the order of their turns. */
  readonly #flows = new Map<string, Flow<T>>();
  #length = 0;

  /** @param quantum  what each gets in a round; best no less than most items cost */
  constructor(quantum: number) {
    this.#quantum = quantum;
  }

  /** Items that wait. */
  get length(): number {
    return this.#length;
  }

  /** Keys with items that wait. */
  get keys(): number {
    return this.#flows.size;
  }

  /** Items that wait under a key. */
  lengthOf(key: string): number {
    const flow = this.#flows.get(key);
    return flow === undefined ? 0 : flow.items.length - flow.head;
  }

  /** @param cost  above 0 */
  push(key: string, item: T, cost: number): void {
    let flow = this.#flows.get(key);
    if (flow === undefined) {
      flow = { items: [], head: 0, deficit: 0, isServed: false };
      this.#flows.set(key, flow);
    }
    flow.items.push({ item, cost });
    this.#length++;
  }

  /** The next, which waits no more; undefined when nothing waits. */
  next(): T | undefined {
    for (const [key, flow] of this.#flows) {
      if (!flow.isServed) {
        flow.deficit += this.#quantum;
        flow.isServed = true;
      }
      const { item, cost } = flow.items[flow.head];
      if (cost <= flow.deficit) {
        flow.deficit -= cost;
        flow.head++;
        this.#length--;
        if (flow.head === flow.items.length) this.#flows.delete(key);
        else if (flow.head >= COMPACT_AT) {
          flow.items.splice(0, flow.head);
          flow.head = 0;
        }
        return item;
      }
      flow.isServed = false;
      // To the end, where this loop comes to it again when the others have had their turn.
      this.#flows.delete(key);
      this.#flows.set(key, flow);
    }
    return undefined;
  }
}
