/**
 * Security: the configuration of authentication and TLS as the parts of a server.
 * @module
 */
import {
  type Authority,
  CredentialsAuthority,
  NO_CREDENTIALS,
  OPEN_AUTHORITY,
  parseCredentials,
  type PortTls,
  Reloader,
} from "../rpc/mod.ts";
import { PairError } from "../model/mod.ts";
import type { Process, Runtime, TlsCredentials } from "../runtime/mod.ts";
import { isLoopback } from "../web/mod.ts";
import { type Config, hostAndPort } from "./config/mod.ts";
import { absolute } from "./paths.ts";

/** What a server is secured with. */
export interface Security {
  readonly authority: Authority;
  /** Keeps credentials and certificates up to date; not started yet. */
  readonly reloader: Reloader;
}

/** Where the credentials are. */
export function credentialsPath(process: Process, { auth, storage }: Config): string {
  const path = auth.credentials_file || `${storage.data_dir}/auth/credentials.json`;
  return absolute(process, path);
}

/**
 * Reads the credentials, as far as they are asked for, and says in the log who may call.
 * @throws PairError InvalidArgument (1000) when they cannot be used; DiskError
 */
export function openSecurity(process: Process, config: Config, runtime: Runtime): Security {
  const { auth } = config;
  const { clock, disk, log } = runtime;
  const reloader = new Reloader({ clock, disk, log, intervalMs: auth.reload_interval });
  if (auth.mode === "local" || auth.mode === "none") {
    const open = listensElsewhere(config);
    const fields = { auth_mode: auth.mode, reachable_from: open ? "anywhere" : "this machine" };
    if (open) log.warn("everybody_may_do_everything", fields);
    else log.info("everybody_may_do_everything", fields);
    return { authority: OPEN_AUTHORITY, reloader };
  }
  const authority = new CredentialsAuthority({
    clock,
    log,
    credentials: NO_CREDENTIALS,
    accepts: { tokens: auth.mode !== "certificate", certificates: auth.mode !== "token" },
  });
  const path = credentialsPath(process, config);
  let before = false;
  reloader.watch("credentials", [path], ([bytes]) => {
    if (bytes === undefined) {
      // Commands replace the file in one step, so one that has gone is somebody's mistake.
      if (before) throw new PairError("InvalidArgument", `${path} has gone`);
      return log.warn("no_credentials", { file: path, hint: "pairdb token create makes a token" });
    }
    authority.replace(parseCredentials(new TextDecoder().decode(bytes), path));
    before = true;
  });
  const mode = process.fileMode(path);
  if (mode !== undefined && (mode & 0o077) !== 0) log.warn("credentials_exposed", { file: path });
  if (auth.mode !== "certificate" && sendsInClear(config)) {
    log.warn("tokens_without_tls", { host: config.server.host });
  }
  return { authority, reloader };
}

function listensElsewhere({ server, tls }: Config): boolean {
  return !isLoopback(server.host) || !isLoopback(hostAndPort(tls.listen)?.host ?? "localhost");
}

/** Whether tokens can come over a network as they are. */
function sendsInClear({ server, tls }: Config): boolean {
  return !isLoopback(server.host) && (tls.cert_file === "" || tls.listen !== "");
}

/**
 * Where and how TLS is spoken; undefined: nowhere.
 * @throws PairError InvalidArgument (1000) when a file is missing; DiskError
 */
export function openTls(process: Process, config: Config, runtime: Runtime): PortTls | undefined {
  const { tls } = config;
  if (tls.cert_file === "") return undefined;
  const own = hostAndPort(tls.listen);
  return {
    ...(own === undefined ? {} : { listen: own }),
    ...tlsCredentials(
      tlsPaths(process, config).map((path) =>
        runtime.disk.stat(path) === undefined ? undefined : runtime.disk.readWhole(path)
      ),
      config,
    ),
    clientAuth: tls.client_auth,
    minVersion: tls.min_version,
    handshakeTimeoutMs: tls.handshake_timeout,
  };
}

/** Has a port take other certificates when their files change. */
export function watchTls(
  process: Process,
  config: Config,
  reloader: Reloader,
  renew: (credentials: TlsCredentials) => void,
): void {
  if (config.tls.cert_file === "") return;
  reloader.watch("certificates", tlsPaths(process, config), (contents) => {
    renew(tlsCredentials(contents, config));
  });
}

function tlsPaths(process: Process, { tls }: Config): string[] {
  return [tls.cert_file, tls.key_file, ...(tls.ca_file === "" ? [] : [tls.ca_file])]
    .map((path) => absolute(process, path));
}

/** @param contents  of the files, in the order of {@link tlsPaths} */
function tlsCredentials(
  contents: readonly (Uint8Array | undefined)[],
  { tls }: Config,
): TlsCredentials {
  const paths = Object.entries({
    "tls.cert_file": tls.cert_file,
    "tls.key_file": tls.key_file,
    "tls.ca_file": tls.ca_file,
  });
  const [cert, key, ca] = contents.map((bytes, i) => {
    if (bytes !== undefined) return bytes;
    throw new PairError("InvalidArgument", `${paths[i].join(": ")} is not there`);
  });
  return { cert, key, ca };
}
