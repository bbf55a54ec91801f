import assert from "node:assert/strict";
import { KIND_DELETE, KIND_MERGE, type ScanRange } from "../../../src/engine/mod.ts";
import { ColdReads } from "../../../src/engine/cold_reads.ts";
import { LiveCursor, liveRange } from "../../../src/engine/scan.ts";
import { compareBytes, fromUtf8, utf8 } from "../../../src/model/mod.ts";
import { SimClock, SimDisk, SimRandom } from "../../../src/runtime/mod.ts";
import { appendOperator } from "../../support/engine.ts";
import { type Entry, ListCursor, orderEntries } from "../../support/entries.ts";

/** Counts the steps that a scan takes. */
class CountingCursor extends ListCursor {
  steps = 0;
  override next(): void {
    this.steps++;
    super.next();
  }
  override prev(): void {
    this.steps++;
    super.prev();
  }
}

function open(input: ListCursor, range: ScanRange, seq: number): LiveCursor {
  return new LiveCursor({
    input,
    range: liveRange(range),
    seq,
    operator: appendOperator,
    coldReads: new ColdReads(new SimDisk(), new SimClock()),
    release: () => {},
    noted: (error) => error,
  });
}

function scan(input: ListCursor, range: ScanRange, seq: number): string[] {
  const cursor = open(input, range, seq);
  const found: string[] = [];
  while (cursor.next()) found.push(`${fromUtf8(cursor.key)}=${fromUtf8(cursor.value)}`);
  cursor.close();
  return found;
}

/** What a scan must show, worked out key by key. */
function expected(entries: readonly Entry[], range: ScanRange, seq: number): string[] {
  const byKey = Map.groupBy(
    entries.filter((entry) => entry.seq <= seq),
    ({ key }) => fromUtf8(key),
  );
  const rows: { key: Uint8Array; text: string }[] = [];
  for (const [name, versions] of byKey) {
    const newestFirst = versions.toSorted((a, b) => b.seq - a.seq);
    const at = newestFirst.findIndex(({ kind }) => kind !== KIND_MERGE);
    const operands = (at < 0 ? newestFirst : newestFirst.slice(0, at)).map(({ value }) => value);
    const base = at < 0 || newestFirst[at].kind === KIND_DELETE ? undefined : newestFirst[at].value;
    const parts = [...(base === undefined ? [] : [base]), ...operands.toReversed()];
    if (parts.length > 0) {
      rows.push({ key: utf8(name), text: `${name}=${parts.map(fromUtf8).join(",")}` });
    }
  }
  const { start, end, prefix, reverse, limit } = range;
  const inside = rows.sort((a, b) => compareBytes(a.key, b.key)).filter(({ key }) =>
    (start === undefined || compareBytes(key, start) >= 0) &&
    (end === undefined || compareBytes(key, end) < 0) &&
    (prefix === undefined || prefix.every((byte, i) => key[i] === byte))
  );
  return (reverse ? inside.reverse() : inside).slice(0, limit).map(({ text }) => text);
}

Deno.test("a scan shows of each key what its moment sees, in both directions and any bounds", () => {
  const random = new SimRandom(11);
  const names = ["", "a", "aa", "ab", "b", "ba", "c"];
  const bound = () => random.below(2) === 0 ? undefined : utf8(names[random.below(names.length)]);
  for (let round = 0; round < 300; round++) {
    // Many versions of a key, so that runs of them are cut short by seeks.
    const count = 1 + random.below(round % 2 === 0 ? 10 : 400);
    const entries = Array.from({ length: count }, (_, i) => ({
      key: utf8(names[random.below(names.length)]),
      seq: i + 1,
      kind: [0, 0, 1, 2, 2, 2][random.below(6)] as 0 | 1 | 2,
      value: utf8(`${i + 1}`),
    })).sort(orderEntries);
    for (let probe = 0; probe < 10; probe++) {
      const range = {
        start: bound(),
        end: bound(),
        prefix: bound(),
        reverse: random.below(2) === 0,
        limit: random.below(3) === 0 ? random.below(4) : undefined,
      };
      const seq = random.below(3) === 0 ? Infinity : random.below(count + 2);
      assert.deepEqual(scan(new ListCursor(entries), range, seq), expected(entries, range, seq));
    }
  }
});

Deno.test("a scan seeks past the versions of a key that was written very often", () => {
  const entries: Entry[] = [];
  for (let seq = 1; seq <= 10_000; seq++) {
    entries.push({ key: utf8("hot"), seq, kind: 0, value: utf8(`${seq}`) });
  }
  for (const key of ["a", "z"]) entries.push({ key: utf8(key), seq: 5, kind: 0, value: utf8(key) });
  entries.sort(orderEntries);
  // The newest, one in the middle with as many newer as older ones, and none of them.
  for (const [seq, hot] of [[Infinity, ["hot=10000"]], [5000, ["hot=5000"]]] as const) {
    for (const reverse of [false, true]) {
      const input = new CountingCursor(entries);
      const rows = ["a=a", ...hot, "z=z"];
      assert.deepEqual(scan(input, { reverse }, seq), reverse ? rows.reverse() : rows);
      assert.ok(input.steps < 200, `${input.steps} steps`);
    }
  }
});

Deno.test("bounds are worked out on bytes: a prefix that ends in FF, one of FF only, an empty one", () => {
  const rows = ["61", "61ff", "61ff00", "61ffff", "62", "ff", "ffff", "ffff00"];
  const entries = rows.map((hex, i) => ({
    key: Uint8Array.fromHex(hex),
    seq: i + 1,
    kind: 0 as const,
    value: new Uint8Array(0),
  }));
  for (const reverse of [false, true]) {
    for (const prefix of ["", "61", "61ff", "61ffff", "ff", "ffff", "ffffff"]) {
      const range = { prefix: Uint8Array.fromHex(prefix), reverse };
      const cursor = open(new ListCursor(entries), range, Infinity);
      const found: string[] = [];
      while (cursor.next()) found.push(cursor.key.toHex());
      const inside = rows.filter((row) => row.startsWith(prefix));
      assert.deepEqual(found, reverse ? inside.reverse() : inside, `prefix ${prefix}`);
    }
  }
});
