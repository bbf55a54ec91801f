/**
 * A scan of a tenant with a merge function. The function is asked while `ready` is awaited; who steps without
 * awaiting it gets siblings.
 * @module
 */
import type { Tree } from "../../engine/mod.ts";
import type { Scan, ScanItem } from "../api.ts";
import type { MergeFunctions } from "./functions.ts";

/** See the head of the file. */
export class MergedScan implements Scan {
  readonly #scan: Scan;
  readonly #tree: Tree;
  readonly #functions: MergeFunctions;
  /** A step that was taken while somebody waited for it. */
  #ahead: (() => IteratorResult<ScanItem>) | undefined;

  constructor(scan: Scan, tree: Tree, functions: MergeFunctions) {
    this.#scan = scan;
    this.#tree = tree;
    this.#functions = functions;
  }

  next(): IteratorResult<ScanItem> {
    const ahead = this.#ahead;
    this.#ahead = undefined;
    return ahead === undefined ? this.#scan.next() : ahead();
  }

  ready(): Promise<void> | undefined {
    if (this.#ahead !== undefined) return undefined;
    const wait = this.#scan.ready();
    if (wait !== undefined) return wait.then(() => this.ready());
    let step: IteratorResult<ScanItem>;
    try {
      step = this.#scan.next();
    } catch (error) {
      this.#ahead = () => {
        throw error;
      };
      return undefined;
    }
    const ahead = this.#ahead = () => step;
    if (step.done) return undefined;
    const { key, result } = step.value;
    const folded = this.#functions.fold(this.#tree, result);
    if (folded === undefined) return undefined;
    const keep = (result: ScanItem["result"]) => {
      const merged: IteratorResult<ScanItem> = { done: false, value: { key, result } };
      // Unless the scan has been ended meanwhile, or somebody did not wait.
      if (this.#ahead === ahead) this.#ahead = () => merged;
    };
    if (folded instanceof Promise) return folded.then(keep);
    keep(folded);
    return undefined;
  }

  return(): IteratorResult<ScanItem> {
    this.#ahead = undefined;
    return this.#scan.return();
  }

  [Symbol.iterator](): this {
    return this;
  }
}
