/**
 * The worker's side of a pool made by `denoWorkers`. An entry file starts with
 *
 *     /// <reference no-default-lib="true" />
 *     /// <reference lib="deno.worker" />
 *
 * and calls {@link serveWorker} once, before its first `await`.
 * @module
 */
import { packJobError } from "../workers.ts";
import { webLocks } from "./web_locks.ts";

/** What a worker's global has and the main thread's has not. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<{ lock: string } | { job: unknown }>) => void) | null;
  postMessage(message: unknown): void;
}

/**
 * Answers jobs with `handler`, one at a time. What it throws rejects the job and the worker goes on;
 * an error outside of it (in a timer, an unawaited promise) ends the worker.
 * @param handler  gets the job's message and returns a structured-cloneable result, or a promise of one
 */
export function serveWorker(handler: (job: unknown) => unknown): void {
  const scope = globalThis as unknown as WorkerScope;
  // Jobs wait for the lock: a death before it is held would go unseen.
  let held: Promise<void> | undefined;
  scope.onmessage = async ({ data }) => {
    if ("lock" in data) {
      held = holdForLife(data.lock);
      await held;
      scope.postMessage({ ready: true });
      return;
    }
    await held;
    try {
      scope.postMessage({ result: await handler(data.job) });
    } catch (error) {
      // The handler's error, or a result that cannot be cloned.
      scope.postMessage({ failed: packJobError(error) });
    }
  };
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
