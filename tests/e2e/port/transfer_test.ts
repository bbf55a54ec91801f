/**
 * Transfers over the real port: how much of a stream is made for a reader that does not read, and what
 * becomes of it when the reader goes.
 * @module
 */
import assert from "node:assert/strict";
import type { StorageNode } from "../../../src/node/mod.ts";
import { testNode } from "../../support/node.ts";
import { until, withPort } from "../../support/port.ts";
import { connectPeer } from "../../support/transfer.ts";

const MIB = 1 << 20;
const KEYS = 48;

Deno.test("a stream is not made faster than it is read, and ends with its reader [N6, S4]", async () => {
  const { node: real, engine } = testNode();
  for (let i = 0; i < KEYS; i++) {
    await real.put("t", { key: `k${10 + i}`, value: new Uint8Array(MIB) });
  }
  let made = 0;
  const node: StorageNode = new Proxy(real, {
    get(target, name) {
      if (name !== "streamKeys") {
        const member = Reflect.get(target, name, target);
        return typeof member === "function" ? member.bind(target) : member;
      }
      return async function* (...args: Parameters<StorageNode["streamKeys"]>) {
        for await (const batch of target.streamKeys(...args)) {
          made++;
          yield batch;
        }
      };
    },
  });
  await withPort(async ({ port }) => {
    const peer = await connectPeer(port.port);
    const stream = peer.node.streamKeys({ tenantId: "t" })[Symbol.asyncIterator]();
    assert.equal((await stream.next()).value?.entries.length, 1);
    // Others are served meanwhile, and the stream had every chance to run ahead.
    for (let i = 0; i < 50; i++) await peer.node.getKeyRange({ tenantId: "t" });
    assert.ok(made < KEYS / 2, `${made} of ${KEYS} batches for a reader of one`);
    assert.equal(engine.openCursors, 1);
    await peer.close();
    await until(() => engine.openCursors === 0);
    assert.ok(made < KEYS / 2, `${made} of ${KEYS} batches`);
  }, { node });
});
