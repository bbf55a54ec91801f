/**
 * What a soak has counted: times of calls, and how calls failed.
 * @module
 */
import { Histogram } from "../../src/cli/histogram.ts";
import type { Failure } from "./node.ts";

/** Times of reads and writes. */
export interface Times {
  readonly reads: Histogram;
  readonly writes: Histogram;
}

function times(): Times {
  return { reads: new Histogram(), writes: new Histogram() };
}

/** Counts for the whole run, and since the last sample. */
export class Counts {
  readonly whole = times();
  #sample = times();
  /** Operations by kind. */
  readonly done = new Map<string, number>();
  /** Failures by `tenant what code reason`. */
  readonly failed = new Map<string, number>();
  /** Until when calls that hung are excused, since this process itself was held up (performance.now()). */
  excusedUntil = 0;
  /** How often it was. */
  heldUp = 0;

  /** An operation has ended well. @param us  it took, in microseconds */
  add(kind: string, isRead: boolean, us: number): void {
    for (const each of [this.whole, this.#sample]) (isRead ? each.reads : each.writes).add(us);
    this.done.set(kind, (this.done.get(kind) ?? 0) + 1);
  }

  fail(tenant: string, { what, code, reason }: Failure): void {
    const name = [tenant, what, code, reason].join(" ").trim();
    this.failed.set(name, (this.failed.get(name) ?? 0) + 1);
  }

  /** How many calls failed in a way, of all tenants. */
  failures(code: number): number {
    let sum = 0;
    for (const [name, count] of this.failed) {
      if (name.split(" ")[2] === String(code)) sum += count;
    }
    return sum;
  }

  /** The times since it was asked last. */
  take(): Times {
    const taken = this.#sample;
    this.#sample = times();
    return taken;
  }
}
