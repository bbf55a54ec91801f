/**
 * File names of a data directory, and the rules for reading them back.
 *
 *     data/  LOCK  CURRENT  MANIFEST-000007  WARM  SCRUB  RESERVE          IDENTITY is the node's
 *            wal/000123.wal   wal/archive/000122-1767225600000.wal   tenants/<tree>/000045.sst   quarantine/000122.wal
 *            snapshots/<name>/   RESTORING
 *
 * All numbers come from one counter that never goes back, so a name is never used twice. A name is
 * taken for ours only when it has exactly this shape; anything else in the directory is left alone.
 * @module
 */
import type { Disk } from "../runtime/mod.ts";

/** The number in a name, at least six digits. */
function digits(number: number): string {
  return String(number).padStart(6, "0");
}

/** Paths of one data directory. */
export class Files {
  /** @param root  the data directory, without a slash at the end */
  constructor(readonly root: string) {}

  get lock(): string {
    return `${this.root}/LOCK`;
  }
  get current(): string {
    return `${this.root}/CURRENT`;
  }
  get currentTemp(): string {
    return `${this.root}/CURRENT.tmp`;
  }
  /** Which blocks were in the cache at the last close. */
  get warm(): string {
    return `${this.root}/WARM`;
  }
  get warmTemp(): string {
    return `${this.root}/WARM.tmp`;
  }
  /** How far the scrub is. */
  get scrub(): string {
    return `${this.root}/SCRUB`;
  }
  get scrubTemp(): string {
    return `${this.root}/SCRUB.tmp`;
  }
  /** Ballast for a full disk. */
  get reserve(): string {
    return `${this.root}/RESERVE`;
  }
  get walDir(): string {
    return `${this.root}/wal`;
  }
  get treesDir(): string {
    return `${this.root}/tenants`;
  }
  manifest(number: number): string {
    return `${this.root}/${manifestName(number)}`;
  }
  segment(number: number): string {
    return `${this.walDir}/${digits(number)}.wal`;
  }
  get quarantineDir(): string {
    return `${this.root}/quarantine`;
  }
  /** Where a damaged segment goes. */
  quarantined(segment: number): string {
    return `${this.quarantineDir}/${digits(segment)}.wal`;
  }
  /** Where checkpoints are, by name. */
  get snapshotsDir(): string {
    return `${this.root}/snapshots`;
  }
  /** Is there while a checkpoint is being restored to this directory. */
  get restoring(): string {
    return `${this.root}/RESTORING`;
  }
  get archiveDir(): string {
    return `${this.walDir}/archive`;
  }
  /** Where a segment goes that is kept though it is not needed. */
  archived(segment: number, atMs: number): string {
    return `${this.archiveDir}/${digits(segment)}-${atMs}.wal`;
  }
  treeDir(name: string): string {
    return `${this.treesDir}/${name}`;
  }
  table(treeDir: string, number: number): string {
    return tablePath(this.treeDir(treeDir), number);
  }
}

/**
 * Whether a directory holds what only an opened store can hold. CURRENT is durable before any of it, so
 * without CURRENT such a directory has lost a part, and is no new one.
 */
export function holdsData(disk: Disk, files: Files): boolean {
  const has = (dir: string, parse: (name: string) => number | undefined) =>
    disk.stat(dir)?.kind === "directory" &&
    disk.list(dir).some((name) => parse(name) !== undefined);
  return disk.stat(`${files.root}/IDENTITY`) !== undefined ||
    has(files.walDir, parseSegmentName) || has(files.treesDir, parseTreeDirName);
}

/** Makes a directory and those above it that are missing; their names are durable on return. */
export function makeDirDurably(disk: Disk, dir: string): void {
  const missing: string[] = [];
  for (let at = dir; disk.stat(at) === undefined; at = parentOf(at)) missing.push(at);
  disk.makeDir(dir);
  for (const made of missing.reverse()) disk.syncDir(parentOf(made));
}

/** The directory that a path is in. */
export function parentOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? "." : slash === 0 ? "/" : path.slice(0, slash);
}

/** The path of a table in its tree's directory. */
export function tablePath(dir: string, number: number): string {
  return `${dir}/${digits(number)}.sst`;
}

/** `MANIFEST-000007`. */
export function manifestName(number: number): string {
  return `MANIFEST-${digits(number)}`;
}

/** The number in a manifest's name; undefined when it is none. */
export function parseManifestName(name: string): number | undefined {
  return parse(/^MANIFEST-(\d{6,15})$/, name);
}

/** The number in a segment's name; undefined when it is none. */
export function parseSegmentName(name: string): number | undefined {
  return parse(/^(\d{6,15})\.wal$/, name);
}

/** What the name of an archived segment says. */
export interface ArchivedName {
  readonly number: number;
  /** Wall time, in ms, at which it was archived. */
  readonly atMs: number;
}

/** Reads the name of an archived segment; undefined when it is none. */
export function parseArchivedName(name: string): ArchivedName | undefined {
  const parts = /^(\d{6,15})-(0|[1-9]\d{0,14})\.wal$/.exec(name);
  if (parts === null) return undefined;
  const number = parseSegmentName(`${parts[1]}.wal`);
  return number === undefined ? undefined : { number, atMs: Number(parts[2]) };
}

/** The number in a table's name; undefined when it is none. */
export function parseTableName(name: string): number | undefined {
  return parse(/^(\d{6,15})\.sst$/, name);
}

/** The tree's id in the name of its directory; undefined when it is none. */
export function parseTreeDirName(name: string): number | undefined {
  const id = /^[A-Za-z0-9_-]{0,80}~([1-9]\d{0,14})$/.exec(name)?.[1];
  return id === undefined ? undefined : Number(id);
}

function parse(shape: RegExp, name: string): number | undefined {
  const text = shape.exec(name)?.[1];
  if (text === undefined) return undefined;
  const number = Number(text);
  // 0000007 would be a second name for 7.
  return digits(number) === text ? number : undefined;
}

/**
 * The directory of a tree: its name, readable where it can be, and its id, which makes it unique even
 * when a dropped name comes back.
 */
export function treeDirName(name: string, id: number): string {
  const readable = encodeURIComponent(name).replaceAll(/[^A-Za-z0-9_-]/g, "_").slice(0, 80);
  return `${readable}~${id}`;
}
