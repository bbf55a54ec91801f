/**
 * A shared cache of the real kind behind the real program: what gets there and is read from there, and that no
 * read is wrong or fails for it while it is killed, hangs, or starts again.
 * @module
 */
import assert from "node:assert/strict";
import { SimRandom } from "../../src/runtime/mod.ts";
import { CACHE_SERVERS, CacheServer, missingCache } from "../support/cache_server.ts";
import { testNeeding } from "../support/needs.ts";
import {
  callJson,
  runProgram,
  Server,
  withDirectory,
  within,
  withServer,
} from "../support/server.ts";

interface Status {
  readonly sharedCache: string;
  readonly reads: Record<string, string | undefined>;
}

/** Everything that is in no memtable comes from the disk or the shared cache. */
function args(cache: CacheServer, ...more: string[]): string[] {
  const settings = [
    `shared_cache.kind=${cache.kind}`,
    `shared_cache.url=${cache.url}`,
    "shared_cache.ask=always",
    "shared_cache.timeout=1s",
    "cache.block_cache_size=0",
    "cache.row_cache_size=0",
    ...more,
  ];
  return settings.flatMap((setting) => ["--set", setting]);
}

function status(server: Server): Promise<Status> {
  return callJson(server, "AdminService/Status", {});
}

async function reads(server: Server, layer: string): Promise<number> {
  return Number((await status(server)).reads[layer] ?? 0);
}

/** Waits for the node to say how its cache is. */
function until(server: Server, state: string): Promise<void> {
  const look = async () => {
    while ((await status(server)).sharedCache !== state) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  return within(`the shared cache to be ${state}`, look());
}

async function put(server: Server, key: string, value: string): Promise<void> {
  await callJson(server, "KeyValueService/Put", { tenantId: "t", key, value: btoa(value) });
}

async function del(server: Server, key: string): Promise<void> {
  await callJson(server, "KeyValueService/Delete", { tenantId: "t", key });
}

async function flush(server: Server): Promise<void> {
  await callJson(server, "AdminService/Flush", {});
}

/** Undefined when there is no such key; anything else that fails is a failure. */
async function get(server: Server, key: string): Promise<string | undefined> {
  const response = await fetch(`${server.url}/pairdb.v1.KeyValueService/Get`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ tenantId: "t", key }),
  });
  const answer = await response.json();
  if (response.status === 404) return undefined;
  assert.equal(response.status, 200, JSON.stringify(answer));
  return atob(answer.value ?? "");
}

/** Reads until it is read from the shared cache: what is kept goes there behind the answer. */
async function readThrough(server: Server, key: string, value: string): Promise<void> {
  const before = await reads(server, "sharedCache");
  const look = async () => {
    while (await reads(server, "sharedCache") === before) {
      assert.equal(await get(server, key), value);
    }
  };
  await within(`${key} to be read from the shared cache`, look());
}

for (const kind of CACHE_SERVERS) {
  testNeeding(
    `${kind}: reads go through it, and what was written or deleted since is never read from it [K6]`,
    missingCache(kind),
    async () => {
      await using cache = await CacheServer.start(kind);
      await withServer(async (server) => {
        await until(server, "up");
        const text = "\u0000\r\nEND\r\n \u00ff";
        for (const key of ["k", "gone"]) await put(server, key, text);
        await flush(server);
        for (const key of ["k", "gone"]) await readThrough(server, key, text);
        await put(server, "k", "two");
        await del(server, "gone");
        assert.equal(await get(server, "k"), "two");
        assert.equal(await get(server, "gone"), undefined);
        await callJson(server, "AdminService/Compact", { tenantId: "t", purge: true });
        assert.equal(await get(server, "gone"), undefined);
        await readThrough(server, "k", "two");
        const metrics = await (await fetch(`${server.url}/metrics`)).text();
        assert.match(metrics, /^pairdb_reads_from_shared_cache_total [1-9]/m);
        assert.match(metrics, /^pairdb_reads_from_memtable_total [1-9]/m);
        assert.match(metrics, /^pairdb_reads_from_tables_total [1-9]/m);
        assert.match(metrics, /^pairdb_shared_cache_up 1$/m);
        assert.match(metrics, /^pairdb_shared_cache_hits_total [1-9]/m);
      }, args(cache));
    },
  );

  testNeeding(
    `${kind}: it is filled and emptied by hand, and the status has the shares of the layers [K7, K8]`,
    missingCache(kind),
    async () => {
      await using cache = await CacheServer.start(kind);
      await withServer(async (server) => {
        await until(server, "up");
        for (const key of ["a1", "a2", "b"]) await put(server, key, key);
        await flush(server);
        assert.equal(await get(server, "a1"), "a1");
        assert.equal(await get(server, "b"), "b");
        assert.equal(await reads(server, "sharedCache"), 0);
        const pairdb = (...words: string[]) => runProgram(...words, "--server", server.url);
        const filled = await pairdb("cache", "fill", "t", "--prefix", "a");
        assert.deepEqual(filled, {
          code: 0,
          out: "OK: 2 keys; the shared cache has done it\n",
          err: "",
        });
        for (const key of ["a1", "a2", "b"]) assert.equal(await get(server, key), key);
        assert.equal(await reads(server, "sharedCache"), 2);
        const one = await pairdb("cache", "invalidate", "t", "--key", "a1", "--output", "json");
        assert.deepEqual(JSON.parse(one.out), { keys: 1, shared_cache: "done" });
        for (const key of ["a1", "a2"]) assert.equal(await get(server, key), key);
        assert.equal(await reads(server, "sharedCache"), 3);
        assert.equal((await pairdb("cache", "invalidate", "t")).code, 0);
        assert.equal(await get(server, "a2"), "a2");
        assert.equal(await reads(server, "sharedCache"), 3);
        const { out } = await pairdb("status");
        assert.match(out, /^reads +8: memtables 0 %, row cache 0 %, shared cache 37.5 %, tables/m);
        assert.match(out, /^shared cache +up$/m);
        await cache.kill();
        const missed = await pairdb("cache", "invalidate", "t");
        assert.equal(missed.code, 1);
        assert.match(missed.err, /the shared cache did not answer \(code 2001 /);
      }, args(cache, "shared_cache.mode=cache_aside"));
    },
  );

  testNeeding(
    `${kind}: while it is killed, hangs and starts again, every read is right and none fails [K6]`,
    missingCache(kind),
    async () => {
      let cache = await CacheServer.start(kind);
      try {
        await withServer(async (server) => {
          const random = new SimRandom(7);
          const model = new Map<string, string>();
          const step = async (i: number) => {
            const key = `k${random.below(20)}`;
            const choice = random.below(20);
            if (choice < 3) {
              await put(server, key, `${i}`);
              model.set(key, `${i}`);
            } else if (choice === 3) {
              await del(server, key);
              model.delete(key);
            } else if (choice === 4) await flush(server);
            else assert.equal(await get(server, key), model.get(key), `step ${i}`);
          };
          const steps = async (count: number) => {
            for (let i = 0; i < count; i++) await step(i);
          };
          await until(server, "up");
          await steps(150);
          cache.freeze();
          await steps(100);
          cache.thaw();
          await until(server, "up");
          await steps(100);
          await cache.kill();
          await steps(100);
          // Five calls that fail: nobody asks any more.
          await flush(server);
          const look = async () => {
            while ((await status(server)).sharedCache === "up") await steps(5);
          };
          await within("the cache to be given up", look());
          cache = await CacheServer.start(kind, cache.port);
          await until(server, "up");
          await steps(150);
          assert.ok(await reads(server, "sharedCache") > 10);
          const stopped = await server.stop();
          assert.equal(stopped, 0);
        }, args(cache, "shared_cache.mode=write_behind", "shared_cache.timeout=200ms"));
      } finally {
        cache.thaw();
        await cache.kill();
      }
    },
  );

  testNeeding(
    `${kind}: a node that was killed or restored believes nothing of before [K6]`,
    missingCache(kind),
    () =>
      withDirectory(async (directory) => {
        await using cache = await CacheServer.start(kind);
        const data = `${directory}/data`;
        const settings = args(cache, "shared_cache.mode=write_through");
        await using first = await Server.start({ data, args: settings });
        await until(first, "up");
        await put(first, "k", "one");
        await flush(first);
        await readThrough(first, "k", "one");
        const snapshot = await callJson(first, "AdminService/CreateSnapshot", { name: "s" });
        await put(first, "k", "two");
        await flush(first);
        await readThrough(first, "k", "two");
        await first.kill();
        await using second = await Server.start({ data, args: settings });
        await until(second, "up");
        assert.equal(await get(second, "k"), "two");
        assert.equal(await reads(second, "sharedCache"), 0);
        await second.stop();
        const restored = `${directory}/restored`;
        const { code, err } = await runProgram(
          "restore",
          snapshot.snapshot.dir,
          "--data",
          restored,
        );
        assert.equal(code, 0, err);
        await using third = await Server.start({ data: restored, args: settings });
        await until(third, "up");
        assert.equal(await get(third, "k"), "one");
        assert.equal(await reads(third, "sharedCache"), 0);
      }),
  );
}

testNeeding(
  "redis: a password comes from a file, and a wrong one is a cache that is down",
  missingCache("redis"),
  () =>
    withDirectory(async (directory) => {
      const secret = "correct horse";
      await using cache = await CacheServer.start("redis", undefined, secret);
      for (const [password, state] of [[secret, "up"], ["wrong horse", "down"]]) {
        const file = `${directory}/password`;
        Deno.writeTextFileSync(file, `${password}\n`, { mode: 0o600 });
        const settings = args(cache, `shared_cache.password_file=${file}`, "logging.level=debug");
        await withServer(async (server) => {
          await put(server, "k", "one");
          await flush(server);
          assert.equal(await get(server, "k"), "one");
          if (state === "up") {
            await until(server, "up");
            await readThrough(server, "k", "one");
          } else {
            const metric = /^pairdb_shared_cache_errors_total [1-9]/m;
            const look = async () => {
              while (!metric.test(await (await fetch(`${server.url}/metrics`)).text())) {
                await new Promise((resolve) => setTimeout(resolve, 20));
              }
            };
            await within("a failed login", look());
            assert.equal((await status(server)).sharedCache, "down");
          }
          assert.ok(!server.log.includes("horse"));
        }, settings);
      }
    }),
);
