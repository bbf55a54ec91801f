/**
 * Networks: one suite for the machine's and the simulated one.
 * @module
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import {
  type Connection,
  denoNetwork,
  type Network,
  SimNetwork,
} from "../../../src/runtime/mod.ts";

const NETWORKS: Record<string, () => Network> = {
  denoNetwork: () => denoNetwork(),
  SimNetwork: () => new SimNetwork(),
};
const HOST = "127.0.0.1";

/** Reads a stream to its end. */
async function readAll(stream: Connection): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}

/** Ends a connection and waits until both of its ends have closed. */
async function hangUp(...ends: Connection[]): Promise<void> {
  const closed = ends.filter((end) => !end.closed).map((end) => once(end, "close"));
  for (const end of ends) end.destroy();
  await Promise.all(closed);
}

for (const [name, make] of Object.entries(NETWORKS)) {
  Deno.test(`${name}: bytes go both ways, whole and in order, ends are seen`, async () => {
    const network = make();
    const accepted = Promise.withResolvers<Connection>();
    const listener = await network.listen({ host: HOST, port: 0 }, accepted.resolve);
    assert.equal(listener.host, HOST);
    assert.ok(listener.port > 0);
    const near = await network.connect(listener);
    const far = await accepted.promise;
    assert.equal(typeof far.remoteAddress, "string");
    far.setNoDelay?.(true);
    // More than any buffer holds.
    const sent = Uint8Array.from({ length: 1 << 20 }, (_, i) => (i * 31) >>> 3);
    near.end(sent);
    const got = await readAll(far);
    assert.equal(Buffer.compare(got, sent), 0);
    await hangUp(near, far);
    await listener.close();
  });

  Deno.test(`${name}: a closed listener refuses, its connections stay`, async () => {
    const network = make();
    const accepted = Promise.withResolvers<Connection>();
    const listener = await network.listen({ host: HOST, port: 0 }, accepted.resolve);
    const near = await network.connect(listener);
    const far = await accepted.promise;
    await listener.close();
    await listener.close();
    await assert.rejects(network.connect(listener), { code: "ECONNREFUSED" });
    near.write("still here");
    const [chunk] = await once(far, "data");
    assert.equal(String(chunk), "still here");
    await hangUp(near, far);
  });

  Deno.test(`${name}: bytes that were written are the writer's again`, async () => {
    const network = make();
    const accepted = Promise.withResolvers<Connection>();
    const listener = await network.listen({ host: HOST, port: 0 }, accepted.resolve);
    const near = await network.connect(listener);
    const far = await accepted.promise;
    const buffer = new Uint8Array([1, 2, 3]);
    await new Promise<unknown>((resolve) => near.write(buffer, resolve));
    buffer.fill(9);
    near.end();
    assert.deepEqual(await readAll(far), new Uint8Array([1, 2, 3]));
    await hangUp(near, far);
    await listener.close();
  });

  Deno.test(`${name}: a taken port is EADDRINUSE, a free one can be taken again`, async () => {
    const network = make();
    const first = await network.listen({ host: HOST, port: 0 }, () => {});
    await assert.rejects(network.listen(first, () => {}), { code: "EADDRINUSE" });
    await first.close();
    const second = await network.listen({ host: HOST, port: first.port }, () => {});
    assert.equal(second.port, first.port);
    await second.close();
  });
}
