/**
 * Node ids in the states of data types.
 * @module
 */
import type { ByteReader } from "../bytes.ts";
import { MAX_NODE_ID_BYTES } from "../limits.ts";
import { decodeText } from "../text.ts";

/** A node id. @throws PairError CorruptedData (2007) when it is none */
export function readNode(reader: ByteReader): string {
  const bytes = reader.bytes();
  if (bytes.length === 0 || bytes.length > MAX_NODE_ID_BYTES) {
    throw reader.damaged(`a node id is ${bytes.length} bytes long`);
  }
  try {
    return decodeText(bytes);
  } catch {
    throw reader.damaged("a node id is not UTF-8");
  }
}
