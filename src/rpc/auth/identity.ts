/**
 * Identities: who makes a call, and what such a one may touch. Values only.
 * @module
 */

/** What a caller is to this server. */
export type Role = "client" | "operator" | "node";

/** A caller. */
export interface Identity {
  readonly kind: "anonymous" | Role;
  /** For people and the log, such as `token k3vq…` or `certificate URI:spiffe://…`; never a secret. */
  readonly name: string;
  /** The tenants that the caller may touch; `*`: all. */
  readonly tenants: ReadonlySet<string> | "*";
  /** Whether only calls that change nothing are allowed. */
  readonly readOnly: boolean;
  /** Wall time in ms from which the identity is none any more; Infinity: never. */
  readonly expiresAtMs: number;
}

/** Whoever calls a method that asks for nobody's name, and everybody where authentication is off. */
export const ANONYMOUS: Identity = {
  kind: "anonymous",
  name: "anonymous",
  tenants: new Set<string>(),
  readOnly: true,
  expiresAtMs: Infinity,
};
