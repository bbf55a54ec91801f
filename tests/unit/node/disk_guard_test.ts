import assert from "node:assert/strict";
import { PairError } from "../../../src/model/mod.ts";
import {
  DiskGuard,
  type DiskSpace,
  type DiskThresholds,
  estimateWrite,
  LARGE_WRITE_BYTES,
} from "../../../src/node/disk_guard.ts";
import { DiskError, memoryLog } from "../../../src/runtime/mod.ts";

const MIB = 1 << 20;
const TOTAL = 1e9;
const LARGE = LARGE_WRITE_BYTES + 1;

/** A guard of a disk whose use a test sets, in hundredths. */
function guardOf(thresholds: DiskThresholds = { degraded: 0.9 }) {
  let space: DiskSpace | DiskError = { totalBytes: TOTAL, freeBytes: TOTAL };
  const log = memoryLog();
  const guard = new DiskGuard(() => space, thresholds, log);
  const use = (percent: number) => {
    space = { totalBytes: TOTAL, freeBytes: TOTAL * (1 - percent / 100) };
    return guard;
  };
  return { guard, use, log, fail: () => space = new DiskError("space", "/", "EIO") };
}

/** What a guard answers: `ok`, or the error's code. */
function answer(guard: DiskGuard, kind: "put" | "delete", bytes = 100): string | number {
  try {
    guard.admit(kind, bytes);
    return "ok";
  } catch (error) {
    assert.ok(error instanceof PairError);
    return error.code;
  }
}

Deno.test("DiskGuard: what each state takes [D2, X17]", () => {
  const { use, guard } = guardOf();
  for (
    const [percent, state, small, large, gone] of [
      [10, "normal", "ok", "ok", "ok"],
      [79.9, "normal", "ok", "ok", "ok"],
      [80.1, "warn", "ok", "ok", "ok"],
      [90.1, "throttle", "ok", 2003, "ok"],
      [95.1, "full", 2002, 2002, "ok"],
      [98.9, "full", 2002, 2002, "ok"],
      [99.1, "full", 2002, 2002, 2002],
    ] as const
  ) {
    use(percent);
    assert.equal(guard.state, state, `${percent} %`);
    assert.equal(answer(guard, "put"), small, `a small put at ${percent} %`);
    assert.equal(answer(guard, "put", LARGE), large, `a large put at ${percent} %`);
    assert.equal(answer(guard, "delete"), gone, `a delete at ${percent} %`);
  }
  assert.deepEqual([guard.throttled, guard.refused], [1, 7]);
});

Deno.test("DiskGuard: a large write is one over 64 KiB [X17]", () => {
  const { use } = guardOf();
  assert.equal(answer(use(91), "put", 65_536), "ok");
  assert.equal(answer(use(91), "put", 65_537), 2003);
});

Deno.test("DiskGuard: a state ends two hundredths below its threshold, by itself, and tells of it [D4]", () => {
  const { use, log } = guardOf();
  const states = [96, 94, 93.1, 92.9, 90, 88.1, 87.9, 80, 78.1, 77.9].map((p) => use(p).state);
  assert.deepEqual(states, [
    "full",
    "full",
    "full",
    "throttle",
    "throttle",
    "throttle",
    "warn",
    "warn",
    "warn",
    "normal",
  ]);
  assert.equal(answer(use(70), "put", LARGE), "ok");
  assert.deepEqual(log.events.map(({ level, fields }) => [level, fields.state]), [
    ["warn", "full"],
    ["info", "throttle"],
    ["info", "warn"],
    ["info", "normal"],
  ]);
});

Deno.test("DiskGuard: room is made each time that more is refused, and it is told when nothing is any more [D4, D5]", () => {
  let percent = 0;
  const told: string[] = [];
  const guard = new DiskGuard(
    () => ({ totalBytes: TOTAL, freeBytes: TOTAL * (1 - percent / 100) }),
    { degraded: 0.9 },
    memoryLog(),
    (isTight) => told.push(`${percent} ${isTight}`),
  );
  for (percent of [50, 81, 91, 92, 96, 97, 94, 92.5, 91, 96, 87, 81, 70, 91]) void guard.state;
  assert.deepEqual(told, ["91 true", "96 true", "96 true", "87 false", "91 true"]);
});

Deno.test("DiskGuard: what was let in since the disk was measured counts [D3]", () => {
  const { use } = guardOf();
  const guard = use(94);
  for (let n = 0; n < 160; n++) assert.equal(answer(guard, "put", 60_000), "ok", String(n));
  assert.equal(guard.state, "throttle");
  for (let n = 0; n < 20; n++) answer(guard, "put", 60_000);
  assert.equal(guard.state, "full");
  assert.equal(answer(guard, "put"), 2002);
});

Deno.test("DiskGuard: nothing is refused by an estimate that a new measurement does not bear out", () => {
  let space = { totalBytes: TOTAL, freeBytes: 0.4 * TOTAL };
  const asked: (number | undefined)[] = [];
  const guard = new DiskGuard(
    (ageMsMax) => {
      asked.push(ageMsMax);
      return ageMsMax === undefined ? space : space = { ...space };
    },
    { degraded: 0.9 },
    memoryLog(),
  );
  for (let n = 0; n < 1000; n++) assert.equal(answer(guard, "put", 1e6), "ok", String(n));
  assert.equal(guard.state, "normal");
  const again = asked.filter((ageMsMax) => ageMsMax !== undefined);
  assert.ok(again.length > 3 && again.length < 10, `measured anew ${again.length} times`);
  assert.equal(again[0], 20);
});

Deno.test("DiskGuard: a refusal names the figures that decided", () => {
  const guard = guardOf().use(89);
  assert.equal(answer(guard, "put", 2e7), "ok");
  assert.throws(() => guard.admit("put", LARGE), {
    message: `Cannot write ${LARGE} bytes: the disk is 91 % full and takes small writes only`,
  });
  for (let n = 0; n < 1000; n++) answer(guard, "put", 60_000);
  assert.throws(() => guard.admit("put", 100), {
    message: "Cannot write: the disk is 95 % full. Deletes and drops make room",
  });
  assert.throws(() => guardOf().use(100).admit("delete", 100), {
    message:
      "Cannot write: the disk is 100 % full. Drops of tenants, and other files that go, make room",
  });
});

Deno.test("DiskGuard: where others have taken all the room, deletes get half of what the ballast has [X17]", () => {
  const total = 1000 * MIB;
  const kept = 8 * MIB;
  for (const strict of [false, true]) {
    let held = 16 * MIB;
    let space = { totalBytes: total, freeBytes: 0 };
    const ballast = () => ({ heldBytes: held, keptBytes: kept });
    const thresholds = { degraded: 0.9, strict };
    const guard = new DiskGuard(() => space, thresholds, memoryLog(), () => {}, ballast);
    const taken = (kind: "put" | "delete", bytes = 1024) => {
      try {
        guard.admit(kind, bytes);
        return true;
      } catch (error) {
        assert.equal((error as PairError).code, 2002);
        return false;
      }
    };
    assert.equal(taken("put"), false);
    if (strict) {
      assert.equal(taken("delete"), false);
      continue;
    }
    // With what was let in since the disk was measured.
    assert.ok(taken("delete", 4 * MIB) && taken("delete", 4 * MIB));
    assert.equal(taken("delete"), false);
    // It is given up when the log asks for it: then what is free counts.
    held = 0;
    space = { totalBytes: total, freeBytes: kept + 2048 };
    assert.equal(taken("put"), false);
    assert.ok(taken("delete") && taken("delete"));
    assert.equal(taken("delete"), false);
  }
});

Deno.test("DiskGuard: strict takes nothing on a full disk; max_disk_usage moves all thresholds [X17]", () => {
  assert.equal(answer(guardOf({ degraded: 0.9, strict: true }).use(96), "delete"), 2002);
  const { use } = guardOf({ degraded: 0.5 });
  assert.deepEqual([39, 41, 51, 74, 76].map((percent) => use(percent).state), [
    "normal",
    "warn",
    "throttle",
    "throttle",
    "full",
  ]);
  const whole = guardOf({ degraded: 1 });
  assert.equal(answer(whole.use(98.5), "put", LARGE), "ok");
  assert.equal(answer(whole.use(99.5), "put"), 2002, "the reserve stays");
});

Deno.test("DiskGuard: a disk that cannot be measured takes writes", () => {
  const { guard, fail, use } = guardOf();
  use(99);
  fail();
  assert.equal(answer(guard, "put", LARGE), "ok");
});

Deno.test("estimateWrite(): log, memtable and table, and a fifth more [D3]", () => {
  assert.equal(estimateWrite(0), Math.ceil(1.2 * 112));
  assert.equal(estimateWrite(1000, 2), Math.ceil(1.2 * (2000 + 224)));
});
