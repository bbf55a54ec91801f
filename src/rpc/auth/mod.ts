/**
 * Identity and authorisation: who calls, and what they may do. The pipeline and the short lane ask
 * the gate; `serve` makes the authority.
 * @module
 */
export {
  type Authority,
  type AuthorityOptions,
  CredentialsAuthority,
  OPEN_AUTHORITY,
} from "./authority.ts";
export {
  type CertificateEntry,
  checkEntry,
  type Credentials,
  type Grant,
  NO_CREDENTIALS,
  parseCredentials,
  renderCredentials,
  type TokenEntry,
} from "./credentials.ts";
export { admit, admitToMetrics, authoriseMessage, authoriseTenant, checkHolds } from "./gate.ts";
export { ANONYMOUS, type Identity, type Role } from "./identity.ts";
export { admitCall, authInterceptor, valuesOf } from "./lane.ts";
export { type MethodRule, ruleOf } from "./methods.ts";
export { Reloader, type ReloaderOptions, type Take } from "./reload.ts";
export { proveClientAuth } from "./self_test.ts";
export { makeToken, type NewToken } from "./token.ts";
