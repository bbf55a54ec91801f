/**
 * The gate: the two questions that every call of every lane is asked, and one that streams are asked
 * again and again.
 *
 *     head      admit              who calls, and may such a one call this method? Before the body is read.
 *     message   authoriseMessage   may they touch this tenant? After decoding, before the service.
 *     stream    checkHolds         do they still stand? Before each message of an answer.
 * @module
 */
import { Code, ConnectError } from "@connectrpc/connect";
import type { PeerCertificate } from "../../runtime/mod.ts";
import type { Authority } from "./authority.ts";
import { unauthenticated } from "./failures.ts";
import { ANONYMOUS, type Identity } from "./identity.ts";
import type { MethodRule } from "./methods.ts";

/**
 * Lets a call in by its head.
 * @param authorization  the header's text; undefined when there is none
 * @param peer           the verified certificate of the connection
 * @throws ConnectError Unauthenticated, PermissionDenied
 */
export function admit(
  authority: Authority,
  rule: MethodRule,
  authorization: string | undefined,
  peer: PeerCertificate | undefined,
): Identity {
  // Credentials are not even looked at here: a probe with a token of yesterday is a probe.
  if (rule.roles === "anyone") return ANONYMOUS;
  const identity = authority.authenticate(authorization, peer);
  authority.authoriseMethod(identity, rule);
  return identity;
}

/**
 * Lets a message through to the service.
 * @param message  the decoded request
 * @throws ConnectError PermissionDenied
 */
export function authoriseMessage(
  authority: Authority,
  identity: Identity,
  rule: MethodRule,
  message: object,
): void {
  if (rule.tenant === undefined) return;
  authoriseTenant(authority, identity, rule, (message as { tenantId?: unknown })[rule.tenant]);
}

/**
 * The same for who has decoded the tenant alone.
 * @param tenant  what stands in the request's field
 * @throws ConnectError PermissionDenied
 */
export function authoriseTenant(
  authority: Authority,
  identity: Identity,
  rule: MethodRule,
  tenant: unknown,
): void {
  if (rule.tenant === undefined) return;
  authority.authoriseTenant(identity, typeof tenant === "string" ? tenant : "");
}

/** Ends a stream whose caller was revoked or has expired meanwhile. @throws ConnectError Unauthenticated */
export function checkHolds(authority: Authority, identity: Identity): void {
  if (!authority.holds(identity)) throw unauthenticated(false);
}

const METRICS: MethodRule = { roles: ["operator"], access: "read", tenant: undefined };

/** Whether a caller may see a server's figures: the HTTP status that says so. */
export function admitToMetrics(
  authority: Authority,
  authorization: string | undefined,
  peer: PeerCertificate | undefined,
): 200 | 401 | 403 {
  try {
    admit(authority, METRICS, authorization, peer);
    return 200;
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error;
    return error.code === Code.Unauthenticated ? 401 : 403;
  }
}
