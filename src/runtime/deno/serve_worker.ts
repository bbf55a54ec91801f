/**
 * The worker's side of a pool made by `denoWorkers`. An entry file calls {@link serveWorker} once, before
 * its first `await`.
 * @module
 */
import { parentPort } from "node:worker_threads";
import { packJobError } from "../workers.ts";
import { webLocks } from "./web_locks.ts";

/**
 * Answers jobs with `handler`, one at a time. What it throws rejects the job and the worker goes on;
 * an error outside of it (in a timer, an unawaited promise) ends the worker.
 * @param handler  gets the job's message and returns a structured-cloneable result, or a promise of one
 */
export function serveWorker(handler: (job: unknown) => unknown): void {
  if (parentPort === null) throw new Error("serveWorker() is for threads of a pool");
  const port = parentPort;
  // Jobs wait for the lock: a death before it is held would go unseen.
  let held: Promise<void> | undefined;
  port.on("message", async (data: { lock: string } | { job: unknown }) => {
    if ("lock" in data) {
      held = holdForLife(data.lock);
      await held;
      port.postMessage({ ready: true });
      return;
    }
    await held;
    try {
      port.postMessage({ result: await handler(data.job) });
    } catch (error) {
      // The handler's error, or a result that cannot be cloned.
      port.postMessage({ failed: packJobError(error) });
    }
  });
}

/** Resolves when the lock is held; it is given back when the thread ends. */
function holdForLife(lock: string): Promise<void> {
  return new Promise((resolve, reject) => {
    webLocks().request(lock, () => {
      resolve();
      return new Promise(() => {});
    }).catch(reject);
  });
}
