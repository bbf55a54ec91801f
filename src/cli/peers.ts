/**
 * Peers: what the configuration says of other nodes, as the way to them. Files are read anew for each
 * connection, so that they may be replaced while the node runs.
 * @module
 */
import { PairError } from "../model/mod.ts";
import type { Peers } from "../node/mod.ts";
import { openPeers, type PeerCredentials } from "../rpc/mod.ts";
import type { Process, Runtime } from "../runtime/mod.ts";
import type { Config } from "./config/mod.ts";
import { absolute } from "./paths.ts";

/** The way to other nodes. */
export function peersOf(process: Process, { peer }: Config, runtime: Runtime): Peers {
  const { network, clock, disk } = runtime;
  const read = (path: string): Uint8Array | undefined => {
    if (path === "") return undefined;
    const file = absolute(process, path);
    try {
      return disk.readWhole(file);
    } catch (cause) {
      throw new PairError("InvalidArgument", `Cannot read ${file}: it is not there`, {}, { cause });
    }
  };
  const credentials = (): PeerCredentials => {
    const token = read(peer.token_file);
    return {
      token: token && tokenOf(token, peer.token_file),
      ca: read(peer.ca_file),
      cert: read(peer.cert_file),
      key: read(peer.key_file),
    };
  };
  return openPeers({ network, clock, credentials, allowHttp: peer.allow_http });
}

function tokenOf(bytes: Uint8Array, path: string): string {
  const token = new TextDecoder().decode(bytes).trim();
  // What stands in it is not told: it may be a key.
  if (/^[!-~]+$/.test(token)) return token;
  throw new PairError("InvalidArgument", `Cannot use ${path}: it does not hold a token`);
}
