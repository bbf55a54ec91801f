/**
 * Slow operations are found, whatever way they came.
 * @module
 */
import assert from "node:assert/strict";
import { create } from "@bufbuild/protobuf";
import { KeyValueService } from "../../../src/gen/pairdb/v1/kv_pb.ts";
import { SimClock, sleepOn } from "../../../src/runtime/mod.ts";
import { Http2Peer } from "../../support/http2_by_hand.ts";
import { callJson, until, withPort } from "../../support/port.ts";
import { bodyOf, callBy, waysOf } from "../../support/ways.ts";

/** A clock whose timers are real, and whose time a test moves. */
function movable() {
  const real = new SimClock();
  let atMs = 1000;
  return {
    move: (ms: number) => void (atMs += ms),
    clock: {
      wallMs: () => real.wallMs(),
      monotonicMs: () => atMs,
      after: (ms: number, run: () => void) => {
        const timer = setTimeout(run, ms);
        return () => clearTimeout(timer);
      },
      soon: (run: () => void) => real.soon(run),
      sleep(ms: number, signal?: AbortSignal) {
        return sleepOn(this, ms, signal);
      },
    },
  };
}

type Listed = Record<string, unknown>;

Deno.test("a slow write is first in the list, with tenant, key and time, and in the log without its key, whatever way it came [O9]", async () => {
  const { clock, move } = movable();
  await withPort(async ({ port, node, logged }) => {
    const peer = await Http2Peer.open(port.port);
    const { put } = KeyValueService.method;
    let slowestMs = 0;
    for (const way of waysOf(put)) {
      const { promise, resolve } = Promise.withResolvers<void>();
      node.gate = promise;
      const begun = node.putsBegun;
      const handed = until(() => node.putsBegun > begun);
      const key = `secret of ${way.name}`;
      const message = create(put.input, { tenantId: "shop", key, value: new Uint8Array(100) });
      const body = bodyOf(way, put, [message]);
      const done = callBy(way, { url: port.url, peer }, { method: put, body });
      await handed;
      move(slowestMs += 200);
      resolve();
      assert.equal((await done).code, "ok");
      const { json } = await callJson(port, "AdminService/ListSlowOperations", { limit: 1 });
      const [slow] = json.operations as Listed[];
      assert.deepEqual(
        [slow.operation, slow.method, slow.tenantId, slow.key, slow.keys, slow.code],
        ["write", "pairdb.v1.KeyValueService/Put", "shop", key, 1, "ok"],
        way.name,
      );
      assert.equal(slow.elapsedMs, slowestMs);
      const lines = logged.filter(({ event }) => event === "slow_operation");
      const { fields } = lines.at(-1)!;
      assert.deepEqual([fields?.tenant, fields?.key_hash], ["shop", slow.keyHash], way.name);
      assert.ok(!JSON.stringify(lines).includes("secret"));
    }
    await peer.close();
  }, { clock });
});

Deno.test("the list of slow operations is by tenant and time, and knows where a read was answered from", async () => {
  const { clock, move } = movable();
  await withPort(async ({ port }) => {
    const put = (tenantId: string) =>
      callJson(port, "KeyValueService/Put", { tenantId, key: "k", value: "" });
    await put("a");
    move(90_000);
    await put("b");
    const list = async (body: unknown) => {
      const { json } = await callJson(port, "AdminService/ListSlowOperations", body);
      return (json.operations as Listed[] ?? []).map(({ tenantId }) => tenantId);
    };
    assert.deepEqual((await list({})).sort(), ["a", "b"]);
    assert.deepEqual(await list({ withinMs: 60_000 }), ["b"]);
    assert.deepEqual(await list({ tenantId: "a" }), ["a"]);
    assert.deepEqual(await list({ tenantId: "a", withinMs: 60_000 }), []);
  }, { clock });
});

Deno.test("a read's layer is known in the short lane", () =>
  withPort(async ({ port, node }) => {
    node.plant("t", "k", [new Uint8Array(3)]);
    const peer = await Http2Peer.open(port.port);
    const { get } = KeyValueService.method;
    const [way] = waysOf(get);
    const body = bodyOf(way, get, [create(get.input, { tenantId: "t", key: "k" })]);
    assert.equal((await callBy(way, { url: port.url, peer }, { method: get, body })).code, "ok");
    await peer.close();
    const { json } = await callJson(port, "AdminService/ListSlowOperations", { tenantId: "t" });
    assert.equal((json.operations as Listed[])[0].source, "memtable");
  }));
