import assert from "node:assert/strict";
import fc from "fast-check";
import { PairError, readToken, tokenOf, type TokenRange, utf8 } from "../../../../src/model/mod.ts";
import type { MigrationInfo, MigrationState } from "../../../../src/node/mod.ts";
import { SimRandom, SimSandbox } from "../../../../src/runtime/mod.ts";
import {
  type Call,
  type Fault,
  SimNode,
  SMALL_MIGRATION,
  wayTo,
  Writer,
} from "../../../support/migration.ts";
import { SMALL } from "../../../support/engine.ts";
import { bytes, rejectsCode, text } from "../../../support/node.ts";

const PHASES = ["copying", "streaming", "syncing"] as const;

interface Pair {
  readonly source: SimNode;
  readonly target: SimNode;
  /** Sees each call to the target. */
  before: (call: Call) => Fault | Promise<Fault>;
}

async function pair(seed = 1, limits = SMALL_MIGRATION): Promise<Pair> {
  const target = await SimNode.open("target", seed + 100);
  const it: { -readonly [Name in keyof Pair]: Pair[Name] } = {
    target,
    source: target,
    before: () => undefined,
  };
  const peers = wayTo(() => target.node, (call) => it.before(call));
  it.source = await SimNode.open("source", seed, { peers, limits });
  return it;
}

/**
 * Whether what is written now is sent for sure: the last look is still to come.
 * @param pieces  that are compared at least
 */
function isEarly({ state, piecesCompared }: MigrationInfo, pieces = 1): boolean {
  return state === "copying" || state === "streaming" ||
    (state === "syncing" && piecesCompared < pieces);
}

async function same({ source, target }: Pair): Promise<void> {
  assert.deepEqual(await target.contents(), await source.contents());
}

Deno.test("a migration brings every version of every tenant to the target, and says what it did [S1, S2]", async () => {
  const it = await pair();
  const states = new Set<MigrationState>();
  const writer = new Writer(3);
  await writer.fill(it.source.node, 150);
  it.before = async () => {
    states.add(it.source.migration.state);
    if (isEarly(it.source.migration, 3)) await writer.write(it.source.node);
    return undefined;
  };
  const done = await it.source.migrate();
  assert.equal(done.state, "completed");
  assert.deepEqual([...states], ["copying", "streaming", "syncing"]);
  assert.ok(done.keysCopied > 20 && done.bytesCopied > 0 && done.keysStreamed > 0);
  assert.ok(done.piecesCompared > 2 && done.endedAtMs >= done.createdAtMs);
  assert.equal(done.pendingKeys, 0);
  await same(it);
  const { counters } = it.source.node.status();
  assert.equal(counters.migrationsCompleted, 1);
  assert.equal(counters.migrationsRunning, 0);
  assert.equal(counters.migrationKeysCopied, done.keysCopied);
  const { jobs } = it.source.node.listJobs({ ended: true });
  assert.equal(jobs.find(({ kind }) => kind === "migration")?.state, "completed");
  // Nothing is new to the target a second time.
  it.before = () => undefined;
  const before = it.target.node.status().lastSequence;
  assert.equal((await it.source.migrate()).keysResent, 0);
  assert.equal(it.target.node.status().lastSequence, before);
});

/** As {@link same}, but for what is dead, which either may have dropped. */
async function sameAlive({ source, target }: Pair): Promise<void> {
  const nowMs = Math.max(...[source, target].map(({ world }) => world.clock.wallMs()));
  const alive = async (node: SimNode) =>
    Object.entries(await node.contents()).map(([tenant, entries]) => [
      tenant,
      entries.filter(({ version: { value, expiresAtMs } }) =>
        value !== undefined && (expiresAtMs === 0 || expiresAtMs > nowMs)
      ),
    ]);
  assert.deepEqual(await alive(target), await alive(source));
}

/** How a run goes. */
interface Run {
  readonly seed: number;
  /** Of ten calls so many go wrong. */
  readonly faults: number;
  /** Whom to kill at which call of a phase. */
  readonly kills: readonly {
    readonly phase: (typeof PHASES)[number];
    readonly victim: "source" | "target";
    readonly call: number;
  }[];
  /** The target is written to as well. */
  readonly both: boolean;
  /** Few keys are remembered. */
  readonly forgetful: boolean;
  /** The source drops what is dead now and then, where nobody writes to the target. */
  readonly purges: boolean;
}

/** @returns how many of the kills came about */
async function run({ seed, faults, kills, both, forgetful, purges }: Run): Promise<number> {
  const it = await pair(seed, {
    ...SMALL_MIGRATION,
    changedBytes: forgetful ? 600 : 1 << 20,
  });
  const { source, target } = it;
  const random = new SimRandom(seed + 7);
  const writer = new Writer(seed + 8);
  const others = new Writer(seed + 9);
  await writer.fill(source.node, 120);
  if (both) await others.fill(target.node, 60);
  const left = [...kills];
  let phase: MigrationState = "copying";
  let inPhase = 0;
  const lateWrites: Promise<unknown>[] = [];
  it.before = async () => {
    const { state } = source.migration;
    if (state !== phase) [phase, inPhase] = [state, 0];
    inPhase++;
    if (isEarly(source.migration, 3)) {
      for (let i = random.below(3); i >= 0; i--) await writer.write(source.node);
      // Some still wait for their sync when the migration goes on.
      lateWrites.push(writer.write(source.node));
    }
    if (both) await others.write(target.node);
    if (purges && !both && random.below(4) === 0) {
      await source.world.clock.advance(5);
      await source.node.compact(undefined, { purge: true });
    }
    const at = left.findIndex((kill) => kill.phase === phase && inPhase >= kill.call);
    if (at >= 0) {
      const [{ victim }] = left.splice(at, 1);
      await Promise.all(lateWrites.splice(0));
      await (victim === "source" ? source : target).kill();
      return victim === "target" ? "refused" : undefined;
    }
    if (random.below(10) >= faults) return undefined;
    return (["refused", "unanswered", "torn"] as const)[random.below(3)];
  };
  await source.node.startMigration({ target: "target" });
  const done = await source.over();
  assert.equal(done.state, "completed", done.error);
  await Promise.all(lateWrites);
  if (forgetful) assert.ok(done.rescans > 0 || done.piecesResent > 0);
  if (!both) {
    await (purges ? sameAlive : same)(it);
    return kills.length - left.length;
  }
  // The target has all of it, so after the way back, when nobody writes any more, both have everything.
  it.before = () => undefined;
  const back = wayTo(() => source.node);
  for (const [tenant, entries] of Object.entries(await source.contents())) {
    const theirs = await target.contents();
    const known = new Set(theirs[tenant]?.map(({ key }) => key));
    for (const { key } of entries) assert.ok(known.has(key), `${key} is not at the target`);
  }
  const peer = back(target).open("target");
  const { signal } = new AbortController();
  for (const [tenant] of Object.entries(await target.contents())) {
    for await (const { entries, checksum } of target.node.streamKeys(tenant, {})) {
      if (entries.length > 0) await peer.replicate(tenant, undefined, entries, checksum, signal);
    }
  }
  await same(it);
  return kills.length - left.length;
}

for (const phase of PHASES) {
  for (const victim of ["source", "target"] as const) {
    Deno.test(`a migration gets over a kill of the ${victim} while it is ${phase} [S1]`, async () => {
      const kills = [{ phase, victim, call: 1 }];
      for (const both of [false, true]) {
        assert.equal(
          await run({ seed: 5, faults: 0, kills, both, forgetful: false, purges: false }),
          1,
        );
      }
    });
  }
}

Deno.test("whatever fails, and whoever is killed, both sides are equal in the end [S1]", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        seed: fc.nat(1_000_000),
        faults: fc.nat(5),
        kills: fc.array(
          fc.record({
            phase: fc.constantFrom(...PHASES),
            victim: fc.constantFrom("source", "target"),
            call: fc.integer({ min: 1, max: 6 }),
          }),
          { maxLength: 4 },
        ),
        both: fc.boolean(),
        forgetful: fc.boolean(),
        purges: fc.boolean(),
      }),
      async (plan) => void await run(plan),
    ),
    { numRuns: 40 },
  );
});

Deno.test("a migration says that it falls behind its writers, and that it catches up when they pause [S8]", async () => {
  const it = await pair(1, { ...SMALL_MIGRATION, batchBytes: 10_000 });
  const { source } = it;
  await source.node.put("a", { key: "first", value: bytes("v") });
  let written = 0;
  const burst = async (keys: number) => {
    for (let i = 0; i < keys; i++) {
      await source.node.put("a", { key: `late ${written++}`, value: bytes("v") });
    }
  };
  // By call: how many wait, and whether it falls behind.
  const seen: [pending: number, behind: boolean][] = [];
  it.before = async ({ method }) => {
    const { state, pendingKeys, fallsBehind } = source.migration;
    if (method === "replicate" && state === "copying" && written === 0) await burst(1200);
    if (state !== "streaming") return undefined;
    seen.push([pendingKeys, fallsBehind]);
    const { migrationsFallingBehind } = source.node.status().counters;
    assert.equal(migrationsFallingBehind, fallsBehind ? 1 : 0);
    // While the first 1200 are sent as many come, and then no more.
    if (seen.length === 1) await burst(1300);
    return undefined;
  };
  const done = await source.migrate();
  assert.deepEqual([done.state, done.pendingKeys, done.fallsBehind], ["completed", 0, false]);
  assert.deepEqual(seen[0], [1200, false]);
  // What is being sent waits still.
  assert.ok(seen[1][0] > 1300 && seen[1][0] < 2500 && !seen[1][1], `${seen[1]}`);
  const [pending] = seen.find(([, behind]) => behind)!;
  assert.equal(pending, 1300);
  const said = source.world.log.events.map(({ event }) => event).filter((event) =>
    /behind|catches/.test(event)
  );
  assert.deepEqual(said, ["migration.falls_behind", "migration.catches_up"]);
  await same(it);
});

Deno.test("a migration whose writers are too fast to be remembered compares again, and says how often", async () => {
  const it = await pair(1, { ...SMALL_MIGRATION, changedBytes: 600 });
  const { source } = it;
  await new Writer(11).fill(source.node, 60);
  let written = 0;
  let behind = 0;
  it.before = async ({ method }) => {
    const { state, fallsBehind, rescans } = source.migration;
    if (state !== "syncing" || method !== "count" || rescans >= 3) return undefined;
    if (fallsBehind) behind++;
    for (let i = 0; i < 20; i++) {
      await source.node.put("a", { key: `late ${written++}`, value: bytes("v") });
    }
    return undefined;
  };
  const done = await source.migrate();
  assert.deepEqual([done.state, done.rescans, done.fallsBehind], ["completed", 3, false]);
  assert.ok(behind > 0);
  const lines = source.world.log.named("migration.compares_again");
  assert.equal(lines.length, 3);
  assert.equal(lines[2].fields.rescans, 3);
  await same(it);
});

Deno.test("a migration moves a range of keys and of tokens, and nothing beside it", async () => {
  const tokens: TokenRange = {
    start: readToken(new Uint8Array(16), "start"),
    end: readToken(Uint8Array.of(0x80, ...new Uint8Array(15)), "end"),
  };
  const it = await pair();
  const writer = new Writer(4);
  await writer.fill(it.source.node, 150);
  it.before = async () => {
    if (isEarly(it.source.migration)) await writer.write(it.source.node);
    return undefined;
  };
  const input = { tenant: "a", start: "key 005", end: "key 030", tokens };
  const done = await it.source.migrate(input);
  assert.equal(done.state, "completed");
  assert.deepEqual([done.tenant, done.start, done.end], ["a", "key 005", "key 030"]);
  const isIn = (key: string) =>
    key >= "key 005" && key < "key 030" && tokenOf(utf8(key))[0] <= 0x80000000;
  const expected = (await it.source.contents()).a.filter(({ key }) => isIn(key));
  assert.ok(expected.length > 5);
  assert.deepEqual(await it.target.contents(), { a: expected });
});

Deno.test("a comparison finds what the copy cannot: what the target has lost is sent again", async () => {
  const it = await pair();
  await new Writer(5).fill(it.source.node, 100);
  it.before = async ({ method }) => {
    // Everything that had come is gone before the first comparison.
    if (method === "count" && it.source.migration.piecesCompared === 0) {
      for (const { tenant } of it.target.node.listTenants()) {
        await it.target.node.dropTenant(tenant);
      }
    }
    return undefined;
  };
  const done = await it.source.migrate();
  assert.equal(done.state, "completed");
  assert.ok(done.piecesResent > 0 && done.keysResent > 0);
  await same(it);
});

Deno.test("a target that comes back with an empty disk in the middle has everything in the end [S1]", async () => {
  for (const phase of PHASES) {
    let { source, target } = await pair();
    const lost = target;
    const writer = new Writer(6);
    let empty: Promise<SimNode> | undefined;
    const peers = wayTo(() => target.node, async () => {
      const { state, piecesCompared } = source.migration;
      if (state === "copying") await writer.write(source.node);
      if (empty !== undefined || state !== phase) return undefined;
      // After part of it has been found equal.
      if (phase === "syncing" && piecesCompared < 3) return undefined;
      empty = SimNode.open("target", 999, { incarnation: "second" });
      target = await empty;
      return "refused";
    });
    source = await SimNode.open("source", 1, { peers });
    await writer.fill(source.node, 150);
    await source.node.createTenant("none", { maxKeys: 5 });
    assert.equal((await source.migrate()).state, "completed");
    assert.notEqual(target, lost, phase);
    await same({ source, target, before: () => undefined });
    const tenants = ({ node }: SimNode) => node.listTenants().map(({ tenant }) => tenant);
    assert.deepEqual(tenants(target), tenants(source));
  }
});

Deno.test("a target that cannot be reached is tried again with growing pauses, and given up [S2]", async () => {
  const it = await pair();
  await it.source.node.put("a", { key: "k", value: bytes("v") });
  const atMs: number[] = [];
  it.before = () => {
    atMs.push(it.source.world.clock.monotonicMs());
    return "refused";
  };
  const failed = await it.source.migrate({ id: "m1" });
  assert.equal(failed.state, "failed");
  assert.match(failed.error, /connection was lost/);
  const pauses = atMs.slice(1).map((ms, i) => ms - atMs[i]);
  assert.ok(pauses[0] >= 50 && pauses[0] <= 101, `${pauses[0]}`);
  assert.ok(pauses.slice(5).every((ms) => ms >= 500 && ms <= 1001), `${pauses}`);
  assert.equal(failed.retries, atMs.length - 1);
  assert.ok(atMs.at(-1)! - atMs[0] >= SMALL_MIGRATION.giveUpMs);
  // It goes on when it is asked for once more.
  it.before = () => undefined;
  const done = await it.source.migrate({ id: "m1" });
  assert.equal(done.state, "completed");
  assert.equal(done.error, "");
  await same(it);
});

Deno.test("a target whose clock is behind is tried again until it takes what was written", async () => {
  const it = await pair();
  const { source, target } = it;
  const aheadMs = 150_000;
  source.world.clock.jumpWall(aheadMs);
  await source.node.createTenant("t", { conflictStrategy: "lww" });
  await source.node.put("t", { key: "k", value: bytes("v") });
  let refused = 0;
  it.before = async ({ method }) => {
    if (method === "replicate") refused = source.migration.retries;
    // Its time passes as well.
    await target.world.clock.advance(20_000);
    return undefined;
  };
  const done = await source.migrate();
  assert.deepEqual([done.state, done.error], ["completed", ""]);
  assert.ok(refused > 0);
  await same(it);
});

Deno.test("what will never succeed fails at once", async () => {
  const it = await pair();
  await it.source.node.put("a", { key: "k", value: bytes("v") });
  it.before = () => {
    throw new PairError("InvalidTenantID", "The tenant does not exist");
  };
  const failed = await it.source.migrate();
  assert.deepEqual([failed.state, failed.retries], ["failed", 0]);
  // A node is not moved to itself.
  const own: SimNode = await SimNode.open("n1", 3, { peers: wayTo(() => own.node) });
  const { state, error } = await own.migrate();
  assert.equal(state, "failed");
  assert.match(error, /this node itself/);
  assert.equal(it.source.node.status().counters.migrationsFailed, 1);
});

Deno.test("a migration is cancelled, and another one with its id goes on behind its checkpoint", async () => {
  const it = await pair();
  await new Writer(6).fill(it.source.node, 150);
  const gate = Promise.withResolvers<undefined>();
  it.before = ({ index }) => index === 6 ? gate.promise : undefined;
  await it.source.node.startMigration({ id: "m1", target: "target" });
  await it.source.world.clock.advance(10);
  assert.equal(it.source.migration.state, "copying");
  const cancelling = it.source.node.cancelMigration("m1");
  gate.resolve(undefined);
  const cancelled = await cancelling;
  assert.deepEqual([cancelled.state, cancelled.error], ["failed", "cancelled"]);
  assert.ok(cancelled.keysCopied > 0);
  const { counters } = it.source.node.status();
  assert.deepEqual([counters.migrationsCancelled, counters.migrationsFailed], [1, 0]);
  // It stays like that through a restart.
  await it.source.restart();
  assert.equal(it.source.migration.state, "failed");
  const done = await it.source.migrate({ id: "m1" });
  assert.equal(done.state, "completed");
  await same(it);
  // Each key was copied once: the copy went on where it was.
  const keys = Object.values(await it.source.contents())
    .reduce((sum, entries) => sum + new Set(entries.map(({ key }) => key)).size, 0);
  assert.equal(done.keysCopied, keys);
});

Deno.test("starting again by the same id changes nothing; another order by that id is refused", async () => {
  const it = await pair();
  const { node } = it.source;
  await node.put("a", { key: "k", value: bytes("v") });
  const done = await it.source.migrate({ id: "m1" });
  assert.deepEqual(await node.startMigration({ id: "m1", target: "target" }), done);
  await rejectsCode(() => node.startMigration({ id: "m1", target: "target", tenant: "a" }), 1000);
  await rejectsCode(() => node.startMigration({ id: "m 1", target: "target" }), 1000);
  await rejectsCode(() => node.startMigration({ target: "elsewhere" }), 1000);
  await rejectsCode(() => node.startMigration({ target: "target", tenant: "none" }), 1004);
  await rejectsCode(() => node.startMigration({ target: "target", start: "b", end: "a" }), 1000);
  await rejectsCode(() => node.cancelMigration("none"), 1000);
  await rejectsCode(() => it.target.node.startMigration({ target: "target" }), 1000);
  assert.equal(node.listMigrations().length, 1);
});

Deno.test("migrations under way are bounded, and so are those that are remembered", async () => {
  const it = await pair();
  const { node } = it.source;
  await node.put("a", { key: "k", value: bytes("v") });
  const gate = Promise.withResolvers<undefined>();
  it.before = () => gate.promise;
  await node.startMigration({ id: "m1", target: "target" });
  await node.startMigration({ id: "m2", target: "target" });
  await rejectsCode(() => node.startMigration({ id: "m3", target: "target" }), 2008);
  gate.resolve(undefined);
  await it.source.over();
  await it.source.world.clock.advance(100);
  for (let i = 3; i < 8; i++) await it.source.migrate({ id: `m${i}` });
  const ids = () => it.source.node.listMigrations().map(({ id }) => id).sort();
  assert.deepEqual(ids(), ["m4", "m5", "m6", "m7"]);
  await it.source.restart();
  assert.deepEqual(ids(), ["m4", "m5", "m6", "m7"]);
  // The oldest go, whatever they are called, and whatever was forgotten meanwhile.
  for (const id of ["a1", "a2"]) {
    await it.source.migrate({ id });
    await it.source.restart();
  }
  assert.deepEqual(ids(), ["a1", "a2", "m6", "m7"]);
});

Deno.test("a drain refuses new writes, lets running ones end, moves everything and says so [S6]", async () => {
  const it = await pair();
  const { source, target } = it;
  await new Writer(7).fill(source.node, 150);
  // Not awaited: it runs when the drain begins.
  const running = source.node.put("a", { key: "running", value: bytes("v") });
  const begun = await source.node.drain("target");
  await running;
  assert.equal(begun.drained, false);
  assert.ok(source.node.draining);
  const value = bytes("v");
  const clock = { entries: [{ node: "n", counter: 1 }], dots: [] };
  for (
    const write of [
      () => source.node.put("a", { key: "k", value }),
      () => source.node.put("new", { key: "k", value }),
      () => source.node.put("a", { key: "k", value, idempotencyKey: "0123456789abcdef" }),
      () => source.node.delete("a", { key: "key 001" }),
      () => source.node.batchPut("a", [{ key: "k", value }]),
      () => source.node.applyReplica("a", { key: "k", value, deleted: false, clock }, "repair"),
      () => source.node.createTenant("new"),
    ]
  ) {
    await assert.rejects(write, (error) => {
      assert.ok(error instanceof PairError);
      assert.deepEqual([error.code, error.details.reason], [2001, "draining"]);
      return true;
    });
  }
  assert.ok(source.node.get("a", "running") !== undefined, "reads go on");
  assert.equal(source.node.health().status, "degraded");
  await source.over();
  const drained = await source.node.drain("target");
  assert.equal(drained.drained, true);
  assert.ok(drained.migration.keysCopied > 20 && drained.migration.piecesCompared > 2);
  await same(it);
  assert.ok(target.node.get("a", "running") !== undefined);
  await rejectsCode(() => source.node.drain("elsewhere"), 1000);

  // It is drained after a restart too, until it is told otherwise.
  await source.restart();
  assert.equal((await source.node.drain(undefined)).drained, true);
  await rejectsCode(() => source.node.put("a", { key: "k", value }), 2001);
  assert.equal((await source.node.cancelDrain()).drained, false);
  await source.node.put("a", { key: "k", value });
  await rejectsCode(() => source.node.drain(undefined), 1000);
  await rejectsCode(() => source.node.cancelDrain(), 1000);
  await source.restart();
  await source.node.put("a", { key: "k", value });
});

Deno.test("a drain that has failed takes no writes, and goes on when it is asked again", async () => {
  const it = await pair();
  const { source } = it;
  await new Writer(8).fill(source.node, 100);
  it.before = ({ index }) => index > 3 ? "refused" : undefined;
  await source.node.drain("target");
  assert.equal((await source.over()).state, "failed");
  await source.kill();
  await rejectsCode(() => source.node.put("a", { key: "k", value: bytes("v") }), 2001);
  assert.equal((await source.node.drain(undefined)).migration.state, "failed");
  it.before = () => undefined;
  await source.node.drain("target");
  await source.over();
  assert.equal((await source.node.drain(undefined)).drained, true);
  await same(it);
});

Deno.test("what dies and is purged at the source meanwhile does not stay alive at the target [S1]", async () => {
  const it = await pair();
  const { node, world } = it.source;
  for (let i = 0; i < 60; i++) await node.put("a", { key: `key ${i + 10}`, value: bytes("v") });
  let purged = false;
  it.before = async () => {
    if (purged || it.source.migration.state !== "syncing") return undefined;
    purged = true;
    // The target has both; that they die is remembered, and has yet to go over.
    await node.delete("a", { key: "key 10" });
    await node.put("a", { key: "key 11", value: bytes("short"), ttlMs: 1 });
    await world.clock.advance(10);
    await node.compact("a", { purge: true });
    return undefined;
  };
  assert.equal((await it.source.migrate()).state, "completed");
  assert.ok(purged);
  const { clock } = it.target.world;
  clock.jumpWall(Math.max(0, world.clock.wallMs() - clock.wallMs()));
  for (const key of ["key 10", "key 11"]) {
    assert.equal(it.target.node.get("a", key), undefined, key);
  }
  assert.ok(it.target.node.get("a", "key 12") !== undefined);
  // Nobody has to be told of it any more: now it goes.
  await node.compact("a", { purge: true });
  const keys = (await it.source.contents()).a.map(({ key }) => key);
  assert.equal(keys.length, 58);
  assert.ok(!keys.includes("key 10") && !keys.includes("key 11"));
});

Deno.test("a delete that another node made long ago is not purged before the target is told of it [S1]", async () => {
  const it = await pair();
  const { node, world } = it.source;
  for (let i = 0; i < 60; i++) await node.put("a", { key: `key ${i + 10}`, value: bytes("v") });
  const timestampMs = world.clock.wallMs();
  await world.clock.advance(5000);
  let purged = false;
  it.before = async () => {
    if (purged || it.source.migration.state !== "syncing") return undefined;
    purged = true;
    const { clock } = node.get("a", "key 10")!;
    const entries = [...clock.entries, { node: "far", counter: 1 }];
    await node.applyReplica("a", {
      key: "key 10",
      value: undefined,
      deleted: true,
      timestampMs,
      clock: { entries, dots: [] },
    }, "write");
    await node.compact("a", { purge: true });
    return undefined;
  };
  assert.equal((await it.source.migrate()).state, "completed");
  assert.ok(purged);
  assert.equal(node.get("a", "key 10"), undefined);
  assert.equal(it.target.node.get("a", "key 10"), undefined);
  await same(it);
});

/** A migration that has copied, and then failed or was cancelled. */
async function standing(it: Pair): Promise<void> {
  const { node } = it.source;
  for (let i = 0; i < 60; i++) await node.put("a", { key: `key ${i + 10}`, value: bytes("v") });
  it.before = ({ method }) => method === "count" ? "refused" : undefined;
  await node.startMigration({ id: "m1", target: "target" });
  await it.source.world.clock.advance(1000);
  assert.equal(it.source.migration.state, "syncing");
  await node.cancelMigration("m1");
  it.before = () => undefined;
}

for (const id of ["m1", "m2"]) {
  const which = id === "m1" ? "goes on" : "finds the leftovers of another";
  Deno.test(`a migration that ${which} when deletes are gone for good does not leave alive what they deleted [S1]`, async () => {
    const it = await pair();
    const { source, target } = it;
    await standing(it);
    // Nothing holds this back any more.
    await source.node.delete("a", { key: "key 10" });
    await source.node.compact("a", { purge: true });
    for (const restart of [false, true]) {
      if (restart) await source.kill();
      const failed = await source.migrate({ id });
      assert.equal(failed.state, "failed");
      assert.match(failed.error, /tenant a that died here .* drop the tenant there/);
    }
    // What it says helps.
    await target.node.dropTenant("a");
    const done = await source.migrate({ id });
    assert.deepEqual([done.state, done.error], ["completed", ""]);
    assert.equal(target.node.get("a", "key 10"), undefined);
    assert.ok(target.node.get("a", "key 11") !== undefined);
    await same(it);
    // Since it is complete, what is left of the first one stands in nobody's way.
    await source.node.delete("a", { key: "key 11" });
    await source.node.compact("a", { purge: true });
    assert.equal((await source.migrate({ id: "m3" })).state, "completed");
  });
}

Deno.test("a migration that stood still goes on where nothing has gone for good, whatever died before it", async () => {
  const it = await pair();
  const { source } = it;
  await source.node.put("a", { key: "key 00", value: bytes("v") });
  await source.node.delete("a", { key: "key 00" });
  await standing(it);
  await source.node.delete("a", { key: "key 10" });
  const done = await source.migrate({ id: "m1" });
  assert.equal(done.state, "completed");
  assert.equal(done.keysCopied, 61);
  await same(it);
  await source.node.compact("a", { purge: true });
  assert.equal((await source.migrate({ id: "m2" })).state, "completed");
});

Deno.test("a source that was away for longer than the grace drops nothing before it goes on [S1]", async () => {
  const it = await pair();
  const { source, target } = it;
  for (let i = 0; i < 60; i++) {
    await source.node.put("a", { key: `key ${i + 10}`, value: bytes("v") });
  }
  it.before = ({ method }) => method === "count" ? "refused" : undefined;
  await source.node.startMigration({ id: "m1", target: "target" });
  await source.world.clock.advance(1000);
  for (let i = 0; i < 60; i++) await source.node.delete("a", { key: `key ${i + 10}` });
  await source.node.compact("a");
  source.world.clock.jumpWall(3 * SMALL.compaction.tombstoneGraceMs);
  const gate = Promise.withResolvers<undefined>();
  it.before = () => gate.promise;
  await source.kill();
  // Time in which the dead would go.
  await source.world.clock.advance(60_000);
  it.before = () => undefined;
  gate.resolve(undefined);
  assert.equal((await source.over()).state, "completed");
  assert.equal([...target.node.scan("a", {})].length, 0);
  // When nobody has to be told any more they go by themselves.
  await source.world.clock.advance(60_000);
  assert.deepEqual(await source.contents(), {});
});

Deno.test("a tenant that is made meanwhile goes along, and one that is dropped does not hold it up", async () => {
  const it = await pair();
  const { source } = it;
  await new Writer(9).fill(source.node, 100);
  it.before = async ({ method }) => {
    if (method === "count" && source.migration.piecesCompared === 0) {
      await source.node.put("new", { key: "k", value: bytes("v") });
      await source.node.dropTenant("b");
    }
    return undefined;
  };
  const done = await source.migrate();
  assert.equal(done.state, "completed");
  const { b: _dropped, ...rest } = await it.target.contents();
  assert.deepEqual(rest, await source.contents());
  assert.ok(rest.new !== undefined);
});

Deno.test("a tenant that was dropped at the source and made again brings its new values, not those of before", async () => {
  const it = await pair();
  const { source, target } = it;
  for (const round of ["between two", "meanwhile"]) {
    for (let i = 0; i < 5; i++) await source.node.put("a", { key: "k", value: bytes(`old ${i}`) });
    const again = async () => {
      await source.node.dropTenant("a");
      await source.kill();
      await source.node.put("a", { key: "k", value: bytes("new") });
    };
    let done = false;
    it.before = async ({ method }) => {
      if (round !== "meanwhile" || done || method !== "count") return undefined;
      done = true;
      await again();
      return undefined;
    };
    await source.node.startMigration({ target: "target" });
    assert.equal((await source.over()).state, "completed");
    if (round === "between two") {
      await again();
      assert.equal((await source.migrate()).state, "completed");
    }
    const found = target.node.get("a", "k");
    assert.deepEqual(found?.versions.map(({ value }) => text(value)), ["new"], round);
    await same(it);
  }
});

Deno.test("a tenant whose drop fails while it is compared goes along all the same [S1]", async () => {
  const it = await pair(1, { ...SMALL_MIGRATION, changedBytes: 600 });
  const { source } = it;
  for (const tenant of ["a", "b"]) await source.node.put(tenant, { key: "k", value: bytes("v") });
  let dropping: Promise<void> | undefined;
  it.before = async ({ method }) => {
    if (method === "replicate" && source.migration.keysCopied === 1) {
      // More than is remembered: it takes a comparison to find them.
      for (let i = 0; i < 20; i++) {
        await source.node.put("b", { key: `late ${i}`, value: bytes("v") });
      }
    }
    if (method === "count" && dropping === undefined) {
      source.world.disk.hook = ({ op, path }) =>
        op === "append" && path.includes("MANIFEST") ? "ENOSPC" : undefined;
      // Until the flush is given up nobody finds the tenant, and then it is there again.
      const flushing = source.node.flush("b").catch(() => {});
      dropping = rejectsCode(() => source.node.dropTenant("b"), 2002).then(() => flushing);
    }
    return undefined;
  };
  assert.equal((await source.migrate()).state, "completed");
  await dropping;
  assert.equal(source.node.listTenants().length, 2);
  await same(it);
});

Deno.test("tenants are made at the target with all their options, those without a key too", async () => {
  const it = await pair();
  const { source, target } = it;
  const options = {
    conflictStrategy: "merge:counter",
    strategy: "size_tiered",
    ttlMs: 3_600_000,
    compression: "zstd",
    cacheShare: 25,
    maxBytes: 1 << 20,
    maxKeys: 1000,
    maxRequests: 500,
    maxBandwidth: 1 << 19,
  } as const;
  await source.node.createTenant("counters", options);
  await source.node.createTenant("none", { conflictStrategy: "lww", ttlMs: 0 });
  await source.node.put("plain", { key: "k", value: bytes("v") });
  for (const value of ["5", "+2"]) {
    await source.node.put("counters", { key: "k", value: bytes(value) });
  }
  it.before = async ({ method }) => {
    if (method !== "count" || source.node.listTenants().length > 3) return undefined;
    await source.node.createTenant("late", { conflictStrategy: "merge:max" });
    return undefined;
  };
  assert.equal((await source.migrate()).state, "completed");
  const optionsOf = ({ node }: SimNode) =>
    node.listTenants().map(({ tenant, options }) => [tenant, options]);
  assert.deepEqual(optionsOf(target), optionsOf(source));
  assert.deepEqual(optionsOf(target)[0], ["counters", options]);
  assert.equal(optionsOf(target).length, 4);
  assert.equal(text(target.node.get("counters", "k")?.winner.value), "7");
  await target.node.put("counters", { key: "k", value: bytes("-1") });
  assert.equal(text(target.node.get("counters", "k")?.winner.value), "6");
});

Deno.test("a migration fails at once where the target's tenant has another conflict strategy; other options of it stay", async () => {
  const it = await pair();
  const { source, target } = it;
  await source.node.createTenant("t", { conflictStrategy: "merge:counter", maxKeys: 10 });
  await source.node.put("t", { key: "k", value: bytes("5") });
  await target.node.createTenant("t", { maxKeys: 20, ttlMs: 0 });
  const before = target.node.status().lastSequence;
  const failed = await source.migrate();
  assert.deepEqual([failed.state, failed.retries, failed.keysCopied], ["failed", 0, 0]);
  assert.match(failed.error, /tenant t has .* vector_clock here, and merge:counter where they/);
  assert.equal(target.node.status().lastSequence, before);
  await target.node.dropTenant("t");
  await target.node.createTenant("t", { conflictStrategy: "merge:counter", maxKeys: 20 });
  // The same again, by its id, goes on.
  const again = await source.migrate({ id: failed.id });
  assert.deepEqual([again.state, again.keysCopied], ["completed", 1]);
  const [{ options }] = target.node.listTenants();
  assert.deepEqual(options, { conflictStrategy: "merge:counter", maxKeys: 20 });
  // One that is dropped at the target meanwhile is made again as it was.
  it.before = async ({ method }) => {
    if (method === "count" && target.node.listTenants().length > 0) {
      it.before = () => undefined;
      await target.node.dropTenant("t");
    }
    return undefined;
  };
  assert.equal((await source.migrate()).state, "completed");
  assert.deepEqual(target.node.listTenants()[0].options, source.node.listTenants()[0].options);
  await same(it);
});

Deno.test("a tenant with a merge function goes where that is registered, and nowhere else", async () => {
  const sandbox = () =>
    ["the larger", "the larger, in other words"].reduce(
      (known, source) => known.know(source, () => (a, b) => text(a)! > text(b)! ? a : b),
      new SimSandbox(),
    );
  const target = await SimNode.open("target", 5, { sandbox: sandbox() });
  const peers = wayTo(() => target.node);
  const source = await SimNode.open("source", 6, { peers, sandbox: sandbox() });
  await source.node.registerMergeFunction("larger", "the larger");
  await source.node.createTenant("t", { conflictStrategy: "merge:larger" });
  await source.node.put("t", { key: "k", value: bytes("v") });
  const absent = await source.migrate({ id: "m" });
  assert.match(absent.error, /function larger of SHA-256 [0-9a-f]{64}, which is not registered/);
  await target.node.registerMergeFunction("larger", "the larger, in other words");
  const other = await source.migrate({ id: "m" });
  assert.match(other.error, /function larger of SHA-256 [0-9a-f]{64}, which is another here/);
  assert.deepEqual(target.node.listTenants(), []);
  assert.equal(other.retries, 0);
  await target.node.removeMergeFunction("larger");
  await target.node.registerMergeFunction("larger", "the larger");
  assert.equal((await source.migrate({ id: "m" })).state, "completed");
  assert.deepEqual(await target.contents(), await source.contents());
  assert.equal(target.node.listTenants()[0].options.conflictStrategy, "merge:larger");
  for (const { node } of [source, target]) await node.close();
});

Deno.test("a restored copy of a node neither goes on with its migrations nor drains", async () => {
  const it = await pair();
  await new Writer(10).fill(it.source.node, 50);
  it.before = ({ index }) => index > 2 ? "refused" : undefined;
  await it.source.node.drain("target");
  await it.source.world.clock.advance(100);
  assert.equal(it.source.migration.state, "copying");
  it.source.incarnation = "second";
  await it.source.kill();
  assert.deepEqual(it.source.node.listMigrations(), []);
  await it.source.node.put("a", { key: "k", value: bytes("v") });
});

Deno.test("only tenants of which deletes are gone for good have to be begun anew [S1]", async () => {
  const it = await pair();
  const { source, target } = it;
  for (let i = 0; i < 20; i++) {
    for (const tenant of ["a", "b"]) {
      await source.node.put(tenant, { key: `key ${i + 10}`, value: bytes("v") });
    }
  }
  it.before = ({ method }) => method === "count" ? "refused" : undefined;
  await source.node.startMigration({ id: "m1", target: "target" });
  await source.world.clock.advance(1000);
  await source.node.cancelMigration("m1");
  it.before = () => undefined;
  await source.node.delete("a", { key: "key 10" });
  await source.node.delete("b", { key: "key 10" });
  await source.node.compact("b", { purge: true });
  assert.match((await source.migrate({ id: "m1" })).error, /keys of tenant b that died here/);
  await target.node.dropTenant("b");
  // It is known for good which it was.
  it.before = ({ method }) =>
    method === "count" && source.migration.state === "syncing" ? "refused" : undefined;
  await source.node.startMigration({ id: "m1", target: "target" });
  await source.world.clock.advance(1000);
  assert.equal(source.migration.state, "syncing");
  it.before = () => undefined;
  await source.kill();
  assert.equal((await source.over()).state, "completed");
  for (const tenant of ["a", "b"]) {
    assert.equal(target.node.get(tenant, "key 10"), undefined);
    assert.ok(target.node.get(tenant, "key 11") !== undefined);
  }
  await same(it);
});

Deno.test("a clock that was set back does not have an earlier migration clear what a later one left [S1]", async () => {
  const it = await pair();
  const { source, target } = it;
  await source.node.put("a", { key: "k", value: bytes("v") });
  source.world.clock.jumpWall(3_600_000);
  assert.equal((await source.migrate({ id: "m1" })).state, "completed");
  source.world.clock.jumpWall(-3_600_000);
  await source.node.put("a", { key: "later", value: bytes("v") });
  it.before = ({ method }) => method === "count" ? "refused" : undefined;
  await source.node.startMigration({ id: "m2", target: "target" });
  await source.world.clock.advance(1000);
  await source.node.cancelMigration("m2");
  it.before = () => undefined;
  assert.ok(target.node.get("a", "later") !== undefined);
  await source.node.delete("a", { key: "later" });
  await source.node.compact("a", { purge: true });
  assert.match((await source.migrate({ id: "m3" })).error, /died here/);
  assert.deepEqual(source.node.listMigrations().map(({ id }) => id), ["m3", "m2", "m1"]);
});
