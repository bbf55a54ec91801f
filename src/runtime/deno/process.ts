/**
 * The running program, through Deno.
 * @module
 */
import type { Process } from "../process.ts";

const CHUNK_BYTES = 65_536;
/** How long to wait when a pipe is full and its other end does not block. */
const FULL_PIPE_WAIT_MS = 1;

/**
 * The program's process. What it may not do for want of a permission: variables read as undefined.
 * `out` and `err` throw an Error whose `code` is `EPIPE` when their reader has gone.
 */
export function denoProcess(): Process {
  return {
    args: Deno.args,
    pid: Deno.pid,
    standalone: Deno.build.standalone,
    platform: `deno ${Deno.version.deno}`,
    env: (name) => permitted(() => Deno.env.get(name), undefined),
    envWithPrefix(prefix) {
      const all = Object.entries(permitted(() => Deno.env.toObject(), {}));
      return Object.fromEntries(all.filter(([name]) => name.startsWith(prefix)));
    },
    out: (text) => writeWhole(Deno.stdout, text),
    err: (text) => writeWhole(Deno.stderr, text),
    isTerminal: (stream) => Deno[stream].isTerminal(),
    columns,
    readChunks,
    fileSize,
    readText,
    fileMode,
    changePrivate,
    onTerminate,
    onHangUp,
    onUncaught,
    cwd: () => Deno.cwd(),
    exit: (code) => Deno.exit(code),
  };
}

function permitted<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) return otherwise;
    throw error;
  }
}

/** A stream that takes some of the bytes at a time. */
interface SyncWriter {
  writeSync(bytes: Uint8Array): number;
}

/** Writes all of `text`: short writes go on, and a full pipe that does not block is waited for. */
export function writeWhole(to: SyncWriter, text: string | Uint8Array): void {
  let left = typeof text === "string" ? new TextEncoder().encode(text) : text;
  while (left.length > 0) {
    try {
      left = left.subarray(to.writeSync(left));
    } catch (error) {
      if (!(error instanceof Deno.errors.WouldBlock)) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, FULL_PIPE_WAIT_MS);
    }
  }
}

function columns(): number {
  try {
    return Deno.consoleSize().columns || 80;
  } catch {
    // Not a terminal, which is what 80 stands for.
    return 80;
  }
}

async function* readChunks(path: string | "-"): AsyncIterable<Uint8Array> {
  if (path === "-") {
    yield* chunksOf(Deno.stdin);
    return;
  }
  const file = withPath(path, () => Deno.openSync(path));
  try {
    yield* chunksOf(file);
  } finally {
    file.close();
  }
}

/** Each chunk is its own memory: it stays as it is when the next one is read. */
async function* chunksOf(
  from: { read(into: Uint8Array): Promise<number | null> },
): AsyncIterable<Uint8Array> {
  while (true) {
    const chunk = new Uint8Array(CHUNK_BYTES);
    const count = await from.read(chunk);
    if (count === null) return;
    yield chunk.subarray(0, count);
  }
}

function fileSize(path: string): number | undefined {
  try {
    const { isFile, size } = Deno.statSync(path);
    return isFile ? size : undefined;
  } catch {
    // Reading the file will say what is wrong with it.
    return undefined;
  }
}

function fileMode(path: string): number | undefined {
  try {
    return Deno.statSync(path).mode ?? undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function changePrivate(path: string, change: (text: string | undefined) => string): void {
  const slash = path.lastIndexOf("/");
  const directory = slash < 0 ? "." : path.slice(0, slash) || "/";
  const failing = <T>(run: () => T): T => {
    try {
      return run();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new Error(`Cannot change ${path}: ${reason}`, { cause: error });
    }
  };
  failing(() => Deno.mkdirSync(directory, { recursive: true, mode: 0o700 }));
  const lock = failing(() =>
    Deno.openSync(`${path}.lock`, { create: true, write: true, mode: 0o600 })
  );
  try {
    failing(() => lock.lockSync(true));
    const before = failing(() => textIfThere(path));
    const after = new TextEncoder().encode(change(before));
    failing(() => {
      const temp = `${path}.new`;
      // What a crash left behind may have been made by somebody with other permissions.
      if (fileMode(temp) !== undefined) Deno.removeSync(temp);
      using file = Deno.openSync(temp, { createNew: true, write: true, mode: 0o600 });
      for (let at = 0; at < after.length;) at += file.writeSync(after.subarray(at));
      file.syncSync();
      Deno.renameSync(temp, path);
      using names = Deno.openSync(directory);
      names.syncSync();
    });
  } finally {
    lock.close();
  }
}

function textIfThere(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function readText(path: string): string {
  return withPath(path, () => Deno.readTextFileSync(path));
}

function withPath<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`Cannot read ${path}: ${reason}`, { cause: error });
  }
}

function onTerminate(run: (signal: string) => void): () => void {
  // Windows has no SIGTERM to listen for.
  const signals: Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT"] : ["SIGINT", "SIGTERM"];
  const listeners = signals.map((signal) => ({ signal, listener: () => run(signal) }));
  for (const { signal, listener } of listeners) Deno.addSignalListener(signal, listener);
  return () => {
    for (const { signal, listener } of listeners.splice(0)) {
      Deno.removeSignalListener(signal, listener);
    }
  };
}

function onHangUp(run: () => void): () => void {
  // Windows sends it only to programs that are about to end.
  if (Deno.build.os === "windows") return () => {};
  Deno.addSignalListener("SIGHUP", run);
  return () => Deno.removeSignalListener("SIGHUP", run);
}

function onUncaught(run: (error: unknown) => void): () => void {
  const onRejection = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    run(event.reason);
  };
  const onError = (event: ErrorEvent) => {
    event.preventDefault();
    run(event.error ?? event.message);
  };
  globalThis.addEventListener("unhandledrejection", onRejection);
  globalThis.addEventListener("error", onError);
  return () => {
    globalThis.removeEventListener("unhandledrejection", onRejection);
    globalThis.removeEventListener("error", onError);
  };
}
