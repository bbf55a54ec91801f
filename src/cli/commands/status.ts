/**
 * `pairdb status`: what a node is and holds.
 * @module
 */
import type { NodeStatus } from "../../client/mod.ts";
import { connect, print, type Shell } from "../shell.ts";
import { counted, oneLine } from "../text.ts";
import { roughDuration, roughSize } from "../units.ts";

/** Prints a node's figures. */
export async function status(shell: Shell): Promise<number> {
  const db = await connect(shell);
  const node = await db.admin.status();
  const facts: [string, string][] = [
    ["node", node.nodeId],
    ["version", node.version],
    ["status", [node.status, ...node.reasons].join("; ")],
    ["uptime", roughDuration(node.uptimeMs)],
    ["data", node.dataDir],
    ["tenants", `${node.tenants}`],
    ["memtables", roughSize(node.memtableBytes)],
    ["log", `${roughSize(node.walBytes)} in ${counted(node.walSegments, "segment")}`],
    ["tables", `${roughSize(node.tableBytes)} in ${counted(node.tables, "table")}`],
    ["levels", levelsOf(node.tablesPerLevel)],
    ["disk", `${roughSize(node.diskFreeBytes)} free of ${roughSize(node.diskTotalBytes)}`],
    ["snapshots", `${node.snapshots}, holding ${roughSize(node.snapshotBytes)} of their own`],
    ["sequence", `${node.lastSequence}`],
    ["reads", sharesOf(node.reads)],
    ["shared cache", node.sharedCache],
  ];
  const lines = facts.map(([name, value]) => `${name.padEnd(12)} ${oneLine(value)}`);
  print(shell, lines, {
    node_id: node.nodeId,
    version: node.version,
    status: node.status,
    reasons: node.reasons,
    uptime_ms: node.uptimeMs,
    data_dir: node.dataDir,
    tenants: node.tenants,
    memtable_bytes: node.memtableBytes,
    wal_bytes: node.walBytes,
    wal_segments: node.walSegments,
    table_bytes: node.tableBytes,
    tables: node.tables,
    tables_per_level: node.tablesPerLevel,
    disk_total_bytes: node.diskTotalBytes,
    disk_free_bytes: node.diskFreeBytes,
    snapshots: node.snapshots,
    snapshot_bytes: node.snapshotBytes,
    last_sequence: node.lastSequence,
    reads: {
      memtable: node.reads.memtable,
      row_cache: node.reads.rowCache,
      shared_cache: node.reads.sharedCache,
      tables: node.reads.tables,
      nothing: node.reads.nothing,
    },
    shared_cache: node.sharedCache,
  });
  return 0;
}

/** Tables by level, from level 0 down. */
function levelsOf(tablesPerLevel: readonly number[]): string {
  return tablesPerLevel.map((tables, level) => `L${level}: ${tables}`).join(", ") || "none";
}

/** Shares of reads by the layer that answered them. */
function sharesOf(
  { memtable, rowCache, sharedCache, tables, nothing }: NodeStatus["reads"],
): string {
  const all = memtable + rowCache + sharedCache + tables + nothing;
  if (all === 0) return "none";
  const share = (count: number) => `${Math.round((count / all) * 1000) / 10} %`;
  return `${all}: memtables ${share(memtable)}, row cache ${share(rowCache)}, ` +
    `shared cache ${share(sharedCache)}, tables ${share(tables)}, nothing ${share(nothing)}`;
}
