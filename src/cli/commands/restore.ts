/**
 * `pairdb restore SNAPSHOT_DIR --data NEW_DIR`: a new data directory from a snapshot, offline.
 * @module
 */
import { restoreNode } from "../../node/mod.ts";
import { denoDisk, denoRandom } from "../../runtime/mod.ts";
import { checkNodeName } from "../node_name.ts";
import { withoutSlash } from "../paths.ts";
import { print, type Shell } from "../shell.ts";
import { roughSize } from "../units.ts";

/** Flags of `restore`. */
export interface RestoreFlags {
  readonly data: string;
  readonly nodeId?: string;
  readonly copy?: boolean;
}

/** Verifies a snapshot, makes a data directory of it, and says what to do next. */
export async function restore(
  shell: Shell,
  snapshot: string,
  flags: RestoreFlags,
): Promise<number> {
  if (flags.nodeId !== undefined) checkNodeName("--node-id", flags.nodeId);
  const from = withoutSlash(snapshot);
  const to = withoutSlash(flags.data);
  const world = { disk: denoDisk(), random: denoRandom() };
  const done = await restoreNode(world, from, to, { nodeId: flags.nodeId, copy: flags.copy });
  const { inventory, identity, linked, copied, copiedBytes } = done;
  const was = identity.nodeId === inventory.node ? "" : ` (it was ${inventory.node || "no node"})`;
  print(shell, [
    `${to} holds all up to sequence ${inventory.sequence}, of ${
      new Date(inventory.createdAtMs).toISOString()
    }, as node ${identity.nodeId}${was}`,
    `${linked} files shared with the snapshot, ${copied} copied (${roughSize(copiedBytes)})`,
    `start it with: pairdb serve --data ${to}`,
  ], {
    data_dir: to,
    snapshot: from,
    sequence: inventory.sequence,
    created_at: inventory.createdAtMs,
    node_id: identity.nodeId,
    previous_node_id: inventory.node,
    linked_files: linked,
    copied_files: copied,
    copied_bytes: copiedBytes,
  });
  return 0;
}
