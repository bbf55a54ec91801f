/**
 * Paths as people give them.
 * @module
 */
import type { Process } from "../runtime/mod.ts";

/** Without slashes at its end. */
export function withoutSlash(path: string): string {
  return path.replace(/(?<=.)\/+$/, "");
}

/** From the root on. */
export function absolute(process: Process, path: string): string {
  return path.startsWith("/") ? path : `${process.cwd()}/${path.replace(/^(\.\/)+/, "")}`;
}
