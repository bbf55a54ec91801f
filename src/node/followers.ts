/**
 * Followers: several who want to be told of writes, before an engine that tells one.
 *
 *     engine ── wrote, shown ──► Followers ─┬─► watches (changes.ts)
 *                                           └─► migrations (migration/interceptor.ts)
 *
 * A tree that nobody asks for costs its writers nothing.
 * @module
 */
import type { Engine, EntryKind, Follower, Tree } from "../engine/mod.ts";

/** The engine's one follower, who tells all others. */
export class Followers implements Follower {
  readonly #engine: Engine;
  readonly #ofTree = new Map<string, Set<Follower>>();
  /** Each once, with the number of trees that it follows. */
  readonly #all = new Map<Follower, number>();

  constructor(engine: Engine) {
    this.#engine = engine;
    engine.follower = this;
  }

  /**
   * Tells somebody of the writes to the trees of a name, the present one and all later ones.
   * @returns the number of the last write taken before: what comes after it is told
   */
  add(follower: Follower, tree: string): number {
    const those = this.#ofTree.get(tree);
    if (those === undefined) this.#ofTree.set(tree, new Set([follower]));
    else if (those.has(follower)) return this.#engine.follow(tree, true);
    else those.add(follower);
    this.#all.set(follower, (this.#all.get(follower) ?? 0) + 1);
    return this.#engine.follow(tree, true);
  }

  /** Tells them of these trees no more. */
  remove(follower: Follower, tree: string): void {
    const those = this.#ofTree.get(tree);
    if (those?.delete(follower) !== true) return;
    const left = this.#all.get(follower)! - 1;
    if (left === 0) this.#all.delete(follower);
    else this.#all.set(follower, left);
    if (those.size > 0) return;
    this.#ofTree.delete(tree);
    this.#engine.follow(tree, false);
  }

  wrote(tree: Tree, sequence: number, kind: EntryKind, key: Uint8Array, value: Uint8Array): void {
    const those = this.#ofTree.get(tree.name);
    if (those === undefined) return;
    for (const follower of those) follower.wrote(tree, sequence, kind, key, value);
  }

  shown(sequence: number): void {
    for (const follower of this.#all.keys()) follower.shown(sequence);
  }
}
