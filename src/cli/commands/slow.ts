/**
 * `pairdb slow`: the slowest operations of the last minutes, slowest first.
 * @module
 */
import type { SlowOperation } from "../../client/mod.ts";
import { connect, print, type Shell } from "../shell.ts";
import { table } from "../table.ts";
import { roughSize } from "../units.ts";

/** Flags of `slow`. */
export interface SlowFlags {
  /** Milliseconds. */
  readonly within?: number;
  readonly tenant?: string;
  readonly limit: number;
}

const HEADINGS = [
  "began",
  "took",
  "waited",
  "operation",
  "tenant",
  "key",
  "size",
  "from",
  "status",
];

/** Prints them. */
export async function slow(shell: Shell, flags: SlowFlags): Promise<number> {
  const db = await connect(shell);
  const { within: withinMs, tenant, limit } = flags;
  const operations = await db.admin.slow({ withinMs, tenant, limit });
  const lines = shell.output === "json"
    ? []
    : table(shell.process, HEADINGS, operations.map(toRow));
  print(shell, lines, operations.map(toFields));
  return 0;
}

function toRow(of: SlowOperation): string[] {
  const more = of.keys > 1 ? ` and ${of.keys - 1} more` : "";
  return [
    new Date(of.startedAtMs).toISOString(),
    `${of.elapsedMs.toFixed(2)}ms`,
    `${of.waitedMs.toFixed(2)}ms`,
    of.operation,
    of.tenant,
    `${of.key}${of.keyCut ? "…" : ""}${more}`,
    of.requestBytes === 0 ? "" : roughSize(of.requestBytes),
    of.source,
    of.code,
  ];
}

function toFields(of: SlowOperation): Record<string, unknown> {
  return {
    operation: of.operation,
    method: of.method,
    tenant: of.tenant,
    key: of.key,
    key_cut: of.keyCut,
    key_hash: of.keyHash,
    keys: of.keys,
    request_bytes: of.requestBytes,
    started_at: of.startedAtMs,
    elapsed_ms: of.elapsedMs,
    waited_ms: of.waitedMs,
    source: of.source,
    code: of.code,
  };
}
