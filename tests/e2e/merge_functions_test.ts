/**
 * A merge function of the application, through the real program: registered by an operator, run in a worker
 * without permissions, asked by reads, kept through kill -9.
 */
import assert from "node:assert/strict";
import { type CallOptions, PairDB } from "../../src/client/mod.ts";
import { callJson, type Ended, runProgram, Server, withServer } from "../support/server.ts";

/** Carts: the union of their items. On one that asks for it, it never ends. */
const CARTS = `
/** A cart as the shop stores it. */
interface Cart { readonly items: readonly string[] }

function read(bytes: Uint8Array): Cart {
  const { items } = JSON.parse(new TextDecoder().decode(bytes)) as Cart;
  if (!Array.isArray(items)) throw new TypeError("no cart");
  return { items };
}

export default function merge(a: Uint8Array, b: Uint8Array): Uint8Array {
  const items = [...new Set([...read(a).items, ...read(b).items])].sort();
  while (items.includes("never")) { /* what a programming error looks like */ }
  return new TextEncoder().encode(JSON.stringify({ items }));
}
`;
const SAMPLES = ['{"items":["pear"]}', '{"items":["apple","fig"]}', '{"items":[]}'];

const cart = (...items: string[]) => JSON.stringify({ items });

async function pairdb(server: Server, ...args: string[]): Promise<Ended> {
  return await runProgram(...args, "--server", server.url);
}

const text = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);

async function textOf(db: PairDB, tenant: string, key: string): Promise<string> {
  return text((await db.get(tenant, key))!.value);
}

/** Puts values of which none has seen another. */
async function putConcurrently(db: PairDB, key: string, values: readonly string[]): Promise<void> {
  const { context } = await db.put("shop", key, cart());
  for (const value of values) await db.put("shop", key, value, { context });
}

async function metric(server: Server, name: string): Promise<number> {
  const page = await (await fetch(`${server.url}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\d+)$`, "m").exec(page)?.[1] ?? NaN);
}

Deno.test("an application's merge function is registered, makes one value of concurrent ones, and outlives kill -9 [B13, C9]", () =>
  withServer(async (server) => {
    const file = `${server.data}.carts.ts`;
    await Deno.writeTextFile(file, CARTS);
    const samples: string[] = [];
    for (const [i, sample] of SAMPLES.entries()) {
      samples.push(`${server.data}.sample${i}.json`);
      await Deno.writeTextFile(samples[i], sample);
    }
    const early = await pairdb(
      server,
      "tenant",
      "create",
      "shop",
      "--conflict-strategy",
      "merge:carts",
    );
    assert.match(early.err, /no merge function carts is registered \(code 1000/);
    const register = ["merge-function", "register", "carts", file];
    const registered = await pairdb(server, ...register, "--sample", ...samples);
    assert.equal(registered.code, 0, registered.err);
    const digest = new Uint8Array(
      await crypto.subtle.digest("SHA-256", new TextEncoder().encode(CARTS)),
    ).toHex();
    assert.equal(registered.out, `carts: ${digest}\n`);
    const create = ["tenant", "create", "shop", "--conflict-strategy", "merge:carts"];
    assert.equal((await pairdb(server, ...create)).code, 0);

    const db = PairDB.connect(server.url);
    await putConcurrently(db, "cart/1", [cart("pear"), cart("fig", "apple")]);
    const merged = cart("apple", "fig", "pear");
    const found = (await db.get("shop", "cart/1"))!;
    assert.equal(text(found.value), merged);
    assert.equal(found.siblings.length, 0);
    const read = { tenantId: "shop", key: "cart/1" };
    const got = await callJson(server, "KeyValueService/Get", read);
    assert.equal(atob(got.value), merged);
    assert.equal(got.siblings, undefined);
    assert.equal((await pairdb(server, "get", "shop", "cart/1")).out, `${merged}\n`);
    const rows = [];
    for await (const row of db.scan("shop")) rows.push(text(row.value));
    assert.deepEqual(rows, [merged]);
    const stored = await callJson(server, "StorageNodeService/Read", read);
    assert.equal(stored.siblings.length, 2, "between nodes versions go as they are stored");

    // The next write with the context of the read replaces what was merged.
    await db.put("shop", "cart/1", cart("plum"), { context: found.context });
    assert.equal(await textOf(db, "shop", "cart/1"), cart("plum"));
    await putConcurrently(db, "cart/2", [cart("a"), cart("b")]);

    // A function that does not end costs its reads their merging, and nobody anything else.
    await putConcurrently(db, "cart/3", [cart("never"), cart("b")]);
    const siblings = (await db.get("shop", "cart/3"))!;
    assert.equal(siblings.siblings.length, 2);
    assert.equal(await metric(server, "pairdb_merge_function_failures_total"), 1);
    assert.equal(server.events("node.merge_function_failed")[0].reason, "time");
    assert.equal(await textOf(db, "shop", "cart/2"), cart("a", "b"));

    const inUse = await pairdb(server, "merge-function", "remove", "carts");
    assert.equal(inUse.code, 1);
    assert.match(inUse.err, /the tenant shop was created with it \(code 1000/);
    await server.kill();
    await using again = await Server.start({ data: server.data });
    const list = await pairdb(again, "merge-function", "list", "--output", "json");
    const [listed] = JSON.parse(list.out).functions;
    assert.deepEqual([listed.name, listed.digest, listed.tenants], ["carts", digest, 1]);
    const later = PairDB.connect(again.url);
    assert.equal(await textOf(later, "shop", "cart/2"), cart("a", "b"));
    assert.equal(await again.stop(), 0);
  }));

Deno.test("a function that may not merge is refused over the port, and told why; nothing is kept", () =>
  withServer(async (server) => {
    const db = PairDB.connect(server.url);
    const long: CallOptions = { timeoutMs: 60_000 };
    const refused = async (source: string) => {
      try {
        await db.admin.registerMergeFunction("bad", source, long);
      } catch (error) {
        const { code, details, message } = error as Error & { code: number; details: object };
        assert.equal(code, 1000);
        return `${JSON.stringify(details)} ${message}`;
      }
      throw new Error("it was taken");
    };
    assert.match(
      await refused("export default (a) => a;"),
      /"law":"commutative".* a = "", b = "a"/,
    );
    const random = "export default (a, b) => new Uint8Array([Math.random() * 256]);";
    assert.match(await refused(random), /"law":"samples"/);
    const network = "fetch('http://127.0.0.1'); export default (a, b) => a;";
    assert.match(await refused(network), /"law":"load".*fetch is not there/);
    assert.match(await refused("export default (a, b) => { for (;;); }"), /"law":"time"/);
    assert.match(await refused("export default (a, b) => 'text'"), /"law":"result"/);
    assert.match(await refused("import 'node:fs'; export default (a, b) => a"), /"law":"load"/);
    assert.match(await refused("this is no program"), /"law":"source".*line 1/);
    assert.deepEqual(await db.admin.listMergeFunctions(), []);
    // And the node serves.
    await db.put("t", "k", "v");
    assert.equal(await textOf(db, "t", "k"), "v");
  }));
