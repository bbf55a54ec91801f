/**
 * The node's merge functions: what the application itself has written to make one value of concurrent ones.
 *
 * A function is registered under a name, for good: tenants that are created with `merge:<name>` rely on it, and
 * a better one gets another name. It is kept in a tree of the node's own, so it is in snapshots and comes
 * through crashes as data does, and is run in a sandbox (`runtime/sandbox.ts`).
 *
 * What a tenant stores does not depend on it: the tree of such a tenant keeps concurrent versions as siblings.
 * A read that finds several asks the function, and shows what that makes of them, with a context that covers
 * all; the next write with that context replaces them. Where the function fails, or takes too long, the read
 * shows the siblings as they are: never a value that nobody made.
 * @module
 */
import { type Engine, KIND_DELETE, KIND_PUT, type Tree } from "../../engine/mod.ts";
import { builtInMerge, decodeKey, mergeFunctionOf, PairError, utf8 } from "../../model/mod.ts";
import {
  type Runtime,
  type Sandbox,
  type SandboxedFunction,
  SandboxError,
} from "../../runtime/mod.ts";
import type { KeyState, MergeFunctionInfo, VersionView } from "../api.ts";
import { checkLaws, MAX_SAMPLES, refused } from "./laws.ts";
import { decodeFunction, digestOf, encodeFunction, type FunctionRecord } from "./records.ts";

/** Tenants' ids have no colon, so none is this. */
const TREE_NAME = ":merge_functions";
/** As many as tenants can name without that a node keeps workers without number. */
const MAX_FUNCTIONS = 64;
const NAME = /^[a-z][a-z0-9_.-]{0,63}$/;
const MAX_SAMPLE_BYTES = 64 * 1024;

/** A function that has taken too much this often, one time after the other... */
const STRIKES = 3;
/** ...is not asked for this long, ms. */
const REST_MS = 10_000;
/** A failing function is told of once in this time, ms. */
const TELL_MS = 10_000;

/** A function that is registered. */
interface Registered extends FunctionRecord {
  readonly name: string;
  started: SandboxedFunction | undefined;
  strikes: number;
  restsUntilMs: number;
  toldMs: number;
}

/** See the head of the file. */
export class MergeFunctions {
  readonly #engine: Engine;
  readonly #runtime: Runtime;
  readonly #sandbox: Sandbox | undefined;
  readonly #functions: Map<string, Registered>;
  /** Names that are being registered or removed. */
  readonly #changing = new Set<string>();
  /** How many tenants are being created with a function. */
  readonly #holders = new Map<string, number>();
  #folds = 0;
  #failures = 0;
  #skipped = 0;

  /** @param sandbox  undefined: there is none, so nothing is registered, and reads show siblings */
  constructor(engine: Engine, runtime: Runtime, sandbox: Sandbox | undefined) {
    this.#engine = engine;
    this.#runtime = runtime;
    this.#sandbox = sandbox;
    this.#functions = this.#load();
  }

  /** Since the node's start: values that were made, folds that failed, and those that were not tried after that. */
  get figures(): {
    readonly mergeFunctionFolds: number;
    readonly mergeFunctionFailures: number;
    readonly mergeFunctionSkips: number;
  } {
    return {
      mergeFunctionFolds: this.#folds,
      mergeFunctionFailures: this.#failures,
      mergeFunctionSkips: this.#skipped,
    };
  }

  /** All of them, by name. */
  list(): MergeFunctionInfo[] {
    return [...this.#functions.values()].map((each) => this.#describe(each))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /**
   * Tries a function, and keeps it. One that is there already, with the same source, is left alone.
   * @param admit    asked before anything is written, with the bytes
   * @throws PairError InvalidArgument (1000), ResourceExhausted (2008), Unavailable (2001)
   */
  async register(
    name: string,
    source: string,
    samples: readonly Uint8Array[],
    admit: (bytes: number) => void,
  ): Promise<MergeFunctionInfo> {
    checkName(name);
    checkSamples(samples);
    const digest = digestOf(source);
    const known = this.#functions.get(name);
    if (known !== undefined) {
      if (known.digest.toHex() === digest.toHex()) return this.#describe(known);
      throw new PairError(
        "InvalidArgument",
        "Cannot register the merge function: the name has another source; a new one needs another name",
        { reason: "already_exists", digest: known.digest.toHex() },
      );
    }
    if (this.#functions.size + this.#changing.size >= MAX_FUNCTIONS) {
      throw new PairError(
        "ResourceExhausted",
        "Cannot register the merge function: there are too many",
        { limit: MAX_FUNCTIONS },
      );
    }
    const sandbox = this.#sandbox;
    if (sandbox === undefined) {
      throw new PairError(
        "Unavailable",
        "Cannot register the merge function: this program has no sandbox to run it in",
      );
    }
    return await this.#whileChanging(name, async () => {
      const code = await prepare(sandbox, source);
      await checkLaws(() => sandbox.start(code), samples);
      const record = { registeredAtMs: this.#runtime.clock.wallMs(), digest, source, code };
      const value = encodeFunction(record);
      admit(value.length);
      const tree = this.#engine.tree(TREE_NAME) ?? await this.#engine.createTree(TREE_NAME);
      await this.#engine.write([{ tree, kind: KIND_PUT, key: utf8(name), value }]);
      const registered = fresh(name, record);
      this.#functions.set(name, registered);
      this.#runtime.log.info("node.merge_function_registered", { name, digest: digest.toHex() });
      return this.#describe(registered);
    });
  }

  /** @throws PairError InvalidArgument (1000) when there is none of the name, or a tenant has it */
  async remove(name: string): Promise<void> {
    const found = this.#functions.get(name);
    if (found === undefined) {
      throw new PairError("InvalidArgument", "Cannot remove the merge function: there is none", {
        reason: "not_found",
      });
    }
    const tenants = this.#tenantsOf(name);
    const users = tenants.length + (this.#holders.get(name) ?? 0);
    if (users > 0) {
      throw new PairError(
        "InvalidArgument",
        `Cannot remove the merge function: ${
          tenants.length > 0 ? `the tenant ${tenants[0]}` : "a tenant"
        } was created with it`,
        { reason: "in_use", tenants: users },
      );
    }
    await this.#whileChanging(name, async () => {
      const tree = this.#engine.tree(TREE_NAME);
      if (tree !== undefined) {
        const value = new Uint8Array(0);
        await this.#engine.write([{ tree, kind: KIND_DELETE, key: utf8(name), value }], "delete");
      }
      this.#functions.delete(name);
      found.started?.end();
      this.#runtime.log.info("node.merge_function_removed", { name, digest: found.digest.toHex() });
    });
  }

  /**
   * Creates a tenant, with a function that is there until it has been created.
   * @param strategy  the tenant's conflict strategy
   * @throws PairError InvalidArgument (1000) when it names a function that is not there
   */
  async holding<T>(strategy: string | undefined, create: () => Promise<T>): Promise<T> {
    const name = mergeFunctionOf(strategy);
    if (name === undefined) return await create();
    if (!this.#functions.has(name)) {
      throw new PairError(
        "InvalidArgument",
        `Cannot use the conflict strategy ${strategy}: no merge function ${name} is registered`,
        { option: "conflictStrategy" },
      );
    }
    this.#checkChanging(name);
    this.#holders.set(name, (this.#holders.get(name) ?? 0) + 1);
    try {
      return await create();
    } finally {
      this.#holders.set(name, this.#holders.get(name)! - 1);
    }
  }

  /**
   * What a tenant's client sees of a key: where there are several values and the tenant has a function, what that
   * makes of them. Undefined: the state as it is. Never rejects.
   */
  fold(tree: Tree, state: KeyState): Promise<KeyState> | KeyState | undefined {
    if (tree.options.conflictStrategy === undefined || state.versions.length < 2) return undefined;
    const name = mergeFunctionOf(tree.options.conflictStrategy);
    if (name === undefined) return undefined;
    const live = state.versions.filter(({ value }) => value !== undefined);
    if (live.length < 2) return shown(state, live, state.winner.value!);
    return this.#ask(name, tree, state, live);
  }

  /** Whether {@link fold} may have something to do for a tenant. */
  folds(tree: Tree): boolean {
    return mergeFunctionOf(tree.options.conflictStrategy) !== undefined;
  }

  /** SHA-256 in hex of the function that a conflict strategy names; undefined: it names none, or none that is here. */
  digest(strategy: string | undefined): string | undefined {
    const name = mergeFunctionOf(strategy);
    return name === undefined ? undefined : this.#functions.get(name)?.digest.toHex();
  }

  /** Ends what runs. */
  close(): void {
    for (const { started } of this.#functions.values()) started?.end();
  }

  async #ask(
    name: string,
    tree: Tree,
    state: KeyState,
    live: readonly VersionView[],
  ): Promise<KeyState> {
    const found = this.#functions.get(name);
    const nowMs = this.#runtime.clock.monotonicMs();
    if (found === undefined || this.#sandbox === undefined || nowMs < found.restsUntilMs) {
      this.#skipped++;
      return state;
    }
    try {
      found.started ??= this.#sandbox.start(found.code);
      const value = await found.started.fold(live.map(({ value }) => value!));
      this.#folds++;
      found.strikes = 0;
      return shown(state, live, value);
    } catch (error) {
      this.#failures++;
      this.#failed(found, tree, error);
      return state;
    }
  }

  #failed(found: Registered, tree: Tree, error: unknown): void {
    const nowMs = this.#runtime.clock.monotonicMs();
    const reason = error instanceof SandboxError ? error.reason : "broken";
    if (reason === "time" || reason === "memory" || reason === "broken") {
      found.strikes++;
      if (found.strikes >= STRIKES) {
        found.strikes = 0;
        found.restsUntilMs = nowMs + REST_MS;
      }
    }
    if (nowMs - found.toldMs < TELL_MS) return;
    found.toldMs = nowMs;
    this.#runtime.log.warn("node.merge_function_failed", {
      function: found.name,
      tenant: tree.name,
      reason,
      // What the function itself says may be of the values, which no log has.
      ...(reason === "threw"
        ? {}
        : { error: error instanceof Error ? error.message : String(error) }),
    });
  }

  /** What is kept. What cannot be read is told of, and not there: reads of its tenants show siblings. */
  #load(): Map<string, Registered> {
    const functions = new Map<string, Registered>();
    const tree = this.#engine.tree(TREE_NAME);
    if (tree === undefined) return functions;
    try {
      const cursor = this.#engine.scan(tree, {});
      try {
        while (cursor.next()) {
          const name = decodeKey(cursor.key);
          try {
            functions.set(name, fresh(name, decodeFunction(cursor.value.slice())));
          } catch (error) {
            this.#unreadable(name, error);
          }
        }
      } finally {
        cursor.close();
      }
    } catch (error) {
      this.#unreadable("", error);
    }
    return functions;
  }

  #unreadable(name: string, error: unknown): void {
    this.#runtime.log.error("node.merge_function_unreadable", {
      function: name,
      error: String(error),
    });
  }

  #tenantsOf(name: string): string[] {
    return this.#engine.trees()
      .filter(({ options }) => mergeFunctionOf(options.conflictStrategy) === name)
      .map((tree) => tree.name);
  }

  #describe({ name, digest, source, registeredAtMs }: Registered): MergeFunctionInfo {
    return {
      name,
      digest: digest.toHex(),
      bytes: utf8(source).length,
      registeredAtMs,
      tenants: this.#tenantsOf(name).length,
    };
  }

  async #whileChanging<T>(name: string, run: () => Promise<T>): Promise<T> {
    this.#checkChanging(name);
    this.#changing.add(name);
    try {
      return await run();
    } finally {
      this.#changing.delete(name);
    }
  }

  #checkChanging(name: string): void {
    if (!this.#changing.has(name)) return;
    throw new PairError(
      "Unavailable",
      `Cannot use the merge function ${name}: it is being registered or removed`,
    );
  }
}

function fresh(name: string, record: FunctionRecord): Registered {
  return {
    ...record,
    name,
    started: undefined,
    strikes: 0,
    restsUntilMs: 0,
    toldMs: -Infinity,
  };
}

/** One value that stands for all versions. */
function shown(state: KeyState, live: readonly VersionView[], value: Uint8Array): KeyState {
  const { expiresAtMs: _, ...winner } = state.winner;
  // What was written to live longest keeps the key.
  const expiries = live.map(({ expiresAtMs }) => expiresAtMs ?? 0);
  const expiry = expiries.includes(0) ? {} : { expiresAtMs: Math.max(...expiries) };
  const one: VersionView = { ...winner, ...expiry, value, clock: state.clock };
  return { ...state, winner: one, versions: [one] };
}

async function prepare(sandbox: Sandbox, source: string): Promise<string> {
  try {
    return await sandbox.prepare(source);
  } catch (error) {
    throw error instanceof SandboxError ? refused("source", error.message) : error;
  }
}

function checkName(name: string): void {
  if (NAME.test(name) && !builtInMerge(name)) return;
  throw new PairError(
    "InvalidArgument",
    builtInMerge(name)
      ? `Cannot register the merge function: ${name} is built in`
      : "Cannot register the merge function: its name is 1 to 64 of a-z, 0-9, _, . and -, a letter first",
    { field: "name" },
  );
}

function checkSamples(samples: readonly Uint8Array[]): void {
  if (samples.length > MAX_SAMPLES) {
    throw new PairError(
      "InvalidArgument",
      `Cannot register the merge function: it takes at most ${MAX_SAMPLES} samples`,
      { count: samples.length, limit: MAX_SAMPLES },
    );
  }
  const bytes = Math.max(0, ...samples.map(({ length }) => length));
  if (bytes > MAX_SAMPLE_BYTES) {
    throw new PairError(
      "InvalidArgument",
      `Cannot register the merge function: a sample is longer than ${MAX_SAMPLE_BYTES} bytes`,
      { bytes, limit: MAX_SAMPLE_BYTES },
    );
  }
}
