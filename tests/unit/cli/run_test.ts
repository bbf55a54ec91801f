import assert from "node:assert/strict";
import { run } from "../../../src/cli/mod.ts";
import { fakeProcess } from "./fake_process.ts";

type World = Parameters<typeof fakeProcess>[1];

/** Runs a command line. */
async function pairdb(
  args: string[],
  world?: World,
): Promise<{ code: number; out: string; err: string }> {
  const process = fakeProcess(args, world);
  const code = await run(process);
  return { code, ...process.written };
}

/** A port that nobody listens on: 1 is reserved, and binding it needs root. */
const NOWHERE = "http://127.0.0.1:1";

Deno.test("bad usage ends with 2 and one error on standard error", async () => {
  const lines = [
    ["gte", "t", "k"],
    ["get"],
    ["get", "t"],
    ["get", "t", "k", "too", "many"],
    ["get", "t", "k", "--nonsense"],
    ["get", "t", "what the system made of \\xff: \ufffd"],
    ["get", "t", "k", "--output", "xml"],
    ["get", "t", "k", "--timeout", "soon"],
    ["get", "t", "k", "--consistency", "most"],
    ["put", "t", "k", "v", "--context", ""],
    ["del", "t", "k", "--context", ""],
    ["put", "t", "k", "v", "--ttl", "-5s"],
    ["scan", "t", "--limit", "0"],
    ["scan", "t", "--limit", "1.5"],
    ["watch", "t", "--limit", "0"],
    ["watch", "t", "k", "--prefix", "p"],
    ["serve", "--listen", "50052"],
    ["serve", "--listen", "::1:50052"],
    ["tenant", "sing"],
    ["completions", "cmd"],
    ["tenant", "drop", "t"],
  ];
  for (const args of lines) {
    const { code, out, err } = await pairdb(args);
    assert.equal(code, 2, args.join(" "));
    assert.equal(out, "", args.join(" "));
    assert.match(err, /^error: /, args.join(" "));
  }
});

Deno.test("no command shows the help and ends with 2; help asked for ends with 0", async () => {
  const none = await pairdb([]);
  assert.equal(none.code, 2);
  assert.match(none.err, /Usage: pairdb/);
  for (const args of [["--help"], ["help"], ["help", "put"], ["put", "--help"]]) {
    const { code, out, err } = await pairdb(args);
    assert.equal(code, 0);
    assert.match(out, /Usage: pairdb/);
    assert.equal(err, "");
  }
});

Deno.test("every command has --help and --output", async () => {
  const commands = [
    "serve",
    "put",
    "get",
    "del",
    "scan",
    "watch",
    "import",
    "export",
    "tenant create",
    "tenant update",
    "jobs",
    "hot-keys",
    "tenant list",
    "tenant drop",
    "status",
    "flush",
    "compact",
    "scrub",
    "cache invalidate",
    "cache fill",
    "snapshot",
    "snapshot list",
    "snapshot verify",
    "snapshot delete",
    "restore",
    "config print",
    "config validate",
    "check",
    "dump",
    "bench",
    "health",
    "version",
    "completions",
  ];
  for (const command of commands) {
    const { code, out } = await pairdb([...command.split(" "), "--help"]);
    assert.equal(code, 0, command);
    assert.match(out, /--output/, command);
  }
});

Deno.test("a server that cannot be reached is one clear line and exit code 1", async () => {
  const commands = [["get", "t", "k"], ["put", "t", "k", "v"], ["scan", "t"], ["status"], [
    "health",
  ]];
  for (const args of commands) {
    assert.deepEqual(await pairdb([...args, "--server", NOWHERE]), {
      code: 1,
      out: "",
      err: `error: cannot reach ${NOWHERE}: is a node running? (code 2001 Unavailable)\n`,
    });
  }
  const fromEnvironment = await pairdb(["get", "t", "k"], { env: { PAIRDB_SERVER: NOWHERE } });
  assert.match(fromEnvironment.err, /cannot reach http:\/\/127\.0\.0\.1:1: /);
});

Deno.test("a stack is shown with --verbose only", async () => {
  const plain = await pairdb(["get", "t", "k", "--server", "ftp://x"]);
  assert.equal(plain.code, 1);
  assert.match(
    plain.err,
    /^error: Cannot use the server's URL ftp:\/\/x: .* \(code 1000 InvalidArgument\)\n$/,
  );
  const verbose = await pairdb(["get", "t", "k", "--server", "ftp://x", "--verbose"]);
  assert.match(verbose.err, /\n {4}at /);
});

Deno.test("put refuses a context that is none before it calls anybody", async () => {
  for (const context of ["?", "AAAA=", "zzzz"]) {
    const { code, err } = await pairdb([
      "put",
      "t",
      "k",
      "v",
      "--context",
      context,
      "--server",
      NOWHERE,
    ]);
    assert.equal(code, 1);
    assert.match(err, /^error: Cannot take the context: .* \(code 1000 InvalidArgument\)\n$/);
  }
});

Deno.test("put without a value on a terminal is bad usage", async () => {
  const { code, err } = await pairdb(["put", "t", "k"], { terminal: true });
  assert.equal(code, 2);
  assert.match(err, /^error: missing VALUE/);
});

Deno.test("put refuses standard input of more than 10 MiB with 1003", async () => {
  const huge = { files: { "-": new Uint8Array(10 * 1024 * 1024 + 1) }, chunkBytes: 65536 };
  const { code, err } = await pairdb(["put", "t", "k", "-", "--server", NOWHERE], huge);
  assert.equal(code, 1);
  assert.match(err, /\(code 1003 ValueTooLarge\)\n$/);
});

Deno.test("tenant drop on a terminal goes on only when the name is typed", async () => {
  for (const typed of ["", "no\n", "\n", "other\n"]) {
    const { code, err } = await pairdb(["tenant", "drop", "t", "--server", NOWHERE], {
      terminal: true,
      files: { "-": typed },
    });
    assert.equal(code, 1);
    assert.match(err, /nothing was dropped\n$/);
  }
  const { err } = await pairdb(["tenant", "drop", "t", "--server", NOWHERE], {
    terminal: true,
    files: { "-": "t\n" },
  });
  assert.match(err, /cannot reach/);
});

Deno.test("import names a file that is not there, and the line that is malformed", async () => {
  const missing = await pairdb(["import", "t", "gone.jsonl", "--server", NOWHERE]);
  assert.equal(missing.code, 1);
  assert.match(
    missing.err,
    /^stored through line 0 \(0 records\)\nerror: .*gone\.jsonl.* \(code 1000 InvalidArgument\)\n$/,
  );
  const bad = await pairdb(["import", "t", "bad.jsonl", "--server", NOWHERE], {
    files: { "bad.jsonl": "\n  \nnonsense\n" },
  });
  assert.equal(bad.code, 1);
  assert.match(bad.err, /error: line 3: it is not JSON \(code 1000 InvalidArgument\)\n$/);
});

Deno.test("config print takes file, environment and flags, and prints what can be read back", async () => {
  const world = {
    env: { PAIRDB_CONFIG: "a.yaml", PAIRDB_SERVER_RACK: "r7" },
    files: { "a.yaml": "server:\n  port: 1\n", "b.yaml": "server:\n  port: 2\n" },
  };
  const { code, out } = await pairdb(["config", "print"], world);
  assert.equal(code, 0);
  assert.match(out, /\n {2}port: 1\n/);
  assert.match(out, /\n {2}rack: r7\n/);
  const args = [
    "config",
    "print",
    "--config",
    "b.yaml",
    "--set",
    "server.host=127.0.0.2",
    "--output",
    "json",
  ];
  const config = JSON.parse((await pairdb(args, world)).out);
  assert.equal(config.server.port, 2);
  assert.equal(config.server.host, "127.0.0.2");
  assert.equal(config.commit_log.segment_size, "1GiB");
  const again = await pairdb(["config", "validate", "printed"], { files: { printed: out } });
  assert.deepEqual(again, { code: 0, out: "printed: OK\n", err: "" });
});

Deno.test("config validate and serve name what is wrong with a configuration", async () => {
  const files = { "c.yaml": "server:\n  port: 70000\n" };
  const wanted = "error: c.yaml:2:3: server.port: 70000 is not an integer from 0 to 65535 " +
    "(code 1000 InvalidArgument)\n";
  assert.deepEqual(await pairdb(["config", "validate", "c.yaml"], { files }), {
    code: 1,
    out: "",
    err: wanted,
  });
  assert.deepEqual(await pairdb(["serve", "--config", "c.yaml"], { files }), {
    code: 1,
    out: "",
    err: wanted,
  });
});

Deno.test("serve refuses flags that are out of range or have no effect yet", async () => {
  const port = await pairdb(["serve", "--listen", "127.0.0.1:70000"]);
  assert.match(port.err, /^error: --listen: server\.port: 70000 is not .* \(code 1000 /);
  const seeds = await pairdb(["serve", "--seeds", "a:1,b:2"]);
  assert.match(seeds.err, /^error: --seeds: server\.seeds is not supported yet: .* \(code 1000 /);
  assert.equal(seeds.code, 1);
  const unknown = await pairdb(["config", "print", "--set", "server.prot=1"]);
  assert.match(
    unknown.err,
    /^error: --set: unknown option server\.prot, did you mean server\.port\?/,
  );
  assert.equal(unknown.code, 1);
  assert.equal((await pairdb(["config", "print"], { env: { PAIRDB_SERVER_PORT: "x" } })).code, 1);
});

Deno.test("a command whose reader leaves says nothing and ends as by SIGPIPE", async () => {
  const gone = () => {
    throw Object.assign(new Error("Broken pipe (os error 32)"), { code: "EPIPE" });
  };
  for (const args of [["config", "print"], ["version"]]) {
    const { code, err } = await pairdb(args, { onOut: gone });
    assert.deepEqual([code, err], [141, ""]);
  }
});

Deno.test("version names the program, its version, what runs it and its kind", async () => {
  const plain = await pairdb(["version"]);
  assert.match(plain.out, /^pairdb \d+\.\d+\.\d+ \(test 1\.0, source\)\n$/);
  const env = { PAIRDB_PACKAGING: "self-extracting" };
  const json = JSON.parse((await pairdb(["version", "--output", "json"], { env })).out);
  assert.equal(json.name, "pairdb");
  assert.equal(json.kind, "self-extracting");
});
