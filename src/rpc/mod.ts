/**
 * The RPC room: the port, and the services that are bound to it.
 * @module
 */
export {
  type Authority,
  type AuthorityOptions,
  type CertificateEntry,
  checkEntry,
  type Credentials,
  CredentialsAuthority,
  type Grant,
  type Identity,
  makeToken,
  type MethodRule,
  type NewToken,
  NO_CREDENTIALS,
  OPEN_AUTHORITY,
  parseCredentials,
  Reloader,
  type ReloaderOptions,
  renderCredentials,
  type Role,
  type Take,
  type TokenEntry,
} from "./auth/mod.ts";
export { openPort, type Port, type PortOptions, type PortTls } from "./port.ts";
export { DEFAULT_PORT_LIMITS, type PortLimits } from "./limits.ts";
export { openPeers, type PeerCredentials, type PeerOptions } from "./peers.ts";
export { SLOW_MS } from "./slow_operations.ts";
