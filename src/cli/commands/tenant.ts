/**
 * `pairdb tenant create|list|drop`: tenants as objects.
 * @module
 */
import type { Tenant } from "../../client/mod.ts";
import { exactText } from "../text.ts";
import { connect, print, type Shell, UsageError } from "../shell.ts";
import { table } from "../table.ts";
import { roughSize } from "../units.ts";

/** Makes a tenant. */
export async function createTenant(shell: Shell, tenant: string): Promise<number> {
  const db = await connect(shell);
  print(shell, "OK", tenantFields(await db.tenants.create(tenant)));
  return 0;
}

/** Prints all tenants. */
export async function listTenants(shell: Shell): Promise<number> {
  const db = await connect(shell);
  const tenants = await db.tenants.list();
  const rows = tenants.map(({ tenant, createdAtMs, bytes, tables }) => [
    tenant,
    new Date(createdAtMs).toISOString(),
    shell.process.isTerminal("stdout") ? roughSize(bytes) : `${bytes}`,
    `${tables}`,
  ]);
  const lines = shell.output === "json"
    ? []
    : table(shell.process, ["tenant", "created", "size", "tables"], rows);
  print(shell, lines, tenants.map(tenantFields));
  return 0;
}

/** Removes a tenant with all its data; asks first on a terminal, wants --yes elsewhere. */
export async function dropTenant(
  shell: Shell,
  tenant: string,
  flags: { yes?: boolean },
): Promise<number> {
  if (!flags.yes && !await confirmed(shell, tenant)) {
    shell.process.err("nothing was dropped\n");
    return 1;
  }
  const db = await connect(shell);
  await db.tenants.drop(tenant);
  print(shell, "OK", { tenant, dropped: true });
  return 0;
}

function tenantFields({ tenant, createdAtMs, bytes, tables }: Tenant): Record<string, unknown> {
  return { tenant, created_at: createdAtMs, bytes, tables };
}

async function confirmed(shell: Shell, tenant: string): Promise<boolean> {
  const { process } = shell;
  if (!process.isTerminal("stdin")) {
    throw new UsageError("tenant drop removes all data of the tenant: say --yes");
  }
  process.err(`Drop tenant ${JSON.stringify(tenant)} with all its data? Type its name: `);
  let typed = "";
  for await (const chunk of process.readChunks("-")) {
    typed += exactText(chunk) ?? "";
    if (typed.includes("\n")) break;
  }
  return typed.split("\n", 1)[0].trim() === tenant;
}
