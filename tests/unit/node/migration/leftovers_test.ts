import assert from "node:assert/strict";
import type { TokenRange } from "../../../../src/model/mod.ts";
import { sinceWhen } from "../../../../src/node/migration/leftovers.ts";
import {
  type MigrationOrder,
  type MigrationRecord,
  newRecord,
} from "../../../../src/node/migration/records.ts";

interface Known {
  readonly target?: string;
  readonly tenant?: string;
  readonly start?: string;
  readonly end?: string;
  readonly tokens?: TokenRange;
  readonly state?: MigrationRecord["state"];
  readonly since?: number;
  readonly begunAnew?: readonly (readonly [tenant: string, since: number])[];
  /** When it began and ended. */
  readonly ms?: readonly [number, number];
}

function orderOf({ target = "n2", tenant, start = "", end = "", tokens, ms }: Known) {
  const range = { start, end, tokens };
  return { id: "m", target, tenant, range, createdAtMs: ms?.[0] ?? 10 } as MigrationOrder;
}

function recordOf(known: Known): MigrationRecord {
  const { state = "failed", since = 5, begunAnew = [], ms = [10, 20] } = known;
  const record = newRecord(orderOf(known), "", false, since);
  return { ...record, begunAnew: new Map(begunAnew), state, endedAtMs: ms[1] };
}

const NOW = 100;
const half = (from: number): TokenRange => ({
  start: Uint32Array.of(from, 0, 0, 0),
  end: Uint32Array.of(0x80000000 - from, 0, 0, 0),
});

const CASES: readonly [string, Known, readonly Known[], number][] = [
  ["nothing is known", {}, [], NOW],
  ["one that has failed", {}, [{}], 5],
  ["one that is under way", {}, [{ state: "copying", ms: [10, 0] }], 5],
  ["one that is complete", {}, [{ state: "completed" }], NOW],
  ["to another target", {}, [{ target: "n3" }], NOW],
  ["the first of several", {}, [{ since: 9 }, { since: 7 }, { since: 8 }], 7],
  ["of another tenant", { tenant: "a" }, [{ tenant: "b" }], NOW],
  ["of the same tenant", { tenant: "a" }, [{ tenant: "a" }], 5],
  ["of one tenant and all", {}, [{ tenant: "a" }], 5],
  ["of all and one tenant", { tenant: "a" }, [{}], 5],
  ["of one that was begun anew", { tenant: "a" }, [{ begunAnew: [["a", 9]] }], 9],
  ["of one that was begun anew, and all", {}, [{ tenant: "a", begunAnew: [["a", 9]] }], 9],
  ["of all, one of which was begun anew", {}, [{ begunAnew: [["a", 9]] }], 5],
  ["of another one than was begun anew", { tenant: "b" }, [{ begunAnew: [["a", 9]] }], 5],
  ["of keys before", { start: "k" }, [{ end: "k" }], NOW],
  ["of keys behind", { end: "k" }, [{ start: "k" }], NOW],
  ["of keys in common", { start: "k" }, [{ start: "a", end: "l" }], 5],
  ["in the order of bytes, not of UTF-16", { start: "\u{10000}" }, [{ end: "\uffff" }], NOW],
  ["of other tokens", { tokens: half(0) }, [{ tokens: half(0x80000000) }], 5],
  ["a later one has cleared it", {}, [{}, { state: "completed", ms: [30, 40] }], NOW],
  ["one that ended before it has not", {}, [{ ms: [10, 50] }, {
    state: "completed",
    ms: [30, 40],
  }], 5],
  ["one that began before it has not", {}, [{ ms: [10, 20] }, {
    state: "completed",
    ms: [5, 40],
  }], 5],
  ["one of less has not", {}, [{}, { state: "completed", tenant: "a", ms: [30, 40] }], 5],
  ["one of fewer keys has not", {}, [{}, { state: "completed", end: "z", ms: [30, 40] }], 5],
  ["one of some tokens has not", {}, [{}, {
    state: "completed",
    tokens: half(0),
    ms: [30, 40],
  }], 5],
  ["one of the same tokens has", {}, [{ tokens: half(0) }, {
    state: "completed",
    tokens: half(0),
    ms: [30, 40],
  }], NOW],
];

for (const [what, order, known, since] of CASES) {
  Deno.test(`sinceWhen(): ${what}`, () => {
    assert.equal(sinceWhen(orderOf(order), known.map(recordOf), NOW), since);
  });
}
