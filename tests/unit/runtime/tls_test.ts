import assert from "node:assert/strict";
import { once } from "node:events";
import fc from "fast-check";
import { connect as connectPlain } from "node:net";
import { connect as connectRaw } from "node:tls";
import { Buffer } from "node:buffer";
import { X509Certificate } from "node:crypto";
import {
  type Connection,
  denoNetwork,
  type Listener,
  type TlsConnectOptions,
  type TlsListenOptions,
} from "../../../src/runtime/mod.ts";
import { missingProgram, testNeeding } from "../../support/needs.ts";
import { VerifiedPeers } from "../../../src/runtime/deno/verified_peers.ts";
import { alternativeNames } from "../../../src/runtime/deno/san.ts";
import { derOf, type Pem, TestCa } from "../../support/certificates.ts";

const CA = new TestCa("ours");
const OTHER = new TestCa("theirs");
const SERVER = CA.issue("server", { names: ["DNS:localhost", "IP:127.0.0.1"] });
const NODE = CA.issue("node", { names: ["URI:spiffe://example.org/node/1", "DNS:Node.Example"] });

function decode(chunk: Uint8Array | string): string {
  return typeof chunk === "string" ? chunk : new TextDecoder().decode(chunk);
}

/** A listener that greets each connection, and a way to dial it. */
async function withTls(
  options: Partial<TlsListenOptions>,
  test: (it: {
    listener: Listener;
    accepted: Connection[];
    /** @returns the greeting, and the protocol agreed on; `refused` when there was none */
    dial: (client?: Partial<TlsConnectOptions>) => Promise<string>;
    open: (client?: Partial<TlsConnectOptions>) => Promise<Connection>;
  }) => Promise<void>,
): Promise<void> {
  const network = denoNetwork();
  const accepted: Connection[] = [];
  const listener = await network.listen({
    host: "127.0.0.1",
    port: 0,
    tls: {
      ...SERVER,
      ca: CA.pem,
      clientAuth: "none",
      minVersion: "1.2",
      alpn: ["h2", "http/1.1"],
      handshakeTimeoutMs: 10_000,
      maxHandshakes: 100,
      ...options,
    },
  }, (connection) => {
    accepted.push(connection);
    connection.on("error", () => {});
    connection.write("hello");
  });
  const open = (client: Partial<TlsConnectOptions> = {}) =>
    network.connect({
      ...listener,
      tls: { ca: CA.pem, serverName: "localhost", alpn: ["h2"], ...client },
    });
  const dial = async (client: Partial<TlsConnectOptions> = {}) => {
    let connection: Connection | undefined;
    try {
      connection = await open(client);
      connection.on("error", () => {});
      const greeting = await Promise.race([
        once(connection, "data").then(([chunk]) => decode(chunk)),
        once(connection, "close").then(() => "refused"),
      ]);
      return greeting === "hello" ? `hello ${connection.alpnProtocol}` : greeting;
    } catch {
      return "refused";
    } finally {
      await hangUp(connection);
    }
  };
  try {
    await test({ listener, accepted, dial, open });
  } finally {
    await hangUp(...accepted);
    await listener.close();
  }
}

async function hangUp(...connections: (Connection | undefined)[]): Promise<void> {
  await Promise.all(connections.map(async (connection) => {
    if (connection === undefined || connection.closed) return;
    const closed = once(connection, "close");
    connection.destroy();
    await closed;
  }));
}

Deno.test("TLS: bytes go both ways, and the protocol is agreed on", () =>
  withTls({}, async ({ dial, accepted }) => {
    assert.equal(await dial(), "hello h2");
    assert.equal(await dial({ alpn: ["http/1.1"] }), "hello http/1.1");
    assert.equal(await dial({ alpn: ["http/1.1", "h2"] }), "hello h2");
    assert.equal(await dial({ alpn: ["spdy"] }), "refused");
    assert.equal(await dial({ ca: OTHER.pem }), "refused");
    assert.equal(await dial({ serverName: "elsewhere.example" }), "refused");
    assert(accepted.every(({ peer }) => peer === undefined));
  }));

Deno.test("TLS: only who shows a good certificate gets in where one is required", () =>
  withTls({ clientAuth: "require" }, async ({ dial, accepted }) => {
    assert.equal(await dial(NODE), "hello h2");
    assert.deepEqual(accepted[0].peer, {
      names: ["URI:spiffe://example.org/node/1", "DNS:node.example"],
      expiresAtMs: Date.UTC(2049, 11, 31, 23, 59, 59),
    });
    const bad: (Pem | undefined)[] = [
      undefined,
      OTHER.issue("node", { names: ["URI:spiffe://example.org/node/1"] }),
      CA.issue("node", { names: ["URI:spiffe://example.org/node/1"], years: [2001, 2002] }),
      CA.issue("node", { names: ["URI:spiffe://example.org/node/1"], years: [2047, 2048] }),
    ];
    for (const pem of bad) assert.equal(await dial(pem), "refused");
    assert.equal(accepted.length, 1);
  }));

Deno.test("TLS: where a certificate is only asked for, none is fine and a bad one is not", () =>
  withTls({ clientAuth: "request" }, async ({ dial, accepted }) => {
    assert.equal(await dial(NODE), "hello h2");
    assert.equal(await dial(), "hello h2");
    assert.deepEqual(accepted.map(({ peer }) => peer?.names.length), [2, undefined]);
    assert.equal(await dial(OTHER.issue("node", { names: ["DNS:a"] })), "refused");
    assert.equal(await dial(CA.issue("node", { years: [2001, 2002] })), "refused");
    assert.equal(accepted.length, 2);
  }));

Deno.test("TLS: versions below the oldest are refused", () =>
  withTls({ minVersion: "1.3" }, async ({ listener, dial }) => {
    assert.equal(await dial(), "hello h2");
    const socket = connectRaw({
      host: listener.host,
      port: listener.port,
      ca: Buffer.from(CA.pem),
      servername: "localhost",
      maxVersion: "TLSv1.2",
    });
    socket.on("secureConnect", () => assert.fail("it was taken"));
    const [error] = await once(socket, "error");
    assert(error instanceof Error);
    await hangUp(socket);
  }));

Deno.test("TLS: renew() changes the certificate for new connections and leaves the others", () =>
  withTls({}, async ({ listener, open, dial, accepted }) => {
    const old = await open();
    await once(old, "data");
    const next = OTHER.issue("server", { names: ["DNS:localhost"] });
    listener.renew({ ...next, ca: CA.pem });
    assert.equal(await dial(), "refused");
    assert.equal(await dial({ ca: OTHER.pem }), "hello h2");
    accepted[0].write("still here");
    assert.equal(decode((await once(old, "data"))[0]), "still here");
    await hangUp(old);
  }));

Deno.test("TLS: credentials that do not fit are refused, and the old ones stay", () =>
  withTls({}, async ({ listener, dial }) => {
    const junk = new TextEncoder().encode("canary");
    const bad: [Pem & { ca?: Uint8Array }, RegExp][] = [
      [{ ...SERVER, cert: junk }, /^Error: the certificate is not PEM$/],
      [{ ...SERVER, key: junk }, /^Error: the key is not PEM, or encrypted$/],
      [{ ...SERVER, key: NODE.key }, /^Error: the key is not that of the certificate$/],
      [{ ...SERVER, ca: junk }, /^Error: the CA's certificate is not PEM$/],
    ];
    for (const [credentials, expected] of bad) {
      assert.throws(() => listener.renew(credentials), (error) => expected.test(String(error)));
      assert.equal(await dial(), "hello h2");
      await assert.rejects(withTls(credentials, () => Promise.resolve()), expected);
    }
  }));

Deno.test("TLS: who does not make a handshake in time is cut off", () =>
  withTls({ handshakeTimeoutMs: 50 }, async ({ listener, dial, accepted }) => {
    const silent = connectPlain({ host: listener.host, port: listener.port });
    silent.on("error", () => {});
    silent.resume();
    await once(silent, "close");
    assert.equal(accepted.length, 0);
    assert.equal(await dial(), "hello h2");
  }));

Deno.test("TLS: handshakes at a time are bounded, connections behind them are not", () =>
  withTls({ maxHandshakes: 2 }, async ({ listener, open, dial }) => {
    const connections = [await open(), await open(), await open()];
    const silent = [0, 1].map(() => connectPlain({ host: listener.host, port: listener.port }));
    await Promise.all(silent.map((socket) => once(socket, "connect")));
    assert.equal(await dial(), "refused");
    for (const socket of silent) await hangUp(socket);
    // The server sees their end a moment later.
    while (await dial() === "refused") await new Promise((resolve) => setTimeout(resolve, 2));
    await hangUp(...connections);
  }));

Deno.test("TLS: a listener that closes ends its handshakes", () =>
  withTls({}, async ({ listener, open, dial }) => {
    const silent = connectPlain({ host: listener.host, port: listener.port });
    silent.on("error", () => {});
    silent.resume();
    await once(silent, "connect");
    // Behind this one, the silent one has been accepted.
    assert.equal(await dial(), "hello h2");
    const live = await open();
    await once(live, "data");
    await listener.close();
    await once(silent, "close");
    assert(!live.destroyed);
    await hangUp(live);
  }));

Deno.test("TLS: cleartext is turned away", () =>
  withTls({}, async ({ listener, accepted }) => {
    const plain = connectPlain({ host: listener.host, port: listener.port });
    plain.on("error", () => {});
    plain.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    plain.resume();
    await once(plain, "close");
    assert.equal(accepted.length, 0);
  }));

Deno.test("VerifiedPeers knows who is of a CA, and who has passed a handshake", () => {
  const certificateOf = ({ cert }: Pem) => new X509Certificate(cert);
  const [ours, theirs] = [certificateOf(NODE), certificateOf(OTHER.issue("node"))];
  const peers = new VerifiedPeers(CA.pem);
  assert(peers.knows(ours));
  assert(!peers.knows(theirs));
  // As one that comes with certificates between it and its CA.
  peers.pass(theirs);
  assert(peers.knows(theirs));
  const both = new VerifiedPeers(new Uint8Array(Buffer.concat([CA.pem, OTHER.pem])));
  assert(both.knows(ours) && both.knows(theirs));
  // Of the same name, and not the same key.
  assert(!new VerifiedPeers(new TestCa("ours").pem).knows(ours));
});

testNeeding(
  "TLS: a resumed session does not outlive the CA of its certificate",
  missingProgram("openssl"),
  () =>
    withTls({ clientAuth: "require", alpn: ["h2"] }, async ({ listener, accepted }) => {
      const dir = await Deno.makeTempDir();
      try {
        Deno.writeFileSync(`${dir}/cert.pem`, NODE.cert);
        Deno.writeFileSync(`${dir}/key.pem`, NODE.key);
        const dial = async (...args: string[]) => {
          const before = accepted.length;
          const { stdout } = await new Deno.Command("openssl", {
            args: ["s_client", "-connect", `127.0.0.1:${listener.port}`, "-tls1_2", ...args]
              .concat("-cert", `${dir}/cert.pem`, "-key", `${dir}/key.pem`),
            stdin: "null",
            stderr: "null",
          }).output();
          const said = new TextDecoder().decode(stdout);
          const kind = /^(New|Reused), /m.exec(said)?.[1] ?? "none";
          return `${kind} ${accepted.length > before ? "accepted" : "refused"}`;
        };
        assert.equal(await dial("-sess_out", `${dir}/session`), "New accepted");
        assert.equal(await dial("-sess_in", `${dir}/session`), "Reused accepted");
        listener.renew({ ...SERVER, ca: CA.pem });
        assert.equal(await dial("-sess_in", `${dir}/session`), "Reused accepted");
        listener.renew({ ...SERVER, ca: OTHER.pem });
        assert.match(await dial("-sess_in", `${dir}/session`), / refused$/);
      } finally {
        await Deno.remove(dir, { recursive: true });
      }
    }),
);

Deno.test("alternativeNames() takes names from the bytes, so that none can forge another", () => {
  const names = [
    "URI:spiffe://evil,URI:spiffe://example.org/admin",
    "DNS:A.Example",
    "EMAIL:x@example.org",
  ];
  const pem = CA.issue("evil", {
    names: [...names, "IP:127.0.0.1", "DNS:a, DNS:admin.example", "URI:spiffe://é"],
  });
  assert.deepEqual(alternativeNames(derOf(pem.cert)), [
    "URI:spiffe://evil,URI:spiffe://example.org/admin",
    "DNS:a.example",
    "EMAIL:x@example.org",
  ]);
  assert.deepEqual(alternativeNames(derOf(CA.issue("nobody").cert)), []);
});

Deno.test("alternativeNames() of damaged bytes gives names or throws, and ends", () => {
  const der = derOf(NODE.cert);
  fc.assert(fc.property(
    fc.nat(der.length - 1),
    fc.nat(255),
    fc.nat(der.length),
    (at, byte, length) => {
      const damaged = der.slice(0, length);
      if (at < length) damaged[at] = byte;
      try {
        alternativeNames(damaged);
      } catch (error) {
        assert.equal(String(error), "Error: the certificate is malformed");
      }
    },
  ));
});
