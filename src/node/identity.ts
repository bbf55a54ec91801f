/**
 * Identity: which node a data directory belongs to.
 *
 *     IDENTITY:  pairdb 2\n node <id>\n incarnation <32 hex digits>\n actor <name>\n
 *                crc32c <8 hex digits of the above>\n
 *
 * The incarnation tells a directory from one that was wiped and made anew. The actor is whose events the writes of
 * the directory are, in clocks: the id where that was drawn at random for the directory, and the id with the first
 * digits of the incarnation where somebody chose it, `n1@03ac0883`. So a node that comes back under its name with
 * another disk, empty or restored, does not count the events again that others know of the first one (Riak's
 * kv679). In format 1 there is no actor: it is the id.
 *
 * All of it stays with the data: a directory opened under another id is refused.
 * @module
 */
import { crc32c, MAX_NODE_ID_BYTES, PairError, utf8, validateNodeId } from "../model/mod.ts";
import type { Disk, Runtime } from "../runtime/mod.ts";
import { replaceFile } from "./small_file.ts";

/** Who a data directory is. */
export interface Identity {
  readonly nodeId: string;
  readonly incarnation: string;
  /** Whose events its writes are. */
  readonly actor: string;
}

const FORMAT = 2;
/** Digits of the incarnation in an actor's name. */
const ACTOR_DIGITS = 8;

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
  const nodeId = wanted ?? `node-${hex(random.bytes(4))}`;
  const incarnation = hex(random.bytes(16));
  const actor = wanted === undefined ? nodeId : actorOf(nodeId, incarnation);
  const identity = { nodeId, incarnation, actor };
  replaceFile(disk, dataDir, "IDENTITY", utf8(render(identity, FORMAT)));
  return identity;
}

function actorOf(nodeId: string, incarnation: string): string {
  const actor = `${nodeId}@${incarnation.slice(0, ACTOR_DIGITS)}`;
  // Where there is no room for both, the one that nobody else has.
  return utf8(actor).length > MAX_NODE_ID_BYTES ? incarnation : actor;
}

function render({ nodeId, incarnation, actor }: Identity, format: number): string {
  const own = format === 1 ? "" : `actor ${actor}\n`;
  const body = `pairdb ${format}\nnode ${nodeId}\nincarnation ${incarnation}\n${own}`;
  return `${body}crc32c ${crc32c(utf8(body)).toString(16).padStart(8, "0")}\n`;
}

function parse(path: string, text: string): Identity {
  const format = Number(/^pairdb (\d+)\n/.exec(text)?.[1]);
  if (format > FORMAT) {
    throw new PairError(
      "InvalidArgument",
      `Cannot open ${path}: its format is ${format}, newer than this program's ${FORMAT}`,
      { file: path },
    );
  }
  const [, nodeId, incarnation, own] =
    /\nnode (.+)\nincarnation ([0-9a-f]{32})\n(?:actor (.+)\n)?/.exec(text) ?? [];
  const identity = { nodeId, incarnation, actor: own ?? nodeId };
  if (nodeId === undefined || render(identity, format) !== text) {
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
