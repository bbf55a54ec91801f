import assert from "node:assert/strict";
import { PairDB, PairError } from "../../src/client/mod.ts";
import { TestCa } from "../support/certificates.ts";
import { NotReady, runProgram, Server, withDirectory } from "../support/server.ts";
import { until } from "../support/port.ts";

/** Makes a token with the program itself. */
async function token(data: string, ...args: string[]): Promise<string> {
  const { code, out, err } = await runProgram("token", "create", "--data", data, ...args);
  assert.equal(code, 0, err);
  return out.trim();
}

async function refused(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    assert(error instanceof PairError, String(error));
    return error.message;
  }
  throw new Error("it was let in");
}

Deno.test("serve: tokens are made and revoked while a node runs, and are nowhere in its log; who reaches for another's tenant is [T4]", () =>
  withDirectory(async (directory) => {
    const data = `${directory}/data`;
    const operator = await token(data, "--role", "operator");
    const { mode } = await Deno.stat(`${data}/auth/credentials.json`);
    assert.equal(mode! & 0o777, 0o600);
    const args = ["--set", "auth.mode=token", "--set", "auth.reload_interval=100ms"];
    await using server = await Server.start({
      data,
      args: [...args, "--set", "logging.level=debug"],
    });
    const db = (secret: string | undefined) => PairDB.connect(server.url, { token: secret });
    assert.match(await refused(db(undefined).get("shop", "k")), /needs a token/);
    await db(operator).put("shop", "k", "canary-value");

    const client = await token(data, "--role", "client", "--tenants", "shop");
    await until(() => server.events("reloaded").length === 1);
    assert((await db(client).get("shop", "k")) !== undefined);
    const id = client.slice(4, 12);
    assert.match(await refused(db(client).get("other", "k")), /do not allow/);
    const [{ level, who, tenant }, ...more] = server.events("auth_other_tenant");
    assert.deepEqual([level, who, tenant, more], ["warn", `token ${id}`, "other", []]);

    assert.equal((await runProgram("token", "revoke", id, "--data", data)).code, 0);
    await until(() => server.events("reloaded").length === 2);
    assert.match(await refused(db(client).get("shop", "k")), /not valid/);

    // What cannot be used changes nothing.
    await Deno.writeTextFile(`${data}/auth/credentials.json`, "{");
    await until(() => server.events("reload_failed").length === 1);
    await db(operator).get("shop", "k");
    for (const secret of [operator.slice(13), client.slice(13), "canary"]) {
      assert(!server.log.includes(secret));
    }
    assert.equal(await server.stop(), 0);
  }));

Deno.test("serve: SIGHUP has credentials read at once, and the node goes on", () =>
  withDirectory(async (directory) => {
    const data = `${directory}/data`;
    let child: Deno.ChildProcess | undefined;
    const args = ["--set", "auth.mode=token", "--set", "auth.reload_interval=1h"];
    await using server = await Server.start({ data, args, onSpawn: (it) => child = it });
    assert.equal(server.events("no_credentials").length, 1);
    const operator = await token(data, "--role", "operator");
    child!.kill("SIGHUP");
    await until(() => server.events("reloaded").length === 1);
    await PairDB.connect(server.url, { token: operator }).put("t", "k", "v");
    assert.equal(await server.stop(), 0);
  }));

Deno.test("serve: an address for other machines needs it written out who may call", () =>
  withDirectory(async (directory) => {
    const data = `${directory}/data`;
    const everywhere = ["--listen", "0.0.0.0:0"];
    await assert.rejects(
      Server.start({ data, args: everywhere }),
      (error) =>
        error instanceof NotReady && error.ended.code === 1 &&
        /0\.0\.0\.0 lets other machines in/.test(error.ended.err),
    );
    await assert.rejects(Deno.stat(data));
    await using local = await Server.start({ data });
    const [said] = local.events("everybody_may_do_everything");
    assert.equal(said.level, "info");
    assert.equal(said.reachable_from, "this machine");
    assert.equal(await local.stop(), 0);
  }));

Deno.test("serve: certificates are read again when they change, by one port that speaks TLS alone", () =>
  withDirectory(async (directory) => {
    const data = `${directory}/data`;
    const names = ["DNS:localhost", "IP:127.0.0.1"];
    const [first, second] = [new TestCa("first"), new TestCa("second")];
    const clients = new TestCa("clients");
    const node = clients.issue("node", { names: ["URI:spiffe://example.org/node/1"] });
    const write = (ca: TestCa) => {
      const { cert, key } = ca.issue("server", { names });
      // The key comes a moment after its certificate: in between they do not fit, and nothing changes.
      Deno.writeFileSync(`${directory}/cert.pem`, cert);
      Deno.writeFileSync(`${directory}/key.pem`, key);
    };
    write(first);
    Deno.writeFileSync(`${directory}/ca.pem`, clients.pem);
    const allow = ["certificate", "allow", "URI:spiffe://example.org/node/1"];
    await runProgram(...allow, "--role", "operator", "--data", data);
    const options = {
      "auth.mode": "certificate",
      "auth.reload_interval": "100ms",
      "tls.cert_file": `${directory}/cert.pem`,
      "tls.key_file": `${directory}/key.pem`,
      "tls.ca_file": `${directory}/ca.pem`,
      "tls.client_auth": "require",
    };
    const args = Object.entries(options).flatMap(([name, value]) => ["--set", `${name}=${value}`]);
    await using server = await Server.start({ data, args });
    const text = (pem: Uint8Array) => new TextDecoder().decode(pem);
    const db = (ca: TestCa) => {
      const tls = { ca: text(ca.pem), cert: text(node.cert), key: text(node.key) };
      return PairDB.connect(server.url, { tls });
    };
    using old = db(first);
    await old.put("t", "k", "v");
    write(second);
    await until(() => server.events("reloaded").length > 0);
    using now = db(second);
    assert((await now.get("t", "k")) !== undefined);
    using stale = db(first);
    assert.match(await refused(stale.get("t", "k")), /do the certificates fit\? \(\w+\)/);
    assert.equal(await server.stop(), 0);
  }));
