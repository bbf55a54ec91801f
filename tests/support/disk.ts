/**
 * A disk that counts who holds a file open for reading, and has only so many descriptors.
 * @module
 */
import { DiskError, DiskLayer, type ReadFile } from "../../src/runtime/mod.ts";

/** See the head of the file. */
export class CountingDisk extends DiskLayer {
  /** Files that are open for reading. */
  open = 0;
  /** The most that were at a time. */
  most = 0;
  /** Descriptors; more are refused with EMFILE. */
  limit = Infinity;

  override openRead(path: string): ReadFile {
    if (this.open >= this.limit) throw new DiskError("openRead", path, "EMFILE");
    const file = super.openRead(path);
    this.most = Math.max(this.most, ++this.open);
    let closed = false;
    return {
      path,
      size: file.size,
      readAt: (into, offset) => file.readAt(into, offset),
      readAtAsync: (into, offset) => file.readAtAsync(into, offset),
      close: () => {
        if (!closed) this.open--;
        closed = true;
        file.close();
      },
    };
  }
}
