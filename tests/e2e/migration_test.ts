/**
 * A migration and a drain between two real processes while clients write without pause, and either process is
 * killed in each state: what was acknowledged is there, nothing is there twice, and both sides are equal.
 * @module
 */
import assert from "node:assert/strict";
import { inTokenRange, readToken, tokenOf, utf8 } from "../../src/model/mod.ts";
import { connectPeer, contentOf } from "../support/transfer.ts";
import { callJson, runProgram, Server, withDirectory } from "../support/server.ts";

const TENANT = "shop";
const KEYS = 1500;
const VALUE_BYTES = 1000;
const PHASES = ["copying", "streaming", "syncing"] as const;
/** The source's budget in MB/s: what it goes through takes seconds, so that nobody is too late to kill it. */
const SLOW = ["--set", "compaction.throttle=1"];

interface Migration {
  readonly id: string;
  readonly state: string;
  readonly error?: string;
  readonly keysCopied?: string;
  readonly retries?: string;
}

/** A server that comes back at its address. */
class Node {
  private constructor(readonly args: readonly string[], public server: Server) {}

  static async start(data: string, args: readonly string[] = []): Promise<Node> {
    return new Node(args, await Server.start({ data, args }));
  }

  get url(): string {
    return this.server.url;
  }

  async killed(): Promise<void> {
    const { data, port } = this.server;
    await this.server.kill();
    const args = [...this.args, "--listen", `127.0.0.1:${port}`];
    this.server = await Server.start({ data, args });
  }

  async migration(): Promise<Migration> {
    return (await callJson(this, "AdminService/ListMigrations", {})).migrations[0];
  }

  /** Waits for one of some states. @returns the one that it was */
  async reaches(...states: string[]): Promise<string> {
    for (;;) {
      const { state, error = "" } = await this.migration();
      if (states.includes(state)) return state;
      assert.notEqual(state, "failed", error);
      await new Promise((resolve) => setTimeout(resolve, 3));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.kill();
  }
}

/** Above half of the ring: about every other key. */
const HALF = {
  start: new Uint8Array(16).fill(255).fill(127, 0, 1),
  end: new Uint8Array(16).fill(255),
};
const HALF_TOKENS = { start: readToken(HALF.start, "start"), end: readToken(HALF.end, "end") };

function isInHalf(key: string): boolean {
  return inTokenRange(tokenOf(utf8(key)), HALF_TOKENS);
}

/** A client that writes keys of its own one after the other, and remembers what it was told. */
class Writer {
  /** For each key the number of the last write that was acknowledged, and of the last one that was begun. */
  readonly told = new Map<string, { acknowledged: number; begun: number }>();
  /** Writes that were refused since the node drains. */
  refused = 0;
  #stopped = false;
  readonly #done: Promise<void>;

  /** @param isWanted  leaves keys out */
  constructor(
    readonly node: Node,
    readonly name: string,
    readonly isWanted: (key: string) => boolean = () => true,
  ) {
    this.#done = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }

  async #run(): Promise<void> {
    for (let n = 1; !this.#stopped; n++) {
      const key = `${this.name}/${n % 150}`;
      if (!this.isWanted(key)) continue;
      const told = this.told.get(key) ?? { acknowledged: 0, begun: 0 };
      this.told.set(key, told);
      told.begun = n;
      const answer = await this.#put(key, n);
      if (answer === 200) told.acknowledged = n;
      else if (answer === 503) this.refused++;
      // Nobody is there for a moment.
      else await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async #put(key: string, n: number): Promise<number> {
    try {
      const response = await fetch(`${this.node.url}/pairdb.v1.KeyValueService/Put`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ tenantId: TENANT, key, value: valueOf(n) }),
      });
      const body = await response.text();
      if (response.status !== 200) assert.match(body, /draining/);
      return response.status;
    } catch (error) {
      assert.ok(error instanceof TypeError, `${error}`);
      return 0;
    }
  }

  /** Demands that a node has what was acknowledged, or what was begun after it. */
  async check(node: Node): Promise<void> {
    const written = [...this.told].filter(([, { acknowledged }]) => acknowledged > 0);
    assert.ok(written.length > 0, `${this.name} has written nothing`);
    for (const [key, { acknowledged, begun }] of written) {
      const { value } = await callJson(node, "KeyValueService/Get", { tenantId: TENANT, key });
      const n = Number(atob(value).split(" ")[0]);
      assert.ok(n >= acknowledged && n <= begun, `${key}: ${n}, not ${acknowledged} to ${begun}`);
    }
  }
}

function valueOf(n: number): string {
  return btoa(`${n} `.padEnd(VALUE_BYTES, "."));
}

async function fill(node: Node): Promise<void> {
  for (let from = 0; from < KEYS; from += 500) {
    const items = Array.from({ length: 500 }, (_, i) => ({
      key: `base/${String(from + i).padStart(5, "0")}`,
      value: valueOf(from + i),
    }));
    await callJson(node, "KeyValueService/BatchPut", { tenantId: TENANT, items });
  }
}

/** What a node holds, version by version, of a tenant each of whose keys has one writer, and so one version. */
async function contents(node: Node, tokenRange?: typeof HALF) {
  const peer = await connectPeer(node.server.port);
  try {
    const content = await contentOf(peer, TENANT, tokenRange);
    assert.equal(content.totals.versions, content.totals.keys, "something is there twice");
    return content;
  } finally {
    await peer.close();
  }
}

async function equal(a: Node, b: Node, tokenRange?: typeof HALF): Promise<void> {
  const [one, other] = [await contents(a, tokenRange), await contents(b, tokenRange)];
  assert.deepEqual(one.totals, other.totals);
  assert.deepEqual(one.entries, other.entries);
}

async function migrate(source: Node, target: Node, id: string): Promise<Migration> {
  const request = { id, targetUrl: target.url };
  return (await callJson(source, "AdminService/StartMigration", request)).migration;
}

for (const victim of ["source", "target"] as const) {
  Deno.test(`a migration under writes to both sides outlives a kill -9 of the ${victim} in each state [S1, S2, S5]`, () =>
    withDirectory(async (directory) => {
      await using source = await Node.start(`${directory}/source`, SLOW);
      await using target = await Node.start(`${directory}/target`);
      await fill(source);
      const writers = [
        ...["a", "b", "c"].map((name) => new Writer(source, name)),
        new Writer(target, "new"),
      ];
      const left = new Set<string>(PHASES);
      let runs = 0;
      try {
        // A state may be over before anybody has seen it: then another migration has it again.
        while (left.size > 0) {
          await migrate(source, target, `run-${++runs}`);
          for (const phase of PHASES) {
            const reached = await source.reaches(phase, ...PHASES.slice(PHASES.indexOf(phase) + 1));
            if (reached !== phase || !left.delete(phase)) continue;
            await (victim === "source" ? source : target).killed();
          }
          if (left.size > 0) await source.reaches("completed");
        }
      } finally {
        await Promise.all(writers.map((writer) => writer.stop()));
      }
      // What was written after the last look of one that is complete already is another one's.
      if ((await source.migration()).state === "completed") {
        await migrate(source, target, "rest");
      }
      await source.reaches("completed");
      for (const writer of writers) await writer.check(target);
      const done = await source.migration();
      assert.ok(Number(done.keysCopied) >= KEYS, `${done.keysCopied} keys`);
      if (victim === "target") assert.ok(Number(done.retries) > 0 || done.id === "rest");

      // The way back: then the source has what only the target was given, and nothing else differs.
      await migrate(target, source, "back");
      await target.reaches("completed");
      await equal(source, target);
    }));
}

/** Moves the half from one node to another, to the end. */
async function copyHalf(source: Node, target: Node): Promise<void> {
  const tokenRange = { start: HALF.start.toBase64(), end: HALF.end.toBase64() };
  const request = { targetUrl: target.url, tenantId: TENANT, tokenRange };
  const { migration } = await callJson(source, "AdminService/StartMigration", request);
  assert.equal((await source.migration()).id, migration.id);
  await source.reaches("completed");
}

async function written(writers: readonly Writer[], keys: number): Promise<void> {
  while (writers.some(({ told }) => told.size < keys)) {
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
}

Deno.test("a range gets a second copy while both nodes take writes, and gives it back, and nothing is lost [S7]", () =>
  withDirectory(async (directory) => {
    // A second or so for each of the copies, so that writes come in between.
    const throttle = ["--set", "compaction.throttle=4"];
    await using first = await Node.start(`${directory}/first`, throttle);
    await using second = await Node.start(`${directory}/second`, throttle);
    await fill(first);
    // Two copies: what either takes of the range comes to the other.
    const more = [new Writer(first, "a"), new Writer(second, "b", isInHalf)];
    try {
      await written(more, 20);
      await copyHalf(first, second);
      await copyHalf(second, first);
    } finally {
      await Promise.all(more.map((writer) => writer.stop()));
    }
    await copyHalf(first, second);
    await copyHalf(second, first);
    await equal(first, second, HALF);
    for (const node of [first, second]) await more[1].check(node);
    await more[0].check(first);
    const copy = await contents(second);
    assert.ok(copy.entries.length > KEYS / 3 && copy.entries.every(({ key }) => isInHalf(key)));

    // One copy again: the second takes writes until it is told to give it up, the first all the while.
    const fewer = [new Writer(first, "c"), new Writer(second, "d", isInHalf)];
    try {
      await written(fewer, 20);
      const drain = ["drain", "--to", first.url, "--output", "json", "--server", second.url];
      const drained = await runProgram(...drain);
      assert.equal(drained.code, 0, drained.err);
      assert.equal(JSON.parse(drained.out).drained, true);
      const refused = fewer[1].refused;
      while (fewer[1].refused === refused) await new Promise((resolve) => setTimeout(resolve, 3));
    } finally {
      await Promise.all(fewer.map((writer) => writer.stop()));
    }
    const given = await contents(second);
    assert.ok(given.entries.length > copy.entries.length);
    assert.equal(await second.server.stop(), 0);
    await Deno.remove(`${directory}/second`, { recursive: true });
    // Also after the worst that may happen to the one that is left.
    await first.killed();
    const left = new Map((await contents(first)).entries.map((entry) => [entry.key, entry]));
    for (const entry of given.entries) assert.deepEqual(left.get(entry.key), entry, entry.key);
    for (const writer of [...more, ...fewer]) await writer.check(first);
    const base = [...left.keys()].filter((key) => key.startsWith("base/"));
    assert.equal(base.length, KEYS);
  }));

Deno.test("a tenant of counters is one at the target too, with its quota, and does not go into one that is none", () =>
  withDirectory(async (directory) => {
    await using source = await Node.start(`${directory}/source`);
    await using target = await Node.start(`${directory}/target`);
    const at = (node: Node, ...args: string[]) => runProgram(...args, "--server", node.url);
    const kind = ["--conflict-strategy", "merge:counter"];
    for (const args of [["visits", ...kind, "--max-keys", "100"], ["clash", ...kind]]) {
      assert.equal((await at(source, "tenant", "create", ...args)).code, 0);
    }
    for (const value of ["40", "+3", "-1"]) {
      assert.equal((await at(source, "put", "visits", "page", value)).code, 0);
    }
    const moved = await at(source, "migrate", "start", "visits", "--to", target.url, "--wait");
    assert.equal(moved.code, 0, moved.err);
    assert.equal((await at(target, "put", "visits", "page", "+58")).code, 0);
    assert.equal((await at(target, "get", "visits", "page")).out, "100\n");
    const { tenants } = await callJson(target, "TenantService/ListTenants", {});
    assert.deepEqual(tenants[0].options, { conflictStrategy: "merge:counter", maxKeys: "100" });

    assert.equal((await at(target, "put", "clash", "k", "v")).code, 0);
    const refused = await at(source, "migrate", "start", "--to", target.url, "--wait");
    assert.equal(refused.code, 1);
    assert.match(refused.err + refused.out, /tenant clash has the conflict strategy vector_clock/);
    assert.equal((await at(target, "get", "clash", "k")).out, "v\n");
  }));

Deno.test("nothing goes to another machine by http unless peer.allow_http says so", () =>
  withDirectory(async (directory) => {
    // An address of nobody (RFC 5737).
    const target = "http://192.0.2.1:50052";
    for (const verb of [["migrate", "start", "--to"], ["drain", "--to"]]) {
      await using node = await Node.start(`${directory}/${verb[0]}`);
      const refused = await runProgram(...verb, target, "--server", node.url);
      assert.equal(refused.code, 1);
      assert.match(refused.err, /https, or set peer\.allow_http/);
      assert.deepEqual(await callJson(node, "AdminService/ListMigrations", {}), {});
    }
    await using node = await Node.start(`${directory}/open`, ["--set", "peer.allow_http=true"]);
    const taken = await runProgram("migrate", "start", "--to", target, "--server", node.url);
    assert.equal(taken.code, 0, taken.err);
  }));

Deno.test("migrations are started, listed and cancelled by command [S9]", () =>
  withDirectory(async (directory) => {
    await using source = await Node.start(`${directory}/source`, SLOW);
    await using target = await Node.start(`${directory}/target`);
    await fill(source);
    const at = ["--server", source.url];
    const start = ["migrate", "start", TENANT, "--to", target.url];
    const began = await runProgram(...start, "--id", "m1", "--output", "json", ...at);
    assert.equal(began.code, 0, began.err);
    assert.equal(JSON.parse(began.out).state, "copying");
    const jobs = await runProgram("jobs", ...at);
    assert.match(jobs.out, /\tmigration\tshop\trunning\t/);
    const cancelled = await runProgram("migrate", "cancel", "m1", ...at);
    assert.deepEqual([cancelled.code, cancelled.out], [0, "m1: failed\n"]);
    const listed = await runProgram("migrate", "list", ...at);
    assert.match(listed.out, /^m1\thttp:.*\tshop\tfailed\t.*\tcancelled\n$/);

    // The same again goes on, and a part of the keys is a migration of its own.
    const part = ["--start", "base/00100", "--end", "base/00200"];
    const other = await runProgram(...start, ...part, "--wait", "--output", "json", ...at);
    assert.equal(other.code, 0, other.err);
    assert.equal(JSON.parse(other.out).keys_copied, 100);
    const again = await runProgram(...start, "--id", "m1", "--wait", ...at);
    assert.equal(again.code, 0, again.err);
    assert.match(again.out, /completed; 1500 keys/);
    await equal(source, target);
    const metrics = await (await fetch(`${source.url}/metrics`)).text();
    assert.match(metrics, /^pairdb_migrations_completed_total 2$/m);
    assert.match(metrics, /^pairdb_migrations_running 0$/m);

    const bad = await runProgram(...start, "--tokens", "x", ...at);
    assert.equal(bad.code, 2);
    const nowhere = await runProgram("migrate", "start", "--to", "nowhere", ...at);
    assert.deepEqual([nowhere.code, nowhere.err.includes("code 1000")], [1, true]);
  }));

Deno.test("a drained node takes no writes and everything is elsewhere, though it was killed on the way [N8, S6]", () =>
  withDirectory(async (directory) => {
    await using source = await Node.start(`${directory}/source`, SLOW);
    await using target = await Node.start(`${directory}/target`);
    await fill(source);
    const writers = ["a", "b", "c"].map((name) => new Writer(source, name));
    try {
      while (writers.some(({ told }) => told.size < 20)) {
        await new Promise((resolve) => setTimeout(resolve, 3));
      }
      const at = ["--server", source.url];
      const begun = await runProgram("drain", "--to", target.url, "--detach", ...at);
      assert.equal(begun.code, 0, begun.err);
      assert.match(begun.out, /^draining to http/);
      // Writers are told so, and so are load balancers; readers are served.
      while (writers.some(({ refused }) => refused === 0)) {
        await new Promise((resolve) => setTimeout(resolve, 3));
      }
      const ready = await fetch(`${source.url}/readyz`);
      assert.deepEqual([ready.status, (await ready.text()).includes("draining")], [503, true]);
      await callJson(source, "KeyValueService/Get", { tenantId: TENANT, key: "base/00000" });
      await source.reaches(...PHASES, "completed");
      await source.killed();
      const drained = await runProgram("drain", "--to", target.url, "--output", "json", ...at);
      assert.equal(drained.code, 0, drained.err);
      const answer = JSON.parse(drained.out);
      assert.equal(answer.drained, true);
      assert.ok(answer.keys_copied > KEYS && answer.pieces_compared > 0, drained.out);
    } finally {
      await Promise.all(writers.map((writer) => writer.stop()));
    }
    await equal(source, target);
    for (const writer of writers) await writer.check(target);

    // It is drained until it is told otherwise, whatever happens to it.
    await source.killed();
    const at = ["--server", source.url];
    assert.match((await runProgram("drain", ...at)).out, /^drained to http/);
    const put = ["put", TENANT, "k", "v", ...at];
    const refused = await runProgram(...put);
    assert.equal(refused.code, 1);
    assert.match(refused.err, /draining \(code 2001 Unavailable\)/);
    assert.equal((await runProgram("drain", "--cancel", ...at)).code, 0);
    assert.equal((await runProgram(...put)).code, 0);
    const again = await fetch(`${source.url}/readyz`);
    assert.deepEqual([again.status, (await again.text()).includes("draining")], [200, false]);
  }));
