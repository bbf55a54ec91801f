/**
 * A disk on top of another: hands every call on. For layers that change a few of them.
 * @module
 */
import type { AppendFile, Disk, DiskEntry, DiskLock, ReadFile } from "./disk.ts";

/** Passes everything through; override what is to be different. */
export class DiskLayer implements Disk {
  /** The disk below. */
  protected readonly below: Disk;

  constructor(below: Disk) {
    this.below = below;
  }

  openRead(path: string): ReadFile {
    return this.below.openRead(path);
  }
  create(path: string): AppendFile {
    return this.below.create(path);
  }
  readWhole(path: string): Uint8Array<ArrayBuffer> {
    return this.below.readWhole(path);
  }
  stat(path: string): DiskEntry | undefined {
    return this.below.stat(path);
  }
  list(path: string): string[] {
    return this.below.list(path);
  }
  makeDir(path: string): void {
    this.below.makeDir(path);
  }
  rename(from: string, to: string): void {
    this.below.rename(from, to);
  }
  link(from: string, to: string): void {
    this.below.link(from, to);
  }
  remove(path: string): void {
    this.below.remove(path);
  }
  removeAsync(path: string): Promise<void> {
    return this.below.removeAsync(path);
  }
  removeDir(path: string): void {
    this.below.removeDir(path);
  }
  syncDir(path: string): void {
    this.below.syncDir(path);
  }
  syncFile(path: string): void {
    this.below.syncFile(path);
  }
  syncFileAsync(path: string): Promise<void> {
    return this.below.syncFileAsync(path);
  }
  lock(path: string): DiskLock {
    return this.below.lock(path);
  }
  space(path: string): { readonly totalBytes: number; readonly freeBytes: number } {
    return this.below.space(path);
  }
}
