/**
 * Small files of the node's own in its data directory, replaced whole.
 * @module
 */
import type { Disk } from "../runtime/mod.ts";

/** Gives a file in a directory these bytes; durable on return, and after a crash there are these or the old ones. */
export function replaceFile(disk: Disk, dir: string, name: string, bytes: Uint8Array): void {
  const temp = `${dir}/${name}.tmp`;
  if (disk.stat(temp) !== undefined) disk.remove(temp);
  const file = disk.create(temp);
  try {
    file.append(bytes);
    file.syncNow();
  } finally {
    file.close();
  }
  disk.rename(temp, `${dir}/${name}`);
  disk.syncDir(dir);
}
