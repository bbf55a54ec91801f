/**
 * Promise 3: concurrent versions are all returned until a write that has seen them replaces them.
 * Random clients, with old contexts, none, or fresh ones, against the simplest model there is: a list of
 * the values that nobody has overwritten, where each context is remembered as the set of values behind it.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { VectorClock } from "../../../src/model/mod.ts";
import { bytes, testNode, text } from "../../support/node.ts";

const CLIENTS = 3;

/** What a client knows: a context and the writes that it has seen with it. */
interface Knowledge {
  context: VectorClock;
  seen: Set<string>;
}

type Command =
  | { kind: "read"; client: number }
  | { kind: "put" | "delete"; client: number; blind: boolean; remembers: "answer" | "nothing" }
  | { kind: "both"; client: number; other: number };

const client = fc.nat({ max: CLIENTS - 1 });
const commands = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant("read" as const), client }),
    fc.record({
      kind: fc.constantFrom("put" as const, "put" as const, "delete" as const),
      client,
      blind: fc.boolean(),
      remembers: fc.constantFrom("answer" as const, "nothing" as const),
    }),
    fc.record({ kind: fc.constant("both" as const), client, other: client }),
  ),
  { maxLength: 30 },
);

class Run {
  readonly #parts = testNode();
  readonly #clients: Knowledge[] = Array.from({ length: CLIENTS }, () => ({
    context: { entries: [], dots: [] },
    seen: new Set<string>(),
  }));
  /** Writes that nobody has overwritten, by the name of the write; false for a delete. */
  #alive = new Map<string, boolean>();
  #writes = 0;

  async step(command: Command): Promise<void> {
    await this.#parts.world.clock.advance(this.#writes % 2);
    if (command.kind === "read") this.#read(command.client);
    else if (command.kind === "both") {
      // Two writes of one tick: the second must build on the first.
      await Promise.all([
        this.#put(command.client, false, "answer"),
        this.#put(command.other, false, "answer"),
      ]);
    } else if (command.kind === "put") {
      await this.#put(command.client, command.blind, command.remembers);
    } else await this.#delete(command.client, command.blind, command.remembers);
    this.#check();
  }

  #read(client: number): void {
    const read = this.#parts.node.get("t", "k");
    if (read === undefined) return; // a client gets no context for what is not there
    this.#clients[client] = { context: read.clock, seen: new Set(this.#alive.keys()) };
  }

  async #put(client: number, blind: boolean, remembers: string): Promise<void> {
    const name = `w${++this.#writes}`;
    const { context, seen } = this.#clients[client];
    const write = this.#parts.node.put("t", {
      key: "k",
      value: bytes(name),
      context: blind ? undefined : context,
    });
    const known = this.#apply(name, true, blind ? undefined : seen);
    const { clock } = await write;
    if (remembers === "answer") this.#clients[client] = { context: clock, seen: known };
  }

  async #delete(client: number, blind: boolean, remembers: string): Promise<void> {
    const { context, seen } = this.#clients[client];
    const existed = [...this.#alive.values()].some((live) => live);
    const nothing = this.#alive.size === 0;
    const result = await this.#parts.node.delete("t", {
      key: "k",
      context: blind ? undefined : context,
    });
    assert.equal(result.existed, existed);
    if (nothing) return;
    const known = this.#apply(`w${++this.#writes}`, false, blind ? undefined : seen);
    if (remembers === "answer") this.#clients[client] = { context: result.clock, seen: known };
  }

  /**
   * The model of a write: it takes away what its writer had seen, or everything when it is blind.
   * @returns what somebody has seen who has the write's answer
   */
  #apply(name: string, live: boolean, seen: Set<string> | undefined): Set<string> {
    const overwritten = seen ?? new Set(this.#alive.keys());
    for (const other of overwritten) this.#alive.delete(other);
    this.#alive.set(name, live);
    return new Set([...overwritten, name]);
  }

  #check(): void {
    const read = this.#parts.node.get("t", "k");
    const values = [...this.#alive].filter(([, live]) => live).map(([name]) => name);
    if (values.length === 0) {
      assert.equal(read, undefined);
      return;
    }
    const shown = read!.versions.map(({ value }) => text(value)).filter((value) => value);
    assert.deepEqual(shown.sort(), values.sort());
    assert.equal(read!.versions.length, this.#alive.size, "deletes count as versions");
    assert.ok(read!.winner.value !== undefined);
  }
}

Deno.test("a value disappears only by a write that has seen it, or one without context [E34]", async () => {
  await fc.assert(
    fc.asyncProperty(commands, async (commands) => {
      const run = new Run();
      for (const command of commands) await run.step(command);
    }),
    { numRuns: 100 },
  );
});
