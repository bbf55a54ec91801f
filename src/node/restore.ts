/**
 * Restoring a node: a snapshot of one becomes the data directory of a new one.
 *
 * It is a new node, with an incarnation of its own and, unless told otherwise, a name of its own. The node
 * that the snapshot was taken of may still be alive, and has certainly written since: were the new one's writes
 * its events, the same ones would be counted again, for other values, and whoever knows the first would take the
 * second for old. They are events of the directory's own (`identity.ts`), and simply newer than what it holds.
 * @module
 */
import { type Inventory, restoreCheckpoint, type Transferred } from "../engine/mod.ts";
import { validateNodeId } from "../model/mod.ts";
import type { Runtime } from "../runtime/mod.ts";
import { createIdentity, type Identity } from "./identity.ts";

/** How a node is restored. */
export interface RestoreOptions {
  /** Its name; absent: a new random one. */
  readonly nodeId?: string | undefined;
  /** Share no bytes with the snapshot, also where that is possible. */
  readonly copy?: boolean | undefined;
}

/** What was restored. */
export interface Restored extends Transferred {
  readonly inventory: Inventory;
  /** Who the new node is. */
  readonly identity: Identity;
}

/**
 * Makes a data directory of a snapshot, after every byte of that was verified. Durable when the promise
 * resolves; a crash before leaves a directory that no node opens, and that can be restored to again.
 * @param from  the snapshot's directory
 * @param to    the data directory: absent or empty
 * @throws PairError as `restoreCheckpoint` does, InvalidArgument when the name is none
 */
export async function restoreNode(
  world: Pick<Runtime, "disk" | "random">,
  from: string,
  to: string,
  options: RestoreOptions = {},
): Promise<Restored> {
  const { nodeId, copy } = options;
  if (nodeId !== undefined) validateNodeId(nodeId);
  let identity: Identity | undefined;
  const finish = () => identity = createIdentity(world, to, nodeId);
  const done = await restoreCheckpoint(world.disk, from, to, finish, { copy: copy === true });
  return { ...done, identity: identity! };
}
