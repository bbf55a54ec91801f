/**
 * Streams on a busy node: each of their messages waits for its tenant's turn, so that one that lasts for days takes no
 * more than its share.
 */
import assert from "node:assert/strict";
import { create } from "@bufbuild/protobuf";
import { createHandlerContext } from "@connectrpc/connect";
import {
  KeyValueService,
  ScanRequestSchema,
  WatchRequestSchema,
} from "../../../src/gen/pairdb/v1/kv_pb.ts";
import {
  StorageNodeService,
  StreamKeysRequestSchema,
} from "../../../src/gen/pairdb/v1/storage_node_pb.ts";
import type { TransferBatch, WatchEvent } from "../../../src/node/mod.ts";
import { FairGate } from "../../../src/rpc/fair_gate.ts";
import { keyValueMethods } from "../../../src/rpc/methods/mod.ts";
import { Readiness } from "../../../src/rpc/readiness.ts";
import { keyValueService, storageNodeService } from "../../../src/rpc/services/mod.ts";
import { SimClock } from "../../../src/runtime/mod.ts";
import { FakeNode } from "../../support/fake_node.ts";

const MESSAGES = 20;

/** A node whose streams all have {@link MESSAGES} messages. */
class StreamingNode extends FakeNode {
  constructor() {
    super();
    // Too large for two to travel together.
    for (let i = 0; i < MESSAGES; i++) this.plant("t", `k${i}`, [new Uint8Array(70_000)]);
  }

  override async *streamKeys(): AsyncGenerator<TransferBatch, undefined> {
    const totals = { keys: 0, versions: 0, tombstones: 0, bytes: 0, checksum: 0 };
    for (let i = 0; i < MESSAGES; i++) {
      yield await Promise.resolve({ entries: [], checksum: 0, checkpoint: `${i}`, totals });
    }
  }

  override async *watch(): AsyncGenerator<readonly WatchEvent[], undefined> {
    const clock = { entries: [], dots: [] };
    const event = { key: "k", clock, timestampMs: 0, expiresAtMs: 0, token: "", reason: "" };
    for (let i = 0; i < MESSAGES; i++) {
      const events = Array(100).fill({ ...event, type: "delete", state: undefined });
      yield await Promise.resolve(events);
    }
  }
}

/** The end of a turn of the event loop, when the test says so. */
class Turns {
  nowMs = 0;
  count = 0;
  #soon: (() => void)[] = [];

  monotonicMs(): number {
    return this.nowMs;
  }

  soon(run: () => void): () => void {
    this.#soon.push(run);
    return () => {
      this.#soon = this.#soon.filter((each) => each !== run);
    };
  }

  endLongTurn(): void {
    this.nowMs += 10;
    this.count++;
    for (const run of this.#soon.splice(0)) run();
  }
}

type Streams = "scan" | "watch" | "streamKeys";

function open(name: Streams, fair: FairGate): AsyncIterator<unknown> {
  const node = new StreamingNode();
  const clock = new SimClock();
  const kv = keyValueService(
    keyValueMethods(node, fair),
    node,
    clock,
    new Readiness(node),
    fair,
  );
  const storage = storageNodeService(node, clock, fair);
  const { [name as "scan"]: method } = { ...KeyValueService.method, ...StorageNodeService.method };
  const context = createHandlerContext({
    service: method.parent,
    method,
    protocolName: "grpc",
    requestMethod: "POST",
    url: "http://localhost/",
  });
  const streams = {
    scan: () => kv.scan(create(ScanRequestSchema, { tenantId: "t" }), context),
    watch: () => kv.watch(create(WatchRequestSchema, { tenantId: "t" }), context),
    streamKeys: () =>
      storage.streamKeys!(create(StreamKeysRequestSchema, { tenantId: "t" }), context),
  };
  return streams[name]()[Symbol.asyncIterator]();
}

/** Reads a stream to its end; turns end whenever it waits. */
async function drain(stream: AsyncIterator<unknown>, turns: Turns, waits: () => boolean) {
  let messages = 0;
  for (;;) {
    let step: IteratorResult<unknown> | undefined;
    const reads = stream.next().then((next) => step = next);
    for (let i = 0; i < 100 && step === undefined; i++) await Promise.resolve();
    if (step === undefined) {
      assert.ok(waits(), "waits for nothing");
      turns.endLongTurn();
    }
    await reads;
    if (step!.done) return messages;
    messages++;
  }
}

for (const name of ["scan", "watch", "streamKeys"] as const) {
  Deno.test(`${name}: on a busy node each message is a piece of work of its tenant's [B2]`, async () => {
    const turns = new Turns();
    const fair = new FairGate(turns, 1);
    for (let i = 0; i < 40; i++) fair.isOpen(i % 2 === 0 ? "t" : "u", 1);
    turns.endLongTurn();
    assert.ok(fair.isBusy);
    const stream = open(name, fair);
    assert.equal(await drain(stream, turns, () => fair.waiting === 1), MESSAGES);
    // In a turn one that has waited, and one that is the first of its tenant's.
    assert.ok(turns.count >= MESSAGES / 2, `${turns.count} turns`);
  });

  Deno.test(`${name}: a node that is not busy lets it run, and one that closes ends what waits [B2]`, async () => {
    const turns = new Turns();
    const fair = new FairGate(turns, 1);
    const count = await drain(open(name, fair), turns, () => false);
    assert.deepEqual([count, fair.waited], [MESSAGES, 0]);
    for (let i = 0; i < 40; i++) fair.isOpen(i % 2 === 0 ? "t" : "u", 1);
    turns.endLongTurn();
    assert.ok(!fair.isBusy || fair.isOpen("t", 100));
    const stream = open(name, fair);
    const reads = (async () => {
      while (!(await stream.next()).done);
    })();
    const ends = assert.rejects(reads, { code: 2001 });
    while (fair.waiting === 0) await Promise.resolve();
    fair.close();
    await ends;
  });
}
