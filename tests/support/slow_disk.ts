/**
 * A disk whose first read of each place takes long, as that of a page that the system does not cache. A
 * blocking read stops the world for that long; an asynchronous one does not.
 * @module
 */
import type { Disk, ReadFile, SimClock } from "../../src/runtime/mod.ts";

/** See the module. */
export class SlowDisk {
  /** What a read from the disk itself takes. */
  latencyMs = 10;
  /** Blocking reads that had to wait for the disk. */
  stalls = 0;
  /** Asynchronous ones. */
  waits = 0;
  /** For an engine; everything but reading is that of the disk below. */
  readonly disk: Disk;
  readonly #clock: SimClock;
  readonly #pages = new Set<string>();

  constructor(below: Disk, clock: SimClock) {
    this.#clock = clock;
    this.disk = new Proxy(below, {
      get: (disk, name) => {
        if (name === "openRead") return (path: string) => this.#file(disk.openRead(path));
        const member = Reflect.get(disk, name, disk);
        return typeof member === "function" ? member.bind(disk) : member;
      },
    });
  }

  /** Forgets what was read. */
  dropPages(): void {
    this.#pages.clear();
  }

  #file(file: ReadFile): ReadFile {
    const { path, size } = file;
    return {
      path,
      size,
      readAt: (into, offset) => {
        if (this.#touch(path, into.length, offset)) {
          this.stalls++;
          this.#clock.block(this.latencyMs);
        }
        return file.readAt(into, offset);
      },
      readAtAsync: async (into, offset) => {
        const got = await file.readAtAsync(into, offset);
        if (this.#touch(path, into.length, offset)) {
          this.waits++;
          await this.#clock.sleep(this.latencyMs);
        }
        return got;
      },
      close: () => file.close(),
    };
  }

  /** Whether any of these pages is new. */
  #touch(path: string, length: number, offset: number): boolean {
    let isNew = false;
    for (let page = Math.floor(offset / 4096); page * 4096 < offset + length; page++) {
      const name = `${path}:${page}`;
      isNew ||= !this.#pages.has(name);
      this.#pages.add(name);
    }
    return isNew;
  }
}
