/**
 * How a call is refused. Both texts are fixed: what they do not tell apart, nobody can ask about.
 * @module
 */
import { Code, ConnectError } from "@connectrpc/connect";

/** Nobody knows who calls. Without credentials at all, it says what is missing. */
export function unauthenticated(missing: boolean): ConnectError {
  return new ConnectError(
    missing
      ? "Cannot take the call: it needs a token or a client certificate"
      : "Cannot take the call: its credentials are not valid",
    Code.Unauthenticated,
  );
}

/** The caller is known and may not do this: the same whether or not what was asked for is there. */
export function denied(): ConnectError {
  return new ConnectError(
    "Cannot take the call: these credentials do not allow it",
    Code.PermissionDenied,
  );
}
