/**
 * The machine's sandbox: for each function a web worker without permissions, in which an engine of its own
 * runs the code (`sandbox_worker.ts`). The engine keeps its limits by itself; a worker that does not answer all
 * the same is ended and, with the next fold, replaced.
 *
 * Deno makes a worker without permissions only with `--unstable-worker-options`, which `deno.json` and
 * `compile.sh` switch on; without it, Deno ends the process at the first start of a function.
 * @module
 */
import {
  checkSandboxSource,
  DEFAULT_SANDBOX_LIMITS,
  type Sandbox,
  type SandboxedFunction,
  SandboxError,
  type SandboxLimits,
} from "../sandbox.ts";
import type { FromSandboxWorker, ToSandboxWorker } from "./sandbox_worker.ts";
import type { Stripped } from "./strip_worker.ts";

/** How long a worker may take to load, ms. */
const START_MS_MAX = 20_000;
/** How much longer than its limit a fold may take before its worker is given up, ms: one step of the engine. */
const PATIENCE_MS = 5000;

/** The machine's sandbox. Nothing is started before it is used. */
export function denoSandbox(): Sandbox {
  return new DenoSandbox();
}

class DenoSandbox implements Sandbox {
  readonly #functions = new Set<DenoFunction>();
  #isClosed = false;

  async prepare(source: string): Promise<string> {
    checkSandboxSource(source);
    const worker = new Worker(new URL("./strip_worker.ts", import.meta.url), WITHOUT_PERMISSIONS);
    try {
      const stripped = await new Promise<Stripped>((resolve) => {
        const late = setTimeout(() => resolve({ problem: "it takes too long" }), START_MS_MAX);
        const settle = (answer: Stripped) => {
          clearTimeout(late);
          resolve(answer);
        };
        worker.onmessage = ({ data }: MessageEvent<Stripped>) => settle(data);
        worker.onerror = (event) => {
          event.preventDefault();
          settle({ problem: event.message });
        };
        worker.postMessage(source);
      });
      if ("code" in stripped) return stripped.code;
      throw new SandboxError("source", stripped.problem);
    } finally {
      worker.terminate();
    }
  }

  start(code: string, limits: Partial<SandboxLimits> = {}): SandboxedFunction {
    if (this.#isClosed) throw new SandboxError("ended", "the sandbox is closed");
    const whole = { ...DEFAULT_SANDBOX_LIMITS, ...limits };
    const started = new DenoFunction(code, whole, () => this.#functions.delete(started));
    this.#functions.add(started);
    return started;
  }

  close(): void {
    this.#isClosed = true;
    for (const each of [...this.#functions]) each.end();
  }
}

const WITHOUT_PERMISSIONS: WorkerOptions = { type: "module", deno: { permissions: "none" } };

/** A fold that is under way, or waits. */
interface Fold {
  readonly values: readonly Uint8Array[];
  resolve(value: Uint8Array): void;
  reject(error: SandboxError): void;
}

class DenoFunction implements SandboxedFunction {
  readonly #code: string;
  readonly #limits: SandboxLimits;
  readonly #onEnd: () => void;
  readonly #queue: Fold[] = [];
  #worker: Worker | undefined;
  #isReady = false;
  #active: Fold | undefined;
  #late: ReturnType<typeof setTimeout> | undefined;
  #isEnded = false;

  constructor(code: string, limits: SandboxLimits, onEnd: () => void) {
    this.#code = code;
    this.#limits = limits;
    this.#onEnd = onEnd;
  }

  fold(values: readonly Uint8Array[]): Promise<Uint8Array> {
    if (this.#isEnded) return Promise.reject(ended());
    if (this.#queue.length >= this.#limits.queue) {
      const message = `${this.#queue.length} folds wait already`;
      return Promise.reject(new SandboxError("busy", message));
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ values, resolve, reject });
      this.#next();
    });
  }

  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#stop();
    this.#active?.reject(ended());
    this.#active = undefined;
    for (const { reject } of this.#queue.splice(0)) reject(ended());
    this.#onEnd();
  }

  #next(): void {
    if (this.#active !== undefined || this.#isEnded) return;
    this.#active = this.#queue.shift();
    if (this.#active === undefined) return;
    if (this.#worker === undefined) this.#start();
    else if (this.#isReady) this.#send(this.#active);
  }

  #start(): void {
    const worker = new Worker(
      new URL("./sandbox_worker.ts", import.meta.url),
      WITHOUT_PERMISSIONS,
    );
    this.#worker = worker;
    worker.onmessage = ({ data }: MessageEvent<FromSandboxWorker>) => {
      if (this.#worker === worker) this.#take(data);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      if (this.#worker === worker) this.#fail("broken", `its worker died: ${event.message}`);
    };
    const { timeMs, memoryBytes, resultBytes } = this.#limits;
    this.#post({ code: this.#code, limits: { timeMs, memoryBytes, resultBytes } }, START_MS_MAX);
  }

  #send({ values }: Fold): void {
    this.#post({ values }, this.#limits.timeMs + PATIENCE_MS);
  }

  #post(message: ToSandboxWorker, withinMs: number): void {
    this.#late = setTimeout(
      () => this.#fail("time", `its worker did not answer within ${withinMs} ms`),
      withinMs,
    );
    this.#worker!.postMessage(message);
  }

  #take(data: FromSandboxWorker): void {
    clearTimeout(this.#late);
    if ("ready" in data) {
      this.#isReady = true;
      if (this.#active !== undefined) this.#send(this.#active);
      return;
    }
    if ("value" in data) {
      const fold = this.#active;
      this.#active = undefined;
      fold?.resolve(data.value);
      this.#next();
    } else this.#fail(data.reason, data.message, data.isBroken);
  }

  #fail(reason: SandboxError["reason"], message: string, isBroken = true): void {
    if (isBroken) this.#stop();
    const fold = this.#active;
    this.#active = undefined;
    fold?.reject(new SandboxError(reason, message));
    // Those behind it might wait as long, one after the other.
    const isSlow = isBroken || reason === "time";
    for (const { reject } of isSlow ? this.#queue.splice(0) : []) {
      reject(new SandboxError("busy", "the fold before it took too much"));
    }
    this.#next();
  }

  #stop(): void {
    clearTimeout(this.#late);
    this.#worker?.terminate();
    this.#worker = undefined;
    this.#isReady = false;
  }
}

function ended(): SandboxError {
  return new SandboxError("ended", "the function was ended");
}
