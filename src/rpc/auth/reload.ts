/**
 * Reloading: files that take effect while the server runs, such as credentials and certificates.
 *
 * A file is read again at an interval and when asked for, and compared by its bytes: times of
 * modification are too coarse for two changes in one moment, and lie about files that were moved here.
 * The files are small. What cannot be used is logged once, and what was in effect stays in effect.
 * @module
 */
import { type Cancel, type Clock, type Disk, DiskError, type Log } from "../../runtime/mod.ts";

/** What is made of files. Undefined stands for a file that is not there. */
export type Take = (contents: readonly (Uint8Array | undefined)[]) => void;

/** Files that only make sense together, such as a certificate and its key. */
interface Watched {
  readonly what: string;
  readonly paths: readonly string[];
  readonly take: Take;
  seen: readonly (Uint8Array | undefined)[];
  /** What was logged last about files that cannot be used; undefined once they can. */
  complaint: string | undefined;
}

/** What reloading needs. */
export interface ReloaderOptions {
  readonly clock: Pick<Clock, "after">;
  readonly disk: Pick<Disk, "stat" | "readWhole">;
  readonly log: Log;
  /** How often files are looked at, in ms. */
  readonly intervalMs: number;
}

/** No file that is watched here is larger than a few of these; a larger one is a mistake. */
const MAX_FILE_BYTES = 4 * 1024 * 1024;

/** Watches files. */
export class Reloader {
  readonly #options: ReloaderOptions;
  readonly #watched: Watched[] = [];
  #cancel: Cancel | undefined;

  constructor(options: ReloaderOptions) {
    this.#options = options;
  }

  /**
   * Reads files now, and again from now on.
   * @param what  names them in the log
   * @param take  gets the bytes, in the order of the paths; throws when they cannot be used
   * @throws whatever `take` throws, and DiskError; then the files are not watched
   */
  watch(what: string, paths: readonly string[], take: Take): void {
    const seen = this.#read(paths);
    take(seen);
    this.#watched.push({ what, paths, take, seen, complaint: undefined });
  }

  /** Looks at all files now. Never throws. */
  check(): void {
    const { log } = this.#options;
    for (const watched of this.#watched) {
      const { what, paths, take } = watched;
      try {
        const contents = this.#read(paths);
        if (contents.every((bytes, i) => equal(bytes, watched.seen[i]))) continue;
        // Also when they cannot be used: they are tried again when they change again.
        watched.seen = contents;
        take(contents);
        watched.complaint = undefined;
        log.info("reloaded", { what });
      } catch (error) {
        const complaint = describe(error);
        if (complaint !== watched.complaint) log.error("reload_failed", { what, error: complaint });
        watched.complaint = complaint;
      }
    }
  }

  /** Looks at the files at the interval from now on. */
  start(): void {
    this.#cancel ??= this.#options.clock.after(this.#options.intervalMs, () => {
      this.#cancel = undefined;
      this.check();
      this.start();
    });
  }

  /** Looks no more. */
  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #read(paths: readonly string[]): (Uint8Array | undefined)[] {
    const { disk } = this.#options;
    return paths.map((path) => {
      const entry = disk.stat(path);
      if (entry === undefined) return undefined;
      if (entry.size > MAX_FILE_BYTES) throw new DiskError("readWhole", path, "EOTHER", TOO_LARGE);
      return disk.readWhole(path);
    });
  }
}

const TOO_LARGE = { detail: `it is larger than ${MAX_FILE_BYTES} bytes` };

function equal(one: Uint8Array | undefined, other: Uint8Array | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return one.length === other.length && one.every((byte, i) => byte === other[i]);
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
