/**
 * The disk guard: which writes a filling disk still takes, decided before any work is done for them.
 *
 *     in use      state      puts                       deletes
 *     < 80 %      normal     yes                        yes
 *     ≥ 80 %      warn       yes, somebody is told      yes
 *     ≥ 90 %      throttle   large: 2003                yes
 *     ≥ 95 %      full       2002                       yes, down to half of the ballast: then 2002
 *
 * When it gets to one of the last two, what room can be made is made: see `Engine.relieveDisk`.
 *
 * So a full disk can be emptied: deletes, drops of tenants, flushes and compactions go on (docs/rows.md: X17).
 * The reserve, a hundredth of the disk and 1 GiB at most, is theirs alone, and the log's, which takes no write
 * while it waits for room. Files of other programs may take it all the same: then the engine gives up its
 * ballast (engine/reserve.ts). One half of its room is for more deletes, the other for a start and for dropping
 * tenants. Whoever wants the letter of the design
 * documents is `strict`: a full disk takes nothing.
 *
 * A write is large when its estimate, in the log and in a table, is over 64 KiB: about 27 KB of value.
 *
 * What was let in since the disk was measured is estimated, and no write is refused for that alone while
 * the disk can be measured again: some of it is not written yet, or has made way already.
 *
 * A state is left only when two hundredths less than where it begins are in use, so that a node on the edge
 * does not answer one way and the other.
 * @module
 */
import { PairError } from "../model/mod.ts";
import { DiskError, type Log } from "../runtime/mod.ts";

/** Bytes of the file system under the data directory. */
export interface DiskSpace {
  readonly totalBytes: number;
  readonly freeBytes: number;
}

/** Room that nobody else can take: see `Engine.reserve`. */
export interface Ballast {
  /** What it holds now. */
  readonly heldBytes: number;
  /** What is to be left of it, or free, when deletes have had theirs. */
  readonly keptBytes: number;
}

/** Shares of the disk, from 0 to 1, and what a full one takes. */
export interface DiskThresholds {
  /** From here on large writes are refused and the node is degraded. The warning comes 0.1 before it. */
  readonly degraded: number;
  /** From here on puts are refused. Default: half of the way from `degraded` to 1. */
  readonly full?: number | undefined;
  /** A full disk takes no deletes either. Default false. */
  readonly strict?: boolean | undefined;
  /** How long a measurement of the disk stands, ms; what is let in meanwhile is estimated. Default 1000. */
  readonly checkIntervalMs?: number | undefined;
}

/** How full the disk is. */
export type DiskState = "normal" | "warn" | "throttle" | "full";

/** Writes that are estimated at more are large. */
export const LARGE_WRITE_BYTES = 64 * 1024;
/** Where an estimate would change the answer, the disk is measured again, unless it was so lately, ms. */
const FRESH_MS = 20;
/** How far below a threshold the use must fall for its state to end. */
const HYSTERESIS = 0.02;
/** The share of the disk that puts never get, and the most it comes to. */
const RESERVE_SHARE = 0.01;
const RESERVE_BYTES_MAX = 2 ** 30;
/** What the log, a memtable and a table add to a key and its value. */
const LOG_OVERHEAD = 48;
const MEMTABLE_OVERHEAD = 64;

/** From empty to full. */
export const DISK_STATES: readonly DiskState[] = ["normal", "warn", "throttle", "full"];
/** From here on writes are refused. */
const TIGHT = DISK_STATES.indexOf("throttle");

/**
 * What a write will take on the disk until it is compacted: once in the log, once in a table, and a fifth
 * more (docs/rows.md: D3).
 * @param bytes  of the key and the value
 */
export function estimateWrite(bytes: number, entries = 1): number {
  return Math.ceil(1.2 * (2 * bytes + entries * (LOG_OVERHEAD + MEMTABLE_OVERHEAD)));
}

/** Decides by what is measured. */
export class DiskGuard {
  readonly #measure: (ageMsMax?: number) => DiskSpace | DiskError;
  readonly #thresholds: readonly number[];
  readonly #strict: boolean;
  readonly #log: Log;
  #seen: DiskSpace | DiskError | undefined;
  #state = 0;
  /** Estimates of what was let in since the disk was measured. */
  #sinceBytes = 0;

  readonly #relieve: (isTight: boolean) => void;
  readonly #ballast: () => Ballast | undefined;

  /** Estimates of all writes that were let in, to compare with what log and tables took. */
  estimatedBytes = 0;
  /** Writes refused as large (2003). */
  throttled = 0;
  /** Writes refused because the disk is full (2002). */
  refused = 0;

  /**
   * @param measure  the disk, as measured no longer ago than is asked for, or than the interval; the same
   *   object for as long as the measurement is
   * @param relieve  makes room, in the background: called each time that the disk gets to a state that refuses
   *   more writes, and with false when none is refused any more
   * @param ballast  asked when a delete would get none of the room that is free; undefined: there is none
   */
  constructor(
    measure: (ageMsMax?: number) => DiskSpace | DiskError,
    thresholds: DiskThresholds,
    log: Log,
    relieve: (isTight: boolean) => void = () => {},
    ballast: () => Ballast | undefined = () => undefined,
  ) {
    this.#relieve = relieve;
    this.#ballast = ballast;
    const { degraded, full = (1 + degraded) / 2, strict = false } = thresholds;
    this.#measure = measure;
    this.#thresholds = [0, degraded - 0.1, degraded, full];
    this.#strict = strict;
    this.#log = log;
  }

  /** The state now. */
  get state(): DiskState {
    this.#look();
    return DISK_STATES[this.#state];
  }

  /**
   * Lets a write through.
   * @param bytes  its estimate, see {@link estimateWrite}
   * @throws PairError DiskFull (2002), DiskThrottled (2003)
   */
  admit(kind: "put" | "delete", bytes: number): void {
    const space = this.#look(bytes);
    // A disk that cannot be measured may be well; health tells of it.
    if (space === undefined) return;
    // The figures that decide, and that a refusal names.
    const { totalBytes } = space;
    const before = { totalBytes, freeBytes: Math.max(0, space.freeBytes - this.#sinceBytes) };
    const isFull = DISK_STATES[this.#state] === "full";
    const isShort = before.freeBytes - bytes < reserveOf(space);
    if (
      isFull && (kind === "put" || this.#strict) ||
      isShort && (kind === "put" || !this.#fitsBallast(space, bytes))
    ) {
      this.refused++;
      throw new PairError(
        "DiskFull",
        `Cannot write: the disk is ${percent(before)} % full. ${
          kind === "put" ? "Deletes and drops" : "Drops of tenants, and other files that go,"
        } make room`,
        before,
      );
    }
    if (kind === "put" && DISK_STATES[this.#state] === "throttle" && bytes > LARGE_WRITE_BYTES) {
      this.throttled++;
      throw new PairError(
        "DiskThrottled",
        `Cannot write ${bytes} bytes: the disk is ${
          percent(before)
        } % full and takes small writes only`,
        { ...before, bytes },
      );
    }
    this.#sinceBytes += bytes;
    this.estimatedBytes += bytes;
  }

  /** Whether there is room for a delete that may take from the ballast. */
  #fitsBallast(space: DiskSpace, bytes: number): boolean {
    const ballast = this.#ballast();
    if (ballast === undefined || this.#strict) return false;
    const { heldBytes, keptBytes } = ballast;
    const fits = (freeBytes: number) =>
      freeBytes + heldBytes - this.#sinceBytes >= keptBytes + bytes;
    // It may have been given up just now, and its room be free.
    return fits(space.freeBytes) || fits(this.#measured(0)?.freeBytes ?? 0);
  }

  /**
   * Takes in a new measurement, and a newer one where only the estimate would refuse something; undefined
   * when the disk cannot be measured.
   * @param bytes  of the write that is asked for
   */
  #look(bytes = 0): DiskSpace | undefined {
    let space = this.#measured();
    if (space === undefined) return undefined;
    const mayHold = space.freeBytes - bytes >= reserveOf(space);
    const isShort = mayHold && space.freeBytes - this.#sinceBytes - bytes < reserveOf(space);
    if (
      isShort || this.#stateAt(usageOf(space, this.#sinceBytes)) > this.#stateAt(usageOf(space))
    ) {
      space = this.#measured(FRESH_MS);
      if (space === undefined) return undefined;
    }
    const usage = usageOf(space, this.#sinceBytes);
    const next = this.#stateAt(usage);
    if (next !== this.#state) {
      const isWorse = next > this.#state;
      const level = isWorse ? "warn" : "info";
      const wasTight = this.#state >= TIGHT;
      this.#state = next;
      this.#log[level]("node.disk", {
        state: DISK_STATES[next],
        usage: Math.round(usage * 1000) / 1000,
      });
      if (next < TIGHT ? wasTight : isWorse) this.#relieve(next >= TIGHT);
    }
    return space;
  }

  #measured(ageMsMax?: number): DiskSpace | undefined {
    const space = this.#measure(ageMsMax);
    if (space instanceof DiskError) return undefined;
    if (space !== this.#seen) {
      this.#seen = space;
      this.#sinceBytes = 0;
    }
    return space;
  }

  /** The state that the present one becomes at a use of the disk. */
  #stateAt(usage: number): number {
    let next = this.#state;
    while (next + 1 < DISK_STATES.length && usage >= this.#thresholds[next + 1]) next++;
    while (next > 0 && usage < this.#thresholds[next] - HYSTERESIS) next--;
    return next;
  }
}

/** What of a disk puts and deletes leave alone. */
function reserveOf({ totalBytes }: DiskSpace): number {
  return Math.min(RESERVE_BYTES_MAX, totalBytes * RESERVE_SHARE);
}

/** The share in use, with what was let in since. */
function usageOf({ totalBytes, freeBytes }: DiskSpace, sinceBytes = 0): number {
  return totalBytes === 0 ? 0 : 1 - (freeBytes - sinceBytes) / totalBytes;
}

function percent(space: DiskSpace): number {
  return Math.floor(usageOf(space) * 100);
}
