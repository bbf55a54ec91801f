/**
 * The command line against the real program: `serve` is a process of its own on a real disk, and the
 * commands talk to it over a real socket.
 * @module
 */
import assert from "node:assert/strict";
import { run } from "../../src/cli/mod.ts";
import { RawClient } from "../support/raw_http.ts";
import { hello, nextOf, SETTINGS } from "../support/raw_http2.ts";
import { callJson, withServer } from "../support/server.ts";
import { fakeProcess } from "../unit/cli/fake_process.ts";

const MAIN = new URL("../../main.ts", import.meta.url).pathname;

/** A `serve` that said it is ready. */
interface Served {
  readonly url: string;
  readonly line: string;
  readonly process: Deno.ChildProcess;
}

/** Runs the program to its end. */
async function program(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", MAIN, ...args],
    stdin: "null",
  }).output();
  return { code, out: new TextDecoder().decode(stdout), err: new TextDecoder().decode(stderr) };
}

/** Starts a node and waits for its ready line. */
async function startNode(data: string, ...args: string[]): Promise<Served> {
  const process = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", MAIN, "serve", "--data", data, "--listen", "127.0.0.1:0", ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const reader = process.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let line = "";
  while (!line.includes("\n")) {
    const { value, done } = await reader.read();
    if (done) throw new Error(`serve ended before it was ready: ${JSON.stringify(line)}`);
    line += value;
  }
  await reader.cancel();
  return { url: /http:\/\/\S+/.exec(line)![0], line, process };
}

async function stopNode({ process }: Served, signal: Deno.Signal = "SIGTERM"): Promise<number> {
  process.kill(signal);
  return (await process.status).code;
}

/** Runs `body` with a node on an empty directory, and ends whatever is left of it. */
async function withNode(
  body: (node: Served, data: string) => Promise<void>,
  ...args: string[]
): Promise<void> {
  const data = await Deno.makeTempDir({ prefix: "pairdb-cli-" });
  try {
    const node = await startNode(data, ...args);
    try {
      await body(node, data);
    } finally {
      // A test may have stopped it already.
      try {
        node.process.kill("SIGKILL");
      } catch (error) {
        assert(error instanceof TypeError, String(error));
      }
      await node.process.status;
    }
  } finally {
    await Deno.remove(data, { recursive: true });
  }
}

type World = Parameters<typeof fakeProcess>[1];

/** Runs one command in this process against a node. */
async function pairdb(
  url: string,
  args: string[],
  world: World = {},
): Promise<{ code: number; out: string; err: string }> {
  const process = fakeProcess(args, { ...world, env: { PAIRDB_SERVER: url, ...world.env } });
  const code = await run(process);
  return { code, ...process.written };
}

const ok = (out: string) => ({ code: 0, out, err: "" });

Deno.test("cli: watch prints changes as lines, or as JSON to go on from [B8]", () =>
  withNode(async ({ url }) => {
    await pairdb(url, ["put", "t", "a/1", "one"]);
    const watching = pairdb(url, ["watch", "t", "--prefix", "a/", "--initial", "--limit", "3"]);
    const json = pairdb(url, ["watch", "t", "a/2", "--limit", "3", "--output", "json"]);
    // They have begun when the node counts them.
    let metrics = "";
    while (!metrics.includes("\npairdb_watchers 2\n")) {
      metrics = await (await fetch(`${url}/metrics`)).text();
    }
    await pairdb(url, ["put", "t", "b", "other"]);
    await pairdb(url, ["put", "t", "a/2", "two\nlines"]);
    await pairdb(url, ["del", "t", "a/2"]);
    assert.deepEqual(
      await watching,
      ok("initial \ta/1\tone\nput     \ta/2\ttwo\\nlines\ndelete  \ta/2\n"),
    );
    const events = (await json).out.trimEnd().split("\n").map((line) => JSON.parse(line));
    assert.deepEqual(events.map(({ type, value }) => [type, value]), [
      ["progress", undefined],
      ["put", "two\nlines"],
      ["delete", undefined],
    ]);
    const resume = ["watch", "t", "--keys-only", "--limit", "1", "--resume"];
    assert.deepEqual(
      await pairdb(url, [...resume, events[1].resume_token]),
      ok("delete  \ta/2\n"),
    );
    assert.deepEqual(await pairdb(url, [...resume, "A".repeat(22)]), ok("gap     \tunknown\n"));
    assert.match((await pairdb(url, [...resume, "x"])).err, /token.*\(code 1000 /);
  }));

Deno.test("cli: put, get, del and scan do what they say", () =>
  withNode(async ({ url, line }) => {
    assert.match(line, /^pairdb ready on http:\/\/127\.0\.0\.1:\d+ node=\S+\n$/);
    assert.deepEqual(await pairdb(url, ["put", "t", "a", "1"]), ok("OK\n"));
    assert.deepEqual(
      await pairdb(url, ["put", "t", "b", "-"], { files: { "-": "two\nlines" } }),
      ok("OK\n"),
    );
    assert.deepEqual(await pairdb(url, ["put", "t", "c", ""]), ok("OK\n"));
    assert.deepEqual(await pairdb(url, ["get", "t", "a"]), ok("1\n"));
    assert.deepEqual(await pairdb(url, ["get", "t", "b", "--raw"]), ok("two\nlines"));
    assert.deepEqual(await pairdb(url, ["get", "t", "c"]), ok("\n"));
    const json = JSON.parse((await pairdb(url, ["get", "t", "b", "--output", "json"])).out);
    assert.equal(json.value, "two\nlines");
    assert.equal(json.key, "b");
    assert.equal(typeof json.timestamp, "number");
    assert.deepEqual(await pairdb(url, ["scan", "t"]), ok("a\t1\nb\ttwo\\nlines\nc\t\n"));
    assert.deepEqual(
      await pairdb(url, ["scan", "t", "--start", "b", "--limit", "1"]),
      ok("b\ttwo\\nlines\n"),
    );
    assert.deepEqual(await pairdb(url, ["scan", "t", "--end", "b", "--keys-only"]), ok("a\n"));
    assert.deepEqual(
      await pairdb(url, ["scan", "t", "--reverse", "--end", "c", "--limit", "5", "--keys-only"]),
      ok("b\na\n"),
    );
    assert.deepEqual(
      await pairdb(url, ["scan", "t", "--reverse", "--limit", "1", "--keys-only"]),
      ok("c\n"),
    );
    assert.deepEqual(
      await pairdb(url, ["scan", "t", "--prefix", "c", "--keys-only", "--output", "json"]),
      ok('{"key":"c"}\n'),
    );
    assert.deepEqual(await pairdb(url, ["del", "t", "a"]), ok("OK\n"));
    assert.deepEqual(await pairdb(url, ["del", "t", "a"]), ok("OK (there was no value)\n"));
    assert.deepEqual(await pairdb(url, ["get", "t", "a"]), {
      code: 1,
      out: "",
      err: "error: the key has no value (code 1001 KeyNotFound)\n",
    });
    assert.match(
      (await pairdb(url, ["put", "a:b", "k", "v"])).err,
      /\(code 1004 InvalidTenantID\)\n$/,
    );
    assert.match(
      (await pairdb(url, ["put", "t", "k".repeat(1025), "v"])).err,
      /\(code 1002 KeyTooLarge\)\n$/,
    );
    assert.match((await pairdb(url, ["put", "t", "a\tb", "v"])).err, /\(code 1005 InvalidKey\)\n$/);
  }));

Deno.test("cli: get --explain tells layer, tables, blocks and versions, as a table and as JSON [B3]", () =>
  withNode(async ({ url }) => {
    const explained = async (key: string) => {
      const { out } = await pairdb(url, ["get", "t", key, "--explain", "--output", "json"]);
      return JSON.parse(out);
    };
    assert.equal((await explained("none")).state, "absent", "no tenant yet");
    const put = JSON.parse((await pairdb(url, ["put", "t", "k", "1", "--output", "json"])).out);
    const inMemory = await explained("k");
    assert.deepEqual([inMemory.key, inMemory.state, inMemory.source], ["k", "found", "memtable"]);
    assert.ok(inMemory.duration_us >= 0);
    assert.equal(inMemory.context, put.context);
    assert.equal((await pairdb(url, ["flush", "t"])).code, 0);
    const onDisk = await explained("k");
    assert.deepEqual([onDisk.source, onDisk.tables_asked], ["sstable", 1]);
    assert.equal(onDisk.blocks_cached + onDisk.blocks_read, 1);
    const [, , step] = onDisk.steps;
    assert.deepEqual([step.layer, step.level, step.result], ["sstable", 0, "found"]);
    assert.ok(step.table > 0);
    assert.equal((await explained("k")).source, "cache");
    // What has seen nothing of the other stays beside it.
    for (const value of ["22", "333"]) {
      await pairdb(url, ["put", "t", "k", value, "--context", put.context]);
    }
    const { versions } = await explained("k");
    assert.deepEqual(
      versions.map((version: { value_bytes: number }) => version.value_bytes).sort(),
      [2, 3],
    );
    assert.ok(versions.every(({ event }: { event: unknown }) => event !== null));
    const told = await pairdb(url, ["get", "t", "k", "--explain"]);
    const lines = told.out.trimEnd().split("\n");
    assert.match(lines[0], /^found in memtable after \d+ µs; tables: 0 asked, 0 ruled out /);
    assert.match(lines[1], /^memtable\t\t\tfound\t[12]\t\d+ B\t\t\t$/);
    assert.match(lines.at(-1)!, /^value\t[23] B\t20\d\d-\S+Z\t\t\S+:\d+\t\S+:\d+/);
    assert.deepEqual([told.code, told.err], [0, ""]);
    await pairdb(url, ["del", "t", "k"]);
    assert.deepEqual(
      [(await explained("k")).state, (await pairdb(url, ["get", "t", "k"])).code],
      ["deleted", 1],
    );
    assert.equal((await pairdb(url, ["get", "t", "k", "--explain", "--raw"])).code, 2);
    assert.match((await pairdb(url, ["get", "t", "a\tb", "--explain"])).err, /\(code 1005 /);
  }));

Deno.test("cli: concurrent writes are all shown, and a put with their context settles them [E34]", () =>
  withNode(async ({ url }) => {
    const first = JSON.parse((await pairdb(url, ["put", "t", "k", "1", "--output", "json"])).out);
    for (const value of ["2", "3"]) {
      assert.equal(
        (await pairdb(url, ["put", "t", "k", value, "--context", first.context])).code,
        0,
      );
    }
    const plain = await pairdb(url, ["get", "t", "k"]);
    assert.equal(plain.out, "3\n");
    assert.match(plain.err, /^note: the key has 2 concurrent versions/);
    const found = JSON.parse((await pairdb(url, ["get", "t", "k", "--output", "json"])).out);
    assert.deepEqual(found.siblings.map((one: { value: string }) => one.value).sort(), ["2", "3"]);
    assert.match((await pairdb(url, ["export", "t"])).err, /1 keys have concurrent versions/);
    assert.equal((await pairdb(url, ["put", "t", "k", "4", "--context", found.context])).code, 0);
    assert.deepEqual(await pairdb(url, ["get", "t", "k"]), ok("4\n"));
  }));

Deno.test("cli: --if-context writes only to what has been read, and says what there is instead", () =>
  withNode(async ({ url }) => {
    const put = (...more: string[]) => pairdb(url, ["put", "t", "k", ...more, "--output", "json"]);
    const made = JSON.parse((await put("1", "--if-context", "none")).out);
    const next = JSON.parse((await put("2", "--if-context", made.context)).out);
    const refused = await put("lost", "--if-context", made.context);
    assert.equal(refused.code, 1);
    assert.ok(refused.err.includes(`: it is now ${next.context} (code 1000 InvalidArgument)`));
    assert.equal((await put("lost", "--if-context", "none")).code, 1);
    const del = (context: string) => pairdb(url, ["del", "t", "k", "--if-context", context]);
    assert.equal((await del(made.context)).code, 1);
    assert.deepEqual(await pairdb(url, ["get", "t", "k"]), ok("2\n"));
    assert.equal((await del(next.context)).code, 0);
    assert.equal((await put("x", "--if-context", "")).code, 2);
    assert.equal((await put("x", "--if-context", "none", "--context", made.context)).code, 2);
  }));

Deno.test("cli: --idempotency-key has a put or a delete done once", () =>
  withNode(async ({ url }) => {
    const key = ["--idempotency-key", "0f8fad5b-d9cb-469f-a165-70867728950e", "--output", "json"];
    const first = await pairdb(url, ["put", "t", "k", "1", ...key]);
    assert.equal((await pairdb(url, ["put", "t", "k", "2"])).code, 0);
    assert.deepEqual(await pairdb(url, ["put", "t", "k", "1", ...key]), first);
    assert.deepEqual(await pairdb(url, ["get", "t", "k"]), ok("2\n"));
    const other = await pairdb(url, ["del", "t", "k", ...key]);
    assert.match(other.err, /the idempotency key was given to another write \(code 1000/);
    const short = await pairdb(url, ["del", "t", "k", "--idempotency-key", "short"]);
    assert.match(short.err, /16 to 64 bytes \(code 1000/);
    assert.deepEqual(
      await pairdb(url, ["tenant", "list"]).then(({ out }) => /idemp/.test(out)),
      false,
    );
  }));

Deno.test("cli: what is exported can be imported, byte for byte, and a second import changes nothing", () =>
  withNode(async ({ url }) => {
    const records = [
      '{"key":"bom","value":"\ufefftext"}',
      '{"key":"bytes","value_base64":"/9j/"}',
      '{"key":"empty","value":""}',
      '{"key":"twice","value":"last"}',
      '{"key":"ä\u2028","value":"\\u0000\\n\u2028"}',
    ];
    const input = ['{"key":"twice","value":"first"}', "", ...records].join("\n");
    const files = { "in.jsonl": `\ufeff${input}` };
    assert.deepEqual(
      await pairdb(url, ["import", "t", "in.jsonl"], { files }),
      ok("imported 6 records (0 unchanged)\n"),
    );
    const exported = await pairdb(url, ["export", "t"]);
    assert.equal(exported.out, records.map((record) => `${record}\n`).join(""));
    assert.equal(exported.err, "exported 5 records\n");
    assert.deepEqual(
      await pairdb(url, ["import", "t", "-"], { files: { "-": exported.out } }),
      ok("imported 5 records (5 unchanged)\n"),
    );
    const some = await pairdb(url, ["export", "t", "--prefix", "b"]);
    assert.equal(some.err, "exported 2 records\n");
  }));

Deno.test("cli: what dies some day is exported with its time, and imported with what is left of it", () =>
  withNode(async ({ url }) => {
    const make = ["tenant", "create", "t", "--ttl", "1h"];
    assert.equal((await pairdb(url, make)).code, 0);
    const before = Date.now();
    for (const [key, ...flags] of [["default"], ["own", "--ttl", "2h"], ["stays", "--ttl", "0"]]) {
      assert.deepEqual(await pairdb(url, ["put", "t", key, "v", ...flags]), ok("OK\n"));
    }
    const rows = async (tenant: string, command = ["export", tenant]) =>
      (await pairdb(url, command)).out.trim().split("\n").map((line) => JSON.parse(line));
    const [byDefault, own, stays] = await rows("t");
    for (const [row, hours] of [[byDefault, 1], [own, 2]] as const) {
      const leftMs = row.expires_at - before - hours * 3_600_000;
      assert.ok(leftMs >= 0 && leftMs < 60_000, JSON.stringify(row));
    }
    // Without it an import into this tenant would give it the default.
    assert.deepEqual(stays, { key: "stays", value: "v", expires_at: 0 });
    const scanned = await rows("t", ["scan", "t", "--output", "json"]);
    assert.deepEqual(scanned.map((row) => row.expires_at), [
      byDefault.expires_at,
      own.expires_at,
      undefined,
    ]);
    const records = [
      byDefault,
      own,
      stays,
      { key: "gone", value: "v", expires_at: before - 1 },
      { key: "for ever", value: "v", expires_at: 0 },
    ];
    const files = { "-": records.map((record) => `${JSON.stringify(record)}\n`).join("") };
    assert.deepEqual(
      await pairdb(url, ["import", "u", "-"], { files }),
      ok("imported 4 records (0 unchanged), left out 1 whose time is over\n"),
    );
    const imported = await rows("u");
    assert.deepEqual(imported.map(({ key }) => key), ["default", "for ever", "own", "stays"]);
    for (const [i, wanted] of [[0, byDefault], [2, own]] as const) {
      // The program's clock and the node's are one; between reading and storing some time goes by.
      const late = imported[i].expires_at - wanted.expires_at;
      assert.ok(late >= -1 && late < 60_000, `${late} ms`);
    }
    assert.deepEqual([imported[1].expires_at, imported[3].expires_at], [undefined, undefined]);
    // Out of a tenant with a default and into it again, as after a restore: for ever stays for ever.
    const again = (await pairdb(url, ["export", "t"])).out;
    assert.equal((await pairdb(url, ["tenant", "drop", "t", "--yes"])).code, 0);
    assert.equal((await pairdb(url, make)).code, 0);
    assert.equal((await pairdb(url, ["import", "t", "-"], { files: { "-": again } })).code, 0);
    const [, , still] = await rows("t");
    assert.deepEqual(still, { key: "stays", value: "v", expires_at: 0 });
    const state = await rows("t", ["scan", "t", "--output", "json"]);
    assert.equal(state.find(({ key }) => key === "stays").expires_at, undefined);
  }));

Deno.test("cli: a key that comes in several batches ends with its last value", () =>
  withNode(async ({ url }) => {
    const lines: string[] = [];
    for (let i = 0; i < 5000; i++) {
      lines.push(`{"key":"${i % 1000 === 0 ? "same" : i}","value":"${i}"}`);
    }
    const files = { "-": lines.join("\n") };
    const imported = await pairdb(url, ["import", "t", "-"], { files, chunkBytes: 65536 });
    assert.equal(imported.out, "imported 5000 records (0 unchanged)\n");
    assert.deepEqual(await pairdb(url, ["get", "t", "same"]), ok("4000\n"));
  }));

Deno.test("cli: nothing after a malformed line is sent, and what was before it is stored", () =>
  withNode(async ({ url }) => {
    const files = { "-": '{"key":"a","value":"1"}\n{"key":"b"}\n{"key":"c","value":"1"}\n' };
    const { code, out, err } = await pairdb(url, ["import", "t", "-"], { files });
    assert.equal(code, 1);
    assert.equal(out, "");
    assert.match(
      err,
      /^stored through line 1 \(1 records\)\nerror: line 2: .* \(code 1000 InvalidArgument\)\n$/,
    );
    assert.equal((await pairdb(url, ["export", "t"])).out, '{"key":"a","value":"1"}\n');
  }));

Deno.test("cli: after kill -9 in the middle of an import, all that was told as stored is there", () =>
  withNode(async ({ url, process }, data) => {
    const lines = Array.from(
      { length: 20_000 },
      (_, i) =>
        `{"key":"${String(i).padStart(5, "0")}","value":"value ${i} ${"x".repeat(i % 100)}"}`,
    );
    const world = { files: { in: lines.join("\n") }, chunkBytes: 65536, terminal: true };
    let killed = false;
    const cut = await pairdb(url, ["import", "t", "in"], {
      ...world,
      onErr: () => {
        if (!killed) process.kill("SIGKILL");
        killed = true;
      },
    });
    assert.equal(cut.code, 1);
    assert.match(
      cut.err,
      /error: cannot reach \S+ is a node running\? \(code 2001 Unavailable\)\n$/,
    );
    const told = /stored through line (\d+) \((\d+) records\)/.exec(cut.err)!;
    const through = Number(told[1]);
    assert(through >= 1000 && through < lines.length, told[0]);
    assert.equal(told[2], told[1]);

    const again = await startNode(data);
    try {
      const { out } = await pairdb(again.url, ["export", "t"]);
      const exported = out.split("\n").slice(0, -1);
      // The batch that was under way may be there as well; a batch is there whole or not at all.
      assert(exported.length >= through);
      assert.equal(exported.length % 1000, 0);
      assert.deepEqual(exported.slice(0, through), lines.slice(0, through));
      const known = new Set(lines);
      for (const line of exported) assert(known.has(line), line);
      const resumed = await pairdb(again.url, ["import", "t", "in"], world);
      assert.equal(resumed.out, `imported 20000 records (${exported.length} unchanged)\n`);
      const repeated = await pairdb(again.url, ["import", "t", "in"], world);
      assert.equal(repeated.out, "imported 20000 records (20000 unchanged)\n");
    } finally {
      assert.equal(await stopNode(again), 0);
    }
    const checked = await program("check", data);
    assert.equal(checked.code, 0, checked.err);
  }));

Deno.test("cli: a quota is set, enforced, shown, raised and taken away [B2]", () =>
  withNode(async ({ url }) => {
    const quotas = ["--max-bytes", "1MiB", "--max-keys", "2", "--max-bandwidth", "20MB"];
    assert.deepEqual(await pairdb(url, ["tenant", "create", "shop", ...quotas]), ok("OK\n"));
    for (const key of ["a", "b"]) {
      assert.equal((await pairdb(url, ["put", "shop", key, "v"])).code, 0);
    }
    const { code, err } = await pairdb(url, ["put", "shop", "c", "v"]);
    assert.equal(code, 1);
    assert.match(err, /the tenant has used 2 of its 2 keys.*\(code 2008 ResourceExhausted\)\n$/);
    assert.match(
      (await pairdb(url, ["tenant", "list"])).out,
      /\t\d+ of 1048576\t2 of 2\t3\t20000000\/s\t1\t0\n$/,
    );
    const more = [
      "--max-keys",
      "3",
      "--max-bytes",
      "0",
      "--max-requests",
      "1000",
      "--compression",
      "zstd",
      "--cache-share",
      "25",
    ];
    assert.deepEqual(await pairdb(url, ["tenant", "update", "shop", ...more]), ok("OK\n"));
    assert.equal((await pairdb(url, ["put", "shop", "c", "v"])).code, 0);
    const [tenant] = JSON.parse((await pairdb(url, ["tenant", "list", "--output", "json"])).out);
    const { max_bytes, max_keys, max_requests_per_second, max_bytes_per_second, usage } = tenant;
    assert.deepEqual([max_bytes, max_keys, max_requests_per_second, max_bytes_per_second], [
      undefined,
      3,
      1000,
      20_000_000,
    ]);
    assert.deepEqual([usage.keys, usage.requests, usage.refused], [3, 4, 1]);
    assert.equal(tenant.compression, "zstd");
    assert.deepEqual([tenant.cache_share_percent, usage.cache_bytes], [25, 0]);
    assert.match((await pairdb(url, ["tenant", "list"])).out, /\t0 of 25%\n$/);
    const any = await pairdb(url, ["tenant", "update", "shop", "--cache-share", "0"]);
    assert.deepEqual(any, ok("OK\n"));
    assert.match((await pairdb(url, ["tenant", "list"])).out, /\t0\n$/);
    for (const bad of ["101", "-1", "x"]) {
      assert.equal((await pairdb(url, ["tenant", "update", "shop", "--cache-share", bad])).code, 2);
    }
    assert.equal((await pairdb(url, ["tenant", "update", "shop", "--max-keys", "-1"])).code, 2);
    assert.equal((await pairdb(url, ["tenant", "update", "shop", "--max-bytes", "2x"])).code, 2);
    const metrics = await (await fetch(`${url}/metrics`)).text();
    assert.match(metrics, /pairdb_tenant_refused_total\{tenant="shop"\} 1\n/);
    assert.match(metrics, /pairdb_tenant_max_keys\{tenant="shop"\} 3\n/);
    assert.match(metrics, /pairdb_tenant_cache_bytes\{tenant="shop"\} 0\n/);
  }));

Deno.test("cli: tenants, status, health, flush and compact", () =>
  withNode(async ({ url }, data) => {
    assert.deepEqual(await pairdb(url, ["tenant", "create", "shop"]), ok("OK\n"));
    assert.match(
      (await pairdb(url, ["tenant", "create", "shop"])).err,
      /\(code 1000 InvalidArgument\)\n$/,
    );
    assert.match(
      (await pairdb(url, ["tenant", "list"])).out,
      /^shop\t\d{4}-.*Z\t\d+\t0\t\t\t\t0\t0\t0\t\t0\t0\n$/,
    );
    const options = ["--compaction", "hybrid", "--ttl", "7d"];
    assert.deepEqual(await pairdb(url, ["tenant", "update", "shop", ...options]), ok("OK\n"));
    assert.match(
      (await pairdb(url, ["tenant", "list"])).out,
      /\t0\thybrid\t\t168h\t0\t0\t0\t\t0\t0\n$/,
    );
    assert.deepEqual(await pairdb(url, ["tenant", "update", "shop", "--ttl", "0"]), ok("OK\n"));
    assert.equal((await pairdb(url, ["tenant", "update", "shop"])).code, 2);
    assert.equal((await pairdb(url, ["tenant", "update", "shop", "--compaction", "best"])).code, 2);
    assert.match(
      (await pairdb(url, ["tenant", "update", "nobody", "--ttl", "1s"])).err,
      /\(code 1004 InvalidTenantID\)\n$/,
    );
    assert.equal((await pairdb(url, ["put", "shop", "k", "v"])).code, 0);
    assert.deepEqual(await pairdb(url, ["flush", "shop"]), ok("OK\n"));
    assert.deepEqual(await pairdb(url, ["compact"]), ok("OK\n"));
    const range = ["--start", "a", "--end", "z", "--purge"];
    assert.deepEqual(await pairdb(url, ["compact", "shop", ...range]), ok("OK\n"));
    assert.equal((await pairdb(url, ["compact", "--start", "a"])).code, 2);
    const [tenant] = JSON.parse((await pairdb(url, ["tenant", "list", "--output", "json"])).out);
    assert.equal(tenant.tables, 1);
    assert.deepEqual([tenant.compaction, tenant.default_ttl_ms], ["hybrid", 0]);
    assert.equal(tenant.conflict_strategy, "vector_clock");
    const counter = ["tenant", "create", "counts", "--conflict-strategy"];
    assert.match((await pairdb(url, [...counter, "merge:none"])).err, /\(code 1000 /);
    assert.deepEqual(await pairdb(url, [...counter, "merge:counter"]), ok("OK\n"));
    assert.match((await pairdb(url, ["tenant", "list"])).out, /^counts\t.*\tmerge:counter\t/);
    assert.equal((await pairdb(url, ["put", "counts", "k", "+2"])).code, 0);
    assert.equal((await pairdb(url, ["put", "counts", "k", "-3"])).code, 0);
    assert.equal((await pairdb(url, ["get", "counts", "k"])).out, "-1\n");
    const status = JSON.parse((await pairdb(url, ["status", "--output", "json"])).out);
    assert.equal(status.status, "healthy");
    assert.equal(status.data_dir, data);
    assert.equal(status.tables, 1);
    assert.match((await pairdb(url, ["status"])).out, /^node {9}\S+\nversion {6}\d/);
    assert.match((await pairdb(url, ["health"])).out, /^healthy node=\S+\n$/);
    assert.deepEqual(await pairdb(url, ["tenant", "drop", "shop", "--yes"]), ok("OK\n"));
    assert.match(
      (await pairdb(url, ["tenant", "drop", "shop", "--yes"])).err,
      /\(code 1004 InvalidTenantID\)\n$/,
    );
    assert.match((await pairdb(url, ["flush", "shop"])).err, /\(code 1004 InvalidTenantID\)\n$/);
  }));

Deno.test("cli: jobs tells what was done in the background, from which tables to which level, by how many threads [E47, W1]", () =>
  withNode(
    async ({ url }) => {
      const before = Date.now();
      for (const value of ["1", "2"]) {
        assert.equal((await pairdb(url, ["put", "shop", "k", value])).code, 0);
        assert.equal((await pairdb(url, ["flush", "shop"])).code, 0);
      }
      assert.equal((await pairdb(url, ["compact", "shop"])).code, 0);
      const { jobs } = JSON.parse((await pairdb(url, ["jobs", "--ended", "--output", "json"])).out);
      const told = (kind: string) =>
        jobs.filter((job: { kind: string }) => job.kind === kind).map((
          { tenant, state, level, output_level, inputs }: Record<string, unknown>,
        ) => [tenant, state, level, output_level, (inputs as number[]).length]);
      assert.deepEqual(told("flush"), [1, 2].map(() => ["shop", "completed", -1, 0, 0]));
      const [[, , level, to, inputs], ...more] = told("compaction");
      assert.deepEqual([level, to > 0, inputs, more.length], [0, true, 2, 0]);
      for (const job of jobs) {
        assert.ok(job.started_at_ms >= before - 1 && job.ended_at_ms >= job.started_at_ms);
        assert.ok(job.ended_at_ms <= Date.now() + 1);
      }
      const line = (await pairdb(url, ["jobs", "--ended"])).out.split("\n");
      assert.ok(
        line.some((row) => /\tcompaction\tshop\tcompleted\tL0 > L\d\t/.test(row)),
        `${line}`,
      );
      const metrics = await (await fetch(`${url}/metrics`)).text();
      // One more is for flushes alone.
      assert.match(metrics, /\npairdb_workers_max 4\n/);
      assert.match(metrics, /\npairdb_workers_active 0\n/);
      assert.match(metrics, /\npairdb_worker_queue_length 0\n/);
      assert.match(metrics, /\npairdb_worker_succeeded_total [1-9]/);
    },
    ...["--set", "compaction.workers=3"],
  ));

Deno.test("cli: status tells which share of the reads each layer has answered [K8]", () =>
  withNode(async ({ url }) => {
    const read = (key: string) => pairdb(url, ["get", "t", key]);
    assert.match((await pairdb(url, ["status"])).out, /^reads +none$/m);
    for (const key of ["a", "b"]) assert.equal((await pairdb(url, ["put", "t", key, "v"])).code, 0);
    await read("a");
    assert.equal((await pairdb(url, ["flush"])).code, 0);
    // From a table, then three times from the row cache.
    for (let n = 0; n < 4; n++) assert.equal((await read("a")).out, "v\n");
    for (const key of ["b", "none", "none either"]) await read(key);
    const { reads } = JSON.parse((await pairdb(url, ["status", "--output", "json"])).out);
    assert.deepEqual(
      Object.fromEntries(Object.entries(reads).map(([layer, count]) => [layer, Number(count)])),
      { memtable: 1, row_cache: 3, shared_cache: 0, tables: 2, nothing: 2 },
    );
    assert.match(
      (await pairdb(url, ["status"])).out,
      /^reads +8: memtables 12.5 %, row cache 37.5 %, shared cache 0 %, tables 25 %, nothing 25 %$/m,
    );
  }));

Deno.test("cli: slow finds the slowest operation of the last minute", () =>
  withNode(async ({ url }) => {
    assert.equal((await pairdb(url, ["put", "shop", "cart/42", "v"])).code, 0);
    assert.equal((await pairdb(url, ["get", "shop", "cart/42"])).code, 0);
    const flags = ["--within", "1m", "--limit", "1"];
    const { out } = await pairdb(url, ["slow", ...flags, "--output", "json"]);
    const [{ elapsed_ms, tenant, key, keys, code }, ...none] = JSON.parse(out);
    assert.deepEqual([tenant, key, keys, code, none.length], ["shop", "cart/42", 1, "ok", 0]);
    const all = JSON.parse((await pairdb(url, ["slow", "--output", "json"])).out);
    const methods = all.map((each: { operation: string }) => each.operation);
    assert.deepEqual(methods.sort(), ["read", "write"]);
    assert.equal(Math.max(...all.map((each: typeof all[0]) => each.elapsed_ms)), elapsed_ms);
    // Tenant, key and value, and what the protocol adds.
    for (const each of all) assert.ok(each.request_bytes > 12 && each.request_bytes < 100, out);
    const line = (await pairdb(url, ["slow", ...flags, "--tenant", "shop"])).out;
    assert.match(line, /^\d{4}-\S+Z\t[\d.]+ms\t[\d.]+ms\t(read|write)\tshop\tcart\/42\t/);
    assert.deepEqual(await pairdb(url, ["slow", "--tenant", "cafe"]), ok(""));
    assert.equal((await pairdb(url, ["slow", "--limit", "0"])).code, 2);
  }));

Deno.test("cli: bench writes its keys, tells what it has measured, and fails when a call does", () =>
  withNode(async ({ url }) => {
    const small = ["--clients", "3", "--keys", "1001", "--value-size", "10"];
    const bench = (...flags: string[]) => pairdb(url, ["bench", "load", ...small, ...flags]);
    const { code, out } = await bench("--duration", "300ms", "--output", "json");
    const { tenant, elapsed_ms, clients, keys, value_bytes, operations } = JSON.parse(out);
    assert.deepEqual([code, tenant, clients, keys, value_bytes], [0, "load", 3, 1001, 10]);
    assert.ok(elapsed_ms >= 300, out);
    let calls = 0;
    for (const each of operations) {
      assert.equal(each.failed, 0);
      assert.ok(each.per_second > 0, out);
      const times = [each.p50_ms, each.p95_ms, each.p99_ms, each.p999_ms, each.max_ms];
      assert.deepEqual(times, times.toSorted((a, b) => a - b));
      assert.ok(times[0] > 0, out);
      calls += each.calls;
    }
    const [{ usage }] = JSON.parse((await pairdb(url, ["tenant", "list", "--output", "json"])).out);
    assert.equal(usage.requests, 1001 + calls, "the node has counted as many");
    const last = (await pairdb(url, ["get", "load", "bench/00001000", "--raw"])).code;
    assert.equal(last, 0);

    const reads = await bench("--duration", "50ms", "--reads", "100");
    assert.match(reads.out, /^read\t\d+\t0\t\d+(\t[\d.]+){5}\n$/);
    const quota = ["tenant", "update", "load", "--max-keys", "1001"];
    assert.equal((await pairdb(url, quota)).code, 0);
    const full = await bench("--duration", "50ms", "--keys", "1002");
    assert.deepEqual([full.code, full.out], [1, ""]);
    assert.match(full.err, /code 2008 ResourceExhausted/);
    for (const flags of [["--clients", "0"], ["--reads", "101"], ["--duration", "0"]]) {
      assert.equal((await bench(...flags)).code, 2, flags.join(" "));
    }
  }));

Deno.test("cli: serve keeps its name and data over restarts, and ends with 0 when told to", () =>
  withNode(async (node, data) => {
    assert.equal((await pairdb(node.url, ["put", "t", "k", "v"])).code, 0);
    assert.equal(await stopNode(node), 0);
    const again = await startNode(data);
    try {
      assert.equal(again.line.split("node=")[1], node.line.split("node=")[1]);
      assert.deepEqual(await pairdb(again.url, ["get", "t", "k"]), ok("v\n"));
    } finally {
      assert.equal(await stopNode(again, "SIGINT"), 0);
    }
    const renamed = await program(
      "serve",
      "--data",
      data,
      "--listen",
      "127.0.0.1:0",
      "--node-id",
      "other",
    );
    assert.equal(renamed.code, 1);
    assert.match(renamed.err, /error: Cannot open .* \(code 1000 InvalidArgument\)\n$/);
  }));

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  Deno.test(`cli: at ${signal} serve flushes memtables, and closes its log and threads [N14]`, async () => {
    const data = await Deno.makeTempDir({ prefix: "pairdb-stop-" });
    const life = async (key: string, expected: readonly number[], ...args: string[]) => {
      const node = await startNode(data, ...args);
      const { url } = node;
      const status = JSON.parse((await pairdb(url, ["status", "--output", "json"])).out);
      assert.deepEqual([status.tables, status.memtable_bytes > 0 ? 1 : 0], expected);
      assert.deepEqual(await pairdb(url, ["put", "t", key, "v"]), ok("OK\n"));
      assert.equal(await stopNode(node, signal), 0);
      const checked = await program("check", data);
      assert.equal(checked.code, 0, checked.err);
      assert.ok(!/torn/.test(checked.out + checked.err), checked.out);
    };
    try {
      await life("a", [0, 0]);
      await life("b", [1, 0], "--set", "mem_table.flush_on_stop=false");
      await life("c", [1, 1], "--set", "server.shutdown_timeout=0ms");
      await life("d", [1, 1]);
      const node = await startNode(data);
      assert.equal((await pairdb(node.url, ["scan", "t", "--keys-only"])).out, "a\nb\nc\nd\n");
      assert.equal(await stopNode(node, signal), 0);
    } finally {
      await Deno.remove(data, { recursive: true });
    }
  });
}

Deno.test("cli: a second node on the same directory or port gives up with one line", () =>
  withNode(async ({ url }, data) => {
    const sameData = await program("serve", "--data", data, "--listen", "127.0.0.1:0");
    assert.deepEqual(sameData, {
      code: 1,
      out: "",
      err: `error: Cannot open ${data}: it is in use by another process (code 2001 Unavailable)\n`,
    });
    const other = await Deno.makeTempDir({ prefix: "pairdb-cli-" });
    try {
      const address = url.replace("http://", "");
      const samePort = await program(
        "serve",
        "--data",
        other,
        "--listen",
        address,
        "--set",
        "logging.level=warn",
      );
      assert.deepEqual(samePort, {
        code: 1,
        out: "",
        err: `error: Cannot listen on ${address}: EADDRINUSE (code 2001 Unavailable)\n`,
      });
    } finally {
      await Deno.remove(other, { recursive: true });
    }
    const inUse = await program("check", data);
    assert.equal(inUse.code, 1);
    assert.match(inUse.err, /\(code 2001 Unavailable\)\n$/);
  }));

Deno.test("cli: options of serve reach the parts they are for [O1]", () =>
  withNode(
    async ({ url, line }) => {
      assert.match(line, / node=n1\n$/);
      assert.match(
        (await pairdb(url, ["put", "t", "k", "v"])).err,
        /\(code 1004 InvalidTenantID\)\n$/,
      );
      assert.match((await pairdb(url, ["get", "t", "k"])).err, /\(code 1004 InvalidTenantID\)\n$/);
      const metrics = await fetch(`${url}/metrics`);
      await metrics.body?.cancel();
      assert.equal(metrics.status, 404);
      const page = (origin: string) =>
        fetch(`${url}/healthz`, { headers: { origin } }).then(async (response) => {
          await response.body?.cancel();
          return response.headers.get("access-control-allow-origin");
        });
      assert.equal(await page("https://example.org"), "https://example.org");
      assert.equal(await page("http://localhost:1234"), null);
    },
    ...["--node-id", "n1", "--dc", "east", "--set", "tenant.auto_create=false"],
    ...["--set", "metrics.enabled=false", "--set", "server.cors_origins=https://example.org"],
  ));

/** How many calls at once a node says that it takes on a connection of HTTP/2. */
async function streamsAnnounced(port: number): Promise<number | undefined> {
  const client = await RawClient.open(port);
  try {
    await hello(client);
    const { payload } = await nextOf(client, SETTINGS);
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
    for (let at = 0; at < payload.length; at += 6) {
      // SETTINGS_MAX_CONCURRENT_STREAMS
      if (view.getUint16(at) === 3) return view.getUint32(at + 2);
    }
    return undefined;
  } finally {
    await client.close();
  }
}

Deno.test("cli: the port of serve takes as many calls and connections as its options say [N12]", async () => {
  await withNode(async ({ url }) => {
    assert.equal(await streamsAnnounced(Number(new URL(url).port)), 1000, "by default");
  });
  await withNode(
    async ({ url }) => {
      const port = Number(new URL(url).port);
      assert.equal(await streamsAnnounced(port), 5);
      const open: Deno.TcpConn[] = [];
      try {
        // One too many is closed at once, whoever else is there.
        let isClosed = false;
        while (!isClosed) {
          assert.ok(open.length < 6, "the sixth connection is open");
          const connection = await Deno.connect({ port, hostname: "127.0.0.1" });
          open.push(connection);
          await connection.write(
            new TextEncoder().encode("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"),
          )
            .catch(() => {});
          const read = await connection.read(new Uint8Array(1000)).catch(() => null);
          isClosed = read === null;
        }
        assert.ok(open.length > 1, "the first one is closed");
      } finally {
        for (const connection of open) connection.close();
      }
    },
    "--set",
    "server.max_connections=5",
  );
});

Deno.test("cli: the log's form, and the limits of watches and of idempotency keys, are as serve was told [O9]", () =>
  withServer(async (server) => {
    const put = async (value: string, idempotencyKey: string) => {
      const put = { tenantId: "t", key: "k", value: btoa(value), idempotencyKey };
      await callJson(server, "KeyValueService/Put", put);
      return atob(
        (await callJson(server, "KeyValueService/Get", { tenantId: "t", key: "k" })).value,
      );
    };
    const [one, two] = ["1", "2"].map((name) => `${name} of the keys 1234`);
    assert.equal(await put("a", one), "a");
    assert.equal(await put("b", two), "b");
    // One is remembered: the other is written anew.
    assert.equal(await put("a", one), "a");
    const gone = new AbortController();
    const watch = () => fetch(`${server.url}/v1/tenants/t/watch`, { signal: gone.signal });
    assert.equal((await watch()).status, 200);
    const second = await watch();
    assert.equal(second.status, 429);
    assert.equal((await second.json()).code, "resource_exhausted");
    gone.abort();
    assert.equal(await server.stop(), 0);
    assert.match(server.log, /^20\d\d-\S+Z INFO +ready url=http:\S+ /m);
    assert.doesNotMatch(server.log, /^\{/m);
  }, [
    ...["--set", "logging.format=console", "--set", "watch.max_watchers=1"],
    ...["--set", "idempotency.max_writes=1"],
  ]));

/** Runs `serve` in this process until `body` is done with it. */
async function serveHere(
  body: (process: ReturnType<typeof fakeProcess>, url: string) => Promise<void> | void,
  ...args: string[]
): Promise<{ code: number; err: string; listeners: Record<string, unknown> }> {
  const data = await Deno.makeTempDir({ prefix: "pairdb-cli-" });
  try {
    const ready = Promise.withResolvers<string>();
    const process = fakeProcess(["serve", "--data", data, "--listen", "127.0.0.1:0", ...args], {
      onOut: (line) => ready.resolve(/http:\/\/\S+/.exec(line)![0]),
    });
    const ended = run(process);
    try {
      await body(process, await Promise.race([ready.promise, ended.then(() => "")]));
    } finally {
      process.listeners.terminate?.("SIGTERM");
      await ended;
    }
    return { code: await ended, err: process.written.err, listeners: process.listeners };
  } finally {
    await Deno.remove(data, { recursive: true });
  }
}

Deno.test("cli: serve ends at once at a second signal, and at an error that nobody caught", async () => {
  const { code, err } = await serveHere((process) => {
    assert.throws(
      () => process.listeners.uncaught!(new Error("boom")),
      /exit\(1\) was called/,
    );
    process.listeners.terminate!("SIGTERM");
    assert.throws(() => process.listeners.terminate!("SIGINT"), /exit\(1\) was called/);
    // The helper's own signal would be a third.
    delete process.listeners.terminate;
  });
  assert.equal(code, 0);
  const events = err.trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(events.map((event) => event.event), [
    "recovered",
    "everybody_may_do_everything",
    "ready",
    "uncaught_error",
    "stopping",
    "stopping_at_once",
    "stopped",
  ]);
  assert.equal(events[3].error, "Error: boom");
  assert.equal(events[3].stack, undefined);
});

Deno.test("cli: serve syncs before it answers, and warns when it is told not to [E6, E7]", async () => {
  for (const [mode, args] of [["always", []], ["batch", ["batch"]], ["none", ["none"]]] as const) {
    const flags = args.flatMap((mode) => ["--set", `commit_log.sync_mode=${mode}`]);
    const { code, err } = await serveHere(async (_, url) => {
      assert.equal((await pairdb(url, ["put", "t", "k", "v"])).code, 0);
    }, ...flags);
    assert.equal(code, 0);
    const events = err.trim().split("\n").map((line) => JSON.parse(line));
    assert.equal(events.find(({ event }) => event === "ready").sync_mode, mode);
    const warned = events.filter(({ event }) => event === "acknowledged_before_sync");
    const expected = mode === "always" ? [] : [["warn", mode]];
    assert.deepEqual(warned.map(({ level, sync_mode }) => [level, sync_mode]), expected);
  }
});

Deno.test("cli: serve listens for nothing once it has stopped, and can run again in the same process", async () => {
  for (let round = 0; round < 2; round++) {
    const { code, listeners } = await serveHere(async (process, url) => {
      assert.equal((await pairdb(url, ["put", "t", "k", "v"])).code, 0);
      assert(process.listeners.uncaught !== undefined);
    });
    assert.equal(code, 0);
    assert.deepEqual(listeners, {});
  }
});
