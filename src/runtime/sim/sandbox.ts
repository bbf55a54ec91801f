/**
 * A sandbox that is none: functions that the test itself has written, run on this thread, one microtask
 * later.
 * @module
 */
import {
  checkSandboxSource,
  type Sandbox,
  type SandboxedFunction,
  SandboxError,
  type SandboxLimits,
} from "../sandbox.ts";

/** What a source of a {@link SimSandbox} stands for. */
export type SimSandboxFunction = (a: Uint8Array, b: Uint8Array) => unknown;

/** Knows functions by their source, which is any text that a sandbox would take. */
export class SimSandbox implements Sandbox {
  readonly #functions = new Map<string, () => SimSandboxFunction>();
  /** Functions that were started and not ended. */
  running = 0;
  /** Calls, one for each fold. */
  calls = 0;
  /** When set, each call fails so. */
  failing: SandboxError | undefined;

  /** Says what a source does. @param make  called for each thread: what it closes over is that thread's */
  know(source: string, make: () => SimSandboxFunction): this {
    this.#functions.set(source, make);
    return this;
  }

  async prepare(source: string): Promise<string> {
    await Promise.resolve();
    checkSandboxSource(source);
    return source;
  }

  start(code: string, limits: Partial<SandboxLimits> = {}): SandboxedFunction {
    const make = this.#functions.get(code);
    if (make === undefined) throw new SandboxError("load", "nobody knows this source");
    const run = make();
    let isEnded = false;
    this.running++;
    return {
      fold: async (values) => {
        await Promise.resolve();
        this.calls++;
        if (isEnded) throw new SandboxError("ended", "the function was ended");
        if (this.failing !== undefined) throw this.failing;
        return values.reduce((sum, value) => fold(run, sum, value, limits.resultBytes ?? Infinity));
      },
      end: () => {
        if (!isEnded) this.running--;
        isEnded = true;
      },
    };
  }

  close(): void {}
}

function fold(run: SimSandboxFunction, a: Uint8Array, b: Uint8Array, max: number): Uint8Array {
  let given: unknown;
  try {
    // Copies, as a thread gets.
    given = run(a.slice(), b.slice());
  } catch (error) {
    throw new SandboxError("threw", String(error));
  }
  if (!(given instanceof Uint8Array)) throw new SandboxError("result", "it gave no Uint8Array");
  if (given.length > max) throw new SandboxError("result", `it gave more than ${max} bytes`);
  return given;
}
