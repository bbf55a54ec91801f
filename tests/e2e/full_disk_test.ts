/**
 * The real program on a real file system of 64 MiB that is filled to the last byte and emptied again, through
 * the port: nothing that was acknowledged is lost, no answer is wrong, and the process goes on by itself.
 *
 * Other programs' files fill it faster than the node looks (`disk.check_interval`), so that
 * writes get past the disk guard and the log itself meets the end of the disk.
 * @module
 */
import assert from "node:assert/strict";
import type { DescMethod } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { KeyValueService } from "../../src/gen/pairdb/v1/kv_pb.ts";
import { StorageNodeService } from "../../src/gen/pairdb/v1/storage_node_pb.ts";
import { testNeeding } from "../support/needs.ts";
import { callRaw, encodeMessage, PROTOCOLS, type RawAnswer } from "../support/raw_rpc.ts";
import { callJson, lastSequence, NotReady, Server, withDirectory } from "../support/server.ts";
import { transferOf } from "../support/transfer.ts";
import { until } from "../support/port.ts";

const KV = KeyValueService.method;
const NODE = StorageNodeService.method;
const MIB = 1 << 20;
const DISK_BYTES = 64 * MIB;
const VALUE_BYTES = 24 << 10;
const ARGS = [
  "mem_table.max_size=1MiB",
  "commit_log.segment_size=2MiB",
  "compaction.level_base_size=4MiB",
].flatMap((option) => ["--set", option]);
const LOOKS_SELDOM = ["--set", "disk.check_interval=3s"];
const LOOKS_OFTEN = ["--set", "disk.check_interval=100ms"];

async function system(program: string, ...args: string[]): Promise<string | undefined> {
  try {
    const { success, stderr } = await new Deno.Command(program, { args }).output();
    return success ? undefined : new TextDecoder().decode(stderr).trim();
  } catch (error) {
    return (error as Error).message;
  }
}

/** Says why no file system can be mounted here; undefined where one can: tried, for root alone may not suffice. */
async function missingMount(): Promise<string | undefined> {
  if (Deno.build.os !== "linux") return "tmpfs is of Linux";
  const directory = await Deno.makeTempDir({ prefix: "pairdb-mount-" });
  try {
    const failure = await system("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", directory);
    if (failure === undefined) await system("umount", directory);
    return failure && `mounting a tmpfs takes root: ${failure.split("\n")[0]}`;
  } finally {
    await Deno.remove(directory);
  }
}

/** Whether a call is taken; if not, it is for want of room. */
async function taken(server: Server, method: string, message: unknown): Promise<boolean> {
  const response = await fetch(`${server.url}/pairdb.v1.${method}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(message),
  });
  const { details } = await response.json();
  if (response.status !== 200) assert.equal(details[0].debug.code, "DISK_FULL");
  return response.status === 200;
}

/** Starts the node of a test on its file system. */
type Start = () => Promise<Server>;

/** Runs `body` on a file system of its own. Its last server ends with it. */
function withFileSystem(
  args: readonly string[],
  body: (directory: string, start: Start) => Promise<void>,
): Promise<void> {
  return withDirectory(async (directory) => {
    const size = `size=${DISK_BYTES}`;
    assert.equal(await system("mount", "-t", "tmpfs", "-o", size, "tmpfs", directory), undefined);
    let last: Server | undefined;
    try {
      await body(
        directory,
        async () => last = await Server.start({ data: `${directory}/data`, args }),
      );
    } catch (cause) {
      await last?.kill();
      const message = cause instanceof Error ? cause.message : cause;
      throw new Error(`${message}\nthe node's log:\n${last?.log.slice(-3000)}`, { cause });
    } finally {
      await last?.kill();
      assert.equal(await system("umount", directory), undefined);
    }
  });
}

/** Another program's file, which takes all there is. */
class Filler {
  readonly #path: string;

  constructor(directory: string) {
    this.#path = `${directory}/filler`;
  }

  /** Takes what is free, to the last byte. */
  fill(): void {
    using file = Deno.openSync(this.#path, { append: true, create: true });
    for (let piece = new Uint8Array(MIB); piece.length > 0;) {
      try {
        file.writeSync(piece);
      } catch {
        piece = piece.subarray(0, piece.length >> 1);
      }
    }
  }

  remove(): void {
    if (statSize(this.#path) !== undefined) Deno.removeSync(this.#path);
  }
}

/** What was written through the port, by what became of it. */
class History {
  readonly acknowledged = new Map<string, number>();
  readonly unknown = new Map<string, number>();
  readonly refused = new Set<string>();
  #next = 0;

  /** Puts a new key; returns the answer. */
  async put(server: Server, tenantId: string): Promise<RawAnswer> {
    const n = this.#next++;
    const key = `k${n}`;
    const value = valueOf(n);
    const message = encodeMessage("gRPC-Web", KeyValueService.method.put.input, {
      tenantId,
      key,
      value,
    });
    const answer = await callRaw(server.url, "gRPC-Web", KeyValueService.method.put, message);
    const name = `${tenantId} ${key}`;
    if (answer.status === undefined) this.acknowledged.set(name, n);
    else if (answer.detail?.details.outcome === "unknown") this.unknown.set(name, n);
    else this.refused.add(name);
    return answer;
  }

  /** Puts until one is refused, at most so many; the refusal is that of a full disk. */
  async fill(server: Server, tenantId: string, most = 100_000): Promise<RawAnswer> {
    for (let n = 0; n < most; n++) {
      const answer = await this.put(server, tenantId);
      if (answer.status === undefined) continue;
      // Near the end compactions have no room, and writers who are held back for them wait until time is up.
      if (answer.detail?.code === 2001) continue;
      assert.equal(answer.detail?.code, 2002, answer.message);
      // The log had it when a compaction took the last room.
      if (answer.detail.details.outcome === "unknown") continue;
      return answer;
    }
    throw new Error(`${most} puts and no end of the disk`);
  }

  /** Puts so many, all of which are taken. */
  async puts(server: Server, tenantId: string, count: number): Promise<void> {
    for (let n = 0; n < count; n++) {
      const { status, message } = await this.put(server, tenantId);
      assert.equal(status, undefined, message);
    }
  }

  /** Puts until one is taken. */
  async whenTaken(server: Server, tenantId: string): Promise<void> {
    for (;;) {
      const { status, detail, message } = await this.put(server, tenantId);
      if (status === undefined) return;
      assert.equal(detail?.code, 2002, message);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Finds out what became of what is unknown: it is there, or, where it may, gone for good. */
  async settle(server: Server, mayBeGone: boolean): Promise<void> {
    for (const [name, n] of this.unknown) {
      const found = await read(server, name);
      if (found === undefined && mayBeGone) this.refused.add(name);
      else {
        assert.equal(found, n, `${name} waited for room`);
        this.acknowledged.set(name, n);
      }
    }
    this.unknown.clear();
  }

  forget(tenantId: string): void {
    for (const names of [this.acknowledged, this.unknown, this.refused]) {
      for (const name of names.keys()) if (name.startsWith(`${tenantId} `)) names.delete(name);
    }
  }

  /** What was acknowledged is there, what was refused is not, and what is unknown is whole where it is. */
  async check(server: Server): Promise<void> {
    for (const [name, n] of this.acknowledged) {
      assert.equal(await read(server, name), n, `${name} was acknowledged`);
    }
    for (const [name, n] of this.unknown) {
      const found = await read(server, name);
      assert.ok(found === undefined || found === n, `${name}: ${found}`);
    }
    for (const name of this.refused) {
      assert.equal(await read(server, name), undefined, `${name} was refused`);
    }
  }
}

function valueOf(n: number): Uint8Array<ArrayBuffer> {
  // Not to be compressed away.
  const value = new Uint8Array(VALUE_BYTES);
  crypto.getRandomValues(value);
  new DataView(value.buffer).setUint32(0, n);
  return value;
}

/** The number in a key's value; undefined when it is not there. */
async function read(server: Server, name: string): Promise<number | undefined> {
  const [tenantId, key] = name.split(" ");
  const response = await fetch(`${server.url}/pairdb.v1.KeyValueService/Get`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ tenantId, key }),
  });
  const answer = await response.json();
  if (response.status === 404) return undefined;
  assert.equal(response.status, 200, JSON.stringify(answer));
  const value = Uint8Array.fromBase64(answer.value);
  assert.equal(value.length, VALUE_BYTES);
  return new DataView(value.buffer).getUint32(0);
}

function statSize(path: string): number | undefined {
  try {
    return Deno.statSync(path).size;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

async function readiness(server: Server): Promise<number> {
  const response = await fetch(`${server.url}/readyz`);
  await response.text();
  return response.status;
}

async function reasons(server: Server): Promise<string> {
  const health = await callJson(server, "StorageNodeService/HealthCheck", {});
  return `${health.status}: ${(health.reasons ?? []).join("; ")}`;
}

const missing = await missingMount();

/** Every kind of put, of a value of so many bytes. */
function putsOf(bytes: number): (readonly [DescMethod, Record<string, unknown>])[] {
  const value = new Uint8Array(bytes);
  const vectorClock = { entries: [{ coordinatorNodeId: "other", logicalTimestamp: 1n }] };
  const key = { tenantId: "new", key: "new" };
  const entry = {
    key: "new",
    version: {
      clock: { entries: [{ node: "other", counter: 1 }], dots: [] },
      dot: undefined,
      value,
      timestampMs: 7,
      expiresAtMs: 0,
    },
  };
  return [
    [KV.put, { ...key, value }],
    [KV.put, { ...key, value, idempotencyKey: "0123456789abcdef" }],
    [KV.batchPut, { tenantId: "new", items: [{ key: "new", value }] }],
    [NODE.write, { ...key, value, vectorClock }],
    [NODE.repair, { ...key, value, vectorClock }],
    [NODE.replicateData, { tenantId: "new", ...transferOf([entry]) }],
  ];
}

/** Demands that every kind of put is refused, over every protocol, and has changed nothing. */
async function refusesPuts(
  server: Server,
  bytes: number,
  expected: { number: number; status: Code; http: number },
): Promise<void> {
  const before = await lastSequence(server);
  for (const protocol of PROTOCOLS) {
    for (const [method, init] of putsOf(bytes)) {
      const message = encodeMessage(protocol, method.input, init);
      const { httpStatus, status, detail } = await callRaw(server.url, protocol, method, message);
      const http = protocol.startsWith("Connect") ? expected.http : 200;
      const what = `${method.name} over ${protocol}`;
      assert.deepEqual(
        { number: detail?.code, status, http: httpStatus },
        { ...expected, http },
        what,
      );
      assert.equal(detail?.details.outcome, "not_applied", what);
      assert.equal(detail?.details.totalBytes, String(DISK_BYTES), what);
      assert.ok(Number(detail?.details.freeBytes) < DISK_BYTES / 2, what);
    }
  }
  assert.equal(await lastSequence(server), before);
  const { tenants } = await callJson(server, "TenantService/ListTenants", {});
  assert.deepEqual(tenants.map(({ tenantId }: { tenantId: string }) => tenantId), ["shop"]);
}

testNeeding(
  "each threshold of a real disk refuses what it is to, over every protocol, takes the rest, and ends by itself [D1, D2, D4, R3, X17]",
  missing,
  () =>
    withFileSystem(
      [...ARGS, ...LOOKS_OFTEN, "--set", "storage.max_disk_usage=0.5"],
      async (directory, start) => {
        const data = `${directory}/data`;
        const server = await start();
        await until(() => statSize(`${data}/RESERVE`) === MIB);
        await callJson(server, "TenantService/CreateTenant", { tenantId: "shop" });
        const large = { tenantId: "shop", key: "large", value: new Uint8Array(30_000).toBase64() };
        await callJson(server, "KeyValueService/Put", large);
        const states = () => server.events("node.disk").map(({ state }) => state);
        /** Has another program's file take so much, and a node that is asked for nothing but its state see it. */
        const fill = async (share: number, state: string) => {
          await Deno.writeFile(`${directory}/filler`, new Uint8Array(share * DISK_BYTES));
          while (states().at(-1) !== state) await callJson(server, "AdminService/Status", {});
        };
        const deletes = async () => {
          for (const protocol of PROTOCOLS) {
            for (const method of [KV.delete, NODE.delete]) {
              const key = { tenantId: "shop", key: "none" };
              const message = encodeMessage(protocol, method.input, key);
              const { status, message: text } = await callRaw(
                server.url,
                protocol,
                method,
                message,
              );
              assert.equal(status, undefined, `${method.name} over ${protocol}: ${text}`);
            }
          }
        };

        await fill(0.42, "warn");
        await callJson(server, "KeyValueService/Put", large);
        assert.equal(await reasons(server), "healthy: ");

        await fill(0.55, "throttle");
        assert.match(await reasons(server), /^degraded: the disk is 5\d % full/);
        await refusesPuts(server, 30_000, { number: 2003, status: Code.Unavailable, http: 503 });
        const small = { tenantId: "shop", key: "small", value: "" };
        await callJson(server, "KeyValueService/Put", small);
        await deletes();

        await fill(0.8, "full");
        assert.match(await reasons(server), /^degraded: the disk is 8\d % full/);
        const full = { number: 2002, status: Code.ResourceExhausted, http: 429 };
        for (const bytes of [0, 30_000]) await refusesPuts(server, bytes, full);
        await deletes();
        assert.equal(await readiness(server), 200);
        for (const key of ["large", "small"]) {
          await callJson(server, "KeyValueService/Get", { tenantId: "shop", key });
        }

        await fill(0, "normal");
        await callJson(server, "KeyValueService/Put", large);
        assert.deepEqual(states(), ["warn", "throttle", "full", "normal"]);
        assert.equal(await server.stop(), 0);
      },
    ),
);

testNeeding(
  "the log meets the end of a real disk, waits, and goes on when there is room, with kill -9 in between [D4]",
  missing,
  () =>
    withFileSystem([...ARGS, ...LOOKS_SELDOM], async (directory, start) => {
      const data = `${directory}/data`;
      const filler = new Filler(directory);
      const history = new History();
      let server = await start();
      await history.puts(server, "old", 50);
      await history.puts(server, "shop", 50);
      await until(() => statSize(`${data}/RESERVE`) === MIB);
      for (const killed of [false, true, false]) {
        // It may be that the node has just looked, and refuses in time: then once more.
        while (history.unknown.size === 0) {
          filler.remove();
          await history.whenTaken(server, "shop");
          filler.fill();
          await history.fill(server, "shop");
        }
        filler.fill();
        // Not one byte: nothing is taken, everything is read, and health says so.
        const { detail } = await history.fill(server, "shop", 1);
        assert.equal(detail?.details.outcome, "not_applied");
        assert.match(await reasons(server), /^degraded: no write is taken before there is room/);
        assert.equal(await readiness(server), 200);
        await history.check(server);
        if (killed) {
          // Killed there. Without a byte it cannot start, and says so; what it left is whole.
          await server.kill();
          filler.fill();
          const failure = await start().then(() => undefined, (error) => error);
          assert.ok(failure instanceof NotReady, String(failure));
          assert.match(failure.ended.err, /its disk is full\. Make .* room/);
        }
        filler.remove();
        if (killed) server = await start();
        await history.whenTaken(server, "shop");
        // What waited is there now, unless its process was killed meanwhile.
        await history.settle(server, killed);
        await history.check(server);
        assert.deepEqual(await reasons(server), "healthy: ");
      }
      assert.equal(await server.stop(), 0);
      server = await start();
      await history.check(server);
      assert.equal(await server.stop(), 0);
    }),
);

testNeeding(
  "on a real disk that others have filled to the last byte keys are deleted and a tenant is dropped [X17]",
  missing,
  () =>
    withFileSystem([...ARGS, ...LOOKS_OFTEN], async (directory, start) => {
      const data = `${directory}/data`;
      const filler = new Filler(directory);
      const history = new History();
      let server = await start();
      await until(() => statSize(`${data}/RESERVE`) === MIB);
      await history.puts(server, "old", 50);
      await history.puts(server, "shop", 200);
      await callJson(server, "AdminService/Flush", {});
      const keys = [...history.acknowledged.keys()].filter((name) => name.startsWith("shop"));
      for (const name of keys) {
        // A job that finds no room gives up what it has written: until the log has needed the reserve, that is
        // filled as well.
        if (statSize(`${data}/RESERVE`) !== undefined) filler.fill();
        const key = name.split(" ")[1];
        assert.ok(await taken(server, "KeyValueService/Delete", { tenantId: "shop", key }), name);
        history.acknowledged.delete(name);
        history.refused.add(name);
      }
      assert.equal(statSize(`${data}/RESERVE`), undefined);
      await history.check(server);
      // In the other half it is killed, starts, and drops.
      await server.kill();
      server = await start();
      await history.check(server);
      await callJson(server, "TenantService/DropTenant", { tenantId: "old" });
      history.forget("old");
      filler.remove();
      await history.whenTaken(server, "shop");
      await history.check(server);
      assert.equal(await server.stop(), 0);
    }),
);

testNeeding(
  "a real disk that the node has filled, and others to the last byte, is emptied by deletes and a drop, after kill -9 too, and takes writes again [X17]",
  missing,
  () =>
    withFileSystem([...ARGS, ...LOOKS_OFTEN], async (directory, start) => {
      const data = `${directory}/data`;
      const filler = new Filler(directory);
      const history = new History();
      let server = await start();
      await until(() => statSize(`${data}/RESERVE`) === MIB);
      await history.puts(server, "old", 600);
      await callJson(server, "AdminService/Flush", {});
      const { detail } = await history.fill(server, "shop");
      assert.equal(detail?.details.outcome, "not_applied");
      // D2: at 95 % puts are refused, deletes taken.
      const [first] = [...history.acknowledged.keys()].filter((name) => name.startsWith("shop"));
      const key = first.split(" ")[1];
      while (!await taken(server, "KeyValueService/Delete", { tenantId: "shop", key })) {
        // A job that finds no room gives up what it has written.
      }
      history.acknowledged.delete(first);
      assert.equal(await read(server, first), undefined);
      // A compaction may have filled the disk before: then the log has taken it.
      const hasReserve = statSize(`${data}/RESERVE`) === MIB;
      filler.fill();
      await server.kill();
      if (!hasReserve) {
        await assert.rejects(start(), /its disk is full\. Make a few MiB of room/);
        filler.remove();
      }
      // In the room of the reserve it starts, is read, and a tenant dropped. What jobs left unfinished goes too.
      server = await start();
      assert.equal(await read(server, first), undefined);
      await history.check(server);
      await callJson(server, "TenantService/DropTenant", { tenantId: "old" });
      history.forget("old");
      await history.whenTaken(server, "shop");
      filler.remove();
      await server.kill();
      server = await start();
      await history.check(server);
      assert.equal(await server.stop(), 0);
    }),
);
