import assert from "node:assert/strict";
import { run } from "../../../src/cli/mod.ts";
import { parseCredentials } from "../../../src/rpc/mod.ts";
import { type FakeProcess, fakeProcess } from "./fake_process.ts";

const FILE = "/work/d/auth/credentials.json";

/** Runs a command on the files of the one before. */
async function pairdb(
  args: string[],
  before?: FakeProcess,
): Promise<FakeProcess & { code: number }> {
  const process = fakeProcess([...args, "--data", "d"], { files: before?.files });
  const code = await run(process);
  return Object.assign(process, { code });
}

function credentials({ files }: FakeProcess) {
  return parseCredentials(String(files[FILE]), FILE);
}

Deno.test("token create prints a token once, and keeps its hash alone", async () => {
  const made = await pairdb(["token", "create", "--role", "client", "--tenants", "a,b"]);
  assert.equal(made.code, 0);
  const token = made.written.out.trim();
  assert.match(token, /^pdb_[a-z2-7]{8}_[A-Za-z0-9_-]{43}$/);
  assert(!String(made.files[FILE]).includes(token.slice(13)));
  const [entry] = credentials(made).tokens;
  assert.equal(entry.id, token.slice(4, 12));
  assert.equal(entry.role, "client");
  assert.deepEqual(entry.tenants, ["a", "b"]);
  assert.equal(entry.read_only, false);
  assert.equal(entry.expires_at, undefined);
  assert(!made.written.err.includes(token.slice(13)));
});

Deno.test("token create takes what limits a token, and answers programs as JSON", async () => {
  const first = await pairdb(["token", "create", "--role", "operator"]);
  const args = ["token", "create", "--role", "client", "--tenants", "*", "--read-only"];
  const made = await pairdb(
    [...args, "--expires", "30d", "--note", "the till", "--output", "json"],
    first,
  );
  const answer = JSON.parse(made.written.out);
  const { tokens } = credentials(made);
  assert.equal(tokens.length, 2);
  assert.equal(tokens[1].id, answer.id);
  assert.equal(answer.hash, undefined);
  assert.equal(tokens[1].tenants, "*");
  assert.equal(tokens[1].read_only, true);
  assert.equal(tokens[1].note, "the till");
  const lives = Date.parse(tokens[1].expires_at!) - Date.parse(tokens[1].created_at);
  assert.equal(lives, 30 * 86_400_000);
});

Deno.test("token list shows no token and no hash; token revoke removes one", async () => {
  const made = await pairdb(["token", "create", "--role", "node", "--note", "n"]);
  const token = made.written.out.trim();
  const [{ id, hash }] = credentials(made).tokens;
  for (const output of ["table", "json"]) {
    const { written } = await pairdb(["token", "list", "--output", output], made);
    assert(written.out.includes(id));
    assert(!written.out.includes(hash) && !written.out.includes(token));
  }
  const none = await pairdb(["token", "revoke", "aaaaaaaa"], made);
  assert.equal(none.code, 1);
  assert.match(none.written.err, /^error: there is no such token/);
  const revoked = await pairdb(["token", "revoke", id], made);
  assert.equal(revoked.code, 0);
  assert.deepEqual(credentials(revoked).tokens, []);
});

Deno.test("certificate allow, list and revoke", async () => {
  const made = await pairdb(["certificate", "allow", "DNS:Till.Example", "--role", "operator"]);
  const other = await pairdb(
    ["certificate", "allow", "DNS:till.example", "--role", "client", "--tenants", "shop"],
    made,
  );
  const { certificates } = credentials(other);
  assert.deepEqual(certificates.map(({ san, role }) => [san, role]), [
    ["DNS:till.example", "client"],
  ]);
  const { written } = await pairdb(["certificate", "list"], other);
  assert.match(written.out, /DNS:till\.example\tclient\tshop/);
  const gone = await pairdb(["certificate", "revoke", "DNS:TILL.example"], other);
  assert.deepEqual(credentials(gone).certificates, []);
});

Deno.test("access commands refuse what makes no sense, and change nothing", async () => {
  const made = await pairdb(["token", "create", "--role", "operator"]);
  const before = made.files[FILE];
  const cases: [string[], number][] = [
    [["token", "create"], 2],
    [["token", "create", "--role", "king"], 2],
    [["token", "create", "--role", "client"], 2],
    [["token", "create", "--role", "node", "--tenants", "a"], 2],
    [["token", "create", "--role", "operator", "--expires", "0"], 2],
    [["token", "create", "--role", "client", "--tenants", "a:b"], 1],
    [["token", "create", "--role", "client", "--tenants", "a,"], 1],
    [["token", "create", "--role", "operator", "--note", "n".repeat(201)], 1],
    [["certificate", "allow", "till.example", "--role", "operator"], 1],
    [["certificate", "revoke", "DNS:none"], 1],
  ];
  for (const [args, expected] of cases) {
    const { code, files, written } = await pairdb(args, made);
    assert.equal(code, expected, args.join(" "));
    assert.equal(files[FILE], before, args.join(" "));
    assert.match(written.err, /^error: /);
  }
  const broken = fakeProcess([], { files: { [FILE]: "{canary" } });
  const { code, written } = await pairdb(["token", "list"], broken);
  assert.equal(code, 1);
  assert.equal(
    written.err,
    `error: Cannot use the credentials in ${FILE}: it is not JSON (code 1000 InvalidArgument)\n`,
  );
});

Deno.test("a token on the command line or in the environment is never repeated", async () => {
  const token = "pdb_canary";
  const nowhere = ["--server", "http://127.0.0.1:1"];
  for (
    const process of [
      fakeProcess(["get", "t", "k", "--token", token, ...nowhere, "--verbose"]),
      fakeProcess(["get", "t", "k", ...nowhere, "--verbose"], { env: { PAIRDB_TOKEN: token } }),
      fakeProcess(["get", "t", "k", "--token", `${token}\né`, ...nowhere, "--verbose"]),
      fakeProcess(["config", "print"], { env: { PAIRDB_TOKEN: token } }),
      fakeProcess(["get", "--help"], { env: { PAIRDB_TOKEN: token } }),
    ]
  ) {
    await run(process);
    assert(!JSON.stringify(process.written).includes(token), process.args.join(" "));
  }
});
