/**
 * Identity: which node a data directory belongs to.
 *
 *     IDENTITY:  pairdb 1\n node <id>\n incarnation <32 hex digits>\n crc32c <8 hex digits of the above>\n
 *
 * The id stands in the clocks of all that the node wrote, so it stays with the data: a directory opened
 * under another id is refused. The incarnation tells a directory from one that was wiped and made anew.
 * @module
 */
import { crc32c, PairError, utf8, validateNodeId } from "../model/mod.ts";
import type { Disk, Runtime } from "../runtime/mod.ts";
import { replaceFile } from "./small_file.ts";

/** Who a data directory is. */
export interface Identity {
  readonly nodeId: string;
  readonly incarnation: string;
}

/**
 * Reads the identity of an open data directory, or gives a new directory one.
 * @throws PairError as {@link readIdentity} does; DiskError
 */
export function claimIdentity(
  runtime: Runtime,
  dataDir: string,
  wanted: string | undefined,
): Identity {
  return readIdentity(runtime.disk, dataDir, wanted) ?? createIdentity(runtime, dataDir, wanted);
}

/**
 * Reads the identity of a data directory, changing nothing; undefined when it has none yet.
 * @param wanted  the id that the configuration asks for; undefined: the directory's, or a random one
 * @throws PairError InvalidArgument when the directory belongs to another id or its format is newer,
 *   CorruptedData when the file is damaged; DiskError
 */
export function readIdentity(
  disk: Disk,
  dataDir: string,
  wanted: string | undefined,
): Identity | undefined {
  if (wanted !== undefined) validateNodeId(wanted);
  const path = `${dataDir}/IDENTITY`;
  if (disk.stat(path) === undefined) return undefined;
  const identity = parse(path, new TextDecoder().decode(disk.readWhole(path)));
  if (wanted !== undefined && wanted !== identity.nodeId) {
    throw new PairError(
      "InvalidArgument",
      `Cannot open ${dataDir} as node "${wanted}": it belongs to node "${identity.nodeId}"`,
      { dir: dataDir, node: identity.nodeId },
    );
  }
  return identity;
}

/**
 * Gives a data directory an identity of its own; durable on return.
 * @param wanted  a valid id; undefined: a random one
 */
export function createIdentity(
  { disk, random }: Pick<Runtime, "disk" | "random">,
  dataDir: string,
  wanted: string | undefined,
): Identity {
  const identity = {
    nodeId: wanted ?? `node-${hex(random.bytes(4))}`,
    incarnation: hex(random.bytes(16)),
  };
  replaceFile(disk, dataDir, "IDENTITY", utf8(render(identity)));
  return identity;
}

function render({ nodeId, incarnation }: Identity): string {
  const body = `pairdb 1\nnode ${nodeId}\nincarnation ${incarnation}\n`;
  return `${body}crc32c ${crc32c(utf8(body)).toString(16).padStart(8, "0")}\n`;
}

function parse(path: string, text: string): Identity {
  const version = /^pairdb (\d+)\n/.exec(text)?.[1];
  if (version !== undefined && Number(version) > 1) {
    throw new PairError(
      "InvalidArgument",
      `Cannot open ${path}: its format is ${version}, newer than this program's 1`,
      { file: path },
    );
  }
  const [, nodeId, incarnation] = /\nnode (.+)\nincarnation ([0-9a-f]{32})\n/.exec(text) ?? [];
  const identity = { nodeId, incarnation };
  if (nodeId === undefined || render(identity) !== text) {
    throw new PairError("CorruptedData", `Cannot read ${path} at 0: it is damaged`, {
      file: path,
      offset: 0,
    });
  }
  return identity;
}

function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
