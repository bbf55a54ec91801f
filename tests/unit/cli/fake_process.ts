/**
 * A Process in memory, for tests of the command line.
 * @module
 */
import type { Process } from "../../../src/runtime/mod.ts";

/** What a test sets up, and what it finds afterwards. */
export interface FakeProcess extends Process {
  readonly written: { out: string; err: string };
  /** What the program listens with: call them to send a signal, or an error that nobody caught. */
  readonly listeners: {
    terminate?: (signal: string) => void;
    hangUp?: () => void;
    uncaught?: (error: unknown) => void;
  };
  /** Its files; what it writes is here too. */
  readonly files: Record<string, string | Uint8Array>;
}

/** A process with these arguments. */
export function fakeProcess(
  args: readonly string[],
  world: {
    env?: Record<string, string>;
    files?: Record<string, string | Uint8Array>;
    terminal?: boolean;
    /** See what goes to the standard streams as it goes. */
    onOut?: (text: string) => void;
    onErr?: (text: string) => void;
    /** Bytes that a read gives at a time; the default is small and odd, to cut lines in all places. */
    chunkBytes?: number;
    /** Permission bits by path; 0600 where nothing is said. */
    modes?: Record<string, number>;
  } = {},
): FakeProcess {
  const env = world.env ?? {};
  const files = { ...world.files };
  const written = { out: "", err: "" };
  const listeners: FakeProcess["listeners"] = {};
  const bytesOf = (path: string) => {
    const file = files[path];
    if (file === undefined) throw new Error(`Cannot read ${path}: no such file`);
    return typeof file === "string" ? new TextEncoder().encode(file) : file;
  };
  return {
    args,
    written,
    listeners,
    files,
    pid: 1,
    standalone: false,
    platform: "test 1.0",
    env: (name) => env[name],
    envWithPrefix: (prefix) =>
      Object.fromEntries(Object.entries(env).filter(([name]) => name.startsWith(prefix))),
    out: (text) => {
      const decoded = typeof text === "string" ? text : new TextDecoder().decode(text);
      written.out += decoded;
      world.onOut?.(decoded);
    },
    err: (text) => {
      written.err += text;
      world.onErr?.(text);
    },
    isTerminal: () => world.terminal ?? false,
    columns: () => 80,
    cwd: () => "/work",
    readChunks: async function* (path) {
      const bytes = bytesOf(path);
      const size = world.chunkBytes ?? 7;
      for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size);
    },
    fileSize: (path) => files[path] === undefined ? undefined : bytesOf(path).length,
    fileMode: (path) => files[path] === undefined ? undefined : (world.modes?.[path] ?? 0o600),
    readText: (path) => new TextDecoder().decode(bytesOf(path)),
    onTerminate: (run) => {
      listeners.terminate = run;
      return () => delete listeners.terminate;
    },
    changePrivate: (path, change) => {
      files[path] = change(
        files[path] === undefined ? undefined : new TextDecoder().decode(bytesOf(path)),
      );
    },
    onHangUp: (run) => {
      listeners.hangUp = run;
      return () => delete listeners.hangUp;
    },
    onUncaught: (run) => {
      listeners.uncaught = run;
      return () => delete listeners.uncaught;
    },
    exit: (code) => {
      throw new Error(`exit(${code}) was called`);
    },
  };
}
