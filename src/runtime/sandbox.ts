/**
 * Sandbox: code of other people, run where it can do nothing but compute. It gets bytes and gives bytes
 * back, within a time and a memory limit.
 *
 *     prepare    source (TypeScript or JavaScript)  ->  the JavaScript that a sandbox loads
 *     start      code  ->  a function with a worker of its own
 *     fold       values  ->  one value, or a SandboxError that says what went wrong
 *
 * The code is a module that exports a function of two Uint8Arrays by default. Nothing that it keeps for
 * itself outlives a fold.
 * @module
 */

/**
 * Why a source, or a fold, failed. `source`: the text is no module of its language. `load`: it failed when it
 * was loaded. `threw`: the function threw. `result`: it gave something else than bytes, or too many of them.
 * `time`, `memory`: it took too much. `busy`: too many folds wait, or the one before did not come to an end.
 * `ended`: nobody runs it any more. `broken`: the sandbox itself failed.
 */
export type SandboxReason =
  | "source"
  | "load"
  | "threw"
  | "result"
  | "time"
  | "memory"
  | "busy"
  | "ended"
  | "broken";

/** What a sandbox says; `message` is for people, and where the code threw, it is of the code's making. */
export class SandboxError extends Error {
  override name = "SandboxError";
  readonly reason: SandboxReason;

  constructor(reason: SandboxReason, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** What a sandboxed function may take. */
export interface SandboxLimits {
  /** Of one fold, loading included; ms. */
  readonly timeMs: number;
  /** All that it can have at a time: code, values and whatever it makes; bytes. */
  readonly memoryBytes: number;
  /** Of a result. */
  readonly resultBytes: number;
  /** Folds that may wait for the one under way. */
  readonly queue: number;
}

/** Enough for values of 10 MiB, and too little to be felt by a node. */
export const DEFAULT_SANDBOX_LIMITS: SandboxLimits = {
  timeMs: 250,
  memoryBytes: 128 * 1024 * 1024,
  resultBytes: 10 * 1024 * 1024,
  queue: 64,
};

/** Bytes of a source at most: of a page that somebody reads, not of a bundle. */
export const MAX_SANDBOX_SOURCE = 64 * 1024;

/** A function in a worker of its own. Folds are run one after the other. */
export interface SandboxedFunction {
  /**
   * Folds values from the left: f(f(a, b), c).
   * @param values  two or more
   * @throws SandboxError
   */
  fold(values: readonly Uint8Array[]): Promise<Uint8Array>;
  /** Ends the worker; what is under way is rejected (`ended`). Does nothing the second time. */
  end(): void;
}

/** Where such functions run. */
export interface Sandbox {
  /** Takes types out. @throws SandboxError `source`, with the place in the text where that is known */
  prepare(source: string): Promise<string>;
  /** @param code  that {@link prepare} gave, now or in an earlier life. What is wrong with it the first fold tells */
  start(code: string, limits?: Partial<SandboxLimits>): SandboxedFunction;
  /** Ends all workers. */
  close(): void;
}

/** Refuses a source that is too long. @throws SandboxError `source` */
export function checkSandboxSource(source: string): void {
  const length = new TextEncoder().encode(source).length;
  if (length <= MAX_SANDBOX_SOURCE) return;
  throw new SandboxError("source", `it has ${length} bytes, more than ${MAX_SANDBOX_SOURCE}`);
}
