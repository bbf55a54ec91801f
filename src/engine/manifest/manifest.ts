/**
 * Manifest: the log of version edits that says which files make up the store.
 *
 * A header and frames, see format.ts. Beside it:
 *
 *     CURRENT: `MANIFEST-000007 1a2b3c4d\n`, a name and the crc32c of the name in hex
 *
 * Every open writes a fresh manifest, a snapshot of the state, and then switches CURRENT to it: write
 * CURRENT.tmp, sync it, rename it, sync the directory. So does a manifest that has grown large.
 *
 * Behind an edit that is durable stands an empty one, its end mark: damage to the edit, of which somebody
 * was told, does not pass for the torn tail of one that nobody was told of. The mark itself is not synced.
 *
 * Invariants
 *   - An edit counts once its frame is synced; one at a time is under way, so only the last can be torn.
 *   - After a failed sync, or an append that failed for anything but room, the manifest takes no more edits,
 *     and nothing may be deleted.
 *   - An edit that there was no room for is refused, and what of it stands in the file is torn for ever: nothing
 *     is written behind it. The next edit goes into a fresh file, as it does after the failed append of a mark,
 *     which nothing depends on. The old file is current until the fresh one is durable.
 * @module
 */
import { crc32c, PairError, utf8 } from "../../model/mod.ts";
import { type AppendFile, type Cipher, type Disk, DiskError } from "../../runtime/mod.ts";
import { isShortOfRoom, rowOf } from "../disk_failure.ts";
import { type Files, manifestName, parseManifestName } from "../files.ts";
import { type Edit, ManifestState } from "./edit.ts";
import {
  damagedFile,
  decodeFrame,
  decodeHeader,
  encodeBeginning,
  encodeFrame,
  frameEnd,
  markSize,
  type Sealing,
} from "./format.ts";

/** A manifest larger than this is written anew. */
const ROLL_OVER_BYTES = 4 << 20;

/** What a manifest file holds. */
export interface ManifestContent {
  readonly number: number;
  readonly edits: readonly Edit[];
  readonly tornBytes: number;
}

/**
 * The name that CURRENT holds; undefined when there is no CURRENT, which is so in a new directory.
 * @throws PairError CorruptedData when it is damaged
 */
export function readCurrent(disk: Disk, files: Files): number | undefined {
  if (disk.stat(files.current) === undefined) return undefined;
  const text = new TextDecoder().decode(disk.readWhole(files.current));
  const [name, checksum] = text.trimEnd().split(" ");
  const number = parseManifestName(name);
  if (number === undefined || text !== currentText(name) || checksum === undefined) {
    throw damagedFile(files.current, 0, "it does not name a manifest");
  }
  return number;
}

/**
 * Reads a manifest file.
 * @throws PairError CorruptedData when it is damaged before its last frame, or foreign;
 *   InvalidArgument when its format is newer, or it is encrypted with a key that was not given
 */
export function readManifest(
  disk: Disk,
  path: string,
  number: number,
  key?: Uint8Array,
): ManifestContent {
  const bytes = disk.readWhole(path);
  const edits: Edit[] = [];
  const { size, cipher } = decodeHeader(path, number, bytes, key);
  let at = size;
  while (at < bytes.length) {
    const end = frameEnd(bytes, at, number);
    if (end === undefined) {
      // A crash may lose an end mark and keep what was written behind it; an edit is never so short.
      const behindMark = at + markSize(cipher);
      if (frameEnd(bytes, behindMark, number) !== undefined) {
        at = behindMark;
        continue;
      }
      for (let next = at + 1; next < bytes.length; next++) {
        if (frameEnd(bytes, next, number) !== undefined) {
          throw damagedFile(path, at, "an edit is damaged and others follow it");
        }
      }
      break;
    }
    const edit = decodeFrame(path, bytes, at, end, cipher, at === size);
    if (end - at > markSize(cipher)) edits.push(edit);
    at = end;
  }
  if (edits.length === 0) throw damagedFile(path, at, "it holds no edit");
  return { number, edits, tornBytes: bytes.length - at };
}

/** Takes the edits of a manifest file in. @throws PairError CorruptedData when they contradict each other */
export function applyEdits(state: ManifestState, path: string, edits: readonly Edit[]): void {
  for (const edit of edits) {
    try {
      state.apply(edit);
    } catch (cause) {
      throw damagedFile(path, 0, (cause as Error).message);
    }
  }
}

/** Numbers of the manifests in a directory, current or not. */
export function manifestFiles(disk: Disk, files: Files): number[] {
  return disk.list(files.root).flatMap((name) => parseManifestName(name) ?? []);
}

/** The manifest of an open engine. */
export class Manifest {
  readonly #disk: Disk;
  readonly #files: Files;
  #file: AppendFile | undefined;
  #number = 0;
  #queue: Promise<void> = Promise.resolve();
  #failure: PairError | undefined;
  #cipher: Cipher | undefined;
  /** The last append failed: nothing can be written behind it. */
  #torn = false;
  readonly state: ManifestState;
  /** What manifests are encrypted with; undefined when they are in clear. */
  readonly sealing: Sealing | undefined;

  /** Told the path of a manifest that is not current, or no longer. */
  onObsolete: (path: string) => void = () => {};
  /** Gives up what is kept for a full disk; false when there is nothing. */
  makeRoom: () => boolean = () => false;

  private constructor(
    disk: Disk,
    files: Files,
    state: ManifestState,
    sealing: Sealing | undefined,
  ) {
    this.sealing = sealing;
    this.#disk = disk;
    this.#files = files;
    this.state = state;
  }

  /**
   * Reads the state of a directory; an empty one for a new directory. Writes nothing.
   * @param sealing  for a store that is encrypted, or will be from now on
   * @throws PairError as {@link readManifest} does
   */
  static read(disk: Disk, files: Files, sealing?: Sealing): Manifest {
    const state = new ManifestState();
    const number = readCurrent(disk, files);
    const manifest = new Manifest(disk, files, state, sealing);
    if (number === undefined) return manifest;
    const path = files.manifest(number);
    if (disk.stat(path) === undefined) {
      throw damagedFile(files.current, 0, `it names ${manifestName(number)}, which is not there`);
    }
    applyEdits(state, path, readManifest(disk, path, number, sealing?.key).edits);
    state.nextFile = Math.max(state.nextFile, number + 1);
    return manifest;
  }

  /** The number of the file in use; 0 before the first. */
  get number(): number {
    return this.#number;
  }

  /** The failure after which no more edits are taken; undefined while all is well. */
  get failure(): PairError | undefined {
    return this.#failure;
  }

  /** Gives out a file number that was never used. Durable with the next edit; until then the file itself holds the place. */
  nextFile(count = 1): number {
    const number = this.state.nextFile;
    this.state.nextFile += count;
    return number;
  }

  /**
   * Writes a fresh manifest with the present state and makes it current. Durable on return.
   * @throws PairError DiskFull, with the old one still current and in use, when there is no room
   */
  rollOver(): void {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      this.#withRoom(() => this.#begin());
    } catch (cause) {
      throw this.#failed(cause);
    }
  }

  #begin(): void {
    const number = this.nextFile();
    const path = this.#files.manifest(number);
    const file = this.#disk.create(path);
    let cipher: Cipher | undefined;
    try {
      cipher = begin(file, number, this.state, this.sealing);
      makeCurrent(this.#disk, this.#files, number);
    } catch (error) {
      file.close();
      // CURRENT names the old one still, and its number is not used again.
      if (isShortOfRoom(error)) this.onObsolete(path);
      throw error;
    }
    this.#file?.close();
    this.#file = file;
    this.#number = number;
    this.#cipher = cipher;
    this.#torn = false;
  }

  /**
   * Makes an edit durable, then part of the state. Edits take effect in the order of calls.
   * @param build  makes the edit when its turn has come, from the state of that moment
   * @throws PairError DiskFull when there is no room for it, and it has not happened; SSTableFailed, or
   *   DiskFull, with {@link Manifest.failure} set, when it could not be written: no later edit is taken then
   */
  commit(build: () => Edit): Promise<void> {
    const done = this.#queue.then(async () => {
      if (this.#failure !== undefined) throw this.#failure;
      const edit = { ...build(), nextFile: this.state.nextFile };
      try {
        this.#withRoom(() => this.#append(edit));
        await this.#file!.sync();
      } catch (cause) {
        throw this.#failed(cause);
      }
      this.state.apply(edit);
      this.#mark();
    });
    this.#queue = done.catch(() => {
      // The caller has the failure; the queue only keeps the order.
    });
    return done;
  }

  /**
   * Waits for edits under way and closes the file.
   * @param closed  the sequence that log and tables reach, when all of it is durable: a clean close
   */
  async close(closed?: number): Promise<void> {
    await this.#queue;
    try {
      if (this.#failure === undefined && closed !== undefined) {
        await this.commit(() => ({ closed }));
      }
    } finally {
      this.#file?.close();
    }
  }

  /** Goes on in a fresh manifest. */
  #renew(): void {
    const old = this.#files.manifest(this.#number);
    this.#begin();
    this.onObsolete(old);
  }

  #append(edit: Edit): void {
    if (this.#torn) this.#renew();
    const file = this.#file!;
    // Torn until it is whole.
    this.#torn = true;
    file.append(encodeFrame(this.#number, edit, this.#cipher, file.size));
    this.#torn = false;
  }

  /** Marks the end of an edit that is durable, or goes on in a fresh file where this one has grown large. */
  #mark(): void {
    const file = this.#file!;
    try {
      if (file.size > ROLL_OVER_BYTES) this.#renew();
      else file.append(encodeFrame(this.#number, {}, this.#cipher, file.size));
    } catch (error) {
      // How much of it is there nobody knows. The edit is durable all the same.
      this.#torn = true;
      if (file.size > ROLL_OVER_BYTES && !isShortOfRoom(error)) throw this.#failed(error);
      if (!(error instanceof DiskError)) throw error;
    }
  }

  /** Takes a step, a second time if room for it can be made. */
  #withRoom(step: () => void): void {
    try {
      step();
    } catch (error) {
      if (!isShortOfRoom(error) || !this.makeRoom()) throw error;
      step();
    }
  }

  /** The error to throw for a failed step; all but want of room ends the manifest. */
  #failed(cause: unknown): PairError {
    const errno = cause instanceof DiskError ? cause.errno : undefined;
    const file = this.#files.manifest(this.#number);
    const failure = new PairError(
      rowOf(errno),
      `Cannot write the manifest: ${cause instanceof Error ? cause.message : String(cause)}`,
      errno === undefined ? { file } : { file, errno },
      { cause },
    );
    if (isShortOfRoom(cause)) return failure;
    return this.#failure ??= failure;
  }
}

/**
 * Writes a manifest that holds a state, and a CURRENT that names it, into a directory that has neither and
 * that nobody opens yet. Nothing is synced: that is the caller's.
 * @throws DiskError EEXIST when one of them is there
 */
export function writeManifest(
  disk: Disk,
  files: Files,
  number: number,
  state: ManifestState,
  sealing?: Sealing,
): void {
  const { header, first } = encodeBeginning(number, state, sealing);
  createWith(disk, files.manifest(number), header, first);
  createWith(disk, files.current, utf8(currentText(manifestName(number))));
}

function createWith(disk: Disk, path: string, ...parts: Uint8Array[]): void {
  const file = disk.create(path);
  try {
    for (const part of parts) file.append(part);
  } finally {
    file.close();
  }
}

/** The beginning of every manifest: the state that later edits change. The bytes are durable on return. */
function begin(
  file: AppendFile,
  number: number,
  state: ManifestState,
  sealing: Sealing | undefined,
): Cipher | undefined {
  const { header, first, cipher } = encodeBeginning(number, state, sealing);
  file.append(header);
  file.append(first);
  file.syncNow();
  return cipher;
}

/** Points CURRENT to a manifest; durable on return. */
function makeCurrent(disk: Disk, files: Files, number: number): void {
  disk.syncDir(files.root);
  const temp = files.currentTemp;
  if (disk.stat(temp) !== undefined) disk.remove(temp);
  const pointer = disk.create(temp);
  try {
    pointer.append(utf8(currentText(manifestName(number))));
    pointer.syncNow();
  } finally {
    pointer.close();
  }
  disk.rename(temp, files.current);
  disk.syncDir(files.root);
}

function currentText(name: string): string {
  return `${name} ${crc32c(utf8(name)).toString(16).padStart(8, "0")}\n`;
}
