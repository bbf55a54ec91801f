/// <reference no-default-lib="true" />
/// <reference lib="deno.worker" />
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
    case "close":
      self.close();
      return await new Promise(() => {});
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
  }
});
