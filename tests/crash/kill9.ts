/**
 * kill -9 under concurrent writers: the real program, a real disk, a random moment, again and again.
 *
 *     deno run -A tests/crash/kill9.ts [--rounds 200] [--seed 1] [--writers 9] [--data DIR]
 *
 * Each round starts the node on what the last round left, compares everything that is there with what
 * was acknowledged (tests/support/history.ts says what is allowed), writes for a random time with
 * several writers at once over three protocols (puts, batches and deletes over a few hundred keys of
 * three tenants), and kills. Memtables, log segments and tables are small, so that flushes,
 * compactions and rotations are hit too. Some starts are killed before or during their recovery.
 *
 * Prints rounds, acknowledged operations and losses. The exit code is 1 when anything acknowledged is
 * gone, deleted keys are back, batches are torn, something is there that nobody wrote, the node reports
 * damage, or `pairdb check` finds any at the end; the data directory is kept then.
 * The same seed gives the same operations, but not the same moments.
 * @module
 */
import assert from "node:assert/strict";
import { parseArgs } from "node:util";
import { type Client, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { KeyValueService, type ScanEntry } from "../../src/gen/pairdb/v1/kv_pb.ts";
import { SimRandom } from "../../src/runtime/mod.ts";
import { History, nameOf, type Operation } from "../support/history.ts";
import { NotReady, runProgram, Server } from "../support/server.ts";

const TENANTS = ["shop", "blog", "häuser"];
const KEYS_PER_TENANT = 150;
const MOST_BATCH_ITEMS = 30;
const MOST_VALUE_BYTES = 2000;
/** How long a round's writers go on, in ms. */
const WRITING_MS = { least: 20, most: 900 };
/** Before one round in so many, a start is killed after at most so many ms. */
const KILLED_STARTS = 5;
const KILLED_START_MS = 400;

/** Small, so that much happens in a short round. */
const SERVER_ARGS = [
  "mem_table.max_size=64KiB",
  "sstable.l0_size=64KiB",
  "compaction.level_base_size=1MiB",
  "commit_log.segment_size=1MiB",
].flatMap((option) => ["--set", option]);

type KeyValueClient = Client<typeof KeyValueService>;

/** How a run goes. */
export interface Kill9Options {
  readonly rounds: number;
  readonly seed: number;
  readonly writers: number;
  /** A new or empty directory; it is left behind. */
  readonly data: string;
  /** Told of each round. */
  readonly onRound?: (text: string) => void;
}

/** What a run found. */
export interface Kill9Report {
  rounds: number;
  /** Starts that were killed too, besides the rounds. */
  killedStarts: number;
  /** Operations that were acknowledged, and changes of single keys in them. */
  acknowledged: number;
  acknowledgedChanges: number;
  /** Operations that had no answer when the node was killed. */
  unanswered: number;
  /** Those of them that turned out to have happened, deletes not counted. */
  unansweredHappened: number;
  flushes: number;
  compactions: number;
  /** Log records that recoveries replayed. */
  replayed: number;
  tornBytes: number;
  /** What must not be, in words. */
  losses: string[];
}

/** Runs all rounds, or as many as it takes to find a loss. */
export async function kill9(options: Kill9Options): Promise<Kill9Report> {
  return await new Torture(options).run();
}

class Torture {
  readonly #options: Kill9Options;
  readonly #random: SimRandom;
  readonly #history = new History();
  readonly #report: Kill9Report = {
    rounds: 0,
    killedStarts: 0,
    acknowledged: 0,
    acknowledgedChanges: 0,
    unanswered: 0,
    unansweredHappened: 0,
    flushes: 0,
    compactions: 0,
    replayed: 0,
    tornBytes: 0,
    losses: [],
  };

  constructor(options: Kill9Options) {
    this.#options = options;
    this.#random = new SimRandom(options.seed);
  }

  async run(): Promise<Kill9Report> {
    const report = this.#report;
    while (report.rounds < this.#options.rounds && report.losses.length === 0) {
      if (this.#random.below(KILLED_STARTS) === 0) await this.#killedStart();
      await this.#round(true);
      report.rounds++;
    }
    // What the last kill left is to be looked at as well.
    await this.#round(false);
    const checked = await runProgram("check", this.#options.data);
    if (checked.code !== 0) this.#lose(`check says ${checked.out}${checked.err}`);
    return report;
  }

  async #round(write: boolean): Promise<void> {
    const server = await this.#start();
    try {
      await this.#verify(server);
      if (write) await this.#writeAndKill(server);
    } finally {
      await server.kill();
      this.#readLog(server);
    }
    const { rounds, acknowledged, unanswered, replayed, losses } = this.#report;
    this.#options.onRound?.(
      `round ${rounds + 1}: ready in ${server.readyMs} ms, acknowledged ${acknowledged}, ` +
        `unanswered ${unanswered}, replayed ${replayed}, losses ${losses.length}`,
    );
  }

  async #start(): Promise<Server> {
    const server = await Server.start({ data: this.#options.data, args: SERVER_ARGS });
    const [recovered] = server.events("recovered");
    assert.ok(recovered, `no word of the recovery:\n${server.log}`);
    this.#report.replayed += Number(recovered.records);
    this.#report.tornBytes += Number(recovered.torn_bytes);
    if (recovered.losses !== 0) this.#lose(`recovery reports ${recovered.losses} losses`);
    return server;
  }

  /** Starts a node and kills it again at once: before its recovery, in it, or shortly after. */
  async #killedStart(): Promise<void> {
    this.#report.killedStarts++;
    const ms = this.#random.below(KILLED_START_MS);
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      const server = await Server.start({
        data: this.#options.data,
        args: SERVER_ARGS,
        onSpawn: (child) => timer = setTimeout(() => child.kill("SIGKILL"), ms),
      });
      clearTimeout(timer);
      await server.kill();
    } catch (error) {
      // 137: it was our kill that ended it.
      if (!(error instanceof NotReady) || error.ended.code !== 137) throw error;
    }
  }

  /** Lets all writers loose, kills at a random moment, and waits until all of them have noticed. */
  async #writeAndKill(server: Server): Promise<void> {
    const sessions = new Http2SessionManager(server.url);
    const transports = transportsTo(server, sessions);
    const state = { killed: false };
    const writers = Array.from({ length: this.#options.writers }, (_, i) => {
      const client = createClient(KeyValueService, transports[i % transports.length]);
      return this.#write(client, this.#random.fork(), state);
    });
    const all = Promise.all(writers);
    const { least, most } = WRITING_MS;
    try {
      await Promise.race([all, sleep(least + this.#random.below(most - least))]);
      state.killed = true;
      await server.kill();
      await all;
    } finally {
      sessions.abort();
    }
  }

  /** One writer: one operation after the other until the node is dead. */
  async #write(
    client: KeyValueClient,
    random: SimRandom,
    state: { readonly killed: boolean },
  ): Promise<void> {
    while (!state.killed) {
      const operation = this.#nextOperation(random);
      try {
        await send(client, operation);
      } catch (error) {
        // Only a dead node may refuse. What it did not answer may have happened all the same.
        if (!state.killed || !isLostConnection(error)) throw error;
        this.#report.unanswered++;
        return;
      }
      this.#history.acknowledge(operation);
      this.#report.acknowledged++;
      this.#report.acknowledgedChanges += operation.keys.length;
    }
  }

  #nextOperation(random: SimRandom): Operation {
    const tenant = TENANTS[random.below(TENANTS.length)];
    const kind = (["put", "put", "put", "delete", "batch"] as const)[random.below(5)];
    const wanted = kind === "batch" ? 2 + random.below(MOST_BATCH_ITEMS - 1) : 1;
    const keys = new Set<string>();
    while (keys.size < wanted) {
      keys.add(`key ${String(random.below(KEYS_PER_TENANT)).padStart(4, "0")}`);
    }
    return this.#history.begin(kind, tenant, [...keys]);
  }

  /** Reads everything, and has it judged. */
  async #verify(server: Server): Promise<void> {
    const seen = new Map<string, number>();
    const client = createClient(
      KeyValueService,
      createConnectTransport({ baseUrl: server.url, useBinaryFormat: true }),
    );
    for (const tenantId of TENANTS) {
      for await (const { entries } of client.scan({ tenantId })) {
        for (const entry of entries) this.#see(tenantId, entry, seen);
      }
    }
    for (const text of this.#history.judge(seen)) this.#lose(text);
    this.#report.unansweredHappened = this.#history.unansweredHappened;
  }

  /** Notes whose value an entry has; it must be the whole value, byte for byte. */
  #see(tenant: string, entry: ScanEntry, seen: Map<string, number>): void {
    const name = nameOf(tenant, entry.key);
    const text = new TextDecoder().decode(entry.value);
    const operation = this.#history.operation(Number.parseInt(text));
    if (operation === undefined || text !== valueOf(operation, entry.key)) {
      this.#lose(`${name} holds what nobody wrote, or what was replaced: ${text.slice(0, 60)}`);
    } else if (entry.siblings.length > 0) {
      this.#lose(`${name} has ${entry.siblings.length} versions; no write had a context`);
    } else {
      seen.set(name, operation.id);
    }
  }

  #readLog(server: Server): void {
    this.#report.flushes += server.events("flushed").length;
    this.#report.compactions += server.events("compacted").length;
    for (const line of server.log.split("\n")) {
      if (line.includes('"level":"error"')) this.#lose(`the node says ${line}`);
    }
  }

  #lose(text: string): void {
    this.#report.losses.push(`round ${this.#report.rounds + 1}: ${text}`);
  }
}

/** All three protocols. */
function transportsTo({ url: baseUrl }: Server, sessionManager: Http2SessionManager): Transport[] {
  return [
    createConnectTransport({ baseUrl, useBinaryFormat: true }),
    createGrpcWebTransport({ baseUrl }),
    createGrpcTransport({ baseUrl, sessionManager }),
  ];
}

async function send(client: KeyValueClient, operation: Operation): Promise<void> {
  const { kind, tenant: tenantId, keys } = operation;
  const items = keys.map((key) => ({ key, value: encoder.encode(valueOf(operation, key)) }));
  if (kind === "put") await client.put({ tenantId, ...items[0] });
  else if (kind === "delete") await client.delete({ tenantId, key: keys[0] });
  else await client.batchPut({ tenantId, items });
}

const encoder = new TextEncoder();

/** The value that an operation gives a key: it tells whose it is. Most are short, some are long. */
function valueOf({ id, tenant }: Operation, key: string): string {
  const random = new SimRandom(id * 31 + key.length);
  const length = random.below(4) === 0 ? random.below(MOST_VALUE_BYTES) : random.below(100);
  return `${id} ${tenant}/${key} ${"abcdefghijklmnop".repeat(length / 16)}`;
}

/** Whether a call failed because there is no connection; what a node decides has an ErrorDetail. */
function isLostConnection(error: unknown): boolean {
  return error instanceof ConnectError && error.details.length === 0;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

if (import.meta.main) {
  const { values } = parseArgs({
    args: Deno.args,
    options: {
      rounds: { type: "string", default: "200" },
      seed: { type: "string", default: "1" },
      writers: { type: "string", default: "9" },
      data: { type: "string" },
    },
  });
  const say = (text: string) => Deno.stdout.writeSync(encoder.encode(`${text}\n`));
  const data = values.data ?? await Deno.makeTempDir({ prefix: "pairdb-kill9-" });
  const from = performance.now();
  const { losses, ...figures } = await kill9({
    rounds: Number(values.rounds),
    seed: Number(values.seed),
    writers: Number(values.writers),
    data,
    onRound: say,
  });
  for (const [name, figure] of Object.entries(figures)) say(`${name}: ${figure}`);
  say(`seconds: ${Math.round((performance.now() - from) / 1000)}`);
  for (const loss of losses) say(`LOSS ${loss}`);
  say(`losses: ${losses.length}`);
  if (losses.length > 0) {
    say(`the data is kept in ${data}`);
    Deno.exitCode = 1;
  } else if (values.data === undefined) {
    await Deno.remove(data, { recursive: true });
  }
}
