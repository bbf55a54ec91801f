/**
 * Admission: how a write is let in. It is charged to its keys and its tenant, and waits where flushes,
 * compactions or the count for a quota are behind; its tenant is made when it is the first; and one with an
 * idempotency key that was here before is told what became of it.
 *
 *     change ─► tree there? ─► charge ─► admitted? ─► the step: write path, log
 *                  │ no                     │ no
 *                  └──► make it ──► again   └──► wait ──► again, or refused (2008) when it takes too long
 *
 * A write that is let in at once costs no promise of its own.
 * @module
 */
import type { Engine, Tree } from "../engine/mod.ts";
import { PairError } from "../model/mod.ts";
import type { Clock } from "../runtime/mod.ts";
import type { TenantOrigin, WriteWatch } from "./api.ts";
import type { DiskGuard } from "./disk_guard.ts";
import type { HotKeys } from "./hot_keys/mod.ts";
import type { KeyedRequest, Once, WriteMemory, WriteOutcome } from "./idempotency/mod.ts";
import type { Charge, Quotas } from "./quotas.ts";
import { SteadyClock } from "./steady_clock.ts";
import type { Tenants } from "./tenants.ts";

/** What letting in stands on. */
export interface AdmissionParts {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly tenants: Tenants;
  readonly quotas: Quotas;
  readonly hotKeys: HotKeys;
  readonly memory: WriteMemory;
  readonly disk: DiskGuard;
  /** How long a write is held back before it is refused, ms. */
  readonly stallMsMax: number;
  /** @throws PairError Unavailable (2001) once the node is closed */
  readonly checkOpen: () => void;
  /** @throws PairError Unavailable (2001) while the node is drained */
  readonly checkTakesWrites: () => void;
}

/** A write with an idempotency key. */
export interface KeyedWrite {
  readonly request: KeyedRequest;
  /** As for {@link Admission.change}. */
  readonly charge: Charge;
  /** Bytes that the disk is asked for. */
  readonly room: number;
  /** Refuses what is wrong with its contexts; not asked when the write was here before. */
  readonly check: () => void;
  /** The write of the write path, together with its outcome: its answer is what `once` was given. */
  readonly step: (tree: Tree, once: Once) => Promise<unknown>;
}

/** What few writes of a tenant's tree have beside them. */
export interface ChangeExtras<T> {
  /** The answer where there is no tenant, which is not made then. */
  readonly absent?: T;
  /** A tree of the node's own that the same batch goes to. */
  readonly beside?: Tree | undefined;
  /** What the tenant is where the write comes from. */
  readonly origin?: TenantOrigin | undefined;
}

/** Lets the writes of one node in. Tenants' ids are valid when they get here. */
export class Admission {
  readonly #engine: Engine;
  readonly #clock: Clock;
  readonly #steady: SteadyClock;
  readonly #tenants: Tenants;
  readonly #quotas: Quotas;
  readonly #hotKeys: HotKeys;
  readonly #memory: WriteMemory;
  readonly #disk: DiskGuard;
  readonly #stallMsMax: number;
  readonly #checkOpen: () => void;
  readonly #checkTakesWrites: () => void;

  constructor(parts: AdmissionParts) {
    this.#engine = parts.engine;
    this.#clock = parts.clock;
    this.#steady = new SteadyClock(parts.clock);
    this.#tenants = parts.tenants;
    this.#quotas = parts.quotas;
    this.#hotKeys = parts.hotKeys;
    this.#memory = parts.memory;
    this.#disk = parts.disk;
    this.#stallMsMax = parts.stallMsMax;
    this.#checkOpen = parts.checkOpen;
    this.#checkTakesWrites = parts.checkTakesWrites;
  }

  /**
   * Runs a write with an idempotency key, unless it was here before: then its outcome is told again. That is
   * looked up before the disk has a say, for it needs no room; and once more in the step of the write, for
   * another one like it may have waited in the same place. Contexts are looked at behind that, too: what was
   * applied is not refused, though the seals be others since.
   */
  async once(
    tenant: string,
    watch: WriteWatch | undefined,
    { request, charge, room, check, step }: KeyedWrite,
  ): Promise<WriteOutcome> {
    const opening = this.#memory.open();
    if (opening !== undefined) {
      await opening;
      this.#checkOpen();
      if (watch?.gone) throw abandoned();
    }
    const nowMs = this.#steady.nowMs();
    const known = this.#tenants.findForUse(tenant);
    const found = known && this.#memory.find(known, request, nowMs);
    if (found !== undefined) return await this.#memory.replay(found, watch);
    check();
    this.#disk.admit(charge.kind === "delete" ? "delete" : "put", room);
    // In the step of the first look there is no need of another.
    let isSameStep = true;
    const run = async (tree: Tree): Promise<WriteOutcome> => {
      const again = isSameStep ? undefined : this.#memory.find(tree, request, nowMs);
      if (again !== undefined) return await this.#memory.replay(again, watch);
      const once = this.#memory.once(tree, request, nowMs);
      await step(tree, once);
      return once.outcome!;
    };
    const written = this.change(tenant, watch, charge, run, { beside: this.#memory.tree });
    isSameStep = false;
    return await written;
  }

  /**
   * Runs a write of a tenant's tree, once the tree takes writes. The tenant is made first, unless there
   * is an answer for one that is absent. Nothing happens between the last look at the tree and the
   * synchronous part of `step`, which hands the write to the log and tells `watch` so: the tree cannot be
   * dropped there, and nobody can leave.
   * @param charge  what it is to the tenant's quotas: to the rates once, to the sizes when it is let in
   */
  change<T>(
    tenant: string,
    watch: WriteWatch | undefined,
    charge: Charge,
    step: (tree: Tree) => Promise<T>,
    extras?: ChangeExtras<T>,
  ): Promise<T> {
    this.#checkTakesWrites();
    const tree = this.#tenants.findForUse(tenant);
    if (tree === undefined) return this.#changeLater(tenant, watch, charge, step, extras);
    this.#charge(tree, charge);
    const admitted = this.#admit(tree, extras?.beside, charge, false);
    if (admitted === undefined) return step(tree);
    return this.#changeLater(tenant, watch, charge, step, extras, admitted);
  }

  /** Charges a write to its keys and to its tenant. */
  #charge(tree: Tree, charge: Charge): void {
    if (charge.kind === "put") this.#hotKeys.write(tree, charge.items);
    else if (charge.kind === "delete") this.#hotKeys.delete(tree, charge.items);
    this.#quotas.write(tree, charge);
  }

  /** Undefined when both trees take writes now, and there is room for this one. */
  #admit(
    tree: Tree,
    beside: Tree | undefined,
    charge: Charge,
    delayed: boolean,
  ): Promise<void> | undefined {
    return this.#engine.admit(tree, delayed) ??
      (beside && this.#engine.admit(beside, delayed)) ?? this.#quotas.fits(tree, charge);
  }

  /** The same where there is no tree yet, or it takes no writes before `admitted`. */
  async #changeLater<T>(
    tenant: string,
    watch: WriteWatch | undefined,
    charge: Charge,
    step: (tree: Tree) => Promise<T>,
    { absent, beside, origin }: ChangeExtras<T> = {},
    admitted?: Promise<void>,
  ): Promise<T> {
    const clock = this.#clock;
    let isCharged = admitted !== undefined;
    for (let heldSinceMs = -1;;) {
      if (admitted !== undefined) {
        const nowMs = clock.monotonicMs();
        if (heldSinceMs < 0) heldSinceMs = nowMs;
        await this.#patiently(admitted, nowMs - heldSinceMs);
        this.#checkOpen();
      }
      if (watch?.gone) throw abandoned();
      this.#checkTakesWrites();
      const tree = this.#tenants.findForUse(tenant);
      if (tree === undefined) {
        if (absent !== undefined) return absent;
        await this.#tenants.ensure(tenant, origin);
        this.#checkOpen();
        admitted = undefined;
        continue;
      }
      if (!isCharged) this.#charge(tree, charge);
      isCharged = true;
      admitted = this.#admit(tree, beside, charge, heldSinceMs >= 0);
      if (admitted === undefined) return await step(tree);
    }
  }

  /**
   * Waits for `admitted`, but no longer than a write is held back in all: backpressure that lasts is answered, not
   * waited out, so that a client can go elsewhere. Who has waited that long gets one more look.
   * @param heldMs  how long the write has been held back
   * @throws PairError ResourceExhausted (2008) where that was too long
   */
  async #patiently(admitted: Promise<void>, heldMs: number): Promise<void> {
    const leftMs = this.#stallMsMax - heldMs;
    if (leftMs <= 0) {
      throw new PairError(
        "ResourceExhausted",
        "Cannot write now: flushes, compactions or the count for a quota are behind. Try again later",
        { reason: "write_stall", held_ms: Math.round(heldMs) },
      );
    }
    const late = Promise.withResolvers<void>();
    const cancel = this.#clock.after(leftMs, late.resolve);
    try {
      await Promise.race([admitted, late.promise]);
    } finally {
      cancel();
    }
  }
}

/** Nobody is told of this, but the log of late errors. */
function abandoned(): PairError {
  return new PairError("Unavailable", "Cannot write: the caller did not wait");
}
