/**
 * Tenant ids: 1 to 256 bytes of UTF-8 without control characters and without `:`, which the design
 * documents keep for composite keys (docs/rows.md: V1 to V3).
 * @module
 */
import { utf8 } from "./bytes.ts";
import { PairError } from "./errors.ts";
import { MAX_TENANT_BYTES } from "./limits.ts";
import { describeFault, inspectText } from "./text.ts";

/**
 * Checks a tenant id.
 * @throws PairError InvalidTenantID (1004) when it is missing, empty, too long, ill-formed, or has a
 *   `:` or a control character
 */
export function validateTenant(tenant: string): void {
  if (typeof tenant !== "string" || tenant.length === 0) {
    throw invalid("it is missing or empty");
  }
  // A UTF-16 unit takes at least one byte: a long string is refused before any work is done on it.
  if (tenant.length > MAX_TENANT_BYTES) throw tooLong(tenant.length);
  if (tenant.includes(":")) throw invalid("it has a ':'");
  const fault = inspectText(tenant);
  if (fault !== undefined) throw invalid(describeFault(fault));
  // The bytes are looked at only: encoding every call's tenant would cost more than finding its tree.
  if (tenant.length * 3 > MAX_TENANT_BYTES) {
    const { length } = utf8(tenant);
    if (length > MAX_TENANT_BYTES) throw tooLong(length);
  }
}

function invalid(why: string): PairError {
  return new PairError("InvalidTenantID", `Cannot take the tenant id: ${why}`);
}

function tooLong(bytes: number): PairError {
  return new PairError(
    "InvalidTenantID",
    "Cannot take the tenant id: it is longer than 256 bytes",
    {
      bytes,
      limit: MAX_TENANT_BYTES,
    },
  );
}
