/**
 * The reserve: a file of ballast in the data directory, given up when a full disk leaves no room for what
 * has to be written all the same: what the log was in the middle of, deletes, an edit of the manifest, the
 * dropping of a tree, a start. It is there again some time after there is room for it.
 *
 *     made in pieces ──> kept ──> given up: ENOSPC of the log or the manifest ──> made anew
 *
 * What is kept free by counting (the node's disk guard) another program's files can take; this they cannot.
 * Nothing is read from it and nothing depends on it: it is not synced, and whoever needs room removes it.
 * @module
 */
import type { Cancel, Clock, Disk, Log, Random } from "../runtime/mod.ts";
import { DiskError } from "../runtime/mod.ts";
import type { ReserveState } from "./api.ts";
import type { Files } from "./files.ts";

/** What deletes leave of it, for a start and for dropping trees. */
const KEPT_SHARE = 1 / 2;
/** It is at most this share of the disk. */
const SHARE_MAX = 1 / 64;
/** It is made only where this many times as much is free. */
const FREE_TIMES = 4;
/** Bytes written at a time, and the pause between, in ms. */
const PIECE_BYTES = 256 << 10;
const PIECE_PAUSE_MS = 1;

/** The ballast of one data directory. */
export class Reserve {
  readonly #disk: Disk;
  readonly #world: { readonly clock: Clock; readonly random: Random; readonly log: Log };
  readonly #path: string;
  readonly #dir: string;
  readonly #bytes: number;
  #making: Promise<void> | undefined;
  #cancelPause: Cancel | undefined;
  #wake: (() => void) | undefined;
  #closed = false;

  /** @param bytes  what it is to hold; 0: there is none */
  constructor(
    world: {
      readonly disk: Disk;
      readonly clock: Clock;
      readonly random: Random;
      readonly log: Log;
    },
    files: Files,
    bytes: number,
  ) {
    this.#disk = world.disk;
    this.#world = world;
    this.#path = files.reserve;
    this.#dir = files.root;
    this.#bytes = bytes;
  }

  /** What there is of it, for whoever lets deletes in; undefined: there is to be none. */
  state(): ReserveState | undefined {
    if (this.#bytes === 0) return undefined;
    try {
      const heldBytes = this.#disk.stat(this.#path)?.size ?? 0;
      return { heldBytes, keptBytes: Math.ceil(this.#wanted() * KEPT_SHARE) };
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      return undefined;
    }
  }

  #wanted(): number {
    return Math.floor(Math.min(this.#bytes, this.#disk.space(this.#dir).totalBytes * SHARE_MAX));
  }

  /** Gives it up; false when there is none. */
  release(): boolean {
    try {
      if (this.#disk.stat(this.#path) === undefined) return false;
      this.#disk.remove(this.#path);
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      this.#world.log.warn("cannot give up the reserve", { error: error.message });
      return false;
    }
    this.#world.log.warn("engine.reserve", { state: "given up" });
    return true;
  }

  /** Makes it in the background where it is not there, or not whole, and there is room. */
  keep(): void {
    if (this.#bytes === 0 || this.#closed || this.#making !== undefined) return;
    this.#making = this.#make().finally(() => this.#making = undefined);
  }

  /** Makes no more of it; resolves when nothing is under way. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelPause?.();
    this.#wake?.();
    await this.#making;
  }

  async #make(): Promise<void> {
    const { random, log } = this.#world;
    const disk = this.#disk;
    try {
      const { freeBytes } = disk.space(this.#dir);
      const wanted = this.#wanted();
      const found = disk.stat(this.#path)?.size;
      if (found !== undefined && found >= wanted) return;
      if (freeBytes < FREE_TIMES * wanted) return;
      if (found !== undefined) disk.remove(this.#path);
      const file = disk.create(this.#path);
      try {
        // Not zeros: a file system that compresses would keep nothing for them.
        const piece = random.bytes(Math.min(PIECE_BYTES, wanted));
        while (file.size < wanted && !this.#closed && disk.stat(this.#path) !== undefined) {
          file.append(piece.subarray(0, wanted - file.size));
          await this.#pause();
        }
      } finally {
        file.close();
      }
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      log.warn("cannot make the reserve", { error: error.message });
      this.#removePart();
    }
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
      this.#cancelPause = this.#world.clock.after(PIECE_PAUSE_MS, resolve);
    });
  }

  #removePart(): void {
    try {
      if (this.#disk.stat(this.#path) !== undefined) this.#disk.remove(this.#path);
    } catch (error) {
      // The next attempt removes it.
      if (!(error instanceof DiskError)) throw error;
    }
  }
}
