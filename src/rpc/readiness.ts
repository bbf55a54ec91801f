/**
 * Readiness: whether this port wants calls, and why not. It is set by who started the port, asked by
 * /readyz and the health service, and watched by the health service's streams.
 * @module
 */
import type { StorageNode } from "../node/mod.ts";

/** What /readyz says. */
export interface ReadyState {
  readonly ready: boolean;
  /** Why not; empty when ready. */
  readonly reason: string;
}

/** Whether the port serves. Not ready until told so, and never again once closed. */
export class Readiness {
  #ready = false;
  #reason = "the node is starting";
  #closed = false;
  #watchers = new Set<() => void>();

  /** @param node  an unhealthy node is not ready, whatever was set, nor one that drains */
  constructor(private readonly node: Pick<StorageNode, "health" | "draining">) {}

  /** True once {@link close} was called: streams that wait for changes must end. */
  get closed(): boolean {
    return this.#closed;
  }

  /** The state now. */
  state(): ReadyState {
    if (!this.#ready) return { ready: false, reason: this.#reason };
    if (this.node.draining) return { ready: false, reason: "draining: no writes are taken" };
    const health = this.node.health();
    if (health.status !== "unhealthy") return { ready: true, reason: "" };
    return { ready: false, reason: health.reasons.join("; ") || "the node is unhealthy" };
  }

  /** Says whether calls are wanted. Ignored after {@link close}. */
  set(ready: boolean, reason = "the node does not take calls"): void {
    if (!this.#closed) this.#change(ready, reason);
  }

  /** Not ready, for good. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#change(false, "the node is shutting down");
  }

  /** Calls `run` after each change. @returns a way to stop */
  onChange(run: () => void): () => void {
    this.#watchers.add(run);
    return () => this.#watchers.delete(run);
  }

  #change(ready: boolean, reason: string): void {
    this.#ready = ready;
    this.#reason = reason;
    for (const run of [...this.#watchers]) run();
  }
}
