/**
 * The manifest's room.
 * @module
 */
export { type Edit, ManifestState, type TableMeta, type TreeMeta } from "./edit.ts";
export {
  applyEdits,
  Manifest,
  MANIFEST_FORMAT,
  manifestFiles,
  readCurrent,
  readManifest,
  writeManifest,
} from "./manifest.ts";
