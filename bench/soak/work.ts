/**
 * The work of one tenant: reads, writes, deletes, batches and scans at a bounded rate, all checked against the
 * model, through kills and full disks.
 * @module
 */
import { Cell, type Outcome, Probe, type Violations } from "./model.ts";
import type { Counts } from "./counts.ts";
import { CALL_TIMEOUT_MS, type Failure, failureOf, type Link, type SoakNode } from "./node.ts";
import { GROUP_KEYS, type TenantPlan } from "./plan.ts";
import type { Values } from "./values.ts";

/** What all tenants share. */
export interface World {
  readonly node: SoakNode;
  readonly values: Values;
  readonly counts: Counts;
  readonly violations: Violations;
  readonly random: () => number;
  /** The number of the next write. */
  next(): number;
  /** No more work is begun. */
  readonly isOver: boolean;
}

/** Calls of one tenant in flight. */
const WORKERS = 4;
/** A scan's keys at most. */
const SCAN_CELLS = 50;
const SCAN_GROUPS = 4;
const VERIFY_KEYS = 96;
/** Error numbers that a node under load and on a full disk may answer with. */
const TAKEN = new Set([2001, 2002, 2003, 2008]);
const TIMEOUT = { timeoutMs: CALL_TIMEOUT_MS };

type Kind = "put" | "put with ttl" | "put once" | "delete" | "batch";

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** One tenant of a soak. */
export class TenantWork {
  readonly name: string;
  /** Single keys, in order. */
  readonly singles: readonly Cell[];
  /** Groups, in order. */
  readonly groups: readonly Cell[];
  readonly cells: readonly Cell[];
  readonly #byKey = new Map<string, { cell: Cell; part: number }>();
  /** Told of each write that was acknowledged. */
  onApplied: (cell: Cell, version: bigint, era: number) => void = () => {};
  /** What the watcher calls the present time; writes bear the one that they began in. */
  era = 0;
  #due = performance.now();

  constructor(readonly plan: TenantPlan, private readonly world: World) {
    this.name = plan.name;
    this.singles = Array.from({ length: plan.keys }, (_, i) => this.#cell(i, [`c/${padded(i)}`]));
    this.groups = Array.from(
      { length: plan.groups },
      (_, i) =>
        this.#cell(
          plan.keys + i,
          Array.from({ length: GROUP_KEYS }, (_, part) => `g/${padded(i)}/${part}`),
        ),
    );
    this.cells = [...this.singles, ...this.groups];
  }

  /** The cell of a key. */
  find(key: string): Cell | undefined {
    return this.#byKey.get(key)?.cell;
  }

  /** Works until the world is over. @param rate  operations a second at most */
  async run(rate: number): Promise<void> {
    this.#due = performance.now();
    await Promise.all(Array.from({ length: WORKERS }, () => this.#worker(1000 / rate)));
  }

  async #worker(everyMs: number): Promise<void> {
    while (!this.world.isOver) {
      const wait = this.#due - performance.now();
      // What was missed is missed: no flood after a stall.
      if (wait < -1000) this.#due = performance.now();
      this.#due += everyMs;
      if (wait > 0) await sleep(wait);
      const link = await this.world.node.up();
      if (this.world.isOver) return;
      const dice = this.world.random();
      if (dice < 0.72) await this.#get(link, this.#pick(this.singles));
      else if (dice < 0.78) await this.#batchGet(link, this.#pick(this.groups));
      else if (dice < 0.79) await this.#scan(link, this.singles, SCAN_CELLS);
      else if (dice < 0.80) await this.#scan(link, this.groups, SCAN_GROUPS);
      else if (dice < 0.91) await this.write("put", this.#pick(this.singles), link);
      else if (dice < 0.94) await this.write("put with ttl", this.#pick(this.singles), link);
      else if (dice < 0.95) await this.write("put once", this.#pick(this.singles), link);
      else if (dice < 0.97) await this.write("delete", this.#pick(this.singles), link);
      else await this.write("batch", this.#pick(this.groups), link);
    }
  }

  #pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.world.random() * from.length)];
  }

  #cell(index: number, keys: readonly string[]): Cell {
    const cell = new Cell(this.name, index, keys);
    keys.forEach((key, part) => this.#byKey.set(key, { cell, part }));
    return cell;
  }

  // ── reads ──

  async #get(link: Link, cell: Cell): Promise<void> {
    const probe = this.#probe(link, cell);
    const from = performance.now();
    try {
      const { value, siblings } = await link.keys.get(
        { tenantId: this.name, key: cell.keys[0] },
        TIMEOUT,
      );
      this.world.counts.add("get", true, (performance.now() - from) * 1000);
      this.#noSiblings(link, cell, siblings.length);
      this.#judge(probe, [value]);
    } catch (error) {
      const failure = failureOf(error);
      if (failure.code === 1001) {
        this.world.counts.add("get", true, (performance.now() - from) * 1000);
        this.#judge(probe, [undefined]);
      } else this.#readFailed(link, failure, [probe], cell.keys[0]);
    }
  }

  async #batchGet(link: Link, cell: Cell): Promise<void> {
    const probe = this.#probe(link, cell);
    const from = performance.now();
    try {
      const { items } = await link.keys.batchGet(
        { tenantId: this.name, keys: [...cell.keys] },
        TIMEOUT,
      );
      this.world.counts.add("batch get", true, (performance.now() - from) * 1000);
      this.#judge(probe, items.map(({ value }) => value));
    } catch (error) {
      this.#readFailed(link, failureOf(error), [probe], cell.keys[0]);
    }
  }

  async #scan(link: Link, cells: readonly Cell[], most: number): Promise<void> {
    const first = Math.floor(this.world.random() * cells.length);
    const range = cells.slice(first, first + 1 + Math.floor(this.world.random() * most));
    const start = range[0].keys[0];
    // Behind the last key of the last cell, whatever follows.
    const end = `${range.at(-1)!.keys.at(-1)}!`;
    const reverse = this.world.random() < 0.3;
    await this.#scanRange(link, { start, end, reverse }, range, "scan");
  }

  async #scanRange(
    link: Link,
    range: { start: string; end: string; reverse: boolean },
    cells: readonly Cell[],
    kind: string,
  ): Promise<boolean> {
    const probes = new Map(cells.map((cell) => [cell, this.#probe(link, cell)]));
    const found = new Map<Cell, (Uint8Array | undefined)[]>();
    const from = performance.now();
    let last: string | undefined;
    try {
      for await (const { entries } of link.keys.scan({ tenantId: this.name, ...range }, TIMEOUT)) {
        for (const { key, value } of entries) {
          const isNext = last === undefined || (range.reverse ? key < last : key > last);
          if (!isNext) this.#violation("scan out of order", link, key, `behind ${last}`, key);
          last = key;
          const place = this.#byKey.get(key);
          if (place === undefined || !probes.has(place.cell)) {
            this.#violation("scan found a key that is not in its range", link, key, "nothing", key);
            continue;
          }
          const values = found.get(place.cell) ?? place.cell.keys.map(() => undefined);
          values[place.part] = value;
          found.set(place.cell, values);
        }
      }
      this.world.counts.add(kind, true, (performance.now() - from) * 1000);
      for (const [cell, probe] of probes) {
        this.#judge(probe, found.get(cell) ?? cell.keys.map(() => undefined));
      }
      return true;
    } catch (error) {
      this.#readFailed(link, failureOf(error), [...probes.values()], range.start);
      return false;
    }
  }

  /** Reads cells and compares them, until every one was read. */
  async verify(link: Link, cells: readonly Cell[]): Promise<void> {
    for (let at = 0; at < cells.length && !link.isOver;) {
      const some: Cell[] = [];
      const keys: string[] = [];
      while (at + some.length < cells.length && keys.length < VERIFY_KEYS) {
        const cell = cells[at + some.length];
        some.push(cell);
        keys.push(...cell.keys);
      }
      const probes = some.map((cell) => this.#probe(link, cell));
      try {
        const { items } = await link.keys.batchGet({ tenantId: this.name, keys }, TIMEOUT);
        // An answer of 16 MiB would be cut off; values are smaller.
        const values = items.map(({ value }) => value);
        for (const [i, cell] of some.entries()) {
          this.#judge(probes[i], values.splice(0, cell.keys.length));
        }
        at += some.length;
      } catch (error) {
        const failure = failureOf(error);
        this.#readFailed(link, failure, probes, keys[0]);
        await sleep(failure.retryMs || 100);
      }
    }
  }

  /** Reads everything by one scan of the whole tenant and by key. */
  async verifyAll(link: Link): Promise<void> {
    const range = { start: "", end: "", reverse: false };
    while (!link.isOver && !await this.#scanRange(link, range, this.cells, "whole scan")) {
      await sleep(500);
    }
    await this.verify(link, this.cells);
  }

  #probe(link: Link, cell: Cell): Probe {
    return new Probe(cell, link.life, Date.now());
  }

  /** Compares what was found of a cell's keys. */
  #judge(probe: Probe, found: readonly (Uint8Array | undefined)[]): void {
    const { cell } = probe;
    const writes = found.map((value, part) =>
      value && this.world.values.read(this.name, cell.index, part, value)
    );
    const link = probe;
    const first = writes[0];
    for (const [part, write] of writes.entries()) {
      if (typeof write === "string") {
        this.#violation("wrong value", link, cell.keys[part], cell.describe(), write);
        return probe.drop();
      }
      if (write !== first) {
        const all = writes.map((each) => each ?? "nothing").join(", ");
        this.#violation("torn batch", link, cell.keys[part], cell.describe(), all);
        return probe.drop();
      }
    }
    const expected = probe.end(first as number | undefined, Date.now());
    if (expected === undefined) return;
    const what = first === undefined ? "nothing" : `write ${first}`;
    this.#violation(
      first === undefined ? "lost" : "wrong version",
      link,
      cell.keys[0],
      expected,
      what,
    );
  }

  #readFailed(link: Link, failure: Failure, probes: readonly Probe[], key: string): void {
    for (const probe of probes) probe.drop();
    this.#failed(link, failure, key);
  }

  // ── writes ──

  /**
   * One write of a cell, unless another is under way.
   * @param bytes  of the value; absent: one of the tenant's sizes
   * @returns why it was not acknowledged; undefined when it was
   */
  async write(kind: Kind, cell: Cell, link: Link, bytes?: number): Promise<Failure | undefined> {
    if (cell.busy) return undefined;
    cell.busy = true;
    try {
      return await this.#write(kind, cell, link, bytes ?? this.#size());
    } finally {
      cell.busy = false;
    }
  }

  /** Small ones more often. */
  #size(): number {
    const [least, most] = this.plan.valueBytes;
    return Math.floor(least + this.world.random() ** 2 * (most - least));
  }

  async #write(kind: Kind, cell: Cell, first: Link, bytes: number): Promise<Failure | undefined> {
    const { world } = this;
    const n = world.next();
    const ttlMs = kind === "put with ttl" ? 1000 + Math.floor(world.random() * 30_000) : undefined;
    // Batches say that they live for ever, also where the tenant says otherwise.
    const byDefault = Number(this.plan.options.defaultTtlMs ?? 0n) || undefined;
    const livesMs = ttlMs ?? (kind === "put" || kind === "put once" ? byDefault : undefined);
    const once = kind === "put once" ? crypto.randomUUID() : undefined;
    const call = this.#callOf(kind, cell, n, bytes, ttlMs, once);
    const began = Date.now();
    const outcome: Outcome = {
      n,
      isValue: kind !== "delete",
      expires: livesMs === undefined ? undefined : { from: began + livesMs, to: Infinity },
      unknownIn: first.life,
    };
    cell.begin(outcome, began);
    let link = first;
    for (let attempt = 0;; attempt++) {
      const { era } = this;
      const from = performance.now();
      try {
        const { timestamp, version } = await call(link);
        world.counts.add(kind, false, (performance.now() - from) * 1000);
        cell.applied(outcome, Number(timestamp), livesMs);
        this.onApplied(cell, version, era);
        return undefined;
      } catch (error) {
        const failure = failureOf(error);
        this.#failed(link, failure, cell.keys[0]);
        // A refusal speaks of its own call: an earlier one may have been applied.
        if (failure.what === "refused" && attempt === 0) {
          if (!cell.refused(outcome)) {
            const { message } = failure;
            this.#violation(
              "refused, but found",
              link,
              cell.keys[0],
              `not applied: ${message}`,
              `write ${n}`,
            );
          }
          return failure;
        }
        if (outcome.expires !== undefined) outcome.expires.to = Date.now() + livesMs!;
        // With its idempotency key it can be sent again, and is applied once.
        if (once === undefined || world.isOver) return failure;
        link = await world.node.up();
        outcome.unknownIn = link.life;
        if (failure.what !== "lost") await sleep(failure.retryMs || 200);
      }
    }
  }

  #callOf(
    kind: Kind,
    cell: Cell,
    n: number,
    bytes: number,
    ttlMs: number | undefined,
    idempotencyKey: string | undefined,
  ): (link: Link) => Promise<Stored> {
    const { name: tenantId, world: { values } } = this;
    const value = (part: number) => values.make(tenantId, cell.index, part, n, bytes);
    const [key] = cell.keys;
    switch (kind) {
      case "delete":
        return async (link) => versionOf(await link.keys.delete({ tenantId, key }, TIMEOUT));
      case "batch": {
        const items = cell.keys.map((key, part) => ({ key, value: value(part), ttlMs: 0n }));
        return async (link) =>
          versionOf((await link.keys.batchPut({ tenantId, items }, TIMEOUT)).results[0]);
      }
      default: {
        const ttl = ttlMs === undefined ? {} : { ttlMs: BigInt(ttlMs) };
        const once = idempotencyKey === undefined ? {} : { idempotencyKey };
        const request = { tenantId, key, value: value(0), ...ttl, ...once };
        return async (link) => versionOf(await link.keys.put(request, TIMEOUT));
      }
    }
  }

  // ── failures ──

  #failed(link: Link, failure: Failure, key: string): void {
    if (link.isOver) return;
    this.world.counts.fail(this.name, failure);
    const { what, message } = failure;
    if (what === "hung" && performance.now() < this.world.counts.excusedUntil) return;
    if (what === "lost" || what === "hung") {
      const found = what === "hung" ? `no answer in ${CALL_TIMEOUT_MS} ms` : message;
      this.#violation(
        `a call was ${what === "hung" ? "left hanging" : "lost without a kill"}`,
        link,
        key,
        "an answer",
        found,
      );
    } else if (!TAKEN.has(failure.code)) {
      this.#violation("unexpected error", link, key, "an answer", `${failure.code} ${message}`);
    }
  }

  #noSiblings(link: Link, { keys }: Cell, count: number): void {
    if (count > 0) this.#violation("siblings", link, keys[0], "one version", `${count} versions`);
  }

  #violation(
    kind: string,
    { life }: { life: number },
    key: string,
    expected: string,
    found: string,
  ): void {
    this.world.violations.add({ kind, tenant: this.name, key, expected, found, life });
  }
}

function padded(n: number): string {
  return String(n).padStart(6, "0");
}

/** What a node says of a write. */
interface Stored {
  readonly timestamp: bigint;
  readonly version: bigint;
}

interface Answer {
  readonly timestamp: bigint;
  readonly vectorClock?:
    | { readonly entries: readonly { readonly logicalTimestamp: bigint }[] }
    | undefined;
}

/** The latest event that a clock has seen: greater for each later write of a key on one node. */
export function latestOf(clock: Answer["vectorClock"]): bigint {
  let latest = 0n;
  for (const { logicalTimestamp } of clock?.entries ?? []) {
    if (logicalTimestamp > latest) latest = logicalTimestamp;
  }
  return latest;
}

function versionOf({ timestamp, vectorClock }: Answer): Stored {
  return { timestamp, version: latestOf(vectorClock) };
}
