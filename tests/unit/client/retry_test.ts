import assert from "node:assert/strict";
import { Code, ConnectError } from "@connectrpc/connect";
import { PairDB, PairError } from "../../../src/client/mod.ts";
import { type CallKind, Retries, type RetryOptions } from "../../../src/client/retry.ts";

const BUSY = new PairError("Unavailable", "busy");
const NOT_APPLIED = { outcome: "not_applied" };

/** Makes a call that fails with each of these in turn, and then goes well. */
async function calls(
  kind: CallKind,
  failures: readonly unknown[],
  { timeoutMs, ...options }: RetryOptions & { timeoutMs?: number } = {},
) {
  const pauses: number[] = [];
  const pause = (ms: number) => Promise.resolve(void pauses.push(ms));
  let attempts = 0;
  let failure: unknown;
  await new Retries({ pause, ...options }).run(kind, { signal: undefined, timeoutMs }, () => {
    const failed = failures[attempts++];
    return failed === undefined ? Promise.resolve() : Promise.reject(failed);
  }).catch((error) => failure = error);
  return { attempts, pauses, failure };
}

Deno.test("a read is made again as often as it may, after pauses that double and are never the same for all [D6]", async () => {
  assert.equal((await calls("read", [BUSY, BUSY, BUSY])).failure, undefined);
  const { attempts, pauses, failure } = await calls("read", Array(20).fill(BUSY), {
    attempts: 12,
    firstMs: 10,
    maxMs: 1000,
  });
  assert.equal(failure, BUSY);
  assert.equal(attempts, 12);
  for (const [n, ms] of pauses.entries()) {
    const fullMs = Math.min(10 * 2 ** n, 1000);
    assert.ok(ms > fullMs / 2 && ms <= fullMs, `pause ${n} is ${ms} ms`);
  }
  assert.equal(new Set(pauses).size, pauses.length);
});

Deno.test("what is made again: nothing that harms, and nothing in vain [D6]", async () => {
  const cases: [again: readonly CallKind[], PairError][] = [
    [["read", "keyed write"], BUSY],
    [["read", "write", "keyed write"], new PairError("DiskFull", "full", NOT_APPLIED)],
    [["read", "write", "keyed write"], new PairError("DiskThrottled", "slow", NOT_APPLIED)],
    [["read", "keyed write"], new PairError("Unavailable", "cut off", { outcome: "unknown" })],
    [
      ["read", "write", "keyed write"],
      new PairError("ResourceExhausted", "rate", { ...NOT_APPLIED, retry_after_ms: "20" }),
    ],
    [
      ["read", "write", "keyed write"],
      new PairError("ResourceExhausted", "memory", { ...NOT_APPLIED, reason: "memory" }),
    ],
    // Longer than the longest pause.
    [[], new PairError("ResourceExhausted", "rate", { ...NOT_APPLIED, retry_after_ms: "2001" })],
    [
      [],
      new PairError("ResourceExhausted", "size", {
        ...NOT_APPLIED,
        reason: "quota",
        used: "9",
        retry_after_ms: "20",
      }),
    ],
    [[], new PairError("ResourceExhausted", "siblings", { ...NOT_APPLIED, reason: "siblings" })],
    [[], new PairError("KeyNotFound", "none")],
    [[], new PairError("InvalidArgument", "bad", NOT_APPLIED)],
    [[], new PairError("CorruptedData", "damaged")],
    [
      [],
      new PairError("Unavailable", "late", NOT_APPLIED, {
        cause: new ConnectError("late", Code.DeadlineExceeded),
      }),
    ],
  ];
  for (const [again, error] of cases) {
    for (const kind of ["once", "read", "write", "keyed write"] as const) {
      const { attempts } = await calls(kind, [error]);
      assert.equal(attempts, again.includes(kind) ? 2 : 1, `${kind}: ${error.message}`);
    }
  }
  assert.equal((await calls("read", [new TypeError("a bug")])).attempts, 1);
});

Deno.test("a pause is as long as the server asks, and ends with the caller's patience", async () => {
  const rate = new PairError("ResourceExhausted", "rate", { retry_after_ms: "700" });
  assert.deepEqual((await calls("read", [rate])).pauses, [700]);
  assert.equal((await calls("read", [rate], { timeoutMs: 600 })).attempts, 1);

  const controller = new AbortController();
  const run = new Retries().run("read", { signal: controller.signal, timeoutMs: undefined }, () => {
    controller.abort(new Error("changed my mind"));
    return Promise.reject(BUSY);
  });
  await assert.rejects(run, /changed my mind/);
});

Deno.test("further attempts have what is left of the call's time", async () => {
  const times: (number | undefined)[] = [];
  const retries = new Retries({ firstMs: 1 });
  await retries.run("read", { signal: undefined, timeoutMs: 60_000 }, ({ timeoutMs }) => {
    times.push(timeoutMs);
    return times.length < 3 ? Promise.reject(BUSY) : Promise.resolve();
  });
  assert.equal(times[0], 60_000);
  assert.ok(times[1]! < times[0]! && times[2]! < times[1]!, times.join());
});

Deno.test("what is left of a call's time is told in whole milliseconds, as the protocols want it", async () => {
  const times: (number | undefined)[] = [];
  const retries = new Retries({ pause: () => Promise.resolve() });
  await retries.run("read", { signal: undefined, timeoutMs: 60_000 }, ({ timeoutMs }) => {
    times.push(timeoutMs);
    return times.length < 4 ? Promise.reject(BUSY) : Promise.resolve();
  });
  assert.equal(times.length, 4);
  assert.ok(times.every(Number.isInteger), `${times}`);
});

Deno.test("the client makes reads again, writes where it is safe, and what changes a node never", async () => {
  let sent = 0;
  const db = PairDB.connect("http://test", {
    fetch: () => {
      sent++;
      return Promise.reject(new TypeError("connection refused"));
    },
    retry: { attempts: 3, pause: () => Promise.resolve() },
  });
  const sends = async (call: () => Promise<unknown>) => {
    sent = 0;
    await assert.rejects(call, { code: 2001 });
    return sent;
  };
  assert.equal(await sends(() => db.get("t", "k")), 3);
  assert.equal(await sends(() => db.batchGet("t", ["k"])), 3);
  assert.equal(await sends(() => db.admin.status()), 3);
  assert.equal(await sends(() => db.put("t", "k", "v")), 1);
  assert.equal(await sends(() => db.put("t", "k", "v", { idempotencyKey: "0123456789abcdef" })), 3);
  assert.equal(await sends(() => db.delete("t", "k", { idempotencyKey: "0123456789abcdef" })), 3);
  const items = [{ key: "k", value: "v" }];
  assert.equal(await sends(() => db.batchPut("t", items)), 1);
  assert.equal(await sends(() => db.admin.flush()), 1);
  assert.equal(await sends(() => db.tenants.drop("t")), 1);
});
