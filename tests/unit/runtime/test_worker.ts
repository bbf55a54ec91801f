/**
 * The worker of workers_test.ts: a job is `{ do: ... }`.
 * @module
 */
import { serveWorker } from "../../../src/runtime/mod.ts";

let done = 0;

serveWorker(async (job) => {
  const { do: what, ...rest } = job as { do: string; shared?: SharedArrayBuffer };
  switch (what) {
    case "echo":
      return rest;
    case "count":
      return ++done;
    case "add to shared":
      Atomics.add(new Int32Array(rest.shared as SharedArrayBuffer), 0, 5);
      return undefined;
    case "wait for shared":
      // Blocks the thread, as a long merge would.
      Atomics.wait(new Int32Array(rest.shared as SharedArrayBuffer), 0, 0);
      return "woken";
    case "throw":
      throw new RangeError("thrown on purpose");
    case "throw a row":
      throw Object.assign(new Error("disk full on purpose"), {
        error: "DiskFull",
        code: 2002,
        details: { freeBytes: 7 },
        errno: "ENOSPC",
      });
    case "throw a string":
      throw "only a string";
    case "return a function":
      return () => {};
    case "exit":
      Deno.exit(3);
      break;
    case "uncaught":
      queueMicrotask(() => {
        throw new Error("uncaught on purpose");
      });
      return await new Promise(() => {});
    case "unhandled":
      void Promise.reject(new Error("unhandled on purpose"));
      return await new Promise(() => {});
    case "hang":
      return await new Promise(() => {});
    case "spin":
      for (;;);
    case "fill the heap":
      for (const held: object[] = [];;) {
        for (let n = 0; n < 1000; n++) held.push({ n });
      }
    case "wait for ever":
      return Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    case "beat for 500 ms": {
      const beat = new Int32Array(rest.shared as SharedArrayBuffer);
      const idle = new Int32Array(new SharedArrayBuffer(4));
      for (let n = 0; n < 50; n++) {
        Atomics.wait(idle, 0, 0, 10);
        Atomics.add(beat, 0, 1);
      }
      return "done";
    }
  }
});
