/**
 * The error table over the wire: whatever row a node fails with, whatever the call, every protocol tells its number,
 * its name, its status and its facts, and never its cause.
 * @module
 */
import assert from "node:assert/strict";
import { Code } from "@connectrpc/connect";
import { AdminService } from "../../../src/gen/pairdb/v1/admin_pb.ts";
import { ErrorCode } from "../../../src/gen/pairdb/v1/common_pb.ts";
import { KeyValueService } from "../../../src/gen/pairdb/v1/kv_pb.ts";
import { StorageNodeService } from "../../../src/gen/pairdb/v1/storage_node_pb.ts";
import { PairError } from "../../../src/model/mod.ts";
import type { StorageNode } from "../../../src/node/mod.ts";
import { ERROR_TABLE } from "../../support/error_table.ts";
import { FakeNode } from "../../support/fake_node.ts";
import { withPort } from "../../support/port.ts";
import { callRaw, encodeMessage, PROTOCOLS } from "../../support/raw_rpc.ts";

const key = { tenantId: "t", key: "k" };
const value = new Uint8Array([1]);
/** One of each kind: a read, a write, a stream, one between nodes, one of an operator. */
const CALLS = [
  [KeyValueService.method.get, key],
  [KeyValueService.method.put, { ...key, value }],
  [KeyValueService.method.scan, { tenantId: "t" }],
  [StorageNodeService.method.repair, {
    ...key,
    value,
    vectorClock: { entries: [{ coordinatorNodeId: "n", logicalTimestamp: 1n }] },
  }],
  [AdminService.method.status, {}],
] as const;

const FACTS = { tenant: "t", bytes: 5, limit: 4, exact: true, reason: "of a test" };
const TOLD = { tenant: "t", bytes: "5", limit: "4", exact: "true", reason: "of a test" };

for (const protocol of PROTOCOLS) {
  Deno.test(`port: every row of the error table has its number, status and facts over ${protocol} [R1, R2, R3]`, () => {
    const fake = new FakeNode();
    let failure: unknown;
    const node = new Proxy<StorageNode>(fake, {
      get(target, name) {
        const found = Reflect.get(target, name, target);
        if (typeof found !== "function") return found;
        return (...args: unknown[]) => {
          // What the port itself asks for.
          if (failure !== undefined && name !== "health") throw failure;
          return found.apply(target, args);
        };
      },
    });
    return withPort(async ({ port, logged }) => {
      for (const [name, number, status, http] of ERROR_TABLE) {
        const cause = new Error("a secret of the cause");
        failure = new PairError(name, `Cannot: ${name}`, FACTS, { cause });
        for (const [method, init] of CALLS) {
          const message = encodeMessage(protocol, method.input, init);
          const answer = await callRaw(port.url, protocol, method, message);
          const isConnect = protocol.startsWith("Connect") && method.methodKind === "unary";
          const { outcome, ...details } = answer.detail?.details ?? {};
          assert.deepEqual({
            status: answer.status,
            http: answer.httpStatus,
            message: answer.message,
            code: answer.detail?.code,
            name: answer.detail?.name,
            details,
          }, {
            status,
            http: isConnect ? http : 200,
            message: `Cannot: ${name}`,
            code: number as ErrorCode,
            name,
            details: TOLD,
          }, `${method.name}: ${name}`);
          const isWrite = method === KeyValueService.method.put ||
            method === StorageNodeService.method.repair;
          assert.equal(outcome, isWrite ? "not_applied" : undefined, `${method.name}: ${name}`);
        }
      }
      failure = undefined;
      assert.ok(logged.every(({ level }) => level !== "error"));
    }, { node });
  });
}

Deno.test("the numbers of the protocol file are those of the error table, and no others [N1, R2, R3, R4]", () => {
  const numbers = Object.values(ErrorCode).filter((each) => typeof each === "number");
  assert.deepEqual(numbers, [0, ...ERROR_TABLE.map(([, number]) => number)]);
  for (const [name, number] of ERROR_TABLE) {
    const spelled = ErrorCode[number].replaceAll("_", "").toLowerCase();
    assert.equal(spelled, name.toLowerCase());
  }
  // Whoever knows the status alone is told whose fault it is, but for data that is damaged.
  for (const [name, number, status, http] of ERROR_TABLE) {
    if (status === Code.DataLoss) continue;
    assert.equal(number >= 2000, http >= 500 || status === Code.ResourceExhausted, name);
  }
});
