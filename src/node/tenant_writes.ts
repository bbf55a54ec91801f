/**
 * Writes as clients and other nodes ask for them: checked, with a context that is the key's own, let in
 * (`admission.ts`), and answered with sealed contexts. What a write does to a key `writes.ts` says.
 * @module
 */
import type { Tree } from "../engine/mod.ts";
import {
  checkContextLength,
  clockSize,
  ContextMismatch,
  type ContextSeals,
  EMPTY_CLOCK,
  MAX_CLOCK_EVENTS,
} from "../model/mod.ts";
import type { Clock } from "../runtime/mod.ts";
import type { Admission } from "./admission.ts";
import type {
  BatchPutOptions,
  DeleteInput,
  PutInput,
  Replicated,
  ReplicaWrite,
  StorageNode,
  TenantOrigin,
  TransferEntry,
  WriteOptions,
  WriteResult,
  WriteWatch,
} from "./api.ts";
import { type DiskGuard, estimateWrite } from "./disk_guard.ts";
import type { ExpiryClock } from "./expiry_clock.ts";
import {
  batchRequest,
  checkIdempotencyKey,
  deleteRequest,
  type Once,
  putRequest,
} from "./idempotency/mod.ts";
import type { Charge, Quotas } from "./quotas.ts";
import type { SealedAnswers } from "./sealed.ts";
import type { Tenants } from "./tenants.ts";
import type { TransferFigures } from "./transfer_figures.ts";
import {
  checkBatch,
  checkDelete,
  type CheckedPut,
  checkPut,
  checkReplica,
  checkTransfer,
} from "./validate.ts";
import type { WritePath } from "./writes.ts";

/** What writes stand on. */
export interface TenantWriteParts {
  readonly clock: Clock;
  readonly expiry: ExpiryClock;
  readonly tenants: Tenants;
  readonly quotas: Quotas;
  readonly admission: Admission;
  readonly disk: DiskGuard;
  readonly path: WritePath;
  readonly answers: SealedAnswers;
  /** Checks the seals of contexts; undefined: none are looked at. */
  readonly seals: ContextSeals | undefined;
  readonly transfers: TransferFigures;
  /** @throws PairError Unavailable (2001) once the node is closed; InvalidTenantID (1004) of an id that is none */
  readonly checkUse: (tenant: string) => void;
}

type Verbs = "put" | "delete" | "batchPut" | "applyReplica" | "replicate";

/** The writes of one node. */
export class TenantWrites implements Pick<StorageNode, Verbs> {
  readonly #clock: Clock;
  readonly #expiry: ExpiryClock;
  readonly #tenants: Tenants;
  readonly #quotas: Quotas;
  readonly #admission: Admission;
  readonly #disk: DiskGuard;
  readonly #path: WritePath;
  readonly #answers: SealedAnswers;
  readonly #seals: ContextSeals | undefined;
  readonly #transfers: TransferFigures;
  readonly #checkUse: (tenant: string) => void;

  constructor(parts: TenantWriteParts) {
    this.#clock = parts.clock;
    this.#expiry = parts.expiry;
    this.#tenants = parts.tenants;
    this.#quotas = parts.quotas;
    this.#admission = parts.admission;
    this.#disk = parts.disk;
    this.#path = parts.path;
    this.#answers = parts.answers;
    this.#seals = parts.seals;
    this.#transfers = parts.transfers;
    this.#checkUse = parts.checkUse;
  }

  async put(
    tenant: string,
    input: PutInput & WriteOptions,
    watch?: WriteWatch,
  ): Promise<WriteResult> {
    this.#checkUse(tenant);
    const item = checkPut(input, this.#expiry.nowMs());
    const key = checkIdempotencyKey(input.idempotencyKey);
    const bytes = item.key.length + item.value.length;
    const charge: Charge = { kind: "put", keys: 1, bytes, items: [item] };
    const room = estimateWrite(bytes);
    if (key !== undefined) {
      const { results } = await this.#admission.once(tenant, watch, {
        request: putRequest(key, item, input.ttlMs),
        charge,
        room,
        check: () => this.#checkContext(tenant, item),
        step: (tree, once) => this.#path.put(tree, item, watch, once),
      });
      return this.#answers.written(tenant, item.key, results[0]);
    }
    this.#checkContext(tenant, item);
    this.#disk.admit("put", room);
    const put = (tree: Tree) => this.#path.put(tree, item, watch);
    return this.#answers.written(
      tenant,
      item.key,
      await this.#admission.change(tenant, watch, charge, put),
    );
  }

  async delete(
    tenant: string,
    input: DeleteInput & WriteOptions,
    watch?: WriteWatch,
  ): Promise<WriteResult & { existed: boolean }> {
    this.#checkUse(tenant);
    const item = checkDelete(input);
    const idempotencyKey = checkIdempotencyKey(input.idempotencyKey);
    const charge: Charge = { kind: "delete", keys: 1, bytes: item.key.length, items: [item] };
    const room = estimateWrite(item.key.length);
    const remove = (tree: Tree, once?: Once) =>
      this.#path.delete(tree, item, this.#quotas.removing(tree, item, watch), once);
    if (idempotencyKey !== undefined) {
      // Its tenant is made: there is no other place for what became of it.
      const { results, existed } = await this.#admission.once(tenant, watch, {
        request: deleteRequest(idempotencyKey, item),
        charge,
        room,
        check: () => this.#checkContext(tenant, item),
        step: remove,
      });
      return { ...this.#answers.written(tenant, item.key, results[0]), existed };
    }
    this.#checkContext(tenant, item);
    this.#disk.admit("delete", room);
    // No tenant is made only to delete from it.
    const absent = { clock: EMPTY_CLOCK, timestampMs: this.#path.stamp(), existed: false };
    const done = await this.#admission.change(tenant, watch, charge, remove, { absent });
    return { ...this.#answers.written(tenant, item.key, done), existed: done.existed };
  }

  async batchPut(
    tenant: string,
    items: readonly PutInput[],
    options: BatchPutOptions = {},
    watch?: WriteWatch,
  ): Promise<{ results: readonly WriteResult[]; unchanged: number }> {
    this.#checkUse(tenant);
    const checked = checkBatch(items, this.#expiry.nowMs());
    const key = checkIdempotencyKey(options.idempotencyKey);
    const check = () => {
      for (let i = 0; i < checked.length; i++) this.#checkContext(tenant, checked[i], i);
    };
    const bytes = checked.reduce((sum, { key, value }) => sum + key.length + value.length, 0);
    const charge: Charge = { kind: "put", keys: checked.length, bytes, items: checked };
    const room = estimateWrite(bytes, checked.length);
    const skipUnchanged = options.skipUnchanged ?? false;
    const sealed = (results: readonly WriteResult[]) =>
      results.map((result, i) => this.#answers.written(tenant, checked[i].key, result));
    if (key !== undefined) {
      const ttls = items.map(({ ttlMs }) => ttlMs);
      const { results, unchanged } = await this.#admission.once(tenant, watch, {
        request: batchRequest(key, checked, ttls, skipUnchanged),
        charge,
        room,
        check,
        step: (tree, once) => this.#path.batchPut(tree, checked, skipUnchanged, watch, once),
      });
      return { results: sealed(results), unchanged };
    }
    check();
    this.#disk.admit("put", room);
    const put = (tree: Tree) => this.#path.batchPut(tree, checked, skipUnchanged, watch);
    const { results, unchanged } = await this.#admission.change(tenant, watch, charge, put);
    return { results: sealed(results), unchanged };
  }

  async applyReplica(
    tenant: string,
    write: ReplicaWrite,
    origin: "write" | "delete" | "repair",
    watch?: WriteWatch,
  ): Promise<WriteResult> {
    this.#checkUse(tenant);
    const replica = checkReplica(write);
    const bytes = replica.key.length + (replica.value?.length ?? 0);
    const kind = replica.value === undefined ? "delete" : "put";
    this.#disk.admit(kind, estimateWrite(bytes));
    return await this.#admission.change(
      tenant,
      watch,
      { kind: origin === "repair" ? "copy" : kind, keys: 1, bytes, items: [replica] },
      (tree) => this.#path.applyReplica(tree, replica, origin, watch),
    );
  }

  async replicate(
    tenant: string,
    entries: readonly TransferEntry[],
    checksum: number | undefined,
    watch?: WriteWatch,
    origin?: TenantOrigin,
  ): Promise<Replicated> {
    this.#checkUse(tenant);
    const startedMs = this.#clock.monotonicMs();
    const { keys, versions, bytes, deletesOnly } = checkTransfer(
      entries,
      checksum,
      (sum) => this.#transfers.checksum(sum),
      origin !== undefined,
    );
    this.#disk.admit(deletesOnly ? "delete" : "put", estimateWrite(bytes, versions));
    const applied = await this.#admission.change(
      tenant,
      watch,
      { kind: "copy", keys: keys.length, bytes, items: [] },
      (tree) => {
        if (origin !== undefined) this.#tenants.checkOrigin(tenant, origin, tree);
        return this.#path.replicate(tree, keys, watch);
      },
      { origin },
    );
    const lastKey = entries.at(-1)?.key ?? "";
    const taken = { keys: keys.length, versions, applied, lastKey };
    this.#transfers.received(taken, bytes, startedMs);
    return taken;
  }

  /**
   * Refuses a context that has the seal of another; and, of a key in a tenant that is not there, one that is too
   * long, and what wants a context: no tenant is made only to say no. What there is otherwise, the write itself
   * looks at.
   */
  #checkContext(
    tenant: string,
    { key, ifContext, context, seal }: Pick<CheckedPut, "key" | "ifContext" | "context" | "seal">,
    item?: number,
  ): void {
    this.#seals?.check(tenant, key, context, seal, item);
    const size = context === undefined ? 0 : clockSize(context);
    if (size === 0 || (!ifContext && size <= MAX_CLOCK_EVENTS)) return;
    if (this.#tenants.findForUse(tenant) === undefined) {
      checkContextLength(context!, []);
      if (!ifContext) return;
      throw new ContextMismatch(EMPTY_CLOCK, item === undefined ? {} : { item });
    }
  }
}
