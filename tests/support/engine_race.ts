/**
 * Races of an engine with itself: readers, unsynced writes and work in the background, at every point of a
 * write's way, on a simulated clock and disk; and the list of all writes, which says what each read has to find.
 * Its heirs say how the engine is made, what happens how often, and what reads are compared with.
 * @module
 */
import {
  type Engine,
  type EntryKind,
  KIND_DELETE,
  KIND_MERGE,
  KIND_PUT,
  type Snapshot,
  type Tree,
} from "../../src/engine/mod.ts";
import { fromUtf8, utf8 } from "../../src/model/mod.ts";
import { SimRandom } from "../../src/runtime/mod.ts";
import { engineWorld } from "./engine.ts";

/** Few enough that they are written and read at once all the time. */
const RACE_KEYS = Array.from({ length: 12 }, (_, i) => `key ${i}`);
/** Steps of one race, unless told otherwise. */
export const RACE_STEPS = Number(Deno.env.get("PAIRDB_RACE_STEPS") ?? 3000);
export const RACE_SEEDS = [1, 2, 3, 4, 5, 6, 7, 8];

const TREES = ["a", "b"];

/** What a key held after each of its writes, by sequence. */
type History = { readonly seq: number; readonly value: string | undefined }[];

/** A tree, and what was written to it. */
interface RaceTree {
  readonly tree: Tree;
  readonly keys: Map<string, History>;
}

export abstract class EngineRace {
  protected readonly random: SimRandom;
  protected readonly world;
  protected engine!: Engine;
  protected readonly snapshots: Snapshot[] = [];
  /** What {@link settle} waits for. */
  protected readonly reads: Promise<void>[] = [];
  protected readonly background: Promise<unknown>[] = [];
  protected step = 0;
  /** The last sequence that was given out, and the last that is acknowledged. */
  protected last = 0;
  protected acknowledged = 0;
  readonly #trees = new Map<string, RaceTree>();
  readonly #writes: Promise<void>[] = [];
  readonly #putShare: number;
  readonly #sources = new Map<string, number>();

  /** @param putShare  puts for each delete, and for each merge */
  constructor(seed: number, putShare: number) {
    this.random = new SimRandom(seed);
    this.world = engineWorld({ seed, delays: true });
    this.#putShare = putShare;
  }

  /** Sets {@link engine}. */
  protected abstract open(): Promise<void>;

  /** Does what the number says, to a tree where it is a matter of one. @param choice  0 to 999 */
  protected abstract next(choice: number, name: string): Promise<void>;

  /** Reads a key, and compares. */
  protected abstract check(name: string, key: string): void;

  /** Opens the engine and takes the steps. */
  async run(steps: number): Promise<void> {
    await this.open();
    for (const name of TREES) await this.#create(name);
    while (this.step++ < steps) {
      const choice = this.random.below(1000);
      await this.next(choice, TREES[this.random.below(2)]);
    }
    await this.settle();
  }

  /** Reads all keys once more, and closes the engine. */
  async end(): Promise<void> {
    for (const name of TREES) for (const key of RACE_KEYS) this.check(name, key);
    await this.settle();
    await this.close();
  }

  /** How many reads this layer has answered. */
  readsFrom(source: string): number {
    return this.#sources.get(source) ?? 0;
  }

  protected tree(name: string): Tree {
    return this.#trees.get(name)!.tree;
  }

  /** What a key held as of a sequence number. */
  protected valueAt(name: string, key: string, seq: number): string | undefined {
    return this.#trees.get(name)!.keys.get(key)?.findLast((state) => state.seq <= seq)?.value;
  }

  protected noteSource(source: string): void {
    this.#sources.set(source, this.readsFrom(source) + 1);
  }

  protected someKey(): string {
    return RACE_KEYS[this.random.below(RACE_KEYS.length)];
  }

  /** Writes one to three keys, and waits for nothing. */
  protected write(name: string): void {
    const { tree, keys } = this.#trees.get(name)!;
    const mutations = Array.from({ length: 1 + this.random.below(3) }, (_, i) => {
      const key = this.someKey();
      const kind = this.#someKind();
      const value = `${this.step}.${i}${"v".repeat(this.random.below(40))}`;
      return { tree, kind, key: utf8(key), value: utf8(value), name: key };
    });
    const done = this.engine.write(mutations);
    for (const { name, kind, value } of mutations) {
      const history = keys.get(name) ?? [];
      const before = history.at(-1)?.value;
      const text = fromUtf8(value);
      const after = kind === KIND_DELETE
        ? undefined
        : kind === KIND_PUT || before === undefined
        ? text
        : `${before},${text}`;
      history.push({ seq: ++this.last, value: after });
      keys.set(name, history);
    }
    // Whoever gave the bytes may use them for something else once the call is back.
    for (const { value } of mutations) value.fill(0x21);
    const upTo = this.last;
    this.#writes.push(done.then(() => {
      this.acknowledged = Math.max(this.acknowledged, upTo);
    }));
  }

  #someKind(): EntryKind {
    const choice = this.random.below(this.#putShare + 2);
    if (choice < this.#putShare) return KIND_PUT;
    return choice === this.#putShare ? KIND_DELETE : KIND_MERGE;
  }

  /** Drops a tree, and makes one of the same name. */
  protected async dropAndCreate(name: string): Promise<void> {
    await this.settle();
    this.releaseSnapshots();
    await this.until(this.engine.dropTree(this.tree(name)));
    await this.#create(name);
  }

  protected async reopen(): Promise<void> {
    await this.settle();
    await this.close();
    await this.open();
    for (const [name, { keys }] of this.#trees) {
      this.#trees.set(name, { tree: this.engine.tree(name)!, keys });
    }
  }

  async #create(name: string): Promise<void> {
    const tree = await this.until(this.engine.createTree(name, { mergeOperator: "append" }));
    this.#trees.set(name, { tree, keys: new Map() });
  }

  /** Lets the world go on a little. @param odds  one time in so many, its clock as well */
  protected async let(odds: number): Promise<void> {
    for (let i = this.random.below(20); i > 0; i--) await Promise.resolve();
    if (this.random.below(odds) === 0) await this.world.clock.advance(this.random.below(30) / 10);
  }

  /** Waits for everything that is under way. */
  protected async settle(): Promise<void> {
    for (const group of [this.#writes, this.reads, this.background]) {
      await this.until(Promise.all(group.splice(0)));
    }
  }

  protected releaseSnapshots(): void {
    for (const snapshot of this.snapshots.splice(0)) snapshot.release();
  }

  protected async close(): Promise<void> {
    this.releaseSnapshots();
    await this.until(this.engine.close());
  }

  /** Waits, and lets the world's clock move. */
  protected until<T>(promise: Promise<T>): Promise<T> {
    return this.world.clock.runUntil(promise);
  }
}
