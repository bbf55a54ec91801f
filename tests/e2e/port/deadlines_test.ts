/**
 * Deadlines: a call ends when its time is up, whatever way it came and wherever it waits, and one whose time was up
 * before is not begun.
 * @module
 */
import assert from "node:assert/strict";
import { create } from "@bufbuild/protobuf";
import type { StorageNode } from "../../../src/node/mod.ts";
import { FakeNode } from "../../support/fake_node.ts";
import { Http2Peer, postFields } from "../../support/http2_by_hand.ts";
import { type TestPort, withPort } from "../../support/port.ts";
import { RawClient } from "../../support/raw_http.ts";
import { EXAMPLES, prepare } from "../../support/rpc_examples.ts";
import {
  answerBy,
  bodyOf,
  headersOf,
  type Outcome,
  outcomeOf,
  type Sent,
  type Way,
  waysOf,
} from "../../support/ways.ts";

/** Long enough for a busy machine to begin a call in, short enough to wait for. */
const SHORT_MS = 40;

/** Methods of a node that answer with a promise, and so can hang. */
const WAITING = new Set([
  ...[
    "put",
    "delete",
    "batchPut",
    "batchGet",
    "read",
    "explain",
    "applyReplica",
    "replicate",
    "keyRange",
    "createTenant",
    "updateTenant",
  ],
  ...["registerMergeFunction", "removeMergeFunction"],
  ...["startMigration", "cancelMigration", "drain", "cancelDrain"],
  ...["dropTenant", "flush", "compact", "createSnapshot", "verifySnapshot", "deleteSnapshot"],
  ...["invalidateCache", "fillCache"],
]);

/** A node whose methods never answer. */
function hangingNode(fake: FakeNode): { proxy: StorageNode; begun: string[] } {
  const begun: string[] = [];
  const proxy = new Proxy(fake as StorageNode, {
    get(fake, name) {
      const found = Reflect.get(fake, name, fake);
      if (typeof found !== "function") return found;
      return (...args: unknown[]) => {
        if (!WAITING.has(String(name))) return found.apply(fake, args);
        begun.push(String(name));
        return new Promise(() => {});
      };
    },
  });
  return { proxy, begun };
}

const HANGING = EXAMPLES.filter(({ method, usesNode }) =>
  usesNode && method.methodKind === "unary" &&
  ![
    ...["HealthCheck", "ListTenants", "Status", "ListSnapshots", "ListJobs", "ListHotKeys"],
    ...["ListMigrations", "StartScrub"],
    "Check",
    "ListMergeFunctions",
  ].includes(method.name)
);

function timeoutOf(way: Way, ms: number): string {
  return way.protocol === "gRPC" || way.protocol === "gRPC-Web" ? `${ms}m` : String(ms);
}

async function call(way: Way, it: TestPort, sent: Sent): Promise<Outcome> {
  const peer = await Http2Peer.open(it.port.port);
  try {
    const answer = await answerBy(way, { url: it.port.url, peer }, sent);
    return outcomeOf(way, sent.method, answer);
  } finally {
    await peer.close();
  }
}

/** Waits until no call runs; the test's own time limit bounds it. */
async function atRest(it: TestPort): Promise<void> {
  let running = "";
  while (running !== "0") {
    const metrics = await (await fetch(`${it.port.url}/metrics`)).text();
    running = /^pairdb_rpc_running (\d+)$/m.exec(metrics)?.[1] ?? "";
  }
}

for (const { method, good } of HANGING) {
  Deno.test(`deadlines: ${method.parent.name}/${method.name} that hangs ends at its deadline, every way`, async () => {
    const { proxy, begun } = hangingNode(new FakeNode());
    await withPort(async (it) => {
      const ways = waysOf(method);
      await Promise.all(ways.map(async (way) => {
        const body = bodyOf(way, method, [create(method.input, good)]);
        const from = performance.now();
        const outcome = await call(way, it, { method, body, timeout: timeoutOf(way, SHORT_MS) });
        assert.ok(performance.now() - from >= SHORT_MS - 1, `${way.name}: not before`);
        const { code, message } = outcome;
        assert.deepEqual(
          [code, message],
          ["deadline_exceeded", "the operation timed out"],
          way.name,
        );
      }));
      assert.equal(begun.length, ways.length);
      await atRest(it);
    }, { node: proxy });
  });
}

Deno.test("deadlines: without one of the client's, the server's own ends a call, every way", async () => {
  const { proxy } = hangingNode(new FakeNode());
  await withPort(async (it) => {
    for (const { method, good } of HANGING.slice(0, 2)) {
      await Promise.all(
        waysOf(method).map(async (way) => {
          const body = bodyOf(way, method, [create(method.input, good)]);
          for (const timeout of [undefined, timeoutOf(way, 60_000)]) {
            const { code, message } = await call(way, it, {
              method,
              body,
              ...(timeout === undefined ? {} : { timeout }),
            });
            assert.deepEqual(
              [code, message],
              ["deadline_exceeded", "the call took longer than the server allows"],
              way.name,
            );
          }
        }),
      );
    }
    await atRest(it);
  }, { node: proxy, limits: { readTimeoutMs: SHORT_MS, writeTimeoutMs: SHORT_MS } });
});

Deno.test("deadlines: a body that does not come is waited for until the deadline, every way", () =>
  withPort(async (it) => {
    const { method, good } = EXAMPLES[0];
    for (const way of waysOf(method).filter(({ http }) => http === 2)) {
      for (const timeout of [0, SHORT_MS]) {
        const peer = await Http2Peer.open(it.port.port);
        try {
          const body = bodyOf(way, method, [create(method.input, good)]);
          const path = `/${method.parent.typeName}/${method.name}`;
          const fields = postFields(path, {});
          const sent = { method, body, timeout: timeoutOf(way, timeout) };
          const id = peer.begin([...fields, ...headersOf(way, sent)]);
          const answer = peer.answer(id);
          await peer.body(id, [{ bytes: body.subarray(0, 7) }], false);
          assert.equal(outcomeOf(way, method, await answer).code, "deadline_exceeded", way.name);
        } finally {
          await peer.close();
        }
      }
    }
    for (
      const [type, header] of [["proto", "connect-timeout-ms: 40"], [
        "grpc-web",
        "grpc-timeout: 40m",
      ]]
    ) {
      const client = await RawClient.open(it.port.port);
      await client.send(
        "POST /pairdb.v1.KeyValueService/Put HTTP/1.1\r\nhost: localhost\r\n" +
          `content-type: application/${type}\r\n${header}\r\ncontent-length: 1000\r\n\r\n123`,
      );
      const head = new TextDecoder().decode(await client.take(12));
      assert.equal(head, type === "proto" ? "HTTP/1.1 504" : "HTTP/1.1 200");
      await client.close();
    }
    assert.equal(it.node.putsBegun, 0);
    await atRest(it);
  }));

Deno.test("deadlines: a stream ends at its deadline, every way", () =>
  withPort(async (it) => {
    await prepare(it.node);
    const endless = EXAMPLES.filter(({ endless }) => endless);
    assert.ok(endless.length > 0);
    await Promise.all(endless.flatMap(({ method, good }) =>
      waysOf(method).map(async (way) => {
        const body = bodyOf(way, method, [create(method.input, good)]);
        const outcome = await call(way, it, { method, body, timeout: timeoutOf(way, SHORT_MS) });
        assert.equal(outcome.code, "deadline_exceeded", way.name);
        assert.ok(outcome.messages.length <= 1);
      })
    ));
    await atRest(it);
  }));
