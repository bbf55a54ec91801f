/**
 * Tenants: each has a tree of its own in the engine, named by its id, whose merge operator reconciles
 * versions. How it deals with concurrent ones is chosen when it is made, and stays: what is stored is of that
 * kind.
 *
 * A tenant that is being created or dropped is not there yet, or not there any more: nobody finds it
 * until the change is durable, and whoever wants to change it waits. Each change is a line in the log, whoever
 * asked for it: a drop is for good, and a tenant that a first write has made may be a misspelt one.
 * @module
 */
import type { Engine, Tree } from "../engine/mod.ts";
import {
  conflictStrategy,
  mergeFunctionOf,
  operatorOf,
  PairError,
  VECTOR_CLOCK,
} from "../model/mod.ts";
import type { Log } from "../runtime/mod.ts";
import type { TenantInfo, TenantOptions, TenantOrigin } from "./api.ts";
import { isHiddenTree } from "./idempotency/mod.ts";
import type { MergeFunctions } from "./merge/mod.ts";
import type { Quotas } from "./quotas.ts";

/** The tenants of one node. Ids are valid when they get here. */
export class Tenants {
  #engine: Engine;
  #quotas: Quotas;
  #functions: MergeFunctions;
  #autoCreate: boolean;
  #log: Log;
  /** Creations and drops under way, by tenant; they never reject. */
  #changing = new Map<string, Promise<void>>();

  /** @param autoCreate  whether a first write makes its tenant */
  constructor(
    engine: Engine,
    quotas: Quotas,
    functions: MergeFunctions,
    autoCreate: boolean,
    log: Log,
  ) {
    this.#engine = engine;
    this.#quotas = quotas;
    this.#functions = functions;
    this.#autoCreate = autoCreate;
    this.#log = log;
  }

  /** A tenant's tree; undefined when there is none. */
  find(tenant: string): Tree | undefined {
    return this.#changing.has(tenant) ? undefined : this.#engine.tree(tenant);
  }

  /** The same once it is neither being made nor dropped: a drop may fail, and leaves all as it was. */
  async findSettled(tenant: string): Promise<Tree | undefined> {
    while (this.#changing.has(tenant)) await this.#changing.get(tenant);
    return this.#engine.tree(tenant);
  }

  /**
   * The same for an operation that works on tenants to come as well.
   * @throws PairError InvalidTenantID (1004) when there is none and writes do not make tenants
   */
  findForUse(tenant: string): Tree | undefined {
    return this.#autoCreate ? this.find(tenant) : this.mustFind(tenant);
  }

  /** @throws PairError InvalidTenantID (1004) when there is none */
  mustFind(tenant: string): Tree {
    const tree = this.find(tenant);
    if (tree === undefined) throw new PairError("InvalidTenantID", "The tenant does not exist");
    return tree;
  }

  /**
   * Makes the tenant unless somebody else does meanwhile; writers that come together share one creation.
   * @param origin  what it is where its data come from; undefined: they come from nowhere else
   * @throws PairError InvalidArgument (1000) as {@link checkOrigin}
   */
  async ensure(tenant: string, origin?: TenantOrigin): Promise<void> {
    const changing = this.#changing.get(tenant);
    if (changing !== undefined) return await changing;
    if (this.#engine.tree(tenant) !== undefined) return;
    if (origin !== undefined) this.checkOrigin(tenant, origin, undefined);
    await this.#create(tenant, origin?.options, origin === undefined ? "write" : "transfer");
  }

  /** What another node has to know of a tenant to make the same. */
  originOf({ options }: Tree): TenantOrigin {
    return { options, mergeFunctionDigest: this.#functions.digest(options.conflictStrategy) };
  }

  /**
   * Demands that versions of a tenant elsewhere mean the same in the tenant here.
   * @param tree  undefined: it is still to be made
   * @throws PairError InvalidArgument (1000) with the detail `reason: conflict_strategy`, or `merge_function`
   *   where the strategy's function is not the same here
   */
  checkOrigin(tenant: string, origin: TenantOrigin, tree: Tree | undefined): void {
    const { conflictStrategy: wanted = VECTOR_CLOCK } = origin.options;
    const present = tree === undefined ? wanted : tree.options.conflictStrategy ?? VECTOR_CLOCK;
    if (present !== wanted) {
      throw new PairError(
        "InvalidArgument",
        `Cannot take the data: the tenant ${tenant} has the conflict strategy ${present} here, ` +
          `and ${wanted} where they come from`,
        { reason: "conflict_strategy", present, wanted },
      );
    }
    const digest = origin.mergeFunctionDigest;
    const own = this.#functions.digest(wanted);
    if (digest === undefined || digest === own) return;
    throw new PairError(
      "InvalidArgument",
      `Cannot take the data: the tenant ${tenant} is merged by the function ` +
        `${mergeFunctionOf(wanted)} of SHA-256 ${digest}, ` +
        (own === undefined ? "which is not registered here" : `which is another here: ${own}`),
      { reason: "merge_function", present: own ?? "", wanted: digest },
    );
  }

  /** @throws PairError InvalidArgument (1000) with the detail `reason: already_exists` when there is one */
  async create(tenant: string, options?: TenantOptions): Promise<TenantInfo> {
    // Another waiter may have begun the next change by the time this one wakes: look again each time,
    // with nothing awaited between the last look and the change.
    while (this.#changing.has(tenant)) await this.#changing.get(tenant);
    if (this.#engine.tree(tenant) !== undefined) {
      throw new PairError(
        "InvalidArgument",
        "Cannot create the tenant: it exists; its options can be updated",
        {
          reason: "already_exists",
        },
      );
    }
    return this.#describe(await this.#create(tenant, options, "request"));
  }

  /** @throws PairError InvalidTenantID (1004) when there is none; InvalidArgument (1000) for a bad option */
  async update(tenant: string, changes: TenantOptions): Promise<TenantInfo> {
    while (this.#changing.has(tenant)) await this.#changing.get(tenant); // as in create
    const tree = this.mustFind(tenant);
    const changed = withoutStrategy(tree, changes);
    await this.#engine.setTreeOptions(tree, changed);
    this.#log.info("tenant.updated", { tenant, options: inWords(changed) });
    return this.#describe(tree);
  }

  /** @returns its tree, as it was. @throws PairError InvalidTenantID (1004) when there is none */
  async drop(tenant: string): Promise<Tree> {
    while (this.#changing.has(tenant)) await this.#changing.get(tenant); // as in create
    const tree = this.mustFind(tenant);
    await this.#change(tenant, () => this.#engine.dropTree(tree));
    this.#log.info("tenant.dropped", { tenant });
    return tree;
  }

  /** All tenants, in order of their id. */
  list(): readonly TenantInfo[] {
    return this.#trees().map((tree) => this.#describe(tree))
      .sort((a, b) => (a.tenant < b.tenant ? -1 : 1));
  }

  /** Ids of all tenants, in order; of those too that are just made or dropped. */
  names(): readonly string[] {
    const there = this.#trees().map(({ name }) => name);
    return [...there, ...this.#changing.keys()].sort();
  }

  #trees(): readonly Tree[] {
    return this.#engine.trees()
      .filter((tree) => !isHiddenTree(tree) && !this.#changing.has(tree.name));
  }

  /** @param by  what made it necessary, for the log */
  async #create(
    tenant: string,
    options: TenantOptions = {},
    by: "request" | "write" | "transfer",
  ): Promise<Tree> {
    const { conflictStrategy: name, ...others } = options;
    const mergeOperator = operatorOf(conflictStrategy(name));
    // The default is not written down, as in tenants of older programs.
    const isDefault = name === undefined || name === VECTOR_CLOCK;
    const own = isDefault ? others : { ...others, conflictStrategy: name };
    const tree = await this.#change(
      tenant,
      () =>
        this.#functions.holding(
          name,
          () => this.#engine.createTree(tenant, { mergeOperator, options: own }),
        ),
    );
    this.#log.info("tenant.created", { tenant, by, options: inWords(own) });
    return tree;
  }

  /** Runs a change with the tenant hidden. The caller has made sure that no other one is under way. */
  async #change<T>(tenant: string, run: () => Promise<T>): Promise<T> {
    const done = Promise.withResolvers<void>();
    this.#changing.set(tenant, done.promise);
    try {
      return await run();
    } finally {
      this.#changing.delete(tenant);
      done.resolve();
    }
  }

  #describe(tree: Tree): TenantInfo {
    const { memtableBytes, tableBytes, tables, cacheBytes } = this.#engine.treeStats(tree);
    return {
      tenant: tree.name,
      createdAtMs: tree.createdAtMs,
      bytes: memtableBytes + tableBytes,
      tables,
      options: tree.options,
      usage: { ...this.#quotas.usage(tree), cacheBytes },
    };
  }
}

/** Options for the log: `max_keys=3`, and `max_keys=` for one that goes back to the node's own. */
function inWords(options: TenantOptions): string[] {
  const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return Object.entries(options).map(([name, value]) => `${snake(name)}=${value ?? ""}`);
}

/** Changes of a tenant, of which the conflict strategy is none. @throws PairError InvalidArgument (1000) */
function withoutStrategy(tree: Tree, changes: TenantOptions): TenantOptions {
  const { conflictStrategy: wanted, ...others } = changes;
  const present = tree.options.conflictStrategy ?? VECTOR_CLOCK;
  if (wanted === undefined || wanted === present) return others;
  throw new PairError(
    "InvalidArgument",
    "Cannot change the conflict strategy: a tenant keeps the one that it was created with",
    { option: "conflictStrategy", present },
  );
}
