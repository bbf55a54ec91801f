/**
 * Backups with the real program: snapshots of a node that is written to, copies that share what is the
 * same, restoring, and what each of them refuses.
 * @module
 */
import assert from "node:assert/strict";
import { PairDB } from "../../src/client/mod.ts";
import {
  endOf,
  runProgram,
  Server,
  startProgram,
  withDirectory,
  withServer,
} from "../support/server.ts";

/** Runs a command that must succeed, and reads the JSON that it prints. */
// deno-lint-ignore no-explicit-any -- whatever the command prints
async function json(...args: string[]): Promise<any> {
  const { code, out, err } = await runProgram(...args, "--output", "json");
  assert.equal(code, 0, `${args.join(" ")}: ${err}`);
  return JSON.parse(out);
}

/** Runs a command that must be refused; returns the line that says why. */
async function refused(code: number, ...args: string[]): Promise<string> {
  const ended = await runProgram(...args);
  assert.equal(ended.code, code, `${args.join(" ")}: ${ended.out} ${ended.err}`);
  return ended.err;
}

const valueOf = (tenant: string, n: number) => `${tenant} ${n} ${"x".repeat(n % 300)}`;
const keyOf = (n: number) => `k${String(n).padStart(7, "0")}`;

/** Puts keys 0, 1, 2, … one after the other until told to stop; returns how many were acknowledged. */
function writer(db: PairDB, tenant: string) {
  const state = { acknowledged: 0, stop: false };
  const done = (async () => {
    while (!state.stop) {
      const n = state.acknowledged;
      await db.put(tenant, keyOf(n), valueOf(tenant, n));
      state.acknowledged++;
    }
  })();
  return { state, done };
}

/** All records of a restored directory, by tenant. */
async function exported(data: string, tenants: readonly string[]) {
  await using server = await Server.start({ data });
  const all = new Map<string, Map<string, string>>();
  for (const tenant of tenants) {
    const { code, out, err } = await runProgram("export", tenant, "--server", server.url);
    assert.equal(code, 0, err);
    const rows = out.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
    all.set(tenant, new Map(rows.map(({ key, value }) => [key, value])));
  }
  assert.equal(await server.stop(), 0);
  return { all, nodeId: server.nodeId };
}

Deno.test("snapshots of a node that is written to restore to exactly what was there at their sequence [E30]", () =>
  withServer(async (server) => {
    const { url, data } = server;
    const root = data.slice(0, data.lastIndexOf("/"));
    const records = Array.from({ length: 20_000 }, (_, n) => {
      return JSON.stringify({ key: keyOf(n), value: valueOf("imported", n) });
    });
    await Deno.writeTextFile(`${root}/records.jsonl`, records.join("\n"));
    const db = PairDB.connect(url);
    const writers = ["a", "b"].map((tenant) => writer(db, tenant));
    const importing = runProgram("import", "imported", `${root}/records.jsonl`, "--server", url);
    const made = [];
    for (let n = 0; n < 3; n++) {
      const before = writers.map(({ state }) => state.acknowledged);
      const maintenance = n === 1 ? runProgram("compact", "--server", url) : undefined;
      made.push({ before, ...await json("snapshot", `s${n}`, "--server", url) });
      assert.equal((await maintenance)?.code ?? 0, 0);
    }
    for (const { state } of writers) state.stop = true;
    await Promise.all(writers.map(({ done }) => done));
    assert.equal((await importing).code, 0);
    assert.ok(made[0].sequence < made[1].sequence && made[1].sequence < made[2].sequence);
    assert.ok(made.every((one) => one.copied_bytes === 0), "everything is shared");
    for (const { name, dir, sequence, before } of made) {
      assert.equal(dir, `${data}/snapshots/${name}`);
      await json("snapshot", "verify", dir);
      const target = `${root}/${name}`;
      const restored = await json("restore", dir, "--data", target);
      assert.equal(restored.previous_node_id, server.nodeId);
      const { all, nodeId } = await exported(target, ["a", "b", "imported"]);
      assert.equal(nodeId, restored.node_id);
      assert.notEqual(nodeId, server.nodeId);
      // Each put was one change of one new key: as many keys as the sequence says, no more, no fewer.
      const sizes = [...all.values()].map((rows) => rows.size);
      assert.equal(sizes.reduce((sum, size) => sum + size, 0), sequence, name);
      for (const [tenant, rows] of all) {
        for (const [key, value] of rows) {
          assert.equal(value, valueOf(tenant, Number(key.slice(1))), `${name} ${tenant} ${key}`);
        }
      }
      ["a", "b"].forEach((tenant, i) => {
        const rows = all.get(tenant)!;
        assert.ok(rows.size >= before[i], `${name}: ${tenant} lost what was acknowledged`);
        for (let n = 0; n < rows.size; n++) assert.ok(rows.has(keyOf(n)), `${name} ${tenant} ${n}`);
      });
    }
    const status = await json("status", "--server", url);
    assert.equal(status.snapshots, 3);
    for (const { name } of made) await json("snapshot", "delete", name, "--server", url);
    assert.deepEqual(await json("snapshot", "list", "--server", url), []);
    assert.equal((await json("status", "--server", url)).snapshot_bytes, 0);
  }));

Deno.test("a node makes snapshots by its schedule, which restore like any other [E30]", () =>
  withDirectory(async (root) => {
    const data = `${root}/data`;
    {
      await using server = await Server.start({ data });
      assert.equal((await runProgram("put", "t", "k", "v", "--server", server.url)).code, 0);
      assert.deepEqual(await json("snapshot", "list", "--server", server.url), []);
      assert.equal(await server.stop(), 0);
    }
    await using server = await Server.start({
      data,
      args: ["--set", "snapshot.interval=1h", "--set", "snapshot.keep=2"],
    });
    let list = [];
    while (list.length === 0) list = await json("snapshot", "list", "--server", server.url);
    assert.match(list[0].name, /^auto-\d{8}T\d{6}Z$/);
    assert.equal(list.length, 1);
    await json("restore", list[0].dir, "--data", `${root}/restored`);
    const { all } = await exported(`${root}/restored`, ["t"]);
    assert.deepEqual([...all.get("t")!], [["k", "v"]]);
    assert.equal(await server.stop(), 0);
  }));

Deno.test("copies to another place share what is the same, file by file, and outlive the node", () =>
  withServer(async (server) => {
    const { url, data } = server;
    const backup = `${data}-backup`;
    const put = (key: string) => runProgram("put", "t", key, "v", "--server", url);
    await put("a");
    await runProgram("compact", "--server", url);
    const monday = await json("snapshot", "monday", "--to", backup, "--server", url);
    assert.equal(monday.copy.previous, null);
    await put("b");
    const tuesday = await json("snapshot", "tuesday", "--to", `${backup}/`, "--server", url);
    assert.equal(tuesday.copy.previous, `${backup}/monday`);
    assert.ok(tuesday.copy.shared_files >= 1);
    assert.deepEqual(await json("snapshot", "list", "--server", url), [], "nothing stays behind");
    const tables = async (name: string) => {
      const found = new Map<string, number | null>();
      for await (const dir of Deno.readDir(`${backup}/${name}/tenants`)) {
        for await (const file of Deno.readDir(`${backup}/${name}/tenants/${dir.name}`)) {
          const path = `${dir.name}/${file.name}`;
          found.set(path, (await Deno.stat(`${backup}/${name}/tenants/${path}`)).ino);
        }
      }
      return found;
    };
    const shared = await tables("monday");
    assert.ok(shared.size >= 1);
    const after = await tables("tuesday");
    for (const [path, inode] of shared) assert.equal(after.get(path), inode, path);
    // A copy shares nothing with the node itself.
    for (const [path, inode] of shared) {
      const own = await Deno.stat(`${data}/tenants/${path}`);
      assert.notEqual(own.ino, inode, path);
    }
    assert.deepEqual(
      (await json("snapshot", "list", backup)).map(({ name }: { name: string }) => name),
      ["monday", "tuesday"],
    );
    await server.stop();
    await Deno.remove(data, { recursive: true });
    await Deno.remove(`${backup}/monday`, { recursive: true });
    await json("snapshot", "verify", `${backup}/tuesday`);
    await json("restore", `${backup}/tuesday`, "--data", data, "--node-id", "phoenix");
    const { all, nodeId } = await exported(data, ["t"]);
    assert.equal(nodeId, "phoenix");
    assert.deepEqual([...all.get("t")!], [["a", "v"], ["b", "v"]]);
    assert.equal((await runProgram("check", data)).code, 0);
    await Deno.remove(backup, { recursive: true });
  }));

Deno.test("a copying that is killed, or fails, is repeated by the same command, and touches no snapshot of the user's", () =>
  withServer(async (server) => {
    const { url, data } = server;
    const backup = `${data}-backup`;
    const at = ["--server", url];
    const db = PairDB.connect(url);
    for (let n = 0; n < 40; n++) await db.put("t", keyOf(n), "v".repeat(100_000));
    await json("snapshot", "night", ...at);
    const names = async () => (await db.admin.listSnapshots()).map(({ name }) => name);
    const copying = async () => (await names()).filter((name) => name !== "night");
    // Killed while the node's snapshot is there. One that was quicker than the killing is taken away.
    for (let left: string[] = []; left.length === 0; left = await copying()) {
      await Deno.mkdir(`${backup}/night`, { recursive: true });
      await Deno.remove(`${backup}/night`, { recursive: true });
      const child = startProgram(["snapshot", "night", "--to", backup, ...at]);
      const ended = endOf(child, "snapshot");
      let over = false;
      void ended.then(() => over = true);
      const isThere = () =>
        [...Deno.readDirSync(`${data}/snapshots`)].some(({ name }) => {
          return name.startsWith("copying-");
        });
      while (!over && !isThere()) await new Promise((resolve) => setTimeout(resolve, 1));
      if (!over) child.kill("SIGKILL");
      await ended;
    }
    assert.match((await copying())[0], /^copying-[0-9a-f]{16}$/);
    // The place of another run: what is left of the first one is not its business.
    await json("snapshot", "night", "--to", `${backup}-2`, ...at);
    assert.equal((await copying()).length, 1);
    const { name, copy } = await json("snapshot", "night", "--to", backup, ...at);
    assert.deepEqual([name, copy.dir], ["night", `${backup}/night`]);
    await json("snapshot", "verify", copy.dir);
    assert.deepEqual(await names(), ["night"]);
    assert.match(
      await refused(1, "snapshot", "night", "--to", backup, ...at),
      /it exists; `rm -r .*-backup\/night` removes it \(code 1000/,
    );
    assert.match(
      await refused(1, "snapshot", "night", "--to", `${backup}-3`, "--keep", ...at),
      /it exists; `pairdb snapshot delete night` removes it \(code 1000/,
    );
    await json("snapshot", "verify", "night", ...at);
  }));

Deno.test("what cannot be done is refused in one line, and changes nothing", () =>
  withServer(async (server) => {
    const { url, data } = server;
    assert.equal((await runProgram("put", "t", "k", "v", "--server", url)).code, 0);
    const { dir } = await json("snapshot", "s", "--server", url);
    const at = ["--server", url];
    assert.match(
      await refused(1, "snapshot", "s", ...at),
      /it exists; `pairdb snapshot delete s` removes it \(code 1000/,
    );
    assert.match(
      await refused(1, "snapshot", `copying-${"0".repeat(16)}`, ...at),
      /copies under way \(code 1000/,
    );
    assert.match(await refused(1, "snapshot", "../s", ...at), /name.*\(code 1000/);
    assert.match(
      await refused(1, "snapshot", "verify", "none", ...at),
      /there is none \(code 1000/,
    );
    assert.match(
      await refused(1, "snapshot", "delete", "none", ...at),
      /there is none \(code 1000/,
    );
    assert.match(await refused(1, "snapshot", "delete", "..", ...at), /\(code 1000/);
    assert.match(await refused(2, "snapshot", ...at), /missing required argument/);
    assert.match(await refused(2, "snapshot", "x", "--keep", ...at), /belong to --to/);
    assert.match(await refused(2, "restore", dir), /--data/);
    assert.match(await refused(1, "restore", dir, "--data", data), /not empty \(code 1000/);
    assert.match(await refused(1, "restore", data, "--data", `${data}-x`), /is not a snapshot/);
    for (const name of ["a\nb", "a b", "", "x".repeat(129)]) {
      assert.match(
        await refused(1, "restore", dir, "--data", `${data}-x`, "--node-id", name),
        /^error: --node-id: ".*" is not 1 to 128 letters.* \(code 1000/,
      );
    }
    assert.match(
      await refused(1, "snapshot", "x", "--to", `${data}/snapshots`, "--previous", data, ...at),
      /is not a snapshot/,
    );
    await assert.rejects(Deno.stat(`${data}-x`), Deno.errors.NotFound);
    assert.match(await refused(1, "serve", "--data", dir, "--listen", "127.0.0.1:0"), /a snapshot/);
    const names = (await json("snapshot", "list", ...at)).map(({ name }: { name: string }) => name);
    assert.deepEqual(names, ["s"]);
    // One byte of it is not what it was.
    const [tree] = [...Deno.readDirSync(`${dir}/wal`)].map(({ name }) => `${dir}/wal/${name}`);
    const bytes = await Deno.readFile(tree);
    bytes[60] ^= 1;
    await Deno.writeFile(tree, bytes);
    assert.match(await refused(1, "restore", dir, "--data", `${data}-x`), /\.wal.*\(code 2007/);
    const verified = await runProgram("snapshot", "verify", "s", ...at);
    assert.equal(verified.code, 1);
    assert.ok(verified.out.startsWith(`DAMAGED  ${tree}: `), verified.out);
    await server.stop();
    // By itself, and as a part of the store.
    for (const checked of [dir, data]) {
      const { code, out } = await runProgram("check", checked);
      assert.equal(code, 1);
      assert.match(out, /^DAMAGED {2}snapshot .*\/snapshots\/s\/SNAPSHOT: .*digest/m);
    }
  }));

Deno.test("a node that is killed while it makes snapshots has whole ones, and no others", () =>
  withDirectory(async (directory) => {
    const data = `${directory}/data`;
    for (let round = 0; round < 3; round++) {
      const server = await Server.start({ data });
      const db = PairDB.connect(server.url);
      for (let n = 0; n < 20; n++) await db.put("t", `${round} ${n}`, "v".repeat(5000));
      await db.admin.createSnapshot(`r${round}`);
      const interrupted = assert.rejects(async () => {
        for (let n = 0; n < 2000; n++) await db.admin.createSnapshot(`r${round}-${n}`);
      }, { error: "Unavailable" });
      await new Promise((resolve) => setTimeout(resolve, 10 + 37 * round));
      await server.kill();
      await interrupted;
    }
    await using server = await Server.start({ data });
    const snapshots = await PairDB.connect(server.url).admin.listSnapshots();
    for (const name of ["r0", "r1", "r2"]) assert.ok(snapshots.some((one) => one.name === name));
    for (const { name, problem } of snapshots) {
      assert.equal(problem, "");
      const { problems } = await PairDB.connect(server.url).admin.verifySnapshot(name);
      assert.deepEqual(problems, [], name);
    }
    const there = [...Deno.readDirSync(`${data}/snapshots`)].map(({ name }) => name).sort();
    assert.deepEqual(there, snapshots.map(({ name }) => name).sort());
  }));
