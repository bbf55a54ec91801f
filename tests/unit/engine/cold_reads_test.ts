import assert from "node:assert/strict";
import {
  type Engine,
  KIND_DELETE,
  KIND_MERGE,
  KIND_PUT,
  type Mutation,
  openEngine,
  type ScanRange,
  type Tree,
} from "../../../src/engine/mod.ts";
import { compareBytes, fromUtf8, PairError, utf8 } from "../../../src/model/mod.ts";
import { SimRandom, type SimRuntime } from "../../../src/runtime/mod.ts";
import { appendOperator, engineWorld, SMALL } from "../../support/engine.ts";
import { SlowDisk } from "../../support/slow_disk.ts";

interface Store {
  readonly world: SimRuntime;
  readonly slow: SlowDisk;
  readonly engine: Engine;
  readonly tree: Tree;
  readonly model: Map<string, string>;
}

/** A store with tables on several levels, on a disk that is known to be slow; nothing is in memory. */
async function slowStore(seed = 1, blockCacheSize = 1 << 20, rowCacheSize = 8192): Promise<Store> {
  const world = engineWorld({ seed });
  const slow = new SlowDisk(world.disk, world.clock);
  const options = { ...SMALL, blockCacheSize, rowCacheSize };
  const open = () => openEngine({ ...world, disk: slow.disk }, "/data", options, [appendOperator]);
  const filling = await world.clock.runUntil(open());
  const tree = await world.clock.runUntil(filling.createTree("t", { mergeOperator: "append" }));
  const random = new SimRandom(seed);
  const model = new Map<string, string>();
  for (let i = 0; i < 600; i++) await write(world, filling, tree, model, random, i);
  await world.clock.runUntil(filling.flush());
  await world.clock.runUntil(filling.close());
  const engine = await world.clock.runUntil(open());
  // One read shows that the disk is slow.
  slow.dropPages();
  engine.get(engine.tree("t")!, utf8("k50"));
  assert.ok(slow.stalls > 0);
  slow.dropPages();
  slow.stalls = 0;
  return { world, slow, engine, tree: engine.tree("t")!, model };
}

async function write(
  world: SimRuntime,
  engine: Engine,
  tree: Tree,
  model: Map<string, string>,
  random: SimRandom,
  i: number,
): Promise<void> {
  const key = `k${random.below(100)}`;
  const kind = ([KIND_PUT, KIND_PUT, KIND_MERGE, KIND_DELETE] as const)[random.below(4)];
  const value = `${i}` + "v".repeat(random.below(60));
  const mutation: Mutation = { tree, kind, key: utf8(key), value: utf8(value) };
  if (kind === KIND_DELETE) model.delete(key);
  else if (kind === KIND_PUT) model.set(key, value);
  else model.set(key, model.has(key) ? `${model.get(key)},${value}` : value);
  await world.clock.runUntil(engine.write([mutation]));
}

/** A read that waits for the disk. */
function readCold(
  engine: Engine,
  tree: Tree,
  model: Map<string, string>,
): { key: string; found: Promise<Uint8Array | undefined> } {
  for (const key of model.keys()) {
    const found = engine.read(tree, utf8(key));
    if (found instanceof Promise) return { key, found };
  }
  return assert.fail("everything is in memory");
}

function tablesOf({ disk }: SimRuntime): string[] {
  const [dir] = disk.list("/data/tenants").map((name) => `/data/tenants/${name}`);
  return disk.list(dir).map((name) => `${dir}/${name}`);
}

function textOf(value: Uint8Array | undefined): string | undefined {
  return value && fromUtf8(value);
}

Deno.test("read() gives a promise only for what has to come from a slow disk, and nothing waits meanwhile", async () => {
  for (const blockCacheSize of [1 << 20, 0]) {
    const { world, slow, engine, tree, model } = await slowStore(1, blockCacheSize);
    let promised = 0;
    for (let i = 0; i < 100; i++) {
      const key = `k${i}`;
      const found = engine.read(tree, utf8(key));
      if (found instanceof Promise) promised++;
      const value = found instanceof Promise ? await world.clock.runUntil(found) : found;
      assert.equal(textOf(value), model.get(key), key);
    }
    assert.ok(promised > 0 && slow.waits > 0);
    const { coldReads, readLatencyMs } = engine.stats();
    assert.ok(coldReads > 0 && readLatencyMs > 0.5);
    assert.equal(slow.stalls, 0);
    if (blockCacheSize > 0) {
      for (const key of model.keys()) {
        const found = engine.read(tree, utf8(key));
        assert.ok(!(found instanceof Promise), `${key} is in memory now`);
        assert.equal(textOf(found), model.get(key));
      }
    }
    await world.clock.runUntil(engine.close());
  }
});

Deno.test("reads of one key that come together read the disk once, and each sees the writes that were acknowledged before it began [B12]", async () => {
  /** Reads one key often at once, with writes between. @returns what that took of the disk */
  const run = async (times: number) => {
    const { world, slow, engine, tree, model } = await slowStore(1, 1 << 20, 0);
    slow.latencyMs = 10_000;
    const { key, found } = readCold(engine, tree, model);
    const reads = [{ found, expected: model.get(key)! }];
    for (let i = 1; i < times; i++) {
      if (i % 10 === 0) {
        const value = `later ${i}`;
        // Acknowledged while all of them wait.
        const kind = KIND_MERGE;
        const stored = engine.write([{ tree, kind, key: utf8(key), value: utf8(value) }]);
        await world.clock.runUntil(stored);
        model.set(key, `${model.get(key)},${value}`);
      }
      const found = engine.read(tree, utf8(key));
      assert.ok(found instanceof Promise, `${i} waits`);
      reads.push({ found, expected: model.get(key)! });
    }
    const expected = reads.map(({ expected }) => expected);
    const values = await world.clock.runUntil(Promise.all(reads.map(({ found }) => found)));
    assert.deepEqual(values.map(textOf), expected);
    const { coldReads, coldReadsJoined } = engine.stats();
    assert.equal(slow.stalls, 0);
    // Now it is in memory, and nobody waits for anybody.
    assert.ok(!(engine.read(tree, utf8(key)) instanceof Promise));
    assert.equal(engine.stats().coldReadsJoined, coldReadsJoined);
    await world.clock.runUntil(engine.close());
    return { coldReads, waits: slow.waits, coldReadsJoined };
  };
  const one = await run(1);
  const many = await run(100);
  assert.deepEqual([many.coldReads, many.waits], [one.coldReads, one.waits]);
  assert.equal(one.coldReadsJoined, 0);
  assert.equal(many.coldReadsJoined, 99 * one.coldReads);
});

Deno.test("reads that wait for one piece fail together when the disk does, and the next one asks it again [B12]", async () => {
  const { world, slow, engine, tree, model } = await slowStore(1, 1 << 20, 0);
  const { disk } = world;
  let failures = 0;
  disk.hook = ({ op }) => op === "readAtAsync" && failures++ === 0 ? "EIO" : undefined;
  const { key, found } = readCold(engine, tree, model);
  const others = Array.from({ length: 5 }, () => engine.read(tree, utf8(key)));
  const outcomes = await world.clock.runUntil(Promise.allSettled([found, ...others]));
  for (const outcome of outcomes) {
    assert.ok(outcome.status === "rejected" && outcome.reason instanceof PairError);
    assert.equal(outcome.reason.error, "SSTableFailed");
  }
  assert.deepEqual([failures, slow.stalls], [1, 0]);
  const again = await world.clock.runUntil(Promise.resolve(engine.read(tree, utf8(key))));
  assert.equal(textOf(again), model.get(key));
  await world.clock.runUntil(engine.close());
});

Deno.test("timers fire while a read waits for the disk", async () => {
  const { world, engine, tree, model } = await slowStore();
  let fired = 0;
  world.clock.after(1, () => fired++);
  const { key, found } = readCold(engine, tree, model);
  let settled = false;
  void found.then(() => settled = true);
  await world.clock.advance(5);
  assert.deepEqual([fired, settled], [1, false]);
  assert.equal(textOf(await world.clock.runUntil(found)), model.get(key));
  await world.clock.runUntil(engine.close());
});

Deno.test("a read that waits sees the moment at which it was asked, though its tables are merged away", async () => {
  const { world, engine, tree, model } = await slowStore();
  const before = new Map(model);
  const keys = [...before.keys()];
  const { key, found: one } = readCold(engine, tree, model);
  const many = engine.readMany(tree, keys.map(utf8));
  assert.ok(many instanceof Promise);
  const files = () => tablesOf(world);
  const filesBefore = files();
  for (const name of keys) {
    void engine.write([{ tree, kind: KIND_PUT, key: utf8(name), value: utf8("new") }]);
  }
  const compacted = engine.compact(tree);
  assert.equal(textOf(await world.clock.runUntil(one)), before.get(key));
  assert.deepEqual(
    (await world.clock.runUntil(many)).map(textOf),
    keys.map((key) => before.get(key)),
  );
  await world.clock.runUntil(compacted);
  assert.ok(filesBefore.every((name) => !files().includes(name)), "nothing is held any more");
  assert.equal(textOf(engine.get(tree, utf8(key))), "new");
  await world.clock.runUntil(engine.close());
});

Deno.test("readMany() and getMany() answer in the order of their keys, with where each was found", async () => {
  const { world, slow, engine, tree, model } = await slowStore(3, 1 << 20, 0);
  const keys = Array.from({ length: 120 }, (_, i) => `k${(i * 37) % 120}`);
  keys.push(keys[0], keys[5]);
  const traces = () => keys.map(() => ({ source: "none" as const }));
  const [waited, direct] = [traces(), traces()];
  const found = engine.readMany(tree, keys.map(utf8), { traces: waited });
  assert.ok(found instanceof Promise);
  const expected = keys.map((key) => model.get(key));
  assert.deepEqual((await world.clock.runUntil(found)).map(textOf), expected);
  assert.equal(slow.stalls, 0);
  assert.deepEqual(engine.getMany(tree, keys.map(utf8), { traces: direct }).map(textOf), expected);
  assert.deepEqual(waited, direct);
  assert.deepEqual(await engine.readMany(tree, []), []);
  await world.clock.runUntil(engine.close());
});

async function scanned(store: Store, range: ScanRange): Promise<[string, string][]> {
  const cursor = store.engine.scan(store.tree, range);
  const rows: [string, string][] = [];
  for (;;) {
    const wait = cursor.ready();
    if (wait !== undefined) await store.world.clock.runUntil(wait);
    assert.equal(cursor.ready(), undefined, "what was waited for is here");
    if (!cursor.next()) break;
    rows.push([fromUtf8(cursor.key), fromUtf8(cursor.value)]);
  }
  assert.equal(cursor.next(), false);
  cursor.close();
  return rows;
}

Deno.test("a scan that waits for a slow disk shows what others do, in both directions, without a stall", async () => {
  for (let seed = 1; seed <= 12; seed++) {
    const store = await slowStore(seed, seed % 3 === 0 ? 0 : 1 << 20);
    const random = new SimRandom(seed);
    for (let round = 0; round < 4; round++) {
      const reverse = random.below(2) === 0;
      const start = random.below(2) === 0 ? undefined : `k${random.below(100)}`;
      const limit = random.below(2) === 0 ? undefined : random.below(60);
      const rows = [...store.model]
        .filter(([key]) => start === undefined || compareBytes(utf8(key), utf8(start)) >= 0)
        .sort(([a], [b]) => compareBytes(utf8(a), utf8(b)));
      if (reverse) rows.reverse();
      const range = { start: start && utf8(start), reverse, limit } as ScanRange;
      assert.deepEqual(await scanned(store, range), rows.slice(0, limit));
      // Cold again, but the memtables differ from round to round.
      store.slow.dropPages();
      for (let i = 0; i < 30; i++) {
        await write(store.world, store.engine, store.tree, store.model, random, i);
      }
      await store.world.clock.runUntil(store.engine.flush());
    }
    assert.equal(store.slow.stalls, 0);
    await store.world.clock.runUntil(store.engine.close());
  }
});

Deno.test("a failing or damaged disk rejects the read, and fails the scan's next step", async () => {
  const { world, engine, tree, model, slow } = await slowStore(2, 0);
  world.disk.hook = ({ op }) => op === "readAtAsync" ? "EIO" : undefined;
  const { found: failed } = readCold(engine, tree, model);
  await assert.rejects(world.clock.runUntil(failed), { error: "SSTableFailed" });
  const cursor = engine.scan(tree, {});
  await world.clock.runUntil(cursor.ready()!);
  assert.throws(() => cursor.next(), { error: "SSTableFailed" });
  assert.throws(() => cursor.next(), { error: "SSTableFailed" }, "it stays failed");
  cursor.close();
  world.disk.hook = undefined;
  slow.dropPages();
  for (const path of tablesOf(world)) world.disk.corrupt(path, 5, 0xff);
  const outcomes = await world.clock.runUntil(
    Promise.allSettled([...model.keys()].map(async (name) => await engine.read(tree, utf8(name)))),
  );
  const errors = outcomes.filter((outcome) => outcome.status === "rejected");
  assert.ok(errors.length > 0);
  for (const { reason } of errors) {
    assert.ok(reason instanceof PairError && reason.error === "ChecksumFailed", `${reason}`);
  }
  await world.clock.runUntil(engine.close());
});

Deno.test("a read and a scan that wait while the engine closes end, and say why", async () => {
  const { world, engine, tree, model } = await slowStore(4, 0);
  const { found } = readCold(engine, tree, model);
  const cursor = engine.scan(tree, {});
  const ready = cursor.ready()!;
  const outcome = assert.rejects(found, { error: "Unavailable" });
  await world.clock.runUntil(engine.close());
  await world.clock.runUntil(outcome);
  await world.clock.runUntil(ready);
  assert.throws(() => cursor.next(), { error: "Unavailable" });
  cursor.close();
});

Deno.test("once the disk is quick again reads take the direct way", async () => {
  const { world, slow, engine, tree, model } = await slowStore(5, 0);
  slow.latencyMs = 0;
  // One slow read in some hundred would keep the disk slow, so this takes a while.
  let promised = 0;
  for (let round = 0; round < 40; round++) {
    promised = 0;
    for (const [key, value] of model) {
      const found = engine.read(tree, utf8(key));
      if (found instanceof Promise) promised++;
      assert.equal(
        textOf(found instanceof Promise ? await world.clock.runUntil(found) : found),
        value,
      );
    }
  }
  assert.equal(promised, 0);
  await world.clock.runUntil(engine.close());
});
