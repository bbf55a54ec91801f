/**
 * The engine bench's work, the same for every store that runs in JavaScript: ours under Deno, the
 * others under Node. Plain JavaScript, so that both can run it.
 *
 * A store is driven through a handful of functions (see `Store`). Keys are those of RocksDB's db_bench: a number in
 * eight bytes, most significant first, filled up with the digit 0.
 *
 * @typedef {object} Store
 * @property {(key: Uint8Array, value: Uint8Array) => Promise<unknown>} put
 * @property {(key: Uint8Array) => Uint8Array | undefined} get
 * @property {(start: Uint8Array | undefined, count: number) => number | Promise<number>} scan  reads up to
 *   `count` entries from `start` on, keys and values; returns how many there were
 * @property {() => Promise<void> | void} [admit]  waits while the store asks writers to wait
 * @property {() => Promise<void>} settle  makes tables of what is in memory and waits for compactions
 * @property {() => Promise<void>} close
 * @property {() => Record<string, number>} [counters]
 */
import { setImmediate } from "node:timers";
import { performance } from "node:perf_hooks";

const KEY_BYTES = 16;
/** Writes that are under way at once where nothing else is said. */
const WINDOW = 100;
/** Entries behind each seek, as `--seek_nexts` says to db_bench. */
const SEEK_NEXTS = 10;
/** Writes a second beside the reads of `readwhilewriting`; db_bench is told the same in bytes. */
export const WRITES_PER_SECOND = 16_384;

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Puts a number below 2^32 into a key that `newKey` made. */
function numberKey(key, number) {
  key[4] = number >>> 24;
  key[5] = number >>> 16;
  key[6] = number >>> 8;
  key[7] = number;
  return key;
}

function newKey(length) {
  const key = new Uint8Array(length);
  key.fill(48, 8, KEY_BYTES);
  return key;
}

/** The key of a number, in bytes of its own. */
function keyOf(number) {
  return numberKey(newKey(KEY_BYTES), number);
}

/** xorshift32 (Marsaglia 2003), numbers below `limit`. */
function randomBelow(seed) {
  let x = seed;
  return (limit) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % limit;
  };
}

/** Values of which a compressor saves half, as db_bench's are. */
function valuesOf(bytes) {
  const random = randomBelow(7);
  const pool = new Uint8Array(1 << 20);
  for (let at = 0; at < pool.length; at += bytes) {
    const fresh = Math.ceil(bytes / 2);
    for (let i = 0; i < bytes && at + i < pool.length; i++) {
      pool[at + i] = i < fresh ? random(256) : pool[at + i - fresh];
    }
  }
  let at = 0;
  return () => {
    if (at + bytes > pool.length) at = 0;
    at += bytes;
    return pool.subarray(at - bytes, at);
  };
}

/** Rate and percentiles of what was timed; times in microseconds. */
class Times {
  #samples;
  #count = 0;
  constructor(most) {
    this.#samples = new Float32Array(most);
  }
  add(ms) {
    if (this.#count < this.#samples.length) this.#samples[this.#count++] = ms * 1000;
  }
  figure(operations, ms, worstTurnMs) {
    const sorted = this.#samples.subarray(0, this.#count).sort();
    const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
    return {
      rate: operations / ms * 1000,
      p50: at(0.5),
      p99: at(0.99),
      p999: at(0.999),
      ...(worstTurnMs === undefined ? {} : { worstTurnMs }),
    };
  }
}

/** Writes `count` keys, `window` at a time; a write's time is that until it is told done. */
async function fill(store, count, window, pick, value) {
  const times = new Times(count);
  const started = performance.now();
  let worst = 0;
  for (let i = 0; i < count;) {
    const before = performance.now();
    const waiting = [];
    for (let j = 0; j < window && i < count; j++, i++) {
      const issued = performance.now();
      waiting.push(
        store.put(keyOf(pick(i)), value()).then(() => times.add(performance.now() - issued)),
      );
    }
    const turned = turn();
    await turned;
    worst = Math.max(worst, performance.now() - before);
    await Promise.all(waiting);
    await store.admit?.();
  }
  return times.figure(count, performance.now() - started, worst);
}

async function each(count, run) {
  const times = new Times(count);
  const started = performance.now();
  let before = started;
  for (let i = 0; i < count; i++) {
    const result = run(i);
    if (result !== undefined && typeof result !== "number") await result;
    const now = performance.now();
    times.add(now - before);
    before = now;
  }
  return times.figure(count, before - started);
}

async function readWhileWriting(store, set, random, value) {
  const times = new Times(set.reads);
  const batch = 50;
  const key = newKey(KEY_BYTES);
  let found = 0;
  let written = 0;
  let worst = 0;
  const started = performance.now();
  for (let i = 0; i < set.reads;) {
    const turnStarted = performance.now();
    const due = Math.floor((turnStarted - started) / 1000 * WRITES_PER_SECOND) - written;
    const waiting = [];
    for (let j = 0; j < Math.min(due, 500); j++, written++) {
      waiting.push(store.put(keyOf(random(set.count)), value()));
    }
    for (let j = 0; j < batch && i < set.reads; j++, i++) {
      const before = performance.now();
      if (store.get(numberKey(key, random(set.count))) !== undefined) found++;
      times.add(performance.now() - before);
    }
    await turn();
    worst = Math.max(worst, performance.now() - turnStarted);
    if (waiting.length > 0) await Promise.all(waiting);
    await store.admit?.();
  }
  if (found === 0) throw new Error("nothing was found");
  return times.figure(set.reads, performance.now() - started, worst);
}

/**
 * Runs one group of rows.
 * @param {(options: { sync: boolean, dir: string }) => Promise<Store>} open
 * @param {object} spec  see `Spec` in spec.ts
 */
export async function runGroup(open, spec) {
  const { group, dir, set } = spec;
  const random = randomBelow(42);
  const value = valuesOf(set.valueBytes);
  const figures = {};
  let counters = {};
  if (group === "sync") {
    for (const writers of [1, 16, 64]) {
      const store = await open({ sync: true, dir: `${dir}/${writers}` });
      const pick = () => random(set.count);
      figures[`fillsync ${writers}`] = await fill(store, set.syncs, writers, pick, value);
      await store.close();
    }
    return { figures, counters };
  }
  if (group === "reopen" && spec.step === "return") {
    const started = performance.now();
    const store = await open({ sync: false, dir });
    const ms = performance.now() - started;
    if (store.get(keyOf(0)) === undefined) throw new Error("the first key is not there");
    await store.close();
    return { figures, counters: { ms } };
  }
  const store = await open({ sync: false, dir });
  if (group === "reopen") {
    // Every key once, in no order: what a log of random writes is to a recovery.
    const step = 0x9e3779b1 % set.count;
    await fill(store, set.count, WINDOW, (i) => (i * step) % set.count, value);
    if (spec.settle) {
      await store.settle();
      await store.close();
    }
    return { figures, counters: {} };
  }
  if (group === "seq") {
    figures.fillseq = await fill(store, set.count, WINDOW, (i) => i, value);
    await store.settle();
    const started = performance.now();
    const read = await store.scan(undefined, set.count);
    figures.readseq = { rate: read / (performance.now() - started) * 1000 };
    if (read !== set.count) throw new Error(`read ${read} entries, not ${set.count}`);
  } else {
    const pick = () => random(set.count);
    figures.fillrandom = await fill(store, set.count, WINDOW, pick, value);
    figures.overwrite = await fill(store, set.reads, WINDOW, pick, value);
    await store.settle();
    counters = { ...counters, ...store.counters?.() };
    let found = 0;
    // A read is over when it returns: one buffer serves all keys.
    const key = newKey(KEY_BYTES);
    figures.readrandom = await each(set.reads, () => {
      if (store.get(numberKey(key, random(set.count))) !== undefined) found++;
    });
    if (found === 0) throw new Error("nothing was found");
    // As db_bench does it: a key that may exist, with a byte more.
    const longer = newKey(KEY_BYTES + 1);
    longer[KEY_BYTES] = 46;
    figures.readmissing = await each(set.reads, () => {
      if (store.get(numberKey(longer, random(set.count))) !== undefined) {
        throw new Error("found what is not there");
      }
    });
    figures.seekrandom = await each(
      Math.ceil(set.reads / 4),
      () => store.scan(numberKey(key, random(set.count)), SEEK_NEXTS),
    );
    const after = store.counters?.() ?? {};
    figures.readwhilewriting = await readWhileWriting(store, set, random, value);
    counters.readBlocks = (after.blocksRead ?? 0) - (counters.blocksRead ?? 0);
  }
  await store.close();
  return { figures, counters };
}
