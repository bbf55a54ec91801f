/**
 * Which row of the error table a failed write to the disk belongs to.
 * @module
 */

/** A full disk wants room, any other failure somebody to look at it. @param errno  as in DiskError */
export function rowOf(errno: unknown): "DiskFull" | "SSTableFailed" {
  return errno === "ENOSPC" ? "DiskFull" : "SSTableFailed";
}
