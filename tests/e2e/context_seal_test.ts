/**
 * Seals of contexts through the real program: over a kill, with the SDK, as text, over plain HTTP, between nodes,
 * and where they are required.
 * @module
 */
import assert from "node:assert/strict";
import { decodeContext, encodeContext, PairDB } from "../../src/client/mod.ts";
import { openPairDB } from "../../src/embedded/mod.ts";
import { callJson, NotReady, runProgram, Server, withDirectory } from "../support/server.ts";

const refused = {
  name: "PairError",
  code: 1000,
  details: { outcome: "not_applied", reason: "context_seal" },
};

Deno.test("a context is good for its key of its tenant, as a value and as text, also after kill -9", () =>
  withDirectory(async (data) => {
    let text: string;
    {
      await using server = await Server.start({ data });
      const db = PairDB.connect(server.url);
      const { context } = await db.put("shop", "cart/1", "2 apples");
      assert.notEqual(context.seal, undefined);
      assert.deepEqual((await db.get("shop", "cart/1"))!.context, context);
      await assert.rejects(db.put("shop", "cart/2", "lost", { context }), refused);
      await assert.rejects(db.put("stop", "cart/1", "lost", { context }), refused);
      await assert.rejects(db.delete("shop", "cart/2", { context, ifContext: true }), refused);
      assert.equal(await db.get("shop", "cart/2"), undefined);
      text = encodeContext(context);
      await server.kill();
    }
    await using server = await Server.start({ data });
    const db = PairDB.connect(server.url);
    const context = decodeContext(text);
    await assert.rejects(db.put("shop", "cart/2", "lost", { context }), refused);
    const next = await db.put("shop", "cart/1", "3 apples", { context, ifContext: true });
    // The one that a refusal tells is as good.
    const present = await db.put("shop", "cart/1", "x", { context, ifContext: true })
      .catch((error) => error.present);
    assert.deepEqual(present, next.context);
    await db.put("shop", "cart/1", "4 apples", { context: present, ifContext: true });
    assert.equal(await server.stop(), 0);
  }));

Deno.test("server.context_seal=required takes no context that the node did not give; nodes need none", () =>
  withDirectory(async (data) => {
    const args = ["--set", "server.context_seal=required"];
    await using server = await Server.start({ data, args });
    const db = PairDB.connect(server.url);
    const { context } = await db.put("shop", "cart/1", "2 apples");
    const { entries, dots } = context;
    await assert.rejects(db.put("shop", "cart/1", "lost", { context: { entries, dots } }), refused);
    await db.put("shop", "cart/1", "3 apples", { context });
    // What has seen nothing claims nothing.
    await db.put("shop", "cart/2", "1 pear", {
      context: { entries: [], dots: [] },
      ifContext: true,
    });

    const vectorClock = { entries: [{ coordinatorNodeId: "other", logicalTimestamp: "5" }] };
    const copy = { tenantId: "shop", key: "cart/3", value: "aGVsbG8=", vectorClock };
    const written = await callJson(server, "StorageNodeService/Write", copy);
    assert.deepEqual(written.vectorClock, vectorClock);
    const read = await callJson(server, "StorageNodeService/Read", copy);
    assert.deepEqual(read.vectorClock, vectorClock);
    // A seal is no part of a version: one that comes along is left behind.
    const sealed = { ...copy, vectorClock: { ...vectorClock, seal: "7" } };
    await callJson(server, "StorageNodeService/Repair", sealed);
    assert.deepEqual(
      (await callJson(server, "StorageNodeService/Read", copy)).vectorClock,
      vectorClock,
    );
    const shown = await callJson(server, "KeyValueService/Get", copy);
    assert.match(shown.vectorClock.seal, /^\d+$/);
    assert.equal(await server.stop(), 0);
  }));

Deno.test("a damaged SEAL_KEY is found by check and refused by serve; without it contexts are given anew", () =>
  withDirectory(async (data) => {
    const path = `${data}/SEAL_KEY`;
    let server = await Server.start({ data });
    const { context } = await PairDB.connect(server.url).put("t", "k", "1");
    assert.equal(await server.stop(), 0);
    assert.match((await runProgram("check", data)).out, /^OK {7}seal_key \S+\/SEAL_KEY /m);
    await Deno.writeTextFile(path, (await Deno.readTextFile(path)).slice(1));
    const checked = await runProgram("check", data);
    assert.equal(checked.code, 1);
    assert.match(checked.out, /^DAMAGED {2}seal_key \S+\/SEAL_KEY: /m);
    await assert.rejects(Server.start({ data }), NotReady);
    await Deno.remove(path);
    server = await Server.start({ data });
    const db = PairDB.connect(server.url);
    await assert.rejects(db.put("t", "k", "lost", { context }), refused);
    await db.put("t", "k", "2", { context: (await db.get("t", "k"))!.context });
    assert.equal(await server.stop(), 0);
  }));

Deno.test("a watch over plain HTTP tells contexts that can be written with", () =>
  withDirectory(async (data) => {
    await using server = await Server.start({ data });
    await callJson(server, "KeyValueService/Put", { tenantId: "t", key: "k", value: "MQ==" });
    const response = await fetch(`${server.url}/v1/tenants/t/watch?initial=1`);
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    while (!text.includes('"INITIAL"') || !text.endsWith("\n")) text += (await reader.read()).value;
    await reader.cancel();
    const event = text.split("\n").filter(Boolean).map((line) => JSON.parse(line))
      .find(({ type }) => type === "INITIAL");
    const { vectorClock } = event;
    const write = { tenantId: "t", key: "k", value: "Mg==", vectorClock, ifContext: true };
    await callJson(server, "KeyValueService/Put", write);
    assert.equal(await server.stop(), 0);
  }));

Deno.test("the embedded database seals its contexts, too", async () => {
  await using db = await openPairDB({ memory: true });
  const context = await db.put("shop", "cart/1", "2 apples");
  assert.notEqual(context.seal, undefined);
  assert.deepEqual(db.get("shop", "cart/1")!.context, context);
  await assert.rejects(db.put("shop", "cart/2", "lost", { context }), {
    code: 1000,
    details: { reason: "context_seal" },
  });
  await db.put("shop", "cart/1", "3 apples", { context, ifContext: true });
  const [row] = [...db.scan("shop")];
  await db.delete("shop", "cart/1", { context: row.context });
});
