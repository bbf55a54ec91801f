/**
 * The shared cache of the configuration: its secrets are read here, and the client is loaded when there is one.
 * @module
 */
import type { SecondLevelOptions } from "../engine/mod.ts";
import { PairError } from "../model/mod.ts";
import { denoSharedCache, type Log, type Process } from "../runtime/mod.ts";
import type { Config } from "./config/mod.ts";
import { readText } from "./input.ts";

/** Time for a connection, in ms; nobody waits for it. */
const CONNECT_MS = 5000;

/**
 * Opens the shared cache; undefined when none is configured.
 * @throws PairError InvalidArgument (1000) when a file cannot be read or holds no password; never with any of its
 *   contents
 */
export async function openSharedCache(
  process: Process,
  { shared_cache: config }: Config,
  log: Log,
): Promise<SecondLevelOptions | undefined> {
  const { kind, url, user, password_file: passwordFile, ca_file: caFile } = config;
  if (kind === "none") return undefined;
  const password = passwordFile === "" ? undefined : readPassword(process, passwordFile, log);
  const cache = await denoSharedCache({
    kind,
    url,
    user: user === "" ? undefined : user,
    password,
    ca: caFile === "" ? undefined : readText(process, caFile),
    connectMs: CONNECT_MS,
  });
  return {
    cache,
    mode: config.mode,
    ask: config.ask,
    ttlMs: config.ttl,
    valueMax: config.max_value_size,
    timeoutMs: config.timeout,
    queueBytes: config.queue_size,
  };
}

function readPassword(process: Process, path: string, log: Log): string {
  const password = readText(process, path).replace(/\r?\n$/, "");
  if (password === "" || /[\r\n]/.test(password)) {
    throw new PairError(
      "InvalidArgument",
      `Cannot use the password file ${path}: it does not hold one line`,
    );
  }
  const mode = process.fileMode(path);
  if (mode !== undefined && (mode & 0o077) !== 0) log.warn("password_file_exposed", { file: path });
  return password;
}
