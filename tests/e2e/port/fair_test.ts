/**
 * A busy node through the port: a tenant's calls beyond its quantum wait for their turn, whatever way they come,
 * others' do not, and too many are refused. Turns of the event loop are as long as the test says.
 */
import assert from "node:assert/strict";
import { create, type DescMethod, fromBinary } from "@bufbuild/protobuf";
import { ErrorDetailSchema } from "../../../src/gen/pairdb/v1/common_pb.ts";
import { KeyValueService } from "../../../src/gen/pairdb/v1/kv_pb.ts";
import { StorageNodeService } from "../../../src/gen/pairdb/v1/storage_node_pb.ts";
import { QUANTUM } from "../../../src/rpc/fair_gate.ts";
import { type Clock, denoClock } from "../../../src/runtime/mod.ts";
import { Http2Peer } from "../../support/http2_by_hand.ts";
import { callJson, type TestPort, until, withPort } from "../../support/port.ts";
import { transferOf } from "../../support/transfer.ts";
import { bodyOf, callBy, type Outcome, type Way, waysOf } from "../../support/ways.ts";

const { put, get, explainGet, batchPut, batchGet, delete: remove, scan } = KeyValueService.method;
const storage = StorageNodeService.method;
const value = Uint8Array.of(7);
const vectorClock = { entries: [{ coordinatorNodeId: "n0", logicalTimestamp: 1n }] };
const copy = {
  clock: { entries: [{ node: "n0", counter: 1 }], dots: [] },
  dot: { node: "n0", counter: 1 },
  value,
  timestampMs: 7,
  expiresAtMs: 0,
};
const CALLS: readonly (readonly [DescMethod, Record<string, unknown>])[] = [
  [put, { tenantId: "t", key: "k", value }],
  [batchPut, { tenantId: "t", items: [{ key: "k", value }] }],
  [get, { tenantId: "t", key: "k" }],
  [batchGet, { tenantId: "t", keys: ["k"] }],
  [remove, { tenantId: "t", key: "k" }],
  [explainGet, { tenantId: "t", key: "k" }],
  [scan, { tenantId: "t" }],
  [storage.write, { tenantId: "t", key: "k", value }],
  [storage.read, { tenantId: "t", key: "k" }],
  [storage.delete, { tenantId: "t", key: "k" }],
  [storage.repair, { tenantId: "t", key: "k", value, vectorClock }],
  [storage.replicateData, { tenantId: "t", ...transferOf([{ key: "k", version: copy }]) }],
  [storage.streamKeys, { tenantId: "t" }],
];

/** A clock whose turns a test ends. */
class TurnClock {
  readonly #real = denoClock();
  #soon: (() => void)[] = [];
  #offsetMs = 0;
  readonly clock: Clock = {
    ...this.#real,
    monotonicMs: () => this.#real.monotonicMs() + this.#offsetMs,
    soon: (run) => {
      this.#soon.push(run);
      return () => {
        this.#soon = this.#soon.filter((each) => each !== run);
      };
    },
  };

  endLongTurn(): void {
    this.#offsetMs += 100;
    for (const run of this.#soon.splice(0)) run();
  }
}

async function makeBusy({ port, node }: TestPort, turns: TurnClock): Promise<void> {
  node.plant("t", "k", [value]);
  node.plant("u", "k", [value]);
  for (let i = 0; i < 33; i++) {
    const request = { tenantId: i % 2 === 0 ? "t" : "u", key: "k" };
    assert.equal((await callJson(port, "KeyValueService/Get", request)).status, 200);
  }
  turns.endLongTurn();
  for (let i = 0; i < QUANTUM; i++) {
    await callJson(port, "KeyValueService/Get", { tenantId: "t", key: "k" });
  }
}

async function metric({ port }: TestPort, name: string): Promise<number> {
  const text = await (await fetch(`${port.url}/metrics`)).text();
  return Number(new RegExp(`^${name} (.*)$`, "m").exec(text)![1]);
}

async function call(
  { port }: TestPort,
  way: Way,
  [method, init]: (typeof CALLS)[number],
): Promise<Outcome> {
  const peer = await Http2Peer.open(port.port);
  try {
    const body = bodyOf(way, method, [create(method.input, init)]);
    return await callBy(way, { url: port.url, peer }, { method, body });
  } finally {
    await peer.close();
  }
}

function nameOf({ name, parent }: DescMethod): string {
  return parent === KeyValueService ? name : `${parent.name}.${name}`;
}

for (const each of CALLS) {
  const [method] = each;
  Deno.test(`fair: ${nameOf(method)} waits for its tenant's turn on a busy node, every way [B2]`, async () => {
    for (const way of waysOf(method)) {
      const turns = new TurnClock();
      await withPort(async (it) => {
        await makeBusy(it, turns);
        let isDone = false;
        const waits = call(it, way, each).finally(() => isDone = true);
        while (await metric(it, "pairdb_fair_waiting") === 0);
        // Another tenant's does not.
        const other = { tenantId: "u", key: "k" };
        assert.equal((await callJson(it.port, "KeyValueService/Get", other)).status, 200);
        assert.equal(isDone, false, way.name);
        turns.endLongTurn();
        assert.equal((await waits).code, "ok", way.name);
        assert.equal(await metric(it, "pairdb_fair_waited_total"), 1);
      }, { clock: turns.clock });
    }
  });

  Deno.test(`fair: ${nameOf(method)} that too many of its tenant's wait before is 2008, every way [B2]`, async () => {
    for (const way of waysOf(method)) {
      const turns = new TurnClock();
      await withPort(async (it) => {
        await makeBusy(it, turns);
        const { code, details } = await call(it, way, each);
        assert.equal(code, "resource_exhausted", way.name);
        const [, hex] = details[0].split(" ");
        const detail = fromBinary(ErrorDetailSchema, Uint8Array.fromHex(hex));
        assert.deepEqual([detail.code, detail.details.reason], [2008, "tenant_queue"], way.name);
        assert.ok(Number(detail.details.retry_after_ms) > 0);
        assert.ok(it.node.get("t", "k") !== undefined);
        assert.equal(await metric(it, "pairdb_fair_refused_total"), 1);
      }, { clock: turns.clock, limits: { tenantWaitingCalls: 0 } });
    }
  });
}

Deno.test("fair: Watch waits for its tenant's turn to begin, and is refused where too many wait [B2]", async () => {
  for (const tenantWaitingCalls of [1, 0]) {
    const turns = new TurnClock();
    await withPort(async (it) => {
      await makeBusy(it, turns);
      const abort = new AbortController();
      const begins = fetch(`${it.port.url}/v1/tenants/t/watch`, { signal: abort.signal });
      if (tenantWaitingCalls === 0) {
        const answer = await begins;
        assert.equal(answer.status, 429);
        assert.match(await answer.text(), /tenant_queue/);
        return;
      }
      while (await metric(it, "pairdb_fair_waiting") === 0);
      turns.endLongTurn();
      const answer = await begins;
      assert.equal(answer.status, 200);
      const { value: first } = await answer.body!.getReader().read();
      assert.match(new TextDecoder().decode(first), /progress/i);
      abort.abort();
    }, { clock: turns.clock, limits: { tenantWaitingCalls } });
  }
});

Deno.test("fair: a call whose client goes while it waits is never begun [B2]", async () => {
  const turns = new TurnClock();
  await withPort(async (it) => {
    await makeBusy(it, turns);
    const before = it.node.putsBegun;
    const abort = new AbortController();
    const waits = fetch(`${it.port.url}/pairdb.v1.KeyValueService/Put`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ tenantId: "t", key: "new", value: value.toBase64() }),
      signal: abort.signal,
    });
    while (await metric(it, "pairdb_fair_waiting") === 0);
    abort.abort();
    await assert.rejects(waits);
    const gone =
      'pairdb_rpc_calls_total{service="pairdb.v1.KeyValueService",method="Put",code="canceled"}';
    const isGone = async () =>
      (await (await fetch(`${it.port.url}/metrics`)).text()).includes(gone);
    while (!await isGone());
    turns.endLongTurn();
    await until(() => it.logged.some(({ event }) => event === "rpc_late_error"));
    assert.equal(it.node.putsBegun, before);
  }, { clock: turns.clock });
});
