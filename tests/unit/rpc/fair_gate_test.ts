/**
 * The fair gate, on an event loop that is simulated: sockets are read, calls take time, turns follow each
 * other. What is asserted is the order and the amount of work, which is the same in every run.
 */
import assert from "node:assert/strict";
import { PairError } from "../../../src/model/mod.ts";
import { type Caller, costOf, FairGate, QUANTUM } from "../../../src/rpc/fair_gate.ts";

const WAITING_MAX = 4096;
/** Time of one call, ms, and of taking in its frames. */
const CALL_MS = 0.01;
const FRAME_MS = 0.001;
/** From an answer to the next request of the one who got it, ms. */
const ROUND_TRIP_MS = 0.05;

/** One thread: time passes only where it works, or has nothing to do. */
class Loop {
  nowMs = 0;
  #soon: (() => void)[] = [];

  monotonicMs(): number {
    return this.nowMs;
  }

  soon(run: () => void): () => void {
    this.#soon.push(run);
    return () => {
      const at = this.#soon.indexOf(run);
      if (at >= 0) this.#soon.splice(at, 1);
    };
  }

  get isIdle(): boolean {
    return this.#soon.length === 0;
  }

  /** What was to be done soon, but not what that wants done. */
  endTurn(): void {
    for (const run of this.#soon.splice(0)) run();
  }
}

/** A client: calls on their way, each with the number of calls that were served when it was sent. */
interface Client {
  readonly tenant: string;
  sent: { readonly atMs: number; readonly servedBefore: number }[];
}

interface Outcome {
  /** Calls that were served between the sending of a call and its end, the 99th in a hundred, by tenant. */
  readonly p99: ReadonlyMap<string, number>;
  readonly served: ReadonlyMap<string, number>;
  readonly total: number;
  readonly gate: FairGate;
  readonly elapsedMs: number;
}

type Gate = Pick<FairGate, "isOpen" | "later">;

/** Everybody at once, as it comes. */
const NO_GATE: Gate = {
  isOpen: () => true,
  later: () => Promise.reject(new Error("never")),
};

/**
 * Eight tenants call without a pause.
 * @param connections  of each tenant, each with 16 calls on their way at any time
 */
function simulate(connections: readonly number[], total: number, fair: boolean): Outcome {
  const loop = new Loop();
  const gate = new FairGate(loop, WAITING_MAX);
  const used: Gate = fair ? gate : NO_GATE;
  const clients = connections.flatMap((count, i) =>
    Array.from({ length: count }, (): Client => ({
      tenant: `t${i}`,
      sent: Array.from({ length: 16 }, () => ({ atMs: 0, servedBefore: 0 })),
    }))
  );
  const waits = new Map<string, number[]>();
  const served = new Map<string, number>();
  let count = 0;
  for (let turn = 0; count < total; turn++) {
    let nothing = true;
    // The kernel favours nobody.
    for (let i = 0; i < clients.length; i++) {
      const client = clients[(i * 7 + turn * 5) % clients.length];
      const due = client.sent.filter(({ atMs }) => atMs <= loop.nowMs);
      client.sent = client.sent.filter((call) => !due.includes(call));
      for (const { servedBefore } of due) {
        nothing = false;
        const { tenant } = client;
        loop.nowMs += FRAME_MS;
        const call = () => {
          loop.nowMs += CALL_MS;
          count++;
          if (count > total / 4) {
            const own = waits.get(tenant) ?? [];
            waits.set(tenant, own);
            own.push(count - servedBefore);
          }
          served.set(tenant, (served.get(tenant) ?? 0) + 1);
          client.sent.push({ atMs: loop.nowMs + ROUND_TRIP_MS, servedBefore: count });
        };
        if (used.isOpen(tenant, 1)) call();
        else void used.later(tenant, 1, call, undefined);
      }
    }
    if (nothing && loop.isIdle) {
      loop.nowMs = Math.min(...clients.flatMap(({ sent }) => sent.map(({ atMs }) => atMs)));
    }
    loop.endTurn();
  }
  const p99 = new Map([...waits].map(([tenant, own]) => {
    return [tenant, own.toSorted((a, b) => a - b)[Math.floor(own.length * 0.99)]];
  }));
  return { p99, served, total: count, gate, elapsedMs: loop.nowMs };
}

const others = (by: ReadonlyMap<string, number>) =>
  [...by].filter(([tenant]) => tenant !== "t0").map(([, value]) => value);

Deno.test("FairGate: one of eight tenants with 20 times its share at most doubles the others' p99 [B2]", () => {
  const even = simulate([1, 1, 1, 1, 1, 1, 1, 1], 40_000, true);
  const fair = simulate([20, 1, 1, 1, 1, 1, 1, 1], 40_000, true);
  const unfair = simulate([20, 1, 1, 1, 1, 1, 1, 1], 40_000, false);
  assert.deepEqual([even.gate.waited, even.gate.isBusy], [0, false]);
  const before = Math.max(...others(even.p99));
  const after = Math.max(...others(fair.p99));
  assert.ok(after <= 2 * before, `p99 ${before} calls, then ${after}`);
  // Without it, it would be worse than that: the test can tell.
  const without = Math.max(...others(unfair.p99));
  assert.ok(without > 2.5 * before, `p99 ${before} calls, then ${without}`);
  // The seven get what they would have had, by half at least, and nobody more than another.
  const rates = others(fair.served).map((count) => count / fair.elapsedMs);
  const rateBefore = Math.min(...others(even.served)) / even.elapsedMs;
  assert.ok(Math.min(...rates) >= rateBefore / 2, `${rates} a ms, ${rateBefore} before`);
  assert.ok(Math.max(...rates) <= 1.1 * Math.min(...rates), `${rates}`);
  // Sharing costs no work: the thread is never idle while a call waits.
  assert.ok(fair.elapsedMs <= 1.02 * unfair.elapsedMs, `${fair.elapsedMs} ms, ${unfair.elapsedMs}`);
});

Deno.test("FairGate: the same load gives the same order [B2]", () => {
  const [one, other] = [1, 2].map(() => simulate([20, 1, 1, 1, 1, 1, 1, 1], 10_000, true));
  assert.deepEqual(one.p99, other.p99);
  assert.equal(one.elapsedMs, other.elapsedMs);
});

Deno.test("FairGate: one tenant alone never waits, however busy the node is [B2]", () => {
  const { gate } = simulate([40], 20_000, true);
  assert.deepEqual([gate.waited, gate.isBusy, gate.waiting], [0, false, 0]);
});

/** A gate that is busy with calls of `a` and `b`. */
function busyGate(): { gate: FairGate; loop: Loop } {
  const loop = new Loop();
  const gate = new FairGate(loop, WAITING_MAX);
  for (let i = 0; i < 40; i++) gate.isOpen(i % 2 === 0 ? "a" : "b", 1);
  loop.nowMs += 10;
  loop.endTurn();
  assert.ok(gate.isBusy);
  return { gate, loop };
}

const alive: Caller = { gone: false };

Deno.test("FairGate: a tenant begins its quantum in a turn, the rest in order later [B2]", async () => {
  const { gate, loop } = busyGate();
  const order: string[] = [];
  const done: Promise<unknown>[] = [];
  const call = (name: string) => {
    if (gate.isOpen(name[0], 1)) order.push(`${name} at once`);
    else done.push(gate.later(name[0], 1, () => order.push(name), alive));
  };
  for (let i = 0; i < QUANTUM + 2; i++) call(`a${i}`);
  call("b0");
  assert.deepEqual(order.slice(QUANTUM - 1), [`a${QUANTUM - 1} at once`, "b0 at once"]);
  assert.equal(gate.waiting, 2);
  loop.endTurn();
  assert.deepEqual(order.slice(QUANTUM + 1), [`a${QUANTUM}`, `a${QUANTUM + 1}`]);
  await Promise.all(done);
  // A short turn, and nothing waits: all is as before.
  loop.endTurn();
  assert.deepEqual([gate.isBusy, loop.isIdle], [false, true]);
  assert.ok(gate.isOpen("a", 1000));
});

Deno.test("FairGate: whose calls wait does not overtake them [B2]", () => {
  const { gate } = busyGate();
  assert.ok(gate.isOpen("a", 1000), "larger than a quantum, but the first");
  assert.ok(!gate.isOpen("a", 1));
  void gate.later("a", 1, () => {}, alive);
  assert.ok(!gate.isOpen("a", 1));
  assert.ok(gate.isOpen("c", 1));
});

Deno.test("FairGate: a call gets its answer, its failure, or, when its caller has gone, nothing done [B2]", async () => {
  const { gate, loop } = busyGate();
  const caller = { gone: false };
  const answer = gate.later("a", 1, () => Promise.resolve(7), alive);
  const failure = gate.later("a", 1, () => {
    throw new Error("no");
  }, alive);
  const gone = gate.later("a", 1, () => assert.fail("begun"), caller);
  const failures = [assert.rejects(failure, /no/), assert.rejects(gone, { code: 2001 })];
  caller.gone = true;
  loop.endTurn();
  assert.equal(await answer, 7);
  await Promise.all(failures);
});

Deno.test("FairGate: calls that wait are bounded for each tenant (2008), and fail when it closes (2001) [B2]", async () => {
  const { gate, loop } = busyGate();
  const waiting = Array.from({ length: WAITING_MAX }, () => gate.later("a", 1, () => {}, alive));
  assert.throws(() => gate.later("a", 1, () => {}, alive), (error) => {
    assert.ok(error instanceof PairError);
    assert.equal(error.code, 2008);
    assert.deepEqual(Object.keys(error.details), ["reason", "limit", "retry_after_ms"]);
    return true;
  });
  void gate.later("b", 1, () => {}, alive).catch(() => {});
  assert.equal(gate.refused, 1);
  gate.close();
  for (const each of await Promise.allSettled(waiting)) assert.equal(each.status, "rejected");
  assert.deepEqual([gate.waiting, loop.isIdle], [0, true]);
});

Deno.test("FairGate: a piece of a stream waits for its turn, and is not refused [B2]", async () => {
  const { gate, loop } = busyGate();
  assert.equal(gate.piece("a", QUANTUM), undefined);
  const waiting = Array.from({ length: WAITING_MAX }, () => gate.later("a", 1, () => {}, alive));
  let isDone = false;
  const piece = gate.piece("a", QUANTUM)!.then(() => isDone = true);
  assert.equal(gate.refused, 0);
  loop.endTurn();
  await Promise.all(waiting);
  loop.endTurn();
  await piece;
  assert.ok(isDone);
});

Deno.test("costOf: a call for each key, and one for each 4 KiB", () => {
  assert.deepEqual([costOf(1, 0), costOf(1, 4095), costOf(1, 4096), costOf(3, 10_000)], [
    1,
    1,
    2,
    5,
  ]);
});
