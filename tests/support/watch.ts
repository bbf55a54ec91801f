/**
 * Watchers for tests: a watch that is read by hand, and one that keeps a copy of what it watches.
 * @module
 */
import { decodeText } from "../../src/model/mod.ts";
import type { StorageNode, WatchEvent, WatchInput } from "../../src/node/mod.ts";
import type { SimClock } from "../../src/runtime/mod.ts";
import { turn } from "./node.ts";

/** A watch on a clock that moves only when somebody waits. */
export class HandWatch {
  readonly #clock: SimClock;
  readonly #stop = new AbortController();
  readonly #batches: AsyncGenerator<readonly WatchEvent[], undefined>;
  /** What was asked for and is not there yet. */
  #asked: Promise<readonly WatchEvent[] | undefined> | undefined;
  /** The last token. */
  token = "";

  constructor(node: StorageNode, clock: SimClock, input: WatchInput = {}, tenant = "t") {
    this.#clock = clock;
    this.#batches = node.watch(tenant, input, this.#stop.signal);
  }

  /** The next batch, whatever time it takes; undefined at the end. */
  async events(): Promise<readonly WatchEvent[] | undefined> {
    const events = await this.#clock.runUntil(this.#ask());
    this.#asked = undefined;
    const token = events?.at(-1)?.token ?? "";
    if (token !== "") this.token = token;
    return events;
  }

  /** The same as lines, with what comes in the same batch. */
  async lines(): Promise<string[]> {
    return (await this.events() ?? []).map(lineOf);
  }

  /** Whether nothing is there, without time to pass. */
  async quiet(): Promise<boolean> {
    let quiet = true;
    void this.#ask().then(() => quiet = false, () => quiet = false);
    for (let i = 0; i < 5; i++) await turn();
    return quiet;
  }

  /** Leaves. */
  async close(): Promise<void> {
    this.#stop.abort(new Error("left"));
    await this.#asked?.catch(() => {});
    await this.#batches.return(undefined);
  }

  #ask(): Promise<readonly WatchEvent[] | undefined> {
    const asked = this.#asked ??= this.#batches.next().then(({ value }) => value);
    asked.catch(() => {});
    return asked;
  }
}

/** An event on one line. */
export function lineOf({ type, key, state, reason }: WatchEvent): string {
  if (type === "gap") return `gap ${reason}`;
  if (type === "progress") return type;
  const values = state?.versions.map(({ value }) => value === undefined ? "-" : decodeText(value));
  return `${type} ${key}${values === undefined ? "" : `=${values.join("|")}`}`;
}

/** A copy of a range that honours gaps: at one it reads again, if the watch does not bring it by itself. */
export class Mirror {
  readonly values = new Map<string, string>();

  /** @param read  what the range holds now */
  take(events: readonly WatchEvent[], read: () => Iterable<{ key: string; value: string }>): void {
    for (const event of events) {
      const { type, key, state, token } = event;
      if (type === "gap") {
        this.values.clear();
        // Without a token the range comes by itself.
        if (token !== "") { for (const { key, value } of read()) this.values.set(key, value); }
        continue;
      }
      if (type === "progress") continue;
      if (state === undefined) this.values.delete(key);
      else this.values.set(key, lineOf(event).slice(`${type} `.length));
    }
  }
}
