/**
 * Process: the command line's view of the world: arguments, environment, standard streams, signals,
 * exit. Only the CLI takes one.
 * @module
 */

/** The running program. */
export interface Process {
  readonly args: readonly string[];
  /** The value of an environment variable; undefined when it is not set or may not be read. */
  env(name: string): string | undefined;
  /** All environment variables with a prefix. */
  envWithPrefix(prefix: string): Record<string, string>;
  /** Writes to standard output, whole. */
  out(text: string | Uint8Array): void;
  /** Writes to standard error, whole. */
  err(text: string): void;
  /** Whether a standard stream is a terminal. */
  isTerminal(stream: "stdin" | "stdout" | "stderr"): boolean;
  /** Columns of the terminal, 80 when unknown. */
  columns(): number;
  /** Standard input, or a file's bytes, in pieces. */
  readChunks(path: string | "-"): AsyncIterable<Uint8Array>;
  /** Bytes of a file; undefined when that cannot be told, as for a pipe. */
  fileSize(path: string): number | undefined;
  /** A file's permission bits; undefined where there are none, and when there is no such file. */
  fileMode(path: string): number | undefined;
  /**
   * Changes a file that only its owner may read (0600), making it and its directory (0700) where they
   * are missing: `change` gets its text, undefined when there is none, and gives the new one. Nobody
   * else changes it meanwhile in this way; readers see the old text or the new; it is durable on return.
   * Throws an Error whose message names the path, or what `change` throws; then nothing has changed.
   */
  changePrivate(path: string, change: (text: string | undefined) => string): void;
  /** A file's text; throws an Error whose message names the path. */
  readText(path: string): string;
  /** Calls `run` at SIGINT or SIGTERM. Returns a way to stop listening. Does not keep the program alive. */
  onTerminate(run: (signal: string) => void): () => void;
  /** Calls `run` at each SIGHUP, which would end the program otherwise. Returns a way to stop listening. */
  onHangUp(run: () => void): () => void;
  /**
   * Calls `run` with what nobody caught, thrown or rejected, in place of the end of the program.
   * Returns a way to stop listening.
   */
  onUncaught(run: (error: unknown) => void): () => void;
  /** The directory that relative paths start from. */
  cwd(): string;
  /** Ends the program at once. */
  exit(code: number): never;
  /** The process id. */
  readonly pid: number;
  /** True in an executable made by `deno compile`. */
  readonly standalone: boolean;
  /** What runs the program, such as `deno 2.9.6`. */
  readonly platform: string;
}
