/**
 * The manifest's room.
 * @module
 */
export {
  type Edit,
  ManifestState,
  type TableMeta,
  type TreeMeta,
  type TreeRecord,
} from "./edit.ts";
export {
  applyEdits,
  Manifest,
  manifestFiles,
  readCurrent,
  readManifest,
  writeManifest,
} from "./manifest.ts";
export { MANIFEST_FORMAT, type Sealing } from "./format.ts";
