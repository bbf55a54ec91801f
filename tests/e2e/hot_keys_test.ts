/**
 * Hot keys of the real program: found, and refused beyond their limit, whatever way the calls come.
 * @module
 */
import assert from "node:assert/strict";
import { create, type DescMethod, fromBinary, type Message } from "@bufbuild/protobuf";
import { PairDB } from "../../src/client/mod.ts";
import { AdminService } from "../../src/gen/pairdb/v1/admin_pb.ts";
import { ErrorCode, ErrorDetailSchema } from "../../src/gen/pairdb/v1/common_pb.ts";
import { KeyValueService } from "../../src/gen/pairdb/v1/kv_pb.ts";
import { Http2Peer } from "../support/http2_by_hand.ts";
import { lastSequence, runProgram, Server, withDirectory, withServer } from "../support/server.ts";
import { answerBy, bodyOf, callBy, type Outcome, outcomeOf, waysOf } from "../support/ways.ts";

const { get, put, delete: remove } = KeyValueService.method;
const { listHotKeys } = AdminService.method;
/** One a second: of calls that come together most are refused, however slow the machine is. */
const LIMITS = [
  ...["--set", "hot_keys.max_reads_per_second=1"],
  ...["--set", "hot_keys.max_writes_per_second=1"],
];
const TOGETHER = 20;

const tenantId = "shop";
const value = new Uint8Array([1]);

function detailOf({ code, details }: Outcome) {
  assert.equal(code, "resource_exhausted");
  const [type, hex] = details[0].split(" ");
  assert.equal(type, ErrorDetailSchema.typeName);
  return fromBinary(ErrorDetailSchema, Uint8Array.fromHex(hex));
}

Deno.test("a key beyond its limit is refused with 2008 and a hint every way, changes nothing, may be deleted, and is served after the hint [B12]", () =>
  withServer(async (server) => {
    const db = PairDB.connect(server.url);
    const peer = await Http2Peer.open(server.port);
    const target = { url: server.url, peer };
    const messageOf = (method: DescMethod, key: string): Message =>
      create(method.input, { tenantId, key, ...(method === put ? { value } : {}) });
    for (const method of [get, put]) {
      for (const way of waysOf(method)) {
        const what = `${method.name} by ${way.name}`;
        const key = `hot ${what}`;
        if (method === get) await db.put(tenantId, key, value);
        const before = await lastSequence(server);
        const body = bodyOf(way, method, [messageOf(method, key)]);
        const sent = { method, body };
        const answers = await Promise.all(
          Array.from({ length: TOGETHER }, () => answerBy(way, target, sent)),
        );
        const refused = answers.filter((answer) => outcomeOf(way, method, answer).code !== "ok");
        assert.ok(refused.length > 0, what);
        for (const answer of refused) {
          const detail = detailOf(outcomeOf(way, method, answer));
          assert.equal(detail.code, ErrorCode.RESOURCE_EXHAUSTED, what);
          const { reason, limit, retry_after_ms: waitMs, outcome } = detail.details;
          assert.deepEqual([reason, limit], ["hot_key", "1"], what);
          assert.ok(Number(waitMs) > 0 && Number(waitMs) <= 1000, `${what}: ${waitMs}`);
          assert.equal(outcome, method === put ? "not_applied" : undefined, what);
          if (way.protocol.startsWith("Connect")) {
            const status = answer.header.find(([name]) => name === ":status")?.[1];
            assert.equal(status, "429", what);
          }
        }
        const written = method === put ? TOGETHER - refused.length : 0;
        assert.equal(await lastSequence(server), before + written, what);
      }
    }
    const [short] = waysOf(put);
    const key = `hot Put by ${short.name}`;
    const served = async () => {
      const body = bodyOf(short, put, [messageOf(put, key)]);
      return await callBy(short, target, { method: put, body });
    };
    for (let outcome = await served(); outcome.code !== "ok"; outcome = await served()) {
      const { details } = detailOf(outcome);
      await new Promise((resolve) => setTimeout(resolve, Number(details.retry_after_ms)));
    }
    const body = bodyOf(short, remove, [messageOf(remove, key)]);
    for (let i = 0; i < TOGETHER; i++) {
      assert.equal((await callBy(short, target, { method: remove, body })).code, "ok");
    }
    await peer.close();
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    assert.match(metrics, /^pairdb_refusals_total\{operation="read",reason="hot_key"\} \d+$/m);
    assert.match(metrics, /^pairdb_refusals_total\{operation="write",reason="hot_key"\} \d+$/m);
    assert.match(metrics, /^pairdb_hot_reads_refused_total [1-9]/m);
    assert.match(metrics, /^pairdb_tenant_refused_total\{tenant="shop"\} [1-9]/m);
    assert.ok(!metrics.includes("hot Put") && !server.log.includes("hot Put"));
  }, LIMITS));

Deno.test("hot keys are listed every way, by the command and by the SDK, and nothing is refused where there is no limit [B12]", () =>
  withServer(async (server) => {
    const db = PairDB.connect(server.url);
    for (const tenant of [tenantId, "other"]) await db.put(tenant, "cold", value);
    await Promise.all(Array.from({ length: 50 }, () => db.put(tenantId, "written", value)));
    await Promise.all(Array.from({ length: 100 }, () => db.get(tenantId, "written")));
    const peer = await Http2Peer.open(server.port);
    for (const way of waysOf(listHotKeys)) {
      const message = create(listHotKeys.input, { tenantId });
      const body = bodyOf(way, listHotKeys, [message]);
      const target = { url: server.url, peer };
      const { code, messages } = await callBy(way, target, { method: listHotKeys, body });
      assert.equal(code, "ok", way.name);
      const [{ keys, windowMs }] = messages as {
        keys: { tenantId: string; key: string; reads: object; writes: object }[];
        windowMs: string;
      }[];
      assert.deepEqual(keys.map(({ tenantId, key }) => [tenantId, key]), [
        ["shop", "written"],
        ["shop", "cold"],
      ], way.name);
      assert.equal(windowMs, "10000");
    }
    await peer.close();
    const [hottest, ...rest] = await db.admin.hotKeys();
    assert.deepEqual([hottest.tenant, hottest.key, rest.length], ["shop", "written", 2]);
    // Twice as many, of the same moment and so about as old.
    const share = hottest.reads.perSecond / hottest.writes.perSecond;
    assert.ok(share > 1.9, `${share}`);
    assert.deepEqual([hottest.reads.error, hottest.writes.error], [0, 0]);
    assert.equal((await db.admin.hotKeys({ limit: 1 })).length, 1);
    const command = (...args: string[]) => runProgram("hot-keys", ...args, "--server", server.url);
    const table = await command("shop", "--limit", "1");
    assert.match(table.out, /^shop\twritten\t[\d.]+\t[\d.]+\n$/);
    const json = JSON.parse((await command("--output", "json")).out);
    assert.equal(json.length, 3);
    assert.deepEqual(Object.keys(json[0]), [
      ...["tenant", "key", "reads_per_second", "reads_error"],
      ...["writes_per_second", "writes_error"],
    ]);
    const unknown = await command("nobody");
    assert.equal(unknown.code, 1);
    assert.match(unknown.err, /\(code 1004 InvalidTenantID\)\n$/);
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    assert.match(metrics, /^# TYPE pairdb_hot_read_share gauge$/m);
    assert.match(metrics, /^pairdb_hot_read_share 1$/m);
    assert.match(metrics, /^pairdb_hot_reads_refused_total 0$/m);
  }));

Deno.test("a client sees hot keys of its own tenant alone, which it has to name, and an operator all [B12]", () =>
  withDirectory(async (directory) => {
    const data = `${directory}/data`;
    const token = async (...args: string[]) => {
      const { code, out, err } = await runProgram("token", "create", "--data", data, ...args);
      assert.equal(code, 0, err);
      return out.trim();
    };
    const tokens = {
      operator: await token("--role", "operator"),
      client: await token("--role", "client", "--tenants", tenantId),
    };
    const args = ["--set", "auth.mode=token"];
    await using server = await Server.start({ data, args });
    const [operator, client] = [tokens.operator, tokens.client].map((token) =>
      PairDB.connect(server.url, { token })
    );
    for (const tenant of [tenantId, "other"]) await operator.put(tenant, `of ${tenant}`, value);
    const keysOf = async (db: PairDB, tenant?: string) =>
      (await db.admin.hotKeys({ tenant })).map(({ key }) => key).sort();
    assert.deepEqual(await keysOf(operator), ["of other", "of shop"]);
    assert.deepEqual(await keysOf(client, tenantId), ["of shop"]);
    for (const tenant of [undefined, "other", "none"]) {
      await assert.rejects(keysOf(client, tenant), /do not allow/);
    }
    await assert.rejects(keysOf(PairDB.connect(server.url), tenantId), /needs a token/);
  }));
