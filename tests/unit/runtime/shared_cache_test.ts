/**
 * What every shared cache does alike: the one of the simulation, and those of real servers.
 * @module
 */
import assert from "node:assert/strict";
import {
  denoSharedCache,
  type SharedCache,
  type SharedCacheOptions,
  SimClock,
  SimRandom,
  SimSharedCache,
} from "../../../src/runtime/mod.ts";
import { CACHE_SERVERS, CacheServer, missingCache } from "../../support/cache_server.ts";
import { TestCa } from "../../support/certificates.ts";
import { testNeeding } from "../../support/needs.ts";

const EVERY_BYTE = new Uint8Array(256).map((_, i) => i);

function open({ kind, url }: Pick<SharedCacheOptions, "kind" | "url">, more: object = {}) {
  return denoSharedCache({ kind, url, connectMs: 5000, ...more });
}

/** Sets, gets and deletes several at a time; afterwards "b" is left. */
async function exercise(cache: SharedCache): Promise<void> {
  const large = new Uint8Array(300_000).map((_, i) => i * 7);
  const entries = [["a", EVERY_BYTE], ["b", new Uint8Array(0)], ["c", large]] as const;
  await cache.setMany(entries.map(([key, value]) => ({ key, value })), 60_000);
  const got = await cache.getMany(["c", "none", "a", "b"]);
  assert.deepEqual(got.map((value) => value?.length), [300_000, undefined, 256, 0]);
  assert.deepEqual(Uint8Array.from(got[0]!), large);
  assert.deepEqual(Uint8Array.from(got[2]!), EVERY_BYTE);
  await cache.deleteMany(["a", "none", "c"]);
  const left = await cache.getMany(["a", "b", "c"]);
  assert.deepEqual(left.map((value) => value?.length), [undefined, 0, undefined]);
  const all = await Promise.all(
    Array.from({ length: 200 }, async (_, i) => {
      await cache.setMany([{ key: `k${i}`, value: new Uint8Array([i]) }], 60_000);
      return (await cache.getMany([`k${i}`]))[0]?.[0];
    }),
  );
  assert.deepEqual(all, all.map((_, i) => i));
}

Deno.test("the simulated cache keeps what it is given, for as long as it is told", async () => {
  const clock = new SimClock();
  const cache = new SimSharedCache(clock, new SimRandom(1));
  await exercise(cache);
  await clock.advance(59_999);
  assert.equal((await cache.getMany(["b"]))[0]?.length, 0);
  await clock.advance(1);
  assert.equal((await cache.getMany(["b"]))[0], undefined);
  cache.close();
  await assert.rejects(cache.getMany(["b"]));
});

for (const kind of CACHE_SERVERS) {
  testNeeding(
    `${kind} keeps what it is given, and connects anew after a reset`,
    missingCache(kind),
    async () => {
      await using server = await CacheServer.start(kind);
      const cache = await open(server);
      await exercise(cache);
      cache.reset();
      assert.equal((await cache.getMany(["b"]))[0]?.length, 0);
      const waiting = cache.getMany(["b"]);
      cache.close();
      await assert.rejects(waiting);
      await assert.rejects(cache.getMany(["b"]), /closed/);
    },
  );

  testNeeding(
    `${kind}: calls fail while it is gone, and succeed when it is back`,
    missingCache(kind),
    async () => {
      const first = await CacheServer.start(kind);
      const cache = await open(first);
      await cache.setMany([{ key: "k", value: EVERY_BYTE }], 60_000);
      first.freeze();
      // It may be answered before the end.
      const waiting = cache.getMany(["k"]).catch(() => {});
      first.thaw();
      await first.kill();
      // It may have answered before its end.
      await waiting.catch(() => {});
      for (let i = 0; i < 3; i++) await assert.rejects(cache.getMany(["k"]));
      await using _second = await CacheServer.start(kind, first.port);
      assert.deepEqual(await cache.getMany(["k"]), [undefined]);
      cache.close();
    },
  );
}

for (const kind of CACHE_SERVERS) {
  Deno.test(`${kind}: who waits for a connection is told when it is given up`, async () => {
    // Says nothing, so that the handshake does not end.
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr as Deno.NetAddr;
    for (const end of ["reset", "close"] as const) {
      const url = `${kind === "redis" ? "rediss" : "memcaches"}://localhost:${port}`;
      const cache = await open({ kind, url });
      const waiting = cache.getMany(["k"]);
      const connection = await listener.accept();
      cache[end]();
      await assert.rejects(waiting, /given up/);
      cache.close();
      connection.close();
    }
    listener.close();
  });
}

testNeeding(
  "redis: a wrong password is a failure that does not name it",
  missingCache("redis"),
  async () => {
    await using server = await CacheServer.start("redis", undefined, "correct horse");
    const right = await open(server, { password: "correct horse" });
    await exercise(right);
    right.close();
    for (const more of [{}, { password: "wrong horse" }, { user: "me", password: "wrong horse" }]) {
      const wrong = await open(server, more);
      await assert.rejects(
        wrong.getMany(["k"]),
        (error: Error) => !error.message.includes("horse"),
      );
      wrong.close();
    }
  },
);

for (const kind of CACHE_SERVERS) {
  testNeeding(`${kind} over TLS: its certificate is verified`, missingCache(kind), async () => {
    const ours = new TestCa("ours");
    const pem = ours.issue("cache", { names: ["DNS:localhost"] });
    await using server = await CacheServer.start(kind);
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    // What both servers can be built without is done here: the bytes go on to the one that speaks plain.
    await using proxy = tlsProxy(server.port, text(pem.cert), text(pem.key));
    const url = `${kind === "redis" ? "rediss" : "memcaches"}://localhost:${proxy.port}`;
    const cache = await open({ kind, url }, { ca: text(ours.pem) });
    await exercise(cache);
    cache.close();
    const strange = await open({ kind, url }, { ca: text(new TestCa("another").pem) });
    await assert.rejects(strange.getMany(["b"]));
    strange.close();
  });

  testNeeding(`${kind} over TLS, at an address without a name`, missingCache(kind), async () => {
    const ours = new TestCa("ours");
    await using server = await CacheServer.start(kind);
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    const use = async (name: string, run: (cache: SharedCache) => Promise<void>) => {
      const pem = ours.issue("cache", { names: [name] });
      await using proxy = tlsProxy(server.port, text(pem.cert), text(pem.key));
      const url = `${kind === "redis" ? "rediss" : "memcaches"}://127.0.0.1:${proxy.port}`;
      const cache = await open({ kind, url }, { ca: text(ours.pem) });
      await run(cache);
      cache.close();
    };
    await use("IP:127.0.0.1", exercise);
    for (const other of ["IP:127.0.0.2", "DNS:localhost"]) {
      await use(other, (cache) => assert.rejects(cache.getMany(["b"])));
    }
  });
}

/** Takes TLS on loopback and hands its bytes on. */
function tlsProxy(to: number, cert: string, key: string): AsyncDisposable & { port: number } {
  const listener = Deno.listenTls({ hostname: "127.0.0.1", port: 0, cert, key });
  const serve = async () => {
    for await (const client of listener) {
      const server = await Deno.connect({ hostname: "127.0.0.1", port: to });
      // Either end may go first.
      void client.readable.pipeTo(server.writable).catch(() => {});
      void server.readable.pipeTo(client.writable).catch(() => {});
    }
  };
  const serving = serve();
  return {
    port: (listener.addr as Deno.NetAddr).port,
    async [Symbol.asyncDispose]() {
      listener.close();
      await serving;
    },
  };
}
