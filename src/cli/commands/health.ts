/**
 * `pairdb health`: exit code 0 when the node is healthy, otherwise 1. For probes.
 * @module
 */
import { connect, print, type Shell } from "../shell.ts";
import { oneLine } from "../text.ts";

/** Asks a node how it is. */
export async function health(shell: Shell): Promise<number> {
  const db = await connect(shell);
  const { nodeId, status, reasons, metrics } = await db.admin.health();
  const why = reasons.length > 0 ? `: ${reasons.join("; ")}` : "";
  print(shell, oneLine(`${status} node=${nodeId}${why}`), {
    node_id: nodeId,
    status,
    reasons,
    metrics,
  });
  return status === "healthy" ? 0 : 1;
}
