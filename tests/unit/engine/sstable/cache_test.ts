import assert from "node:assert/strict";
import { BlockCache, type CachedBlocks } from "../../../../src/engine/sstable/cache.ts";
import { SimRandom } from "../../../../src/runtime/mod.ts";

Deno.test("the cache keeps blocks until it is full, and spares what was used", () => {
  const cache = new BlockCache(100);
  const table = cache.register(20);
  for (let i = 0; i < 10; i++) cache.put(table, i, new Uint8Array(10));
  assert.equal(cache.bytes, 100);
  for (const used of [0, 3, 7]) assert.notEqual(cache.get(table, used), undefined);
  for (let i = 10; i < 15; i++) cache.put(table, i, new Uint8Array(10));
  assert.equal(cache.bytes, 100);
  for (const used of [0, 3, 7]) assert.notEqual(cache.get(table, used), undefined, `block ${used}`);
  for (let i = 10; i < 15; i++) assert.notEqual(cache.get(table, i), undefined, `block ${i}`);
});

Deno.test("hits and misses are counted", () => {
  const cache = new BlockCache(100);
  const table = cache.register(2);
  assert.equal(cache.get(table, 0), undefined);
  const block = Uint8Array.of(1, 2, 3);
  cache.put(table, 0, block);
  assert.equal(cache.get(table, 0), block);
  assert.deepEqual([cache.hits, cache.misses], [1, 1]);
});

Deno.test("nothing larger than the cache is kept, and a cache of 0 bytes keeps nothing", () => {
  for (const capacity of [0, 50]) {
    const cache = new BlockCache(capacity);
    const table = cache.register(1);
    cache.put(table, 0, new Uint8Array(51));
    assert.equal(cache.get(table, 0), undefined);
    assert.equal(cache.bytes, 0);
  }
});

Deno.test("a table never sees another's block [T3]", () => {
  const cache = new BlockCache(1000);
  const [a, b] = [cache.register(3), cache.register(3)];
  cache.put(a, 1, Uint8Array.of(1));
  assert.equal(cache.get(b, 1), undefined);
  cache.put(b, 1, Uint8Array.of(2));
  assert.deepEqual(cache.get(a, 1), Uint8Array.of(1));
  cache.forget(a);
  assert.deepEqual(cache.get(b, 1), Uint8Array.of(2));
});

Deno.test("a forgotten table takes no bytes, and takes none again", () => {
  const cache = new BlockCache(1000);
  const table = cache.register(5);
  for (let i = 0; i < 5; i++) cache.put(table, i, new Uint8Array(100));
  cache.forget(table);
  assert.equal(cache.bytes, 0);
  assert.equal(cache.get(table, 0), undefined);
  cache.put(table, 0, new Uint8Array(100));
  assert.equal(cache.bytes, 0);
  assert.equal(cache.get(table, 0), undefined);
  cache.forget(table);
  assert.equal(cache.bytes, 0);
});

Deno.test("the oldest unused block goes first, and a new one stays a whole round", () => {
  const cache = new BlockCache(100);
  const table = cache.register(30);
  for (let i = 0; i < 30; i++) {
    cache.put(table, i, new Uint8Array(10));
    // Whatever is evicted, the last five to come are still here.
    for (let recent = Math.max(0, i - 4); recent <= i; recent++) {
      assert.notEqual(table.blocks[recent], undefined, `block ${recent} after ${i}`);
    }
  }
  assert.equal(table.blocks.filter((block) => block !== undefined).length, 10);
});

Deno.test("tables that come and go leave no trace: the ring stays as small as what it holds", () => {
  // Far below its capacity nothing is ever evicted.
  const cache = new BlockCache(1 << 30);
  const lasting = cache.register(100);
  for (let i = 0; i < 100; i++) cache.put(lasting, i, new Uint8Array(10));
  for (let round = 0; round < 5000; round++) {
    const table = cache.register(10);
    for (let i = 0; i < 10; i++) cache.put(table, i, new Uint8Array(10));
    cache.forget(table);
    assert.ok(cache.places <= 220, `${cache.places} places for 100 blocks`);
  }
  assert.equal(cache.bytes, 1000);
  for (let i = 0; i < 100; i++) assert.notEqual(cache.get(lasting, i), undefined);
  cache.forget(lasting);
  assert.deepEqual([cache.bytes, cache.places], [0, 0]);
});

Deno.test("random use: bytes are what is kept and never above the capacity", () => {
  const random = new SimRandom(1);
  for (const capacity of [100, 1000, 10_000]) {
    const cache = new BlockCache(capacity);
    const tables: CachedBlocks[] = [];
    for (let step = 0; step < 5000; step++) {
      const choice = random.below(20);
      if (choice === 0 || tables.length === 0) tables.push(cache.register(1 + random.below(20)));
      else if (choice === 1) cache.forget(tables.splice(random.below(tables.length), 1)[0]);
      else {
        const table = tables[random.below(tables.length)];
        const index = random.below(table.blocks.length);
        if (cache.get(table, index) === undefined) {
          cache.put(table, index, new Uint8Array(1 + random.below(150)));
        }
      }
      const kept = tables.flatMap((table) => table.blocks)
        .reduce((sum, block) => sum + (block?.length ?? 0), 0);
      assert.equal(cache.bytes, kept);
      assert.ok(cache.bytes <= capacity);
      const blocks = tables.flatMap((table) => table.blocks).filter(Boolean).length;
      assert.ok(cache.places <= 2 * blocks + 1, `${cache.places} places for ${blocks} blocks`);
    }
  }
});

Deno.test("the buffer of a block that was only looked up is used again, one that was lent never is", () => {
  const random = new SimRandom(2);
  for (const capacity of [4096, 20_000, 100_000]) {
    const cache = new BlockCache(capacity);
    let tables: CachedBlocks[] = [];
    const lent: { bytes: Uint8Array; fill: number }[] = [];
    const buffers = new Set<ArrayBufferLike>();
    let taken = 0;
    for (let step = 0; step < 5000; step++) {
      if (tables.length < 3) tables.push(cache.register(40));
      const table = tables[random.below(tables.length)];
      const index = random.below(40);
      const lend = random.below(5) === 0;
      let block = cache.get(table, index, lend);
      if (block === undefined) {
        block = cache.memory.take(1 + random.below(6000));
        taken++;
        buffers.add(block.buffer);
        block.fill(step);
        cache.put(table, index, block, lend);
      }
      if (lend) lent.push({ bytes: block, fill: block[0] });
      if (random.below(100) === 0) {
        cache.forget(table);
        tables = tables.filter((other) => other !== table);
      }
      for (const { bytes, fill } of lent) {
        assert.ok(
          bytes[0] === fill && bytes[bytes.length - 1] === fill,
          `step ${step}: overwritten`,
        );
      }
      if (lent.length > 50) lent.shift();
      assert.ok(cache.bytes <= capacity);
      assert.ok(cache.bytes + cache.memory.bytes <= capacity + 64 * 1024);
    }
    assert.ok(buffers.size < taken * 0.7, `${buffers.size} buffers for ${taken} blocks`);
  }
});

Deno.test("a smaller capacity gives up the buffers that lie ready", () => {
  const cache = new BlockCache(100_000);
  const table = cache.register(20);
  for (let i = 0; i < 20; i++) cache.put(table, i, cache.memory.take(4096), false);
  cache.forget(table);
  assert.equal(cache.memory.bytes, 80 * 1024);
  cache.capacity = 10_000;
  assert.ok(cache.memory.bytes <= 10_000);
});

Deno.test("a tree never has more than its share, and makes room with its own blocks [T3]", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = new SimRandom(seed);
    let capacity = 20_000;
    const cache = new BlockCache(capacity);
    const shares = new Map<number, number>();
    const tables: { tree: number; blocks: CachedBlocks }[] = [];
    const bytesOf = (of: (tree: number) => boolean) =>
      tables.filter(({ tree }) => of(tree)).flatMap(({ blocks }) => blocks.blocks)
        .reduce((sum, block) => sum + (block?.length ?? 0), 0);
    const largest = random.below(2) === 0 ? 300 : 4000;
    for (let step = 0; step < 3000; step++) {
      const choice = random.below(200);
      const tree = 1 + random.below(3);
      if (choice === 0) {
        const percent = 1 + random.below(100);
        cache.setShare(tree, percent);
        shares.set(tree, percent);
      } else if (choice === 1) {
        cache.setShare(tree, undefined);
        shares.delete(tree);
      } else if (choice === 2) cache.capacity = capacity = 5000 + random.below(20_000);
      else if (choice < 10 || tables.length === 0) {
        tables.push({ tree, blocks: cache.register(50, tree) });
      } else if (choice < 14) {
        cache.forget(tables.splice(random.below(tables.length), 1)[0].blocks);
      } else {
        const { tree, blocks } = tables[random.below(tables.length)];
        const index = random.below(50);
        const limit = (shares.get(tree) ?? Infinity) * capacity / 100;
        if (cache.get(blocks, index) === undefined) {
          const size = 1 + random.below(largest);
          const own = bytesOf((other) => other === tree);
          const others = bytesOf((other) => other !== tree);
          cache.put(blocks, index, new Uint8Array(size));
          if (own + size > limit && bytesOf((other) => other !== tree) !== others) {
            assert.equal(cache.bytesOf(tree), size, `seed ${seed}, step ${step}: others made room`);
          }
        }
      }
      let sum = 0;
      for (const tree of [1, 2, 3]) {
        const own = bytesOf((other) => other === tree);
        assert.equal(cache.bytesOf(tree), own);
        const limit = (shares.get(tree) ?? Infinity) * capacity / 100;
        assert.ok(own <= limit, `seed ${seed}, step ${step}: ${own} bytes of ${limit}`);
        sum += own;
      }
      assert.equal(cache.bytes, sum);
      assert.ok(sum <= capacity);
    }
  }
});

Deno.test("a share is of the capacity as it is, and ends at once [T3]", () => {
  const cache = new BlockCache(1000);
  const [a, b] = [cache.register(20, 1), cache.register(20, 2)];
  const fill = () => {
    for (let i = 0; i < 20; i++) {
      for (const table of [a, b]) {
        if (cache.get(table, i) === undefined) cache.put(table, i, new Uint8Array(40));
      }
    }
  };
  cache.setShare(1, 20);
  fill();
  assert.deepEqual([cache.bytesOf(1), cache.bytesOf(2)], [200, 800]);
  // A walk finds no room either.
  assert.deepEqual([cache.admits(a, 19, 40), cache.admits(a, 19, 40)], [false, false]);
  cache.setShare(1, 10);
  assert.deepEqual([cache.bytesOf(1), cache.bytesOf(2)], [80, 800]);
  cache.capacity = 500;
  assert.ok(cache.bytesOf(1) <= 50);
  cache.capacity = 2000;
  cache.setShare(1, undefined);
  fill();
  assert.deepEqual([cache.bytesOf(1), cache.bytesOf(2)], [800, 800]);
});
