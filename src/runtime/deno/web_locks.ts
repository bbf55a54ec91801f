/**
 * Web locks (`navigator.locks`), which Deno 2.9.6 has but does not declare.
 * @module
 */

/** The part of `LockManager` that the worker pool uses. */
export interface WebLocks {
  /** Calls `held` with the lock taken, and keeps it until what that returns settles or the thread ends. */
  request(name: string, held: () => unknown): Promise<unknown>;
  request(name: string, options: { signal: AbortSignal }, held: () => unknown): Promise<unknown>;
}

/** The process's lock manager, shared by all of its threads. */
export function webLocks(): WebLocks {
  return (navigator as unknown as { locks: WebLocks }).locks;
}
