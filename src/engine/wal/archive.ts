/**
 * Segments that nobody needs any more, kept for a while: `wal/archive/000123-1767225600000.wal` is
 * segment 123 and the wall time, in ms, at which it was archived. They are for people and their tools:
 * recovery never looks here.
 * @module
 */
import type { Clock, Disk } from "../../runtime/mod.ts";
import { type ArchivedName, type Files, parseArchivedName } from "../files.ts";

/** What is kept, and for how long. */
export interface ArchiveOptions {
  /** Whether segments come here at all; else they are removed. */
  readonly archive: boolean;
  /** A segment goes this long after it came. */
  readonly archiveMaxAgeMs: number;
  /** The most segments that are kept; the oldest goes first. */
  readonly archiveMaxSegments: number;
}

/** The archive of one directory. */
export class Archive {
  readonly #disk: Disk;
  readonly #clock: Clock;
  readonly #files: Files;
  readonly #options: ArchiveOptions;
  readonly #remove: (path: string) => void;

  /** While true nothing is archived, and nothing stays: the disk has no room for what nobody needs. */
  suspended = false;
  /** Segments in it. */
  segments = 0;
  /** Their bytes. */
  bytes = 0;

  /** @param remove  removes a file, in its own time */
  constructor(
    disk: Disk,
    clock: Clock,
    files: Files,
    options: ArchiveOptions,
    remove: (path: string) => void,
  ) {
    this.#remove = remove;
    this.#disk = disk;
    this.#clock = clock;
    this.#files = files;
    this.#options = options;
  }

  /** Takes a segment out of the log: into the archive, or away. Durable on return when it was archived. */
  take(number: number): void {
    const path = this.#files.segment(number);
    if (!this.#options.archive || this.suspended) return this.#remove(path);
    const { walDir, archiveDir } = this.#files;
    if (this.#disk.stat(archiveDir) === undefined) {
      this.#disk.makeDir(archiveDir);
      this.#disk.syncDir(walDir);
    }
    this.#disk.rename(path, this.#files.archived(number, Math.floor(this.#clock.wallMs())));
    this.#disk.syncDir(archiveDir);
    this.#disk.syncDir(walDir);
  }

  /** Removes what is too old or too much, all while suspended; also when nothing is archived any more. Then counts. */
  purge(): void {
    const { archiveDir } = this.#files;
    if (this.#disk.stat(archiveDir) === undefined) return;
    const found: (ArchivedName & { path: string })[] = [];
    for (const name of this.#disk.list(archiveDir)) {
      const archived = parseArchivedName(name);
      if (archived !== undefined) found.push({ ...archived, path: `${archiveDir}/${name}` });
    }
    found.sort((a, b) => a.number - b.number);
    const oldest = this.#clock.wallMs() - this.#options.archiveMaxAgeMs;
    const surplus = found.length -
      (this.suspended ? 0 : this.#options.archiveMaxSegments);
    this.segments = 0;
    this.bytes = 0;
    for (const [i, { path, atMs }] of found.entries()) {
      if (i < surplus || atMs < oldest) this.#remove(path);
      else {
        this.segments++;
        this.bytes += this.#disk.stat(path)?.size ?? 0;
      }
    }
  }
}
