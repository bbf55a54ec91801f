import assert from "node:assert/strict";
import { mergeEntries } from "../../../../src/engine/compaction/merge.ts";
import type { MergeOperator } from "../../../../src/engine/mod.ts";
import { MergingCursor } from "../../../../src/engine/cursor.ts";
import { fromUtf8 } from "../../../../src/model/mod.ts";
import { SimRandom } from "../../../../src/runtime/mod.ts";
import { appendOperator } from "../../../support/engine.ts";
import {
  type Entry,
  entryAt,
  formatEntry,
  ListCursor,
  orderEntries,
  parseEntry,
} from "../../../support/entries.ts";

interface Policy {
  snapshots?: number[];
  bottom?: boolean;
  operator?: boolean;
}

function survivors(entries: readonly Entry[], policy: Policy): Entry[] {
  const input = new ListCursor(entries);
  input.seekFirst();
  const out: Entry[] = [];
  const { snapshots = [], bottom = false, operator = true } = policy;
  const read = mergeEntries(
    input,
    {
      snapshots,
      bottom,
      operator: operator ? appendOperator : undefined,
      purgeBeforeMs: 0,
      purgeUpToSeq: Infinity,
      onPurged: () => assert.fail("nothing here dies"),
    },
    (entry) => out.push(entryAt(entry)),
  );
  assert.equal(read, entries.length, "entries read");
  return out;
}

interface Case extends Policy {
  what: string;
  in: string[];
  out: string[];
}

const CASES: Case[] = [
  {
    what: "the worked example, with a deeper table",
    snapshots: [20],
    in: ["put@30 k=a", "put@25 k=b", "delete@15 k", "put@10 k=c"],
    out: ["put@30 k=a", "delete@15 k"],
  },
  {
    what: "the worked example, with nothing deeper",
    snapshots: [20],
    bottom: true,
    in: ["put@30 k=a", "put@25 k=b", "delete@15 k", "put@10 k=c"],
    out: ["put@30 k=a"],
  },
  {
    what: "no snapshots: only the newest",
    in: ["put@3 a=3", "put@2 a=2", "delete@1 a", "put@9 b=9"],
    out: ["put@3 a=3", "put@9 b=9"],
  },
  {
    what: "a snapshot at the sequence of an entry sees it",
    snapshots: [2],
    in: ["put@3 a=3", "put@2 a=2", "put@1 a=1"],
    out: ["put@3 a=3", "put@2 a=2"],
  },
  {
    what: "a snapshot just below it does not",
    snapshots: [1],
    in: ["put@3 a=3", "put@2 a=2", "put@1 a=1"],
    out: ["put@3 a=3", "put@1 a=1"],
  },
  {
    what: "a snapshot above or below everything changes nothing",
    snapshots: [0, 50],
    in: ["put@3 a=3", "put@2 a=2"],
    out: ["put@3 a=3"],
  },
  {
    what: "each snapshot keeps its own",
    snapshots: [1, 2, 3],
    in: ["put@4 a=4", "put@3 a=3", "delete@2 a", "put@1 a=1"],
    out: ["put@4 a=4", "put@3 a=3", "delete@2 a", "put@1 a=1"],
  },
  { what: "a delete stays above deeper tables", in: ["delete@5 a"], out: ["delete@5 a"] },
  { what: "a delete goes at the bottom", bottom: true, in: ["delete@5 a"], out: [] },
  {
    what: "a delete that a snapshot does not see stays at the bottom while what it hides is seen",
    bottom: true,
    snapshots: [3],
    in: ["delete@5 a", "put@2 a=2"],
    out: ["delete@5 a", "put@2 a=2"],
  },
  {
    what: "a delete and what it hides go together at the bottom",
    bottom: true,
    in: ["delete@5 a", "put@4 a=4", "put@1 b=1"],
    out: ["put@1 b=1"],
  },
  {
    what: "operands fold onto a put",
    in: ["merge@5 a=5", "merge@4 a=4", "put@3 a=3", "put@2 a=2"],
    out: ["put@5 a=3,4,5"],
  },
  {
    what: "operands fold onto a delete as onto nothing, and replace it",
    in: ["merge@5 a=5", "delete@3 a", "put@2 a=2"],
    out: ["put@5 a=5"],
  },
  {
    what: "operands without a base stay while one may lie deeper",
    in: ["merge@5 a=5", "merge@4 a=4"],
    out: ["merge@5 a=5", "merge@4 a=4"],
  },
  {
    what: "operands without a base fold at the bottom",
    bottom: true,
    in: ["merge@5 a=5", "merge@4 a=4"],
    out: ["put@5 a=4,5"],
  },
  {
    what: "operands do not fold across a snapshot",
    snapshots: [4],
    in: ["merge@6 a=6", "merge@5 a=5", "merge@4 a=4", "put@3 a=3"],
    out: ["merge@6 a=6", "merge@5 a=5", "put@4 a=3,4"],
  },
  {
    what: "operands above a snapshot stay at the bottom too; the oldest ones fold",
    bottom: true,
    snapshots: [4],
    in: ["merge@6 a=6", "merge@3 a=3"],
    out: ["merge@6 a=6", "put@3 a=3"],
  },
  {
    what: "a put above operands hides them",
    in: ["put@6 a=6", "merge@5 a=5", "put@4 a=4"],
    out: ["put@6 a=6"],
  },
  {
    what: "without an operator each operand counts",
    operator: false,
    in: ["merge@5 a=5", "merge@4 a=4", "put@3 a=3", "put@2 a=2"],
    out: ["merge@5 a=5", "merge@4 a=4", "put@3 a=3"],
  },
  {
    what: "operands of neighbouring keys do not meet",
    bottom: true,
    in: ["merge@5 a=5", "merge@9 b=9", "put@1 b=1"],
    out: ["put@5 a=5", "put@9 b=1,9"],
  },
  { what: "nothing", in: [], out: [] },
];

/** Values such as `dead7` died at 7; the others live. */
const mortalOperator: MergeOperator = {
  ...appendOperator,
  deadSince: (value, start, end) =>
    Number(/^dead(\d+)$/.exec(fromUtf8(value.subarray(start, end)))?.[1] ?? 0),
};

interface PurgeCase {
  what: string;
  snapshots?: number[];
  bottom?: boolean;
  in: string[];
  out: string[];
  /** Values that went because they were dead. */
  purged?: string[];
}

/** What died at 7 or earlier may go. */
const PURGE_CASES: PurgeCase[] = [
  { what: "a dead value goes", in: ["put@5 a=dead7"], out: [], purged: ["dead7"] },
  { what: "one that died too late stays", in: ["put@5 a=dead8"], out: ["put@5 a=dead8"] },
  { what: "one that lives stays", in: ["put@5 a=dead0"], out: ["put@5 a=dead0"] },
  {
    what: "above a deeper table it stays, for what it hides",
    bottom: false,
    in: ["put@5 a=dead1"],
    out: ["put@5 a=dead1"],
  },
  {
    what: "it takes along what it hides",
    in: ["put@5 a=dead1", "put@4 a=x", "put@3 b=y"],
    out: ["put@3 b=y"],
    purged: ["dead1"],
  },
  {
    what: "what hides it stays",
    in: ["put@5 a=x", "put@4 a=dead1"],
    out: ["put@5 a=x"],
  },
  {
    what: "it stays while a snapshot sees what it hides",
    snapshots: [4],
    in: ["put@5 a=dead1", "put@4 a=x"],
    out: ["put@5 a=dead1", "put@4 a=x"],
  },
  {
    what: "the oldest goes below a snapshot that sees a newer one",
    snapshots: [4],
    in: ["put@5 a=x", "put@4 a=dead1"],
    out: ["put@5 a=x"],
    purged: ["dead1"],
  },
  {
    what: "an operand above it is folded onto it, not onto nothing",
    in: ["merge@5 a=x", "put@4 a=dead1"],
    out: ["put@5 a=dead1,x"],
  },
  {
    what: "what operands fold to goes when it is dead",
    in: ["merge@5 a=dead3"],
    out: [],
    purged: ["dead3"],
  },
];

for (const { what, in: input, out, purged = [], snapshots = [], bottom = true } of PURGE_CASES) {
  Deno.test(`mergeEntries() purges: ${what} [E36, X15]`, () => {
    const cursor = new ListCursor(input.map(parseEntry));
    cursor.seekFirst();
    const kept: string[] = [];
    const gone: string[] = [];
    mergeEntries(cursor, {
      snapshots,
      bottom,
      operator: mortalOperator,
      purgeBeforeMs: 7,
      purgeUpToSeq: Infinity,
      onPurged: (entry) => gone.push(fromUtf8(entryAt(entry).value)),
    }, (entry) => kept.push(formatEntry(entryAt(entry))));
    assert.deepEqual(kept, out);
    assert.deepEqual(gone, purged);
  });
}

for (const { what, in: input, out, ...policy } of CASES) {
  Deno.test(`mergeEntries(): ${what}`, () => {
    assert.deepEqual(survivors(input.map(parseEntry), policy).map(formatEntry), out);
  });
}

/** What a reader at a sequence sees of each key. */
function view(
  entries: readonly Entry[],
  seq: number,
  below: readonly Entry[],
): Map<string, string> {
  const values = new Map<string, string>();
  const all = [...entries, ...below].filter((entry) => entry.seq <= seq);
  for (const { key, kind, value } of all.sort((a, b) => a.seq - b.seq)) {
    const name = fromUtf8(key);
    if (kind === 0) values.set(name, fromUtf8(value));
    else if (kind === 1) values.delete(name);
    else {
      const base = values.get(name);
      values.set(name, base === undefined ? fromUtf8(value) : `${base},${fromUtf8(value)}`);
    }
  }
  return values;
}

Deno.test("mergeEntries(): no reader at a snapshot or later can tell, with or without deeper tables [E45]", () => {
  for (let seed = 0; seed < 400; seed++) {
    const random = new SimRandom(seed);
    const make = (from: number, count: number): Entry[] =>
      Array.from({ length: count }, (_, i) => {
        const kind = ["put", "delete", "merge"][random.below(3)];
        return parseEntry(`${kind}@${from + i} ${"abc"[random.below(3)]}=${from + i}`);
      });
    const bottom = random.below(2) === 0;
    const below = bottom ? [] : make(1, 10);
    const entries = make(100, 1 + random.below(25)).sort(orderEntries);
    const snapshots = Array.from({ length: random.below(4) }, () => 95 + random.below(35));
    snapshots.sort((a, b) => a - b);
    const out = survivors(entries, { snapshots, bottom });
    assert.deepEqual(out, [...out].sort(orderEntries), `seed ${seed}: in order`);
    for (const seq of [...snapshots, Infinity]) {
      assert.deepEqual(view(out, seq, below), view(entries, seq, below), `seed ${seed} at ${seq}`);
    }
    assert.ok(out.length <= entries.length);
  }
});

Deno.test("MergingCursor gives several runs in one order, from the first or from any key", () => {
  for (let seed = 0; seed < 50; seed++) {
    const random = new SimRandom(seed);
    const runs = Array.from({ length: random.below(6) }, () => [] as Entry[]);
    const all: Entry[] = [];
    for (let seq = 1; seq <= 60 && runs.length > 0; seq++) {
      const entry = parseEntry(`put@${seq} ${"abcdef"[random.below(6)]}=${seq}`);
      runs[random.below(runs.length)].push(entry);
      all.push(entry);
    }
    all.sort(orderEntries);
    const cursor = new MergingCursor(runs.map((run) => new ListCursor(run.sort(orderEntries))));
    const probes = [
      undefined,
      parseEntry("put@30 c="),
      parseEntry("put@0 f="),
      parseEntry("put@9 a="),
    ];
    for (const probe of probes) {
      if (probe === undefined) cursor.seekFirst();
      else cursor.seek(probe.key, probe.seq);
      const found: string[] = [];
      for (; cursor.valid; cursor.next()) found.push(formatEntry(entryAt(cursor)));
      const expected = all.filter((entry) =>
        probe === undefined || orderEntries(entry, probe) >= 0
      );
      assert.deepEqual(found, expected.map(formatEntry));
    }
  }
});
