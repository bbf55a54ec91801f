/**
 * The worker of one sandboxed function: a JavaScript engine in WebAssembly (QuickJS), which knows nothing of
 * the worker around it; and the worker has no permissions.
 *
 *     what bounds it     by
 *     memory             the engine's one block of memory, which cannot grow beyond its maximum
 *     time               the engine asks at every jump back and in its own long loops whether to go on
 *     depth              the engine's own stack limit
 *     the world          there is none: no clock, no chance, no timers, no network, no files, no modules
 *
 * Each fold has an engine state of its own, so that it can leave nothing to the next. What it says is
 * bytes or a reason, and `isBroken` when this worker is of no more use.
 *
 *     sandbox.ts                       here
 *     {code, limits}             ->
 *                                <-    {ready: true}
 *     {values}                   ->
 *                                <-    {value}, or {reason, message, isBroken}
 * @module
 */
import variant from "@jitl/quickjs-singlefile-mjs-release-sync";
import {
  DefaultIntrinsics,
  newQuickJSWASMModuleFromVariant,
  newVariant,
  type QuickJSContext,
  type QuickJSHandle,
  type QuickJSWASMModule,
} from "quickjs-emscripten-core";

/** To the worker. */
export type ToSandboxWorker =
  | { readonly code: string; readonly limits: WorkerLimits }
  | { readonly values: readonly Uint8Array[] };

/** From the worker. */
export type FromSandboxWorker =
  | { readonly ready: true }
  | { readonly value: Uint8Array<ArrayBuffer> }
  | SandboxFailure;

/** A fold that failed. */
export interface SandboxFailure {
  readonly reason: "load" | "threw" | "result" | "time" | "memory" | "broken";
  readonly message: string;
  readonly isBroken: boolean;
}

/** See `SandboxLimits`. */
export interface WorkerLimits {
  readonly timeMs: number;
  readonly memoryBytes: number;
  readonly resultBytes: number;
}

const PAGE = 64 * 1024;
const STACK_BYTES = 256 * 1024;
const MESSAGE_LENGTH = 500;
const WARM_MS_MAX = 10_000;

/**
 * What is there beside the language, and how bytes come in and out. It is run in the engine, before the foreign
 * code; what it uses later it has taken hold of by then.
 */
const PRELUDE = `(() => {
  "use strict";
  const apply = Reflect.apply, Bytes = Uint8Array, Failure = TypeError, define = Object.defineProperty;
  const { fromCharCode } = String, { charCodeAt } = String.prototype;
  const percent = escape, unpercent = unescape, decode = decodeURIComponent, encode = encodeURIComponent;
  const typed = Object.getPrototypeOf(Bytes.prototype), { set, subarray } = typed;
  const tag = Object.getOwnPropertyDescriptor(typed, Symbol.toStringTag).get;
  const length = Object.getOwnPropertyDescriptor(typed, "length").get;
  const buffer = Object.getOwnPropertyDescriptor(typed, "buffer").get;
  for (const name of ["Date", "Intl", "Temporal", "performance", "crypto", "setTimeout", "setInterval",
    "setImmediate", "queueMicrotask", "fetch", "WebSocket", "XMLHttpRequest", "Worker", "Deno", "process",
    "require", "console", "postMessage", "WebAssembly", "WeakRef", "FinalizationRegistry", "navigator"]) {
    define(globalThis, name, { get() {
      throw new Failure(name + " is not there: a sandboxed function can only compute");
    } });
  }
  define(Math, "random", { value() {
    throw new Failure("Math.random is not there: a sandboxed function gives the same each time");
  } });
  define(globalThis, "TextDecoder", { value: class TextDecoder {
    decode(bytes = new Bytes(0)) {
      let text = "";
      for (let at = 0; at < apply(length, bytes, []); at += 8192) {
        text += apply(fromCharCode, null, apply(subarray, bytes, [at, at + 8192]));
      }
      try { return decode(percent(text)); } catch { throw new Failure("these bytes are no UTF-8"); }
    }
  } });
  define(globalThis, "TextEncoder", { value: class TextEncoder {
    encode(text = "") {
      const bytes = unpercent(encode(text)), made = new Bytes(bytes.length);
      for (let i = 0; i < bytes.length; i++) made[i] = apply(charCodeAt, bytes, [i]);
      return made;
    }
  } });
  return {
    in: (memory) => new Bytes(memory),
    out: (given, max) => {
      let kind;
      // The getter throws for what is no object at all: then there is no kind, which the next line tells.
      try { kind = apply(tag, given, []); } catch {}
      if (kind !== "Uint8Array") throw new Failure("it gave no Uint8Array");
      const size = apply(length, given, []);
      if (size > max) throw new Failure("it gave " + size + " bytes, more than " + max);
      const copy = new Bytes(size);
      apply(set, copy, [given]);
      return apply(buffer, copy, []);
    },
  };
})()`;

/** The part of the worker's global object that is used. */
interface Scope {
  postMessage(message: FromSandboxWorker, options?: { transfer: ArrayBuffer[] }): void;
  onmessage: ((event: { readonly data: ToSandboxWorker }) => void) | null;
}

/** Runs folds of one function in an engine. */
class Folder {
  readonly #engine: QuickJSWASMModule;
  readonly #code: string;
  readonly #limits: WorkerLimits;
  #isLate = false;

  constructor(engine: QuickJSWASMModule, code: string, limits: WorkerLimits) {
    this.#engine = engine;
    this.#code = code;
    this.#limits = limits;
  }

  /** Never throws. */
  run(values: readonly Uint8Array[]): { readonly value: Uint8Array<ArrayBuffer> } | SandboxFailure {
    try {
      const endMs = performance.now() + this.#limits.timeMs;
      this.#isLate = false;
      using runtime = this.#engine.newRuntime();
      runtime.setMaxStackSize(STACK_BYTES);
      runtime.setInterruptHandler(() => this.#isLate ||= performance.now() > endMs);
      using context = runtime.newContext({ intrinsics: { ...DefaultIntrinsics, Date: false } });
      return this.#fold(context, values);
    } catch (error) {
      // The engine gave up: it was stopped outside of the code, or has no memory for the error itself.
      return this.#isLate ? this.#late() : broken(error);
    }
  }

  #fold(
    context: QuickJSContext,
    values: readonly Uint8Array[],
  ): { readonly value: Uint8Array<ArrayBuffer> } | SandboxFailure {
    const { resultBytes } = this.#limits;
    using prelude = context.unwrapResult(context.evalCode(PRELUDE, "prelude.js"));
    using toBytes = context.getProp(prelude, "in");
    using fromBytes = context.getProp(prelude, "out");
    using max = context.newNumber(resultBytes);
    const loaded = context.evalCode(this.#code, "merge.js", { type: "module" });
    if (loaded.error !== undefined) return this.#failure(context, loaded.error, "load");
    using module = loaded.value;
    // A module that waits for something, or threw, is a promise of itself.
    const promised = context.getPromiseState(module);
    if (promised.type === "rejected") return this.#failure(context, promised.error, "load");
    if (promised.type === "pending") return failure("load", "it waits for something");
    using merge = context.getProp(module, "default");
    if (context.typeof(merge) !== "function") {
      return failure("load", "it has no function as its default export");
    }
    const give = (value: Uint8Array): QuickJSHandle => {
      using memory = context.newArrayBuffer(value.slice().buffer);
      return context.unwrapResult(context.callFunction(toBytes, context.undefined, memory));
    };
    let sum = values[0];
    for (let i = 1; i < values.length; i++) {
      using a = give(sum);
      using b = give(values[i]);
      const called = context.callFunction(merge, context.undefined, a, b);
      if (called.error !== undefined) return this.#failure(context, called.error, "threw");
      using given = called.value;
      const taken = context.callFunction(fromBytes, context.undefined, given, max);
      if (taken.error !== undefined) return this.#failure(context, taken.error, "result");
      using memory = taken.value;
      using bytes = context.getArrayBuffer(memory);
      sum = bytes.value.slice();
    }
    return { value: sum.slice() };
  }

  #late(): SandboxFailure {
    return failure("time", `it took more than ${this.#limits.timeMs} ms`);
  }

  /** What an error of the code means. */
  #failure(
    context: QuickJSContext,
    error: QuickJSHandle,
    reason: "load" | "threw" | "result",
  ): SandboxFailure {
    const { memoryBytes } = this.#limits;
    using thrown = error;
    if (this.#isLate) return this.#late();
    const text = textOf(context, thrown);
    if (text === "InternalError: out of memory") {
      return { ...failure("memory", `it took more than ${memoryBytes} bytes`), isBroken: true };
    }
    return failure(reason, text || "something that does not say what it is");
  }
}

function textOf(context: QuickJSContext, thrown: QuickJSHandle): string {
  // It may be anything; what is run to show it is run in the engine, within the same limits.
  const shown: unknown = context.dump(thrown);
  if (typeof shown !== "object" || shown === null) return shorten(String(shown));
  const { name, message } = shown as Record<string, unknown>;
  if (typeof name === "string" && typeof message === "string") {
    return shorten(`${name}: ${message}`);
  }
  return "something that is no error was thrown";
}

function shorten(text: string): string {
  return text.length > MESSAGE_LENGTH ? `${text.slice(0, MESSAGE_LENGTH)}...` : text;
}

function failure(reason: SandboxFailure["reason"], message: string): SandboxFailure {
  return { reason, message, isBroken: false };
}

function broken(error: unknown): SandboxFailure {
  return { reason: "broken", message: shorten(String(error)), isBroken: true };
}

async function openFolder(code: string, limits: WorkerLimits): Promise<Folder> {
  const maximum = Math.ceil(limits.memoryBytes / PAGE);
  const wasmMemory = new WebAssembly.Memory({ initial: Math.min(256, maximum), maximum });
  const engine = await newQuickJSWASMModuleFromVariant(newVariant(variant, { wasmMemory }));
  // What the engine takes to get going is nobody's time.
  const first = new Folder(engine, "export default (a, b) => b;", {
    ...limits,
    timeMs: WARM_MS_MAX,
  });
  first.run([new Uint8Array(1), new Uint8Array(1)]);
  return new Folder(engine, code, limits);
}

serve(globalThis as unknown as Scope);

function serve(scope: Scope): void {
  let folder: Folder | undefined;
  scope.onmessage = ({ data }) => {
    if ("code" in data) {
      void openFolder(data.code, data.limits).then((opened) => {
        folder = opened;
        scope.postMessage({ ready: true });
      }, (error) => scope.postMessage(broken(error)));
    } else if (folder !== undefined) scope.postMessage(folder.run(data.values));
  };
}
