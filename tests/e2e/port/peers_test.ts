/**
 * The way from node to node, over real sockets: what a migration's source asks of its target, who it is, and
 * what it makes of a refusal.
 * @module
 */
import assert from "node:assert/strict";
import { PairError } from "../../../src/model/mod.ts";
import type { Peer } from "../../../src/node/mod.ts";
import {
  CredentialsAuthority,
  openPeers,
  type PeerCredentials,
  type PortTls,
} from "../../../src/rpc/mod.ts";
import { denoClock, denoNetwork, silentLog } from "../../../src/runtime/mod.ts";
import { TestCa } from "../../support/certificates.ts";
import { rejectsCode } from "../../support/node.ts";
import { withPort } from "../../support/port.ts";
import { checksumOf } from "../../support/transfer.ts";
import { certificateOf, tokenOf } from "../../unit/rpc/auth/support.ts";

const ALL = { start: "", end: "", tokens: undefined };
const { signal } = new AbortController();
const FAKE = { nodeId: "fake-1", incarnation: "0f" };

async function withPeer(
  url: string,
  credentials: PeerCredentials,
  test: (peer: Peer) => Promise<void>,
): Promise<void> {
  const world = { network: denoNetwork(), clock: denoClock() };
  const peer = openPeers({ ...world, credentials: () => credentials, allowHttp: false }).open(url);
  try {
    await test(peer);
  } finally {
    peer.close();
  }
}

const version = {
  clock: { entries: [{ node: "n", counter: 1 }], dots: [] },
  dot: undefined,
  value: Uint8Array.of(1, 2),
  timestampMs: 5,
  expiresAtMs: 0,
};

Deno.test("a peer says who it is, takes batches, and counts what it has", () =>
  withPort(({ port, node }) =>
    withPeer(port.url, {}, async (peer) => {
      assert.deepEqual(await peer.identity(signal), FAKE);
      const entries = [{ key: "a", version }, { key: "b", version }];
      const taken = await peer.replicate("t", undefined, entries, checksumOf(entries), signal);
      assert.deepEqual(taken, { keys: 2, versions: 2, applied: 2, lastKey: "b" });
      // What the tenant is goes along, whole.
      const origin = {
        options: {
          conflictStrategy: "merge:larger",
          strategy: "hybrid",
          windowMs: 1000,
          ttlMs: 0,
          compression: "none",
          cacheShare: 50,
          maxBytes: 2 ** 40,
          maxKeys: 7,
          maxRequests: 8,
          maxBandwidth: 9,
        },
        mergeFunctionDigest: "ab".repeat(32),
      } as const;
      await peer.replicate("t", origin, [], 0, signal);
      await peer.replicate("t", { options: {} }, entries, checksumOf(entries), signal);
      const none = { options: {}, mergeFunctionDigest: undefined };
      assert.deepEqual(node.origins, [undefined, origin, none]);
      const counted = await peer.count("t", ALL, signal);
      assert.deepEqual(counted, (await node.keyRange("t", {}, { exact: true })).totals);
      assert.deepEqual(counted?.keys, 2);
      // A damaged batch is refused, and may be sent again.
      await rejectsCode(() => peer.replicate("t", undefined, entries, 1, signal), 1006);
      await rejectsCode(
        () => peer.replicate("t:u", undefined, entries, checksumOf(entries), signal),
        1004,
      );
      node.failure = new PairError("InvalidTenantID", "The tenant does not exist");
      assert.equal((await peer.count("t", ALL, signal))?.keys, 0);
      node.failure = new PairError("DiskFull", "Cannot write", { reason: "x" });
      await assert.rejects(peer.count("t", ALL, signal), (error) => {
        assert.ok(error instanceof PairError);
        assert.deepEqual([error.code, error.details.reason], [2002, "x"]);
        return true;
      });
    })
  ));

Deno.test("a call to a peer that does not answer ends with its signal, and one to nobody says so", async () => {
  await withPort(({ port, node }) =>
    withPeer(port.url, {}, async (peer) => {
      const gate = Promise.withResolvers<void>();
      node.gate = gate.promise;
      const controller = new AbortController();
      const counting = peer.count("t", ALL, controller.signal);
      await new Promise((resolve) => setTimeout(resolve, 0));
      controller.abort(new Error("enough"));
      await assert.rejects(counting, /enough/);
      gate.resolve();
    })
  );
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  await withPeer(
    `http://127.0.0.1:${port}`,
    {},
    (peer) => rejectsCode(() => peer.identity(signal), 2001),
  );
});

Deno.test("nothing goes in clear to another machine unless it is allowed", () => {
  const world = { network: denoNetwork(), clock: denoClock() };
  const open = (url: string, allowHttp: boolean) =>
    openPeers({ ...world, credentials: () => ({ token: "secret" }), allowHttp }).open(url).close();
  for (
    const host of [
      "n2:50052",
      "10.0.0.2:50052",
      "0.0.0.0:50052",
      "[::]:50052",
      "[::2]:50052",
      "localhost.example:50052",
      "127.0.0.1.example:50052",
    ]
  ) {
    assert.throws(() => open(`http://${host}`, false), (error) => {
      assert.ok(error instanceof PairError);
      assert.deepEqual([error.code, error.details.reason], [1000, "plain_http"]);
      assert.match(error.message, /peer\.allow_http/);
      return true;
    }, host);
    open(`http://${host}`, true);
    open(`https://${host}`, false);
  }
  for (const host of ["localhost", "LOCALHOST", "127.0.0.1", "127.1", "[::1]", "[0:0::1]"]) {
    open(`http://${host}:50052`, false);
  }
});

Deno.test("a peer that was lost is connected to again", () =>
  withPort(async ({ port }) => {
    await withPeer(port.url, {}, async (peer) => {
      assert.deepEqual(await peer.identity(signal), FAKE);
      await port.close();
      await rejectsCode(() => peer.identity(signal), 2001);
      await withPort(
        async () => assert.deepEqual(await peer.identity(signal), FAKE),
        { port: port.port },
      );
    });
  }));

for (
  const address of [
    ...["", "nowhere", "127.0.0.1:1", "ftp://x:1", "http://x:1/path", "http://u:p@x:1"],
    ...["http://x:1?q", "file:///x", "http://"],
  ]
) {
  Deno.test(`"${address}" is no address of a peer`, () =>
    rejectsCode(() => withPeer(address, {}, () => Promise.resolve()), 1000));
}

Deno.test("a peer is shown a token or a certificate, and its own is verified", async () => {
  const ca = new TestCa("ours");
  const own = ca.issue("node", { names: ["URI:spiffe://example.org/node/1"] });
  const node = tokenOf(1, { role: "node", tenants: "*" });
  const operator = tokenOf(2, { role: "operator", tenants: "*" });
  const authority = new CredentialsAuthority({
    clock: denoClock(),
    log: silentLog,
    accepts: { tokens: true, certificates: true },
    credentials: {
      version: 1,
      tokens: [node.entry, operator.entry],
      certificates: [certificateOf("URI:spiffe://example.org/node/1")],
    },
  });
  const tls: PortTls = {
    ...ca.issue("server", { names: ["DNS:localhost"] }),
    ca: ca.pem,
    clientAuth: "request",
    minVersion: "1.2",
    handshakeTimeoutMs: 10_000,
    listen: { host: "127.0.0.1", port: 0 },
  };
  await withPort(async ({ port }) => {
    const entries = [{ key: "a", version }];
    const send = (peer: Peer) =>
      peer.replicate("t", undefined, entries, checksumOf(entries), signal);
    const secure = port.tlsUrl!.replace("127.0.0.1", "localhost");
    const sent = async (peer: Peer) => void await send(peer);
    await withPeer(port.url, { token: node.text }, sent);
    await withPeer(secure, { token: node.text, ca: ca.pem }, sent);
    await withPeer(secure, { ca: ca.pem, ...own }, sent);
    // What will be refused again is not worth trying again.
    await withPeer(port.url, {}, (peer) => rejectsCode(() => send(peer), 1000));
    await withPeer(
      port.url,
      { token: operator.text },
      (peer) => rejectsCode(() => send(peer), 1000),
    );
    await withPeer(secure, { token: node.text }, (peer) => rejectsCode(() => send(peer), 1000));
    const other = new TestCa("another").pem;
    await withPeer(
      secure,
      { token: node.text, ca: other },
      (peer) => rejectsCode(() => send(peer), 2001),
    );
  }, { authority, tls });
});
