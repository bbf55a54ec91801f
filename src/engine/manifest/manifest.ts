/**
 * Manifest: the log of version edits that says which files make up the store.
 *
 *     header:  0          8        12       16       20       36       40
 *              +----------+--------+--------+--------+--------+--------+
 *              | PAIRDBMF | format | number | flags  | salt   | crc32c |   crc32c covers all before it
 *              | magic    | u32=2  | u32    | u32=0  | zero   | u32    |
 *              +----------+--------+--------+--------+--------+--------+
 *              format 1 has neither flags nor salt: 20 bytes
 *     frame:   | length u32 | crc32c u32 | number u32 | edit, `length` bytes |   crc32c covers number and edit
 *     CURRENT: `MANIFEST-000007 1a2b3c4d\n`, a name and the crc32c of the name in hex
 *
 * Every open writes a fresh manifest, a snapshot of the state, and then switches CURRENT to it: write
 * CURRENT.tmp, sync it, rename it, sync the directory. So does a manifest that has grown large.
 *
 * Invariants
 *   - An edit counts once its frame is synced; one at a time is under way, so only the last can be torn.
 *   - After a failed append or sync the manifest takes no more edits, and nothing may be deleted.
 * @module
 */
import { crc32c, getU32, PairError, putU32, utf8 } from "../../model/mod.ts";
import type { AppendFile, Disk } from "../../runtime/mod.ts";
import { type Files, manifestName, parseManifestName } from "../files.ts";
import { decodeEdit, type Edit, encodeEdit, ManifestState } from "./edit.ts";

/** The version that this program writes, and the newest that it reads. */
export const MANIFEST_FORMAT = 2;

const HEADER_SIZE = 40;
/** Format 1, without flags and salt. */
const HEADER_SIZE_1 = 20;
const FRAME_HEADER = 12;
const MAGIC = [0x50, 0x41, 0x49, 0x52, 0x44, 0x42, 0x4d, 0x46]; // "PAIRDBMF"
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
 *   InvalidArgument when its format is newer
 */
export function readManifest(disk: Disk, path: string, number: number): ManifestContent {
  const bytes = disk.readWhole(path);
  const edits: Edit[] = [];
  let at = checkHeader(path, number, bytes);
  while (at < bytes.length) {
    const end = frameEnd(bytes, at, number);
    if (end === undefined) {
      for (let next = at + 1; next < bytes.length; next++) {
        if (frameEnd(bytes, next, number) !== undefined) {
          throw damagedFile(path, at, "an edit is damaged and others follow it");
        }
      }
      break;
    }
    edits.push(decodeEdit(bytes.subarray(at + FRAME_HEADER, end), `${path} at ${at}`));
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
  readonly state: ManifestState;

  /** Told the path of a manifest that is no longer current. */
  onObsolete: (path: string) => void = () => {};

  private constructor(disk: Disk, files: Files, state: ManifestState) {
    this.#disk = disk;
    this.#files = files;
    this.state = state;
  }

  /**
   * Reads the state of a directory; an empty one for a new directory. Writes nothing.
   * @throws PairError as {@link readManifest} does
   */
  static read(disk: Disk, files: Files): Manifest {
    const state = new ManifestState();
    const number = readCurrent(disk, files);
    const manifest = new Manifest(disk, files, state);
    if (number === undefined) return manifest;
    const path = files.manifest(number);
    if (disk.stat(path) === undefined) {
      throw damagedFile(files.current, 0, `it names ${manifestName(number)}, which is not there`);
    }
    applyEdits(state, path, readManifest(disk, path, number).edits);
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

  /** Writes a fresh manifest with the present state and makes it current. Durable on return. */
  rollOver(): void {
    this.#guard(() => {
      const number = this.nextFile();
      const previous = this.#file;
      this.#file = this.#disk.create(this.#files.manifest(number));
      this.#number = number;
      previous?.close();
      begin(this.#file, number, this.state);
      makeCurrent(this.#disk, this.#files, number);
    });
  }

  /**
   * Makes an edit durable, then part of the state. Edits take effect in the order of calls.
   * @param build  makes the edit when its turn has come, from the state of that moment
   * @throws PairError SSTableFailed when it could not be written; no later edit is taken then
   */
  commit(build: () => Edit): Promise<void> {
    const done = this.#queue.then(async () => {
      if (this.#failure !== undefined) throw this.#failure;
      const edit = { ...build(), nextFile: this.state.nextFile };
      const file = this.#file!;
      try {
        file.append(encodeFrame(this.#number, edit));
        await file.sync();
      } catch (cause) {
        throw this.#poison(cause);
      }
      this.state.apply(edit);
      if (file.size > ROLL_OVER_BYTES) {
        const old = this.#files.manifest(this.#number);
        this.rollOver();
        this.onObsolete(old);
      }
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

  #guard(action: () => void): void {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      action();
    } catch (cause) {
      throw this.#poison(cause);
    }
  }

  #poison(cause: unknown): PairError {
    this.#failure ??= new PairError(
      "SSTableFailed",
      `Cannot write the manifest: ${cause instanceof Error ? cause.message : String(cause)}`,
      { file: this.#files.manifest(this.#number) },
      { cause },
    );
    return this.#failure;
  }
}

/**
 * Writes a manifest that holds a state, and makes it the current one of a directory. Durable on return.
 * @throws DiskError EEXIST when the manifest is there
 */
export function writeManifest(
  disk: Disk,
  files: Files,
  number: number,
  state: ManifestState,
): void {
  const file = disk.create(files.manifest(number));
  try {
    begin(file, number, state);
  } finally {
    file.close();
  }
  makeCurrent(disk, files, number);
}

/** The beginning of every manifest: the state that later edits change. The bytes are durable on return. */
function begin(file: AppendFile, number: number, state: ManifestState): void {
  file.append(encodeHeader(number));
  file.append(encodeFrame(number, state.snapshot()));
  file.syncNow();
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

function encodeHeader(number: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(HEADER_SIZE);
  bytes.set(MAGIC);
  putU32(bytes, 8, MANIFEST_FORMAT);
  putU32(bytes, 12, number);
  putU32(bytes, HEADER_SIZE - 4, crc32c(bytes, 0, HEADER_SIZE - 4));
  return bytes;
}

/** Checks a manifest's header; returns where it ends. */
function checkHeader(path: string, number: number, bytes: Uint8Array): number {
  if (bytes.length < HEADER_SIZE_1 || MAGIC.some((byte, i) => bytes[i] !== byte)) {
    throw damagedFile(path, 0, "this is not a manifest: the magic number is missing");
  }
  const format = getU32(bytes, 8);
  // A newer header may have another length: format 1's is where a program of any age finds a checksum.
  const size = format === 1 ? HEADER_SIZE_1 : HEADER_SIZE;
  const sound = (end: number) =>
    bytes.length >= end && getU32(bytes, end - 4) === crc32c(bytes, 0, end - 4);
  if (!sound(size) && !(format > MANIFEST_FORMAT && sound(HEADER_SIZE_1))) {
    throw damagedFile(path, 0, "the header's checksum does not match");
  }
  if (format > MANIFEST_FORMAT) {
    throw new PairError(
      "InvalidArgument",
      `Cannot open ${path}: its format is ${format}, newer than this program's ${MANIFEST_FORMAT}`,
      { file: path, format },
    );
  }
  if (getU32(bytes, 12) !== number) throw damagedFile(path, 0, "it is another manifest's content");
  if (format === 2 && getU32(bytes, 16) !== 0) {
    throw damagedFile(path, 16, "its flags are not known");
  }
  return size;
}

function encodeFrame(number: number, edit: Edit): Uint8Array<ArrayBuffer> {
  const payload = encodeEdit(edit);
  const bytes = new Uint8Array(FRAME_HEADER + payload.length);
  putU32(bytes, 0, payload.length);
  putU32(bytes, 8, number);
  bytes.set(payload, FRAME_HEADER);
  putU32(bytes, 4, crc32c(bytes, 8));
  return bytes;
}

/** Where the sound frame at an offset ends; undefined when there is none. */
function frameEnd(bytes: Uint8Array, at: number, number: number): number | undefined {
  if (at + FRAME_HEADER > bytes.length || getU32(bytes, at + 8) !== number) return undefined;
  const end = at + FRAME_HEADER + getU32(bytes, at);
  if (end > bytes.length || getU32(bytes, at + 4) !== crc32c(bytes, at + 8, end)) return undefined;
  return end;
}

function damagedFile(path: string, offset: number, why: string): PairError {
  return new PairError("CorruptedData", `Cannot read ${path} at ${offset}: ${why}`, {
    file: path,
    offset,
  });
}
