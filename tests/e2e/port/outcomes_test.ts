/**
 * What a client is told of a write that failed, or whose call ended before it did, and that it is true: not applied,
 * or unknown. A call that is given up frees its work wherever that waits.
 * @module
 */
import assert from "node:assert/strict";
import { create, type DescMethod, fromBinary } from "@bufbuild/protobuf";
import { ErrorDetailSchema } from "../../../src/gen/pairdb/v1/common_pb.ts";
import { KeyValueService } from "../../../src/gen/pairdb/v1/kv_pb.ts";
import { StorageNodeService } from "../../../src/gen/pairdb/v1/storage_node_pb.ts";
import { PairError } from "../../../src/model/mod.ts";
import type { StorageNode } from "../../../src/node/mod.ts";
import { Http2Peer, postFields } from "../../support/http2_by_hand.ts";
import { type TestPort, until, withPort } from "../../support/port.ts";
import {
  answerBy,
  bodyOf,
  headersOf,
  LONG,
  type Outcome,
  outcomeOf,
  SHORT,
  type Way,
  waysOf,
} from "../../support/ways.ts";

const SHORT_MS = 30;
const value = Uint8Array.of(7);
const clock = { entries: [{ coordinatorNodeId: "n", logicalTimestamp: 1n }] };

/** Every write, and whether a node has done it. */
const WRITES:
  readonly (readonly [DescMethod, Record<string, unknown>, (it: TestPort) => boolean])[] = [
    [KeyValueService.method.put, { tenantId: "t", key: "new", value }, hasNew],
    [KeyValueService.method.batchPut, { tenantId: "t", items: [{ key: "new", value }] }, hasNew],
    [KeyValueService.method.delete, { tenantId: "t", key: "old" }, lacksOld],
    [StorageNodeService.method.write, { tenantId: "t", key: "new", value }, hasNew],
    [
      StorageNodeService.method.write,
      { tenantId: "t", key: "new", value, vectorClock: clock },
      hasNew,
    ],
    [StorageNodeService.method.delete, { tenantId: "t", key: "old" }, lacksOld],
    [
      StorageNodeService.method.delete,
      { tenantId: "t", key: "old", vectorClock: clock },
      lacksOld,
    ],
    [
      StorageNodeService.method.repair,
      { tenantId: "t", key: "new", value, vectorClock: clock },
      hasNew,
    ],
  ];

function hasNew({ node }: TestPort): boolean {
  return node.get("t", "new") !== undefined;
}

function lacksOld({ node }: TestPort): boolean {
  return node.get("t", "old") === undefined;
}

function outcomeIn({ code, details }: Outcome, wanted = "deadline_exceeded"): string | undefined {
  assert.equal(code, wanted);
  const [type, hex] = details[0].split(" ");
  assert.equal(type, ErrorDetailSchema.typeName);
  return fromBinary(ErrorDetailSchema, Uint8Array.fromHex(hex)).details.outcome;
}

/** Calls with a deadline, on a connection of its own. */
function callBriefly(
  it: TestPort,
  way: Way,
  method: DescMethod,
  init: Record<string, unknown>,
): Promise<Outcome> {
  return call(it, way, method, init, SHORT_MS);
}

/** Calls on a connection of its own. @param timeoutMs  undefined: without a deadline */
async function call(
  it: TestPort,
  way: Way,
  method: DescMethod,
  init: Record<string, unknown>,
  timeoutMs?: number,
): Promise<Outcome> {
  const peer = await Http2Peer.open(it.port.port);
  try {
    const grpc = way.protocol === "gRPC" || way.protocol === "gRPC-Web";
    const body = bodyOf(way, method, [create(method.input, init)]);
    const timeout = timeoutMs === undefined ? undefined : grpc ? `${timeoutMs}m` : `${timeoutMs}`;
    const sent = timeout === undefined ? { method, body } : { method, body, timeout };
    const answer = await answerBy(way, { url: it.port.url, peer }, sent);
    return outcomeOf(way, method, answer);
  } finally {
    await peer.close();
  }
}

for (const [method, init, isDone] of WRITES) {
  const name = `${method.parent.name}/${method.name}${
    "vectorClock" in init ? " of a version" : ""
  }`;

  Deno.test(`outcomes: ${name} that the log never got is not applied, every way [B5]`, async () => {
    for (const way of waysOf(method)) {
      await withPort(async (it) => {
        await it.node.put("t", { key: "old", value });
        const gate = Promise.withResolvers<void>();
        it.node.gate = gate.promise;
        const outcome = await callBriefly(it, way, method, init);
        assert.equal(outcomeIn(outcome), "not_applied", way.name);
        gate.resolve();
        // What waited at the gate has had its turn, and every later one.
        it.node.gate = Promise.resolve();
        await it.node.put("t", { key: "later", value });
        assert.equal(isDone(it), false, `${way.name}: and it never will be`);
      });
    }
  });

  Deno.test(`outcomes: ${name} that the log has finishes, and is unknown until then, every way [B5]`, async () => {
    for (const way of waysOf(method)) {
      await withPort(async (it) => {
        await it.node.put("t", { key: "old", value });
        const gate = Promise.withResolvers<void>();
        it.node.syncGate = gate.promise;
        const outcome = await callBriefly(it, way, method, init);
        assert.equal(outcomeIn(outcome), "unknown", way.name);
        assert.equal(isDone(it), false);
        gate.resolve();
        await until(() => isDone(it));
      });
    }
  });

  Deno.test(`outcomes: ${name} that fails is unknown once the log has it, and not applied before, every way [B5]`, async () => {
    for (const way of waysOf(method)) {
      await withPort(async (it) => {
        await it.node.put("t", { key: "old", value });
        // One object, as a log that failed has one error for all.
        const failure = new PairError("CommitLogFailed", "Cannot write the log: EIO", {
          file: "f",
        });
        const ask = async () => outcomeIn(await call(it, way, method, init), "internal");
        it.node.failure = failure;
        assert.equal(await ask(), "not_applied", way.name);
        it.node.failure = undefined;
        it.node.logFailure = failure;
        assert.equal(await ask(), "unknown", way.name);
        it.node.failure = failure;
        assert.equal(await ask(), "not_applied", way.name);
        it.node.failure = undefined;
        assert.equal(isDone(it), false);
      });
    }
  });
}

Deno.test("outcomes: what is wrong with a write is told with its other details", () =>
  withPort(async (it) => {
    const { put } = KeyValueService.method;
    for (const way of waysOf(put)) {
      const init = { tenantId: "t", key: "k", value: new Uint8Array(10 * 1024 * 1024 + 1) };
      const { code, details } = await call(it, way, put, init);
      assert.equal(code, "invalid_argument");
      const { details: facts } = fromBinary(
        ErrorDetailSchema,
        Uint8Array.fromHex(details[0].split(" ")[1]),
      );
      assert.deepEqual(
        { ...facts },
        { bytes: "10485761", limit: "10485760", outcome: "not_applied" },
        way.name,
      );
    }
  }));

Deno.test("outcomes: a read that fails says nothing of the kind", () =>
  withPort(async (it) => {
    const { get } = KeyValueService.method;
    it.node.failure = new PairError("SSTableFailed", "Cannot read the table: EIO");
    for (const way of waysOf(get)) {
      const outcome = await call(it, way, get, { tenantId: "t", key: "k" });
      assert.equal(outcomeIn(outcome, "internal"), undefined, way.name);
    }
  }));

Deno.test("outcomes: a read that ends early says nothing of the kind", () =>
  withPort(async (it) => {
    const node: StorageNode = it.node;
    node.read = () => new Promise(() => {});
    const { get } = KeyValueService.method;
    for (const way of waysOf(get)) {
      const outcome = await callBriefly(it, way, get, { tenantId: "t", key: "k" });
      assert.equal(outcomeIn(outcome), undefined, way.name);
    }
  }));

Deno.test("outcomes: a port that closes says what became of each write", () =>
  withPort(async (it) => {
    const { put, get } = KeyValueService.method;
    const node: StorageNode = it.node;
    node.read = () => new Promise(() => {});
    const peer = await Http2Peer.open(it.port.port);
    try {
      const target = { url: it.port.url, peer };
      const ways = [SHORT, LONG];
      const send = (way: Way, method: DescMethod) => {
        const init: Record<string, unknown> = { tenantId: "t", key: "k", value };
        const body = bodyOf(way, method, [create(method.input, init)]);
        return answerBy(way, target, { method, body });
      };
      it.node.gate = new Promise(() => {});
      const waiting = ways.map((way) => send(way, put));
      await until(() => it.node.putsBegun === 2);
      it.node.gate = Promise.resolve();
      it.node.syncGate = new Promise(() => {});
      const written = ways.map((way) => send(way, put));
      await until(() => it.node.putsBegun === 4);
      const reading = ways.map((way) => send(way, get));
      await running(it, 6);
      await Promise.all([it.port.close(), ...waiting, ...written, ...reading]);
      for (
        const [method, answers, wanted] of [
          [put, waiting, "not_applied"],
          [put, written, "unknown"],
          [get, reading, undefined],
        ] as const
      ) {
        for (const [i, answer] of answers.entries()) {
          const { code, details } = outcomeOf(ways[i], method, await answer);
          assert.equal(code, "unavailable");
          const detail = fromBinary(
            ErrorDetailSchema,
            Uint8Array.fromHex(details[0].split(" ")[1]),
          );
          assert.equal(detail.details.outcome, wanted, ways[i].name);
        }
      }
    } finally {
      await peer.close();
    }
  }, { limits: { shutdownTimeoutMs: 50 } }));

/** Waits until so many calls run; the test's own time limit bounds it. */
async function running(it: TestPort, count: number): Promise<void> {
  for (let now = -1; now !== count;) {
    const metrics = await (await fetch(`${it.port.url}/metrics`)).text();
    now = Number(/^pairdb_rpc_running (\d+)$/m.exec(metrics)?.[1]);
  }
}

/** Where a call can be when its client leaves. */
const STAGES = ["the body", "the gate", "the sync"] as const;

for (const way of [SHORT, LONG]) {
  for (const stage of STAGES) {
    for (const lost of [false, true]) {
      const how = lost ? "a lost connection" : "a reset";
      Deno.test(`outcomes: ${how} frees a write that waits for ${stage} (${way.name})`, () =>
        withPort(async (it) => {
          const { put } = KeyValueService.method;
          const gate = Promise.withResolvers<void>();
          if (stage === "the gate") it.node.gate = gate.promise;
          if (stage === "the sync") it.node.syncGate = gate.promise;
          const body = bodyOf(way, put, [
            create(put.input, { tenantId: "t", key: "new", value }),
          ]);
          const peer = await Http2Peer.open(it.port.port);
          const fields = postFields(`/${KeyValueService.typeName}/Put`, {});
          const id = peer.begin([...fields, ...headersOf(way, { method: put, body })]);
          const whole = stage !== "the body";
          await peer.body(id, [{ bytes: whole ? body : body.subarray(0, 9) }], whole);
          await running(it, 1);
          if (whole) await until(() => it.node.putsBegun === 1);
          if (!lost) await peer.cancel(id);
          else await peer.close();
          const ended = () => it.logged.filter(({ event }) => event === "rpc");
          await until(() => ended().length === 1);
          assert.equal(ended()[0].fields?.code, "canceled");
          gate.resolve();
          if (stage === "the sync") await until(() => hasNew(it));
          else {
            it.node.gate = Promise.resolve();
            await it.node.put("t", { key: "later", value });
            assert.equal(hasNew(it), false);
          }
          const late = () => it.logged.filter(({ event }) => event === "rpc_late_error").length;
          if (stage === "the gate") await until(() => late() === 1);
          else assert.equal(late(), 0);
          await running(it, 0);
          await peer.close();
        }));
    }
  }
}
