/**
 * Removals: files that nobody needs any more, on their way off the disk.
 *
 * They go one after the other, off the event loop: the system takes tens of milliseconds to free a large
 * one. Removing is never urgent. What cannot be removed now costs space, not data, and the next start
 * tries again, so a failure here is logged and not raised.
 * @module
 */
import type { Disk, Log } from "../runtime/mod.ts";

/** The removals of one engine. */
export class Removals {
  readonly #disk: Disk;
  readonly #log: Log;
  #last: Promise<void> = Promise.resolve();

  constructor(world: { disk: Disk; log: Log }) {
    this.#disk = world.disk;
    this.#log = world.log;
  }

  /** Removes a file. */
  file(path: string): void {
    this.#queue(path, () => this.#disk.removeAsync(path));
  }

  /** Removes a directory and all in it. */
  directory(dir: string): void {
    this.#queue(dir, async () => {
      if (this.#disk.stat(dir) === undefined) return;
      for (const name of this.#disk.list(dir)) {
        const path = `${dir}/${name}`;
        if (this.#disk.stat(path)?.kind === "file") await this.#disk.removeAsync(path);
      }
      this.#disk.removeDir(dir);
    });
  }

  /** Resolves when all that was asked for so far has been done, or has failed. */
  settle(): Promise<void> {
    return this.#last;
  }

  #queue(path: string, remove: () => Promise<void>): void {
    this.#last = this.#last.then(remove).catch((error) => {
      const reason = error instanceof Error ? error.message : String(error);
      this.#log.warn("cannot remove a file", { file: path, error: reason });
    });
  }
}
