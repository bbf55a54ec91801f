/**
 * Watchers on the real engine, with random writers: some read slowly and are overrun, leave and come back
 * with a token they have kept, or meet a restart or a crash of the node. Whatever happens, a copy that
 * honours gaps ends as the store, and where no gap was told, no write of any key was left out, doubled or
 * out of order. A failing run prints its seed; put it into SEEDS to replay it.
 * @module
 */
import assert from "node:assert/strict";
import { type EngineJob, openEngine, runEngineJob } from "../../src/engine/mod.ts";
import { reconcileOperator } from "../../src/model/mod.ts";
import type { StorageNode, WatchEvent } from "../../src/node/mod.ts";
import { SimRandom, type SimRuntime, simRuntime } from "../../src/runtime/mod.ts";
import { SMALL } from "../support/engine.ts";
import { bytes, nodeOn } from "../support/node.ts";
import { HandWatch, lineOf, Mirror } from "../support/watch.ts";

const OPERATIONS = Number(Deno.env.get("PAIRDB_ORACLE_OPERATIONS") ?? 1500);
const SEEDS = [1, 2, 3, 4];
const KEYS = ["a", "aa", "ab", "b", "ba", "c"];
const RANGES = [{}, { prefix: "a" }, { key: "b" }, { start: "ab", end: "c" }, {}, { prefix: "a" }];

/** What each key was after each of its writes, by its clock. */
type History = Map<string, string[]>;

class Watcher {
  readonly #range: { prefix?: string; key?: string; start?: string; end?: string };
  readonly #initial: boolean;
  readonly #history: History;
  readonly mirror = new Mirror();
  #watch: HandWatch | undefined;
  /** What its client has stored, and so comes back with. */
  #token = "";
  #hasBegun = false;
  /** By key: the place in the key's history of the last event, as long as there was no gap since. */
  readonly #places = new Map<string, number>();
  gaps = 0;
  resumed = 0;
  ordered = 0;

  constructor(index: number, history: History) {
    this.#range = RANGES[index];
    this.#initial = index % 2 === 1;
    this.#history = history;
  }

  /** Takes one batch, beginning where it had got to. */
  async pull(node: StorageNode, world: SimRuntime): Promise<readonly WatchEvent[]> {
    const comesBack = this.#watch === undefined && this.#token !== "";
    this.#watch ??= new HandWatch(node, world.clock, {
      ...this.#range,
      initial: this.#initial,
      token: this.#token,
      progressMs: 100,
    });
    const events = (await this.#watch.events())!;
    const isFirst = !this.#hasBegun && !this.#initial && this.#token === "";
    if (isFirst) {
      for (const { key, value } of this.read(node)) {
        this.mirror.values.set(key, value);
      }
    }
    this.#hasBegun = true;
    for (const event of events) this.#check(event);
    this.mirror.take(events, () => this.read(node));
    if (comesBack && events[0].type !== "gap") this.resumed++;
    if (events.some(({ token }) => token !== "")) {
      this.#token = this.#watch.token;
    }
    return events;
  }

  async leave(): Promise<void> {
    await this.#watch?.close();
    this.#watch = undefined;
  }

  *read(node: StorageNode): Generator<{ key: string; value: string }> {
    const { key, ...range } = this.#range;
    for (const item of node.scan("t", key === undefined ? range : { start: key, end: `${key}a` })) {
      const versions = item.result.versions.map(({ value }) =>
        value === undefined ? "-" : new TextDecoder().decode(value)
      );
      yield { key: item.key, value: `${item.key}=${versions.join("|")}` };
    }
  }

  #check(event: WatchEvent): void {
    const { type, key, clock } = event;
    if (type === "gap") {
      this.gaps++;
      this.#places.clear();
    }
    if (type === "gap" || type === "progress") return;
    const place = this.#history.get(key)?.indexOf(JSON.stringify(clock)) ?? -1;
    assert.ok(place >= 0, `${lineOf(event)}: nobody wrote that`);
    const last = this.#places.get(key);
    this.#places.set(key, place);
    if (type === "initial" || last === undefined) return;
    this.ordered++;
    assert.equal(place, last + 1, `${lineOf(event)}: not the next write of its key`);
  }
}

async function run(seed: number): Promise<void> {
  const random = new SimRandom(seed);
  const world: SimRuntime = simRuntime({
    seed,
    handler: (job) => runEngineJob(world.disk, [reconcileOperator], job as EngineJob),
  });
  const open = async () =>
    nodeOn(await openEngine(world, "/data", SMALL, [reconcileOperator]), world, {
      watch: { maxWatchers: RANGES.length, historySize: 4000, lingerMs: 1000 },
    });
  let node = await open();
  const history: History = new Map();
  const watchers = RANGES.map((_, i) => new Watcher(i, history));
  const leaveAll = async () => {
    for (const watcher of watchers) await watcher.leave();
  };
  for (let operation = 0; operation < OPERATIONS; operation++) {
    await write(node, random, operation, history);
    const watcher = watchers[random.below(watchers.length)];
    if (random.below(3) === 0) await watcher.pull(node, world);
    const event = random.below(200);
    if (event < 8) await watcher.leave();
    if (event === 10) await node.flush("t");
    if (event === 11) {
      await leaveAll();
      await node.close();
      node = await open();
    }
    if (event === 12) {
      await leaveAll();
      world.disk.crash("drop");
      // What a process that is gone has left behind in this one.
      await node.close().catch(() => {});
      node = await open();
    }
    if (event < 40) await world.clock.advance(random.below(20));
  }
  for (const watcher of watchers) {
    // Idle is who has nothing but progress to tell, twice.
    for (let idle = 0; idle < 2;) {
      const events = await watcher.pull(node, world);
      idle = events.every(({ type }) => type === "progress") ? idle + 1 : 0;
    }
    const sorted = [...watcher.mirror.values].sort(([a], [b]) => (a < b ? -1 : 1));
    const store = [...watcher.read(node)].map(({ key, value }) => [key, value]);
    assert.deepEqual(sorted, store);
  }
  const sum = (of: (watcher: Watcher) => number) => watchers.map(of).reduce((a, b) => a + b);
  assert.ok(sum(({ gaps }) => gaps) > 0, "nobody was overrun");
  assert.ok(sum(({ resumed }) => resumed) > 0, "nobody came back");
  assert.ok(sum(({ ordered }) => ordered) > 0, "nobody saw two writes of a key");
  await leaveAll();
  await node.close();
}

async function write(
  node: StorageNode,
  random: SimRandom,
  operation: number,
  history: History,
): Promise<void> {
  const key = KEYS[random.below(KEYS.length)];
  const value = bytes(`${operation}`);
  const written: [string, unknown][] = [];
  switch (random.below(6)) {
    case 0: {
      const { clock } = await node.delete("t", { key });
      if (clock.entries.length > 0) written.push([key, clock]);
      break;
    }
    case 1: {
      const items = KEYS.slice(random.below(KEYS.length)).map((key) => ({ key, value }));
      const { results } = await node.batchPut("t", items);
      for (const [i, { clock }] of results.entries()) written.push([items[i].key, clock]);
      break;
    }
    case 2: {
      const clock = {
        entries: [{ node: `far${random.below(2)}`, counter: operation + 1 }],
        dots: [],
      };
      const foreign = { key, value, deleted: false, clock };
      written.push([key, (await node.applyReplica("t", foreign, "repair")).clock]);
      break;
    }
    default:
      written.push([key, (await node.put("t", { key, value })).clock]);
  }
  for (const [key, clock] of written) {
    const clocks = history.get(key) ?? [];
    clocks.push(JSON.stringify(clock));
    history.set(key, clocks);
  }
}

for (const seed of SEEDS) {
  Deno.test(`a copy that honours gaps ends as the store, through restarts (seed ${seed}) [B8]`, () =>
    run(seed));
}
