/**
 * The secret of a data directory's seals (`src/model/seal.ts`).
 *
 *     SEAL_KEY:  pairdb-seal 1\n key <32 hex digits>\n crc32c <8 hex digits of the above>\n
 *
 * It says nothing of the node, so nodes that are to take each other's contexts can have the same. It stays with
 * the directory, and no snapshot has it: a restored node is another one, and what clients hold was not given by
 * it. A directory without one, made by an older program or by somebody who removed it, gets a new one; clients
 * then read their keys again.
 * @module
 */
import { crc32c, PairError, SIP_KEY_BYTES, utf8 } from "../model/mod.ts";
import type { Disk, Runtime } from "../runtime/mod.ts";
import { replaceFile } from "./small_file.ts";

/** The file's name. */
export const SEAL_KEY_FILE = "SEAL_KEY";
const FORMAT = 1;

/**
 * Reads the secret of an open data directory, or gives it one, durable on return.
 * @returns 16 bytes
 * @throws PairError as {@link readSealKey} does; DiskError
 */
export function claimSealKey({ disk, random }: Runtime, dataDir: string): Uint8Array {
  const known = readSealKey(disk, dataDir);
  if (known !== undefined) return known;
  const key = random.bytes(SIP_KEY_BYTES);
  replaceFile(disk, dataDir, SEAL_KEY_FILE, utf8(render(key)));
  return key;
}

/**
 * Reads the secret of a data directory, changing nothing; undefined when it has none yet.
 * @throws PairError InvalidArgument when its format is newer, CorruptedData when it is damaged; DiskError
 */
export function readSealKey(disk: Disk, dataDir: string): Uint8Array | undefined {
  const path = `${dataDir}/${SEAL_KEY_FILE}`;
  if (disk.stat(path) === undefined) return undefined;
  const text = new TextDecoder().decode(disk.readWhole(path));
  const format = /^pairdb-seal (\d+)\n/.exec(text)?.[1];
  if (format !== undefined && Number(format) > FORMAT) {
    throw new PairError(
      "InvalidArgument",
      `Cannot open ${path}: its format is ${format}, newer than this program's ${FORMAT}`,
      { file: path },
    );
  }
  const [, hex] = /\nkey ([0-9a-f]{32})\n/.exec(text) ?? [];
  const key = hex === undefined ? undefined : Uint8Array.fromHex(hex);
  if (key === undefined || render(key) !== text) {
    throw new PairError(
      "CorruptedData",
      `Cannot read ${path} at 0: it is damaged. Remove it: the node makes another, and clients read again`,
      { file: path, offset: 0 },
    );
  }
  return key;
}

function render(key: Uint8Array): string {
  const body = `pairdb-seal ${FORMAT}\nkey ${key.toHex()}\n`;
  return `${body}crc32c ${crc32c(utf8(body)).toString(16).padStart(8, "0")}\n`;
}
