/**
 * What all calls to one server share: the default deadline, further attempts, and the naming of failures.
 * @module
 */
import { toPairError } from "./errors.ts";
import { type Attempt, type CallKind, Retries } from "./retry.ts";
import type { CallOptions, ConnectOptions, OnceOptions } from "./types.ts";

/** What all calls to one server share: the default deadline, further attempts, and the naming of failures. */
export class Calls {
  readonly url: string;
  #timeoutMs: number | undefined;
  #retries: Retries;

  constructor(url: string, { timeoutMs, retry }: ConnectOptions) {
    this.url = url;
    this.#timeoutMs = timeoutMs;
    this.#retries = new Retries(retry);
  }

  /** Makes a call with the caller's options, and its failure a PairError. */
  once<T>(options: CallOptions, make: (call: Attempt) => Promise<T>): Promise<T> {
    return this.#make("once", options, make);
  }

  /** The same for a call that changes nothing. */
  read<T>(options: CallOptions, make: (call: Attempt) => Promise<T>): Promise<T> {
    return this.#make("read", options, make);
  }

  /** The same for a write. */
  write<T>(options: OnceOptions, make: (call: Attempt) => Promise<T>): Promise<T> {
    const kind = options.idempotencyKey === undefined ? "write" : "keyed write";
    return this.#make(kind, options, make);
  }

  #make<T>(
    kind: CallKind,
    { signal, timeoutMs = this.#timeoutMs }: CallOptions,
    make: (call: Attempt) => Promise<T>,
  ): Promise<T> {
    return this.#retries.run(
      kind,
      { signal, timeoutMs },
      (attempt) => this.named(signal, make(attempt)),
    );
  }

  /** The answer, or the caller's own abort reason, or a PairError. */
  async named<T>(signal: AbortSignal | undefined, answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw toPairError(error, this.url);
    }
  }
}
